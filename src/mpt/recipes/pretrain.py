"""Mesh pre-training: motion capture alone teaches the transformer (Section 3.1, Eq. 6)."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mpt import checkpoint
from mpt.bodies import Body
from mpt.cameras import weak_perspective
from mpt.datasets import sightings
from mpt.datasets.sightings import Sightings
from mpt.datasets.store import PoseStore
from mpt.datasets.synthetic import Synthesizer, SyntheticBatch, SyntheticConfig
from mpt.errors import InputError
from mpt.losses import l1, spread_nll
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.recipes.calibration import calibrated
from mpt.recipes.configs import MeshTrainingConfig
from mpt.recipes.draws import PairDraw, PoseDraw, PosesConfig, joined, with_people
from mpt.recipes.evaluate import evaluate_poses, spread
from mpt.recipes.loop import Run, check_new, console, micro_batch_seed, train
from mpt.recipes.pace import check_threads
from mpt.recipes.setting_up import body_for, freeze_unused, start, take_weights

SIGHTINGS_SHARE = 0.15


@dataclass(frozen=True)
class LossWeights:
    """Weights of Eq. 6; the paper gives none, so all are one. Metres, and the crop's [-1, 1] for the last."""

    vertices: float = 1.0
    joints: float = 1.0
    regressed: float = 1.0
    projected: float = 1.0
    up: float = 0.1
    """Ours, of a model that says which way is up."""
    spread: float = 0.01
    """Ours, of a model that says how sure it is. No other weights learn from it: it only has to be there."""


@dataclass(frozen=True)
class PretrainConfig(MeshTrainingConfig):
    """All of a pre-training run; the paper's is 80 M samples."""

    name: str = "pretrain"
    data: SyntheticConfig = field(default_factory=SyntheticConfig)
    poses: PosesConfig = field(default_factory=PosesConfig)
    sightings_share: float = 0.0
    """Share of the samples that is what a 2D network saw of drawn people; 0: 0.15 where there are any."""
    weights: LossWeights = field(default_factory=LossWeights)
    samples: int = 80_000_000
    epochs: float = 0.0
    """Where above 0: how often every pose is seen by every view, instead of ``samples``."""
    every_pair: bool = False
    """Every pose from every view comes once before any comes again, in an order of each epoch's own; else
    poses and views are drawn with replacement, as they are where cameras are random or some poses rarer."""
    ahead: int = 1
    """Steps whose samples are made at once. On a GPU a small batch takes as long to make as a large one."""
    compile: Literal["auto", "yes", "no"] = "auto"
    """auto: torch.compile on CUDA; it does not pay on a CPU."""
    validation_samples: int = 0
    """Held-out poses of a validation; 0: 512, or fewer where a validation would take long beside the training
    between two of them."""


def pretrain(
    config: PretrainConfig,
    store_path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    resume: bool = False,
    start_from: str | os.PathLike | None = None,
    sightings_path: str | os.PathLike | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int | None = None,
) -> Path:
    """Run a pre-training; the run folder.

    ``resume`` continues the run that ``out`` holds; ``start_from`` begins a new one with a model's weights.
    ``sightings_path``: what a 2D network saw of drawn people, to learn from as well. ``threads``: as
    ``mpt.recipes.loop.train`` takes them.
    """
    check_threads(threads)
    if not resume:
        check_new(Path(out), config)
    body = body_for(config.body, config.skeleton, start_from)
    config = replace(config, skeleton=body.skeleton.name)
    store = PoseStore(store_path, body=body)
    if not len(store.train):
        raise InputError(
            f"{store_path}: has no training poses; prepare it with some subjects left for training"
        )

    body = with_people(body, store)
    accelerator = start(config.precision, device, config.parallel)
    device, processes = accelerator.device, accelerator.num_processes
    run = Run(Path(out))
    if resume:
        config = run.shared_out(config, processes)
    torch.manual_seed(config.seed)
    model = MeshTransformer.for_body(body, config.model)
    if start_from is not None:
        take_weights(model, start_from)
    freeze_unused(model, config.masked)
    synthesize = Synthesizer(
        body,
        store.bones,
        config.data,
        inputs=config.model.inputs,
        coarse_vertices=config.model.coarse_vertices,
        heatmap_size=config.model.heatmap_size,
        device=device,
    )
    views = len(synthesize.rig) if config.data.cameras == "h36m_s1" else 1
    every_pair = config.every_pair and config.data.cameras == "h36m_s1" and not config.poses.evenness
    witnessed = sightings_for(config, body, sightings_path, device)
    if witnessed is not None and not config.sightings_share:
        config = replace(config, sightings_share=SIGHTINGS_SHARE)
    from_store = (store, body, config.poses, config.seed, device)
    poses = PairDraw(*from_store, views=views) if every_pair else PoseDraw(*from_store)
    if config.epochs:
        config = replace(config, samples=round(config.epochs * len(poses) * views))
    micro_batches = config.accumulate * processes
    steps = config.steps(micro_batches)
    held_out = store.validation if len(store.validation) else store.train
    learned = min(steps, config.validate_every) * config.batch_size * micro_batches
    checked = store.rotvec(spread(held_out, config.validation_samples or validation_samples(learned)))

    def make(generator: torch.Generator, steps: range, number: int) -> SyntheticBatch:
        firsts = [(step * micro_batches + number) * config.batch_size for step in steps]
        seen = round(config.sightings_share * config.batch_size)
        drawn = joined([poses(config.batch_size - seen, generator, first) for first in firsts])
        batch = synthesize(drawn.rotvec, generator, shape=drawn.shape, view=drawn.view)
        if not seen:
            return batch
        at = torch.randint(len(witnessed), (seen * len(steps),), generator=generator, device=device)
        order = torch.randperm(len(drawn.rotvec) + len(at), generator=generator, device=device)
        return batch.mixed_with(synthesize.recalled(witnessed[at], batch.rows), order)

    draw = Ahead(make, config.ahead, config.seed)

    def losses_of(
        model: torch.nn.Module, batch: SyntheticBatch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        prediction = model(batch.seen, rows=batch.rows, mask_queries=config.masked, generator=generator)
        return objective(prediction, batch, config.weights)

    def validate(model: MeshTransformer) -> dict[str, float]:
        errors, share = {}, {"rank": accelerator.process_index, "ranks": processes}
        for name, data in (("", None), ("noisy_", config.data.noise)):
            found = evaluate_poses(model, body, store.bones, checked, noise=data, **share).over_ranks()
            errors |= {name + metric: value for metric, value in found.means().items()}
        return errors

    def save_model(model: MeshTransformer) -> None:
        checkpoint.save(
            Path(out) / "model.safetensors",
            calibrated(model, body, store.bones, checked, config.data),
            faces=body.faces,
            skeleton=body.skeleton,
            body=body.name,
            body_hash=body.hash,
            info={"recipe": asdict(config), "poses": len(poses), "sequences": len(store.sequences)},
        )

    if accelerator.is_main_process:
        parameters = sum(p.numel() for p in model.parameters())
        by_pairs = f" from {views} views, each pair once an epoch" if every_pair else ""
        console.print(
            f"[bold]{config.name}[/bold]: {parameters / 1e6:.1f} M parameters, {len(poses):,} training "
            f"poses{by_pairs}, validated on {len(checked):,} of {len(held_out):,} held out, "
            f"{steps:,} steps of {config.batch_size} x {micro_batches} on {device} "
            f"({accelerator.mixed_precision})",
            highlight=False,
        )
    if not resume and accelerator.is_main_process:
        run = Run.begin(Path(out), config)
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
        compile_model=config.compile == "yes" or (config.compile == "auto" and device.type == "cuda"),
        threads=threads,
    )
    return Path(out)


class Ahead:
    """Draws the samples of several steps at once, and gives each step its part.

    What a step gets follows from the seed and its number alone, so training resumes at any step.
    """

    def __init__(
        self, make: Callable[[torch.Generator, range, int], SyntheticBatch], steps: int, seed: int
    ) -> None:
        """make(generator, steps, number): samples of those steps' micro-batches of that number, in order."""
        self._make, self._steps, self._seed = make, steps, seed
        self._made: dict[int, tuple[int, SyntheticBatch]] = {}  # by number: of which steps, their samples

    def __call__(self, generator: torch.Generator, step: int, number: int) -> SyntheticBatch:
        if self._steps == 1:
            return self._make(generator, range(step, step + 1), number)
        group, part = divmod(step, self._steps)
        if self._made.get(number, (-1,))[0] != group:
            first = group * self._steps
            own = torch.Generator(generator.device).manual_seed(micro_batch_seed(self._seed, first, number))
            self._made[number] = group, self._make(own, range(first, first + self._steps), number)
        return self._made[number][1].part(part, self._steps)


def validation_samples(learned: int) -> int:
    """How many poses to validate on after so many to learn from: 512, or a tenth of those.

    Each is looked at twice, and learning from one takes as long as three looks: so validation adds at most a
    fifteenth to the training's time, whatever the model and the machine. The paper's transformer takes a
    second and a half for a look on one core.
    """
    return max(1, min(512, learned // 10))


def sightings_for(
    config: PretrainConfig, body: Body, path: str | os.PathLike | None, device: torch.device
) -> Sightings | None:
    """The sightings of a file on the device, or None where there is none.

    Raises InputError for sightings of another body, a model that does not read their marginals, or where a
    configuration has a share of sightings and none are given.
    """
    if path is None:
        if config.sightings_share:
            raise InputError(f"{config.name} learns from sightings as well: give --sightings FILE")
        return None
    if config.model.inputs != "joints":
        raise InputError(
            f"{path}: holds marginals of maps, and {config.name} reads {config.model.inputs}: leave "
            "--sightings out, or train a model that reads one token for each joint, as mpt-small"
        )
    return sightings.read(path, body, config.model.heatmap_size).to(device)


def objective(prediction, batch: SyntheticBatch, weights: LossWeights) -> dict[str, Tensor]:
    """The weighted terms of Eq. 6, each a scalar. L_V is the mean over the coarse and the full mesh."""
    vertices = (l1(prediction.coarse, batch.coarse) + l1(prediction.vertices, batch.vertices)) / 2
    projected = weak_perspective(prediction.joints, prediction.camera)
    terms = {
        "vertices": weights.vertices * vertices.mean(),
        "joints": weights.joints * l1(prediction.joints, batch.joints).mean(),
        "regressed": weights.regressed * l1(prediction.regressed, batch.joints).mean(),
        "projected": weights.projected * l1(projected, batch.points).mean(),
    }
    spreads = []
    if prediction.joints_std is not None:
        distance = (prediction.regressed - batch.joints).norm(dim=-1).detach()
        spreads.append(spread_nll(distance, prediction.joints_std, 3).mean())
    if prediction.up is not None:
        terms["up"] = weights.up * l1(prediction.up[:, None], batch.up[:, None]).mean()
        angle = (prediction.up - batch.up).norm(dim=-1).detach()
        spreads.append(spread_nll(angle, prediction.up_std, 2).mean())
    return terms | ({"spread": weights.spread * sum(spreads)} if spreads else {})
