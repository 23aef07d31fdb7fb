"""The 2D network and the transformer trained together, end to end, on pictures whose truth is known.

python 07_fine_tune.py my.store runs/tuned [pictures]

my.store holds poses (06_train_on_your_mocap.py makes one, or `mpt prepare mocap`). The pictures are drawn by
the program: dressed people in these poses, each with its exact mesh; about a second each. With COCO,
Human3.6M or another data set of your own, name it instead: docs/experiments.md.
"""

import sys
from dataclasses import replace

from mpt import bodies, experiments
from mpt.datasets import rendered
from mpt.datasets.store import PoseStore
from mpt.recipes.finetune import finetune

poses, run, *count = sys.argv[1:]
pictures = int(count[0]) if count else 480

body = bodies.load("anny")
folder, store = f"{run}.pictures", PoseStore(poses, body=body)
for split, count in (("train", pictures), ("validation", max(pictures // 10, 1))):
    for _ in rendered.make(folder, store, body, count, split=split):
        pass

recipe = experiments.get("rendered-pretrained")  # begins with mpt-small's transformer, and a small 2D network
recipe = replace(recipe, samples=10 * pictures, validation_samples=min(pictures, 64))
finetune(recipe, {"rendered": folder}, run, workers=0)
print(f"{run}: both networks; try `mpt reconstruct photo.jpg --model {run}`")
