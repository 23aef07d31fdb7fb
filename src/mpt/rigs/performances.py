"""Files of motion that a character can perform: what mpt writes of people, and motion capture."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import roma
import torch

from mpt import bodies, mocap
from mpt.bodies.body import Body
from mpt.bodies.motion import BodyMotion, middle_of_hips, turned
from mpt.errors import InputError
from mpt.mocap.limbs import LIMBS
from mpt.mocap.motion import Motion, check_numbers
from mpt.mocap.npz import Arrays
from mpt.rigs.gltf import FACING
from mpt.rigs.performing import Performance
from mpt.rigs.rig import Place

OWN = ("bones", "rotvec", "shape", "translation_m")
"""Names in mpt's files of people, of photos and films."""
FPS = 30.0
SKEWED = 1e-3  # by which a rotation matrix may be off


def read_performance(
    path: str | Path,
    *,
    scale: float | None = None,
    joint_map: Mapping[str, str] | None = None,
    up: mocap.Up | None = None,
) -> Performance:
    """Read a person of ``mpt reconstruct`` (.npz, of a film or of a photo), or motion capture as
    ``mpt.mocap.read`` does, which knows the options.

    A person is in camera axes; where the file tells no world (``world_rotation``, ``world_shift``) the camera
    is taken to have been held level. Raises InputError, one sentence that begins with the path.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz" and path.is_file():
        try:
            with Arrays(path) as arrays:
                if all(name in arrays for name in OWN):
                    return _person(path, {name: arrays[name] for name in arrays if name in READ})
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except OSError as error:
            raise InputError(
                f"{path}: it cannot be read ({error.strerror or error}), check the path"
            ) from error
    motion = mocap.read(path, scale=scale, joint_map=joint_map, up=up)
    return Performance(motion, np.arange(len(motion)) / motion.fps)


def performance_of(
    moving: BodyMotion, place: Place, *, name: str = "motion", in_world: bool = True
) -> Performance:
    """A body's motion, for a character to perform.

    place: leads from the axes of the motion to the world's, y up, the floor at 0.
    in_world: whether others share that world; else it begins where the character stands.
    """
    body, count = moving.body, len(moving)
    if "left_hip" not in body.roles:
        raise InputError(f"it moves {body.name}, which is no whole person: give a person's motion")
    shape = torch.from_numpy(np.ascontiguousarray(moving.shape, np.float64))[None]
    heads = body.to(dtype=torch.float64).rest(shape).heads[0].numpy()
    rotvec = np.array(moving.rotvec, np.float64)
    root = torch.from_numpy(place.rotation) @ roma.rotvec_to_rotmat(torch.from_numpy(rotvec[:, 0]))
    rotvec[:, 0] = roma.rotmat_to_rotvec(root).numpy()
    parents = np.array(body.parents)
    motion = Motion(
        name, name, moving.fps, body.bones, parents,
        np.where(parents[:, None] < 0, 0, heads - heads[parents]), rotvec,
        place(heads[0] + np.asarray(moving.translation_m, np.float64)),
        joint_map={role: bone for role, bone in body.roles.items() if role in LIMBS},
    )  # fmt: skip
    return Performance(motion, np.asarray(moving.times_s, np.float64)[:count], in_world)


READ = {*OWN, "times_s", "fps", "frames", "world_rotation", "world_shift", "camera_rotvec"}


def _person(path: Path, arrays: Mapping[str, np.ndarray]) -> Performance:
    """Of a film (F frames), or of a photo, whose arrays have no frames."""
    body = _body_of(arrays["bones"])
    rotvec = _numbers(arrays, "rotvec", 2 if arrays["rotvec"].ndim == 2 else 3)
    of_photo = rotvec.ndim == 2
    rotvec = rotvec[None] if of_photo else rotvec
    count = len(rotvec)
    shape = _numbers(arrays, "shape", 1)
    middle = _numbers(arrays, "translation_m", 1 if of_photo else 2).reshape(-1, 3)
    wanted = {
        "rotvec": (count, len(body.bones), 3),
        "translation_m": (count, 3),
        "shape": (body.shape_count,),
    }
    for name, came in (("rotvec", rotvec), ("translation_m", middle), ("shape", shape)):
        if came.shape != wanted[name]:
            raise InputError(
                f"'{name}' has shape {came.shape} where {wanted[name]} was expected, save it again"
            )
    if not count:
        raise InputError("it holds no frames, a motion of at least one was expected, write it again")
    times, fps = _times(arrays, count)
    placeless = BodyMotion(body, rotvec, shape, np.zeros((count, 3)), times, fps)
    # The file places the middle of the hips, a body's translation its root.
    moving = replace(placeless, translation_m=middle - middle_of_hips(placeless))
    if "camera_rotvec" in arrays and not of_photo:  # which turns from frame to frame: all as the first saw it
        cameras = _numbers(arrays, "camera_rotvec", 2)
        if cameras.shape != (count, 3):
            raise InputError(
                f"'camera_rotvec' has shape {cameras.shape} where {(count, 3)} was expected, save it again"
            )
        moving = turned(moving, roma.rotvec_to_rotmat(torch.from_numpy(-cameras)).numpy())
    known = "world_rotation" in arrays and "world_shift" in arrays
    return performance_of(moving, _world(arrays) if known else LEVEL, name=path.stem, in_world=known)


LEVEL = Place(np.diag(FACING).astype(float), np.zeros(3))
"""From the axes of a camera that is held level."""


def _body_of(names: np.ndarray) -> Body:
    body = bodies.load()
    if names.tolist() != list(body.bones):
        some = ", ".join(map(str, names.ravel()[:3].tolist()))
        raise InputError(
            f"its {names.size} bones ({some} ...) are not those of {body.name}, the body of the package: "
            "give the motion of a person, made by a model of that body"
        )
    return body


def _times(arrays: Mapping[str, np.ndarray], count: int) -> tuple[np.ndarray, float]:
    fps = FPS
    if "fps" in arrays:
        rate = arrays["fps"]
        fps = float(rate.item()) if rate.size == 1 and rate.dtype.kind in "iuf" else np.nan
        if not 0 < fps < np.inf:
            raise InputError(f"its frame rate is {rate.tolist()!r:.40}, a number above 0 was expected")
    if "times_s" in arrays:
        times = _numbers(arrays, "times_s", 1)
    elif "frames" in arrays:
        times = _numbers(arrays, "frames", 1) / fps
    else:
        times = np.arange(count) / fps
    if len(times) != count or not (np.diff(times) > 0).all() or times[0] < 0:
        raise InputError(
            f"its times are not those of {count} frames, ascending from 0 or later, save it again"
        )
    return times, fps


def _world(arrays: Mapping[str, np.ndarray]) -> Place:
    rotation, shift = _numbers(arrays, "world_rotation", 2), _numbers(arrays, "world_shift", 1)
    if rotation.shape != (3, 3) or shift.shape != (3,):
        raise InputError(
            f"world_rotation and world_shift have the shapes {rotation.shape} and {shift.shape} where (3, 3) "
            "and (3,) were expected, save it again"
        )
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > SKEWED or np.linalg.det(rotation) < 0:
        raise InputError("its world_rotation is no rotation, save it again")
    return Place(rotation, shift)


def _numbers(arrays: Mapping[str, np.ndarray], name: str, axes: int) -> np.ndarray:
    value = arrays[name]
    if value.dtype.kind not in "iuf" or value.ndim != axes:
        raise InputError(
            f"'{name}' is {value.dtype} of shape {value.shape}, numbers along {axes} axes were expected, "
            "save it again"
        )
    value = value.astype(np.float64)
    check_numbers(name, value, "frame")
    return value
