"""Motion capture -> a body that moves through the world on its floor, its resting feet quite still.

A body of other proportions than those of who was captured slides where they stood, and captured feet tremble.
So the root's path is scaled by the length of the legs; then each foot that is down is held where it is, flat
or rolling over its heel or ball, and root and knees give way.

World: y up, the floor y = 0. Letters: T frames, B bones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import roma
import torch

from mpt.bodies.body import Body
from mpt.bodies.motion import BodyMotion
from mpt.bodies.retarget import retarget, swing
from mpt.mocap.limbs import SIDES, find_limbs
from mpt.mocap.motion import Motion

SOLE_M = 0.007  # of a shoe, under the skin
STILL_M_S = 0.25  # a heel or ball that is slower may be down, ...
LOW_M = 0.045  # ... where it is no higher above the floor than this
FEWEST = 3  # frames that a heel or ball is down, or up
EASED = 4  # frames in which a foot becomes flat, or the root follows
STRAIGHT = 0.3  # sine of the angle at a knee that tells about which axis it bends
STRAIGHTEST = 0.995  # of a leg's length: so far it reaches


def on_its_floor(motion: Motion, body: Body, shape: np.ndarray) -> BodyMotion:
    """The motion on a body of this shape (S,); it begins above the world's origin.

    motion: of at least two frames. body: a person's, with heels among its joints.

    Raises InputError as ``retarget`` does.
    """
    figure = _Figure.of(body, shape)
    world = figure.worlds(_local_rotations(motion, body))
    root, ankles = _carried(motion, figure, world)
    down = [_down(at, world, foot, motion.fps) for at, foot in zip(ankles, figure.feet)]
    root[:, 1] -= _floor(figure.heads(root, world), world, figure.feet, down)

    targets, moves = [], []
    at = figure.heads(root, world)
    for foot, resting in zip(figure.feet, down):
        world[:, foot.ankle] = _flat_where(world[:, foot.ankle], resting[:, 0] & resting[:, 1])
        targets.append(_held(at[:, foot.ankle], world[:, foot.ankle], foot, resting))
        moves.append(targets[-1] - at[:, foot.ankle])
    root += _smooth(np.mean(moves, 0))
    root[:, 1] -= _too_high(figure.heads(root, world), figure.feet, targets, down)
    for foot, target, resting in zip(figure.feet, targets, down):
        _bend(foot, target, figure.heads(root, world), world)
        world[:, foot.toes] = _flat_where(world[:, foot.ankle], resting[:, 1])[:, None]

    local = torch.from_numpy(figure.locals(world))
    rotvec = roma.rotmat_to_rotvec(local).numpy().astype(np.float32)
    moved = (root - figure.rest[0]).astype(np.float32)
    return BodyMotion(
        body, rotvec, np.asarray(shape, np.float32), moved, np.arange(len(motion)) / motion.fps, motion.fps
    )


@dataclass(frozen=True, eq=False)
class _Foot:
    """A leg's bones by number, and two points that its foot stands on."""

    thigh: list[int]  # bones from the hip to the knee, and so on
    shin: list[int]
    toes: list[int]
    ankle: int
    points: np.ndarray  # (2, 3) heel and ball, from the ankle, at rest
    flat: np.ndarray  # (2,) how high they are in a foot that stands flat


@dataclass(frozen=True, eq=False)
class _Figure:
    """The bones of one body at rest."""

    parents: tuple[int, ...]
    rest: np.ndarray  # (B, 3)
    feet: list[_Foot]

    @staticmethod
    def of(body: Body, shape: np.ndarray) -> "_Figure":
        output = body.rest(torch.as_tensor(shape, dtype=body.template.dtype)[None])
        rest = output.heads[0].double().numpy()
        joints = dict(zip(body.skeleton.joints, output.joints[0].double().numpy()))
        sole = float(output.vertices[0, :, 1].min()) - SOLE_M
        feet = []
        for side in SIDES:
            hip, knee, ankle = (body.bones.index(body.roles[f"{side}_{j}"]) for j in ("hip", "knee", "ankle"))
            leg, shin, foot = (_below(bone, body.parents) for bone in (hip, knee, ankle))
            toes = [bone for bone in foot if bone != ankle]
            ball = np.mean([rest[bone] for bone in toes if body.parents[bone] == ankle], 0)
            points = np.stack([joints[f"{side}_heel"], ball])
            thigh, shin = leg[: leg.index(knee)], shin[: shin.index(ankle)]
            feet.append(_Foot(thigh, shin, toes, ankle, points - rest[ankle], points[:, 1] - sole))
        return _Figure(body.parents, rest, feet)

    def worlds(self, local: np.ndarray) -> np.ndarray:
        """(T, B, 3, 3) rotations since the rest pose, of local ones."""
        world = local.copy()
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                world[:, bone] = world[:, parent] @ local[:, bone]
        return world

    def locals(self, world: np.ndarray) -> np.ndarray:
        """The inverse of ``worlds``."""
        local = world.copy()
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                local[:, bone] = world[:, parent].swapaxes(1, 2) @ world[:, bone]
        return local

    def heads(self, root: np.ndarray, world: np.ndarray) -> np.ndarray:
        """(T, B, 3) where bones begin, the first at ``root`` (T, 3)."""
        heads = np.empty(world.shape[:-1])
        heads[:, 0] = root
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                heads[:, bone] = heads[:, parent] + world[:, parent] @ (self.rest[bone] - self.rest[parent])
        return heads


def _below(bone: int, parents: Sequence[int]) -> list[int]:
    """A bone and all that hang on it."""
    found = [bone]
    for child, parent in enumerate(parents):
        if parent in found:
            found.append(child)
    return found


def _local_rotations(motion: Motion, body: Body) -> np.ndarray:
    """(T, B, 3, 3)"""
    bones, rotvec = retarget(motion, body)
    local = np.tile(np.eye(3), (len(motion), len(body.bones), 1, 1))
    moving = [body.bones.index(bone) for bone in bones]
    local[:, moving] = roma.rotvec_to_rotmat(torch.from_numpy(rotvec)).numpy()
    return local


def _carried(motion: Motion, figure: _Figure, world: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Where the root (T, 3) goes, and where the captured ankles (T, 3) were, at the body's scale."""
    limbs = find_limbs(motion.joints, motion.parents.tolist(), motion.offsets, motion.joint_map).joints
    places = motion.positions()
    legs = [[places[:, limbs[f"{side}_{j}"]] for j in ("hip", "knee", "ankle")] for side in SIDES]
    captured = np.mean([np.linalg.norm(np.diff(leg, axis=0), axis=-1).sum(0).mean() for leg in legs])
    ours = [figure.rest[[foot.thigh[0], foot.shin[0], foot.ankle]] for foot in figure.feet]
    scale = np.mean([np.linalg.norm(np.diff(leg, axis=0), axis=-1).sum() for leg in ours]) / captured

    hips = scale * np.mean([leg[0] for leg in legs], 0)
    origin = hips[0] * [1, 0, 1]
    from_root = figure.heads(np.zeros_like(hips), world)[:, [foot.thigh[0] for foot in figure.feet]].mean(1)
    return hips - origin - from_root, [scale * leg[2] - origin for leg in legs]


def _down(ankle: np.ndarray, world: np.ndarray, foot: _Foot, fps: float) -> np.ndarray:
    """(T, 2) whether heel and ball are on the floor, of an ankle (T, 3) as it was captured."""
    points = _points(ankle, world[:, foot.ankle], foot)
    speed = np.linalg.norm(np.gradient(points, axis=0), axis=-1) * fps
    height = points[..., 1] - foot.flat
    down = (speed < STILL_M_S) & (height < np.percentile(height.min(1), 5) + LOW_M)
    for point in range(2):
        for value in (False, True):  # gaps are closed first
            for run in _runs(down[:, point] == value):
                if run.stop - run.start < FEWEST and run.start > 0 and run.stop < len(down):
                    down[run, point] = not value
    for frame in range(1, len(down)):  # a foot that rolls is flat between
        if down[frame - 1].any() and down[frame].any() and not (down[frame - 1] & down[frame]).any():
            down[frame - 1] = True
    return down


def _points(ankle: np.ndarray, turned: np.ndarray, foot: _Foot) -> np.ndarray:
    """(T, 2, 3) heel and ball of a foot at (T, 3), turned (T, 3, 3)."""
    return ankle[:, None] + foot.points @ turned.swapaxes(1, 2)


def _floor(heads: np.ndarray, world: np.ndarray, feet: list[_Foot], down: list[np.ndarray]) -> float:
    """The height that most points which are down stand on; where none is, the lowest."""
    heights = [_points(heads[:, foot.ankle], world[:, foot.ankle], foot)[..., 1] - foot.flat for foot in feet]
    standing = [height[resting] for height, resting in zip(heights, down)]
    return float(np.median(np.concatenate(standing)) if np.any(down) else np.min(heights))


def _flat_where(turned: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) of a foot that stands flat, and does not turn, where it says (T,) so."""
    forward = turned[..., 2] * [1, 0, 1]
    out = turned.copy()
    for run in _runs(where):
        x, _, z = forward[run].mean(0)
        about_y = torch.tensor([0.0, np.arctan2(x, z), 0.0], dtype=torch.float64)
        flat = roma.rotvec_to_rotmat(about_y).numpy()
        away = np.maximum(run.start - np.arange(len(turned)), np.arange(len(turned)) - run.stop + 1).clip(0)
        share = _ease(1 - away / (EASED + 1))[:, None]
        turn = roma.rotmat_to_rotvec(torch.from_numpy(out.swapaxes(1, 2) @ flat)).numpy()
        out = out @ roma.rotvec_to_rotmat(torch.from_numpy(share * turn)).numpy()
    return out


def _held(at: np.ndarray, turned: np.ndarray, foot: _Foot, down: np.ndarray) -> np.ndarray:
    """Where an ankle (T, 3) is when its heel and ball rest where they are down."""
    held = at.copy()
    runs = list(_runs(down[:, 0] | down[:, 1]))
    for run in runs:
        point = int(down[run.start].argmax())
        pin = at[run.start] + turned[run.start] @ foot.points[point]
        for frame in range(run.start, run.stop):
            if not down[frame, point]:
                point = 1 - point
                pin = held[frame - 1] + turned[frame - 1] @ foot.points[point]
            pin[1] = foot.flat[point]
            held[frame] = pin - turned[frame] @ foot.points[point]
        held[run] += (at[run] - held[run]).mean(0) * [1, 0, 1]
    moved = held - at
    frames = np.arange(len(at))
    for before, after in zip([None, *runs], [*runs, None]):
        start, stop = before.stop if before else 0, after.start if after else len(at)
        first = moved[start - 1] if before else moved[stop] if after else np.zeros(3)
        last = moved[stop] if after else first
        share = _ease((frames[start:stop] - start + 1) / (stop - start + 1))[:, None]
        held[start:stop] = at[start:stop] + first + share * (last - first)
    sunk = (foot.flat - _points(held, turned, foot)[..., 1]).max(1).clip(0)
    held[:, 1] += np.where(down.any(1), 0, sunk)
    return held


def _too_high(
    heads: np.ndarray, feet: list[_Foot], targets: list[np.ndarray], down: list[np.ndarray]
) -> np.ndarray:
    """(T,) by how much the root is too high for legs whose feet are down."""
    excess = np.zeros(len(heads))
    for foot, target, resting in zip(feet, targets, down):
        way = heads[:, foot.thigh[0]] - target
        reach = STRAIGHTEST * _lengths(foot, heads).sum(1)
        highest = np.sqrt((reach**2 - way[:, 0] ** 2 - way[:, 2] ** 2).clip(0))
        excess = np.maximum(excess, np.where(resting.any(1), way[:, 1] - highest, 0))
    window = np.lib.stride_tricks.sliding_window_view(np.pad(excess, 2 * EASED, mode="edge"), 4 * EASED + 1)
    return _smooth(window.max(1))


def _bend(foot: _Foot, target: np.ndarray, heads: np.ndarray, world: np.ndarray) -> None:
    """Turn a leg's bones in place so that its ankle comes to ``target`` (T, 3), or as near as it reaches."""
    hip, knee, ankle = (heads[:, bone] for bone in (foot.thigh[0], foot.shin[0], foot.ankle))
    upper, lower = knee - hip, ankle - knee
    a, b = _lengths(foot, heads).T
    way = target - hip
    reach = np.linalg.norm(way, axis=1).clip(np.abs(a - b) + 0.01, STRAIGHTEST * (a + b))
    flexion = np.arccos(((reach**2 - a**2 - b**2) / (2 * a * b)).clip(-1, 1))
    thigh = upper / a[:, None]
    forward = _knee_axis(thigh, lower / b[:, None], world[:, foot.thigh[0], :, 0])
    bent = np.cos(flexion)[:, None] * thigh + np.sin(flexion)[:, None] * np.cross(forward, thigh)
    knee_turn = swing(lower, bent)
    leg_turn = swing(upper + b[:, None] * bent, way)
    world[:, foot.thigh] = leg_turn[:, None] @ world[:, foot.thigh]
    world[:, foot.shin] = (leg_turn @ knee_turn)[:, None] @ world[:, foot.shin]


def _knee_axis(thigh: np.ndarray, shin: np.ndarray, sideways: np.ndarray) -> np.ndarray:
    """Unit vectors (T, 3) about which a knee bends, square to the thigh; of a straight leg ``sideways``."""
    axis = np.cross(thigh, shin)
    axis += (STRAIGHT - (axis * sideways).sum(1)).clip(0)[:, None] * sideways
    axis -= (axis * thigh).sum(1, keepdims=True) * thigh
    return axis / np.linalg.norm(axis, axis=1, keepdims=True)


def _lengths(foot: _Foot, heads: np.ndarray) -> np.ndarray:
    """(T, 2) of thigh and shin."""
    return np.linalg.norm(np.diff(heads[:, [foot.thigh[0], foot.shin[0], foot.ankle]], axis=1), axis=-1)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Values (T, ...) through a Gaussian over time."""
    reach = 3 * EASED
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / EASED) ** 2)
    padded = np.pad(values, [(reach, reach)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    return windows @ (kernel / kernel.sum())


def _ease(share: np.ndarray) -> np.ndarray:
    share = share.clip(0, 1)
    return share * share * (3 - 2 * share)


def _runs(where: np.ndarray) -> Iterator[slice]:
    """Slices of (T,) in which something holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(int)))
    return (slice(start, stop) for start, stop in edges.reshape(-1, 2).tolist())
