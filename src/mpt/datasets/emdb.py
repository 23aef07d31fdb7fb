"""EMDB (Kaufmann et al., ICCV 2023), the official sequence files.

    FOLDER/P0/09_outdoor_walk/P0_09_outdoor_walk_data.pkl
    FOLDER/P0/09_outdoor_walk/images/00000.jpg

A sequence file is a pickle of numbers, text and arrays (dataset.md of eth-ait/emdb), and is read as such and
nothing else. Of one person in T photos: ``n_frames`` T, ``emdb1`` and ``emdb2`` whether the sequence belongs
to these two benchmarks, ``gender`` a word, ``good_frames_mask`` (T,), ``camera``: ``intrinsics`` (3, 3) and
``extrinsics`` (T, 4, 4) world -> camera, ``smpl``: ``poses_root`` (T, 3) in world axes, ``poses_body`` (T,
69), ``betas`` (10,) and ``trans`` (T, 3) metres, ``kp2d`` (T, 24, 2) SMPL's joints projected, px, and
``bboxes``: ``bboxes`` (T, 4) x_min, y_min, x_max, y_max, px.

A frame counts where it is good: the others, chosen by hand, show nobody. The crop is that of the set's box;
where that is empty, of the projected joints. SMPL is the gendered one. The files hold no joints in 3D: who
gives SMPL's bodies gets them, absolute in camera axes.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from mpt.bodies import Body, pickles
from mpt.bodies.smpl import Gender
from mpt.crops import Crop
from mpt.datasets.files import AbsentError, field, finite, one_of, pinholes, with_images
from mpt.datasets.sample import BOX_FACTOR, BodyParameters, Joints3D, Keypoints, Sample, Samples, turned
from mpt.errors import InputError
from mpt.skeletons import SMPL24

NAME = "emdb"
SPLITS = {"emdb1": 17, "emdb2": 25, "all": 81}
"""How many sequences there are of each."""
GENDERS: dict[str, Gender] = {"female": "female", "male": "male", "neutral": "neutral"}


@dataclass(frozen=True)
class Track:
    """A sequence, at the T frames that count; camera axes, metres, pixels."""

    subject: str
    sequence: str
    frames: np.ndarray  # (T,)
    pose: np.ndarray  # (T, 24, 3)
    betas: np.ndarray  # (10,)
    gender: Gender
    xyz_m: np.ndarray | None  # (T, 24, 3)
    keypoints: np.ndarray  # (T, 24, 2)
    known: np.ndarray  # (T, 24) of the keypoints
    corners: np.ndarray  # (T, 2, 2) of the person's box
    intrinsics: np.ndarray  # (3, 3)


@dataclass(frozen=True)
class EmdbSamples(Samples):
    folder: Path
    tracks: list[Track]
    rows: np.ndarray  # (N, 2) track, and index into its frames
    dataset: str = NAME

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> Path:
        track, t = self.tracks[self.rows[index, 0]], self.rows[index, 1]
        return self.folder / track.subject / track.sequence / "images" / f"{track.frames[t]:05d}.jpg"

    def __getitem__(self, index: int) -> Sample:
        index = self.checked(index)
        track, t = self.tracks[self.rows[index, 0]], self.rows[index, 1]
        everywhere = np.ones(len(SMPL24), bool)
        return Sample(
            self.dataset,
            self.image(index),
            Crop.around(track.corners[t], BOX_FACTOR),
            keypoints=Keypoints(SMPL24, track.keypoints[t], track.known[t].astype(np.float32)),
            joints=None if track.xyz_m is None else Joints3D(SMPL24, track.xyz_m[t], everywhere),
            parameters=BodyParameters("smpl", track.pose[t], track.betas, track.gender),
            intrinsics=track.intrinsics,
            subject=track.subject,
            sequence=track.sequence,
            frame=int(track.frames[t]),
        )


def read(
    folder: str | Path,
    split: str = "emdb1",
    *,
    people: dict[Gender, Body] | None = None,
    strict: bool = False,
) -> Samples:
    """Splits: emdb1 (meshes frame by frame), emdb2 (ways through the world), all. None is for training.

    Samples stand in the order of people, sequences, frames. A split of which sequences are missing is read
    with a warning.

    people: SMPL by gender, which tells where a person's 24 joints are.
    strict: refuse missing sequences, missing photos and numbers that are not finite.
    """
    folder = Path(folder)
    files = _files(folder)
    count = one_of(split, SPLITS, "EMDB")
    tracks = [
        read_sequence(path, data, people=people, strict=strict)
        for path, data in ((path, pickles.read(path)) for path in files)
        if split == "all" or _belongs(path, data, split)
    ]
    if not tracks:
        raise AbsentError(f"{folder}: none of its {len(files)} sequences is of {split}; unzip these, too")
    if len(tracks) < count:
        missing = f"{folder}: holds {len(tracks)} of the {count} sequences of {split}"
        if strict:
            raise InputError(f"{missing}; unzip the others, too")
        warnings.warn(f"{missing}; figures on a part are comparable with no others", stacklevel=2)
    rows = [(i, t) for i, track in enumerate(tracks) for t in range(len(track.frames))]
    return with_images(EmdbSamples(folder, tracks, np.array(rows, int).reshape(-1, 2)), folder, strict=strict)


def read_sequence(
    path: Path, data: dict, *, people: dict[Gender, Body] | None = None, strict: bool = False
) -> Track:
    """The person of a sequence at the frames that count, from what its file holds.

    Raises InputError for a file that lacks a field or has one of another shape.
    """
    count = field(path, lambda: int(data["n_frames"]), "n_frames")
    if count < 1:
        raise InputError(f"{path}: the sequence has {count} frames; unzip it again")

    def numbers(group: str, key: str, *shape: int) -> np.ndarray:
        return field(path, lambda: np.asarray(data[group][key], np.float64).reshape(shape), f"{group} {key}")

    intrinsics = pinholes(path, "camera intrinsics", numbers("camera", "intrinsics", 3, 3))
    extrinsics = numbers("camera", "extrinsics", count, 4, 4)
    root = numbers("smpl", "poses_root", count, 1, 3)
    pose = np.concatenate([root, numbers("smpl", "poses_body", count, 23, 3)], 1)
    trans, betas = numbers("smpl", "trans", count, 3), numbers("smpl", "betas", 10)
    corners = numbers("bboxes", "bboxes", count, 2, 2)
    keypoints = field(path, lambda: np.asarray(data["kp2d"], np.float64).reshape(count, 24, 2), "kp2d")
    good = field(path, lambda: np.asarray(data["good_frames_mask"], bool).reshape(count), "good_frames_mask")
    gender = field(path, lambda: GENDERS[str(data["gender"])], "gender")

    shape = np.broadcast_to(betas, (count, 10))
    posed = np.concatenate([pose.reshape(count, -1), extrinsics.reshape(count, -1), trans, shape], 1)
    posed, good = finite(path, "poses", posed, good, strict=strict)
    asked = np.broadcast_to(good[:, None], (count, 24))
    keypoints, known = finite(path, "2D joints", keypoints, asked, strict=strict)
    corners = _boxes(corners, keypoints, known)
    frames = np.flatnonzero(good & np.isfinite(corners).all((1, 2)))

    pose, extrinsics, trans = pose[frames], extrinsics[frames], trans[frames]
    body = (people or {}).get(gender)
    xyz_m = None if body is None else _joints(body, pose, betas, trans, extrinsics)
    pose[:, 0] = turned(extrinsics[:, :3, :3], pose[:, 0])
    return Track(
        path.parent.parent.name, path.parent.name, frames, pose.astype(np.float32),
        betas.astype(np.float32), gender, xyz_m, keypoints[frames].astype(np.float32), known[frames],
        corners[frames], intrinsics,
    )  # fmt: skip


def _files(folder: Path) -> list[Path]:
    where = "give the folder that holds EMDB's P0 to P9"
    if not folder.is_dir():
        raise AbsentError(f"{folder}: no such folder; {where}")
    files = sorted(folder.glob("*/*/*_data.pkl"))
    if not files:
        raise AbsentError(
            f"{folder}: has no P0/09_outdoor_walk/P0_09_outdoor_walk_data.pkl or the like; {where}"
        )
    return files


def _belongs(path: Path, data: dict, split: str) -> bool:
    return bool(field(path, lambda: np.asarray(data[split], bool).reshape(()), split))


def _boxes(corners: np.ndarray, keypoints: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Boxes (T, 2, 2) of two corners each; those of the known joints where the set's are empty."""
    low = np.where(known[..., None], keypoints, np.inf).min(1)
    high = np.where(known[..., None], keypoints, -np.inf).max(1)
    sound = (corners[:, 1] > corners[:, 0]).all(1)  # not so where a number is NaN
    return np.where(sound[:, None, None], corners, np.stack([low, high], 1))


def _joints(
    body: Body, pose: np.ndarray, betas: np.ndarray, trans: np.ndarray, extrinsics: np.ndarray
) -> np.ndarray:
    """(T, 24, 3) the posed body's joints in camera axes, metres; ``pose`` and ``trans`` are in the world."""
    few = body.subset(torch.tensor([0])).to(dtype=torch.float64)  # joints need no mesh
    turns, shape, place = roma.rotvec_to_rotmat(torch.from_numpy(pose)), betas[None], torch.from_numpy(trans)
    world = few.forward(turns, torch.from_numpy(shape), place).heads.numpy()
    camera = np.einsum("tij,tkj->tki", extrinsics[:, :3, :3], world) + extrinsics[:, None, :3, 3]
    return camera.astype(np.float32)
