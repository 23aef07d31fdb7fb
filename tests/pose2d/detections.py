"""One person, and that person as every known detector writes them."""

import numpy as np

from mpt.pose2d.keypoints.orders import OPENPOSE18, OPENPOSE25
from mpt.skeletons import BLAZEPOSE33, COCO17

PERSON = np.array(
    [
        [100, 40], [104, 36], [96, 36], [109, 38], [91, 38], [122, 70], [78, 70], [132, 105], [68, 105],
        [128, 140], [72, 140], [113, 145], [87, 145], [115, 200], [85, 200], [116, 255], [84, 255],
    ],
    float,
)  # fmt: skip
PERSON = np.column_stack([PERSON, np.linspace(0.5, 0.98, 17)])  # (17, 3) in a picture of 200 x 300
SIZE = (200, 300)


def moved(x: float, y: float = 0) -> np.ndarray:
    """The person, elsewhere."""
    return PERSON + np.array([x, y, 0])


def flat(points: np.ndarray) -> list[float]:
    return points.ravel().tolist()


def result(points: np.ndarray = PERSON, photo: object = "photo.png", score: float = 0.9, **more) -> dict:
    """An entry of COCO's results."""
    return {"image_id": photo, "category_id": 1, "keypoints": flat(points), "score": score, **more}


def padded(points: np.ndarray, count: int) -> np.ndarray:
    """The 17 first, as COCO-WholeBody and Halpe have them, then points elsewhere."""
    return np.concatenate([points, np.tile([20.5, 30.5, 0.5], (count - 17, 1))])


def reordered(points: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The 17 in another order; joints that they lack lie elsewhere."""
    return np.stack([points[COCO17.index(n)] if n in COCO17.joints else np.array([9, 9, 0.5]) for n in names])


def dicts(points: np.ndarray, score: str, names: tuple[str, ...] | None = None) -> list[dict]:
    found = [{"x": x, "y": y, score: s} for x, y, s in points.tolist()]
    return [joint | {"name": name} for joint, name in zip(found, names)] if names else found


def camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(word.title() for word in more)


def columns(points: np.ndarray) -> dict:
    return dict(zip(("x", "y", "visible"), points.T.tolist()))


def _mmpose(points: np.ndarray) -> dict:
    return {
        "keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist(),
        "bbox": [[60, 30, 80, 240]], "bbox_score": 0.9,
    }  # fmt: skip


BODY25, BODY18 = reordered(PERSON, OPENPOSE25), reordered(PERSON, OPENPOSE18)
BLAZE = reordered(PERSON, BLAZEPOSE33.joints)
NAMED = {name: point for name, point in zip(COCO17.joints, PERSON.tolist())}
ID2NAME = {str(k): name for k, name in enumerate(reversed(COCO17.joints))}

LAYOUTS = {
    "COCO results": [result()],
    "COCO results in annotations": {"annotations": [result()]},
    "nested results": [result() | {"keypoints": PERSON.tolist()}],
    "COCO with feet": [result(padded(PERSON, 23))],
    "COCO-WholeBody": [result(padded(PERSON, 133))],
    "Halpe 26": [result(padded(PERSON, 26))],
    "Halpe 136, AlphaPose": [result(padded(PERSON, 136), score=2.9)],
    "OpenPose BODY_25": {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": flat(BODY25)}]},
    "OpenPose COCO": {"people": [{"pose_keypoints_2d": flat(BODY18)}]},
    "OpenPose before 1.2": {"people": [{"pose_keypoints": flat(BODY18)}]},
    "ControlNet": [
        {"people": [{"pose_keypoints_2d": flat(BODY18)}], "canvas_width": 200, "canvas_height": 300}
    ],
    "AlphaPose cmu": {"photo.png": {"version": "AlphaPose v0.3", "bodies": [{"joints": flat(BODY18)}]}},
    "AlphaPose open": {"photo.png": {"people": [{"pose_keypoints_2d": flat(BODY18)}]}},
    "MMPose image": {"meta_info": {"dataset_name": "coco"}, "instance_info": [_mmpose(PERSON)]},
    "MMPose film of one frame": {"instance_info": [{"frame_id": 1, "instances": [_mmpose(PERSON)]}]},
    "MMPose with names": {
        "meta_info": {"keypoint_id2name": ID2NAME},
        "instance_info": [_mmpose(PERSON[::-1])],
    },
    "MMPose inferencer": [_mmpose(PERSON)],
    "MMPose inferencer's answer": {"predictions": [[_mmpose(PERSON)]]},
    "points": PERSON.tolist(),
    "points of people": [PERSON.tolist()],
    "flat points": flat(PERSON),
    "points in dicts": dicts(PERSON, "confidence"),
    "points by name": NAMED,
    "tf.js MoveNet": [{"keypoints": dicts(PERSON, "score", COCO17.joints), "score": 0.8}],
    "tf.js MoveNet shuffled": [{"keypoints": dicts(PERSON, "score", COCO17.joints)[::-1], "score": 0.8}],
    "tf.js BlazePose": [{"keypoints": dicts(BLAZE, "score", BLAZEPOSE33.joints), "score": 0.8}],
    "PoseNet": [
        {
            "keypoints": [
                {"part": camel(name), "position": {"x": x, "y": y}, "score": s}
                for name, (x, y, s) in NAMED.items()
            ]
        }
    ],
    "MediaPipe in pixels": {"pose_landmarks": dicts(BLAZE, "visibility")},
    "MediaPipe people": {"landmarks": [dicts(BLAZE, "visibility")]},
    "MediaPipe protobuf": {"poseLandmarks": {"landmark": dicts(BLAZE, "visibility")}},
    "ultralytics": [{"name": "person", "class": 0, "confidence": 0.9, "keypoints": columns(PERSON)}],
    "Roboflow": {
        "predictions": [
            {
                "class": "person",
                "confidence": 0.9,
                "keypoints": [
                    {"x": x, "y": y, "confidence": s, "class": name.replace("_", "-")}
                    for name, (x, y, s) in NAMED.items()
                ],
            }
        ]
    },
    "torchvision": {
        "boxes": [[60, 30, 140, 270]],
        "labels": [1],
        "scores": [0.9],
        "keypoints": [PERSON.tolist()],
    },
    "mpt's result.json": {"image": "photo.png", "people": [{"score": 0.2, "joints2d_px": NAMED}]},
}
"""Of photo.png, or without its name in photo.json."""


def coco(points: np.ndarray = PERSON, names: list | None = None, **size) -> dict:
    kind = {"id": 1, "name": "person"} | ({"keypoints": names} if names else {})
    return {
        "images": [{"id": 1, "file_name": "photo.png", **size}],
        "annotations": [{"image_id": 1, "category_id": 1, "keypoints": flat(points)}],
        "categories": [kind],
    }
