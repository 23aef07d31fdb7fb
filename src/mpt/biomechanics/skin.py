"""Points of the skin where markers are stuck in a laboratory, found on a body by what anatomy says of them.

They are vertices, the same ones for all people of a body: each is where a ray from a joint, or from between
two, leaves the skin of the person of mean shape. The left side's are found, the right side's are their mirror
images. Names and places are those of OpenSim's gait2392 marker set, and a few more.

Axes as in ``bodies/body.py``: y up, ahead is +z, the person's left is +x.
"""

from collections.abc import Collection
from functools import cache

import numpy as np

from mpt.bodies.body import Body
from mpt.rigs.t_pose import t_pose

UP, AHEAD, OUT = np.eye(3)[[1, 2, 0]]  # out from the middle, on the left side
STRAY = 3.0  # how much a vertex loses by lying beside the ray, for each metre that it gains along it
MIDDLE_M = 0.002  # within which skin lies on the middle line
MIRROR = np.array([-1.0, 1, 1])


@cache
def skin_points(body: Body) -> dict[str, int]:
    """The markers of a person's body -> their vertices."""
    skin = _Skin(body)
    left = _pelvis(skin) | _leg(skin) | _foot(skin) | _arm(skin)
    return (
        _midline(skin)
        | {f"R.{name}": skin.mirrored(vertex) for name, vertex in left.items()}
        | {f"L.{name}": vertex for name, vertex in left.items()}
    )


class _Skin:
    """A body's mean skin at rest, and which bone carries each part of it."""

    def __init__(self, body: Body) -> None:
        self.vertices = body.template.double().cpu().numpy()
        heads = body.heads.double().cpu().numpy()
        bones = {role: body.bones.index(bone) for role, bone in body.roles.items()}
        self.heads = {role: heads[bone] for role, bone in bones.items()}
        self.laid = {role: t_pose(body, heads)[bone] for role, bone in bones.items()}
        roles = {bone: role for role, bone in bones.items()}
        owner: list[str] = []  # of each bone: what carries it
        for bone, parent in enumerate(body.parents):
            owner.append(roles[bone] if bone in roles else owner[parent])
        most = body.skin_weight.argmax(1, keepdim=True)
        carrier = body.skin_index.gather(1, most)[:, 0].cpu().numpy()
        self.carrier = np.array(owner)[carrier]

    def leaves(
        self, start: np.ndarray, way: np.ndarray, carriers: Collection[str], frame: str = "pelvis"
    ) -> int:
        """The vertex where a ray leaves the skin that some bones carry.

        frame: the bone with which the skin was turned to the T-pose, in whose axes ``way`` is; ``start`` is
            where it rests.
        """
        turned = (self.vertices - start) @ self.laid[frame].T
        along = turned @ (way / np.linalg.norm(way))
        beside = np.sqrt(np.maximum((turned**2).sum(1) - along**2, 0))
        wanted = np.isin(self.carrier, list(carriers))
        return int(np.where(wanted, along - STRAY * beside, -np.inf).argmax())

    def leaves_middle(self, start: np.ndarray, way: np.ndarray) -> int:
        """... where the skin has its middle line."""
        along = (self.vertices - start) @ way
        beside = np.linalg.norm(self.vertices - start - along[:, None] * way, axis=1)
        middle = np.abs(self.vertices[:, 0]) < MIDDLE_M
        return int(np.where(middle, along - STRAY * beside, -np.inf).argmax())

    def between(self, one: str, other: str, share: float) -> np.ndarray:
        return self.heads[one] + share * (self.heads[other] - self.heads[one])

    def mirrored(self, vertex: int) -> int:
        return int(np.linalg.norm(self.vertices - MIRROR * self.vertices[vertex], axis=1).argmin())

    @property
    def thigh_m(self) -> float:
        return float(np.linalg.norm(self.heads["left_knee"] - self.heads["left_hip"]))

    @property
    def hips(self) -> np.ndarray:
        return self.heads["left_hip"] * [0, 1, 1]


def _midline(skin: _Skin) -> dict[str, int]:
    shoulders = skin.heads["left_shoulder"] * [0, 1, 1]
    return {
        "Top.Head": skin.leaves_middle(skin.heads["head"], UP),
        "C7": skin.leaves_middle(skin.heads["neck"], -AHEAD),
        "Sternum": skin.leaves_middle(shoulders + 0.2 * (skin.hips - shoulders), AHEAD),
        "V.Sacral": skin.leaves_middle(skin.hips + 0.24 * skin.thigh_m * UP, -AHEAD),
    }


def _pelvis(skin: _Skin) -> dict[str, int]:
    trunk = {"pelvis", "spine1", "left_hip"}
    front = skin.hips + skin.thigh_m * (0.24 * UP + 0.31 * OUT)
    back = skin.hips + skin.thigh_m * (0.24 * UP + 0.12 * OUT)
    return {"ASIS": skin.leaves(front, AHEAD, trunk), "PSIS": skin.leaves(back, -AHEAD, trunk)}


def _leg(skin: _Skin) -> dict[str, int]:
    def thigh(share: float, way: np.ndarray) -> int:
        start = skin.between("left_hip", "left_knee", share)
        return skin.leaves(start, way, {"left_hip", "left_knee"}, "left_hip")

    def shank(share: float, way: np.ndarray) -> int:
        start = skin.between("left_knee", "left_ankle", share)
        return skin.leaves(start, way, {"left_knee", "left_ankle"}, "left_knee")

    return {
        "Thigh.Upper": thigh(0.50, OUT),
        "Thigh.Front": thigh(0.62, AHEAD),
        "Thigh.Rear": thigh(0.75, OUT),
        "Knee.Lat": thigh(1.00, OUT),
        "Knee.Med": thigh(1.00, -OUT),
        "Shank.Upper": shank(0.15, OUT),
        "Shank.Front": shank(0.19, AHEAD),
        "Shank.Rear": shank(0.30, OUT - 0.4 * AHEAD),
        "Ankle.Lat": shank(1.00, OUT),
        "Ankle.Med": shank(0.96, -OUT),
    }


def _foot(skin: _Skin) -> dict[str, int]:
    """Along the foot from its hindmost to its foremost skin, halfway between sole and ankle at the heel."""
    carriers, laid = {"left_ankle", "left_toe"}, skin.laid["left_ankle"]
    ankle = skin.heads["left_ankle"]
    low = ((skin.vertices - ankle) @ laid.T)[np.isin(skin.carrier, list(carriers))]
    low = low[low[:, 1] < 0]
    sole, heel, tip = low[:, 1].min(), low[:, 2].min(), low[:, 2].max()

    def foot(share: float, height: float, way: np.ndarray) -> int:
        start = np.array([0.0, (1 - height) * sole, heel + share * (tip - heel)])
        return skin.leaves(ankle + laid.T @ start, way, carriers, "left_ankle")

    return {
        "Heel": foot(0.20, 0.50, -AHEAD),
        "Midfoot.Sup": foot(0.53, 0.50, UP - 0.3 * OUT),
        "Midfoot.Lat": foot(0.43, 0.30, OUT),
        "Toe.Lat": foot(0.70, 0.25, OUT),
        "Toe.Med": foot(0.74, 0.25, -OUT),
        "Toe.Tip": foot(0.80, 0.20, AHEAD),
    }


def _arm(skin: _Skin) -> dict[str, int]:
    """In the T-pose palms look down and elbows bend ahead: an arm's outer side is above, the thumb ahead."""
    shoulder, elbow, wrist = (skin.heads[f"left_{joint}"] for joint in ("shoulder", "elbow", "wrist"))
    top = {"left_shoulder", "left_collar", "spine3"}
    elbows, hands = {"left_shoulder", "left_elbow"}, {"left_elbow", "left_wrist"}
    return {
        "Acromium": skin.leaves(shoulder, UP, top),
        "Elbow": skin.leaves(elbow, UP, elbows, "left_shoulder"),
        "Elbow.Med": skin.leaves(elbow, -UP, elbows, "left_shoulder"),
        "Wrist.Lat": skin.leaves(wrist, AHEAD, hands, "left_elbow"),
        "Wrist.Med": skin.leaves(wrist, -AHEAD, hands, "left_elbow"),
    }
