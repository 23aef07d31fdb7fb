"""Motion capture -> clips: people who move before a camera, what a 2D network may see of them, and the truth.

    poses in their order -> one person -> a camera that stands or sways -> crops -> noise that lasts

As ``synthetic.py`` makes single moments, all of it batched on the training device, nothing stored.

Letters: N clips, F frames, B bones, K joints, C coarse vertices, S heatmap size. Lengths in the picture are
told on the plane a metre before the camera, x / z and y / z: no pixels, no focal length.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import roma
import torch
from torch import Tensor

from mpt.cameras import Cameras
from mpt.datasets.store import PoseStore
from mpt.datasets.synthetic import Synthesizer
from mpt.draws import DrawsInTime
from mpt.errors import InputError
from mpt.heatmaps import add_floor_to_marginals, perturb, render_marginals

CONTACTS = ("left_heel", "left_big_toe", "right_heel", "right_big_toe")
RESTING_M_S = 0.15  # a foot's point that moves more slowly rests
NEAREST_M = 1.2  # of a root before the camera


@dataclass(frozen=True)
class ClipConfig:
    """What clips are like."""

    frames: tuple[int, int] = (27, 81)
    fps: tuple[float, float] = (20.0, 60.0)
    """Log-uniform: slow films and quick ones; 30 half of the time."""
    sway: float = 0.25
    """Share of the cameras that are held by hand, or pan."""
    sway_deg: float = 2.5
    """Standard deviation of their turns about each axis."""
    cut: float = 0.12
    """Share of the clips in which a part of the person is out of the picture."""
    away: float = 0.3
    """Share of the clips in which the person is not found in some frames on end, ..."""
    away_share: float = 0.3
    """... at most this share of them."""
    miss: float = 0.02
    """Frames in which nobody is found, one by one."""


class Paths(NamedTuple):
    """How people move."""

    rotvec: Tensor  # (N, F, B, 3) local rotations
    hips: Tensor  # (N, F, 3) the middle of the hips, of the mean shape, world axes
    fps: Tensor  # (N,)


class Clips(NamedTuple):
    """N clips: what may be seen, and the truth in camera axes, about the true mid-hip, metres."""

    seen: Tensor  # (N, F, K, 2, S) marginals of the maps, in crops
    points: Tensor  # (N, F, K, 3) found 2D joints on the plane, and their scores
    crop: Tensor  # (N, F, 3) the middle of the crop on the plane, and half its side
    present: Tensor  # (N, F) bool: whether anybody is found
    times_s: Tensor  # (N, F)
    coarse: Tensor  # (N, F, C, 3)
    joints: Tensor  # (N, F, K, 3)
    translation: Tensor  # (N, F, 3) where the mid-hip is
    shape: Tensor  # (N, shapes)
    contact: Tensor  # (N, F, 4) which of CONTACTS rest


def absences(config: ClipConfig, present: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """(N, F) bool: who is found in which frames, of those who were, where some are away for a while."""
    (n, frames), device = present.shape, present.device
    u = torch.rand(n, 3, generator=generator, device=device)
    length = u[:, 0] * config.away_share * frames * (u[:, 1] < config.away)
    start = u[:, 2] * (frames - length)
    t = torch.arange(frames, device=device)
    away = (t >= start[:, None]) & (t < (start + length)[:, None])
    missed = torch.rand(n, frames, generator=generator, device=device) < config.miss
    left = present & ~(away | missed)
    return torch.where(left.any(1, keepdim=True), left, present)


class PathDraw:
    """Draws stretches of a store's motion, every second of it equally often."""

    def __init__(self, store: PoseStore, index, device: torch.device | str = "cpu") -> None:
        """``index``: which of the store's poses, such as ``store.train``. Raises InputError where the store
        does not know where people were.
        """
        hips = torch.from_numpy(store.hips(index))
        if not len(hips) or hips.isnan().any():
            raise InputError(
                f"{store.path}: does not say where people go, which films need: make it again with "
                "`mpt prepare mocap`, best with --min-change 0, which keeps every frame"
            )
        self.hips = hips.to(device)
        self.turns = roma.rotvec_to_unitquat(torch.from_numpy(store.rotvec(index))).half().to(device)
        sequence, frame = torch.from_numpy(store.sequence(index)).long(), torch.from_numpy(store.frame(index))
        found, count = torch.unique_consecutive(sequence, return_counts=True)
        last = count.cumsum(0) - 1
        self.first = frame[last - count + 1].double().to(device)
        self.length = frame[last].double().to(device) - self.first  # in frames
        self.fps = torch.tensor([store.sequences[s].fps for s in found], dtype=torch.float64, device=device)
        gap = 1e6  # between sequences, on one axis of frames
        self.key = (frame.double() + gap * torch.arange(len(found)).repeat_interleave(count)).to(device)
        self.gap, self.seconds = gap, self.length / self.fps

    def __call__(self, count: int, frames: int, fps: Tensor, generator: torch.Generator | None) -> Paths:
        """So many stretches of so many frames at ``fps`` (count,)."""
        device = self.key.device
        wanted = (frames - 1) / fps.double()
        room = (self.seconds - wanted[:, None]).clamp_min(0)  # (N, sequences)
        weight = torch.where(room > 0, room + 0.5, 1e-6)
        s = torch.multinomial(weight, 1, generator=generator)[:, 0]
        u = torch.rand(count, generator=generator, device=device, dtype=torch.float64)
        start = u * room.gather(1, s[:, None])[:, 0]
        at = start[:, None] + torch.arange(frames, device=device) / fps[:, None].double()
        at = (at * self.fps[s, None]).minimum(self.length[s, None]) + (self.first[s] + self.gap * s)[:, None]
        after = torch.searchsorted(self.key, at.contiguous()).clamp(1, len(self.key) - 1)
        before = after - 1
        step = (self.key[after] - self.key[before]).clamp_min(1e-9)
        part = ((at - self.key[before]) / step).clamp(0, 1)
        part = torch.where(step > self.gap / 2, 1.0, part).float()[..., None]
        a, b = self.turns[before].float(), self.turns[after].float()
        turn = roma.unitquat_to_rotvec(roma.quat_product(roma.quat_conjugation(a), b))
        turned = roma.quat_product(a, roma.rotvec_to_unitquat(part[..., None] * turn))
        hips = self.hips[before] + part * (self.hips[after] - self.hips[before])
        return Paths(roma.unitquat_to_rotvec(turned), hips, fps)


class Filming:
    """Turns paths into clips, with a synthesizer's body, cameras, crops and noise."""

    def __init__(self, synthesize: Synthesizer, config: ClipConfig) -> None:
        self.synthesize, self.config = synthesize, config
        body = synthesize.body
        self.body = body.subset(synthesize.coarse_index)
        self.hips = [body.bones.index(body.roles[f"{side}_hip"]) for side in ("left", "right")]
        self.feet = list(body.skeleton.indices(*CONTACTS))
        self.leg = _leg_m(body.heads[None], body)

    def draw(self, paths: PathDraw, count: int, generator: torch.Generator | None) -> Clips:
        """Clips of one length."""
        return self(self.stretches(paths, count, generator), generator)

    def stretches(self, paths: PathDraw, count: int, generator: torch.Generator | None) -> Paths:
        """People's ways, all of one length, which is drawn."""
        device, (least, most) = self.synthesize.device, self.config.frames
        frames = int(torch.randint(least, most + 1, (), generator=generator, device=device))
        low, high = (math.log(rate) for rate in self.config.fps)
        u = torch.rand(count, 2, generator=generator, device=device)
        fps = torch.where(u[:, 0] < 0.5, 30.0, (low + (high - low) * u[:, 1]).exp())
        return paths(count, frames, fps, generator)

    def __call__(self, paths: Paths, generator: torch.Generator | None = None) -> Clips:
        """What a camera sees of people on their ways."""
        people = self.people(paths, generator)
        return self.seen(people, self.body, generator)

    def people(self, paths: Paths, generator: torch.Generator | None) -> "Moving":
        """Who they are, where they go, and who films them."""
        n, frames = paths.rotvec.shape[:2]
        synthesize, body = self.synthesize, self.body
        rotvec, hips = paths.rotvec[:, :, synthesize.column], paths.hips
        widen = synthesize.widen
        mirror = widen.chosen(n, 0.5, generator)[:, :, None, None]
        across = rotvec.new_tensor([1.0, -1.0, -1.0])
        rotvec = torch.where(mirror, rotvec[:, :, widen.bone_flip] * across, rotvec)
        hips = torch.where(mirror[..., 0], hips * -across, hips)
        shape = body.sample_shapes(n, generator)
        heads = body.rest(shape).heads
        rotations = roma.rotvec_to_rotmat(rotvec).flatten(0, 1)
        larger = _leg_m(heads, body) / self.leg
        hips = hips * larger[:, None, None]
        of_each = shape.repeat_interleave(frames, 0)
        at_origin = body.bone_transforms(rotations, of_each)[:, self.hips, :3, 3].mean(1)
        cameras = self._cameras(hips, generator)
        return Moving(rotations, of_each, hips.flatten(0, 1) - at_origin, cameras, paths.fps, frames)

    def _cameras(self, hips: Tensor, generator: torch.Generator | None) -> Cameras:
        """(N * F) one camera a clip, which stands, or sways; it looks where hips (N, F, 3) are half way."""
        n, frames = hips.shape[:2]
        synthesize, config = self.synthesize, self.config
        one = synthesize.cameras(n, generator)
        path = hips - hips[:, frames // 2, None]
        moved = path @ one.rotation.mT + one.translation[:, None]  # the hips, from the camera
        moved[..., 2] += (NEAREST_M - moved[..., 2].amin(1, keepdim=True)).clamp_min(0)
        waves = torch.randn(n, 4, 3, generator=generator, device=hips.device)
        pace = 0.2 + 2 * torch.rand(
            n, 2, 1, 1, generator=generator, device=hips.device
        )  # radians a frame / 10
        t = torch.arange(frames, device=hips.device)[None, None, :, None] / 10
        angle = (waves[:, :2, None] * (pace * t).sin() + waves[:, 2:, None] * (pace * t).cos()).sum(1) / 2
        sways = synthesize.widen.chosen(n, config.sway, generator)[..., None]
        turn = roma.rotvec_to_rotmat(angle * math.radians(config.sway_deg) * sways)  # (N, F, 3, 3)
        rotation = turn @ one.rotation[:, None]
        translation = (turn @ moved[..., None] - rotation @ hips[..., None])[..., 0]
        each = [
            part[:, None].expand(-1, frames, -1).flatten(0, 1) for part in (one.focal_px, one.principal_px)
        ]
        return Cameras(rotation.flatten(0, 1), translation.flatten(0, 1), *each)

    def seen(self, people: "Moving", body, generator: torch.Generator | None) -> Clips:
        """What noise as a 2D network's leaves of it."""
        synthesize, config, frames = self.synthesize, self.config, people.frames
        truth = self.truth(people, body)
        n = len(truth.shape)
        size = synthesize.size
        flat_joints = (truth.joints + truth.translation[:, :, None]).flatten(0, 1)
        plane = flat_joints[..., :2] / flat_joints[..., 2:].clamp_min(0.05)
        cut = synthesize.widen.chosen(n, config.cut, generator)
        which = torch.randint(len(synthesize.widen.cuts), (n,), generator=generator, device=plane.device)
        visible = ~(cut & synthesize.widen.cuts[which]).repeat_interleave(frames, 0)
        center, half = synthesize.framing(plane, visible, generator)
        points = (plane - center[:, None]) / half[:, None]
        pixels = (points + 1) * (size / 2) - 0.5
        inside = visible & (pixels > -0.5).all(-1) & (pixels < size - 0.5).all(-1)
        wide = (pixels - pixels.mean(1, keepdim=True)).square().sum((1, 2)).sqrt()
        about = truth.joints.flatten(0, 1)
        px_per_m = wide / about[..., :2].square().sum((1, 2)).sqrt()
        draws = DrawsInTime(truth.times_s, generator)
        blobs, floor = perturb(
            pixels, inside, synthesize.skeleton, synthesize.config.noise, size,
            depth=about[..., 2] * px_per_m[:, None], draws=draws,
        )  # fmt: skip
        seen = add_floor_to_marginals(render_marginals(blobs, size), floor, generator)
        ndc = (blobs.points[:, :, 0] + 0.5) * (2 / size) - 1
        found = torch.cat([ndc * half[:, None] + center[:, None], blobs.peak[:, :, :1]], -1)
        return truth._replace(
            seen=seen.unflatten(0, (n, frames)),
            points=found.unflatten(0, (n, frames)),
            crop=torch.cat([center, half], 1).unflatten(0, (n, frames)),
            present=torch.ones(n, frames, dtype=torch.bool, device=plane.device),
        )

    def truth(self, people: "Moving", body) -> Clips:
        """What is true of it, nothing yet seen."""
        frames = people.frames
        posed = body(people.rotations, people.shape, people.place)
        n = len(posed.joints) // frames
        vertices, joints = (people.cameras.world_to_camera(x) for x in (posed.vertices, posed.joints))
        root = joints[:, body.skeleton.root].mean(1, keepdim=True)
        times = torch.arange(frames, device=root.device) / people.fps[:, None]
        feet = posed.joints[:, self.feet].unflatten(0, (n, frames))
        speed = feet.diff(dim=1).norm(dim=-1) * people.fps[:, None, None]
        speed = torch.maximum(torch.cat([speed[:, :1], speed], 1), torch.cat([speed, speed[:, -1:]], 1))
        empty = posed.joints.new_empty(n, frames, 0)
        fold = lambda x: x.unflatten(0, (n, frames))  # noqa: E731
        return Clips(
            empty, empty, empty, empty, times,
            fold(vertices - root), fold(joints - root), fold(root[:, 0]),
            people.shape[::frames], (speed < RESTING_M_S).float(),
        )  # fmt: skip


class Moving(NamedTuple):
    """N * F bodies in world axes, and who films them."""

    rotations: Tensor  # (N * F, B, 3, 3)
    shape: Tensor  # (N * F, shapes)
    place: Tensor  # (N * F, 3) their translations
    cameras: Cameras  # N * F
    fps: Tensor  # (N,)
    frames: int


def _leg_m(heads: Tensor, body) -> Tensor:
    """(N,) from hip over knee to ankle, the mean of both sides, of bones' heads (N, B, 3) at rest."""
    way = 0
    for side in ("left", "right"):
        hip, knee, ankle = (
            heads[:, body.bones.index(body.roles[f"{side}_{j}"])] for j in ("hip", "knee", "ankle")
        )
        way = way + (knee - hip).norm(dim=-1) + (ankle - knee).norm(dim=-1)
    return way / 2
