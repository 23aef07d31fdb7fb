"""Small data sets in the exact layout of the official ones, written from known people.

Every writer returns the truth that a reader should find, in metres, camera axes and pixels, by joint name.
"""

import json
import pickle
from pathlib import Path

import numpy as np
import official
from PIL import Image
from scipy.spatial.transform import Rotation

CAMERA = np.array([[500.0, 0, 160], [0, 500, 120], [0, 0, 1]])
SIZE = 320, 240


def photo(path: Path, size: tuple[int, int] = SIZE, seed: int = 0) -> Path:
    """A smooth picture, different for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.BILINEAR).save(path, quality=95)
    return path


class People:
    """People whose joint of a given name is always at the same place, whatever order a file keeps."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = np.random.default_rng(seed)
        self.places: dict[str, np.ndarray] = {}

    def xyz(self, joints: tuple[str, ...]) -> np.ndarray:
        """(J, 3) metres in camera axes, about 3 m away."""
        for joint in joints:
            if joint not in self.places:
                self.places[joint] = self.generator.uniform([-0.5, -0.6, 2.8], [0.5, 0.6, 3.4])
        return np.array([self.places[joint] for joint in joints])

    def xy(self, joints: tuple[str, ...]) -> np.ndarray:
        """(J, 2) pixels."""
        return pixels(self.xyz(joints))


def pixels(xyz: np.ndarray, camera: np.ndarray = CAMERA) -> np.ndarray:
    return xyz[:, :2] / xyz[:, 2:] * np.diag(camera)[:2] + camera[:2, 2]


# The orders in which the official files keep their joints, by the names that this package gives to them.
SPIN = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist",
    "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "thorax", "-",
    "pelvis", "-", "spine", "nose", "head_top", "-", "-", "-", "-", "-",
)  # fmt: skip
H36M = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine",
    "thorax", "nose", "head_top", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder",
    "right_elbow", "right_wrist",
)  # fmt: skip
MPI = (
    "head_top", "thorax", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "pelvis", "spine", "nose",
)  # fmt: skip
MPII = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis",
    "mpii_thorax", "neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder",
    "left_elbow", "left_wrist",
)  # fmt: skip
LSP = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist",
    "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
)  # fmt: skip
MUCO = (*MPI, "right_hand", "left_hand", "right_toe", "left_toe")
OPENPOSE = (
    "nose", "openpose_neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
    "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee",
    "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


def spin_npz(
    path: Path, names: list[str], order: tuple[str, ...], people: list[People], **more: np.ndarray
) -> None:
    """SPIN's file: a joint that the set lacks ("-") is 0 and unknown; 3D is about the pelvis."""
    known = np.array([joint != "-" for joint in order], float)
    xyz = np.array([p.xyz(order) - p.xyz(("pelvis",)) for p in people])
    xy = np.array([p.xy(order) for p in people])
    full = np.broadcast_to(known[:, None], (len(people), len(order), 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        imgname=np.array(names),
        center=np.tile([160.0, 120.0], (len(people), 1)),
        scale=np.full(len(people), 1.1),
        part=np.concatenate([xy * full, full], -1),
        S=np.concatenate([xyz * full, full], -1),
        **more,
    )


def smpl_fields(count: int, seed: int = 5) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {"pose": generator.normal(0, 0.3, (count, 72)), "shape": generator.normal(size=(count, 10))}


def train_subjects(people: list[People]) -> dict[int, list[People]]:
    """All of them are Human3.6M's S1, and the first is each of the others who train."""
    return {1: people} | dict.fromkeys((5, 6, 7, 8), people[:1])


def human36m(
    folder: Path,
    people: dict[int, list[People]],
    fits: dict[int, list[dict | None]] | None = None,
    *,
    kind: str = "smpl_param",
    every: int = 5,
) -> None:
    """The JSON form of I2L-MeshNet: a person every so many frames, a frame between, cameras 2 and 4.

    People, and the root of the fits to them, are in the axes of camera 4; camera 2 stands to its side.
    """
    R, t = _rotation(np.random.default_rng(8)), np.array([0, 0, 3100.0])  # the world's origin is amid them
    both = {"2": (_about_y(0.4) @ R, t), "4": (R, t)}
    lens = {"f": np.diag(CAMERA)[:2].tolist(), "c": CAMERA[:2, 2].tolist()}
    cameras = {cam: {"R": r.tolist(), "t": at.tolist(), **lens} for cam, (r, at) in both.items()}
    for subject, each in people.items():
        begin = folder / "annotations" / f"Human36M_subject{subject}"
        joints, fitted, images = {}, {}, []
        for number, person in enumerate(each):
            world = (1000 * person.xyz(H36M) - t) @ R
            fit = ((fits or {}).get(subject) or [None] * len(each))[number]
            for frame in (number * every, number * every + 1):
                joints[str(frame)] = world.tolist()
                if fit:
                    pose = np.array(fit["pose"], float)
                    pose[:3] = _rotvec(R.T @ Rotation.from_rotvec(pose[:3]).as_matrix())
                    fitted[str(frame)] = fit | {"pose": pose.tolist(), "trans": [0.1, 0.2, 0.3]}
                for cam in (2, 4):
                    name = f"s_{subject:02d}_act_02_subact_01_ca_{cam:02d}"
                    file = f"{name}/{name}_{frame + 1:06d}.jpg"
                    photo(folder / "images" / file, seed=frame)
                    about = {"subject": subject, "action_name": "Directions", "action_idx": 2}
                    about |= {"subaction_idx": 1, "cam_idx": cam, "frame_idx": frame, "id": len(images)}
                    images.append(about | {"file_name": file, "width": SIZE[0], "height": SIZE[1]})
        annotations = [{"id": image["id"], "image_id": image["id"]} for image in images]
        _json(Path(f"{begin}_data.json"), {"images": images, "annotations": annotations})
        _json(Path(f"{begin}_camera.json"), cameras)
        _json(Path(f"{begin}_joint_3d.json"), {"2": {"1": joints}})
        if fits:
            _json(Path(f"{begin}_{kind}.json"), {"2": {"1": fitted}})


def photo_fits(seed: int, *ids: int) -> dict[str, dict]:
    """Fits to single photos, by annotation, as I2L-MeshNet and NeuralAnnot write them."""
    fields = smpl_fields(len(ids), seed)
    camera = {"focal": [1500.0, 1500.0], "princpt": [160.0, 100.0]}
    return {
        str(number): {
            "smpl_param": {"pose": pose.tolist(), "shape": shape.tolist(), "trans": [0.0, 0.1, 9.0]},
            "cam_param": camera,
        }
        for number, pose, shape in zip(ids, fields["pose"], fields["shape"])
    }


def coco(folder: Path, people: list[People], split: str = "train2017") -> None:
    """One photo for each person, whose last joint is not labelled, and a crowd and a box without joints."""
    images, annotations = [], []
    for number, person in enumerate(people):
        name = f"{number + 9:012d}.jpg"
        photo(folder / split / name, seed=number)
        xy = np.round(person.xy(COCO), 2)
        visible = np.array([*[2] * 8, *[1] * 8, 0])
        keypoints = np.column_stack([xy * (visible[:, None] > 0), visible])
        box = [*xy.min(0), *np.ptp(xy, axis=0)]
        about = {"image_id": number + 9, "id": number, "bbox": box, "category_id": 1, "iscrowd": 0}
        images.append({"id": number + 9, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        annotations.append(about | {"keypoints": keypoints.ravel().tolist(), "num_keypoints": 16})
        annotations.append(about | {"keypoints": [0] * 51, "num_keypoints": 0})
        annotations.append(about | {"keypoints": [1] * 51, "iscrowd": 1})
    _json(
        folder / "annotations" / f"person_keypoints_{split}.json",
        {"images": images, "annotations": annotations},
    )


def mpii(folder: Path, people: list[People]) -> None:
    """HRNet's JSON: counted from 1, a joint that is not labelled at -1."""
    entries = []
    for number, person in enumerate(people):
        name = f"{number + 15601864:09d}.jpg"
        photo(folder / "images" / name, seed=number)
        xy = person.xy(MPII) + 1
        xy[0] = -1
        visible = [0, *[1] * 15]
        entries.append(
            {
                "image": name,
                "center": [161.0, 121.0],
                "scale": 0.9,
                "joints": xy.tolist(),
                "joints_vis": visible,
            }
        )
    _json(folder / "annot" / "train.json", entries)


def neural_annot_mpii(folder: Path) -> None:
    """NeuralAnnot's file of these and other people, in COCO's form and another order, and fits to some."""
    people = json.loads((folder / "annot" / "train.json").read_text())
    images, annotations = [], []
    for number, person in enumerate(people):
        images.append({"id": number, "file_name": f"images/{person['image']}"})
        joints = np.column_stack([person["joints"], person["joints_vis"]])
        joints[joints[:, 2] == 0] = 0
        other = joints + np.array([40, 0, 0])
        for place, keypoints in ((2 * number, other), (2 * number + 1, joints)):
            about = {"id": place, "image_id": number, "bbox": [0, 0, 9, 9], "iscrowd": 0}
            annotations.append(about | {"keypoints": keypoints.ravel().tolist()})
    _json(folder / "annotations" / "train.json", {"images": images, "annotations": annotations[::-1]})
    _json(folder / "annotations" / "MPII_train_SMPL_NeuralAnnot.json", photo_fits(6, 0, 1, 2, 3))


def muco(folder: Path, people: list[People]) -> None:
    """Millimetres; a second person a metre behind the first in every photo; a fit for the first one alone."""
    images, annotations, fits = [], [], {}
    for number, person in enumerate(people):
        name = f"unaugmented_set/{number}.jpg"
        photo(folder / name, seed=number)
        about = {"id": 100 + number, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
        images.append(about | {"f": np.diag(CAMERA)[:2].tolist(), "c": CAMERA[:2, 2].tolist()})
        for behind in (1, 0):
            xyz = person.xyz(MUCO) + np.array([0, 0, behind])
            xy = pixels(xyz)
            key = 10 * number + behind
            annotations.append(
                {
                    "id": key, "image_id": 100 + number, "bbox": [*xy.min(0), *np.ptp(xy, axis=0)],
                    "keypoints_img": xy.tolist(), "keypoints_cam": (xyz * 1000).tolist(),
                    "keypoints_vis": [1] * 21,
                }
            )  # fmt: skip
    fits["0"] = {"pose": [0.1] * 72, "shape": [0.5] * 10, "trans": [0, 0, 3]}
    fits["10"] = {"pose": [0.1] * 72, "shape": [4.0] * 10, "trans": [0, 0, 3]}
    _json(folder / "MuCo-3DHP.json", {"images": images, "annotations": annotations})
    _json(folder / "smpl_param.json", fits)


def up3d(folder: Path, people: list[People]) -> None:
    names = []
    for number, person in enumerate(people):
        photo(folder / f"{number:05d}_image.png", seed=number)
        known = np.array([*[1] * 13, 0])
        np.save(folder / f"{number:05d}_joints.npy", np.vstack([person.xy(LSP).T, known]))
        body = {
            "pose": np.arange(72) / 100,
            "betas": np.arange(10.0),
            "f": np.array(5000.0),
            "t": np.zeros(3),
        }
        python2_pickle(folder / f"{number:05d}_body.pkl", body)
        names.append(f"/{number:05d}_image.png\n")
    (folder / "train.txt").write_text("".join(names))


def tdpw(folder: Path, name: str = "courtyard_arguing_00", split: str = "test", frames: int = 4) -> dict:
    """Two people; the first frame's camera is unknown, the last one's detections are too few."""
    generator = np.random.default_rng(3)
    turns = [_rotation(generator) for _ in range(frames)]
    extrinsics = np.tile(np.eye(4), (frames, 1, 1))
    extrinsics[:, :3, :3] = turns
    extrinsics[:, :3, 3] = generator.normal(size=(frames, 3))
    camera_axes = generator.uniform([-0.5, -0.6, 2.8], [0.5, 0.6, 3.4], (2, frames, 24, 3))
    world = np.einsum("tji,ptkj->ptki", extrinsics[:, :3, :3], camera_axes - extrinsics[:, None, :3, 3])
    detected = generator.uniform([20, 20, 0.1], [300, 220, 0.9], (2, frames, 18, 3))
    detected[:, :, 17] = 0
    detected[:, -1] = 0
    sequence = {
        "sequence": name,
        "poses": list(generator.normal(0, 0.5, (2, frames, 72))),
        "betas": list(generator.normal(size=(2, 300))),
        "betas_clothed": list(generator.normal(size=(2, 10))),
        "trans": list(generator.normal(size=(2, frames, 3))),
        "genders": ["m", "f"],
        "jointPositions": list(world.reshape(2, frames, 72)),
        "poses2d": list(detected.transpose(0, 1, 3, 2)),
        "cam_poses": extrinsics,
        "campose_valid": [np.arange(frames) > 0, np.arange(frames) > 0],
        "cam_intrinsics": CAMERA,
        "img_frame_ids": np.arange(frames) * 2,
        "texture_maps": [[], []],
    }
    python2_pickle(folder / "sequenceFiles" / split / f"{name}.pkl", sequence)
    for frame in range(frames):
        photo(folder / "imageFiles" / name / f"image_{frame:05d}.jpg", seed=frame)
    return sequence | {"camera_axes": camera_axes}


EMDB = {
    ("P0", "09_outdoor_walk"): ("male", "emdb2"),
    ("P1", "14_outdoor_climb"): ("female", "emdb1"),
    ("P7", "57_outdoor_rock_chair"): ("male", "emdb1", "emdb2"),
}


def emdb(folder: Path, models: dict[str, dict], frames: int = 4, protocol: int = 5) -> dict[str, dict]:
    """Three sequences of SMPL people before a moving camera, by name; the second frame shows nobody.

    models: what an SMPL file holds, by gender. In the last frame the box is empty. Beside what is written
    there are "camera_joints" (T, 24, 3) and "camera_vertices" (T, V, 3).
    """
    generator = np.random.default_rng(7)
    written = {}
    for (subject, name), (gender, *benchmarks) in EMDB.items():
        pose = generator.normal(0, 0.4, (frames, 24, 3))
        betas, trans = generator.normal(size=10), generator.normal(0, 5, (frames, 3))
        extrinsics = np.tile(np.eye(4), (frames, 1, 1))
        joints, vertices = [], []
        for frame in range(frames):
            mesh, centres = official.posed_slowly(models[gender], pose[frame], betas, trans[frame])
            turn = _rotation(generator)
            extrinsics[frame, :3, :3] = turn
            extrinsics[frame, :3, 3] = [0, 0, 3] - turn @ centres[0]
            joints.append(centres @ turn.T + extrinsics[frame, :3, 3])
            vertices.append(mesh @ turn.T + extrinsics[frame, :3, 3])
        kp2d = np.array([pixels(xyz) for xyz in joints])
        boxes = np.concatenate([kp2d.min(1) - 3, kp2d.max(1) + 3], 1)
        boxes[-1] = 0
        data = {
            "gender": gender,
            "name": f"{subject}_{name}",
            "emdb1": "emdb1" in benchmarks,
            "emdb2": np.bool_("emdb2" in benchmarks),
            "n_frames": frames,
            "good_frames_mask": np.arange(frames) != 1,
            "camera": {"intrinsics": CAMERA, "extrinsics": extrinsics, "width": SIZE[0], "height": SIZE[1]},
            "smpl": {
                "poses_root": pose[:, 0],
                "poses_body": pose[:, 1:].reshape(frames, 69),
                "trans": trans,
                "betas": betas,
            },
            "kp2d": kp2d,
            "bboxes": {"bboxes": boxes, "invalid_idxs": np.array([1, frames - 1])},
        }
        place = folder / subject / name
        for frame in range(frames):
            photo(place / "images" / f"{frame:05d}.jpg", seed=frame)
        (place / f"{subject}_{name}_data.pkl").write_bytes(pickle.dumps(data, protocol))
        written[name] = data | {"camera_joints": np.array(joints), "camera_vertices": np.array(vertices)}
    return written


def freihand(folder: Path, hands: int = 2) -> dict[str, np.ndarray]:
    """Every hand in four versions, and an evaluation set without its labels."""
    generator = np.random.default_rng(4)
    truth = {
        "K": np.tile([[470.0, 0, 111], [0, 470, 112], [0, 0, 1]], (hands, 1, 1)),
        "xyz": generator.uniform([-0.08, -0.08, 0.6], [0.08, 0.08, 0.7], (hands, 21, 3)),
        "verts": generator.uniform([-0.08, -0.08, 0.6], [0.08, 0.08, 0.7], (hands, 778, 3)),
        "mano": generator.normal(0, 0.3, (hands, 1, 61)),
    }
    for key, array in truth.items():
        _json(folder / f"training_{key}.json", array.tolist())
    _json(folder / "evaluation_K.json", truth["K"][:1].tolist())
    for version in range(4 * hands):
        photo(folder / "training" / "rgb" / f"{version:08d}.jpg", (224, 224), version)
    photo(folder / "evaluation" / "rgb" / "00000000.jpg", (224, 224))
    return truth


def complement(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """One left hand in two views; (778, 3) vertices as written, and the regressor's (21, 778)."""
    generator = np.random.default_rng(6)
    vertices = generator.uniform([-0.09, -0.09, 0.6], [0.05, 0.09, 0.7], (778, 3)).round(5)
    for view in ("0", "1"):
        photo(folder / "base_pose" / view / "pic256" / "light" / "img.12.png", (256, 256), int(view))
        mesh = folder / "base_pose" / view / "model_mano" / "12.obj"
        mesh.parent.mkdir(parents=True)
        lines = [f"v {x} {y} {z}" for x, y, z in vertices]
        mesh.write_text("# hand\n" + "\n".join(lines) + "\nf 1 2 3\n")
    regressor = np.eye(21, 778)
    np.save(folder / "j_reg.npy", regressor)
    return vertices, regressor


def python2_pickle(path: Path, value: object) -> None:
    """As Python 2 and the numpy of its time wrote it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = pickle.dumps(value, protocol=2)
    path.write_bytes(content.replace(b"numpy._core.", b"numpy.core."))


def _about_y(angle: float) -> np.ndarray:
    return Rotation.from_rotvec([0, angle, 0]).as_matrix()


def _rotvec(matrix: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(matrix).as_rotvec()


def _rotation(generator: np.random.Generator) -> np.ndarray:
    q, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
