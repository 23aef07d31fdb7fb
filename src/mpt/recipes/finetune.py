"""Fine-tuning on photos: the 2D network and the transformer learn together (Section 3.3, Eq. 7).

Data sets know different things of their photos, so each loss is the mean over those samples of a batch whose
ground truth it needs (``mpt.recipes.truth``).

Letters: N samples, K joints, V vertices, C coarse ones.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn

from mpt import checkpoint, heatmaps
from mpt.bodies import Body
from mpt.cameras import weak_perspective
from mpt.checkpoint import Model
from mpt.crops import Crop, apply
from mpt.datasets.augment import BODY, AugmentationConfig
from mpt.datasets.loading import Example, PhotoDataset
from mpt.datasets.mixture import Mixture
from mpt.datasets.sample import Sample, Samples, Subset
from mpt.errors import InputError
from mpt.losses import heatmap_loss, l1_where_known
from mpt.metrics import ErrorSums
from mpt.modeling.image_to_mesh import ImageToMesh, ImageToMeshOutput
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.recipes import networks
from mpt.recipes.configs import MeshTrainingConfig
from mpt.recipes.conventions import convention_of
from mpt.recipes.counting import Convention
from mpt.recipes.evaluate import spread
from mpt.recipes.eyes import Seen, eye_on
from mpt.recipes.loop import Run, batches, check_new, console, train
from mpt.recipes.networks import NetworkConfig
from mpt.recipes.pace import check_threads
from mpt.recipes.photos import loader, next_batch, read_set, step_order
from mpt.recipes.predicting import BATCH, Network
from mpt.recipes.pretrain import LossWeights
from mpt.recipes.setting_up import body_for, freeze_unused, start, take_weights
from mpt.recipes.truth import Truth, by_source, says_of_joints, truth_of
from mpt.skeletons import H36M17, Skeleton, remap

LOSSES = ("vertices", "joints", "regressed", "projected", "heatmaps")
LOOKED_AT = 32  # samples of a set, to tell which losses it feeds


@dataclass(frozen=True)
class FinetuneWeights(LossWeights):
    """Weights of Eq. 7; the paper gives none."""

    heatmaps: float = 100.0
    """Of L_S, a mean over cells of which 99 % should be zero: 100 makes it as large as the others."""


@dataclass(frozen=True)
class FinetuneConfig(MeshTrainingConfig):
    """All of a fine-tuning run."""

    name: str = "finetune"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    start_from: str = ""
    """A model whose transformer this starts from, of the same sizes; a run of fine-tuning also gives its 2D
    network. Empty: random weights."""
    data: tuple[str, ...] = ("human36m",)
    """The data sets to train on."""
    mixture: tuple[float, ...] = ()
    """Each one's share of the samples; empty: every sample of every set once an epoch."""
    share: float = 1.0
    """Share of each data set's training samples that is used (Figure 4b)."""
    validation: str = "human36m"
    validation_split: str = "test"
    augment: AugmentationConfig = BODY
    weights: FinetuneWeights = field(default_factory=FinetuneWeights)
    network_lr: float = 1.0
    """Factor of the learning rate of the 2D network; 0 freezes it, batch statistics and all."""
    transformer_lr: float = 1.0
    """Factor of the learning rate of the transformer; 0 freezes it."""
    samples: int = 25_000_000
    batch_size: int = 32
    fine_vertices: int = 256
    """Full-mesh vertices compared in a step, drawn anew each time: an unbiased L_V for little."""


class PhotoBatch(NamedTuple):
    images: Tensor  # (N, 3, S, S)
    truth: Truth
    rows: Tensor  # full vertices that are compared


def finetune(
    config: FinetuneConfig,
    data: Mapping[str, str | os.PathLike],
    out: str | os.PathLike,
    *,
    resume: bool = False,
    pose2d_weights: str | os.PathLike | None = None,
    workers: int = 2,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int | None = None,
) -> Path:
    """Run a fine-tuning; the run folder, which ``mpt.load`` and ``mpt reconstruct --model`` take.

    data: the folder of each data set that the configuration names. pose2d_weights: what the 2D network starts
    from, an official HigherHRNet file or a run of fine-tuning. workers: processes that read photos; they
    change no number. threads: as ``mpt.recipes.loop.train`` takes them.
    """
    check_threads(threads)
    if not resume:
        check_new(Path(out), config)
    body = body_for(config.body, config.skeleton, config.start_from)
    config = replace(config, skeleton=body.skeleton.name)
    sets = [_part(samples, config) for samples in read_sets(config, data, body)]
    mixture = Mixture(sets, config.mixture or None, seed=config.seed)
    if config.epochs:
        config = replace(config, samples=round(config.epochs * mixture.epoch_size))
    held_out = read_set(config.validation, config.validation_split, data, body)
    checked = Subset(held_out, spread(np.arange(len(held_out)), config.validation_samples))
    rule, feeding = convention_of(held_out, body), feeding_table(mixture.sets, config, body)
    if not any(map(rule.knows, checked)):
        raise InputError(
            f"none of the {len(checked):,} validation samples of {config.validation} tells the truth that "
            f"they are measured by ({rule.says}); `mpt prepare dataset {config.validation} "
            f"{data[config.validation]}` says what is missing"
        )

    accelerator = start(config.precision, device, config.parallel)
    device, processes = accelerator.device, accelerator.num_processes
    rank, run = accelerator.process_index, Run(Path(out))
    if resume:
        config = run.shared_out(config, processes)
    torch.manual_seed(config.seed)
    model = build(config, body, None if resume else pose2d_weights, fresh=not resume)
    body = body.to(device)
    micro_batches = config.accumulate * processes
    steps = config.steps(micro_batches)
    first = run.steps_taken if resume else 0
    order = step_order(
        mixture, config.batch_size, range(first, steps), rank=rank, processes=processes,
        accumulate=config.accumulate,
    )  # fmt: skip
    photos = photo_dataset(mixture, config, body, augment=config.augment)
    loaded = iter(loader(photos, workers, batch_sampler=order))

    def draw(generator: torch.Generator, *_: int) -> PhotoBatch:
        example = Example(*(part.to(device, non_blocking=True) for part in next_batch(loaded)))
        rows = torch.randperm(len(body.template), generator=generator, device=device)[: config.fine_vertices]
        return PhotoBatch(example.image, truth_of(example, body), rows)

    def losses_of(model: nn.Module, batch: PhotoBatch, generator: torch.Generator) -> dict[str, Tensor]:
        how = {"mask_queries": config.masked, "further": h36m_regressor, "generator": generator}
        output = model(batch.images, rows=batch.rows, **how)
        return objective(output, batch, coarse_index, config.weights, config.network.std_cells, drawn)

    def validate(model: ImageToMesh) -> dict[str, float]:
        share = Subset(checked, np.arange(rank, len(checked), processes))
        return evaluate_photos(model, share, rule, body, config.network).means()

    def save_model(model: ImageToMesh) -> None:
        networks.save(Path(out) / networks.FILE, model.network, config.network)
        checkpoint.save(
            Path(out) / "model.safetensors",
            model.transformer,
            faces=body.faces,
            skeleton=body.skeleton,
            body=body.name,
            body_hash=body.hash,
            info={"recipe": asdict(config), "photos": {s.dataset: len(s) for s in mixture.sets}},
            dtype=torch.float32,  # `mpt evaluate` then finds what the validation found
        )

    drawn = torch.from_numpy(np.flatnonzero(remap(config.network.skeleton, body.skeleton) >= 0)).to(device)
    coarse_index = body.coarsened(config.model.coarse_vertices).index
    h36m_regressor = body.regressors[H36M17.name].to_dense() if by_source(body) else None
    factors = {"network": config.network_lr, "transformer": config.transformer_lr}
    if accelerator.is_main_process:
        millions = [
            sum(p.numel() for p in part.parameters()) / 1e6 for part in (model.network, model.transformer)
        ]
        shown = ", ".join(f"{len(samples):,} {samples.dataset}" for samples in mixture.sets)
        console.print(
            f"[bold]{config.name}[/bold]: 2D network {millions[0]:.1f} M and transformer {millions[1]:.1f} M "
            f"parameters, photos: {shown}; {len(checked):,} held out, {steps:,} steps of "
            f"{config.batch_size} x {micro_batches} on {device} ({accelerator.mixed_precision})\n"
            f"validated by {rule.name}: {rule.says}\njoints: {says_of_joints(body)}",
            highlight=False,
        )
        console.print(feeding)
        if not resume:
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
        lr_factor=lambda name: factors[name.split(".")[0]],
        fed=[name for name in LOSSES if getattr(config.weights, name)],
        threads=threads,
    )
    return Path(out)


def build(
    config: FinetuneConfig,
    body: Body,
    pose2d_weights: str | os.PathLike | None = None,
    *,
    fresh: bool = True,
) -> ImageToMesh:
    """The two networks, with the weights that they start from (where ``fresh``) and what is frozen frozen."""
    drawn = remap(config.network.skeleton, body.skeleton)
    if len(config.network.skeleton) != config.network.joints or not (drawn >= 0).any():
        raise InputError(
            f"the 2D network draws {config.network.joints} joints and the body {body.name} has "
            f"{len(body.skeleton)}: set network.joints to {len(body.skeleton)}"
        )
    transformer = MeshTransformer.for_body(body, config.model)
    if fresh and config.start_from:
        take_weights(transformer, config.start_from)
        if pose2d_weights is None and networks.tuned_here(config.start_from):
            pose2d_weights = config.start_from
    network = networks.build(config.network, pose2d_weights)
    network.requires_grad_(config.network_lr > 0)
    transformer.requires_grad_(config.transformer_lr > 0)
    for head in transformer.taught_by_mocap_alone:
        head.requires_grad_(False)
    freeze_unused(transformer, config.masked)
    if not config.network_lr > 0 and not config.transformer_lr > 0:
        raise InputError(
            "both parts are frozen, so nothing is left to train: give one a learning rate above 0"
        )
    return ImageToMesh(network, transformer, drawn)


# ------------------------------------------------------------------------------------------------- the data


def read_sets(config: FinetuneConfig, data: Mapping[str, str | os.PathLike], body: Body) -> list[Samples]:
    """The training samples of each data set that the configuration names."""
    sets = [read_set(name, "train", data, body) for name in config.data]
    given = [samples.dataset for samples in sets if samples[0].vertices_m is not None]
    if given and config.augment.flip:
        raise InputError(
            f"{given[0]} gives meshes, whose mirror images have other vertex numbers: set augment.flip to 0"
        )
    return sets


def _part(samples: Samples, config: FinetuneConfig) -> Samples:
    """The share of the samples that is used."""
    if not 0 < config.share <= 1:
        raise InputError(f"share is {config.share}: give a share of the training samples above 0, 1 for all")
    if config.share == 1:
        return samples
    chosen = np.random.default_rng(config.seed).permutation(len(samples))
    return Subset(samples, np.sort(chosen[: max(1, round(config.share * len(samples)))]))


def photo_dataset(
    samples: Samples, config: FinetuneConfig, body: Body, *, augment: AugmentationConfig | None = None
) -> PhotoDataset:
    """Examples for this body: the vertices that the sets give, and SMPL or MANO parameters."""
    mean = body.metadata.get("hands_mean")
    return PhotoDataset(
        samples,
        body.skeleton,
        model="mano" if body.metadata.get("shape_space") == "mano" else "smpl",
        size=config.network.input_size,
        vertices=len(body.template),
        regressor=body.regressor.to_dense().cpu().numpy(),
        hand_mean=None if mean is None else np.reshape(mean, (15, 3)),
        by_source=by_source(body),
        augment=augment,
        seed=config.seed,
    )


def feeding_table(sets: Sequence[Samples], config: FinetuneConfig, body: Body) -> Table:
    """Which losses each data set feeds, of those that have weight: the share of some of its samples that know
    the truth, and in words which sets give no mesh.
    """
    losses = [name for name in LOSSES if getattr(config.weights, name)]
    table = Table(title="which losses each data set feeds", title_justify="left", caption_justify="left")
    for heading in ("", "photos", *losses):
        table.add_column(heading, justify="right" if heading else "left")
    without = []
    for samples in sets:
        shares = feeds(samples, config, body)
        table.add_row(samples.dataset, f"{len(samples):,}", *(_share(shares[name]) for name in losses))
        without += [samples.dataset] if "vertices" in losses and not shares["vertices"] else []
    if without:
        table.caption = (
            f"No mesh of {body.name} is told by {' nor by '.join(without)}: the loss of vertices learns "
            "nothing there. `mpt prepare dataset NAME DIR` says which files would tell it."
        )
    return table


def feeds(samples: Samples, config: FinetuneConfig, body: Body) -> dict[str, float]:
    """Loss -> the share of some of a set's samples that know the truth it asks for."""
    photos = photo_dataset(Subset(samples, spread(np.arange(len(samples)), LOOKED_AT)), config, body)
    [examples] = loader(photos, 0, batch_size=len(photos))
    truth = truth_of(Example(*examples), body)
    of_joints = truth.joints_known.any(1)
    of_points = (truth.points_known > 0).any(1)
    known = (truth.vertices_known, of_joints, of_joints | truth.h36m_known.any(1), of_points, of_points)
    return {name: float(of_samples.float().mean()) for name, of_samples in zip(LOSSES, known)}


def _share(share: float) -> str:
    return {0.0: "–", 1.0: "yes"}.get(share) or f"{100 * share:.0f} %"


# ----------------------------------------------------------------------------------------------- the losses


def objective(
    output: ImageToMeshOutput,
    batch: PhotoBatch,
    coarse_index: Tensor,
    weights: FinetuneWeights,
    std_cells: float,
    drawn: Tensor | slice = slice(None),
) -> dict[str, Tensor]:
    """The weighted terms of Eq. 7, each a scalar, each over the samples that know its truth.

    L_V is the mean over the coarse and the full mesh; joints count by their confidence; L_S is the mean over
    the network's branches, each at its own resolution, and those joints that are ``drawn``. Regressed joints
    are those of the set that tells them.
    """
    predicted, truth = output.prediction, batch.truth
    of_mesh = truth.vertices_known[:, None].float()
    projected = weak_perspective(predicted.joints, predicted.camera)
    points, points_known = truth.points[:, drawn], truth.points_known[:, drawn]
    regressed, of_regressed, known = predicted.regressed, truth.joints, truth.joints_known
    if predicted.further.shape[1]:  # where a set tells Human3.6M's joints, those are compared
        told = truth.h36m_known.any(1, keepdim=True)
        own = predicted.further - predicted.further[:, H36M17.root].mean(1, keepdim=True)
        regressed = torch.cat([regressed, own], 1)
        of_regressed = torch.cat([truth.joints, truth.h36m_joints], 1)
        known = torch.cat([known & ~told, truth.h36m_known], 1)
    terms = {
        "vertices": (
            l1_where_known(predicted.coarse, truth.vertices[:, coarse_index], of_mesh)
            + l1_where_known(predicted.vertices, truth.vertices[:, batch.rows], of_mesh)
        )
        / 2,
        "joints": l1_where_known(predicted.joints, truth.joints, truth.joints_known.float()),
        "regressed": l1_where_known(regressed, of_regressed, known.float()),
        "projected": l1_where_known(projected, truth.points, truth.points_known),
        "heatmaps": torch.stack(
            [heatmap_loss(maps, points, points_known, std_cells) for maps in output.heatmaps]
        ).mean(),
    }
    return {name: getattr(weights, name) * value for name, value in terms.items()}


# ------------------------------------------------------------------------------------------- the validation


@torch.no_grad()
def evaluate_photos(
    model: ImageToMesh, samples: Samples, rule: Convention, body: Body, network: NetworkConfig
) -> ErrorSums:
    """What `mpt evaluate` would find by ``rule`` on those samples whose truth it knows, and ``points_px``:
    the errors of the 2D network's joints, in pixels of a crop of 224. Of several processes each gives its
    share, and gets the errors of all.
    """
    was_training, transformer = model.training, model.transformer
    model.eval()
    errors = ErrorSums()
    eye = eye_on(model, network, body.skeleton)
    drawn = remap(network.skeleton, body.skeleton) >= 0

    def watched(looks: Sequence[tuple[Sample, Crop]]) -> list[Seen | None]:
        found = eye(looks)
        off = [_points_off(seen, sample, body.skeleton, drawn) for seen, (sample, _) in zip(found, looks)]
        errors.add(points_px=torch.cat(off))
        return found

    about = Model("the model in training", transformer, body.skeleton, body.faces, body.name, body.hash, {})
    predict = Network(about, eye if transformer.config.inputs == "features" else watched)
    known = [sample for sample in samples if rule.knows(sample)]
    for part in batches(len(known), BATCH):
        predicted = predict(known[part])
        errors.add(**rule.errors(known[part], [mesh for mesh in predicted if mesh is not None]))
    model.train(was_training)
    return errors.over_ranks()


def _points_off(seen: Seen, sample: Sample, skeleton: Skeleton, drawn: np.ndarray) -> Tensor:
    """(known joints,) how far the peaks of the maps that are ``drawn`` (K,) are from the sample's joints."""
    keypoints = sample.keypoints.on(skeleton) if sample.keypoints is not None else None
    if keypoints is None:
        return torch.empty(0)
    size = seen.heatmaps.shape[-1]
    points = heatmaps.decode(seen.heatmaps[None], step_px=2)[0, :, :2].numpy()
    off = np.linalg.norm(points - apply(seen.crop.crop_from_image(size), keypoints.xy_px), axis=-1)
    return torch.from_numpy(off[drawn & (keypoints.confidence > 0)] * (224 / size))
