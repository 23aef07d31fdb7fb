"""One T-posed person under the joint names of several rigs."""

import numpy as np

from mpt.mocap import Motion

# role: parent, place in metres (x left, y up, z forward); the right side is mirrored
LEFT = {
    "hip": ("pelvis", (0.09, 0.92, 0.01)),
    "knee": ("hip", (0.1, 0.5, 0.02)),
    "ankle": ("knee", (0.1, 0.08, -0.02)),
    "toe": ("ankle", (0.12, 0.02, 0.12)),
    "collar": ("chest", (0.05, 1.4, 0.0)),
    "shoulder": ("collar", (0.18, 1.42, -0.02)),
    "elbow": ("shoulder", (0.45, 1.42, -0.03)),
    "wrist": ("elbow", (0.7, 1.41, 0.01)),
    "finger": ("wrist", (0.79, 1.41, 0.02)),
}
MIDDLE = {
    "pelvis": (None, (0, 1.0, 0)),
    "spine": ("pelvis", (0, 1.1, -0.01)),
    "chest": ("spine", (0, 1.25, -0.02)),
    "neck": ("chest", (0, 1.48, -0.03)),
    "head": ("neck", (0, 1.58, 0.0)),
}
LIMBS = [("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")]

NAMES = {
    "mixamo": "mixamorig:Hips mixamorig:Spine mixamorig:Spine2 mixamorig:Neck mixamorig:Head "
    "mixamorig:{}UpLeg mixamorig:{}Leg "
    "mixamorig:{}Foot mixamorig:{}ToeBase mixamorig:{}Shoulder mixamorig:{}Arm "
    "mixamorig:{}ForeArm mixamorig:{}Hand mixamorig:{}HandMiddle1",
    "biped": "Bip01 Bip01_Spine Bip01_Spine1 Bip01_Neck Bip01_Head Bip01_{0[0]}_Thigh Bip01_{0[0]}_Calf "
    "Bip01_{0[0]}_Foot Bip01_{0[0]}_Toe0 Bip01_{0[0]}_Clavicle Bip01_{0[0]}_UpperArm Bip01_{0[0]}_Forearm "
    "Bip01_{0[0]}_Hand Bip01_{0[0]}_Middle1",
    "unreal": "pelvis spine_01 spine_03 neck_01 head thigh_{1[0]} calf_{1[0]} foot_{1[0]} ball_{1[0]} "
    "clavicle_{1[0]} upperarm_{1[0]} lowerarm_{1[0]} hand_{1[0]} middle_01_{1[0]}",
    "smpl": "pelvis spine1 spine3 neck head {1}_hip {1}_knee {1}_ankle {1}_foot {1}_collar {1}_shoulder "
    "{1}_elbow {1}_wrist {1}_hand",
    "blender": "hips spine chest neck head thigh.{0[0]} shin.{0[0]} foot.{0[0]} toe.{0[0]} shoulder.{0[0]} "
    "upper_arm.{0[0]} forearm.{0[0]} hand.{0[0]} f_middle.01.{0[0]}",
    "daz": "hip abdomen chest neck head {1[0]}Thigh {1[0]}Shin {1[0]}Foot {1[0]}Toe {1[0]}Collar {1[0]}Shldr "
    "{1[0]}ForeArm {1[0]}Hand {1[0]}Mid1",
    "old": "Hips Chest Chest2 Neck Head {0}Hip {0}Knee {0}Ankle {0}Toe {0}Collar {0}Shoulder {0}Elbow "
    "{0}Wrist {0}Fingers",
}


def t_posed(rotvec, rig: str = "mixamo", without: tuple[str, ...] = (), trans=None) -> Motion:
    """Motion (T, J, 3) of the person, less the joints of some roles (whose children hang on the parent)."""
    joints, parents, offsets = skeleton(rig, without)
    trans = np.zeros((len(rotvec), 3)) if trans is None else trans
    return Motion("clip", "01", 30, joints, parents, offsets, rotvec, trans)


def skeleton(
    rig: str = "mixamo", without: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], list[int], np.ndarray]:
    """Names, parents and offsets (J, 3)."""
    places = {role: np.array(place, float) for role, (_, place) in MIDDLE.items()}
    above = {role: parent for role, (parent, _) in MIDDLE.items()}
    for side, sign in (("left", 1), ("right", -1)):
        for role, (parent, place) in LEFT.items():
            places[f"{side}_{role}"] = np.array(place) * [sign, 1, 1]
            above[f"{side}_{role}"] = parent if parent in MIDDLE else f"{side}_{parent}"
    spelled = NAMES[rig].split()
    names = dict(zip(MIDDLE, spelled))
    for side in ("left", "right"):
        names |= {f"{side}_{role}": text.format(side.title(), side) for role, text in zip(LEFT, spelled[5:])}
    roles = [role for role in places if role not in without and role.partition("_")[2] not in without]
    index = {role: joint for joint, role in enumerate(roles)}
    parents = []
    for role in roles:
        parent = above[role]
        while parent is not None and parent not in index:
            parent = above[parent]
        parents.append(-1 if parent is None else index[parent])
    offsets = [
        places[role] - (places[roles[parent]] if parent >= 0 else 0) for role, parent in zip(roles, parents)
    ]
    return tuple(names[role] for role in roles), parents, np.array(offsets)


def role_index(without: tuple[str, ...] = ()) -> dict[str, int]:
    """Joint of each role, in the order of ``skeleton``."""
    roles = [*MIDDLE, *(f"{side}_{role}" for side in ("left", "right") for role in LEFT)]
    kept = [role for role in roles if role not in without and role.partition("_")[2] not in without]
    return {role: joint for joint, role in enumerate(kept)}


def random_rotvec(frames: int, joints: int, seed: int = 0, size: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=size, size=(frames, joints, 3))
