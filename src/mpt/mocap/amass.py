"""Motion from AMASS .npz files (Mahmood et al., Archive of Motion Capture as Surface Shapes, ICCV 2019)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import roma
import torch

from mpt.errors import InputError
from mpt.mocap.motion import Motion, set_and_folder_name
from mpt.skeletons import SMPL24

JOINTS = SMPL24.joints[:22]  # the hands rest
RATES = ("mocap_framerate", "mocap_frame_rate")

# The file has no skeleton: about where an average SMPL body's joints are in rest, in centimetres (x left,
# y up, z forward, symmetric). Good for the directions of the resting limbs and for pictures, not for sizes.
REST_CM = {
    "pelvis": (0, -23, 3),
    "left_hip": (7, -32, 2),
    "spine1": (0, -12, 0),
    "left_knee": (10.5, -70, 1.5),
    "spine2": (0, 2, 0),
    "left_ankle": (9, -110, -3),
    "spine3": (0, 7.5, 3),
    "left_foot": (11.5, -115, 9.5),
    "neck": (0, 28.5, -1.5),
    "left_collar": (8, 19, -1),
    "head": (0, 35, 3.5),
    "left_shoulder": (17.5, 22.5, -1.5),
    "left_elbow": (43, 21, -4),
    "left_wrist": (68, 22, -4.5),
}

FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # AMASS's world to ours


def rest_joints() -> np.ndarray:
    """(22, 3) joints of an average SMPL body in rest, metres, about the model's own origin."""
    mirrored = {
        name.replace("left", "right"): (-x, y, z) for name, (x, y, z) in REST_CM.items() if "left" in name
    }
    return np.array([(REST_CM | mirrored)[joint] for joint in JOINTS]) / 100


def read_amass(path: Path, arrays: Mapping[str, np.ndarray]) -> Motion:
    """Read SMPL-H or SMPL-X poses: the pelvis and the 21 body joints; fingers, face and soft tissue are left.

    ``poses`` (T, 66 or more) or ``root_orient`` (T, 3) and ``pose_body`` (T, 63), axis-angle; ``trans``
    (T, 3), metres, z up; ``mocap_framerate`` or ``mocap_frame_rate``; perhaps ``betas`` and ``gender``. The
    pelvis is ``trans`` from its place in rest. ``betas`` are cut or filled with zeros to 16 and are kept for
    SMPL-H alone, since SMPL-X has another shape space. The subject is its folder with
    the set's: ``CMU/01``.
    """
    rate = next((key for key in RATES if key in arrays), None)
    if rate is None or "trans" not in arrays:
        raise InputError(
            f"it lacks {'trans' if rate else RATES[0]}, which AMASS motion has, download it again"
        )
    rotvec = _body_poses(arrays)
    trans = _numbers(arrays, "trans", (len(rotvec), 3))
    fps = _numbers(arrays, rate, ()).item()

    turn = torch.from_numpy(FROM_Z_UP)
    root = turn @ roma.rotvec_to_rotmat(torch.from_numpy(rotvec[:, 0]))
    rotvec = np.concatenate([roma.rotmat_to_rotvec(root).numpy()[:, None], rotvec[:, 1:]], axis=1)
    rest = rest_joints()
    parents = np.array(SMPL24.parents[: len(JOINTS)])
    offsets = rest - np.where(parents[:, None] >= 0, rest[parents], rest)
    return Motion(
        path.stem, set_and_folder_name(path), fps, JOINTS, parents, offsets, rotvec,
        (trans + rest[0]) @ FROM_Z_UP.T, _betas(arrays), _gender(arrays),
    )  # fmt: skip


def _body_poses(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """(T, 22, 3) axis-angle of the pelvis and the body's joints."""
    if "poses" in arrays:
        poses = _numbers(arrays, "poses", (None, None))
    elif "root_orient" in arrays and "pose_body" in arrays:
        root = _numbers(arrays, "root_orient", (None, 3))
        poses = np.concatenate([root, _numbers(arrays, "pose_body", (len(root), 63))], axis=1)
    else:
        raise InputError("it has no poses, nor root_orient and pose_body, as AMASS has, download it again")
    values = 3 * len(JOINTS)
    if poses.shape[1] < values or poses.shape[1] % 3:
        raise InputError(
            f"'poses' has {poses.shape[1]} columns, SMPL-H has 156 and SMPL-X 165, download it again"
        )
    return poses[:, :values].reshape(len(poses), len(JOINTS), 3)


def _numbers(arrays: Mapping[str, np.ndarray], key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    value = arrays[key]
    value = value.reshape(()) if shape == () and value.size == 1 else value
    fits = value.ndim == len(shape) and all(want in (None, came) for want, came in zip(shape, value.shape))
    if value.dtype.kind not in "iuf" or not fits:
        expected = str(tuple(shape)).replace("None", "any")
        came = f"{value.dtype} of shape {value.shape}"
        raise InputError(f"'{key}' is {came}, numbers of shape {expected} were expected, download it again")
    return value.astype(np.float64)


def _betas(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if "betas" not in arrays or _is_smplx(arrays):
        return None
    betas = _numbers({"betas": arrays["betas"].reshape(-1)}, "betas", (None,))[:16]
    return np.pad(betas, (0, 16 - len(betas)))


def _is_smplx(arrays: Mapping[str, np.ndarray]) -> bool:
    if "pose_jaw" in arrays or ("poses" in arrays and arrays["poses"].shape[1] == 165):
        return True
    return "surface_model_type" in arrays and "smplx" in str(arrays["surface_model_type"])


def _gender(arrays: Mapping[str, np.ndarray]) -> str | None:
    """As said in the file, in any of the ways in which AMASS's parts write it; None where it was pickled."""
    if "gender" not in arrays:
        return None
    try:
        value = arrays["gender"].reshape(-1)
    except InputError:
        return None
    text = b"".join(value).decode() if value.dtype.kind == "S" else "".join(map(str, value))
    return next((gender for gender in ("female", "male", "neutral") if gender in text.lower()), None)
