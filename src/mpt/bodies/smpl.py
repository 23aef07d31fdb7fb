"""The SMPL body (Loper et al. 2015) from its official files, neutral or gendered: .pkl as published, or .npz.

SMPL's own axes are ours: y up, facing +z, left at +x; metres. Its 24 joints keep their names (SMPL24).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mpt.bodies import pickles
from mpt.bodies.anny import random_pose
from mpt.bodies.body import Body
from mpt.bodies.body_files import assemble, write_body
from mpt.bodies.coarsening import Coarse, coarsen
from mpt.errors import InputError
from mpt.skeletons import COCO17, H36M17, LSP14, SMPL24, Skeleton

Gender = Literal["neutral", "female", "male"]

VERTICES = 6890
SHAPES = 10  # first components that are kept of those in the file
COARSE = (431, 1723)
EXAMPLES = 60  # posed bodies from which the upsampling is learned
SEED = 0
KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
KNOWN = {  # vertices and joints -> which model it is
    (VERTICES, 24): "SMPL",
    (VERTICES, 52): "SMPL-H",
    (10475, 55): "SMPL-X",
    (778, 16): "MANO",
}
FACE = {"nose": 332, "left_eye": 2800, "right_eye": 6260, "left_ear": 583, "right_ear": 4071}
"""Vertices at which the field (and the smplx package) sees COCO's face on SMPL."""

_LIMBS = ("hip", "knee", "ankle", "collar", "shoulder", "elbow", "wrist")
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
_SIDED = {f"{side}_{limb}": f"{side}_{limb}" for side in ("left", "right") for limb in _LIMBS}
ROLES = {name: name for name in _TRUNK} | _SIDED | {"left_toe": "left_foot", "right_toe": "right_foot"}
"""The 22 bones that motion capture drives; the hands rest."""

_DOWN = ("nose", "left_shoulder", "left_hip", "left_knee", "left_ankle")
_SIDES_OF_LEG = [H36M17.indices(f"left_{joint}", f"right_{joint}") for joint in ("hip", "knee", "ankle")]


def build(
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    gender: Gender | None = None,
    coco_regressor: str | os.PathLike | None = None,
    h36m_regressor: str | os.PathLike | None = None,
    downsampling: str | os.PathLike | None = None,
) -> None:
    """Write the body file of an official SMPL file: COCO-17 joints, coarse meshes of 431 and 1723 vertices.

    SMPL's own 24 joints can be regressed from its meshes, too (EMDB is reported on them).

    gender: whose shapes these are; by default as the file's name says, else neutral.
    coco_regressor: Pose2Mesh's ``J_regressor_coco.npy``, where COCO's annotators see the 17 joints; without
        it the limbs are SMPL's own centres of rotation and the face some vertices.
    h36m_regressor: ``J_regressor_h36m.npy`` of either order, for reporting (:func:`read_h36m_regressor`).
    downsampling: METRO's ``mesh_downsampling.npz``, whose coarse meshes are taken instead of our own.

    Raises InputError for a file that is no whole SMPL model, MANO's among them.
    """
    tensors, metadata = _describe(path, gender, coco_regressor, h36m_regressor)
    write_body(out, *with_coarse_meshes(tensors, metadata, COARSE, downsampling))


def read(
    path: str | os.PathLike,
    *,
    gender: Gender | None = None,
    coco_regressor: str | os.PathLike | None = None,
    h36m_regressor: str | os.PathLike | None = None,
) -> Body:
    """The body of an official SMPL file as :func:`build` has it, but without coarse meshes."""
    return assemble(*_describe(path, gender, coco_regressor, h36m_regressor))


def read_h36m_regressor(path: str | os.PathLike, template: Tensor) -> Tensor:
    """(17, V) Human3.6M's joints in H36M17's order, from an .npy file and the T-posed ``template`` (V, 3).

    METRO's file lists the right leg first, SPIN's, which has the same size, the left: which it is, is seen
    where the joints stand on the T-pose. Raises InputError where they do not stand as a person's do.
    """
    regressor = _read_regressor(path, template, H36M17, "J_regressor_h36m.npy")
    joints = regressor @ template.double()
    order = list(range(len(H36M17)))
    left_hip, right_hip = _SIDES_OF_LEG[0]
    if joints[left_hip, 0] < joints[right_hip, 0]:
        for left, right in _SIDES_OF_LEG:
            order[left], order[right] = right, left
    _check_standing(joints[order], path)
    return regressor[order]


def read_coco_regressor(path: str | os.PathLike, template: Tensor) -> Tensor:
    """(17, V) COCO's joints in COCO17's order, from Pose2Mesh's .npy file, for a T-posed ``template`` (V, 3).

    Raises InputError where they do not stand as a person's do.
    """
    regressor = _read_regressor(path, template, COCO17, "J_regressor_coco.npy")
    at = dict(zip(COCO17.joints, (regressor @ template.double()).tolist()))
    sided = all(at[joint][0] > at[joint.replace("left", "right")][0] for joint in at if "left" in joint)
    heights = [at[joint][1] for joint in _DOWN]
    if not (sided and heights == sorted(heights, reverse=True)):
        raise InputError(
            f"{path}: on the T-pose its joints do not stand as a person's in COCO's order; name "
            "J_regressor_coco.npy of this body"
        )
    return regressor


def _read_regressor(path: str | os.PathLike, template: Tensor, skeleton: Skeleton, name: str) -> Tensor:
    """(K, V) float64."""
    try:
        regressor = torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float64))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot read it as an array of numbers ({error}); name {name}") from error
    expected = (len(skeleton), len(template))
    if regressor.shape != expected:
        raise InputError(
            f"{path}: its shape is {tuple(regressor.shape)} where {expected} was expected; name {name}"
        )
    return regressor


def h36m17_to_lsp14(joints: Tensor) -> Tensor:
    """(..., 17, 3) -> the (..., 14, 3) on which Human3.6M and 3DPW are reported; the thorax is the neck."""
    names = [{"neck": "thorax"}.get(joint, joint) for joint in LSP14.joints]
    return joints[..., H36M17.indices(*names), :]


@dataclass(frozen=True)
class Model:
    """What a file of SMPL's family holds, float64; J joints, P = 9 (J - 1)."""

    template: Tensor  # (V, 3)
    faces: Tensor  # (F, 3) int64
    shape_basis: Tensor  # (S, V, 3)
    pose_basis: Tensor  # (P, V, 3)
    regressor: Tensor  # (J, V)
    skin: Tensor  # (V, J)
    arrays: dict[str, Any]  # all that the file holds

    @property
    def heads(self) -> Tensor:  # (J, 3)
        return self.regressor @ self.template

    def tensors(self, joints: Tensor) -> dict[str, Tensor]:
        """What the body file holds of it, with a regressor (K, V) of the body's joints."""
        weight, index = self.skin.topk(int((self.skin > 0).sum(1).max()), dim=1)
        return {
            "template": self.template.float(),
            "faces": self.faces.int(),
            "shape_basis": self.shape_basis.float(),
            "shape_scale": torch.ones(len(self.shape_basis)),
            "pose_basis": self.pose_basis.float(),
            "heads": self.heads.float(),
            "heads_basis": torch.einsum("jv,svc->sjc", self.regressor, self.shape_basis).float(),
            "skin_index": index.to(torch.uint8),
            "skin_weight": weight.float(),
            **regressor_tensors("regressor", joints),
        }


def read_model(path: str | os.PathLike, name: str, bones: Skeleton) -> Model:
    """Read a model of SMPL's family, ``name`` of KNOWN, with the joints and parents of ``bones``."""
    arrays = pickles.read(path)
    where = f"download {name} from https://{name.lower()}.is.tue.mpg.de"
    if missing := [key for key in KEYS if arrays.get(key) is None]:
        raise InputError(
            f"{path}: it lacks {', '.join(missing)}, an {name} model has {', '.join(KEYS)}; {where}"
        )
    value = {key: _numbers(arrays[key], key, path, where) for key in KEYS}
    vertices, joints = size = (*value["weights"].shape, 0, 0)[:2]
    expected = next(size for size, known in KNOWN.items() if known == name)
    if size != expected:
        found = KNOWN.get(size, "no model known here")
        other = f"use `mpt prepare body {found.lower()}`" if found in ("SMPL", "MANO") else where
        raise InputError(
            f"{path}: it has {vertices} vertices and {joints} joints, which is {found}, where {name} with "
            f"{expected[0]} and {expected[1]} was expected; {other}"
        )
    shapes = {
        "v_template": (vertices, 3),
        "f": (len(value["f"]), 3),
        "shapedirs": (vertices, 3, max(value["shapedirs"].shape[-1], 1)),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "kintree_table": (2, joints),
    }
    for key, shape in shapes.items():
        if value[key].shape != shape:
            raise InputError(
                f"{path}: '{key}' is of shape {value[key].shape} where {shape} was expected; {where}"
            )
    if value["f"].min() < 0 or value["f"].max() >= vertices:
        raise InputError(f"{path}: its faces name vertices beyond its {vertices}; {where}")
    if value["kintree_table"][0, 1:].tolist() != list(bones.parents[1:]):
        raise InputError(f"{path}: its joints hang together otherwise than {name}'s; {where}")
    return Model(
        template=torch.from_numpy(value["v_template"]),
        faces=torch.from_numpy(value["f"]).long(),
        shape_basis=torch.from_numpy(value["shapedirs"])[..., :SHAPES].permute(2, 0, 1),
        pose_basis=torch.from_numpy(value["posedirs"]).permute(2, 0, 1),
        regressor=torch.from_numpy(value["J_regressor"]),
        skin=torch.from_numpy(value["weights"]),
        arrays=arrays,
    )


def with_coarse_meshes(
    tensors: dict[str, Tensor],
    metadata: dict,
    counts: Sequence[int],
    downsampling: str | os.PathLike | None = None,
) -> tuple[dict[str, Tensor], dict]:
    """A body file's tensors and metadata with coarse meshes: our own, or those of METRO's file."""
    if downsampling is not None:
        meshes = read_downsampling(downsampling, len(tensors["template"]))
    else:
        body = assemble(tensors, metadata)
        generator = torch.Generator().manual_seed(SEED)
        people = body.sample_shapes(EXAMPLES, generator)
        examples = body(random_pose(body, EXAMPLES, generator), people).vertices
        meshes = coarsen(body.template, body.faces, examples, counts)
    for mesh in meshes:
        tensors |= {
            f"coarse{len(mesh)}_index": mesh.index.int(),
            f"coarse{len(mesh)}_faces": mesh.faces.int(),
            f"coarse{len(mesh)}_near": mesh.near.int(),
            f"coarse{len(mesh)}_weight": mesh.weight.float(),
        }
    return tensors, metadata | {"coarse": [len(mesh) for mesh in meshes]}


def read_downsampling(path: str | os.PathLike, vertices: int) -> tuple[Coarse, ...]:
    """The coarse meshes of GraphCMR's and METRO's ``mesh_downsampling.npz``, from few vertices to many.

    The file's D picks the vertices of each level out of those of the level above, its U brings them back up;
    the levels are multiplied out, so that each coarse mesh stands on the full one. Without its F, the coarse
    meshes have no faces.
    """
    arrays = pickles.read(path)
    if any(arrays.get(key) is None for key in "UD"):
        raise InputError(
            f"{path}: it lacks {' and '.join(key for key in 'UD' if arrays.get(key) is None)}, matrices of "
            "down- and upsampling; name METRO's mesh_downsampling.npz"
        )
    meshes: list[Coarse] = []
    index, up = torch.arange(vertices), None
    for level, (fewer, more) in enumerate(zip(arrays["D"], arrays["U"]), start=1):
        if fewer.shape[1] != len(index) or more.shape != fewer.shape[::-1]:
            raise InputError(
                f"{path}: the matrices of its level {level} are {fewer.shape} and {more.shape} for a mesh of "
                f"{len(index)} vertices; name the file of this body"
            )
        picks, more = (torch.from_numpy(np.asarray(matrix, np.float32)) for matrix in (fewer, more))
        picked = picks.argmax(1)
        if not ((picks != 0).sum(1) == 1).all() or not torch.allclose(more.sum(1), torch.ones(len(index))):
            raise InputError(
                f"{path}: its level {level} does not pick vertices and bring them back by weights that sum "
                "to one; name METRO's mesh_downsampling.npz"
            )
        index = index[picked]
        up = more if up is None else up @ more
        up[index] = torch.eye(len(index))
        near = up.abs().topk(int((up != 0).sum(1).max()), dim=1)[1]
        weight = up.gather(1, near)
        faces = np.asarray(arrays["F"][level], np.int64) if "F" in arrays else np.empty((0, 3), np.int64)
        meshes.append(Coarse(index, torch.from_numpy(faces), near, weight / weight.sum(1, keepdim=True)))
    return tuple(meshes[::-1])


def regressor_tensors(name: str, regressor: Tensor) -> dict[str, Tensor]:
    """A regressor (K, V) as a body file keeps it."""
    joint, vertex = regressor.nonzero(as_tuple=True)
    return {
        f"{name}_index": torch.stack([joint, vertex]).int(),
        f"{name}_weight": regressor[joint, vertex].float(),
    }


def _describe(
    path: str | os.PathLike,
    gender: Gender | None,
    coco_regressor: str | os.PathLike | None,
    h36m_regressor: str | os.PathLike | None,
) -> tuple[dict[str, Tensor], dict]:
    model = read_model(path, "SMPL", SMPL24)
    gender = gender or _named_gender(Path(path).name)
    if coco_regressor is None:
        coco = _coco17(model.regressor)
    else:
        coco = read_coco_regressor(coco_regressor, model.template)
    further = {SMPL24.name: model.regressor}
    if h36m_regressor is not None:
        further[H36M17.name] = read_h36m_regressor(h36m_regressor, model.template)
    tensors = model.tensors(coco)
    for name, regressor in further.items():
        tensors |= regressor_tensors(name, regressor)
    return tensors, {
        "name": f"smpl-{gender}",
        "gender": gender,
        "shape_space": "smpl",
        "skeleton": COCO17.name,
        "coco_regressor": coco_regressor is not None,
        "regressors": list(further),
        "bones": SMPL24.joints,
        "parents": SMPL24.parents,
        "roles": ROLES,
        "parts": [],
        "coarse": [],
        "source": f"SMPL, {Path(path).name}, https://smpl.is.tue.mpg.de",
        "licence": "that of the SMPL model: not to be passed on",
        "made": "mpt prepare body smpl",
    }


def _named_gender(name: str) -> Gender:
    """As the official names say it: basicModel_f_lbs_..., SMPL_FEMALE.pkl."""
    name = name.lower()
    if "female" in name or "_f_" in name:
        return "female"
    return "male" if "male" in name or "_m_" in name else "neutral"


def _coco17(regressor: Tensor) -> Tensor:
    """(17, V): the face is some vertices, the limbs are SMPL's own joints."""
    joints = torch.zeros(len(COCO17), regressor.shape[1], dtype=regressor.dtype)
    for row, joint in enumerate(COCO17.joints):
        if joint in FACE:
            joints[row, FACE[joint]] = 1
        else:
            joints[row] = regressor[SMPL24.index(joint)]
    return joints


def _check_standing(joints: Tensor, path: str | os.PathLike) -> None:
    at = dict(zip(H36M17.joints, joints.tolist()))
    sided = all(
        at[f"left_{joint}"][0] > at[f"right_{joint}"][0]
        for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    )
    column = ["head_top", "nose", "thorax", "pelvis", "left_knee", "left_ankle"]
    heights = [at[joint][1] for joint in column]
    if not (sided and heights == sorted(heights, reverse=True)):
        raise InputError(
            f"{path}: on the T-pose its joints do not stand as a person's, in METRO's order or in SPIN's; "
            "name J_regressor_h36m.npy of this body"
        )


def _numbers(value: Any, key: str, path: str | os.PathLike, where: str) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or not array.ndim or not np.isfinite(array).all():
        raise InputError(f"{path}: '{key}' holds no array of finite numbers; {where}")
    return array.astype(np.int64 if array.dtype.kind in "iu" else np.float64)
