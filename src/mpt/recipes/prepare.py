"""Motion capture, posed meshes, or joint limits where there is neither, -> the pose store of training."""

import contextlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from rich.console import Console
from rich.table import Table

import mpt.bodies
import mpt.mocap
from mpt.bodies import Body
from mpt.bodies.fitting import fit
from mpt.bodies.hand_poses import sample_hand_poses
from mpt.datasets import meshes, store
from mpt.datasets.store import PoseStore, PoseStoreWriter
from mpt.errors import InputError
from mpt.progress import counted, tracked
from mpt.recipes.laying import Skipped, lay, limb_lengths, with_sources
from mpt.recipes.poses import evenly_over_time, pose_kind
from mpt.writing import begins_with, check_output, hidden_in, landing

VALIDATION = 0.05  # of poses that are drawn, or fitted to meshes
FITTED_AT_ONCE = 256
FAR_M = 0.01  # by which a mesh of another body, or of the other hand, is off


@dataclass(frozen=True)
class Summary:
    """What a prepared store holds and what was left out."""

    path: Path
    size: int  # bytes
    sequences: tuple[store.Sequence, ...]
    skipped: tuple[Skipped, ...]
    repaired: int  # frames in which a joint was turned beyond poses.LIMITS
    rate: float | None = None  # poses a second, before near-duplicates were dropped, where a number was asked
    straightened: int | None = None  # people whose limbs were too long, where these were looked at

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
        rate = "" if self.rate is None else f"; poses chosen at {self.rate:.2f} Hz"
        people = "" if self.straightened is None else f"; limbs of {self.straightened:,} people straightened"
        table.caption = f"{len(self.skipped):,} files skipped; {repaired}{people}{rate}"
        return table


def prepare_mocap(
    paths: Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    body: str | os.PathLike | Body = "anny",
    validation: Sequence[str] = (),
    fps: float = 30.0,
    poses: int | None = None,
    min_change: float = 2.0,
    max_gap: float = 1.0,
    scale: float | None = None,
    joint_map: Mapping[str, str] | None = None,
    up: mpt.mocap.Up | None = None,
    straight: bool = True,
    strict: bool = False,
    console: Console | None = None,
) -> Summary:
    """Walk files and folders of motion capture, lay every motion on the body, and write a pose store.

    validation: subjects that are kept for validation, whole; all others train. Whose motion a file holds,
        ``Motion.subject``, is known from CMU's number before the underscore or from the file's folder, in
        AMASS with the set's: CMU/01, or 01 where no other set has one.
    fps: frames looked at per second; motions recorded more slowly keep their own rate.
    poses: how many to train on, evenly over the time of all that motion, as ``evenly_over_time`` chooses
        them; the paper's are two million. Validation is sampled at the same rate. By default all that differ.
    min_change: degrees; a pose is dropped while no bone has turned by more since the last one kept, ...
    max_gap: ... but one is kept at least this often, in seconds, where no number of poses is given.
    scale: metres of a unit of BVH and ASF files, whose own is otherwise told by the person's height.
    joint_map: joints of some limbs (``left_hip``), as ``mpt.mocap.read_joint_map`` reads them; the others are
        known by their names, or by the skeleton's tree.
    up: the files' axis that points up, which is otherwise told by rest pose and motion.
    straight: give legs and arms that the capture fitted too long the person's own length, on which straight
        knees are straight (see ``mpt.mocap.straighten``); the store's ``sampling`` names people and lengths.
        Motion on the body's own bones is taken as it is.
    strict: stop at a file that cannot be read, instead of naming and skipping it.

    Heads, hands and feet that the capture has flipped are put back to rest. Nothing is left behind when it is
    interrupted. Raises InputError where nothing can be read, a validation subject is not there or may be
    several, or the store cannot be written.
    """
    console = console or Console(stderr=True)
    out = Path(out)
    body = body if isinstance(body, Body) else mpt.bodies.load(body)
    files = with_sources(paths)
    check_output(out, "pose store", begins_with(store.MAGIC), inputs=[file for file, _ in files])
    if not files:
        raise InputError(
            "no motion was given, files or folders of .bvh, .amc or .npz were expected; name at least one"
        )
    given = {"poses": poses, "scale": scale}
    _check_positive(fps=fps, max_gap=max_gap, **{k: v for k, v in given.items() if v is not None})
    if not (np.isfinite(min_change) and min_change >= 0):
        raise InputError(f"min_change is {min_change}, degrees from 0 up were expected; give some")
    reading = {"scale": scale, "joint_map": joint_map, "up": up}
    lengths = limb_lengths(files, fps, reading, console) if straight else None
    how = {"fps": fps, "reading": reading, "lengths": lengths, "min_change": min_change, "strict": strict}
    how |= {"console": console}
    with PoseStore.create(out, body=body, sampling={"fps": fps, "min_change_degrees": min_change}) as writer:
        if poses is None:
            writer.sampling["max_gap_seconds"] = max_gap
            laid = lay(files, body, writer, validation, max_gap=max_gap, **how)
            rate = None
        else:
            with _beside(out) as every:
                with PoseStore.create(every, body=body) as candidates:
                    laid = lay(files, body, candidates, validation, **how)
                rate = _copy_evenly(PoseStore(every), writer, poses, fps, min_change, console)
            writer.sampling |= {"poses": poses, "rate_hertz": rate}
        writer.sampling["straightened"] = laid.straightened if straight else None
    people = len(laid.straightened) if straight else None
    return Summary(
        out, out.stat().st_size, tuple(writer.sequences), tuple(laid.skipped), laid.repaired, rate, people
    )


def _copy_evenly(
    candidates: PoseStore,
    writer: PoseStoreWriter,
    poses: int,
    fps: float,
    min_change: float,
    console: Console,
) -> float:
    """Write so many of the candidates; the rate at which they were chosen."""
    index, rate = evenly_over_time(candidates, poses, min_change)
    sequence = candidates.sequence(index)
    for number, about in enumerate(candidates.sequences):
        some = index[slice(*np.searchsorted(sequence, (number, number + 1)))]
        writer.add(
            about,
            rotvec=candidates.rotvec(some),
            frame=candidates.frame(some),
            kind=candidates.kind(some),
            hips=candidates.hips(some),
            betas=candidates.betas[number],
        )
    found = sum(about.poses for about in writer.sequences if about.split == "train")
    if rate is None and found < poses:
        console.print(
            f"{poses:,} poses were asked of the training motion, which holds {found:,} that differ by "
            f"{min_change:g} degrees at {fps:g} frames a second: all are kept; for more give a smaller "
            "--min-change, or more motion",
            style="yellow",
            markup=False,
            highlight=False,
        )
    return fps if rate is None else rate


@contextlib.contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A path beside ``out`` for a file that is not to stay."""
    path = hidden_in(landing(out).parent)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


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
    paths = [Path(path) for path in paths]
    found_meshes = meshes.find(paths)
    check_output(out, "pose store", begins_with(store.MAGIC), inputs=found_meshes)
    vertices, moving = len(body.template), body.with_bones(body.moving_bones)
    skipped: list[Skipped] = []

    def skip(path: Path, reason: str) -> None:
        if strict:
            raise InputError(reason)
        skipped.append(Skipped(path, reason))
        console.print(f"skipped {reason}", style="yellow", markup=False, highlight=False)

    with PoseStore.create(out, body=body, sampling={"distinct_metres": meshes.SAME_M}) as writer:
        signatures: dict[Path, np.ndarray] = {}
        for path in tracked(found_meshes, "reading", console=console):
            try:
                signatures[path] = meshes.signature(meshes.read(path, vertices))
            except InputError as error:
                skip(path, str(error))
        rows_of, done = _distinct_rows(signatures), 0
        poses = [np.empty((0, len(moving.bones), 3))]
        with counted("fitting", sum(map(len, rows_of.values())), console=console) as tell:
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
                done += len(some)
                tell(done)
        rotvec = np.concatenate(poses)
        if not len(rotvec):
            raise InputError(f"none of the {len(skipped)} meshes could be taken; {skipped[0].reason}")
        split_at = len(rotvec) - _held_out(len(rotvec))
        for split, part in (("train", rotvec[:split_at]), ("validation", rotvec[split_at:])):
            name = f"meshes-{split}"
            source = " ".join(path.name for path in paths)
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


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value}, a number above 0 was expected; give one or leave it out")
