"""Table 5: hands, on FreiHAND.

Pre-training is on the poses of Complement's meshes (`mpt prepare meshes`). At the smaller scales it is on
poses drawn inside joint limits (`mpt prepare hands`), on the free hand, and what is measured is held-out
poses: there are no free photos of hands with their meshes.
"""

from dataclasses import replace

from mpt.cameras import HAND_CAMERAS
from mpt.datasets.augment import HAND
from mpt.experiments.cells import PREFIX, Cell, Evaluation, Scale, Stage, Table, paper
from mpt.experiments.pretraining import PAPER_DATA
from mpt.experiments.shared import BASE
from mpt.experiments.tuning import TUNED
from mpt.recipes.pretrain import LossWeights
from mpt.skeletons import HAND21

COARSE = 195
POSES = replace(PAPER_DATA, cameras="random", random_cameras=HAND_CAMERAS)
"""Hands are seen from anywhere; the paper does not say how it saw Complement's."""


def cells(scale: Scale) -> list[Cell]:
    first = BASE[scale]
    pretraining = Stage(
        replace(
            first,
            name=f"{PREFIX[scale]}hands-pretrain",
            body="mano.safetensors" if scale == "full" else "anny-hand",
            skeleton=HAND21.name,
            model=replace(first.model, coarse_vertices=COARSE),
            data=POSES,
            weights=LossWeights(vertices=8, joints=8, regressed=8),  # metres: a hand is a ninth of a body
        )
    )
    if scale != "full":
        return [Cell("table5-hands", "MPT", pretraining, Evaluation("poses", "truth"), PAPER)]
    tuning = Stage(
        replace(
            TUNED[scale],
            name="hands",
            body="mano.safetensors",
            skeleton=HAND21.name,
            model=pretraining.config.model,
            network=replace(TUNED[scale].network, joints=21),
            data=("freihand",),
            validation="freihand",
            augment=HAND,
        ),
        start_from=pretraining,
    )
    evaluation = Evaluation("freihand", "tuned", "freihand")
    return [Cell("table5-hands", "MPT", tuning, evaluation, PAPER)]


PAPER = paper(pa_mpjpe=5.6, pa_mpvpe_mm=5.4, f_5=0.789, f_15=0.988)
TABLES = (Table("table5", "hands", "FreiHAND's evaluation set", cells),)
