"""What the bones of a body are called elsewhere."""

import re
from typing import Literal

from mpt.bodies.body import Body
from mpt.errors import InputError

Names = Literal["anny", "mixamo"]

SIDES = ("left", "right")
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
MIXAMO = {
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Spine1",
    "spine3": "Spine2",
    "neck": "Neck",
    "head": "Head",
    "collar": "Shoulder",
    "shoulder": "Arm",
    "elbow": "ForeArm",
    "wrist": "Hand",
    "hip": "UpLeg",
    "knee": "Leg",
    "ankle": "Foot",
    "toe": "ToeBase",
}
"""Roles, those of limbs without their side, and what Mixamo calls their bones."""


def check_names(names: str, *, two_sided: bool, model: str) -> None:
    """Refuse names that the bodies of a model cannot have. Raises InputError.

    two_sided: whether these are people, not hands.
    """
    if names not in ("anny", "mixamo"):
        raise InputError(f"no set of names is called {names!r}: take anny (the body's own) or mixamo")
    if names == "mixamo" and not two_sided:
        raise InputError(
            f"mixamo has names for people's bones, and {model} gives hands: leave the names out, or take a "
            "model of people"
        )


def fingers(body: Body) -> dict[str, str]:
    """The finger bones of a person by what they are ("left_index1") -> their names on the body."""
    found = {}
    for side in SIDES:
        for number, finger in enumerate(FINGERS, start=1):
            for k in (1, 2, 3):
                spellings = (f"finger{number}-{k}.{side[0].upper()}", f"{side}_{finger}{k}")
                found |= {f"{side}_{finger}{k}": bone for bone in spellings if bone in body.bones}
    return found


def mixamo(body: Body) -> dict[str, str]:
    """The body's bones that Mixamo has -> Mixamo's names, in the body's order."""
    check_names("mixamo", two_sided="left_hip" in body.roles, model=body.name)
    called = {bone: _mixamo_name(part) for part, bone in (fingers(body) | body.roles).items()}
    return {bone: called[bone] for bone in body.bones if bone in called}


def _mixamo_name(part: str) -> str:
    side, _, limb = part.rpartition("_")
    if (finger := re.fullmatch(r"([a-z]+)(\d)", limb)) and finger[1] in FINGERS:
        return f"mixamorig:{side.title()}Hand{finger[1].title()}{finger[2]}"
    return f"mixamorig:{side.title()}{MIXAMO[limb]}"
