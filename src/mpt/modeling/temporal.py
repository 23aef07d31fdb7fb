"""The temporal transformer: a person's meshes frame by frame -> one person who moves (ours).

Where the mesh transformer sees a moment, this one sees what comes before and after. A frame is one token: the
mesh that the frame gave, where it is, and what of the 2D joints it does not explain. Out come the mesh made
better, the way through the room, one shape, and which parts of the feet rest. Time is told in seconds, by
rotary position: any frame rate, gaps, clips of any length. Everything is told in the axes of a camera aimed
at the person's mean place, so that where in the picture somebody moves makes no difference.

Letters: N clips, F frames, K joints, C coarse vertices, D width, H heads, S shape components.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpt.cameras import aim
from mpt.modeling.lifted import Lifted, bridged

CONTACTS = 4
SLOWEST_S, QUICKEST_S = 20.0, 0.1
"""Periods of the rotary positions."""
SLOPE_S = 0.06  # how far in time the frames are whose line tells how fast something moves


@dataclass(frozen=True)
class TemporalConfig:
    width: int = 192
    layers: int = 6
    heads: int = 6
    ffn_ratio: float = 3.0


class Refined(NamedTuple):
    """N people over F frames, camera axes, metres."""

    coarse: Tensor  # (N, F, C, 3) about the mid-hip
    joints: Tensor  # (N, F, K, 3) likewise, of the mesh
    std: Tensor  # (N, F, K) standard deviation of each joint
    translation: Tensor  # (N, F, 3)
    contact: Tensor  # (N, F, 4) logits: which of mpt.datasets.clips.CONTACTS rest
    shape: Tensor  # (N, S)


class TemporalTransformer(nn.Module):
    """``regressor`` (K, C): the joints of a coarse mesh, as the mesh transformer has them; ``root``: the
    joints between which the mid-hip is.
    """

    regressor: Tensor

    def __init__(self, config: TemporalConfig, regressor: Tensor, root: tuple[int, ...], shapes: int) -> None:
        super().__init__()
        self.config, self.root = config, list(root)
        joints, coarse = regressor.shape
        self.register_buffer("regressor", regressor.float())
        width = config.width
        self.see = nn.Linear(joints * (3 + 2 + 1 + 1 + 2 + 3) + 3 + 1 + 3 + 1, width)
        self.away = nn.Parameter(torch.zeros(width))
        self.layers = nn.ModuleList(
            _Layer(width, config.heads, config.ffn_ratio) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.blend = _Blend(width)
        self.to_coarse = nn.Linear(width, 3 * coarse)
        self.to_place = nn.Linear(width, 3)
        self.to_contact = nn.Linear(width, CONTACTS)
        self.to_spread = nn.Linear(width, joints)
        self.to_shape = nn.Linear(width, shapes)
        for head in (self.to_coarse, self.to_place, self.to_spread, self.to_shape):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, lifted: Lifted, *, causal: bool = False) -> Refined:
        """Frames in which nobody was found are bridged.

        ``causal``: a frame sees nothing after it, as where frames come from a camera; before somebody was
        first found they are taken to be as they then are.
        """
        lifted = bridged(lifted, causal=causal)
        present = lifted.present
        weight = present.float()[..., None]
        first = lifted.translation[:, :1]
        base = (
            first
            if causal
            else (lifted.translation * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        )
        turn = aim(base[:, 0])  # rows @ turn: camera axes -> the aimed camera's
        coarse, place = lifted.coarse @ turn[:, None], lifted.translation @ turn
        keep = _before(lifted.times_s.shape[1], present.device) if causal else None
        tokens = self.see(self._features(lifted, turn, place, base @ turn, keep))
        tokens = tokens + torch.where(present[..., None], 0.0, self.away)
        cos, sin = _rotary(lifted.times_s, self.config.width // self.config.heads)
        for layer in self.layers:
            tokens = layer(tokens, cos, sin, keep)
        tokens = self.norm(tokens)
        of_mesh, of_way, of_depth = self.blend(tokens, lifted.times_s, present, keep)
        coarse = (of_mesh @ coarse.flatten(2)).unflatten(-1, (-1, 3))
        coarse = coarse + 0.1 * self.to_coarse(tokens).unflatten(-1, (-1, 3))
        joints = self.regressor @ coarse
        root = joints[:, :, self.root].mean(2, keepdim=True)
        joints, coarse = joints - root, coarse - root
        moved = 0.1 * self.to_place(tokens)
        depth = (of_depth @ place[..., 2:].clamp_min(0.1).log() + moved[..., 2:]).exp()
        place = torch.cat([of_way @ place[..., :2] + moved[..., :2], depth], -1)
        back = turn.mT
        return Refined(
            coarse @ back[:, None],
            joints @ back[:, None],
            lifted.std * (self.to_spread(tokens.detach()).clamp(-3, 3)).exp(),
            place @ back,
            self.to_contact(tokens),
            self.to_shape(tokens.mean(1)),
        )

    def _features(
        self, lifted: Lifted, turn: Tensor, place: Tensor, base: Tensor, keep: Tensor | None
    ) -> Tensor:
        """(N, F, features), each of about unit size."""
        about = self.regressor @ lifted.coarse
        joints = about + lifted.translation[:, :, None]
        depth = joints[..., 2:].clamp_min(0.1)
        score = lifted.points[..., 2]
        unexplained = (lifted.points[..., :2] - joints[..., :2] / depth) * lifted.translation[:, :, None, 2:]
        unexplained = (10 * unexplained).clamp(-3, 3) * (score > 0.05)[..., None]
        slopes = _slopes(lifted.times_s, lifted.present, keep)
        shown = lifted.points[..., :2] * base[:, :, None, 2:]  # how fast it moves in the picture, in metres
        return torch.cat(
            [
                3 * (about @ turn[:, None]).flatten(2),
                unexplained.flatten(2),
                score,
                lifted.std.clamp_min(1e-3).log() + 3.5,
                lifted.up @ turn,
                (lifted.up_std.clamp_min(1e-3).log() + 2)[..., None],
                (slopes @ shown.flatten(2)).clamp(-3, 3),
                (slopes @ about.flatten(2)).clamp(-3, 3),
                (place - base) * place.new_tensor([1.0, 1.0, 0.5]),
                place[..., 2:].clamp_min(0.1).log() - 1,
            ],
            -1,
        )


class _Layer(nn.Module):
    """A pre-normalised encoder layer whose attention knows by how many seconds two frames are apart."""

    def __init__(self, width: int, heads: int, ffn_ratio: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.ffn_in, self.ffn_out = (
            nn.Linear(width, round(ffn_ratio * width)),
            nn.Linear(round(ffn_ratio * width), width),
        )
        self.attention_norm, self.ffn_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, keep: Tensor | None) -> Tensor:
        q, k, v = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(_turned(q, cos, sin), _turned(k, cos, sin), v, attn_mask=keep)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.ffn_out(F.gelu(self.ffn_in(self.ffn_norm(x))))


BLENDED_S = (0.05, 0.04, 0.15)
"""How far in time meshes, ways and depths are blended before anything is learned: standard deviations."""


class _Blend(nn.Module):
    """What frames say, blended over time: (N, F, F) weights whose rows sum to one, for mesh, way and depth.

    A correction alone cannot take away what trembles: it would have to say it again, vertex by vertex. So
    each frame takes what the frames about it said, the nearer and the surer the more; how far, it tells by
    itself.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, 3 * 16), nn.Linear(width, 3 * 16)
        self.to_reach, self.to_trust = nn.Linear(width, 3), nn.Linear(width, 3)
        for layer in (self.query, self.to_reach, self.to_trust):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.reach = nn.Parameter(torch.tensor(BLENDED_S).log())

    def forward(
        self, tokens: Tensor, times_s: Tensor, present: Tensor, keep: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        q, k = (layer(tokens).unflatten(-1, (3, -1)).transpose(1, 2) for layer in (self.query, self.key))
        reach = (self.reach + self.to_reach(tokens).clamp(-2, 2)).exp().mT[..., None]  # (N, 3, F, 1)
        apart = (times_s[:, None, :, None] - times_s[:, None, None]) / reach
        score = (q @ k.mT) / 4 - apart.square() / 2 + self.to_trust(tokens).mT[:, :, None]
        score = torch.where(present[:, None, None], score, score - 4)
        if keep is not None:
            score = score.masked_fill(~keep, float("-inf"))
        of_mesh, of_way, of_depth = score.softmax(-1).unbind(1)
        return of_mesh, of_way, of_depth


def _rotary(times_s: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """cos, sin (N, 1, F, size / 2) of times (N, F) at periods from QUICKEST_S to SLOWEST_S."""
    periods = QUICKEST_S * (SLOWEST_S / QUICKEST_S) ** torch.linspace(0, 1, size // 2, device=times_s.device)
    angle = 2 * math.pi * times_s[:, None, :, None] / periods
    return angle.cos().float(), angle.sin().float()


def _slopes(times_s: Tensor, present: Tensor, keep: Tensor | None) -> Tensor:
    """(N, F, F): rows that give how fast something changes, a second: the line's through what is near."""
    apart = times_s[:, None] - times_s[:, :, None]  # of each frame (rows) to all others
    weight = (-(apart / SLOPE_S).square() / 2).exp() * present[:, None]
    if keep is not None:
        weight = weight * keep
    total = weight.sum(-1, keepdim=True).clamp_min(1e-6)
    off = apart - (weight * apart).sum(-1, keepdim=True) / total
    return weight * off / ((weight * off.square()).sum(-1, keepdim=True) + 1e-4 * total)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def _before(frames: int, device: torch.device) -> Tensor:
    """(F, F) bool: which frames each may see."""
    return torch.ones(frames, frames, dtype=torch.bool, device=device).tril()
