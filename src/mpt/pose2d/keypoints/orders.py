"""In which order detectors list the joints of a person: the one place that knows.

OpenPose, COCO-WholeBody, Halpe and FreiHAND agree on the 21 joints of a hand, ``HAND21``.
"""

from dataclasses import dataclass

from mpt.skeletons import BLAZEPOSE33, COCO17, COCO29, HAND21

_OPENPOSE_UPPER = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
_OPENPOSE_LEGS = ("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")
_OPENPOSE_FACE = ("right_eye", "left_eye", "right_ear", "left_ear")
FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
_HALPES_FEET = tuple(
    f"{side}_{joint}" for joint in ("big_toe", "small_toe", "heel") for side in ("left", "right")
)
_HANDS = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in HAND21.joints)
_FACE = ("",) * 68
OPENPOSE18 = (*_OPENPOSE_UPPER, *_OPENPOSE_LEGS, *_OPENPOSE_FACE)
OPENPOSE25 = (
    *_OPENPOSE_UPPER, "mid_hip", *_OPENPOSE_LEGS, *_OPENPOSE_FACE, *FEET,
)  # fmt: skip
HALPE26 = (*COCO17.joints, "head", "neck", "mid_hip", *_HALPES_FEET)


@dataclass(frozen=True)
class Order:
    """``joints``: names of its points, empty for a face's; ``hands``: where the left, the right 21 begin."""

    name: str
    count: int
    joints: tuple[str, ...]
    hands: tuple[int, int] | None = None


ORDERS = {
    order.count: order
    for order in (
        Order("COCO", 17, COCO17.joints),
        Order("OpenPose's COCO", 18, OPENPOSE18),
        Order("COCO with feet", 23, (*COCO17.joints, *FEET)),
        Order("OpenPose's BODY_25", 25, OPENPOSE25),
        Order("Halpe", 26, HALPE26),
        Order("COCO with feet and knuckles", 29, COCO29.joints),
        Order("BlazePose", 33, BLAZEPOSE33.joints),
        Order("COCO-WholeBody", 133, (*COCO17.joints, *FEET, *_FACE, *_HANDS), hands=(91, 112)),
        Order("Halpe full body", 136, (*HALPE26, *_FACE, *_HANDS), hands=(94, 115)),
    )
}
"""By the number of points, which differs for all."""
