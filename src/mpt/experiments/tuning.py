"""Fine-tuning as the tables share it: on Human3.6M, on the mixed data sets, on what is free.

At the smaller scales the pictures are rendered ones: all of them stand for the mixed data sets, a quarter for
Human3.6M alone. The 2D network, which the paper takes as trained by others, is then a small one that a stage
trains first, with the pre-trained transformer frozen behind it: what that stage measures is zero-shot.
"""

from dataclasses import replace
from typing import Any, Literal

from mpt.experiments.cells import PREFIX, Evaluation, Scale, Stage
from mpt.experiments.finetuning import rendered_pretrained
from mpt.experiments.shared import BASE, pretrained
from mpt.modeling.mesh_transformer import PAPER
from mpt.recipes.finetune import FinetuneConfig, FinetuneWeights
from mpt.recipes.loop import OptimConfig
from mpt.recipes.networks import NetworkConfig
from mpt.skeletons import COCO17

Data = Literal["h36m", "mixed"]
SETS = {"h36m": ("human36m",), "mixed": ("human36m", "muco3dhp", "up3d", "coco", "mpii")}
LABELS = {"h36m": "Human3.6M", "mixed": "mixed data sets"}
HERE = {"h36m": "a quarter of the pictures", "mixed": "all pictures"}
EPOCHS = 80

FULL = FinetuneConfig(body="smpl.safetensors", skeleton=COCO17.name, model=PAPER, epochs=EPOCHS)
FREE = replace(rendered_pretrained(), skeleton=COCO17.name, model=BASE["small"].model, start_from="")
TINY = replace(
    FREE,
    model=BASE["tiny"].model,
    network=NetworkConfig("small", width=8, input_size=64, std_cells=1.5),
    samples=8 * 2,
    batch_size=2,
    validation_samples=2,
    validate_every=4,
    log_every=2,
)
POSE2D = {"small": 8, "tiny": 1}
"""How much longer the 2D network alone is trained: a weak one would decide every number behind it."""
TUNED = {"full": FULL, "small": FREE, "tiny": TINY}


def pose2d(scale: Scale) -> Stage:
    """The 2D network of the smaller scales, alone, before the frozen pre-trained transformer."""
    base = TUNED[scale]
    config = replace(
        base,
        name=f"{PREFIX[scale]}pose2d",
        weights=FinetuneWeights(vertices=0, joints=0, regressed=0, projected=0),
        optim=OptimConfig(learning_rate=2e-3),
        transformer_lr=0,
        samples=POSE2D[scale] * base.samples,
        validate_every=10 * base.validate_every,
    )
    return Stage(config, start_from=pretrained(scale))


def tuned(
    scale: Scale,
    data: Data,
    start: Literal["pretrained", "scratch"],
    variant: str = "",
    *,
    of: Stage | None = None,
    **changes: Any,
) -> Stage:
    """Fine-tuning; ``of``: the pre-training to start from, if not the usual one."""
    config = replace(TUNED[scale], **changes)
    if scale == "full":
        config = replace(config, data=SETS[data])
    elif data == "h36m":
        config = replace(config, share=config.share / 4)
    name = PREFIX[scale] + "-".join(part for part in (data, variant, start) if part)
    start_from = (of or pretrained(scale)) if start == "pretrained" else None
    return Stage(replace(config, name=name), start_from, None if scale == "full" else pose2d(scale))


def label(scale: Scale, data: Data) -> str:
    """What a row is trained on, by the paper's name and, at the smaller scales, by what stands for it."""
    return LABELS[data] if scale == "full" else f"{LABELS[data]} (here {HERE[data]})"


def measured(scale: Scale, *, curve: bool = False) -> Evaluation:
    """Human3.6M, or held-out rendered pictures, by the 2D network that was tuned with the model."""
    if scale == "full":
        return Evaluation("h36m", "tuned", "h36m-p2", curve)
    return Evaluation("rendered", "tuned", curve=curve)
