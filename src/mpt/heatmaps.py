"""Points -> heatmaps and heatmaps -> points, a closed pair; masking and detector-like noise.

A heatmap is separable: one Gaussian along x times one along y (Eq. 1), so no 2-D exponential is ever taken.
What a joint's map says is carried by :class:`Blobs`, from which come the maps themselves (for patch tokens)
or, at a hundredth of the cost, their marginals: each map summed along y and along x (for joint tokens).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from mpt.draws import Draws
from mpt.skeletons import Skeleton

PAPER_STD_PX = 3 / math.sqrt(2)
"""Eq. 1 has no factor 2: sigma = 3 px is a standard deviation of 2.12 px."""


@dataclass(frozen=True)
class Blobs:
    """Peaks of N x J heatmaps, K in each: the joint itself and what a detector confuses it with."""

    points: Tensor  # (N, J, K, 2) crop pixels
    std: Tensor  # (N, J, K, 2) px, along x and y
    peak: Tensor  # (N, J, K) in [0, 1]; 0 is no peak


def blobs(points: Tensor, std: float | Tensor = PAPER_STD_PX, peak: float | Tensor = 1.0) -> Blobs:
    """One blob for each joint: ``points`` (N, J, 2) crop pixels; ``std`` and ``peak`` scalars or (N, J)."""
    ones = torch.ones_like(points[..., 0])
    return Blobs(
        points.unsqueeze(2), (ones * std)[:, :, None, None].expand(-1, -1, 1, 2), (ones * peak).unsqueeze(2)
    )


def render(blobs: Blobs, size: int = 224, out: Tensor | None = None) -> Tensor:
    """(N, J, size, size) heatmaps; written into ``out`` where given. Differentiable without it."""
    x, y = _profiles(blobs, size)
    y = y * blobs.peak[..., None]
    if x.shape[2] == 1:
        return torch.mul(y[:, :, 0, :, None], x[:, :, 0, None, :], out=out)
    return torch.matmul(y.mT, x, out=out)


def render_marginals(blobs: Blobs, size: int = 224) -> Tensor:
    """(N, J, 2, size): the maps of :func:`render` summed along y and along x, without making them."""
    x, y = _profiles(Blobs(blobs.points[:, :, 0], blobs.std[:, :, 0], blobs.peak[:, :, 0]), size)
    result = _sums(x, y, blobs.peak[:, :, 0])
    further = blobs.peak[:, :, 1:].nonzero(as_tuple=True)  # rare: only those that are there
    if len(further[0]):
        rest = Blobs(*(field[:, :, 1:][further] for field in (blobs.points, blobs.std, blobs.peak)))
        x, y = _profiles(rest, size)
        row = further[0] * result.shape[1] + further[1]
        result = result.flatten(0, 1).index_add(0, row, _sums(x, y, rest.peak)).view_as(result)
    return result


def marginals(maps: Tensor) -> Tensor:
    """(N, J, H, W) square heatmaps -> (N, J, 2, size): summed along y (index 0: over x) and along x."""
    return torch.stack([maps.sum(-2), maps.sum(-1)], 2)


def decode(maps: Tensor, step_px: int = 3) -> Tensor:
    """(N, J, H, W) heatmaps -> (N, J, 3): x, y in crop pixels and the peak's height.

    About the highest cell the map is summed along y and along x; the logarithm of a Gaussian is a parabola,
    which three of the sums, ``step_px`` apart, determine: exact for a Gaussian of any width, and for anything
    else at most a pixel from the highest cell. An empty map gives the crop's middle with score 0.
    """
    height, width = maps.shape[-2:]
    score, flat = maps.flatten(-2).max(-1)
    column, row = flat % width, flat // width
    near_x = (torch.arange(width, device=maps.device) - column[..., None]).abs() <= step_px
    near_y = (torch.arange(height, device=maps.device) - row[..., None]).abs() <= step_px
    x = column + _off_center((maps * near_y[..., :, None]).sum(-2), column, step_px)
    y = row + _off_center((maps * near_x[..., None, :]).sum(-1), row, step_px)
    found = score > 0
    return torch.stack(
        [torch.where(found, x, (width - 1) / 2), torch.where(found, y, (height - 1) / 2), score], -1
    )


def _off_center(profile: Tensor, cell: Tensor, step_px: int) -> Tensor:
    """How far a Gaussian's centre is from a cell, at most one, by three values of it; 0 at the very edge."""
    step = torch.minimum(cell, profile.shape[-1] - 1 - cell).clamp_max(step_px)
    around = torch.stack([cell - step, cell, cell + step], -1)
    low, middle, high = profile.gather(-1, around).clamp_min(1e-12).log().unbind(-1)
    bend = (2 * middle - low - high).clamp_min(1e-6)
    return (step * (high - low) / (2 * bend)).clamp(-1, 1)


@dataclass(frozen=True)
class HeatmapNoise:
    """How far synthetic heatmaps stray from perfect ones. Pixels are those of a 224 px crop.

    A sample is clean (the paper's blobs), or detector-like (measured on BlazePose's maps of real photos: a
    low peak is a wide one, limbs have second peaks, foreshortened ones are too long), or varied (any width
    and height: HigherHRNet's maps, keypoint files). The paper names masking, Gaussian noise and jitter,
    and no magnitudes (Section 3.1.2).
    """

    clean_share: float = 0.15
    detector_share: float = 0.55
    mask_ratio: float = 0.3
    """Masked joint modelling: int(U(0, 1) * ratio * joints) maps are emptied, in varied samples."""
    missing: float = 0.7
    """Whole groups of joints that a network does not draw at all: this share of the samples lacks the small
    toes (as BlazePose does), or the feet, the hands, both (COCO's 17), or the face."""
    jitter_px: float = 2.0
    """Varied samples: standard deviation of joint jitter; each sample draws its own, up to twice this."""
    std_px: tuple[float, float] = (2.0, 8.0)
    """Varied samples: blob width, log-uniform for each sample."""
    peak: tuple[float, float] = (0.25, 1.0)
    """Varied samples: blob height."""
    error_of_std: float = 0.3
    """Detector-like samples: standard deviation of a blob's centre along an axis, as a share of its width, at
    a peak of 0.9; a lower peak is wrong by more (0.5 of its width at 0.7, 0.85 at 0.3). Limbs, which are
    sharper, err by a share of it: an ankle by half."""
    flattened: float = 0.35
    """Detector-like samples: what is foreshortened is found longer, as if this share of a bone's depth lay
    across the line of sight (0.6 to 1.4 times this)."""
    limb_miss: float = 0.5
    """Joints from elbow and knee down found somewhere else, a third of them where the other side's is: this
    share of the faintest ones, half as many at a peak of 0.48, hardly any above 0.7. A hand is missed with
    its wrist."""
    limb_ghost: float = 0.3
    """The same joints with a second, lower peak."""
    swap_share: float = 0.02
    """Both legs below the hips exchanged, left for right."""
    floor: float = 0.004
    """Standard deviation of the per-pixel Gaussian noise (cut at zero), up to."""
    std_jitter: float = 0.15
    """Varied samples: standard deviation of the logarithm of a joint's width about its sample's."""
    stretch: float = 0.17
    """All but clean samples: standard deviation of the logarithm of a blob's width along either axis."""
    face_together: float = 0.8
    """What the face's joints share of their error; the rest, so that squares add up to one, is their own."""


PERFECT = HeatmapNoise(clean_share=1.0, detector_share=0.0, missing=0.0)
"""The paper's blobs, no noise of any kind."""

DETECTOR = HeatmapNoise(clean_share=0.0, detector_share=1.0, missing=0.0)
"""What a detector like BlazePose gives."""

PAPER_NOISE = HeatmapNoise(
    clean_share=0.0,
    detector_share=0.0,
    missing=0.0,
    std_px=(PAPER_STD_PX, PAPER_STD_PX),
    std_jitter=0.0,
    stretch=0.0,
    peak=(1.0, 1.0),
    face_together=0.0,
    flattened=0.0,
    limb_miss=0.0,
    limb_ghost=0.0,
    swap_share=0.0,
)
"""The paper's (Section 3.1.2): Eq. 1's blobs in every sample, some joints masked, each of the others moved by
a jitter of its own, Gaussian noise on the maps; nothing else. The three magnitudes are ours, see above."""


def perturb(
    points: Tensor,
    visible: Tensor,
    skeleton: Skeleton,
    noise: HeatmapNoise,
    size: int = 224,
    generator: torch.Generator | None = None,
    *,
    depth: Tensor | None = None,
    draws: Draws | None = None,
) -> tuple[Blobs, Tensor]:
    """Draw noisy blobs for true points: the blobs and the floor level (N, J) of each map.

    ``points`` (N, J, 2) crop pixels; ``visible`` (N, J) bool: a joint outside the picture has no peak, or
    where the sample is detector-like perhaps a guessed one, low and wide. ``depth`` (N, J): how far away
    joints are, in the same unit; without it no bone is known to be foreshortened. ``draws``: random numbers
    that are not each sample's own, as of a film's frames.
    """
    n, joints = visible.shape
    device, unit = points.device, size / 224

    draws = draws or Draws(device, generator)
    uniform, normal = draws.uniform, draws.normal

    kind = uniform(n, 1)
    clean = kind < noise.clean_share  # (N, 1)
    detector = ~clean & (kind < noise.clean_share + noise.detector_share)
    limb, arm, shin, face, confused, leader, error_share, handed_on, groups, _ = _roles(skeleton, device)

    # Height and width. Detector-like: peak * std^2 is nearly constant, times a personal factor.
    spread = torch.where(arm, 0.74, torch.where(limb, 0.62, 0.35))
    worst = uniform(n, 1) ** 0.5
    low = 0.93 - spread * worst * uniform(n, joints)[:, leader] ** 1.5
    guessed = ~visible & (uniform(n, joints) < 0.6)
    low = torch.where(guessed, 0.25 + 0.25 * uniform(n, joints), low)
    wide = (torch.where(limb, 34, 40) / low).sqrt() * (0.82 + 0.4 * uniform(n, 1))
    least, most = (math.log(s) for s in noise.std_px)
    log_std = least + (most - least) * uniform(n, 1)
    varied_std = torch.exp(log_std + noise.std_jitter * normal(n, joints))
    varied_peak = noise.peak[0] + (noise.peak[1] - noise.peak[0]) * uniform(n, joints) ** 0.7
    rank = uniform(n, joints).argsort(-1).argsort(-1)
    masked = rank < (uniform(n, 1) * noise.mask_ratio * joints).floor()

    stretch = torch.exp(noise.stretch * normal(n, joints, 2))
    std = torch.where(detector, wide, varied_std)[..., None] * stretch
    std = unit * torch.where(clean[..., None], PAPER_STD_PX, std)
    peak = torch.where(detector, low * (visible | guessed), varied_peak * (visible & ~masked))
    peak = torch.where(clean, visible.float(), peak)

    # Place. A detector's errors grow as its peaks sink; the face shares its error, a limb hands on half of
    # its own to what hangs on it, and the whole person is off by a pixel.
    swapped = shin & ~clean & (uniform(n, 1) < noise.swap_share)
    found = torch.where(swapped[..., None], points[:, confused], points)
    if depth is not None and noise.flattened:
        share = noise.flattened * (0.6 + 0.8 * uniform(n, 1))
        found = found + detector[..., None] * _lengthened(points, depth, share, skeleton)
    size_of_error = torch.where(
        detector,
        (noise.error_of_std + 0.9 * (0.9 - low)).clamp_min(0.2)
        * wide
        * error_share
        * torch.where(guessed, 1.5, 1.0),
        2 * noise.jitter_px * uniform(n, 1),
    )
    faint = torch.sigmoid((0.48 - torch.where(detector, low, varied_peak)) / 0.09)
    miss = limb & (uniform(n, joints)[:, leader] < noise.limb_miss * faint)
    leads = leader == torch.arange(joints, device=device)
    size_of_error = torch.where(miss & leads, 25.0, size_of_error)
    astray = miss & (uniform(n, joints)[:, leader] < 0.33) & ~clean
    found = torch.where(astray[..., None], points[:, confused], found)
    shared = noise.face_together
    own = math.sqrt(1 - shared**2)
    unit_error = torch.where(
        face[:, None], own * normal(n, joints, 2) + shared * normal(n, 1, 2), normal(n, joints, 2)
    )
    error = size_of_error[..., None] * unit_error
    error = error + detector[..., None] * (handed_on @ error + 1.2 * normal(n, 1, 2))
    found = found + torch.where(clean[..., None], 0.0, unit * error)
    found = torch.where((guessed & detector)[..., None], found.clamp(0, size - 1), found)

    # What the network does not draw has no peak of any kind.
    bounds = _group_bounds(noise.missing, device)
    drawn = ~groups[torch.bucketize(uniform(n), bounds, right=True)]
    peak = peak * drawn

    # Second peaks, on limbs: the joint that it is confused with, or somewhere about.
    ghost = ~clean & limb & (uniform(n, joints) < noise.limb_ghost)
    about = found + 40 * unit * normal(n, joints, 2)
    other = torch.where((uniform(n, joints) < 0.33)[..., None], points[:, confused], about)
    ghost_peak = ghost * peak * (0.05 + 0.55 * uniform(n, joints))

    # Low wide skirts under a detector's limbs.
    skirt_peak = (detector & limb) * peak * (0.01 + 0.03 * uniform(n, joints))

    noisy = Blobs(
        torch.stack([found, other, found], 2),
        torch.stack([std, std, 2.5 * std], 2),
        torch.stack([peak, ghost_peak, skirt_peak], 2),
    )
    return noisy, ~clean * drawn * noise.floor * uniform(n, 1)


def _lengthened(points: Tensor, depth: Tensor, share: Tensor, skeleton: Skeleton) -> Tensor:
    """(N, J, 2) by how much joints are moved where each bone from the shoulders down is drawn as long as if a
    share (N, 1) of its depth lay in the picture; on average nothing moves.
    """
    above = [max(parent, 0) for parent in skeleton.parents]
    bone, deep = points - points[:, above], share * (depth - depth[:, above])
    length = bone.norm(dim=-1)
    longer = (length.square() + deep.square()).sqrt() - length
    moved = _roles(skeleton, points.device).beyond @ (bone * (longer / length.clamp_min(1e-3))[..., None])
    return moved - moved.mean(1, keepdim=True)


_FEET, _HANDS = ("toe", "heel"), ("knuckle",)
_ARMS = ("elbow", "wrist", *_HANDS)
_SHINS = ("knee", "ankle", *_FEET)
_LIMBS = (*_ARMS, *_SHINS, "2", "3", "4")  # fingers beyond the knuckle, too
_FACE = ("nose", "eye", "ear")
_GROUPS = (("small_toe",), _FEET, _HANDS, (*_FEET, *_HANDS), _FACE)
_GROUP_SHARES = (0.5, 0.1, 0.1, 0.22, 0.08)  # of the samples that lack one
_SHARES = {
    "elbow": (0.75, 0.35), "wrist": (0.8, 0.35), "knuckle": (0.5, 0.8), "knee": (0.8, 0.35),
    "ankle": (0.55, 0.1), "toe": (0.65, 0.2), "heel": (0.5, 0.8),
    "2": (1.0, 0.5), "3": (1.0, 0.5), "4": (1.0, 0.5),
}  # fmt: skip
"""Of a detector's limbs: each joint's own error, and what it has of the error of the joint above."""


class _Roles(NamedTuple):
    """What the joints of a skeleton are to the noise."""

    limb: Tensor  # (J,)
    arm: Tensor  # (J,) from the elbow down
    shin: Tensor  # (J,) from the knee down
    face: Tensor  # (J,)
    confused: Tensor  # (J,) the joint that a detector takes for each
    leader: Tensor  # (J,) whose height and misses it has: a knuckle its wrist's
    error: Tensor  # (J,) its own error, over that of face and trunk
    handed_on: Tensor  # (J, J) what of each joint's error the others have besides
    groups: Tensor  # (1 + groups, J) joints that are not drawn together; first none
    beyond: Tensor  # (J, J) whose bones, as long as they are no face's or shoulder's, lead to each joint


@lru_cache
def _roles(skeleton: Skeleton, device: torch.device) -> _Roles:
    def named(words: tuple[str, ...]) -> list[bool]:
        return [any(word in joint for word in words) for joint in skeleton.joints]

    limb, shares, errors, leader = named(_LIMBS), torch.eye(len(skeleton)), [], []
    for joint, (name, parent) in enumerate(zip(skeleton.joints, skeleton.parents)):
        error, handed_on = next((s for word, s in _SHARES.items() if word in name), (1.0, 0.0))
        errors.append(error)
        leader.append(parent if "knuckle" in name else joint)
        if parent >= 0:
            shares[joint] += handed_on * shares[parent]
    beyond = torch.zeros(len(skeleton), len(skeleton))
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0 and (limb[joint] or "hip" in skeleton.joints[joint]):
            beyond[joint] = beyond[parent]
            beyond[joint, joint] = 1
    parts = (
        torch.tensor(limb),
        torch.tensor(named(_ARMS)),
        torch.tensor(named(_SHINS)),
        torch.tensor(named(_FACE)),
        torch.as_tensor(skeleton.confused),
        torch.tensor(leader),
        torch.tensor(errors),
        shares - torch.eye(len(skeleton)),
        torch.tensor([named(words) for words in ((), *_GROUPS)]),
        beyond,
    )
    return _Roles(*(part.to(device) for part in parts))


@lru_cache
def _group_bounds(missing: float, device: torch.device) -> Tensor:
    """(groups,) where in [0, 1] each of _GROUPS begins; below the first, all is drawn."""
    shares = torch.tensor((1 - missing, *(missing * share for share in _GROUP_SHARES)))
    return shares.cumsum(0)[:-1].to(device)


def add_floor(maps: Tensor, floor: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Per-pixel Gaussian noise of standard deviation ``floor`` (N, J) on maps (N, J, H, W), cut to [0, 1]."""
    noise = torch.randn(maps.shape, generator=generator, device=maps.device)
    return (maps + floor[..., None, None] * noise).clamp(0, 1)


def add_floor_to_marginals(
    marginals: Tensor, floor: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """What :func:`add_floor` does to the marginals (N, J, 2, size) of nearly empty maps, drawn directly.

    Each bin sums ``size`` pixels of noise cut at zero, whose mean is 0.399 and whose variance 0.341 of the
    uncut ones' deviation and variance; so many of them sum to a Gaussian.
    """
    size = marginals.shape[-1]
    noise = torch.randn(marginals.shape, generator=generator, device=marginals.device)
    level = floor[..., None, None]
    return marginals + level * (size * 0.39894 + math.sqrt(size * 0.34085) * noise)


def _sums(x: Tensor, y: Tensor, peak: Tensor) -> Tensor:
    """Profiles (*batch, size) of blobs -> the sums of their maps along y and along x, (*batch, 2, size)."""
    x, y = x * (peak * y.sum(-1))[..., None], y * (peak * x.sum(-1))[..., None]
    return torch.stack([x, y], -2)


def _profiles(blobs: Blobs, size: int) -> tuple[Tensor, Tensor]:
    """Gaussians of height 1 along x and along y, (*batch, size) each."""
    cells = torch.arange(size, device=blobs.points.device, dtype=blobs.points.dtype)
    distance = (cells - blobs.points[..., None]) * (math.sqrt(0.5) / blobs.std)[..., None]
    if distance.requires_grad:
        return distance.square().clamp_max(_FAR).neg().exp().unbind(-2)
    return distance.square_().clamp_max_(_FAR).neg_().exp_().unbind(-2)  # fresh memory costs more than this


_FAR = 43.0
"""exp(-43) times itself is still a normal number; processors multiply smaller ones a hundred times slower."""
