"""What the commands share: exit codes, options of one kind, and folders of results."""

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from mpt.errors import InputError

OK, SOME_REFUSED, REFUSED, INTERRUPTED = 0, 1, 2, 130

Out = Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
OutFile = Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
AsJson = Annotated[bool, arg(name="json")]
ModelName = Annotated[str, arg(metavar="NAME|FILE")]
Device = Annotated[str, arg(metavar="auto|cpu|cuda")]


def check_folder(out: Path) -> None:
    """Refuse at once what could not become a folder of results."""
    for place in (out, *out.parents):
        if place.is_dir():
            return
        if place.exists():
            raise InputError(f"--out {out}: {place} is a file, and a folder was expected; choose another")


def say(error: Exception) -> None:
    print(f"mpt: {error}", file=sys.stderr)
