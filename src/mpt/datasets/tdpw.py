"""3DPW (von Marcard et al., ECCV 2018), the official sequence files.

    FOLDER/sequenceFiles/{train,validation,test}/courtyard_arguing_00.pkl
    FOLDER/imageFiles/courtyard_arguing_00/image_00000.jpg

A sequence file is a Python 2 pickle of numbers, lists and text, and is read as such and nothing else. For P
people and T photos: ``poses`` P x (T, 72) with the root in world axes, ``betas`` P x (10 or more),
``genders`` m or f, ``jointPositions`` P x (T, 72) SMPL's 24 joints in the world, metres, ``poses2d`` P x (T,
3, 18) OpenPose's joints, px and confidence, ``cam_poses`` (T, 4, 4) world -> camera, ``campose_valid`` P x
(T), ``cam_intrinsics`` (3, 3).

A frame counts where the camera was aligned to it (``campose_valid``): 35,515 people in the test set. The crop
is the box of the detected joints, as in SPIN; where fewer than 6 were detected, that of the projected joints.
SMPL is the gendered one; METRO's figures put these betas into the neutral model instead, which is the
evaluation's choice.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.bodies import pickles
from mpt.crops import Crop
from mpt.datasets.files import field, finite, first_of, one_of, pinholes, with_images
from mpt.datasets.sample import (
    BOX_FACTOR,
    BodyParameters,
    Joints3D,
    Keypoints,
    Sample,
    Samples,
    project,
    turned,
)
from mpt.errors import InputError
from mpt.skeletons import SMPL24, Skeleton

NAME = "3dpw"
SPLITS = {"train": "train", "validation": "validation", "test": "test"}
GENDERS = {"m": "male", "f": "female"}
LEAST_DETECTED = 6
HIPS = SMPL24.root

OPENPOSE18 = Skeleton(
    "openpose18",
    (
        "nose", "openpose_neck", "right_shoulder", "right_elbow", "right_wrist",
        "left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle",
        "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
    ),
    (1, -1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15),
)  # fmt: skip


@dataclass(frozen=True)
class Track:
    """One person through one sequence, at the T frames that count; camera axes, metres."""

    sequence: str
    person: int
    frames: np.ndarray  # (T,)
    pose: np.ndarray  # (T, 24, 3)
    betas: np.ndarray  # (10,)
    gender: str
    xyz_m: np.ndarray  # (T, 24, 3)
    known: np.ndarray  # (T, 24)
    keypoints: np.ndarray  # (T, 18, 3)
    intrinsics: np.ndarray  # (3, 3)


@dataclass(frozen=True)
class TdpwSamples(Samples):
    folder: Path
    tracks: list[Track]
    rows: np.ndarray  # (N, 2) track, and index into its frames
    dataset: str = NAME

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> Path:
        track, t = self.tracks[self.rows[index, 0]], self.rows[index, 1]
        return self.folder / track.sequence / f"image_{track.frames[t]:05d}.jpg"

    def __getitem__(self, index: int) -> Sample:
        index = self.checked(index)
        track, t = self.tracks[self.rows[index, 0]], self.rows[index, 1]
        xy, confidence = track.keypoints[t, :, :2], track.keypoints[t, :, 2].clip(0, 1)
        hips = track.xyz_m[t, HIPS].mean(0, keepdims=True)
        detected = xy[confidence > 0]
        if len(detected) < LEAST_DETECTED:
            detected = project(track.xyz_m[t][track.known[t]], track.intrinsics)
        return Sample(
            self.dataset,
            self.image(index),
            Crop.around(detected, BOX_FACTOR),
            keypoints=Keypoints(OPENPOSE18, xy, confidence),
            joints=Joints3D(SMPL24, track.xyz_m[t], track.known[t]),
            parameters=BodyParameters("smpl", track.pose[t], track.betas, track.gender),
            intrinsics=track.intrinsics,
            root_px=project(hips, track.intrinsics)[0] if track.known[t, HIPS].all() else None,
            subject=str(track.person),
            sequence=track.sequence,
            frame=int(track.frames[t]),
        )


def read(folder: str | Path, split: str = "train", *, strict: bool = False) -> Samples:
    """Splits: train, validation, test. Samples stand in the order of files, people, frames.

    strict: refuse missing photos and numbers that are not finite, instead of leaving them out with a warning.
    """
    folder = Path(folder)
    source = first_of(folder, f"sequenceFiles/{one_of(split, SPLITS, '3DPW')}", what="3DPW's sequenceFiles")
    files = sorted(source.glob("*.pkl"))
    if not files:
        raise InputError(f"{source}: holds no .pkl sequence files; unzip sequenceFiles again")
    tracks = [track for file in files for track in read_sequence(file, strict=strict)]
    rows = [(i, t) for i, track in enumerate(tracks) for t in range(len(track.frames))]
    samples = TdpwSamples(folder / "imageFiles", tracks, np.array(rows, int).reshape(-1, 2))
    return with_images(samples, source, strict=strict)


def read_sequence(path: Path, *, strict: bool = False) -> list[Track]:
    """The people of one sequence file, each at the frames where the camera is known.

    Raises InputError for a file that is no whole pickle, names a class of its own, lacks a field or has no
    frames.
    """
    data = pickles.read(path)
    extrinsics = field(path, lambda: np.asarray(data["cam_poses"], np.float64).reshape(-1, 4, 4), "cam_poses")
    intrinsics = field(
        path, lambda: np.asarray(data["cam_intrinsics"], np.float64).reshape(3, 3), "cam_intrinsics"
    )
    pinholes(path, "cam_intrinsics", intrinsics)
    people = field(path, lambda: len(data["poses"]), "poses")
    if not people or not len(extrinsics):
        raise InputError(
            f"{path}: the sequence is empty ({people} people, {len(extrinsics)} frames); unzip it again"
        )
    return [_track(path, data, person, extrinsics, intrinsics, strict) for person in range(people)]


def _track(
    path: Path, data: dict, person: int, extrinsics: np.ndarray, intrinsics: np.ndarray, strict: bool
) -> Track:
    count = len(extrinsics)

    def of_person(key: str, *shape: int) -> np.ndarray:
        return field(path, lambda: np.asarray(data[key][person], np.float64).reshape(*shape), key)

    pose = of_person("poses", count, 24, 3)
    world = of_person("jointPositions", count, 24, 3)
    keypoints = of_person("poses2d", count, 3, 18).transpose(0, 2, 1)
    betas = field(path, lambda: np.ravel(data["betas"][person]).astype(np.float64)[:10].reshape(10), "betas")
    gender = field(path, lambda: GENDERS[str(data["genders"][person])], "genders")
    valid = of_person("campose_valid", count) > 0

    shape = np.broadcast_to(betas, (count, 10))
    posed = np.concatenate([pose.reshape(count, -1), extrinsics.reshape(count, -1), shape], 1)
    posed, valid = finite(path, f"poses of person {person}", posed, valid, strict=strict)
    frames = np.flatnonzero(valid)
    pose, rotation = posed[frames, :72].reshape(-1, 24, 3), extrinsics[frames, :3, :3]
    camera = np.einsum("tij,tkj->tki", rotation, world[frames]) + extrinsics[frames, None, :3, 3]
    everywhere = np.ones(camera.shape[:2], bool)
    camera, known = finite(path, f"3D joints of person {person}", camera, everywhere, strict=strict)
    keypoints = np.nan_to_num(keypoints[frames])
    pose[:, 0] = turned(rotation, pose[:, 0])
    return Track(
        path.stem, person, frames, pose.astype(np.float32), betas.astype(np.float32), gender,
        camera.astype(np.float32), known, keypoints.astype(np.float32), intrinsics,
    )  # fmt: skip
