"""Pre-training of the temporal transformer on motion capture alone, above a mesh transformer (ours).

    motion -> clips -> the mesh transformer, frame by frame -> the temporal transformer -> one who moves

The mesh transformer's answers take most of a step on a CPU. So they are made for many steps at once, and each
clip is looked at several times, every time with other frames missing.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mpt import checkpoint
from mpt.bodies import Body
from mpt.datasets import clip_files
from mpt.datasets.clips import CONTACTS, ClipConfig, Clips, Filming, PathDraw, absences
from mpt.datasets.store import PoseStore
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.errors import InputError
from mpt.heatmaps import HeatmapNoise
from mpt.losses import spread_nll
from mpt.metrics import mpjpe, pa_mpjpe
from mpt.modeling.lifted import Lifted, bridged, lift
from mpt.modeling.temporal import Refined, TemporalConfig, TemporalTransformer
from mpt.recipes.configs import TrainingConfig
from mpt.recipes.loop import OptimConfig, Run, check_new, console, micro_batch_seed, train
from mpt.recipes.pace import check_threads
from mpt.recipes.setting_up import body_for, start


@dataclass(frozen=True)
class VideoLosses:
    """Weights; lengths in metres, steps from one frame to the next as at 30 frames a second."""

    coarse: float = 1.0
    joints: float = 1.0
    place: float = 0.5
    """Of the way through the room: to the sides in metres, in depth as a share of it."""
    velocity: float = 6.0
    """Of the joints' steps from frame to frame, in the camera's axes."""
    acceleration: float = 6.0
    """Of those steps' change."""
    resting: float = 6.0
    """Steps of what rests."""
    contact: float = 0.05
    shape: float = 0.003
    spread: float = 0.003


@dataclass(frozen=True)
class VideoConfig(TrainingConfig):
    """All of a pre-training run of a temporal transformer."""

    name: str = "mpt-video"
    lift: str = "mpt-small"
    """The mesh transformer whose answers are refined."""
    model: TemporalConfig = field(default_factory=TemporalConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)
    noise: HeatmapNoise = field(default_factory=lambda: HeatmapNoise(clean_share=0.05, detector_share=0.8))
    causal: float = 0.3
    """Share of the steps in which no frame sees what comes after it."""
    sightings_share: float = 0.3
    """Share of the steps on clips that a 2D network followed, where there are any."""
    weights: VideoLosses = field(default_factory=VideoLosses)
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(learning_rate=1.5e-3, warmup=0.05, average=0.998)
    )
    samples: int = 80_000
    """Clips to learn from in all, each look at one counted."""
    batch_size: int = 16
    ahead: int = 32
    """Steps whose clips are made at once, ..."""
    looks: int = 8
    """... and how often each is looked at."""
    validate_every: int = 500
    validation_clips: int = 64


class Sample(NamedTuple):
    """Clips as the mesh transformer sees them, and the truth."""

    lifted: Lifted
    coarse: Tensor  # (N, F, C, 3) about the mid-hip
    translation: Tensor  # (N, F, 3)
    shape: Tensor  # (N, S)
    contact: Tensor  # (N, F, 4)

    def rows(self, at: Tensor) -> "Sample":
        """Those of the clips."""
        lifted, *truth = self
        return Sample._make([Lifted._make(x[at] for x in lifted), *(x[at] for x in truth)])


def sampled(model: checkpoint.Model, clips: Clips) -> Sample:
    """Clips through the mesh transformer."""
    with torch.inference_mode():
        single = lift(model.transformer, *(x.flatten(0, 1) for x in clips[:3]), list(model.skeleton.root))
    n, frames = clips.times_s.shape
    single = [x.clone().unflatten(0, (n, frames)) for x in single]
    lifted = Lifted._make([*single, clips.points, clips.times_s, clips.present])
    return Sample(lifted, clips.coarse.float(), clips.translation, clips.shape, clips.contact)


def pretrain_video(
    config: VideoConfig,
    store_path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    resume: bool = False,
    start_from: str | os.PathLike | None = None,
    sightings_path: str | os.PathLike | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int | None = None,
) -> Path:
    """Run a pre-training of a temporal transformer; the run folder. As ``mpt.recipes.pretrain.pretrain``."""
    out = Path(out)
    check_threads(threads)
    if not resume:
        check_new(out, config)
    accelerator = start(config.precision, device)
    if accelerator.num_processes > 1:
        raise InputError(
            f"{config.name} is trained by one process, and {accelerator.num_processes} were started: leave "
            "torchrun out"
        )
    model_below = checkpoint.load(config.lift, accelerator.device)
    check_can_lift(model_below)
    body = body_for(model_below.body, model_below.skeleton.name)
    store = PoseStore(store_path, body=body)
    torch.manual_seed(config.seed)
    regressor = model_below.transformer.joints_of_coarse()
    feet = body.skeleton.indices(*CONTACTS)
    if start_from is None:
        model = TemporalTransformer(
            config.model, regressor.cpu(), tuple(body.skeleton.root), body.shape_count
        )
    else:
        model = checkpoint.load_temporal(start_from).transformer.requires_grad_(True)
        if model.config != config.model:
            raise InputError(f"{start_from}: is built otherwise than {config.name}; start from one alike")
    filming = filming_for(config, model_below, body, store, accelerator.device)
    train_paths = PathDraw(store, store.train, accelerator.device)
    held_out = PathDraw(store, store.validation if len(store.validation) else store.train, accelerator.device)
    seen = None if sightings_path is None else clip_files.read(sightings_path, body, filming.synthesize.size)
    witnessed = (
        None if seen is None else sampled(model_below, Clips(*(x.to(accelerator.device) for x in seen)))
    )
    pool = Pool(lambda g: sampled(model_below, filming.draw(train_paths, config.batch_size, g)), config)
    checked = sampled(
        model_below,
        filming.draw(held_out, config.validation_clips, torch.Generator(accelerator.device).manual_seed(7)),
    )
    steps = config.steps()

    def draw(generator: torch.Generator, step: int, number: int) -> Sample:
        def chance() -> float:
            return float(torch.rand((), generator=generator, device=generator.device))

        if witnessed is not None and chance() < config.sightings_share:
            rows = torch.randint(
                len(witnessed.shape), (config.batch_size,), generator=generator, device=generator.device
            )
            sample = witnessed.rows(rows)
        else:
            sample = pool(generator, step)
        lifted = sample.lifted
        return sample._replace(
            lifted=lifted._replace(present=absences(config.clips, lifted.present, generator))
        )

    def losses_of(model: torch.nn.Module, sample: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        causal = float(torch.rand((), generator=generator, device=generator.device)) < config.causal
        return objective(model(sample.lifted, causal=causal), sample, config.weights, regressor, feet)

    def validate(model: torch.nn.Module) -> dict[str, float]:
        with torch.no_grad():
            model.eval()
            errors = measured(model(checked.lifted), checked, regressor, feet)
            causal = measured(model(checked.lifted, causal=True), checked, regressor, feet)
        return errors | {f"causal_{name}": causal[name] for name in ("mpjpe", "acceleration")}

    def save_model(model: torch.nn.Module) -> None:
        assert isinstance(model, TemporalTransformer)
        checkpoint.save_temporal(
            out / "model.safetensors", model, skeleton=body.skeleton, body=body.name, body_hash=body.hash,
            info={"recipe": asdict(config), "lift": model_below.name, "sequences": len(store.sequences)},
        )  # fmt: skip

    parameters = sum(p.numel() for p in model.parameters())
    before = measured(as_lifted(checked.lifted, regressor, body.skeleton.root), checked, regressor, feet)
    console.print(
        f"[bold]{config.name}[/bold]: {parameters / 1e6:.1f} M parameters above {model_below.name}, "
        f"{float(train_paths.seconds.sum()) / 60:.0f} minutes of motion, {steps:,} steps of "
        f"{config.batch_size} clips on {accelerator.device}; frame by frame "
        + "  ".join(f"{name} {value:.1f}" for name, value in before.items()),
        highlight=False,
    )
    run = Run(out) if resume else Run.begin(out, config)
    train(
        run,
        config.loop(steps),
        model,
        draw,
        losses_of,
        validate,
        save_model,
        accelerator=accelerator,
        resume=resume,
        threads=threads,
    )
    return out


def check_can_lift(model: checkpoint.Model) -> None:
    """Raises InputError for a model whose answers cannot be refined over time."""
    config = model.transformer.config
    if not (
        config.inputs == "joints"
        and config.gravity
        and config.spread
        and set(CONTACTS) <= set(model.skeleton.joints)
    ):
        raise InputError(
            f"{model.name}: films are refined above a model that reads one token for each joint, of people "
            "with feet, and says how sure it is and where up is, as mpt-small does: give one of these"
        )


def filming_for(
    config: VideoConfig, model: checkpoint.Model, body: Body, store: PoseStore, device: torch.device
) -> Filming:
    """What films people of a store's motion as a configuration says, for a model to lift."""
    data = SyntheticConfig(noise=config.noise, crop_factor=(1.2, 1.3), crop_shift=0.02)
    sizes = model.transformer.config
    synthesize = Synthesizer(
        body, store.bones, data, inputs=sizes.inputs, coarse_vertices=sizes.coarse_vertices,
        heatmap_size=sizes.heatmap_size, device=device,
    )  # fmt: skip
    return Filming(synthesize, config.clips)


def as_lifted(lifted: Lifted, regressor: Tensor, root: Sequence[int]) -> Refined:
    """What the mesh transformer says frame by frame, as if it had been refined."""
    lifted = bridged(lifted)
    joints = regressor @ lifted.coarse
    middle = joints[:, :, list(root)].mean(2, keepdim=True)
    nothing = lifted.std.new_zeros(*lifted.times_s.shape, len(CONTACTS))
    return Refined(
        lifted.coarse - middle, joints - middle, lifted.std, lifted.translation, nothing, nothing[:, 0, :0]
    )


def measured(said: Refined, sample: Sample, regressor: Tensor, feet: Sequence[int]) -> dict[str, float]:
    """Errors in mm: MPJPE about the mid-hip and after Procrustes, of COCO's 17; acceleration a frame^2 and
    resting feet a frame at 30 fps, both in the camera's axes; depth, and contacts found rightly, in percent.
    """
    coco = slice(17)
    joints = regressor @ sample.coarse
    pace = 1 / 30 / sample.lifted.times_s.diff(dim=1)[..., None, None]
    inner, true_inner = said.joints[:, :, coco], joints[:, :, coco]
    error = inner.diff(dim=1, n=2) - true_inner.diff(dim=1, n=2)
    there, truth = (
        j[:, :, feet] + t[:, :, None]
        for j, t in ((said.joints, said.translation), (joints, sample.translation))
    )
    rests = sample.contact[:, 1:] * sample.contact[:, :-1]
    slide = ((there.diff(dim=1) - truth.diff(dim=1)) * pace).norm(dim=-1)
    flat = [j.flatten(0, 1) for j in (inner, true_inner)]
    return {
        "mpjpe": float(mpjpe(*flat).mean()),
        "pa_mpjpe": float(pa_mpjpe(*flat).mean()),
        "acceleration": 1000 * float((error * pace[:, 1:] ** 2).norm(dim=-1).mean()),
        "resting": 1000 * float((slide * rests).sum() / rests.sum().clamp_min(1)),
        "depth": 100 * float((said.translation[..., 2] / sample.translation[..., 2]).log().abs().mean()),
        "contact": 100 * float(((said.contact > 0) == (sample.contact > 0.5)).float().mean()),
    }


class Pool:
    """The samples of many steps, made at once; what a step gets follows from the seed and its number."""

    def __init__(self, make, config: VideoConfig) -> None:
        self._make, self._config, self._group = make, config, -1
        self._samples: list[Sample] = []

    def __call__(self, generator: torch.Generator, step: int) -> Sample:
        count = self._config.ahead
        group, turn = divmod(step, count * self._config.looks)
        if group != self._group:
            first = group * count
            self._samples.clear()
            for number in range(first, first + count):
                own = torch.Generator(generator.device).manual_seed(
                    micro_batch_seed(self._config.seed + 1, number, 0)
                )
                self._samples.append(self._make(own))
            self._group = group
        return self._samples[turn % count]


def objective(
    said: Refined, sample: Sample, weights: VideoLosses, regressor: Tensor, feet: Sequence[int]
) -> dict[str, Tensor]:
    """The weighted terms, each a scalar. ``regressor`` (K, C): joints of coarse meshes; ``feet``: those of
    CONTACTS.
    """
    joints = regressor @ sample.coarse
    times = sample.lifted.times_s
    pace = (1 / 30 / times.diff(dim=1).clamp_min(1e-3))[:, :, None, None]
    there, truth = said.joints + said.translation[:, :, None], joints + sample.translation[:, :, None]
    steps, true_steps = there.diff(dim=1) * pace, truth.diff(dim=1) * pace
    inner, true_inner = said.joints.diff(dim=1) * pace, joints.diff(dim=1) * pace
    depth = sample.translation[..., 2:]
    ray, true_ray = said.translation[..., :2] / said.translation[..., 2:], sample.translation[..., :2] / depth
    place = ((ray - true_ray) * depth).abs().sum(-1) + (said.translation[..., 2:] / depth).log().abs()[..., 0]
    slide = (there[:, :, feet].diff(dim=1) - truth[:, :, feet].diff(dim=1)) * pace
    rests = sample.contact[:, 1:] * sample.contact[:, :-1]
    apart = lambda a, b: (a - b).abs().sum(-1).mean()  # noqa: E731
    resting = (slide.abs().sum(-1) * rests).sum() / rests.sum().clamp_min(1)
    distance = (said.joints - joints).norm(dim=-1).detach()
    return {
        "coarse": weights.coarse * apart(said.coarse, sample.coarse),
        "joints": weights.joints * apart(said.joints, joints),
        "place": weights.place * place.mean(),
        "velocity": weights.velocity * (apart(steps, true_steps) + apart(inner, true_inner)) / 2,
        "acceleration": weights.acceleration
        * (
            apart(steps.diff(dim=1), true_steps.diff(dim=1))
            + apart(inner.diff(dim=1), true_inner.diff(dim=1))
        )
        / 2,
        "resting": weights.resting * resting,
        "contact": weights.contact * F.binary_cross_entropy_with_logits(said.contact, sample.contact),
        "shape": weights.shape * (said.shape - sample.shape).abs().mean(),
        "spread": weights.spread * spread_nll(distance, said.std.clamp_min(1e-3), 3).mean(),
    }
