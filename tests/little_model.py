"""A transformer too small to know anything, and somebody for it to look at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mpt import bodies, checkpoint
from mpt.modeling.mesh_transformer import SMALL, MeshTransformer

LITTLE = replace(SMALL, hidden=(16,), layers=1, heatmap_size=56)


def write_little_model(path: Path, skeleton: str = "coco17", *, sure: bool = False) -> Path:
    """A model file for the default body; its mesh is near the rest pose whatever it sees. ``sure``: of one
    that says where up is and how sure it is.
    """
    torch.manual_seed(0)
    body = bodies.load(skeleton=skeleton)
    model = MeshTransformer.for_body(body, replace(LITTLE, gravity=sure, spread=sure))
    checkpoint.save(
        path, model, faces=body.faces, skeleton=body.skeleton, body=body.name, body_hash=body.hash
    )
    return path


def standing_joints(
    at_m: tuple[float, float, float],
    focal_px: float,
    size_wh: tuple[int, int],
    skeleton: str = "coco17",
) -> np.ndarray:
    """(K, 3) x, y, score of the resting body, its mid-hip at a place in camera axes."""
    body = bodies.load(skeleton=skeleton)
    joints = body.rest(torch.zeros(1, body.shape_count)).joints[0].numpy()
    joints = (joints - joints[body.skeleton.indices("left_hip", "right_hip")].mean(0)) * [1, -1, -1] + at_m
    middle = (np.array(size_wh) - 1) / 2
    return np.column_stack([joints[:, :2] / joints[:, 2:] * focal_px + middle, np.ones(len(joints))])
