"""Make src/mpt/data/joint_limits.json, how people bend their joints, from pose stores of Anny.

    python docs/make_limits.py --people my.store [others.store] [--hands hands.store]

Of people 60,000 poses are taken, spread evenly over the training subjects of all stores; of hands as many of
theirs, or without a store drawn ones (``mpt.bodies.hand_poses``).
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
import torch

import mpt
from mpt import bodies
from mpt.bodies.hand_poses import sample_hand_poses
from mpt.bodies.joint_limits import learned
from mpt.datasets.store import PoseStore

POSES = 60_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", nargs="+", required=True)
    parser.add_argument("--hands", nargs="+", default=[])
    options = parser.parse_args()
    body, hand = bodies.load("anny"), bodies.load("anny-hand")
    drawn = sample_hand_poses(hand, POSES // 3, torch.Generator().manual_seed(0)).numpy()
    tables = {
        "people": table(body, poses(options.people, body)),
        "hand": table(hand, poses(options.hands, hand) if options.hands else drawn),
    }
    text = json.dumps(tables, indent=1)
    text = re.sub(r"\[[^\[\]]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    path = Path(mpt.__file__).parent / "data" / "joint_limits.json"
    path.write_text(text + "\n", encoding="utf-8")


def poses(paths: list[str], body: bodies.Body) -> np.ndarray:
    """(N, bones, 3) local rotations of the body's moving bones."""
    stores = [PoseStore(path, body=body) for path in paths]
    share = POSES // len(stores)
    found = []
    for store in stores:
        rows = store.train[np.linspace(0, len(store.train) - 1, share).round().astype(int)]
        found.append(store.rotvec(rows)[:, [store.bones.index(bone) for bone in body.moving_bones]])
    return np.concatenate(found)


def table(body: bodies.Body, rotvec: np.ndarray) -> dict:
    role_of = {bone: role for role, bone in body.roles.items()}
    rest = dict(zip(body.bones, body.heads.tolist()))
    joints = {
        role_of[bone]: learned(torch.from_numpy(rotvec[:, i]))
        for i, bone in enumerate(body.moving_bones)
        if i  # the root turns freely
    }
    return {
        "rest_m": {role: [round(v, 4) + 0.0 for v in rest[bone]] for role, bone in body.roles.items()},
        "joints": joints,
    }


if __name__ == "__main__":
    main()
