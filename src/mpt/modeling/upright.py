"""People are read with their heads up: a photo on its side shows the same people as the upright one.

The transformer has learned which way is up. Maps are turned by quarters until the body's axis stands, and
what was read is turned back, so that a photo turned by 90 degrees gives the same mesh, turned.
"""

import torch
from torch import Tensor

from mpt.modeling.mesh_transformer import MeshPrediction, MeshTransformer
from mpt.skeletons import Skeleton

SEEN = 0.3  # the least peak of a joint that tells where up is
AXIS = ("ankle", "hip", "shoulder", "ear")  # of both sides, from below


def look_upright(
    transformer: MeshTransformer, maps: Tensor, skeleton: Skeleton, rows: Tensor | None = None
) -> MeshPrediction:
    """Heatmaps (N, J, S, S) -> ``look_twice`` of them turned upright, in the axes of the maps as given.

    rows: full vertices that are wanted, all where None.
    """
    quarters = quarters_to_upright(maps, skeleton)
    if not quarters.any():
        return transformer.look_twice(maps, rows)
    turned = torch.stack([torch.rot90(one, k, (-2, -1)) for one, k in zip(maps, quarters.tolist())])
    found = transformer.look_twice(turned, rows)
    angle = quarters.to(found.joints.dtype) * (torch.pi / 2)
    cos, sin = angle.cos().round(), angle.sin().round()
    turn = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)  # (N, 2, 2) of rows

    def back(points: Tensor) -> Tensor:
        return torch.cat([points[..., :2] @ turn, points[..., 2:]], -1)

    shift = (found.camera[:, None, 1:] @ turn)[:, 0]
    return found._replace(
        joints=back(found.joints),
        coarse=back(found.coarse),
        vertices=back(found.vertices),
        regressed=back(found.regressed),
        camera=torch.cat([found.camera[:, :1], shift], -1),
        further=back(found.further),
        up=None if found.up is None else back(found.up[:, None])[:, 0],
    )


def quarters_to_upright(maps: Tensor, skeleton: Skeleton) -> Tensor:
    """(N,) int64 by how many quarters, counter-clockwise, maps (N, J, S, S) are turned for heads to be up.

    The axis goes from ankles over hips and shoulders to ears, as far as they are seen: who bends forward on
    straight legs stands. A hand has none.
    """
    if "left_shoulder" not in skeleton.joints:
        return torch.zeros(len(maps), dtype=torch.long, device=maps.device)
    pairs = skeleton.indices(*(f"{side}_{joint}" for joint in AXIS for side in ("left", "right")))
    highest = [maps[:, joint].flatten(-2).max(-1) for joint in pairs]  # without a copy of the maps
    peak, cell = (torch.stack(part, 1) for part in zip(*highest))
    at = torch.stack([cell % maps.shape[-1], cell // maps.shape[-1]], -1).to(maps.dtype)
    weight = ((peak >= SEEN) * peak).unflatten(1, (len(AXIS), 2))[..., None]  # of both sides
    whole = weight.sum(2)
    place = (at.unflatten(1, (len(AXIS), 2)) * weight).sum(2) / whole.clamp_min(1e-9)  # (N, 4, 2)
    seen = (whole[:, 1:] > 0) & (whole[:, :-1] > 0)
    x, y = (place.diff(dim=1) * seen).sum(1).unbind(-1)
    lies = x.abs() > y.abs()
    return torch.where(lies, torch.where(x > 0, 1, 3), torch.where(y > 0, 2, 0))
