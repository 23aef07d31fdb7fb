"""The MANO hand (Romero et al. 2017), right or left, from its official files: .pkl as published, or .npz.

MANO's own axes are ours, those of a T-posed person: y up, the palm down, the right hand's fingers at -x. The
rest pose is the flat hand; a pose of MANO that is told from its mean hand has ``hands_mean`` added, which the
body's metadata holds.

Of the five fingertips, which MANO has not, we take FreiHAND's vertices; other code has its own, a few
millimetres away. MANO_LEFT.pkl as published repeats the x of the right hand's shape basis where its mirror
image was due (issue 48 of the smplx package): it is read as it is, since betas were fitted to it.
"""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mpt.bodies.body import Body
from mpt.bodies.body_files import assemble, write_body
from mpt.bodies.smpl import Model, read_model, with_coarse_meshes
from mpt.errors import InputError
from mpt.skeletons import HAND21, Skeleton

COARSE = (195,)
TIPS = {"thumb4": 744, "index4": 320, "middle4": 443, "ring4": 555, "pinky4": 672}
"""Vertices that FreiHAND's annotations take for fingertips."""

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
BONES = Skeleton(
    "mano16",
    ("wrist", *(f"{finger}{k}" for finger in _FINGERS for k in (1, 2, 3))),
    (-1, *(0 if k == 0 else 3 * i + k for i in range(5) for k in range(3))),
)


def build(
    path: str | os.PathLike, out: str | os.PathLike, *, downsampling: str | os.PathLike | None = None
) -> None:
    """Write the body file of an official MANO file: 21 joints, and a coarse mesh of 195 vertices.

    Which hand it is, is seen in its rest pose. downsampling: METRO's ``mano_downsampling.npz``, whose coarse
    meshes are taken instead of our own. Raises InputError for a file that is no whole MANO model.
    """
    write_body(out, *with_coarse_meshes(*_describe(path), COARSE, downsampling))


def read(path: str | os.PathLike) -> Body:
    """The body of an official MANO file as :func:`build` has it, but without the coarse mesh."""
    return assemble(*_describe(path))


def _describe(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict]:
    model = read_model(path, "MANO", BONES)
    wrist, knuckle = model.heads[BONES.indices("wrist", "middle1"), 0]
    side = "right" if knuckle < wrist else "left"
    return model.tensors(_hand21(model.regressor)), {
        "name": f"mano-{side}",
        "side": side,
        "hands_mean": _hands_mean(model, path),
        "shape_space": "mano",
        "skeleton": HAND21.name,
        "bones": BONES.joints,
        "parents": BONES.parents,
        "roles": {bone: bone for bone in BONES.joints},
        "parts": [],
        "coarse": [],
        "source": f"MANO, {Path(path).name}, https://mano.is.tue.mpg.de",
        "licence": "that of the MANO model: not to be passed on",
        "made": "mpt prepare body mano",
    }


def _hands_mean(model: Model, path: str | os.PathLike) -> list[float]:
    """(45,) axis-angle of the fingers' bones in the mean hand."""
    mean = np.asarray(model.arrays.get("hands_mean", np.zeros(45)))
    if mean.shape != (45,) or mean.dtype.kind != "f":
        raise InputError(
            f"{path}: 'hands_mean' is {mean.dtype} of shape {mean.shape} where 45 numbers were expected; "
            "download MANO from https://mano.is.tue.mpg.de"
        )
    return mean.tolist()


def _hand21(regressor: Tensor) -> Tensor:
    """(21, V): MANO's 16 joints and the fingertips."""
    joints = torch.zeros(len(HAND21), regressor.shape[1], dtype=regressor.dtype)
    for row, joint in enumerate(HAND21.joints):
        if joint in TIPS:
            joints[row, TIPS[joint]] = 1
        else:
            joints[row] = regressor[BONES.index(joint)]
    return joints
