"""Motion from SMPL's parameters in .npz files: AMASS (Mahmood et al., ICCV 2019), AIST++, and what networks
that see people in photos write.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import roma
import torch

from mpt.errors import InputError
from mpt.mocap.motion import Motion, check_numbers, set_and_folder_name
from mpt.mocap.upright import Up, upright
from mpt.skeletons import SMPL24

JOINTS = SMPL24.joints[:22]  # the hands rest
COUNTS = (22, 23, 24, 52, 54, 55)  # joints of SMPL, SMPL-H and SMPL-X, without or with hands and face

# What each part of a motion is called; AMASS's own names come first.
WHOLE = ("poses", "smpl_poses", "pose", "fullpose", "full_pose", "pose_world", "pred_pose", "pred_rotmat")
SPLIT = (
    ("root_orient", "pose_body"),
    ("global_orient", "body_pose"),
    ("root_orient", "body_pose"),
    ("pred_global_orient", "pred_body_pose"),
)
TRANS = (
    "trans",
    "transl",
    "smpl_trans",
    "trans_world",
    "translation",
    "pred_trans",
    "pred_transl",
    "pred_cam_t",
)
RATES = ("mocap_framerate", "mocap_frame_rate", "fps", "framerate", "frame_rate", "mocap_fps")
BETAS = ("betas", "smpl_betas", "shape", "pred_shape", "pred_betas")
AIST_FPS, VIDEO_FPS = 60.0, 30.0  # where the file does not say
SLOWEST, FASTEST = 1.0, 1000.0  # frames per second
MOST_RAD = 30.0  # that a joint turns; degrees are more
SKEWED = 0.05  # by which a rotation matrix may be off

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


def holds_smpl(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a file's names are those of SMPL's parameters, or the most of them."""
    return any(key in arrays for key in (*WHOLE, *sum(SPLIT, ())))


def read_amass(path: Path, arrays: Mapping[str, np.ndarray], *, up: Up | None = None) -> Motion:
    """Read SMPL, SMPL-H or SMPL-X poses: the pelvis and the 21 body joints; fingers and face are left.

    ``poses`` (T, 66 or more) or ``root_orient`` (T, 3) and ``pose_body`` (T, 63), axis-angle; ``trans``
    (T, 3), metres; ``mocap_framerate``; perhaps ``betas`` and ``gender``; or any of these under the names of
    WHOLE, SPLIT, TRANS, RATES and BETAS, joint by joint (T, J, 3) or as rotation matrices (T, J, 3, 3). The
    pelvis is ``trans`` from its place in rest. AMASS is z up; another axis is told by the motion (see
    ``upright``) or by ``up``. Where the names are not AMASS's and no rate is given, AIST++'s 60 or a video's
    30 are taken, with a warning.

    ``betas`` are cut or filled with zeros to 16, averaged over frames where each has its own, and kept for
    SMPL and SMPL-H alone, since SMPL-X has another shape space. The subject is its folder with the set's:
    ``CMU/01``.
    """
    rotvec, is_smplx = _body_poses(arrays)
    place = _first(TRANS, arrays)
    fps = _rate(arrays, path)
    if place is None:
        raise InputError(
            f"it lacks trans, which SMPL's motion has, among {', '.join(arrays)}; save it with them"
        )
    trans = _numbers(arrays, place, (len(rotvec), 3))
    check_numbers(place, trans, "frame")
    if place == "smpl_trans" and "smpl_scaling" in arrays:
        trans = trans / _positive(_numbers(arrays, "smpl_scaling", ()).item(), "smpl_scaling")

    turn = torch.from_numpy(FROM_Z_UP)
    root = turn @ roma.rotvec_to_rotmat(torch.from_numpy(rotvec[:, 0]))
    rotvec = np.concatenate([roma.rotmat_to_rotvec(root).numpy()[:, None], rotvec[:, 1:]], axis=1)
    rest = rest_joints()
    parents = np.array(SMPL24.parents[: len(JOINTS)])
    offsets = rest - np.where(parents[:, None] >= 0, rest[parents], rest)
    person = Motion(
        path.stem, set_and_folder_name(path), fps, JOINTS, parents, offsets, rotvec,
        (trans + rest[0]) @ FROM_Z_UP.T, None if is_smplx else _betas(arrays), _gender(arrays),
    )  # fmt: skip
    return upright(person, FROM_Z_UP, str(path), up=up, others=("y", "y-down"))


def _first(keys: Sequence[str], arrays: Mapping[str, np.ndarray]) -> str | None:
    return next((key for key in keys if key in arrays), None)


def _rate(arrays: Mapping[str, np.ndarray], path: Path) -> float:
    if key := _first(RATES, arrays):
        fps = _numbers(arrays, key, ()).item()
        if not SLOWEST <= fps <= FASTEST:
            raise InputError(
                f"its frame rate '{key}' is {fps:g}, {SLOWEST:g} to {FASTEST:g} frames per second were "
                "expected, correct it"
            )
        return fps
    if "poses" in arrays or "root_orient" in arrays:
        raise InputError(
            f"it lacks {RATES[0]}, which AMASS motion has, download it again or save it with fps"
        )
    fps = AIST_FPS if "smpl_poses" in arrays else VIDEO_FPS
    warnings.warn(
        f"{path}: its frame rate is not told, {fps:g} frames per second are taken; save it with fps if it is "
        "another",
        stacklevel=4,
    )
    return fps


def _body_poses(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, bool]:
    """(T, 22, 3) axis-angle of the pelvis and the body's joints, and whether they are SMPL-X's."""
    split = next((keys for keys in SPLIT if all(key in arrays for key in keys)), None)
    if key := _first(WHOLE, arrays):
        poses = _rotvecs(arrays, key, COUNTS)
    elif split:
        root = _rotvecs(arrays, split[0], (1,))
        body = _rotvecs(arrays, split[1], tuple(count - 1 for count in COUNTS))
        if len(root) != len(body):
            raise InputError(
                f"'{split[0]}' has {len(root)} frames and '{split[1]}' {len(body)}, save it again"
            )
        poses = np.concatenate([root, body], axis=1)
    else:
        raise InputError(
            "it has no poses, nor root_orient and pose_body, as AMASS has, nor global_orient and body_pose, "
            f"among {', '.join(arrays)}; download it again or save it with them"
        )
    return poses[:, : len(JOINTS)], _is_smplx(arrays, poses.shape[1], split)


def _rotvecs(arrays: Mapping[str, np.ndarray], key: str, counts: tuple[int, ...]) -> np.ndarray:
    """(T, J, 3) axis-angle of an array that holds it flat, by joints or as matrices; J one of ``counts``."""
    value = arrays[key]
    shape = value.shape
    if shape[1:] == (3, 3) and counts == (1,):
        shape = (len(value), 1, 3, 3)
    if len(shape) == 2 and shape[1] % 3 == 0:
        shape = (shape[0], shape[1] // 3, 3)
    if value.dtype.kind not in "iuf" or shape[2:] not in ((3,), (3, 3)):
        raise InputError(
            f"'{key}' is {value.dtype} of shape {value.shape}, axis-angle of shape (any, {3 * counts[0]}) "
            "was expected, download it again"
        )
    if shape[1] not in counts:
        wanted = ", ".join(str(3 * count) for count in counts)
        raise InputError(
            f"'{key}' has {3 * shape[1]} columns, {wanted} of axis-angle were expected, "
            "download it again or save it so"
        )
    value = value.astype(np.float64).reshape(shape)
    check_numbers(key, value, "frame")
    if len(shape) == 4:
        return _of_matrices(value, key)
    turned = np.linalg.norm(value, axis=2).max(axis=1, initial=0)
    if (turned > MOST_RAD).any():
        frame = int(np.argmax(turned > MOST_RAD))
        raise InputError(
            f"'{key}' turns a joint by {turned[frame]:.4g} in frame {frame + 1}, axis-angle in radians was "
            "expected, save it so"
        )
    return value


def _of_matrices(matrices: np.ndarray, key: str) -> np.ndarray:
    """(T, J, 3) axis-angle of rotation matrices (T, J, 3, 3)."""
    with np.errstate(all="ignore"):
        off = np.abs(matrices @ matrices.swapaxes(-1, -2) - np.eye(3)).max(initial=0)
        turning = np.linalg.det(matrices) > 0
    if not (off < SKEWED and turning.all()):
        raise InputError(f"'{key}' holds matrices that are no rotations, save it as axis-angle")
    return roma.rotmat_to_rotvec(torch.from_numpy(matrices)).numpy()


def _numbers(arrays: Mapping[str, np.ndarray], key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    value = arrays[key]
    value = value.reshape(()) if shape == () and value.size == 1 else value
    if len(shape) == 2 and value.ndim == 3 and value.shape[1:2] == (1,):
        value = value.squeeze(1)
    fits = value.ndim == len(shape) and all(want in (None, came) for want, came in zip(shape, value.shape))
    if value.dtype.kind not in "iuf" or not fits:
        expected = str(tuple(shape)).replace("None", "any")
        came = f"{value.dtype} of shape {value.shape}"
        raise InputError(f"'{key}' is {came}, numbers of shape {expected} were expected, download it again")
    return value.astype(np.float64)


def _positive(number: float, key: str) -> float:
    if not (np.isfinite(number) and number > 0):
        raise InputError(f"'{key}' is {number:g}, a number above 0 was expected, download it again")
    return number


def _betas(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    key = _first(BETAS, arrays)
    if key is None:
        return None
    value = arrays[key]
    betas = (
        value.mean(0) if value.ndim == 2 and value.dtype.kind in "iuf" and len(value) else value.reshape(-1)
    )
    betas = _numbers({key: betas}, key, (None,))[:16]
    return np.pad(betas, (0, 16 - len(betas)))


def _is_smplx(arrays: Mapping[str, np.ndarray], joints: int, split: tuple[str, str] | None) -> bool:
    if "surface_model_type" in arrays:
        return "smplx" in str(arrays["surface_model_type"])
    # A body of 21 joints beside the root is SMPL-H's in AMASS, and SMPL-X's where it is called body_pose.
    by_name = split is not None and split[1] == "body_pose" and joints == len(JOINTS)
    return "pose_jaw" in arrays or "jaw_pose" in arrays or joints == 55 or by_name


def _gender(arrays: Mapping[str, np.ndarray]) -> str | None:
    """As said in the file, in any of the ways in which AMASS's parts write it; None where it is no text."""
    if "gender" not in arrays:
        return None
    try:
        value = arrays["gender"].reshape(-1)
        text = b"".join(value).decode() if value.dtype.kind == "S" else "".join(map(str, value))
    except (InputError, UnicodeDecodeError):
        return None
    return next((gender for gender in ("female", "male", "neutral") if gender in text.lower()), None)
