"""A track as the temporal transformer sees it, and what it makes of it.

Letters: F frames, K joints, C coarse vertices.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from mpt import checkpoint
from mpt.checkpoint import TemporalModel
from mpt.errors import InputError
from mpt.films.track import Track
from mpt.modeling.lifted import Lifted
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.modeling.temporal import Refined
from mpt.views import Pinhole

NEAR_S, ASTRAY_M = 0.1, 0.05  # moments that tell where somebody is; 2D joints that are farther off tell less
WINDOW, STRIDE = 72, 36  # frames that are looked at together, and from one look to the next


@lru_cache(1)
def temporal_model(name: str) -> TemporalModel:
    """The temporal model of that name, file or run, read once."""
    return checkpoint.load_temporal(name)


def check_refines(temporal: TemporalModel, transformer: MeshTransformer, name: str) -> None:
    """Raises InputError where a temporal model cannot refine what a mesh transformer of that name says."""
    own, config = temporal.transformer.regressor, transformer.config
    if config.coarse_vertices == own.shape[1] and config.gravity and config.spread:
        said = transformer.joints_of_coarse().cpu()
        if said.shape == own.shape and (said - own).abs().max() < 0.05:
            return
    raise InputError(
        f"{temporal.name} refines what {temporal.info.get('lift', 'mpt-small')} says over time, and not what "
        f"{name} does: take --smooth filter, or pre-train one above it (`mpt pretrain mpt-video --lift ...`)"
    )


@torch.inference_mode()
def refined(track: Track, camera: Pinhole, temporal: TemporalModel, *, causal: bool = False) -> Track:
    """A track in whose frames each mesh, place and spread is what all the frames about it tell, and which of
    the feet rest.

    ``causal``: nothing that comes after a frame is used for it.
    """
    lifted = as_lifted(track, camera)
    said = _on_the_picture(_in_windows(temporal, lifted, causal), lifted, causal)
    return replace(
        track,
        coarse=said.coarse[0].numpy(),
        joints3d_m=said.joints[0].numpy(),
        joints3d_std_m=said.std[0].numpy(),
        translation_m=said.translation[0].double().numpy(),
        contact=said.contact[0].sigmoid().numpy(),
    )


def as_lifted(track: Track, camera: Pinhole) -> Lifted:
    """One clip; frames that were bridged, whose score is 0, are those in which nobody was found."""
    assert track.up is not None and track.up_std_deg is not None and track.joints3d_std_m is not None
    xy = camera.ray(track.joints2d_px[..., :2])[..., :2]
    points = np.concatenate([xy, track.joints2d_px[..., 2:]], -1)
    up_std, times_s = np.radians(track.up_std_deg), track.times_s - track.times_s[0]
    parts = (track.coarse, track.joints3d_std_m, track.translation_m, track.up, up_std, points, times_s)
    tensors = [torch.from_numpy(np.ascontiguousarray(part, np.float32))[None] for part in parts]
    return Lifted._make([*tensors, torch.from_numpy(track.score > 0)[None]])


def _on_the_picture(said: Refined, lifted: Lifted, causal: bool) -> Refined:
    """Moved to the sides to where the 2D joints are seen on the whole, as the line through the moments near
    in time tells: what is blended over time lags where somebody comes and goes.
    """
    joints, depth = (
        said.joints + said.translation[:, :, None],
        said.translation[:, :, None, 2:].clamp_min(0.1),
    )
    off = (lifted.points[..., :2] - joints[..., :2] / joints[..., 2:].clamp_min(0.1)) * depth
    trust = lifted.points[..., 2] / (1 + (off.norm(dim=-1) / ASTRAY_M).square()).square()
    trust = trust * lifted.present[..., None]
    total = trust.sum(-1)
    mean = (off * trust[..., None]).sum(2) / total.clamp_min(1e-6)[..., None]
    apart = lifted.times_s[:, None] - lifted.times_s[:, :, None]
    weight = (-(apart / NEAR_S).square() / 2).exp() * total[:, None]
    if causal:
        weight = weight * (apart <= 1e-6)
    zeroth, first, second = ((weight * apart**k).sum(-1, keepdim=True) for k in range(3))
    level = zeroth * second - first.square() + 1e-9 * zeroth.square() + 1e-12
    shift = (weight * (second + 1e-9 * zeroth - first * apart) / level) @ mean
    moved = torch.cat([said.translation[..., :2] + shift.clamp(-0.3, 0.3), said.translation[..., 2:]], -1)
    return said._replace(translation=moved)


def _in_windows(temporal: TemporalModel, lifted: Lifted, causal: bool) -> Refined:
    """Long clips in windows that overlap; the nearer to a window's middle a frame is, the more it counts
    there (``causal``: the more frames come before it).
    """
    frames, transformer = lifted.times_s.shape[1], temporal.transformer
    if frames <= WINDOW:
        return transformer(lifted, causal=causal)
    starts = [*range(0, frames - WINDOW, STRIDE), frames - WINDOW]
    rows = torch.tensor(starts)[:, None] + torch.arange(WINDOW)
    said = transformer(Lifted(*(part[0, rows] for part in lifted)), causal=causal)
    place = torch.arange(WINDOW) + 0.5
    weight = place if causal else torch.minimum(place, WINDOW - place)

    def joined(parts: torch.Tensor) -> torch.Tensor:
        shared = weight.view(-1, *[1] * (parts.ndim - 2))
        total = parts.new_zeros(frames, *parts.shape[2:])
        share = parts.new_zeros(frames, *shared.shape[1:])
        for start, part in zip(starts, parts):
            total[start : start + WINDOW] += shared * part
            share[start : start + WINDOW] += shared
        return (total / share)[None]

    return Refined._make([*map(joined, said[:5]), said.shape.mean(0, keepdim=True)])
