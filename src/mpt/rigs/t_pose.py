"""The T-pose of a body: arms level and straight, palms down, legs upright, feet ahead."""

import numpy as np

from mpt.bodies.body import Body
from mpt.bodies.retarget import swing
from mpt.errors import InputError
from mpt.rigs.names import SIDES, fingers

BENT = np.radians(10)  # an elbow that rests more bent shows the axis about which it bends
UP, AHEAD = np.array([0.0, 1, 0]), np.array([0.0, 0, 1])
LEVEL = np.array([1.0, 0, 1])


def t_pose(body: Body, heads: np.ndarray) -> np.ndarray:
    """(B, 3, 3) turn of each bone, in world axes, from the body's own rest pose to a T-pose.

    heads: (B, 3) where the bones begin at rest. Trunk, neck, head and collars stay as they rest, and so do
    the fingers in their hand; feet are turned ahead and keep their slope. Elbows bend forward about the
    upright axis. Raises InputError for a body without limbs.
    """
    if "left_hip" not in body.roles:
        raise InputError(f"{body.name} has no arms and legs, and no T-pose: take its own rest pose (a-pose)")
    at = {role: heads[body.bones.index(bone)] for role, bone in (fingers(body) | body.roles).items()}
    turned = {}
    for side, out in zip(SIDES, (1.0, -1.0)):
        arm = _arm({limb: at[f"{side}_{limb}"] for limb in _limbs(at, side)}, out * np.array([1.0, 0, 0]))
        leg = _leg({limb: at[f"{side}_{limb}"] for limb in _limbs(at, side)})
        turned |= {body.roles[f"{side}_{limb}"]: turn for limb, turn in (arm | leg).items()}
    turns: list[np.ndarray] = []
    for bone, parent in zip(body.bones, body.parents):
        turns.append(turned.get(bone, turns[parent] if parent >= 0 else np.eye(3)))
    return np.stack(turns)


def _limbs(at: dict[str, np.ndarray], side: str) -> list[str]:
    return [role.removeprefix(f"{side}_") for role in at if role.startswith(side)]


def _arm(at: dict[str, np.ndarray], out: np.ndarray) -> dict[str, np.ndarray]:
    upper, fore = at["elbow"] - at["shoulder"], at["wrist"] - at["elbow"]
    shoulder = swing(upper, out)
    axis, straight = np.cross(upper, fore), upper @ fore
    if np.arctan2(np.linalg.norm(axis), straight) > BENT:
        shoulder = swing(shoulder @ axis, np.cross(out, AHEAD)) @ shoulder
    elbow = swing(shoulder @ fore, out) @ shoulder
    if not {"index1", "middle1", "pinky1"} <= at.keys():
        return {"shoulder": shoulder, "elbow": elbow, "wrist": elbow}
    wrist = swing(elbow @ (at["middle1"] - at["wrist"]), out) @ elbow
    across = wrist @ (at["index1"] - at["pinky1"])
    wrist = swing(across * (1 - np.abs(out)), AHEAD) @ wrist
    return {"shoulder": shoulder, "elbow": elbow, "wrist": wrist}


def _leg(at: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    hip = swing(at["knee"] - at["hip"], -UP)
    knee = swing(hip @ (at["ankle"] - at["knee"]), -UP) @ hip
    foot = swing((at["toe"] - at["ankle"]) * LEVEL, AHEAD)
    return {"hip": hip, "knee": knee, "ankle": foot, "toe": foot}
