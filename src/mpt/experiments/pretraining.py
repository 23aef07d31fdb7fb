"""Pre-training: the model that ships, and the paper's."""

from dataclasses import replace

from mpt.cameras import HAND_CAMERAS
from mpt.datasets.synthetic import SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.heatmaps import PAPER_NOISE, HeatmapNoise
from mpt.modeling.mesh_transformer import PAPER, SMALL
from mpt.recipes.loop import OptimConfig
from mpt.recipes.pretrain import LossWeights, PosesConfig, PretrainConfig
from mpt.recipes.pretrain_video import VideoConfig
from mpt.skeletons import COCO17

SMALL_AND_SURE = replace(SMALL, hidden=(256,), layers=6, readout=160, gravity=True, spread=True)
"""Says also which way is up and how far each joint may be off (ours)."""

BY_KIND = PosesConfig(evenness=0.5)
"""Recordings hold hours of walking for a minute on the floor: the rarest poses come seven times as often as
the average, what most stand and walk like half as often."""


def mpt_small() -> PretrainConfig:
    """The model in the package: one token for each joint, so many samples as a CPU core takes in hours.

    The weights in the package saw 89 M on a GPU, some of them sightings (docs/model_card.md).

    Its store: `mpt prepare mocap cmu cmu2 ual reactidle o3de_mm snu_tiling snu_woody snu_basket --validation
    02 05 127 131 014 rin mmk s_010 --out all.store`.
    """
    return PretrainConfig(
        name="mpt-small",
        model=SMALL_AND_SURE,
        poses=BY_KIND,
        optim=OptimConfig(learning_rate=1e-3, warmup=0.05, average=0.999),
        samples=2_400_000,
        batch_size=128,
        precision="bfloat16",
        validate_every=2000,
        log_every=100,
    )


def mpt_hand() -> PretrainConfig:
    """The hand model in the package: 21 joints, poses drawn inside joint limits, seen from anywhere."""
    return replace(
        mpt_small(),
        name="mpt-hand",
        body="anny-hand",
        model=replace(SMALL, hidden=(128,), coarse_vertices=195),
        data=SyntheticConfig(random_cameras=HAND_CAMERAS),
        poses=PosesConfig(),
        weights=LossWeights(vertices=8, joints=8, regressed=8),  # metres: a hand is a ninth of a body
        samples=1_500_000,
    )


def mpt_video() -> VideoConfig:
    """The temporal model in the package: what mpt-small says of a film's frames, made one person who moves.

    Its store keeps every frame: `mpt prepare mocap ... --min-change 0`, else as mpt-small's.
    """
    return VideoConfig()


PAPER_DATA = SyntheticConfig(cameras="h36m_s1", widening=NO_WIDENING, truncation=0.0, noise=PAPER_NOISE)
"""Four virtual cameras, Eq. 1's maps, masked joint modelling, Gaussian noise, jitter, and nothing else."""


def paper() -> PretrainConfig:
    """The paper's pre-training: 17 joints, 784 patch tokens, four views, Eq. 1's maps, 10 epochs."""
    return PretrainConfig(
        name="paper", skeleton=COCO17.name, model=PAPER, data=PAPER_DATA, epochs=10, every_pair=True
    )


def paper_detector_noise() -> PretrainConfig:
    """The paper's pre-training on maps as wide, faint and wrong as a detector's (ours)."""
    return replace(paper(), name="paper-detector-noise", data=replace(PAPER_DATA, noise=HeatmapNoise()))


def paper_random_views() -> PretrainConfig:
    """The paper's transformer with our random cameras, widened poses and detector-like noise (ours)."""
    return replace(paper(), name="paper-random-views", data=SyntheticConfig(), poses=BY_KIND, epochs=0.0)


def tiny() -> PretrainConfig:
    """A few minutes on one core: to see that everything works."""
    return replace(
        mpt_small(),
        name="tiny",
        model=replace(SMALL, hidden=(64,), layers=3, heads=4),
        samples=100_000,
        batch_size=128,
        validate_every=200,
        validation_samples=128,
    )
