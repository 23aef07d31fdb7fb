"""A model of your own, from your own motion capture: prepared, trained, ready for photos.

python 06_train_on_your_mocap.py my_bvh_folder runs/mine [samples]

20,000 samples take a minute of one core and show that it learns; mpt-small's recipe has 2.4 million and takes
80 minutes. The same by commands, with everything that can be chosen: docs/training.md.
"""

import sys
from dataclasses import replace
from pathlib import Path

import mpt
from mpt import experiments, mocap
from mpt.recipes.prepare import prepare_mocap
from mpt.recipes.pretrain import pretrain

folder, run, *samples = sys.argv[1:]
people = sorted({mocap.read(file).subject for file in mocap.find([folder])})
held_out = people[-1:] if len(people) > 1 else []  # who never trains, and is measured on
store = Path(f"{run}.store")
print(prepare_mocap([folder], store, validation=held_out).poses, "poses that differ")

recipe = replace(experiments.get("mpt-small"), samples=int(samples[0]) if samples else 20_000)
pretrain(recipe, store, run)  # Ctrl-C saves; pretrain(..., resume=True) goes on

skeleton = mpt.load(run).model.skeleton  # as any model: mpt.load(run)("photo.jpg")
print(f"{run} knows {len(skeleton)} joints; try `mpt reconstruct photo.jpg --model {run}`")
