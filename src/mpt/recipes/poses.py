"""Which poses of a motion are kept, and of what kind they are."""

import numpy as np
import roma
import torch

from mpt.bodies import Body
from mpt.datasets.store import Kind, PoseStore

# Degrees by which nobody turns a joint: beyond them the capture has flipped a head, a hand or a foot.
LIMITS = {"neck": 100, "head": 90, "wrist": 130, "ankle": 110}

LOOKED_AT_ONCE = 32  # frames, for one that differs  # frames, for one that differs
NEAR = 0.005  # of a number of poses that was asked for  # of a number of poses that was asked for


def repair(rotvec: np.ndarray, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, moving bones, 3) with joints turned beyond LIMITS put back to rest, and which (T,) were.

    Such a pose is rare as often as not (crawling, climbing), and its trunk and limbs are right.
    """
    role_of = {bone: role for role, bone in body.roles.items()}
    roles = [role_of[bone].removeprefix("left_").removeprefix("right_") for bone in body.moving_bones]
    flipped = np.linalg.norm(rotvec, axis=-1) > np.radians([LIMITS.get(role, 360) for role in roles])
    return np.where(flipped[..., None], 0.0, rotvec), flipped.any(1)


def changed_frames(rotvec: np.ndarray, least: float, longest: int | None = None) -> np.ndarray:
    """Frames (n,) to keep of local rotations (T, bones, 3): the first, then each unlike the last one kept.

    A frame is unlike it where a bone has turned by more than ``least`` radians (0: always), or after
    ``longest`` frames.
    """
    if not least:
        return np.arange(len(rotvec))
    turns = roma.rotvec_to_unitquat(torch.from_numpy(rotvec)).numpy()
    nearest = np.cos(least / 2)
    kept, at = [0], 1
    while at < len(turns):
        following = turns[at : at + LOOKED_AT_ONCE]
        differs = np.abs((following * turns[kept[-1]]).sum(-1)).min(-1) < nearest
        if longest is not None:
            differs[max(kept[-1] + longest - at, 0) :] = True
        if differs.any():
            kept.append(at + int(differs.argmax()))
        at = kept[-1] + 1 if differs.any() else at + len(following)
    return np.array(kept)


def evenly_over_time(candidates: PoseStore, poses: int, min_change: float) -> tuple[np.ndarray, float | None]:
    """Indices of stored poses, so many of them to train on, and their rate in hertz; all, and None, where
    there are no more.

    A rate that gives so many poses can be told only when the last file has been read, laid on the body, and
    perhaps skipped. So every pose that differs is first written to disk, and then some of them are chosen:
    each stands for the time until the next one, which is unlike it by ``min_change`` degrees, and those are
    taken that stand at the ticks of a clock which runs through all sequences. Of these, one that is like the
    last one taken (a wave of the hand may lie between them) is dropped, and the clock goes faster for it.
    """
    trains = np.array([sequence.split == "train" for sequence in candidates.sequences])
    train, edges = trains[candidates.sequence()], _seconds(candidates)
    low, wanted, high = poses, poses, int(train.sum())
    if poses >= high:
        return np.arange(len(candidates)), None
    while True:
        rate = _rate_for(wanted, edges, train)
        index = _unlike_the_last(candidates, np.flatnonzero(_ticked(edges, rate)), np.radians(min_change))
        found = int(train[index].sum())
        if abs(found - poses) <= NEAR * poses or high - low <= 1:
            return index, rate
        low, high = (wanted, high) if found < poses else (low, wanted)
        guess = round(wanted * poses / found)
        wanted = guess if low < guess < high else (low + high) // 2


def _seconds(store: PoseStore) -> np.ndarray:
    """(poses + 1,) when each pose begins to stand, sequence after sequence, and when the last one ends."""
    fps = np.array([sequence.fps for sequence in store.sequences])
    ends = np.cumsum([sequence.frames for sequence in store.sequences] / fps)
    of = store.sequence()
    return np.append(np.append(0, ends)[of] + store.frame() / fps[of], ends[-1])


def _ticked(edges: np.ndarray, rate: float) -> np.ndarray:
    """Which poses stand at a tick of a clock of that rate."""
    return np.diff(np.ceil(edges * rate)) > 0


def _rate_for(wanted: int, edges: np.ndarray, counted: np.ndarray) -> float:
    """The rate at which so many of the counted poses are ticked, by halving."""
    low, high = 0.0, 1 / np.diff(edges).min()
    for _ in range(50):
        rate = (low + high) / 2
        low, high = (rate, high) if (_ticked(edges, rate) & counted).sum() < wanted else (low, rate)
    return high


def _unlike_the_last(store: PoseStore, index: np.ndarray, least: float) -> np.ndarray:
    """Those of the sorted indices that differ by more than ``least`` radians from the last one kept."""
    cuts = np.flatnonzero(np.diff(store.sequence(index))) + 1
    parts = [part for part in np.split(index, cuts) if len(part)]
    return np.concatenate([part[changed_frames(store.rotvec(part).astype(float), least)] for part in parts])


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
