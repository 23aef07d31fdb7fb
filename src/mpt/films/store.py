"""Tracks on disk: a film may be longer than memory.

Of each person a file of records, one for each frame, as they come: those who are found late come late. Files
are appended to, and read as memory maps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpt.films.track import Track

AT_ONCE = 160  # frames that are worked on together
MARGIN = 48  # frames before and after them that are looked at, too: filters have died away by then


def record(**parts: tuple[type, tuple[int, ...]]) -> np.dtype:
    """Of parts by name: a type and a shape."""
    return np.dtype([(name, kind, shape) for name, (kind, shape) in parts.items()])


def track_record(joints: int, coarse: int, *, sure: bool, gravity: bool) -> np.dtype:
    """What is kept of somebody in a frame, as ``Track`` has it."""
    return record(
        frames=(np.int64, ()),
        times_s=(np.float64, ()),
        joints2d_px=(np.float32, (joints, 3)),
        crop_center_px=(np.float64, (2,)),
        crop_side_px=(np.float64, ()),
        joints3d_m=(np.float32, (joints, 3)),
        coarse=(np.float32, (coarse, 3)),
        translation_m=(np.float64, (3,)),
        score=(np.float32, ()),
        **({"joints3d_std_m": (np.float32, (joints,))} if sure else {}),
        **({"up": (np.float32, (3,)), "up_std_deg": (np.float32, ())} if gravity else {}),
    )


@dataclass
class Records:
    """Records of one kind, a file for each number, in a folder that is there."""

    folder: Path
    kind: np.dtype
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, id_: int, records: np.ndarray) -> None:
        """Append. Raises OSError where the disk is full; what was written before stays readable."""
        with self._path(id_).open("ab") as file:
            file.write(records.astype(self.kind, copy=False).tobytes())
        self.counts[id_] = self.counts.get(id_, 0) + len(records)

    def of(self, id_: int) -> np.ndarray:
        """(F,) records as a memory map, in the order in which they came."""
        return np.memmap(self._path(id_), self.kind, "r", shape=(self.counts[id_],))

    def _path(self, id_: int) -> Path:
        return self.folder / f"{id_}.records"


@dataclass(frozen=True)
class KeptTrack:
    """One person's records in the order of frames, read in windows."""

    id: int
    records: np.ndarray = field(repr=False)
    order: np.ndarray = field(repr=False)

    @staticmethod
    def of(id_: int, records: np.ndarray) -> "KeptTrack":
        """Of a frame that came twice, the last is taken."""
        frames = np.array(records["frames"])
        order = np.argsort(frames, kind="stable")
        last = np.append(frames[order][1:] != frames[order][:-1], True)
        return KeptTrack(id_, records, order[last])

    def __len__(self) -> int:
        return len(self.order)

    def rows(self, rows: slice | np.ndarray) -> Track:
        """The track of those of its frames."""
        return track_of(self.id, self.records[self.order[rows]])

    def column(self, name: str) -> np.ndarray:
        """(F, ...) of all frames; for small things."""
        return np.array(self.records[name])[self.order]

    def windows(self) -> Iterator[tuple[slice, slice]]:
        """Rows that are worked on together, and the same with what lies before and behind."""
        for start in range(0, len(self), AT_ONCE):
            stop = min(start + AT_ONCE, len(self))
            yield slice(start, stop), slice(max(start - MARGIN, 0), min(stop + MARGIN, len(self)))


def track_of(id_: int, records: np.ndarray) -> Track:
    names = records.dtype.names or ()
    parts: Mapping[str, Any] = {
        name: np.array(records[name]) if name in names else None
        for name in Track.__dataclass_fields__
        if name != "id"
    }
    return Track(id_, **parts)
