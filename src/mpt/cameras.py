"""Cameras: the paper's four virtual ones, eight by interpolation, random ones; full and weak perspective.

World: y up, metres, the body's mid-hip at the origin. Camera: x right, y down, z forward. A rig is a set of
cameras; training draws one for each mesh (Section 3.1, supplement A and B).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Human3.6M, subject S1, in the data set's file order (facts of the released calibration): world z up, mm.
# focal (x, y) px, principal point (x, y) px, rotation world -> camera, translation; about 1000 x 1000 px.
_H36M_S1 = (
    (
        (1145.04940458804, 1143.78109572365),
        (512.541504956548, 515.4514869776),
        (
            (-0.9153617321513369, 0.40180836633680234, 0.02574754463350265),
            (0.051548117060134555, 0.1803735689384521, -0.9822464900705729),
            (-0.399319034032262, -0.8977836111057917, -0.185819527201491),
        ),
        (-346.0507814002807, 546.9807793144, 5474.481087434061),
    ),
    (
        (1149.67569986785, 1147.59161666764),
        (508.848621645943, 508.064917088557),
        (
            (0.9281683400814921, 0.3721538354721445, 0.002248380248018696),
            (0.08166409428175585, -0.1977722953267526, -0.976840363061605),
            (-0.3630902204349604, 0.9068559102440475, -0.21395758897485287),
        ),
        (251.4251627175084, 420.9422103702068, 5588.195881837821),
    ),
    (
        (1149.14071676148, 1148.7989685676),
        (519.815837182153, 501.402658888552),
        (
            (-0.9141549520542256, -0.4027780222811878, -0.045722952682337906),
            (-0.04562341383935875, 0.21430849526487267, -0.9756999400261069),
            (0.40278930937200774, -0.889854894701693, -0.214287280609606),
        ),
        (480.482559565337, 253.83237471361562, 5704.2076793704555),
    ),
    (
        (1145.51133842318, 1144.77392807652),
        (514.968197319863, 501.882018537695),
        (
            (0.9141562410494211, -0.40060705854636447, 0.061905989962380774),
            (-0.05641000739510571, -0.2769531972942539, -0.9592261660183036),
            (0.40141783470104664, 0.8733904688919611, -0.2757767409202658),
        ),
        (51.883476375591975, 378.42084254267655, 4406.149140878431),
    ),
)

H36M_CAMERAS = ("54138969", "55011271", "58860488", "60457274")
"""Numbers of Human3.6M's cameras in the same order; the last one is the frontal camera."""

_Z_UP_FROM_Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@dataclass(frozen=True)
class Cameras:
    """C perspective cameras.

    ``x_camera = rotation @ x_world + translation``, ``pixel = focal * (x, y)_camera / z + principal``.
    """

    rotation: Tensor  # (C, 3, 3)
    translation: Tensor  # (C, 3) metres
    focal_px: Tensor  # (C, 2)
    principal_px: Tensor  # (C, 2)

    def __len__(self) -> int:
        return len(self.rotation)

    def __getitem__(self, index) -> "Cameras":
        return Cameras(
            self.rotation[index], self.translation[index], self.focal_px[index], self.principal_px[index]
        )

    def to(self, device: torch.device | str) -> "Cameras":
        return Cameras(*(t.to(device) for t in vars(self).values()))

    @property
    def centers(self) -> Tensor:
        """(C, 3) camera positions in the world, metres."""
        return -(self.rotation.mT @ self.translation[..., None])[..., 0]

    def world_to_camera(self, points: Tensor) -> Tensor:
        """(C, N, 3) world points, each camera its own row -> camera axes, metres."""
        return points @ self.rotation.mT + self.translation[:, None]

    def project(self, points_camera: Tensor) -> Tensor:
        """(C, N, 3) camera-axes points, in front of the camera -> (C, N, 2) pixels."""
        ratio = points_camera[..., :2] / points_camera[..., 2:].clamp_min(0.05)
        return ratio * self.focal_px[:, None] + self.principal_px[:, None]


def h36m_s1(views: int = 4) -> Cameras:
    """The paper's virtual cameras: 1, 2 or 4 of Human3.6M subject S1, or 8: one more between neighbours.

    An interpolated camera stands half way in azimuth, at the average radius, height and focal length of its
    two neighbours, aimed and rolled as they are on average (supplement B; its exact rule is not published).
    """
    focal, principal, rotation, translation = (np.array(x) for x in zip(*_H36M_S1, strict=True))
    rotation, translation = rotation @ _Z_UP_FROM_Y_UP, translation / 1000
    if views in (1, 2, 4):
        return _cameras(rotation[:views], translation[:views], focal[:views], principal[:views])
    if views != 8:
        raise ValueError(f"the virtual rig has 1, 2, 4 or 8 views, not {views}")

    # A camera on its circle: azimuth, and what it is when turned about the vertical to azimuth 0.
    center = -np.einsum("cji,cj->ci", rotation, translation)
    azimuth = np.arctan2(center[:, 0], center[:, 2])
    order = np.argsort(azimuth)
    between = []
    for a, b in zip(order, np.roll(order, -1), strict=True):
        step = (azimuth[b] - azimuth[a]) % (2 * math.pi)
        turn = azimuth[a] + step / 2
        aimed = sum(rotation[c] @ _rotation_y(azimuth[c]) for c in (a, b))  # both seen from azimuth 0
        u, _, vt = np.linalg.svd(aimed)
        local_center = (_rotation_y(-azimuth[a]) @ center[a] + _rotation_y(-azimuth[b]) @ center[b]) / 2
        new_rotation = u @ vt @ _rotation_y(-turn)
        new_center = _rotation_y(turn) @ local_center
        between.append(
            (new_rotation, -new_rotation @ new_center, focal[[a, b]].mean(0), principal[[a, b]].mean(0))
        )
    extra = [np.stack(x) for x in zip(*between, strict=True)]
    return _cameras(
        *(
            np.concatenate([x, y])
            for x, y in zip((rotation, translation, focal, principal), extra, strict=True)
        )
    )


def h36m_intrinsics(camera: str) -> np.ndarray:
    """(3, 3) pinhole matrix in pixels of one of H36M_CAMERAS, the same for all subjects; no distortion."""
    focal, principal, *_ = _H36M_S1[H36M_CAMERAS.index(camera)]
    return np.array([[focal[0], 0, principal[0]], [0, focal[1], principal[1]], [0, 0, 1]])


@dataclass(frozen=True)
class RandomCameras:
    """Ranges that random cameras are drawn from, most of them evenly; the axis passes near the mid-hip."""

    pitch_deg: tuple[float, float] = (-15, 45)
    """Positive looks down on the person."""
    level_share: float = 0.6
    """Share of cameras at about eye level, as most photos are: pitch 6 with a standard deviation of 9."""
    roll_deg: tuple[float, float] = (-10, 10)
    distance_m: tuple[float, float] = (2.0, 10.0)
    """Drawn uniformly in 1 / distance, which is how perspective grows."""
    offset: float = 0.05
    """Largest shift of the mid-hip from the optical axis, as a share of the distance."""
    focal_px: tuple[float, float] = (800, 1600)

    def draw(
        self, count: int, generator: torch.Generator | None = None, device: str | torch.device = "cpu"
    ) -> Cameras:
        u = torch.rand(count, 7, generator=generator, device=device)
        yaw = (2 * u[:, 0] - 1) * math.pi
        level = torch.rand(count, generator=generator, device=device) < self.level_share
        at_eye_level = 6 + 9 * torch.randn(count, generator=generator, device=device)
        pitch = torch.deg2rad(torch.where(level, at_eye_level, _between(u[:, 1], self.pitch_deg)))
        roll = torch.deg2rad(_between(u[:, 2], self.roll_deg))
        near, far = self.distance_m
        distance = 1 / _between(u[:, 3], (1 / far, 1 / near))
        shift = (2 * u[:, 4:6] - 1) * self.offset * distance[:, None]
        focal = _between(u[:, 6], self.focal_px)[:, None].expand(-1, 2)
        rotation = view_rotation(yaw, pitch, roll)
        return Cameras(
            rotation, torch.cat([shift, distance[:, None]], 1), focal, torch.full_like(focal, 500.0)
        )


HAND_CAMERAS = RandomCameras(
    pitch_deg=(-90, 90), level_share=0.0, roll_deg=(-180, 180), distance_m=(0.25, 1.5)
)
"""From anywhere: a hand has no up."""


def view_rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """(N, 3, 3) world -> camera rotations of cameras that look at the origin; radians, (N,) each.

    At zero the camera stands on +z and sees the rest pose from the front; ``yaw`` moves it towards +x,
    ``pitch`` up (looking down), ``roll`` turns it clockwise about its axis.
    """
    to_camera_axes = torch.diag(yaw.new_tensor([1.0, -1.0, -1.0]))
    return _about(2, -roll) @ to_camera_axes @ _about(0, pitch) @ _about(1, -yaw)


def weak_perspective(points: Tensor, camera: Tensor) -> Tensor:
    """(N, P, 3) metres, (N, 3) cameras (s, tx, ty) -> (N, P, 2) in the crop's [-1, 1]: ``s * (xy + t)``."""
    return camera[:, None, :1] * (points[..., :2] + camera[:, None, 1:])


def fit_translation(points: Tensor, seen: Tensor, weights: Tensor, projection: Tensor) -> Tensor:
    """Where bodies stand: translations (N, 3) by which points (N, P, 3) best project onto ``seen`` (N, P, 2).

    projection: (N, 3, 3) points before the camera -> homogeneous coordinates in which they are seen, as a
    pinhole matrix does. Linear least squares of ``(p_x - u p_z) (x + t) = 0`` and the same in y, where p are
    the projection's rows, weighted by weights (N, P) >= 0.
    """
    rows = projection[:, None, :2] - seen[..., None] * projection[:, None, 2:]  # (N, P, 2, 3)
    known = -(rows @ points[..., None])[..., 0]  # (N, P, 2)
    w = weights.sqrt()[..., None]
    rows, known = rows * w[..., None], known * w
    # torch's own choice on a CPU, gelsy, begins with pivots that it never set: its last digits are chance's.
    driver = None if rows.is_cuda else "gelsd"
    found = torch.linalg.lstsq(rows.flatten(1, 2), known.flatten(1, 2)[..., None], driver=driver)
    return found.solution[..., 0]


def aim(rays: Tensor) -> Tensor:
    """(N, 3, 3) smallest rotations that take the optical axis (0, 0, 1) to rays (N, 3) of any length, z > 0.

    A crop away from the picture's middle is seen along its own ray; what is told in the axes of a camera that
    is aimed along it is brought to the true camera's axes by this rotation, and back by its transpose.
    """
    x, y, z = (rays / rays.norm(dim=-1, keepdim=True)).unbind(-1)
    k = 1 / (1 + z)
    rows = [1 - k * x * x, -k * x * y, x, -k * x * y, 1 - k * y * y, y, -x, -y, z]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def _about(axis: int, angle: Tensor) -> Tensor:
    """(N, 3, 3) right-handed rotations about a coordinate axis."""
    c, s = angle.cos(), angle.sin()
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.zeros(*angle.shape, 3, 3, device=angle.device, dtype=angle.dtype)
    matrix[..., axis, axis] = 1
    matrix[..., i, i], matrix[..., i, j] = c, -s
    matrix[..., j, i], matrix[..., j, j] = s, c
    return matrix


def _rotation_y(angle: float) -> np.ndarray:
    return _about(1, torch.tensor(angle, dtype=torch.float64)).numpy()


def _between(unit: Tensor, bounds: tuple[float, float]) -> Tensor:
    return bounds[0] + unit * (bounds[1] - bounds[0])


def _cameras(*parts: np.ndarray) -> Cameras:
    return Cameras(*(torch.as_tensor(part, dtype=torch.float32) for part in parts))
