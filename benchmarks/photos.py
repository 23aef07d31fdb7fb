"""Error on real photos: one person seen by four calibrated cameras (Pose2Sim's demonstration, BSD-3-Clause).

python benchmarks/photos.py --model mpt-small --data pose2sim

BlazePose's 2D joints of the other three cameras, triangulated, are the truth for each single photo; the
photo's own mesh is scored against them, and so are BlazePose's own 3D landmarks. Limits: one person, three
moments, mostly standing; and the truth comes from the detector that also feeds the model, so what it gets
wrong in all views alike, nobody sees here.
"""

import json
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tyro
from measuring import LANDMARKS, LIMBS, body_px, limb_pa_mpjpe, predict, table, write_json

from mpt import checkpoint
from mpt.errors import InputError
from mpt.images import read_image
from mpt.pose2d.base import Person2D
from mpt.pose2d.finders import FINDERS
from mpt.skeletons import COCO17

OUTLIER_M = 0.08  # BlazePose is a few centimetres off; a view farther than this from a point is wrong


@dataclass(frozen=True)
class Camera:
    """World point X (metres) -> R X + t -> lens (OpenCV's k1 k2 p1 p2 k3) -> pixels by K."""

    K: np.ndarray
    distortion: np.ndarray
    R: np.ndarray
    t: np.ndarray

    def rays(self, points_px: np.ndarray) -> np.ndarray:
        """(N, 2) pixels -> (N, 2) on the plane at depth 1, the lens's distortion undone."""
        points = np.asarray(points_px, np.float64).reshape(-1, 1, 2)
        return cv2.undistortPoints(points, self.K, self.distortion).reshape(-1, 2)

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) world, metres -> (N, 2) pixels, distorted as the photo is."""
        turn = cv2.Rodrigues(self.R)[0]
        return cv2.projectPoints(np.float64(points), turn, self.t, self.K, self.distortion)[0].reshape(-1, 2)


def triangulate(
    cameras: list[Camera], points_px: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points (J, 3) in metres of what C >= 2 cameras see at ``points_px`` (C, J, 2) with ``scores`` (C, J).

    Of the points that any two views give, the one that all views together contradict least; then least
    squares of the distances to the rays, reweighted after Geman and McClure, so that a wrong view is hardly
    heard. Also returns those distances (C, J), metres.
    """
    rays = np.stack([camera.rays(points) for camera, points in zip(cameras, points_px)])  # (C, J, 2)
    projections = np.stack([np.column_stack([camera.R, camera.t]) for camera in cameras])  # (C, 3, 4)
    rows = rays[..., None] * projections[:, None, 2:] - projections[:, None, :2]  # (C, J, 2, 4)

    def nearest(weights: np.ndarray) -> np.ndarray:
        """Least squares, the weights (C, J) applying to distances."""
        weighted = (rows * weights[..., None, None]).transpose(1, 0, 2, 3).reshape(rays.shape[1], -1, 4)
        return np.stack([np.linalg.lstsq(w[:, :3], -w[:, 3], rcond=None)[0] for w in weighted])

    def distances(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.einsum("cjrk,jk->cjr", rows[..., :3], points) + rows[..., 3], axis=-1)

    best, least = np.zeros((rays.shape[1], 3)), np.full(rays.shape[1], np.inf)
    for pair in combinations(range(len(cameras)), 2):
        points = nearest(np.isin(np.arange(len(cameras)), pair)[:, None] * np.ones(rays.shape[:2]))
        blame = _contradiction(distances(points), scores)
        best, least = np.where((blame < least)[:, None], points, best), np.minimum(blame, least)
    for _ in range(30):
        best = nearest(np.sqrt(scores) / (1 + (distances(best) / OUTLIER_M) ** 2))
    return best, distances(best)


def _contradiction(distances: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(J,) how little the views (C, J) agree on each point; a view far off counts no more than one off."""
    return (scores * np.minimum(distances / OUTLIER_M, 1) ** 2).sum(0)


def agree_on_sides(
    cameras: list[Camera], points_px: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points and scores with left and right exchanged in those few views that took a back for a front."""
    count, best, least = len(cameras), (points_px, scores), np.inf
    for swapped in sorted(product([False, True], repeat=count), key=sum):
        order = np.where(np.array(swapped)[:, None], COCO17.flip, np.arange(len(COCO17)))  # (C, J)
        points = np.take_along_axis(points_px, order[..., None], 1)
        trust = np.take_along_axis(scores, order, 1)
        blame = _contradiction(triangulate(cameras, points, trust)[1], trust).sum()
        if sum(swapped) <= count / 2 and blame < 0.9 * least:
            best, least = (points, trust), blame
    return best


def read_cameras(path: Path) -> dict[str, Camera]:
    """Cameras by name from Pose2Sim's calibration as ``cameras.json`` holds it (millimetres)."""
    try:
        content = json.loads(path.read_text())
        return {
            name: Camera(*map(np.array, (one["K"], one["dist"], one["R"])), np.array(one["t_mm"]) / 1000)
            for name, one in content.items()
        }
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: no calibration of four cameras ({error}); give the folder that holds cameras.json "
            "and the photos"
        ) from error


def folder_of(data: Path) -> Path:
    """Where the photos and cameras.json are: in the folder that was named, or below it in images/pose2sim."""
    below = data / "images" / "pose2sim"
    return below if below.is_dir() else data


def foremost(people: list[Person2D]) -> Person2D | None:
    """The person who fills most of the photo: a second one stands in the back of two of the views."""
    return max(people, key=lambda person: person.bbox_xywh[2] * person.bbox_xywh[3], default=None)


@dataclass(frozen=True)
class Moment:
    """The same instant from all cameras: photos, people (None where nobody was found), points and scores."""

    photos: list[Path]
    people: list[Person2D | None]

    def triangulated(self, cameras: list[Camera], but: int | None = None) -> np.ndarray:
        """(17, 3) world joints from every camera in which the person was found, ``but`` left out."""
        used = [c for c, person in enumerate(self.people) if person is not None and c != but]
        joints = np.stack([body_px(self.people[c]) for c in used])
        seeing = [cameras[c] for c in used]
        return triangulate(seeing, *agree_on_sides(seeing, joints[..., :2], joints[..., 2]))[0]


def read_moments(folder: Path, names: list[str], pose2d) -> list[Moment]:
    """Moments in order; photos are called camera_moment.jpg."""
    moments = sorted({path.stem.split("_")[1] for path in folder.glob(f"{names[0]}_*.jpg")})
    photos = [[folder / f"{name}_{moment}.jpg" for name in names] for moment in moments]
    return [Moment(paths, [foremost(pose2d(read_image(path))) for path in paths]) for paths in photos]


def main(
    model: str = "mpt-small",
    data: Path = Path("pose2sim"),
    json: Path | None = None,
    pose2d: Literal["blazepose", "blazepose-heavy"] = "blazepose",
    mirrored_look: bool | None = None,
) -> None:
    """Score a model on photos from calibrated cameras.

    Args:
        model: a name, a model file or a run folder.
        data: folder that holds the photos, as cam01_f005.jpg, and cameras.json; or images/pose2sim.
        json: also write the figures to this file.
        pose2d: the 2D network that reads the photos.
        mirrored_look: let it look at each person in a mirror as well; without it as it does by itself.
    """
    mesh_model = checkpoint.load(model)
    folder = folder_of(data)
    named = read_cameras(folder / "cameras.json")
    cameras = list(named.values())
    size = mesh_model.transformer.config.heatmap_size
    looks = {} if mirrored_look is None else {"mirrored_look": mirrored_look}
    moments = read_moments(folder, list(named), FINDERS[pose2d](heatmap_size=size, **looks))

    rows, all_four = [], []
    for moment in moments:
        by_all = moment.triangulated(cameras)
        for c, person in enumerate(moment.people):
            photo = moment.photos[c].stem
            if person is None:
                rows.append([photo, None, None, None, None])
                continue
            truth = moment.triangulated(cameras, but=c)
            guesses = predict(mesh_model, person)[0], person.world_landmarks[LANDMARKS]
            ours, rival = (limb_pa_mpjpe(guess, truth) for guess in guesses)
            rows.append([photo, ours, rival, f"{ours / rival:.2f}", _off_mm(cameras[c], truth, person)])
            all_four.append([limb_pa_mpjpe(guess, by_all) for guess in guesses])

    found = [row for row in rows if row[1] is not None]
    ours, rival, off = (float(np.mean([row[k] for row in found])) for k in (1, 2, 4))
    rows.append([f"mean of {len(found)} of {len(rows)}", ours, rival, f"{ours / rival:.2f}", off])
    ours_all, rival_all = np.mean(all_four, 0).tolist()
    rows.append(["truth from all four", ours_all, rival_all, f"{ours_all / rival_all:.2f}", None])
    table(
        f"{model}, {pose2d}: PA-MPJPE, mm, of twelve limb joints against the other three cameras",
        ["photo", "mesh", "BlazePose 3D", "ratio", "its 2D off the truth"],
        rows,
    )
    print("bones of the triangulated person, mm (mean ± spread):", _lengths(moments, cameras))
    write_json(
        json,
        {
            "model": model,
            "pose2d": pose2d,
            "pa_mpjpe_mm": ours,
            "blazepose_pa_mpjpe_mm": rival,
            "ratio": ours / rival,
            "all_four_cameras": {"pa_mpjpe_mm": ours_all, "blazepose_pa_mpjpe_mm": rival_all},
            "photos": {row[0]: {"pa_mpjpe_mm": row[1], "blazepose_pa_mpjpe_mm": row[2]} for row in rows[:-2]},
        },
    )


def _off_mm(camera: Camera, truth: np.ndarray, person: Person2D) -> float:
    """Median distance of the limb joints from the truth across the line of sight."""
    miss = np.linalg.norm(camera.project(truth) - body_px(person)[:, :2], axis=1)
    depth = (truth @ camera.R.T + camera.t)[:, 2]
    return 1000 * float(np.median((miss * depth / camera.K[0, 0])[LIMBS]))


def _lengths(moments: list[Moment], cameras: list[Camera]) -> str:
    """A check of the truth: a person's bones have one length."""
    joints = [moment.triangulated(cameras) for moment in moments]
    said = []
    for bone in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
        ends = [COCO17.indices(*(f"{side}_{end}" for end in bone)) for side in ("left", "right")]
        lengths = [1000 * np.linalg.norm(j[a] - j[b]) for j in joints for a, b in ends]
        said.append(f"{bone[0]} to {bone[1]} {np.mean(lengths):.0f} ± {np.std(lengths):.0f}")
    return ", ".join(said)


if __name__ == "__main__":
    tyro.cli(main)
