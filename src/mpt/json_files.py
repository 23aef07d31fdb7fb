"""JSON files that people hand in: UTF-8, with a byte order mark or without, and the UTF-16 of PowerShell."""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON, cut short, or nested too deeply.
    """
    try:
        return json.loads(path.read_bytes())  # of bytes, the json module finds the encoding
    except RecursionError:
        raise ValueError("nested too deeply") from None
