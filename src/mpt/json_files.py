"""JSON files that people hand in: UTF-8, with a byte order mark or without, and the UTF-16 of PowerShell."""

import json
from pathlib import Path
from typing import Any

from mpt.errors import InputError


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


def read_given_json(path: Path, what: str) -> Any:
    """What a JSON file of the user's holds; ``what`` it should have been: "a JSON file with keypoints".

    Raises:
        InputError: no such file, or no JSON.
    """
    try:
        return read_json(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give {what}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give {what}") from None
    except ValueError:
        raise InputError(f"{path} is not JSON, or cut short: give {what}") from None
