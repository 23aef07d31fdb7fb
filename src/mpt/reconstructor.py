"""Photo or keypoints -> people with meshes: the 2D network finds and draws them, the transformer lifts them.

The transformer answers as if its camera were aimed at the person. Joints and mesh are brought to the axes of
the photo's camera (``mpt.views``), and then placed where they best project onto the 2D joints.
"""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from mpt import bodies, checkpoint
from mpt.bodies.fitting import BodyFitter
from mpt.cameras import fit_translation, weak_perspective
from mpt.checkpoint import Model
from mpt.crops import Crop, apply
from mpt.errors import InputError
from mpt.focal_lengths import FocalFrom, focal_in_px, principal_in_px
from mpt.guessed import guessed_joints
from mpt.images import kept, read_picture
from mpt.modeling.lifted import FACTOR, MIN_DEPTH_M, MIN_JOINTS, MIN_SCORE
from mpt.modeling.mesh_transformer import MeshPrediction
from mpt.modeling.upright import look_upright
from mpt.pose2d.base import Person2D, Pose2D
from mpt.pose2d.finders import FINDERS, finder_for
from mpt.pose2d.keypoints import Keypoints
from mpt.reconstruction import Reconstruction, Result
from mpt.results import Seconds
from mpt.threads import torch_threads
from mpt.views import Pinhole, camera_from_network

if TYPE_CHECKING:
    from mpt.images import Photo

NEAR_M = 0.1  # nobody's skin is nearer to the lens


@dataclass(frozen=True, eq=False)
class Placed:
    """What a model says of one person, in camera axes, metres about the root; as in ``Reconstruction``.

    Attributes:
        points: (P, 3) float32 of the mesh, the coarse or the full one.
        joints3d: (J, 3) float64.
        translation_m: (3,) where the root is.
    """

    points: np.ndarray
    joints3d: np.ndarray
    translation_m: np.ndarray
    joints3d_std_m: np.ndarray | None
    up: np.ndarray | None
    up_std_deg: float | None


class Reconstructor:
    """Finds people, or hands, in photos and reconstructs each; see :func:`load`.

    ``pose2d`` finds them and draws their heatmaps: by default BlazePose, for a model of hands BlazePalm.
    """

    def __init__(self, model: Model, pose2d: Pose2D | None = None) -> None:
        if model.transformer.config.inputs == "features":
            raise InputError(
                f"the model {model.name} reads image features of the 2D network in its run folder, not "
                "heatmaps: measure it on a data set's photos with `mpt evaluate`, or give one that reads "
                "heatmaps"
            )
        self.model = model
        # A copy: torch moves a tensor's memory, and frees what others saw of it, when it goes to a process.
        self._faces = model.faces.numpy().copy()
        self.pose2d = pose2d or FINDERS[finder_for(model.skeleton, model.name)](
            heatmap_size=self.heatmap_size
        )

    @property
    def heatmap_size(self) -> int:
        """Side in pixels of the heatmaps that the model reads."""
        return self.model.transformer.config.heatmap_size

    @torch_threads(1)
    def __call__(
        self,
        image: "Photo",
        *,
        keypoints: np.ndarray | None = None,
        mirrored: bool | Sequence[bool] = False,
        focal_px: float | None = None,
        focal_mm: float | None = None,
        fov_deg: float | None = None,
        principal_px: tuple[float, float] | None = None,
        pose: bool = True,
    ) -> Result:
        """Everybody in a photo, the surest first; an empty list where nobody is. Threads may call it at once.

        image: a file by its path, its content as bytes, or open; a PIL image; an array (H, W, 3), uint8, RGB;
            a tensor (``mpt.images.read_image``). What OpenCV has read is BGR: give ``image[..., ::-1]``.
        keypoints: (people, J, 3) joints known from elsewhere (17 of COCO, or 29 with feet and hands; 21 of a
            hand), x, y in pixels and score in 0-1 (0 is missing); nobody is searched then.
        mirrored: which hands of ``keypoints`` are left ones, or whether all are.
        focal_px: the camera's focal length in pixels. Without it the photo's EXIF is asked; without that the
            picture's diagonal is assumed, a view of 53 degrees from corner to corner. It moves people nearer
            or farther, and hardly bends them.
        focal_mm: instead of it, the 35 mm equivalent in millimetres, as phones tell it (26, of an uncropped
            photo).
        fov_deg: or the view from corner to corner, in degrees.
        principal_px: (x, y) where the optical axis meets the picture; its middle, if not given.
        pose: whether the body is laid on the meshes; without it they come some 20 ms earlier.

        Raises:
            InputError: no picture, keypoints of another shape or picture, a focal length that no camera has,
                or several, a principal point that is none.
        """
        start = time.perf_counter()
        photo = kept(image)
        pixels, exif_mm = read_picture(photo)
        if keypoints is None:
            seen = self.pose2d(pixels)
        else:
            skeleton, size = self.model.skeleton, self.heatmap_size
            seen = Keypoints(keypoints, skeleton=skeleton, mirrored=mirrored, heatmap_size=size)(pixels)
        seen_at = time.perf_counter()
        size_wh = pixels.shape[1], pixels.shape[0]
        people = self.lift(
            seen,
            size_wh,
            focal_px=focal_px,
            focal_mm=focal_mm,
            fov_deg=fov_deg,
            exif_mm=exif_mm,
            principal_px=principal_px,
            pose=pose,
        )
        end = time.perf_counter()
        seconds = Seconds(seen_at - start, end - seen_at, end - start)
        return Result(people, photo=photo, size_wh=size_wh, model=self.model.name, seconds=seconds)

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "fitter"}  # made again

    def __repr__(self) -> str:
        one, _ = self.model.skeleton.of
        finder = type(self.pose2d).__name__
        return f"<mpt.Reconstructor {self.model.name}: photo -> each {one}, found by {finder}>"

    @torch_threads(1)
    @torch.inference_mode()
    def lift(
        self,
        people: list[Person2D],
        size_wh: tuple[int, int],
        *,
        focal_px: float | None = None,
        focal_mm: float | None = None,
        fov_deg: float | None = None,
        exif_mm: float | None = None,
        principal_px: tuple[float, float] | None = None,
        pose: bool = True,
    ) -> list[Reconstruction]:
        """People found in a photo of ``size_wh`` pixels -> their meshes, all in one batch.

        exif_mm: the focal length that the photo's file tells (``mpt.images.read_picture``), where none is
            given.

        Their maps are read by the joints' names: those that the 2D network does not draw are empty, and those
        that the model does not read are left aside.
        """
        camera, focal_from = self.camera(
            size_wh,
            focal_px=focal_px,
            focal_mm=focal_mm,
            fov_deg=fov_deg,
            exif_mm=exif_mm,
            principal_px=principal_px,
        )
        if not people:
            return []
        people, prediction = self._read(people)
        faces = self._faces
        reconstructions = [
            Reconstruction(
                skeleton=person.skeleton,
                vertices=placed.points,
                faces=faces[:, ::-1].copy() if person.mirrored else faces,
                joints3d=placed.joints3d.astype(np.float32),
                translation_m=placed.translation_m,
                focal_px=camera.mean_focal_px,
                focal_assumed=camera.assumed,
                principal_px=camera.principal_px,
                camera=_weak_camera(placed.joints3d, placed.translation_m, camera, person.crop),
                crop=person.crop,
                joints2d_px=person.joints2d_px,
                score=person.score,
                bbox_xywh=person.bbox_xywh,
                mirrored=person.mirrored,
                joints3d_std_m=placed.joints3d_std_m,
                up=placed.up,
                up_std_deg=placed.up_std_deg,
                focal_from=focal_from,
                guessed_joints=guessed_joints(person.joints2d_px, person.score, person.skeleton, size_wh),
            )
            for person, placed in zip(people, self._placed(people, prediction, prediction.vertices, camera))
        ]
        return self._posed(reconstructions) if pose else reconstructions

    @torch_threads(1)
    @torch.inference_mode()
    def lift_coarsely(self, people: list[Person2D], camera: Pinhole) -> list["Placed"]:
        """People found in pictures of one camera, whose coarse meshes alone are wanted, all in one batch."""
        if not people:
            return []
        people, prediction = self._read(people, rows=torch.arange(1))
        return self._placed(people, prediction, prediction.coarse, camera)

    def camera(
        self,
        size_wh: tuple[int, int],
        *,
        focal_px: float | None = None,
        focal_mm: float | None = None,
        fov_deg: float | None = None,
        exif_mm: float | None = None,
        principal_px: tuple[float, float] | None = None,
    ) -> tuple[Pinhole, FocalFrom]:
        """The camera of a picture of ``size_wh`` pixels, and who says its focal length; see :meth:`lift`."""
        focal_px, focal_from = focal_in_px(size_wh, focal_px, focal_mm, fov_deg), "given"
        if focal_px is None:
            focal_px = focal_in_px(size_wh, focal_mm=exif_mm)
            focal_from = "assumed" if exif_mm is None else "exif"
        camera = Pinhole.of_size(size_wh, focal_px)
        if principal_px is not None:
            camera = replace(camera, principal_px=principal_in_px(size_wh, principal_px))
        return camera, focal_from

    def _read(
        self, people: list[Person2D], rows: torch.Tensor | None = None
    ) -> tuple[list[Person2D], MeshPrediction]:
        """People with the model's joints, and what it says of them; of the full mesh those rows, if told."""
        transformer, skeleton = self.model.transformer, self.model.skeleton
        for person in people:
            drawn = person.skeleton
            if len(person.heatmaps) != len(drawn):
                raise InputError(
                    f"the 2D network draws {len(person.heatmaps)} joints, and says that they are the "
                    f"{len(drawn)} of {drawn.name}: set Person2D.skeleton to what it draws"
                )
            if not set(drawn.joints) & set(skeleton.joints):
                raise InputError(
                    f"the 2D network draws {len(drawn)} joints, and the model {self.model.name} reads the "
                    f"{len(skeleton)} of {skeleton.name}: give one that fits the other"
                )
        people = [person.on(skeleton) for person in people]
        maps = torch.from_numpy(np.stack([person.heatmaps for person in people]))
        maps = maps.to(transformer.template_joints.device)
        prediction = look_upright(transformer, maps, skeleton, rows=rows)
        if not prediction.vertices.isfinite().all():
            raise InputError(
                f"the model {self.model.name} gives no numbers but NaN or infinity: its weights are damaged, "
                "get or train it again"
            )
        return people, prediction

    def _placed(
        self, people: list[Person2D], prediction: MeshPrediction, points: torch.Tensor, camera: Pinhole
    ) -> list["Placed"]:
        """What a model says of people, points (N, P, 3) of their meshes among it, in the camera's axes."""
        skeleton = self.model.skeleton
        joints, points = prediction.regressed.double().cpu(), points.cpu()
        cameras = prediction.camera.double().cpu()
        mirrored = [person.mirrored for person in people]
        up = None if prediction.up is None else prediction.up.double().cpu()
        for x in (joints[..., 0], points[..., 0], cameras[:, 1], *(() if up is None else (up[:, 0],))):
            x[mirrored] *= -1
        root = joints[:, skeleton.root].mean(1, keepdim=True)
        at_root = weak_perspective(root, cameras)[:, 0].clamp(-2, 2).numpy()  # in the crop, or beside it

        found = []
        for i, person in enumerate(people):
            turn = camera_from_network(camera, person.crop, at_root[i])
            joints3d = (joints[i] - root[i]).numpy() @ turn.T
            mesh = (points[i] - root[i].float()).numpy() @ turn.T.astype(np.float32)
            ray = camera.ray(apply(person.crop.image_from_ndc, at_root[i]))
            depth = 2 * camera.mean_focal_px / (max(float(cameras[i, 0]), 0.05) * person.crop.side_px)
            found.append(
                Placed(
                    points=mesh,
                    joints3d=joints3d,
                    translation_m=_place(joints3d, mesh[:, 2].min(), person, camera, ray * depth),
                    joints3d_std_m=_numpy(prediction.joints_std, i),
                    up=None if up is None else (turn @ up[i].numpy()).astype(np.float32),
                    up_std_deg=None if prediction.up_std is None else math.degrees(prediction.up_std[i]),
                )
            )
        return found

    def _posed(self, people: list[Reconstruction]) -> list[Reconstruction]:
        """With the body laid on their meshes, all in one batch."""
        with torch.inference_mode(False):  # what the body keeps may be asked for gradients by others
            if self.fitter is None:
                return people
            meshes = np.stack([person.vertices for person in people])
            poses = self.fitter(meshes, [person.mirrored for person in people])
        return [replace(person, pose=pose) for person, pose in zip(people, poses)]

    @cached_property
    def fitter(self) -> BodyFitter | None:
        """Lays bodies on meshes; None where the model's body is not here, or is another one by that name."""
        try:
            body = bodies.load(self.model.body)
        except InputError:
            return None
        if body.hash != self.model.body_hash:
            return None
        return BodyFitter(body.with_joints(self.model.skeleton))


def _numpy(batch: torch.Tensor | None, i: int) -> np.ndarray | None:
    return None if batch is None else batch[i].cpu().numpy()


def load(
    model: str | os.PathLike = "mpt-small", *, device: str = "auto", pose2d: Pose2D | None = None
) -> Reconstructor:
    """A reconstructor, by the name of a model that comes with mpt, a model file, or a run folder.

    device: "auto" is CUDA where there is one; else as torch names it.

    Raises:
        InputError: no such model, a broken one, no such device.
    """
    return Reconstructor(checkpoint.load(model, device_named(device)), pose2d)


def device_named(name: str) -> torch.device:
    """auto (CUDA where there is one), or as torch names it. Raises InputError where it cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"the device {name!r} cannot be used ({reason}): use auto, cpu or cuda") from None


def _place(
    joints: np.ndarray, nearest: float, person: Person2D, camera: Pinhole, guess: np.ndarray
) -> np.ndarray:
    """(3,) where the root of joints (J, 3) is: where they best project onto the person's 2D joints.

    Those that then lie far off are left out once. Where too few are seen or the result is absurd, ``guess``
    from the network's weak-perspective camera is taken. ``nearest`` is the mesh's least z.
    """
    least = max(MIN_DEPTH_M, NEAR_M - nearest)
    points, score = person.joints2d_px[:, :2], person.joints2d_px[:, 2]
    used = score >= MIN_SCORE
    if used.sum() >= MIN_JOINTS:
        placed = _fit(joints, points, score * used, camera)
        error_px = np.linalg.norm(camera.project(joints + placed) - points, axis=-1)
        near = used & (error_px <= max(3 * np.median(error_px[used]), 0.02 * person.crop.side_px))
        if MIN_JOINTS <= near.sum() < used.sum():
            placed = _fit(joints, points, score * near, camera)
        if placed[2] >= least and 1 / FACTOR < placed[2] / guess[2] < FACTOR:
            return placed
    return guess * (max(guess[2], least) / guess[2])


def _fit(joints: np.ndarray, points: np.ndarray, weights: np.ndarray, camera: Pinhole) -> np.ndarray:
    one = (torch.from_numpy(np.array(a, np.float64)[None]) for a in (joints, points, weights, camera.matrix))
    return fit_translation(*one)[0].numpy()


def _weak_camera(
    joints: np.ndarray, translation: np.ndarray, camera: Pinhole, crop: Crop
) -> tuple[float, float, float]:
    """(s, tx, ty) of least squares: joints (J, 3) -> where the perspective camera sees them in the crop."""
    seen = apply(crop.ndc_from_image, camera.project(joints + translation))
    xy, xy_mean, seen_mean = joints[:, :2], joints[:, :2].mean(0), seen.mean(0)
    spread = xy - xy_mean
    s = max(float((spread * (seen - seen_mean)).sum() / np.square(spread).sum().clip(1e-9)), 1e-3)
    tx, ty = seen_mean / s - xy_mean
    return s, float(tx), float(ty)
