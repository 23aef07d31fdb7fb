"""Feet that rest stay where they are: the way through the room is corrected, and the legs reach for the rest.

While a foot is said to rest, where its heel or toe is on the whole is where it stays. What both feet ask for
moves the whole body nearer or farther, where pictures hardly tell, spread over the time between. The rest, to
the sides above all, where bodies would leave their pictures, legs do by hip and knee alone (two bones); the
foot keeps its direction. Everything happens in camera axes: where the camera pans, what rests moves evenly.

Letters: F frames, B bones.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import roma
import torch
from scipy.ndimage import gaussian_filter1d, median_filter

from mpt.bodies.body import Body
from mpt.bodies.motion import BodyMotion
from mpt.bodies.retarget import swing

SIDES = ("left", "right")
POINTS = ("heel", "big_toe")  # of each side, in the order of mpt.datasets.clips.CONTACTS
RESTS, STAYS = 0.4, 0.2  # from this probability on a point rests, and until it is less than that
LEAVES_M_S = 0.5  # to the sides, which pictures show well: a foot that is faster does not rest
SHORTEST_S = 0.1  # of a rest, and of a pause between two
SPREAD_S = 0.12  # over which the body gives way to a foot
MOST_M = 0.15  # by which a foot is moved to where it rests
PANS_M_S = 0.08  # where feet that rest are faster, on the whole, ...
ALIKE = 0.8  # ... and their ways as much alike, the camera moves
STRETCHED = 0.995  # of a leg's length, the farthest that it reaches


class Rest(NamedTuple):
    """A point of a foot that rests in frames ``start`` up to ``stop``."""

    side: int
    start: int
    stop: int
    way: np.ndarray  # (F', 3) where it is said to be
    pace: np.ndarray  # (3,) metres that it moves evenly in a frame

    def anchor(self, pans: bool) -> np.ndarray:
        """(F', 3) where it stays; where the camera pans, what it seems to move by."""
        t = np.arange(len(self.way)) - (len(self.way) - 1) / 2
        evenly = t[:, None] * self.pace * pans
        return np.median(self.way - evenly, 0) + evenly


def planted(motion: BodyMotion, contact: np.ndarray) -> BodyMotion:
    """A motion whose resting feet rest; bodies without legs are left as they are.

    contact: (F, 4) probabilities that left heel, left toe, right heel, right toe rest.
    """
    if "left_ankle" not in motion.body.roles or len(motion) < 3:
        return motion
    points = foot_points(motion)
    rate = max(motion.fps, 1.0)
    rests = [
        rest
        for side in range(2)
        for end in range(2)
        for rest in _rests(side, points[:, side, end], contact[:, 2 * side + end], rate)
    ]
    pans = _pans(rests, rate)
    wanted, weight = np.zeros((len(motion), 2, 3)), np.zeros((len(motion), 2))
    for rest in rests:
        off = rest.anchor(pans) - rest.way
        if np.linalg.norm(off, axis=1).max() > MOST_M:  # it creeps: no farther than it does on the whole
            off = gaussian_filter1d(rest.way, SPREAD_S * rate, axis=0, mode="nearest") - rest.way
        wanted[rest.start : rest.stop, rest.side] += off
        weight[rest.start : rest.stop, rest.side] += 1
    wanted /= np.maximum(weight, 1)[..., None]
    eased = _eased(np.minimum(weight, 1), SPREAD_S * rate)
    ahead = motion.translation_m / np.linalg.norm(motion.translation_m, axis=1, keepdims=True).clip(1e-9)
    shift = _body_shift(wanted, np.minimum(weight, 1), SPREAD_S * rate)
    shift = (shift * ahead).sum(1, keepdims=True) * ahead
    rest_of = _filled(wanted - shift[:, None], weight) * eased[..., None]
    moved = replace(motion, translation_m=np.float32(motion.translation_m + shift))
    return reached(moved, rest_of)


def foot_points(motion: BodyMotion) -> np.ndarray:
    """(F, 2, 2, 3) heel and toe of both sides, metres, in the motion's axes."""
    index = [motion.body.skeleton.joints.index(f"{side}_{point}") for side in SIDES for point in POINTS]
    return joints_of(motion)[:, index].reshape(-1, 2, 2, 3)


def joints_of(motion: BodyMotion) -> np.ndarray:
    """(F, K, 3) the body's joints, metres, in the motion's axes."""
    body = motion.body.subset(torch.zeros(1, dtype=torch.long))
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(motion.rotvec))
    shape, place = torch.from_numpy(motion.shape)[None], torch.from_numpy(np.float32(motion.translation_m))
    return body(rotations, shape.float(), place).joints.double().numpy()


def _rests(side: int, track: np.ndarray, contact: np.ndarray, rate: float) -> list[Rest]:
    """When a point (F, 3) rests."""
    least = max(2, round(SHORTEST_S * rate))
    across = np.linalg.norm(np.gradient(track[:, :2], axis=0), axis=1) * rate
    contact = np.where(across < LEAVES_M_S, contact, 0.0)
    stays = median_filter((contact >= STAYS).astype(np.uint8), 2 * (least // 2) + 1, mode="nearest")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], stays, [0]])))
    found = []
    for start, stop in edges.reshape(-1, 2):
        if stop - start >= least and contact[start:stop].max() >= RESTS:
            way = track[start:stop]
            t = np.arange(stop - start) - (stop - start - 1) / 2
            pace = (t[:, None] * (way - way.mean(0))).sum(0) / (t**2).sum()
            found.append(Rest(side, int(start), int(stop), way, pace))
    return found


def _pans(rests: list[Rest], rate: float) -> bool:
    """Whether the camera moves: what rests moves on the whole, and all of it alike."""
    if not rests:
        return False
    length = np.array([len(rest.way) for rest in rests])
    paces = rate * np.stack([rest.pace for rest in rests])
    speed = np.linalg.norm((length[:, None] * paces).sum(0)) / length.sum()
    alike = speed / max(float((length * np.linalg.norm(paces, axis=1)).sum() / length.sum()), 1e-9)
    return bool(speed > PANS_M_S and alike > ALIKE)


def _body_shift(wanted: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """(F, 3) by which the whole body moves: the mean of what its resting feet want, evenly on between."""
    total = weight.sum(1)
    known = total > 0
    if not known.any():
        return np.zeros((len(wanted), 3))
    mean = (wanted * weight[..., None]).sum(1)[known] / total[known, None]
    frames = np.arange(len(wanted))
    between = np.stack([np.interp(frames, frames[known], mean[:, axis]) for axis in range(3)], 1)
    return gaussian_filter1d(between, sigma, axis=0, mode="nearest")


def _filled(wanted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(F, 2, 3) what each foot wants, held on beyond its rests, between them on the straight way."""
    frames = np.arange(len(wanted))
    out = np.zeros_like(wanted)
    for side in range(wanted.shape[1]):
        known = weight[:, side] > 0
        if known.any():
            for axis in range(3):
                out[:, side, axis] = np.interp(frames, frames[known], wanted[known, side, axis])
    return out


def _eased(weight: np.ndarray, length: float) -> np.ndarray:
    """(F, 2) one while a foot rests, and falling to nothing within ``length`` frames before and after."""
    frames = np.arange(len(weight))
    out = np.zeros_like(weight)
    for side in range(weight.shape[1]):
        known = np.flatnonzero(weight[:, side])
        if len(known):
            after = np.searchsorted(known, frames).clip(0, len(known) - 1)
            before = np.maximum(after - 1, 0)
            apart = np.minimum(np.abs(known[after] - frames), np.abs(known[before] - frames))
            out[:, side] = 0.5 + 0.5 * np.cos(np.pi * np.minimum(apart / max(length, 1.0), 1))
    return out


def reached(motion: BodyMotion, shift: np.ndarray) -> BodyMotion:
    """The same with each ankle moved by shift (F, 2, 3), left and right, as far as legs reach, by hip and
    knee; feet keep their direction, knees the plane in which they bend.
    """
    body, rotvec = motion.body, np.array(motion.rotvec)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(rotvec))
    shape = torch.from_numpy(motion.shape)[None].float()
    place = torch.from_numpy(np.float32(motion.translation_m))
    bones = body.bone_transforms(rotations, shape, place).double().numpy()
    for number, side in enumerate(SIDES):
        moves = np.linalg.norm(shift[:, number], axis=1) > 1e-5
        if moves.any():
            _reach(body, rotvec, bones, shift[:, number], side, moves)
    return replace(motion, rotvec=rotvec)


def _reach(
    body: Body, rotvec: np.ndarray, bones: np.ndarray, shift: np.ndarray, side: str, rows: np.ndarray
) -> None:
    """Two bones of one leg, written to the rotations of those rows."""
    at = [body.bones.index(body.roles[f"{side}_{joint}"]) for joint in ("hip", "knee", "ankle")]
    hip, knee, ankle = (bones[rows, bone, :3, 3] for bone in at)
    turns = [bones[rows, bone, :3, :3] for bone in at]
    upper, lower = np.linalg.norm(knee - hip, axis=1), np.linalg.norm(ankle - knee, axis=1)
    way = ankle + shift[rows] - hip
    length = np.linalg.norm(way, axis=1).clip(1e-6)
    longest = np.maximum(STRETCHED * (upper + lower), np.linalg.norm(ankle - hip, axis=1))
    far = length.clip(np.abs(upper - lower) * 1.01 + 1e-6, longest)
    ahead = way / length[:, None]
    bent = (knee - hip) - ((knee - hip) * ahead).sum(1, keepdims=True) * ahead
    bent /= np.linalg.norm(bent, axis=1, keepdims=True).clip(1e-9)
    cosine = ((upper**2 + far**2 - lower**2) / (2 * upper * far)).clip(-1, 1)
    new_knee = hip + upper[:, None] * (cosine[:, None] * ahead + np.sqrt(1 - cosine**2)[:, None] * bent)
    new_ankle = hip + far[:, None] * ahead
    thigh = swing(knee - hip, new_knee - hip) @ turns[0]
    shin = swing(ankle - knee, new_ankle - new_knee) @ turns[1]
    above = bones[rows, body.parents[at[0]], :3, :3]
    between = [
        bones[rows, body.parents[bone], :3, :3] for bone in at[1:]
    ]  # bones that follow thigh and shin stay turned to them as they are
    knee_above = thigh @ turns[0].swapaxes(1, 2) @ between[0]
    ankle_above = shin @ turns[1].swapaxes(1, 2) @ between[1]
    for bone, parent, turn in zip(at, (above, knee_above, ankle_above), (thigh, shin, turns[2])):
        local = torch.from_numpy(parent.swapaxes(1, 2) @ turn)
        rotvec[rows, bone] = roma.rotmat_to_rotvec(local).float().numpy()
