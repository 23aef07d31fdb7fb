"""Skin that engines read: at most four bones to a vertex, and rest vertices that pose as the body does."""

import numpy as np

from mpt.bodies.body import Body

MOST = 4  # bones to a vertex, as glTF's first set of weights holds and most engines read
NEAR = 0.01  # of a moving bone's step: how far two bones are from each other that move as one
ROUNDS = 3
DAMPING = 1e-4  # of what many bones bend together, in squares of a rigid turn's scale
OFF_M = 2e-4  # from the body's skin, in any pose: then weights are fitted to poses
EASE_M = 1e-3  # how far off is as bad as a weight that is off by one
SUM = 100.0  # of the squared distance of a sum of weights from one, in square metres


def four_bones(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """(V, 4) indices and (V, 4) float32 weights of a body's skin; rows sum to one.

    What loses least goes first: a weight times the way in the tree to the nearest bone that stays, which
    takes it over. So a vertex keeps the share of each part that moves by itself.
    """
    steps = _steps(body)
    weight, index = body.skin_weight.double().cpu().numpy().copy(), body.skin_index.cpu().numpy()
    while len(many := np.flatnonzero((weight > 0).sum(1) > MOST)):
        some, bones, row = weight[many], index[many], np.arange(len(many))
        way = steps[bones[:, :, None], bones[:, None, :]]
        way[:, range(bones.shape[1]), range(bones.shape[1])] = np.inf
        way = np.where((some > 0)[:, None, :], way, np.inf)
        least = np.where(some > 0, some * way.min(2), np.inf).argmin(1)
        heir = (way[row, least] - 1e-6 * some).argmin(1)  # of equally near ones the heaviest
        some[row, heir] += some[row, least]
        some[row, least] = 0
        weight[many] = some
    order = np.argsort(-weight, 1, kind="stable")[:, :MOST]
    weight, index = np.take_along_axis(weight, order, 1), np.take_along_axis(index, order, 1)
    missing = ((0, 0), (0, MOST - weight.shape[1]))
    weight, index = np.pad(weight, missing), np.pad(index, missing)
    weight = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    return np.where(weight > 0, index, 0), weight


def fitted(
    body: Body,
    index: np.ndarray,
    weight: np.ndarray,
    transforms: np.ndarray,
    posed: np.ndarray,
    rest: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices, weights and rest vertices, such that the skin is in F poses where the body's is.

    In one pose exactly, by other rest vertices. In several as nearly as four bones can: where it is off by
    more than a fraction of a millimetre, other weights of the body's own bones and other rest vertices are
    taken, by least squares.

    index, weight: of ``four_bones``; transforms: (F, B, 3, 4) from rest to each pose; posed: (F, V, 3);
    rest: (V, 3).
    """
    if len(posed) == 1:
        return index, weight, unposed(index, weight, transforms, posed, rest)
    index, weight, rest = index.copy(), weight.copy(), rest.copy()
    off = [np.square(skinned(index, weight, to, rest) - there).sum(1) for to, there in zip(transforms, posed)]
    some = np.flatnonzero(np.max(off, 0) > OFF_M**2)
    bones, own = body.skin_index[some].cpu().numpy(), body.skin_weight[some].double().cpu().numpy()
    there, like, of_bones = posed[:, some], rest[some], transforms[:, bones]
    found, best = own, like
    for _ in range(ROUNDS):
        away = np.einsum("fvkij,vj->fvki", of_bones[..., :3], best) + of_bones[..., 3] - there[:, :, None]
        found = _nearest(np.einsum("fvki,fvli->vkl", away, away) / len(there), own)
        best = unposed(bones, found, transforms, there, like)
    order = np.argsort(-found, 1, kind="stable")[:, :MOST]
    weight[some], index[some] = np.take_along_axis(found, order, 1), np.take_along_axis(bones, order, 1)
    rest[some] = best
    return np.where(weight > 0, index, 0), weight, rest


def _nearest(error: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(N, k) weights near ``own``, at most four of them, none negative, with little w' error w, (N, k, k).

    One at a time is left out: the most negative, else, where there are too many, that which costs least.
    """
    kept, diagonal = own > 0, np.eye(own.shape[1])
    matrix = error + EASE_M**2 * diagonal + SUM
    while True:
        inside = kept[:, :, None] & kept[:, None, :]
        inverse = np.linalg.inv(np.where(inside, matrix, diagonal))
        weight = np.where(kept, (inverse @ (kept * (EASE_M**2 * own + SUM))[:, :, None])[:, :, 0], 0)
        leave = np.flatnonzero((kept.sum(1) > MOST) | (weight.min(1) < 0))
        if not len(leave):
            return weight / weight.sum(1, keepdims=True)
        cost = np.where(weight < 0, weight, weight**2 / np.diagonal(inverse, axis1=1, axis2=2))
        kept[leave, np.where(kept, cost, np.inf)[leave].argmin(1)] = False


def _steps(body: Body) -> np.ndarray:
    """(B, B) steps in the tree from bone to bone; one to a bone that does not move is hardly any."""
    steps = np.zeros((len(body.bones),) * 2)
    for bone, parent in enumerate(body.parents):
        if parent >= 0:
            step = 1.0 if body.bones[bone] in body.moving_bones else NEAR
            steps[bone, :bone] = steps[:bone, bone] = steps[parent, :bone] + step
    return steps


def skinned(index: np.ndarray, weight: np.ndarray, transforms: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(V, 3) vertices of linear blend skinning.

    transforms: (B, 3, 4) from rest to pose; rest: (V, 3); index and weight: (V, 4).
    """
    blend = np.einsum("vk,vkij->vij", weight, transforms[index])
    return np.einsum("vij,vj->vi", blend[:, :, :3], rest) + blend[:, :, 3]


def unposed(
    index: np.ndarray,
    weight: np.ndarray,
    transforms: np.ndarray,
    posed: np.ndarray,
    like: np.ndarray,
) -> np.ndarray:
    """(V, 3) rest vertices that are skinned to ``posed`` in each of F poses, near those of ``like``.

    transforms: (F, B, 3, 4); posed: (F, V, 3). Of several poses the least squares are taken, of one nothing
    is lost where a body has more bones to a vertex, or bends its skin by its pose (SMPL). Where turns cancel
    each other, ``like`` stays.
    """
    gram, pull = np.tile(DAMPING * np.eye(3), (len(like), 1, 1)), np.zeros((len(like), 3, 1))
    for to, there in zip(transforms, posed):
        blend = np.einsum("vk,vkij->vij", weight, to[index])[:, :, :3]
        gram += blend.swapaxes(1, 2) @ blend / len(posed)
        off = there - skinned(index, weight, to, like)
        pull += blend.swapaxes(1, 2) @ off[:, :, None] / len(posed)
    return like + np.linalg.solve(gram, pull)[:, :, 0]
