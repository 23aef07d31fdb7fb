"""One person over a film: what the lift says of each frame, gaps bridged, and a filter without delay.

Letters: F frames, J joints, C vertices of the coarse mesh.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
from scipy.signal import butter, sosfiltfilt

from mpt.views import Pinhole

CUTOFF_HZ = 6.0  # of walking and running, what is faster is mostly the 2D network's trembling
ORDER = 2  # of a filter that runs forwards and backwards, which makes it four
BRIDGED_S = 0.6  # somebody who was away for no longer is taken to have moved on evenly
MAX_OFF = 0.25  # frames, by which times may be off even ones that need no interpolation


@dataclass
class Track:
    """One person over F frames, ascending, with gaps where they were away for long.

    Camera axes (x right, y down, z forward), metres about the mid-hip; pixels of the film. A frame that was
    bridged has the score 0, and so have its joints.

    Attributes:
        id: who it is, from 0.
        frames: (F,) int numbers from 0.
        times_s: (F,) since the film's first frame.
        joints2d_px: (F, J, 3) x, y, score.
        crop_center_px, crop_side_px: (F, 2), (F,) the square that the transformer saw.
        joints3d_m: (F, J, 3).
        joints3d_std_m: (F, J) as ``Reconstruction`` has it, or None.
        coarse: (F, C, 3) float32 the transformer's coarse vertices.
        translation_m: (F, 3) where the mid-hip is.
        up: (F, 3) unit vectors against gravity, or None; up_std_deg: (F,).
        score: (F,) how surely this is a person, 0-1.
        contact: (F, 4) probabilities that left heel, left toe, right heel, right toe rest, or None.
    """

    id: int
    frames: np.ndarray
    times_s: np.ndarray
    joints2d_px: np.ndarray
    crop_center_px: np.ndarray
    crop_side_px: np.ndarray
    joints3d_m: np.ndarray
    joints3d_std_m: np.ndarray | None
    coarse: np.ndarray
    translation_m: np.ndarray
    up: np.ndarray | None
    up_std_deg: np.ndarray | None
    score: np.ndarray
    contact: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, rows: slice | np.ndarray) -> "Track":
        """Those of its frames."""
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "id"}
        return replace(self, **{name: part if part is None else part[rows] for name, part in parts.items()})


def turned(track: Track, rotations: np.ndarray, camera: Pinhole) -> Track:
    """The track as a camera sees it that is turned: ``x_there = rotations @ x_here``, (F, 3, 3)."""

    def there(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(len(values), -1, 3) @ rotations.swapaxes(1, 2)
        return flat.reshape(values.shape).astype(values.dtype)

    rays = there(camera.ray(track.joints2d_px[..., :2]))
    rays[..., 2] = np.maximum(rays[..., 2], 0.05)
    pixels = np.concatenate([camera.project(rays), track.joints2d_px[..., 2:]], -1)
    return replace(
        track,
        joints2d_px=pixels.astype(track.joints2d_px.dtype),
        joints3d_m=there(track.joints3d_m),
        coarse=there(track.coarse),
        translation_m=there(track.translation_m),
        up=None if track.up is None else there(track.up),
    )


def stretches(times_s: np.ndarray, longest_s: float) -> list[slice]:
    """The parts of ascending times (F,) between which somebody was away for longer."""
    cuts = [0, *(np.flatnonzero(np.diff(times_s) > longest_s) + 1), len(times_s)]
    return [slice(a, b) for a, b in pairwise(cuts) if b > a]


def filtered(track: Track, fps: float) -> Track:
    """Without trembling: a Butterworth filter of 6 Hz that runs both ways, and so delays nothing.

    Coarse mesh, joints and place are filtered, each stretch without a long gap for itself.
    """
    names = ("coarse", "joints3d_m", "translation_m")
    out = {name: np.array(getattr(track, name)) for name in names}
    for rows in stretches(track.times_s, BRIDGED_S + 1.5 / fps):
        for name in names:
            out[name][rows] = low_pass(out[name][rows], track.times_s[rows], fps)
    return replace(track, **out)


def low_pass(values: np.ndarray, times_s: np.ndarray, fps: float) -> np.ndarray:
    """(F, ...) at ascending times (F,) -> the same, slower than 6 Hz; what is too short stays as it is.

    Times that are not even are brought to even ones and back by interpolation.
    """
    if len(values) < 3 or fps < 2.5 * CUTOFF_HZ:
        return values
    flat = values.reshape(len(values), -1).astype(np.float64)
    even = times_s[0] + np.arange(round((times_s[-1] - times_s[0]) * fps) + 1) / fps
    is_even = len(even) == len(times_s) and np.abs(even - times_s).max() < MAX_OFF / fps
    if not is_even:
        flat = _at(even, times_s, flat)
    if len(flat) < 3:
        return values
    sections = butter(ORDER, CUTOFF_HZ, fs=fps, output="sos")
    flat = sosfiltfilt(sections, flat, axis=0, padlen=min(3 * (2 * ORDER + 1), len(flat) - 1))
    if not is_even:
        flat = _at(times_s, even, flat)
    return flat.reshape(values.shape).astype(values.dtype)


def _at(wanted: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (F, D) at ascending known times, at wanted ones, between neighbours by their nearness."""
    after = np.clip(np.searchsorted(known, wanted), 1, len(known) - 1)
    share = np.clip((wanted - known[after - 1]) / (known[after] - known[after - 1]), 0, 1)[:, None]
    return values[after - 1] * (1 - share) + values[after] * share


def bridged(track: Track, times_s: Sequence[float]) -> Track:
    """With the frames of short gaps, in which everything goes on evenly; their scores are 0.

    times_s: of all frames of the film, by number.
    """
    steps = np.diff(track.frames)
    ends = np.flatnonzero((steps > 1) & (np.diff(track.times_s) <= BRIDGED_S + 1e-6)) + 1
    if not len(ends):
        return track
    missing = np.concatenate([np.arange(track.frames[e - 1] + 1, track.frames[e]) for e in ends])
    frames = np.sort(np.concatenate([track.frames, missing]))
    known = np.searchsorted(frames, track.frames)
    new = np.isin(frames, missing)
    at = np.array([times_s[number] for number in frames], float)
    parts = {}
    for field in fields(track):
        part = getattr(track, field.name)
        if field.name in ("id", "frames", "times_s") or part is None:
            continue
        flat = part.reshape(len(part), -1)
        parts[field.name] = _at(frames.astype(float), frames[known].astype(float), flat).reshape(
            len(frames), *part.shape[1:]
        )
        parts[field.name] = parts[field.name].astype(part.dtype)
    parts["score"][new] = 0
    parts["joints2d_px"][new, :, 2] = 0
    if track.up is not None:
        parts["up"] /= np.maximum(np.linalg.norm(parts["up"], axis=-1, keepdims=True), 1e-9)
    return replace(track, frames=frames, times_s=at, **parts)
