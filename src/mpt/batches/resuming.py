"""What a result was made of, by which a batch that was broken off knows what is done already."""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mpt.result_folders import whole


def options_hash(options: Mapping[str, Any]) -> str:
    """SHA-256 of all that results depend on; of files and folders (as ``Path``) the contents count."""
    told = {name: _told(value) for name, value in options.items()} | {"mpt": _version()}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def made_of(source: Path | bytes, options: str) -> dict[str, str] | None:
    """What a photo or film, and the options, are known by, whatever their names and times.

    options: as :func:`options_hash` has them. None of what can be read once only, as a pipe, or not at all.
    """
    try:
        known = source_hash(source)
    except OSError:
        return None
    return None if known is None else {"source_sha256": known, "options_sha256": options}


def kept(folder: Path, made: Mapping[str, str] | None) -> dict | None:
    """The result in a folder, if it is whole and was made of the same; else None."""
    if made is None:
        return None
    result = whole(folder)
    return result if result is not None and result.get("made_of") == made else None


def source_hash(source: Path | bytes) -> str | None:
    """SHA-256 of a file's content, or of the names and contents of all files in a folder."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    if source.is_dir():
        lines = [f"{source_hash(file)} {file.name}" for file in sorted(source.iterdir()) if file.is_file()]
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
    if not source.is_file():
        return None
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _told(value: Any) -> Any:
    if not isinstance(value, Path) or not value.exists():
        return value
    return _listing(value) if value.is_dir() else source_hash(value)


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    """Of a folder that may be large, as of a detector's files: names, sizes and times."""
    with os.scandir(folder) as entries:
        files = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    return sorted((name, status.st_size, status.st_mtime_ns) for name, status in files)


def _version() -> str:
    try:
        return version("mesh-pretraining")
    except PackageNotFoundError:
        return ""
