"""What the commands share: exit codes, options of one kind, folders of results, and how errors are said."""

import re
import sys
import traceback
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

from mpt.errors import InputError

OK, SOME_REFUSED, REFUSED, FAULTY, INTERRUPTED = 0, 1, 2, 70, 130
DEBUG = "--debug"
AGAIN = f"run again with {DEBUG} to see where"
debugging: ContextVar[bool] = ContextVar("debugging", default=False)
FAULTS = (AssertionError, AttributeError, LookupError, NameError, NotImplementedError, TypeError)
"""What arises where a program is wrong, rather than a file, a disk or a memory."""

Out = Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
OutFile = Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
AsJson = Annotated[bool, arg(name="json")]
ModelName = Annotated[str, arg(metavar="NAME|FILE")]
Device = Annotated[str, arg(metavar="auto|cpu|cuda")]
Bare = Annotated[
    bool,
    FlagCreatePairsOff,
    arg(
        help="Show the naked surface. Without it people wear a top and shorts, in pictures and as colours of "
        "the vertices in GLB and PLY; each person has a colour of their own. Hands, and SMPL's bodies, wear "
        "nothing."
    ),
]


def check_folder(out: Path) -> None:
    """Refuse at once what could not become a folder of results."""
    for place in (out, *out.parents):
        if place.is_dir():
            return
        if place.exists():
            raise InputError(f"--out {out}: {place} is a file, and a folder was expected; choose another")


CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""What may stand in a file's name and would break a line, or do worse to a terminal."""


def say(error: Exception, about: object = None) -> int:
    """Say an error in a sentence, which begins with what it is ``about`` where it does not say so itself, and
    with --debug where it arose; the exit code for it.
    """
    sentence = CONTROL.sub(lambda found: repr(found[0])[1:-1], sentence_of(error, about))
    to_stderr(f"mpt: {sentence}")
    if debugging.get():
        to_stderr("".join(traceback.format_exception(error)).rstrip())
    return FAULTY if isinstance(error, FAULTS) else REFUSED


def to_stderr(line: str) -> None:
    """Print it; where nobody reads stderr any more, or its disk is full, the work and its exit code stand."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def sentence_of(error: Exception, about: object = None) -> str:
    """What an error says to its user."""
    if isinstance(error, InputError | FloatingPointError):
        return str(error)
    about = getattr(error, "filename", None) or about or _file_in(error)
    start = "" if about is None else f"{about}: "
    lines = str(error).splitlines() or [""]
    reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {lines[0][:200]}".rstrip(": ")
    if isinstance(error, FAULTS):
        return f"{start}this is a fault of mpt ({reason}), please report it; {AGAIN}"
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return f"{start}the memory of this computer is not enough for it ({reason}); {AGAIN}"
    if about is None:
        return f"what was asked for cannot be done ({reason}); {AGAIN}"
    return f"{about}: cannot be used or written ({reason}); {AGAIN}"


def _file_in(error: Exception) -> Path | None:
    """The file that our innermost function was at."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        if frame.f_globals.get("__name__", "").startswith("mpt."):
            for name in ("path", "file", "photo", "out", "folder"):
                if isinstance(found := frame.f_locals.get(name), Path):
                    return found
    return None
