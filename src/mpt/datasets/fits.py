"""SMPL that others fitted to a data set: whom it was fitted to, and which fits are near the set's own joints.

A fit is ``pose`` (72), axis-angle, and ``shape`` (10) of the neutral SMPL; where it is of a single photo,
also the camera in whose axes it stands, ``focal`` (2) and ``princpt`` (2) in pixels. Its place (``trans``) is
left aside, for meshes are compared about their root.

A mesh is posed with the fit's own betas, however large, as I2L-MeshNet poses its target and judges it: it
sets betas beyond 3 to 0 only where a network regresses them, which here none does. With other betas the mesh
would not be the one that was fitted. (Pose2Mesh sets them to 0 before posing.)

As in I2L-MeshNet, fits that miss the set's own 3D joints by more than 25 mm on average, the means of both put
on each other, are left out, and so are those to single photos whose projected joints miss the labelled ones;
the joints stay. Such a mesh would teach something else than the joints beside it.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import roma
import torch

from mpt.bodies import Body
from mpt.cameras import fit_translation
from mpt.datasets.files import field, finite, read_json
from mpt.datasets.sample import BodyParameters, Joints3D, Keypoints
from mpt.skeletons import H36M17, remap

MAX_FIT_MM = 25.0
MAX_SHARE = 3 * 1.25 / 64
"""Of a box's longer side: 3 pixels of a heatmap of 64 that shows 1.25 boxes, as I2L-MeshNet has it."""
BATCH = 1024


@dataclass(frozen=True)
class Fits:
    """Neutral SMPL of a data set's N people."""

    path: Path
    known: np.ndarray
    """(N,) whether a person has a fit."""
    pose: np.ndarray
    """(N, 24, 3) axis-angle, the root in camera axes."""
    betas: np.ndarray
    """(N, 10)"""
    cameras: np.ndarray | None = None
    """(N, 3, 3) pinhole matrices in pixels, where a fit has a camera of its own."""

    def parameters(self, index: int) -> BodyParameters | None:
        return BodyParameters("smpl", self.pose[index], self.betas[index]) if self.known[index] else None

    def camera(self, index: int) -> np.ndarray | None:
        return self.cameras[index] if self.cameras is not None and self.known[index] else None

    def near(
        self, joints: Joints3D, compared: Sequence[str], body: Body | None, max_fit_mm: float = MAX_FIT_MM
    ) -> "Fits":
        """The fits within ``max_fit_mm`` of all people's joints (N, J, 3); a warning counts the others.

        compared: joints that mean the same in the set and in Human3.6M's regressor.
        body: an SMPL with that regressor. No other body can tell, and keeps them all.
        """
        if body is None or body.metadata.get("shape_space") != "smpl" or not self.known.any():
            return self
        if H36M17.name not in body.regressors:
            warnings.warn(
                f"{self.path}: its fits are taken as they are, bad ones too, for {body.name} has no "
                "regressor of Human3.6M's joints; make it again with "
                "`mpt prepare body smpl FILE --h36m-regressor FILE`",
                stacklevel=3,
            )
            return self
        rows = np.flatnonzero(self.known)
        of_fits = Joints3D(joints.skeleton, joints.xyz_m[rows], joints.known[rows])
        near = np.zeros_like(self.known)
        near[rows] = fit_errors_mm(body, self.pose[rows], self.betas[rows], of_fits, compared) <= max_fit_mm
        return self._left(near, f"{max_fit_mm:g} mm from the 3D joints")

    def near_in_photos(self, seen: Keypoints, body: Body | None) -> "Fits":
        """The fits whose joints, the mesh put where it best projects, are near all people's labelled ones
        (N, J, 2), as I2L-MeshNet judges them; a warning counts the others. ``body`` as above; no other body
        can tell.
        """
        if body is None or body.metadata.get("shape_space") != "smpl" or not self.known.any():
            return self
        assert self.cameras is not None
        rows = np.flatnonzero(self.known)
        of_fits = Keypoints(seen.skeleton, seen.xy_px[rows], seen.confidence[rows])
        near = np.zeros_like(self.known)
        off = photo_errors(body, self.pose[rows], self.betas[rows], self.cameras[rows], of_fits)
        near[rows] = ~(off > MAX_SHARE)
        return self._left(near, f"{MAX_SHARE:.1%} of the person's size from the labelled 2D joints")

    def _left(self, near: np.ndarray, limit: str) -> "Fits":
        if gone := self.known.sum() - near.sum():
            warnings.warn(
                f"{self.path}: {gone:,} of {self.known.sum():,} fits are over {limit}; left out", stacklevel=4
            )
        return replace(self, known=near)


def by_id(path: Path, ids: Sequence[int | None]) -> list[dict | None]:
    """What a file of fits holds of people by their annotations' ids; None of those it does not hold."""
    content = read_json(path)
    return field(path, lambda: [content.get(str(number)) for number in ids], "ids")


def columns(path: Path, entries: Sequence[dict | None]) -> dict[str, np.ndarray]:
    """``has_smpl`` (N,), ``pose`` (N, 24, 3) and ``betas`` (N, 10) of N people's entries in a parsed file."""
    return {
        "has_smpl": np.array([entry is not None for entry in entries], bool),
        "pose": _column(path, entries, "pose", 24, 3),
        "betas": _column(path, entries, "shape", 10),
    }


def columns_of_photos(path: Path, entries: Sequence[dict | None]) -> dict[str, np.ndarray]:
    """The same of fits with a camera each, ``{smpl_param: {...}, cam_param: {...}}``, and ``cameras``."""

    def part(key: str) -> list[dict | None]:
        return field(path, lambda: [None if entry is None else entry[key] for entry in entries], key)

    cameras = np.tile(np.eye(3, dtype=np.float32), (len(entries), 1, 1))
    cameras[:, [0, 1], [0, 1]] = _column(path, part("cam_param"), "focal", 2)
    cameras[:, :2, 2] = _column(path, part("cam_param"), "princpt", 2)
    return columns(path, part("smpl_param")) | {"cameras": cameras}


def of_columns(path: Path, arrays: dict[str, np.ndarray], *, strict: bool) -> Fits:
    """Fits out of such columns, which leave ``arrays``; one that is no finite numbers is none."""
    pose, betas = arrays.pop("pose"), arrays.pop("betas")
    pose, known = finite(
        path, "SMPL poses", pose.reshape(len(pose), 72), arrays.pop("has_smpl"), strict=strict
    )
    betas, known = finite(path, "SMPL shapes", betas, known, strict=strict)
    cameras = arrays.pop("cameras", None)
    if cameras is not None:
        flat, known = finite(path, "SMPL cameras", cameras.reshape(len(pose), 9), known, strict=strict)
        cameras = flat.reshape(-1, 3, 3)
    return Fits(path, known, pose.reshape(-1, 24, 3), betas, cameras)


def _column(path: Path, entries: Sequence[dict | None], key: str, *shape: int) -> np.ndarray:
    """(N, ...) of one key, 0 for people without an entry."""
    given = [entry for entry in entries if entry is not None]
    values = np.zeros((len(entries), *shape), np.float32)
    values[[entry is not None for entry in entries]] = field(
        path, lambda: np.array([entry[key] for entry in given], np.float32).reshape(len(given), *shape), key
    )
    return values


@torch.no_grad()
def fit_errors_mm(
    body: Body, pose: np.ndarray, betas: np.ndarray, joints: Joints3D, compared: Sequence[str]
) -> np.ndarray:
    """(N,) mean distances of joints on SMPL (N, 24, 3), (N, 10) from the set's (N, J, 3), their means put on
    each other; not a number where no such joint is known.
    """
    body = body.to("cpu", torch.float32)
    regressor = body.regressors[H36M17.name].to_dense()[H36M17.indices(*compared)]
    touched = regressor.any(0).nonzero()[:, 0]  # some hundreds of vertices: no other is posed
    regressor, skin = regressor[:, touched], body.subset(touched)
    places = joints.skeleton.indices(*compared)
    errors = np.zeros(len(pose))
    for start in range(0, len(pose), BATCH):
        rows = slice(start, start + BATCH)
        turns = roma.rotvec_to_rotmat(torch.from_numpy(pose[rows]).float())
        mine = regressor @ skin.forward(turns, torch.from_numpy(betas[rows]).float()).vertices
        counted = torch.from_numpy(joints.known[rows][:, places]).float()
        apart = mine - torch.from_numpy(joints.xyz_m[rows][:, places]).float()
        mean = (counted[..., None] * apart).sum(1, keepdim=True) / counted.sum(1)[:, None, None]
        errors[rows] = 1000 * (counted * (apart - mean).norm(dim=-1)).sum(1) / counted.sum(1)
    return errors


@torch.no_grad()
def photo_errors(
    body: Body, pose: np.ndarray, betas: np.ndarray, cameras: np.ndarray, seen: Keypoints
) -> np.ndarray:
    """(N,) mean distances in the photo of joints on SMPL (N, 24, 3), (N, 10) from those seen (N, J, 2), as a
    share of the longer side of the former's box; the mesh is put where it best projects through its camera
    (N, 3, 3). Joints are the body's own, by name.
    """
    body = body.to("cpu", torch.float32)
    places = remap(seen.skeleton, body.skeleton)
    regressor = body.regressor.to_dense()
    touched = regressor.any(0).nonzero()[:, 0]
    regressor, skin = regressor[:, touched], body.subset(touched)
    errors = np.zeros(len(pose))
    for start in range(0, len(pose), BATCH):
        rows = slice(start, start + BATCH)
        turns = roma.rotvec_to_rotmat(torch.from_numpy(pose[rows]).float())
        mine = (regressor @ skin.forward(turns, torch.from_numpy(betas[rows]).float()).vertices).double()
        xy = torch.from_numpy(seen.xy_px[rows][:, places]).double()
        known = torch.from_numpy((seen.confidence[rows][:, places] > 0) & (places >= 0)).double()
        projection = torch.from_numpy(cameras[rows]).double()
        shift = fit_translation(mine, xy, known, projection)
        shown = (mine + shift[:, None]) @ projection.mT
        shown = shown[..., :2] / shown[..., 2:]
        side = (shown.amax(1) - shown.amin(1)).amax(-1)
        errors[rows] = (known * (shown - xy).norm(dim=-1)).sum(1) / known.sum(1) / side
    return errors
