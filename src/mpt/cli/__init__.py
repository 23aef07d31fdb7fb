"""The command ``mpt``: each command parses, calls, prints.

Whatever is slow to import is imported when a command runs, so that ``--help`` answers at once.
"""

import difflib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from itertools import pairwise
from types import FrameType
from typing import Annotated, Any, Union

import tyro
from tyro.conf import subcommand

from mpt.cli.animating import Animate
from mpt.cli.assets import AssetsAdd, AssetsFetch, AssetsStatus
from mpt.cli.common import DEBUG, INTERRUPTED, OK, SOME_REFUSED, debugging, say, to_stderr
from mpt.cli.demonstrating import Demo
from mpt.cli.evaluating import (
    Evaluate3DPW,
    EvaluateEMDB,
    EvaluateFolder,
    EvaluateFreihand,
    EvaluateH36M,
    EvaluateMocap,
    EvaluateRendered,
)
from mpt.cli.experiments import ExperimentsList, ExperimentsReport, ExperimentsRun
from mpt.cli.exporting import Export
from mpt.cli.preparing import (
    PrepareBody,
    PrepareDataset,
    PrepareHands,
    PrepareMeshes,
    PrepareMocap,
    PrepareRendered,
    PrepareSightings,
)
from mpt.cli.reconstructing import Reconstruct
from mpt.cli.serving import Serve
from mpt.cli.training import Finetune, Pretrain
from mpt.errors import InputError


def _group(about: str, **commands: type) -> tuple[str, Any]:
    return about, _one_of(commands)


def _one_of(commands: dict[str, type | tuple[str, Any]]) -> Any:
    """The type that tyro parses into one of these commands, by name."""
    options = []
    for name, command in commands.items():
        if isinstance(command, tuple):
            about, union = command
            marker = subcommand(name, constructor_factory=lambda union=union: union, description=about)
        else:
            marker = subcommand(name, constructor=command)
        options.append(Annotated[Any, marker])
    if len(options) == 1:  # tyro would take a lone member for the command itself
        options.append(Annotated[None, tyro.conf.Suppress])
    return Union[tuple(options)]  # noqa: UP007 - made of as many as there are


COMMANDS = {
    "reconstruct": Reconstruct,
    "animate": Animate,
    "demo": Demo,
    "prepare": _group(
        "Make or check what training reads: pose stores, body files, data sets, rendered pictures.",
        mocap=PrepareMocap,
        hands=PrepareHands,
        meshes=PrepareMeshes,
        body=PrepareBody,
        dataset=PrepareDataset,
        rendered=PrepareRendered,
        sightings=PrepareSightings,
    ),
    "pretrain": Pretrain,
    "finetune": Finetune,
    "evaluate": _group(
        "Measure a model on motion capture, or on the field's benchmarks.",
        **{
            "mocap": EvaluateMocap,
            "h36m": EvaluateH36M,
            "3dpw": Evaluate3DPW,
            "emdb": EvaluateEMDB,
            "freihand": EvaluateFreihand,
            "rendered": EvaluateRendered,
            "folder": EvaluateFolder,
        },
    ),
    "experiments": _group(
        "The paper's tables: run, and printed beside the paper's numbers.",
        list=ExperimentsList,
        run=ExperimentsRun,
        report=ExperimentsReport,
    ),
    "export": Export,
    "serve": Serve,
    "assets": _group(
        "Files that mpt needs and may not carry.", status=AssetsStatus, add=AssetsAdd, fetch=AssetsFetch
    ),
}


class Ended(KeyboardInterrupt):
    """Ctrl-C, SIGTERM, or SIGHUP where a terminal was closed: the program cleans up."""

    def __init__(self, number: int) -> None:
        self.code = 128 + number


def main(args: list[str] | None = None) -> int:
    """Run the command line; its exit code: 0, 1 where some photos were refused, 2 for wrong use or what
    cannot be used, 70 for a fault of mpt's own, 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.

    No error is a traceback, unless --debug stands among the arguments.
    """
    args = sys.argv[1:] if args is None else args
    debugging.set(DEBUG in args)
    args = [arg for arg in args if arg != DEBUG]
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # file names may hold anything
    try:
        with warnings.catch_warnings(), _ended_as_by_ctrl_c():
            _show_notes()
            code = _parsed(args)()
            sys.stdout.flush()
            return code
    except BrokenPipeError:  # whoever read our output has gone, as `| head` does
        _forget_output()
        return OK
    except FloatingPointError as error:  # a run whose loss is no number any more
        say(error)
        return SOME_REFUSED
    except KeyboardInterrupt as interrupt:
        return interrupt.code if isinstance(interrupt, Ended) else INTERRUPTED
    except Exception as error:
        try:
            sys.stdout.flush()
        except OSError:  # a full disk
            _forget_output()
        return say(error)


def _open_what_is_closed() -> None:
    """Standard streams that were closed before the program began lead nowhere; else the next files to be
    opened would get their numbers, and what libraries print would be written into these.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for good


def _forget_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python says so at its end


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Signals that would end the program at once, and leave half-written files, raise :class:`Ended`.

    Not among torchrun's processes: one that saves by itself would wait for the others.
    """
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if not alone or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        if _importing(frame):  # some libraries take any exception for a part of theirs that is missing
            threading.Timer(0.1, _signal_again, [number]).start()
            return
        raise Ended(number)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in (getattr(signal, name) for name in names)}
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    taken = [number for number, handler in before.items() if handler in defaults]  # nohup has its own
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def _signal_again(number: int) -> None:
    """From another thread: the main one is woken, too, where it waits and the system knows how."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, number)
    else:
        signal.raise_signal(number)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _show_notes() -> None:
    """Our own warnings as a line each; other libraries' not at all."""
    warnings.simplefilter("ignore")
    warnings.filterwarnings("always", category=UserWarning, module=r"mpt\.")
    warnings.showwarning = lambda message, *_, **__: to_stderr(f"note: {message}")


def _parsed(args: list[str]) -> Any:
    """The command that the arguments ask for. Leaves by SystemExit after --help, --version, wrong options."""
    if args[:1] == ["--version"]:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"mpt {version('mesh-pretraining')}")
        except PackageNotFoundError:
            print("mpt, run from a copied folder")
        raise SystemExit(OK)
    if args and not args[0].startswith("-") and args[0] not in COMMANDS:
        near = difflib.get_close_matches(args[0], COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise InputError(f"no command is called {args[0]!r}; {hint} (`mpt --help` shows them)")
    for option, word in pairwise(args):
        if option.startswith("-") and not word:
            raise InputError(
                f"{option} was given an empty word, perhaps of a variable that is not set: give a value, or "
                "leave it out"
            )
    command = tyro.cli(
        _one_of(COMMANDS),
        prog="mpt",
        description="A posed 3D human mesh from a photo, learned from motion capture alone. With --debug "
        "anywhere on the line, an error also shows where it arose.",
        args=args or ["--help"],
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )
    for field in fields(command):
        option, value = f"--{field.name.replace('_', '-')}", getattr(command, field.name)
        if option in args and value == ():
            raise InputError(
                f"{option} was given without a word behind it: name one or more, or leave it out"
            )
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and abs(number) > LARGEST:
                raise InputError(f"{option} is {number}: give a number that is no larger than {LARGEST}")
    try:
        os.getcwd()  # libraries end the whole program over it
    except FileNotFoundError:
        raise InputError("the folder that mpt was called in is no longer there: go to another") from None
    return command


LARGEST = 2**32 - 1
"""Of whole numbers that can be counted to, or drawn from as a seed."""
