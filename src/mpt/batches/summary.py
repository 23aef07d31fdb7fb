"""summary.csv: a line for each person of a batch, and for each photo or film without anybody."""

import csv
import errno
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mpt.errors import InputError
from mpt.writing import begins_with, check_output, write_whole

COLUMNS = (
    *("file", "status", "person", "score", "stature_m", "distance_m", "frames", "first_frame", "last_frame"),
    *("seconds", "folder", "error"),
)
HEADER = ",".join(COLUMNS) + "\n"


class Summary:
    """Grows by whole lines as a batch goes on, each written at once: what was written stays, whenever the
    program is killed. Nothing is held in memory.

    The first line that is added takes the place of an earlier batch's summary.
    """

    def __init__(self, path: Path) -> None:
        """Raises InputError where something else lies there."""
        self.path, self._begun = path, False
        check_output(path, "summary", begins_with(HEADER.encode()))

    def done(self, file: object, folder: Path, result: Mapping[str, Any]) -> None:
        """A photo or film, by what its result.json holds."""
        common = {"file": file, "folder": folder, "seconds": f"{result['seconds']['total']:.3f}"}
        common["frames"] = result.get("frames", "")
        if not result["people"]:
            self._add([common | {"status": "nobody"}])
        else:
            people = enumerate(result["people"])
            self._add([common | {"status": "ok", **_person(person, at)} for at, person in people])

    def refused(self, file: object, error: str) -> None:
        self._add([{"file": file, "status": "refused", "error": error}])

    def _add(self, rows: list[dict[str, Any]]) -> None:
        text = io.StringIO()
        csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n").writerows(rows)
        if not self._begun:
            write_whole(self.path, HEADER.encode(), "choose another --out")
            self._begun = True
        _append(self.path, text.getvalue().encode(errors="backslashreplace"))


def _append(path: Path, lines: bytes) -> None:
    """All of it or nothing. Raises InputError where there is no room."""
    try:
        with path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                if _write(file, lines) != len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.truncate(path, end)
                raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); make room, and go on with --resume"
        ) from error


def _write(file: BinaryIO, lines: bytes) -> int:
    return file.write(lines)


def _person(person: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A person of a photo, or of a film."""
    place = person.get("camera", {}).get("translation_m")
    return {
        "person": person.get("id", number),
        "score": person["score"],
        "stature_m": person.get("build", {}).get("stature_m", ""),
        "distance_m": "" if place is None else round(sum(x * x for x in place) ** 0.5, 3),
        "frames": person.get("frames", ""),
        "first_frame": person.get("first_frame", ""),
        "last_frame": person.get("last_frame", ""),
    }
