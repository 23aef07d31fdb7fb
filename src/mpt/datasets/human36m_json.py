"""Human3.6M in the JSON form of 3DMPPE, I2L-MeshNet and Pose2Mesh, with the SMPL fits published beside it.

    FOLDER/annotations/Human36M_subject1_data.json               photos: file_name, width, height, and the
                                                                 indices action, subaction, frame and cam
    FOLDER/annotations/Human36M_subject1_camera.json             cam -> R, t, f, c
    FOLDER/annotations/Human36M_subject1_joint_3d.json           action -> subaction -> frame -> (17, 3)
    FOLDER/annotations/Human36M_subject1_smpl_param.json         optional, alike: SMPLify-X on these joints,
                                                                 of every 5th frame
    FOLDER/annotations/Human36M_subject1_SMPL_NeuralAnnot.json   where there is none of these: NeuralAnnot's
    FOLDER/images/s_01_act_02_subact_01_ca_01/s_01_act_02_subact_01_ca_01_000001.jpg

Joints are millimetres in the world, in the order of ``H36M17``; ``x_camera = R x_world + t``, millimetres,
and ``pixel = f x / z + c``: photos are distorted by the lens, these 2D joints are not. Files of before June
2020 held the camera's place in ``t`` and are refused. Fits stand in the world too, so their root is turned by
R; ``trans``, in metres, is left aside.

Frames count from 0, the photos' numbers from 1. As in that lineage every 5th frame is for training (S1, S5,
S6, S7, S8) and every 64th for tests (S9, S11), where cam 4, 60457274, is the frontal camera. The crop is the
box of the joints, as the box in the files is.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpt.bodies import Body
from mpt.crops import Crop
from mpt.datasets import fits
from mpt.datasets.files import field, finite, parsed, read_json, sound, with_images
from mpt.datasets.fits import MAX_FIT_MM, Fits
from mpt.datasets.sample import BOX_FACTOR, Joints3D, Keypoints, Sample, Samples, project, turned
from mpt.errors import InputError
from mpt.skeletons import H36M17

TRAINING, TEST = (1, 5, 6, 7, 8), (9, 11)
EVERY = dict.fromkeys(TRAINING, 5) | dict.fromkeys(TEST, 64)
FRONTAL = 4
FITS = ("smpl_param", "SMPL_NeuralAnnot")
KEYS = ("action_idx", "subaction_idx", "frame_idx")


@dataclass(frozen=True)
class Human36MSamples(Samples):
    dataset: str
    folder: Path
    arrays: dict[str, np.ndarray]
    fits: Fits

    def __len__(self) -> int:
        return len(self.arrays["file_name"])

    def image(self, index: int) -> Path:
        return self.folder / str(self.arrays["file_name"][index])

    def __getitem__(self, index: int) -> Sample:
        index = self.checked(index)
        row = {key: array[index] for key, array in self.arrays.items()}
        known = row["xyz_known"]
        xy = project(np.where(known[:, None], row["xyz_m"], [0, 0, 1]), row["K"])
        photo = self.image(index)
        return Sample(
            self.dataset,
            photo,
            Crop.around(xy[known], BOX_FACTOR),
            keypoints=Keypoints(H36M17, xy, known * 1.0),
            joints=Joints3D(H36M17, row["xyz_m"], known),
            parameters=self.fits.parameters(index),
            intrinsics=row["K"],
            subject=f"S{row['subject']}",
            sequence=photo.parent.name,
            frame=int(row["frame"]),
        )


def lies_in(folder: Path, subjects: tuple[int, ...]) -> bool:
    """Whether a folder holds this form of any of these subjects."""
    return any(_file(folder, subject, "data").exists() for subject in subjects)


def read(
    dataset: str,
    folder: Path,
    subjects: tuple[int, ...],
    *,
    frontal: bool,
    strict: bool,
    body: Body | None = None,
    max_fit_mm: float = MAX_FIT_MM,
) -> Samples:
    """Samples of some subjects, of the frontal camera alone or of all four."""
    each = [_read_subject(folder, subject) for subject in subjects]
    arrays = {key: np.concatenate([part[key] for part in each]) for key in each[0]}
    if frontal:
        arrays = {key: array[arrays["cam"] == FRONTAL] for key, array in arrays.items()}
    source = folder / "annotations"
    everywhere = np.ones(arrays["xyz_m"].shape[:2], bool)
    arrays["xyz_m"], arrays["xyz_known"] = finite(
        source, "3D joints", arrays["xyz_m"], everywhere, strict=strict
    )
    arrays = {key: array[arrays["xyz_known"].any(1)] for key, array in arrays.items()}
    joints = Joints3D(H36M17, arrays["xyz_m"], arrays["xyz_known"])
    fitted = fits.of_columns(source, arrays, strict=strict)
    _warn_of_some(source, arrays["subject"], fitted.known)
    near = fitted.near(joints, H36M17.joints, body, max_fit_mm)
    return with_images(Human36MSamples(dataset, folder / "images", arrays, near), source, strict=strict)


def _read_subject(folder: Path, subject: int) -> dict[str, np.ndarray]:
    data, camera, joints = (_file(folder, subject, name) for name in ("data", "camera", "joint_3d"))
    for path in (data, camera, joints):
        if not path.exists():
            raise InputError(
                f"{path}: is not there, beside those of other subjects or kinds; download all that "
                "I2L-MeshNet's page names"
            )
    given = [_file(folder, subject, name) for name in FITS]
    fitted = next((path for path in given if path.exists()), given[0])
    arrays = parsed(
        lambda: _parse(data, camera, joints, fitted, EVERY[subject]), data, camera, joints, fitted
    )
    return arrays | {"subject": np.full(len(arrays["frame"]), subject)}


def _file(folder: Path, subject: int, name: str) -> Path:
    return folder / "annotations" / f"Human36M_subject{subject}_{name}.json"


def _parse(data: Path, camera: Path, joints: Path, fitted: Path, every: int) -> dict[str, np.ndarray]:
    """What the files tell of every so many frames, in camera axes and metres."""
    content = read_json(data)
    photos = field(data, lambda: [p for p in content["images"] if p["frame_idx"] % every == 0], "images")
    count = len(photos)

    def array(path: Path, make: Callable[[dict], object], what: str, *shape: int) -> np.ndarray:
        return field(path, lambda: np.array([make(p) for p in photos], float).reshape(count, *shape), what)

    def of_photos(key: str) -> np.ndarray:
        return array(data, lambda p: p[key], key).astype(int)

    cameras, world = read_json(camera), read_json(joints)
    R, t, f, c = (
        sound(camera, key, array(camera, lambda p, key=key: cameras[str(p["cam_idx"])][key], key, *shape))
        for key, shape in (("R", (3, 3)), ("t", (3,)), ("f", (2,)), ("c", (2,)))
    )
    xyz = array(joints, lambda p: _entry(world, p), "joints", 17, 3)
    xyz = np.einsum("nij,nkj->nki", R, xyz) + t[:, None]
    size = np.stack([of_photos("width"), of_photos("height")], 1)
    _check_in_photos(camera, xyz[:, H36M17.index("pelvis")], f, c, size)
    K = np.tile(np.eye(3), (count, 1, 1))
    K[:, [0, 1], [0, 1]], K[:, :2, 2] = f, c

    entries = read_json(fitted) if fitted.exists() else {}
    columns = fits.columns(fitted, field(fitted, lambda: [_fit(entries, p) for p in photos], "entries"))
    columns["pose"][:, 0] = turned(R, columns["pose"][:, 0])
    return columns | {
        "file_name": field(data, lambda: np.array([p["file_name"] for p in photos], str), "file_name"),
        "cam": of_photos("cam_idx"),
        "frame": of_photos("frame_idx"),
        "xyz_m": (xyz / 1000).astype(np.float32),
        "K": K,
    }


def _entry(tree: Any, photo: dict) -> Any:
    """What a file of actions, subactions and frames holds of a photo."""
    for key in KEYS:
        tree = tree[str(photo[key])]
    return tree


def _fit(tree: dict, photo: dict) -> dict | None:
    try:
        return _entry(tree, photo)
    except KeyError:
        return None


def _check_in_photos(
    camera: Path, pelvis_mm: np.ndarray, f: np.ndarray, c: np.ndarray, size: np.ndarray
) -> None:
    """Refuse cameras through which most people stand outside their photos."""
    front = pelvis_mm[:, 2] > 0
    xy = f * pelvis_mm[:, :2] / np.where(front, pelvis_mm[:, 2], 1)[:, None] + c
    if (front & (xy >= 0).all(1) & (xy < size).all(1)).mean() < 0.5:
        raise InputError(
            f"{camera}: most people stand outside their photos, as in files of before June 2020, whose t is "
            "the camera's place, where the world's in the camera was expected; download it again"
        )


def _warn_of_some(source: Path, subject: np.ndarray, known: np.ndarray) -> None:
    """Say whose fits are missing, where others' are there."""
    without = [str(number) for number in np.unique(subject) if not known[subject == number].any()]
    if without and known.any():
        warnings.warn(
            f"{source}: no SMPL fits of subject {', '.join(without)} lie beside the others'; their joints "
            "alone are taken",
            stacklevel=3,
        )
