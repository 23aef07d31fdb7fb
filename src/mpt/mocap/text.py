"""Reading the text formats: whole files, and words as numbers."""

import math
from collections.abc import Sequence
from pathlib import Path

from mpt.errors import InputError


def read_text(path: Path) -> str:
    """The file's text, with any line ends; an empty file raises InputError."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if not text.strip():
        raise InputError("it is empty, export or download it again")
    return text


def numbers(words: Sequence[str], count: int, what: str) -> list[float]:
    """``count`` finite numbers, one from each word; ``what`` names their place in the message."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        came = " ".join(words) or "nothing"
        raise InputError(f"{what} holds '{came}' where {count} number(s) were expected, export it again")
    return values
