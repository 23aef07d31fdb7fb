"""Files of motion capture -> poses on the body, written to a pose store."""

import contextlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import mpt.mocap
from mpt.bodies import Body
from mpt.bodies.retarget import hips_path, is_own, retarget
from mpt.datasets import store
from mpt.datasets.store import PoseStoreWriter
from mpt.errors import InputError
from mpt.mocap.straighten import LimbLengths, straighten
from mpt.progress import tracked
from mpt.recipes.poses import changed_frames, pose_kind, repair


@dataclass(frozen=True)
class Skipped:
    """A file that gave no motion, and the sentence that says why."""

    path: Path
    reason: str


@dataclass
class Laid:
    """What happened to files as they were laid on the body."""

    skipped: list[Skipped] = field(default_factory=list)
    repaired: int = 0  # frames
    straightened: list[dict[str, str | float]] = field(default_factory=list)  # a person, own / fitted lengths


def with_sources(paths: Iterable[str | os.PathLike]) -> list[tuple[Path, str]]:
    """Each motion file, and its name below the folder that it was found in."""
    files: dict[Path, tuple[Path, str]] = {}
    for path in map(Path, paths):
        for file in mpt.mocap.find([path]):
            below = file.name if file == path else file.relative_to(path).as_posix()
            files.setdefault(file.resolve(), (file, below))
    return list(files.values())


def limb_lengths(
    files: Sequence[tuple[Path, str]], fps: float, reading: Mapping[str, Any], console: Console
) -> LimbLengths:
    """How long people's legs and arms are, as all files show it; what is wrong with a file is told later."""
    lengths = LimbLengths()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, _ in tracked(files, "measuring", console=console):
            with contextlib.suppress(InputError):
                lengths.see(_read(path, fps, reading))
    return lengths


def lay(
    files: Sequence[tuple[Path, str]],
    body: Body,
    writer: PoseStoreWriter,
    validation: Sequence[str],
    *,
    fps: float,
    reading: Mapping[str, Any],
    lengths: LimbLengths | None,
    min_change: float,
    max_gap: float | None = None,
    strict: bool,
    console: Console,
) -> Laid:
    """Lay each file's motion on the body and write the poses that differ."""
    laid = Laid()
    with _each_note_once():
        for path, source in tracked(files, "retargeting", console=console):
            try:
                motion = _read(path, fps, reading)
                if lengths is not None and not is_own(motion, body) and (scales := lengths.scales(motion)):
                    motion = straighten(motion, scales)
                    person = {"subject": motion.subject} | {limb: round(s, 4) for limb, s in scales.items()}
                    laid.straightened += [person] if person not in laid.straightened else []
                rotvec, hips = retarget(motion, body)[1], hips_path(motion, body)
            except InputError as error:
                if strict:
                    raise
                laid.skipped.append(Skipped(path, str(error)))
                console.print(f"skipped {error}", style="yellow", markup=False, highlight=False)
                continue
            rotvec, flipped = repair(rotvec, body)
            laid.repaired += int(flipped.sum())
            longest = None if max_gap is None else max(1, round(max_gap * motion.fps))
            frame = changed_frames(rotvec, np.radians(min_change), longest)
            about = (motion.name, motion.subject, source, motion.fps, len(motion), len(frame), "train")
            writer.add(
                store.Sequence(*about, gender=motion.gender),
                rotvec=rotvec[frame],
                frame=frame,
                kind=pose_kind(rotvec[frame], body),
                hips=hips[frame],
                betas=motion.betas,
            )
    if not writer.sequences:
        raise InputError(
            f"none of the {len(laid.skipped)} files could be read; the first: {laid.skipped[0].reason}"
        )
    writer.hold_out(validation)
    return laid


def _read(path: Path, fps: float, reading: Mapping[str, Any]) -> mpt.mocap.Motion:
    motion = mpt.mocap.read(path, **reading)
    return motion.resampled(fps) if motion.fps > fps else motion


@contextlib.contextmanager
def _each_note_once() -> Iterator[None]:
    """Of notes that differ only in the file and in numbers the first is shown, and at the end how many more
    files had it.
    """
    files: Counter[str] = Counter()
    firsts: dict[str, str] = {}

    def show_first(message: Warning | str, *about: Any, **more: Any) -> None:
        kind = re.sub(r"[\d.]+", "#", str(message).partition(": ")[2])
        files[kind] += 1
        if firsts.setdefault(kind, str(message)) == str(message):
            show(message, *about, **more)

    with warnings.catch_warnings():
        show, warnings.showwarning = warnings.showwarning, show_first
        yield
    for kind, count in files.items():
        if count > 1:
            name, _, said = firsts[kind].partition(": ")
            warnings.warn(f"{count - 1:,} more files as {name}: {said}", stacklevel=4)
