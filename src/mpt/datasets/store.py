"""PoseStore: poses of a body or a hand in one memory-mapped file, a few hundred bytes each.

    bytes 0-7    magic "MPTPOSES"
    bytes 8-31   three little-endian uint64: version, where the JSON header begins, its length
    from 64      the arrays, little-endian and C-ordered, each at the multiple of 64 that the header names
    at the end   the JSON header, so that poses stream to disk before they are counted

Rotations are local, relative to the body's rest pose, axis-angle in radians, in half precision: at most 0.06
degrees off about each axis. World: y up.
"""

import json
import math
import os
import struct
from collections.abc import Collection, Iterable
from collections.abc import Sequence as Ordered
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from mpt.bodies.body import Body
from mpt.errors import InputError
from mpt.writing import begins_with, check_output, hidden_in, landing

MAGIC = b"MPTPOSES"
VERSION = 1
LEAD = struct.Struct("<8sQQQ")
ALIGNMENT = 64
COLUMNS = {
    "sequence": "<i4",
    "frame": "<i4",
    "pelvis_height": "<f2",
    "trunk_tilt": "<f2",
    "hips": "<f4",
}
ARRAYS = {"rotvec": "<f2", **COLUMNS, "betas": "<f4"}
NO_BETAS = np.full(16, np.nan, np.float32)

Split = Literal["train", "validation"]


@dataclass(frozen=True)
class Sequence:
    """Where a run of poses comes from."""

    name: str
    subject: str
    source: str  # the motion file, below the folder that was walked
    fps: float  # at which ``frames`` were looked at
    frames: int
    poses: int  # kept of them
    split: Split
    gender: str | None = None  # female, male or neutral: whose shape ``betas`` is told in


class Kind(NamedTuple):
    """What sort of pose it is, on the body's mean shape; NaN for a hand, which has no pelvis."""

    pelvis_height: np.ndarray  # metres above the lowest joint
    trunk_tilt: np.ndarray  # degrees between the trunk and straight up, 0 to 180


class PoseStore:
    """N poses of one body, read only, memory-mapped.

    ``bones`` are the body's moving bones, the root first; the others keep their rest rotation. ``sampling``
    is how frames were chosen; ``sequences`` tells where they come from.
    """

    def __init__(self, path: str | os.PathLike, *, body: Body | None = None) -> None:
        """Open a store; where ``body`` is given, refuse one that was made for another.

        Raises InputError for a file that is no pose store, is cut short, or holds another body's poses.
        """
        self.path = Path(path)
        header, end = _read_header(self.path)
        try:
            self.body_name: str = header["body"]
            self.body_hash: str = header["body_hash"]
            self.bones: tuple[str, ...] = tuple(header["bones"])
            self.sampling: dict = header["sampling"]
            self.created_by: str = header["created_by"]
            self.sequences: tuple[Sequence, ...] = tuple(map(_sequence, header["sequences"]))
            self._arrays = self._mapped(header["arrays"], end)
        except (AttributeError, LookupError, OSError, OverflowError, TypeError, ValueError) as error:
            raise _cut_short(self.path) from error
        if body is not None:
            self._check_body(body)

    def _mapped(self, arrays: dict[str, dict], end: int) -> dict[str, np.ndarray]:
        """The arrays, which lie before the header at ``end``; raises ValueError where one cannot be there."""
        count = arrays["rotvec"]["shape"][0]
        shapes = {"rotvec": (count, len(self.bones), 3), "betas": (len(self.sequences), len(NO_BETAS))}
        shapes["hips"] = (count, 3)
        found = {}
        for name, at in arrays.items():
            dtype, shape, offset = np.dtype(ARRAYS[name]), shapes.get(name, (count,)), at["offset"]
            if at["dtype"] != dtype.str or tuple(at["shape"]) != shape:
                raise ValueError(f"{name} of {at['dtype']} {at['shape']}")
            if not LEAD.size <= offset <= offset + math.prod(shape) * dtype.itemsize <= end:
                raise ValueError(f"{name} at {offset}")
            empty = 0 in shape  # what cannot be mapped
            found[name] = np.empty(shape, dtype) if empty else np.memmap(self.path, dtype, "r", offset, shape)
        sequence = found["sequence"]
        if len(sequence) and not 0 <= sequence.min() <= sequence.max() < len(self.sequences):
            raise ValueError("poses of no sequence")
        return found

    @staticmethod
    def create(path: str | os.PathLike, *, body: Body, sampling: dict | None = None) -> "PoseStoreWriter":
        """A writer for a ``with`` block: the file appears, whole, when the block ends without an error."""
        return PoseStoreWriter(Path(path), body, sampling or {})

    def __len__(self) -> int:
        return len(self._arrays["rotvec"])

    def rotvec(self, index=slice(None)) -> np.ndarray:
        """(..., bones, 3) float32 local rotations, axis-angle, of the poses that ``index`` picks."""
        return np.asarray(self._arrays["rotvec"][index], dtype=np.float32)

    def kind(self, index=slice(None)) -> Kind:
        """Pelvis height and trunk tilt, float32, of the poses that ``index`` picks."""
        return Kind(*(self._arrays[name][index].astype(np.float32) for name in Kind._fields))

    def frame(self, index=slice(None)) -> np.ndarray:
        """Frame number of each pose in its sequence, at the sequence's ``fps``."""
        return np.asarray(self._arrays["frame"][index])

    def sequence(self, index=slice(None)) -> np.ndarray:
        """Index into ``sequences`` of each pose."""
        return np.asarray(self._arrays["sequence"][index])

    def hips(self, index=slice(None)) -> np.ndarray:
        """(..., 3) float32 where the middle of the hips is, on the body's mean shape: metres, y up; NaN where
        poses are of no motion, or the store was made before it kept this.
        """
        if "hips" in self._arrays:
            return np.asarray(self._arrays["hips"][index])
        return np.full((*np.shape(self._arrays["frame"][index]), 3), np.nan, np.float32)

    @property
    def betas(self) -> np.ndarray:
        """(len(sequences), 16) float32 SMPL-H shape of each sequence's person, NaN where unknown."""
        return np.asarray(self._arrays["betas"])

    def indices(self, split: Split | None = None, *, subjects: Ordered[str] | None = None) -> np.ndarray:
        """Sorted indices of the poses of a split, of some subjects (see ``subject_called``), or of both."""
        known = {s.subject for s in self.sequences}
        named = known if subjects is None else {subject_called(name, known) for name in subjects}
        wanted = [split in (None, s.split) and s.subject in named for s in self.sequences]
        wanted = np.array(wanted, dtype=bool)
        return np.flatnonzero(wanted[self.sequence()])

    @cached_property
    def train(self) -> np.ndarray:
        return self.indices("train")

    @cached_property
    def validation(self) -> np.ndarray:
        return self.indices("validation")

    def _check_body(self, body: Body) -> None:
        if (body.hash, body.moving_bones) != (self.body_hash, self.bones):
            raise InputError(
                f"{self.path}: its poses are for the body '{self.body_name}' ({self.body_hash[:12]}), not "
                f"for '{body.name}' ({body.hash[:12]}); make it again with `mpt prepare` for this body"
            )


def subject_called(name: str, subjects: Collection[str]) -> str | None:
    """The subject of that name, or the one whose name in its set this is (``01`` is ``CMU/01``), or None.

    Raises InputError where several sets have one.
    """
    found = [name] if name in subjects else sorted(s for s in subjects if s.endswith(f"/{name}"))
    if len(found) > 1:
        raise InputError(
            f"subject {name} may be {' or '.join(found)}, one was expected; name it with its set"
        )
    return next(iter(found), None)


class PoseStoreWriter:
    """Writes a store beside its path, sequence by sequence, and moves it there when done."""

    def __init__(self, path: Path, body: Body, sampling: dict) -> None:
        self.path, self._body, self.sampling = path, body, sampling
        self.sequences: list[Sequence] = []
        self.poses = 0
        self._columns: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
        self._betas: list[np.ndarray] = []

    def __enter__(self) -> "PoseStoreWriter":
        check_output(self.path, "pose store", begins_with(MAGIC))
        try:
            self._target = landing(self.path)
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._temporary = hidden_in(self._target.parent)
            self._file = self._temporary.open("xb")
        except OSError as error:
            raise self._unwritable(error) from error
        self._file.write(bytes(ALIGNMENT))
        return self

    def add(
        self,
        sequence: Sequence,
        *,
        rotvec: np.ndarray,
        frame: np.ndarray,
        kind: Kind,
        hips: np.ndarray | None = None,
        betas: np.ndarray | None = None,
    ) -> None:
        """Append a sequence's poses: rotvec (n, bones, 3), frame (n,), kind (n,) each, hips (n, 3) and
        betas (16,) where they are known.

        Raises InputError where a rotation is no number: comparisons with it would always be false.
        """
        count, bones = len(rotvec), len(self._body.moving_bones)
        if rotvec.shape != (count, bones, 3) or not len(frame) == len(kind[0]) == len(kind[1]) == count:
            raise ValueError(f"{rotvec.shape} rotvec, {len(frame)} frames for {bones} bones")
        with np.errstate(all="ignore"):
            stored = _principal(rotvec).astype("<f2")
        if bad := int((~np.isfinite(stored)).any((1, 2)).sum()):
            raise InputError(
                f"{sequence.source}: {bad:,} of its {count:,} poses hold rotations that are not finite; "
                "leave it out or export it again"
            )
        try:
            self._file.write(stored.tobytes())
        except OSError as error:
            raise self._unwritable(error) from error
        hips = np.full((count, 3), np.nan) if hips is None else hips
        values = (np.full(count, len(self.sequences)), frame, *kind, hips)
        for (name, dtype), value in zip(COLUMNS.items(), values):
            self._columns[name].append(np.asarray(value).astype(dtype))
        self._betas.append(NO_BETAS if betas is None else np.asarray(betas, np.float32))
        self.sequences.append(replace(sequence, poses=count))
        self.poses += count

    def hold_out(self, names: Iterable[str]) -> None:
        """Keep the subjects of these names (see ``subject_called``) for validation, whole; all others train.

        Raises InputError for a name that is nobody's, or that several may have.
        """
        subjects = {sequence.subject for sequence in self.sequences}
        found = {name: subject_called(name, subjects) for name in names}
        if unknown := [name for name, subject in found.items() if subject is None]:
            raise InputError(
                f"validation subject {', '.join(unknown)} is not there, the subjects are "
                f"{', '.join(sorted(subjects))}; name some of them"
            )
        self.sequences = [
            replace(s, split="validation" if s.subject in found.values() else "train") for s in self.sequences
        ]

    def __exit__(self, kind, *_) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        shape = (self.poses, len(self._body.moving_bones), 3)
        arrays = {"rotvec": {"dtype": "<f2", "shape": shape, "offset": ALIGNMENT}}
        columns = {
            name: np.concatenate(parts) if parts else np.empty((0, 3) if name == "hips" else 0, COLUMNS[name])
            for name, parts in self._columns.items()
        }
        columns["betas"] = np.reshape(np.array(self._betas, "<f4"), (-1, 16))
        for name, column in columns.items():
            offset = self._align()
            arrays[name] = {"dtype": column.dtype.str, "shape": column.shape, "offset": offset}
            self._file.write(column.tobytes())
        start = self._align()
        header = {
            "format": "mpt-poses",
            "version": VERSION,
            "created_by": f"mpt {_version()}",
            "body": self._body.name,
            "body_hash": self._body.hash,
            "bones": self._body.moving_bones,
            "sampling": self.sampling,
            "poses": self.poses,
            "arrays": arrays,
            "sequences": [asdict(sequence) for sequence in self.sequences],
        }
        content = json.dumps(header, separators=(",", ":")).encode()
        self._file.write(content)
        self._file.seek(0)
        self._file.write(LEAD.pack(MAGIC, VERSION, start, len(content)))
        self._file.close()
        os.replace(self._temporary, self._target)

    def _align(self) -> int:
        self._file.write(bytes(-self._file.tell() % ALIGNMENT))
        return self._file.tell()

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self.path}: cannot write the store ({error.strerror}); choose another --out")


def _cut_short(path: Path) -> InputError:
    return InputError(
        f"{path}: the store is cut short or damaged; copy it again, or make it again with `mpt prepare`"
    )


def _sequence(entry: dict) -> Sequence:
    found = Sequence(**entry)
    numbers = (found.fps, found.frames, found.poses)
    words = (found.name, found.subject, found.source)
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise TypeError(f"{numbers} are no numbers")
    if found.fps <= 0 or found.split not in get_args(Split) or not all(isinstance(w, str) for w in words):
        raise ValueError(f"{found} cannot be")
    return found


def _read_header(path: Path) -> tuple[dict, int]:
    """The header, and where it begins. Raises InputError."""
    try:
        with path.open("rb") as file:
            lead = file.read(LEAD.size)
            if lead[:8] != MAGIC:
                raise InputError(
                    f"{path}: it is no pose store (its first bytes are {lead[:8]!r}, not {MAGIC!r}); "
                    "make one with `mpt prepare`"
                )
            if len(lead) < LEAD.size:
                raise _cut_short(path)
            _, version, start, length = LEAD.unpack(lead)
            if version != VERSION:
                raise InputError(
                    f"{path}: a store of version {version} where this program reads {VERSION}; "
                    "make it again with `mpt prepare`"
                )
            size = os.fstat(file.fileno()).st_size
            if not LEAD.size < start < start + length == size:
                raise _cut_short(path)
            file.seek(start)
            return json.loads(file.read(length)), start
    except OSError as error:
        raise InputError(
            f"{path}: cannot read the store ({error.strerror}); make one with `mpt prepare`"
        ) from error
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, InputError) else _cut_short(path) from error


def _principal(rotvec: np.ndarray) -> np.ndarray:
    """The same rotations by angles of at most pi, where half precision is finest."""
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    turns = np.round(angle / (2 * np.pi))
    return rotvec * np.where(turns > 0, 1 - turns * 2 * np.pi / np.maximum(angle, 1e-12), 1)


def _version() -> str:
    try:
        return metadata.version("mesh-pretraining")
    except metadata.PackageNotFoundError:  # run from a copied folder
        return "unknown"
