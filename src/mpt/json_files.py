"""JSON files that people hand in: UTF-8, with a byte order mark or without, and the UTF-16 of PowerShell."""

import codecs
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
    return _value_of(path.read_bytes())


def read_given_json(path: Path, what: str) -> Any:
    """What a JSON file of the user's holds, of JSON lines a list; ``what`` it should have been: "a JSON file
    with keypoints".

    Raises:
        InputError: no such file, or no JSON.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give {what}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give {what}") from None
    try:
        return _value_or_lines(content)
    except ValueError:
        raise InputError(f"{path} {_what_is_wrong(content)}: give {what}") from None


def _value_of(content: bytes) -> Any:
    try:
        return json.loads(content)  # of bytes, the json module finds the encoding
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _value_or_lines(content: bytes) -> Any:
    """JSON, or JSON lines: a value in each, together a list."""
    try:
        return _value_of(content)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
        lines = content.removeprefix(codecs.BOM_UTF8).splitlines()
        return [_value_of(line) for line in lines if line.strip()]


def _what_is_wrong(content: bytes) -> str:
    if not content.strip():
        return "is empty"
    return next(
        (f"is {what}, not JSON" for head, what in HEADS.items() if content.startswith(head)),
        "is not JSON, or cut short",
    )


HEADS = {
    b"\x1f\x8b": "compressed by gzip",
    b"PK\3\4": "an archive",
    b"\x93NUMPY": "a NumPy array",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"<": "XML or a web page",
    b"version https://git-lfs": "a pointer of Git LFS (run `git lfs pull`)",
    b"[{'": "Python's own notation (write it with json.dump)",
    b"{'": "Python's own notation (write it with json.dump)",
}
"""First bytes of files that are taken for JSON -> what they are."""
