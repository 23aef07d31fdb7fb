"""Motion capture, posed meshes, or joint limits where there is neither, -> the pose store of training."""

import contextlib
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import mpt.bodies
import mpt.mocap
from mpt.bodies import Body
from mpt.bodies.fitting import fit
from mpt.bodies.hand_poses import sample_hand_poses
from mpt.bodies.retarget import retarget
from mpt.datasets import meshes, store
from mpt.datasets.store import Kind, PoseStore
from mpt.errors import InputError

# Degrees by which nobody turns a joint: beyond them the capture has flipped a head, a hand or a foot.
LIMITS = {"neck": 100, "head": 90, "wrist": 130, "ankle": 110}
VALIDATION = 0.05  # of poses that are drawn, or fitted to meshes
FITTED_AT_ONCE = 256
FAR_M = 0.01  # by which a mesh of another body, or of the other hand, is off


@dataclass(frozen=True)
class Skipped:
    """A file that gave no motion, and the sentence that says why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Summary:
    """What a prepared store holds and what was left out."""

    path: Path
    size: int  # bytes
    sequences: tuple[store.Sequence, ...]
    skipped: tuple[Skipped, ...]
    repaired: int  # frames in which a joint was turned beyond LIMITS

    @property
    def poses(self) -> int:
        return sum(sequence.poses for sequence in self.sequences)

    @property
    def frames(self) -> int:
        return sum(sequence.frames for sequence in self.sequences)

    def table(self) -> Table:
        """For people: a line for each split, and the total."""
        table = Table(title=f"{self.path}  ({self.size / 1e6:.1f} MB)", title_justify="left")
        for column in ("", "sequences", "subjects", "minutes", "frames", "poses kept"):
            table.add_column(column, justify="left" if not column else "right")
        for split in ("train", "validation", "total"):
            part = [s for s in self.sequences if split in (s.split, "total")]
            table.add_row(
                split,
                f"{len(part):,}",
                f"{len({s.subject for s in part}):,}",
                f"{sum(s.frames / s.fps for s in part) / 60:.1f}",
                f"{sum(s.frames for s in part):,}",
                f"{sum(s.poses for s in part):,}",
            )
        repaired = f"a flipped head, hand or foot repaired in {self.repaired:,} frames"
        table.caption = f"{len(self.skipped):,} files skipped; {repaired}"
        return table


def prepare_mocap(
    paths: Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    body: str | os.PathLike | Body = "anny",
    validation: Sequence[str] = (),
    fps: float = 30.0,
    min_change: float = 2.0,
    max_gap: float = 1.0,
    scale: float | None = None,
    strict: bool = False,
    console: Console | None = None,
) -> Summary:
    """Walk files and folders of motion capture, lay every motion on the body, and write a pose store.

    validation: subjects that are kept for validation, whole; all others train. Whose motion a file holds,
        ``Motion.subject``, is known from CMU's number before the underscore or from the file's folder.
    fps: frames looked at per second; motions recorded more slowly keep their own rate.
    min_change: degrees; a pose is dropped while no bone has turned by more since the last one kept, ...
    max_gap: ... but one is kept at least this often, in seconds.
    scale: metres of a unit of BVH and ASF files, whose own is otherwise told by the person's height.
    strict: stop at a file that cannot be read, instead of naming and skipping it.

    Heads, hands and feet that the capture has flipped are put back to rest. Nothing is left behind when it is
    interrupted. Raises InputError where nothing can be read, a validation subject is not there, or the store
    cannot be written.
    """
    console = console or Console(stderr=True)
    out = Path(out)
    body = body if isinstance(body, Body) else mpt.bodies.load(body)
    files = _with_sources(paths)
    if not files:
        raise InputError(
            "no motion was given, files or folders of .bvh, .amc or .npz were expected; name at least one"
        )
    _check_positive(fps=fps, max_gap=max_gap, **({} if scale is None else {"scale": scale}))
    sampling = {"fps": fps, "min_change_degrees": min_change, "max_gap_seconds": max_gap}
    skipped = []
    repaired = 0
    with PoseStore.create(out, body=body, sampling=sampling) as writer, _progress(console) as progress:
        for path, source in progress.track(files, description="retargeting"):
            try:
                motion = mpt.mocap.read(path, scale=scale)
                motion = motion.resampled(fps) if motion.fps > fps else motion
                rotvec = retarget(motion, body)[1]
            except InputError as error:
                if strict:
                    raise
                skipped.append(Skipped(path, str(error)))
                console.print(f"skipped {error}", style="yellow", markup=False, highlight=False)
                continue
            rotvec, flipped = repair(rotvec, body)
            repaired += int(flipped.sum())
            frame = changed_frames(rotvec, np.radians(min_change), max(1, round(max_gap * motion.fps)))
            split = "validation" if motion.subject in validation else "train"
            about = (motion.name, motion.subject, source, motion.fps, len(motion), len(frame), split)
            writer.add(
                store.Sequence(*about, gender=motion.gender),
                rotvec=rotvec[frame],
                frame=frame,
                kind=pose_kind(rotvec[frame], body),
                betas=motion.betas,
            )
        _check_found(writer.sequences, skipped, validation)
    return Summary(out, out.stat().st_size, tuple(writer.sequences), tuple(skipped), repaired)


def prepare_hands(
    out: str | os.PathLike,
    *,
    body: str | os.PathLike | Body = "anny-hand",
    samples: int = 100_000,
    seed: int = 0,
) -> Summary:
    """Draw poses of a hand inside the limits of its joints (mpt.bodies.hand_poses), and write a pose store.

    A twentieth of them, from a seed of their own, are kept for validation. The wrist rests: training turns
    hands anyhow. Raises InputError for a body without fingers, or where the store cannot be written.
    """
    out = Path(out)
    body = body if isinstance(body, Body) else mpt.bodies.load(body)
    _check_positive(samples=samples)
    if seed < 0:
        raise InputError(f"seed is {seed}, a number from 0 up was expected; give one or leave it out")
    validation = _held_out(samples)
    sampling = {"samples": samples, "seed": seed}
    with PoseStore.create(out, body=body, sampling=sampling) as writer:
        for part, (split, count) in enumerate((("train", samples - validation), ("validation", validation))):
            (own,) = np.random.SeedSequence([seed, part]).generate_state(1)
            rotvec = sample_hand_poses(body, count, torch.Generator().manual_seed(int(own))).numpy()
            name = f"sampled-{split}"
            writer.add(
                store.Sequence(name, name, "drawn inside joint limits", 1.0, count, count, split),
                rotvec=rotvec,
                frame=np.arange(count),
                kind=pose_kind(rotvec, body),
            )
    return Summary(out, out.stat().st_size, tuple(writer.sequences), (), 0)


def prepare_meshes(
    paths: Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    body: str | os.PathLike | Body,
    strict: bool = False,
    console: Console | None = None,
) -> Summary:
    """Fit a body to posed meshes that its own vertices make, and write their poses to a pose store.

    paths: Complement's folder, FreiHAND's, any .obj, as ``mpt.datasets.meshes`` reads them. A mesh that comes
        again, from another side too, is taken once.
    strict: stop at a mesh that cannot be read or that no pose of the body comes near, instead of naming and
        skipping it.

    The last twentieth is kept for validation: hands that follow from each other stay on one side of the cut.

    Raises InputError where no mesh is left, or the store cannot be written.
    """
    console = console or Console(stderr=True)
    out = Path(out)
    body = body if isinstance(body, Body) else mpt.bodies.load(body)
    vertices, moving = len(body.template), body.with_bones(body.moving_bones)
    skipped: list[Skipped] = []

    def skip(path: Path, reason: str) -> None:
        if strict:
            raise InputError(reason)
        skipped.append(Skipped(path, reason))
        console.print(f"skipped {reason}", style="yellow", markup=False, highlight=False)

    with PoseStore.create(out, body=body, sampling={"distinct_metres": meshes.SAME_M}) as writer:
        with _progress(console) as progress:
            signatures: dict[Path, np.ndarray] = {}
            for path in progress.track(meshes.find(paths), description="reading"):
                try:
                    signatures[path] = meshes.signature(meshes.read(path, vertices))
                except InputError as error:
                    skip(path, str(error))
            rows_of = _distinct_rows(signatures)
            count = sum(map(len, rows_of.values()))
            task = progress.add_task("fitting", total=count)
            poses = [np.empty((0, len(moving.bones), 3))]
            for some, sources in meshes.batches(rows_of, vertices, FITTED_AT_ONCE):
                found = fit(moving, torch.from_numpy(some))
                near = found.distance < FAR_M
                for mesh in (~near).nonzero()[:, 0].tolist():
                    far = (
                        f"its vertices stay {1000 * found.distance[mesh]:.0f} mm from any pose of {body.name}"
                    )
                    skip(
                        sources[mesh], f"{sources[mesh]}: {far}; name the body that it was made of, in metres"
                    )
                poses.append(roma.rotmat_to_rotvec(found.rotations[near]).numpy())
                progress.advance(task, len(some))
        rotvec = np.concatenate(poses)
        if not len(rotvec):
            raise InputError(f"none of the {len(skipped)} meshes could be taken; {skipped[0].reason}")
        split_at = len(rotvec) - _held_out(len(rotvec))
        for split, part in (("train", rotvec[:split_at]), ("validation", rotvec[split_at:])):
            name = f"meshes-{split}"
            source = " ".join(Path(path).name for path in paths)
            writer.add(
                store.Sequence(name, name, source, 1.0, len(part), len(part), split),
                rotvec=part,
                frame=np.arange(len(part)),
                kind=pose_kind(part, body),
            )
    return Summary(out, out.stat().st_size, tuple(writer.sequences), tuple(skipped), 0)


def _held_out(poses: int) -> int:
    return min(math.ceil(poses * VALIDATION), poses - 1)


def _distinct_rows(signatures: dict[Path, np.ndarray]) -> dict[Path, np.ndarray]:
    """Of each file the rows of meshes that did not come before."""
    if not signatures:
        return {}
    kept = meshes.distinct(np.concatenate(list(signatures.values())))
    ends = np.cumsum([len(some) for some in signatures.values()])
    parts = np.split(kept, ends[:-1])
    return {path: rows for path, part in zip(signatures, parts) if len(rows := np.flatnonzero(part))}


def repair(rotvec: np.ndarray, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, moving bones, 3) with joints turned beyond LIMITS put back to rest, and which (T,) were.

    Such a pose is rare as often as not (crawling, climbing), and its trunk and limbs are right.
    """
    role_of = {bone: role for role, bone in body.roles.items()}
    roles = [role_of[bone].removeprefix("left_").removeprefix("right_") for bone in body.moving_bones]
    flipped = np.linalg.norm(rotvec, axis=-1) > np.radians([LIMITS.get(role, 360) for role in roles])
    return np.where(flipped[..., None], 0.0, rotvec), flipped.any(1)


def changed_frames(rotvec: np.ndarray, least: float, longest: int) -> np.ndarray:
    """Frames (n,) to keep of local rotations (T, bones, 3): the first, then each unlike the last one kept.

    A frame is unlike it where a bone has turned by more than ``least`` radians, or after ``longest`` frames.
    """
    turns = roma.rotvec_to_unitquat(torch.from_numpy(rotvec)).numpy()
    nearest = np.cos(least / 2)
    kept = [0]
    while True:
        following = turns[kept[-1] + 1 : kept[-1] + 1 + longest]
        likeness = np.abs((following * turns[kept[-1]]).sum(-1)).min(-1)
        differs = likeness < nearest
        if differs.any():
            kept.append(kept[-1] + 1 + int(differs.argmax()))
        elif len(following) == longest:
            kept.append(kept[-1] + longest)
        else:
            return np.array(kept)


def pose_kind(rotvec: np.ndarray, body: Body) -> Kind:
    """Pelvis height and trunk tilt of poses (T, moving bones, 3) on the mean shape of ``body``.

    The lowest joint is the lowest beginning of any bone, toes and fingers included; the trunk goes from the
    pelvis to the neck. A body without them, a hand, has neither: NaN.
    """
    if not {"pelvis", "neck"} <= body.roles.keys():
        return Kind(*np.full((2, len(rotvec)), np.nan))
    heads = body.heads.double().cpu().numpy()
    local = roma.rotvec_to_rotmat(torch.from_numpy(rotvec)).numpy()
    moving = {body.bones.index(bone): local[:, i] for i, bone in enumerate(body.moving_bones)}
    turned: list[np.ndarray] = []
    points = np.zeros((len(rotvec), len(body.bones), 3))
    for bone, parent in enumerate(body.parents):
        above = np.eye(3) if parent < 0 else turned[parent]
        turned.append(above @ moving[bone] if bone in moving else above)
        if parent >= 0:
            points[:, bone] = points[:, parent] + turned[parent] @ (heads[bone] - heads[parent])
    pelvis, neck = (points[:, body.bones.index(body.roles[role])] for role in ("pelvis", "neck"))
    trunk = neck - pelvis
    upright = trunk[:, 1] / np.linalg.norm(trunk, axis=1)
    return Kind(pelvis[:, 1] - points[..., 1].min(1), np.degrees(np.arccos(upright.clip(-1, 1))))


def _with_sources(paths: Iterable[str | os.PathLike]) -> list[tuple[Path, str]]:
    """Each motion file, and its name below the folder that it was found in."""
    files: dict[Path, tuple[Path, str]] = {}
    for path in map(Path, paths):
        for file in mpt.mocap.find([path]):
            below = file.name if file == path else file.relative_to(path).as_posix()
            files.setdefault(file.resolve(), (file, below))
    return list(files.values())


def _check_found(sequences: list[store.Sequence], skipped: list[Skipped], validation: Sequence[str]) -> None:
    if not sequences:
        raise InputError(f"none of the {len(skipped)} files could be read; the first: {skipped[0].reason}")
    subjects = {sequence.subject for sequence in sequences}
    if unknown := [subject for subject in validation if subject not in subjects]:
        raise InputError(
            f"validation subject {', '.join(unknown)} is not there, the subjects are "
            f"{', '.join(sorted(subjects))}; name some of them"
        )


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value}, a number above 0 was expected; give one or leave it out")


def _progress(console: Console) -> contextlib.AbstractContextManager[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


__all__ = [
    "Skipped",
    "Summary",
    "changed_frames",
    "pose_kind",
    "prepare_hands",
    "prepare_meshes",
    "prepare_mocap",
    "repair",
]
