"""Pre-training as the tables share it: one run for all cells that begin with the same transformer."""

from collections.abc import Callable
from dataclasses import replace

from mpt.experiments.cells import PREFIX, Evaluation, Scale, Stage
from mpt.experiments.pretraining import PAPER_DATA, paper
from mpt.heatmaps import PERFECT, HeatmapNoise
from mpt.modeling.mesh_transformer import SMALL
from mpt.recipes.loop import OptimConfig
from mpt.recipes.pretrain import PosesConfig, PretrainConfig
from mpt.skeletons import COCO17

FULL = replace(paper(), body="smpl.safetensors")
FREE = PretrainConfig(
    skeleton=COCO17.name,
    model=replace(SMALL, hidden=(128,), layers=3),
    data=PAPER_DATA,
    optim=OptimConfig(learning_rate=1e-3),
    samples=200_000,
    batch_size=128,
    precision="bfloat16",
    validation_samples=256,
    validate_every=500,
    log_every=100,
)
TINY = replace(
    FREE,
    model=replace(SMALL, hidden=(16,), layers=1, heads=2, heatmap_size=56),
    samples=8 * 8,
    batch_size=8,
    precision="float32",
    validation_samples=8,
    log_every=2,
)
BASE = {"full": FULL, "small": FREE, "tiny": TINY}
"""An epoch of the paper's is every pair of mesh and view once: with fewer views, or less motion, its run is
shorter. At the smaller scales, where no run sees every pose, all are equally long.
"""


MANY_WIDTHS = replace(
    HeatmapNoise(),
    clean_share=0.0,
    detector_share=0.0,
    missing=0.0,
    flattened=0.0,
    limb_miss=0.0,
    limb_ghost=0.0,
    swap_share=0.0,
)
"""The paper's three kinds of noise on blobs 2 to 8 px wide and 0.25 to 1 high, as detectors draw them."""


def _of_coordinates(config: PretrainConfig) -> PretrainConfig:
    return replace(config, model=replace(config.model, inputs="coordinates"))


def _under(config: PretrainConfig, noise: HeatmapNoise) -> PretrainConfig:
    return replace(config, data=replace(config.data, noise=noise))


VARIANTS: dict[str, Callable[[PretrainConfig], PretrainConfig]] = {
    "": lambda config: config,
    "no-masking": lambda config: replace(
        config, data=replace(config.data, noise=replace(config.data.noise, mask_ratio=0.0))
    ),
    "many-widths": lambda config: _under(config, MANY_WIDTHS),
    "coordinates": lambda config: _of_coordinates(config),
    "exact-coordinates": lambda config: _of_coordinates(_under(config, PERFECT)),
    "detector-noise": lambda config: _under(config, HeatmapNoise()),
    "detector-noise-coordinates": lambda config: _of_coordinates(_under(config, HeatmapNoise())),
    "half-resolution": lambda config: replace(
        config, model=replace(config.model, heatmap_size=config.model.heatmap_size // 2)
    ),
    "random-views": lambda config: replace(
        config, data=replace(config.data, cameras="random"), epochs=config.epochs * config.data.views
    ),  # its epoch is every pose once
} | {
    f"views-{views}": lambda config, views=views: replace(config, data=replace(config.data, views=views))
    for views in (1, 2, 8)
}
VARIANTS |= {
    f"share-{percent}": lambda config, percent=percent: replace(
        config, poses=PosesConfig(share=percent / 100)
    )
    for percent in (1, 20, 40, 60, 80)
}
"""What differs from the pre-training that all others share, whose name is empty."""


def pretrained(scale: Scale, variant: str = "") -> Stage:
    """The pre-training of that variant."""
    name = f"{PREFIX[scale]}pretrain" + (f"-{variant}" if variant else "")
    return Stage(replace(VARIANTS[variant](BASE[scale]), name=name))


def zero_shot(scale: Scale) -> Evaluation:
    """A 2D network that was trained by others, in front of the pre-trained transformer."""
    match scale:
        case "full":
            return Evaluation("h36m", "higher-hrnet", "h36m-p2")
        case "small":
            return Evaluation("rendered", "blazepose")
        case "tiny":
            return Evaluation("rendered", "truth")
