"""Fine-tuning on what is free: pictures that mpt renders itself, at a size that two CPU cores bear.

    mpt finetune rendered-pose2d --data rendered --out runs/pose2d
    mpt finetune rendered-pretrained --data rendered --weights runs/pose2d
    mpt finetune rendered-scratch --data rendered --weights runs/pose2d

The first stands in for a 2D network trained by others, as the paper's is; its transformer is frozen, so what
it validates is zero-shot. The other two differ in the transformer's first weights alone (Table 2, Figure 4a).
"""

from dataclasses import replace

from mpt.datasets import rendered
from mpt.datasets.augment import BODY
from mpt.experiments.pretraining import SMALL_AND_SURE
from mpt.recipes.finetune import FinetuneConfig, FinetuneWeights
from mpt.recipes.loop import OptimConfig
from mpt.recipes.networks import NetworkConfig


def rendered_pose2d() -> FinetuneConfig:
    """Rendered pictures: the small 2D network alone; the pre-trained transformer, frozen, shows zero-shot."""
    return replace(
        rendered_pretrained(),
        name="rendered-pose2d",
        weights=FinetuneWeights(vertices=0, joints=0, regressed=0, projected=0),
        optim=OptimConfig(learning_rate=2e-3),
        transformer_lr=0,
        samples=9600,
        validate_every=50,
    )


def rendered_pretrained() -> FinetuneConfig:
    """Rendered pictures: 2D network and pre-trained transformer, end to end (Figure 4a)."""
    return FinetuneConfig(
        name="rendered-pretrained",
        model=SMALL_AND_SURE,
        network=NetworkConfig("small", width=24, input_size=128, std_cells=1.5),
        start_from="mpt-small",
        data=(rendered.NAME,),
        validation=rendered.NAME,
        validation_split="validation",
        augment=replace(BODY, flip=0),
        optim=OptimConfig(learning_rate=5e-4),
        samples=4800,
        batch_size=16,
        validation_samples=64,
        validate_every=20,
        log_every=20,
    )


def rendered_scratch() -> FinetuneConfig:
    """The same with a transformer of random weights: what pre-training is worth (Figure 4a)."""
    return replace(rendered_pretrained(), name="rendered-scratch", start_from="")
