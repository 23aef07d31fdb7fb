"""Somebody of known flexion, captured on a skeleton whose legs or arms are too long."""

import numpy as np
import roma
import torch
from rigs import role_index, skeleton

from mpt.mocap import Motion

ROLES = role_index()
THIGH, SHIN, UPPER_ARM, FOREARM = 0.43, 0.41, 0.29, 0.26  # metres, the person's own
FPS = 30


def on_longer(upper: float, lower: float, flexion: np.ndarray, longer: float) -> np.ndarray:
    """Flexion of a limb that is longer by a factor and reaches as far; radians."""
    reach2 = upper**2 + lower**2 + 2 * upper * lower * np.cos(flexion)
    a, b = upper * longer, lower * longer
    return np.arccos((reach2 - a**2 - b**2) / (2 * a * b))


def captured(
    knees: np.ndarray, elbows: np.ndarray | float = 15.0, *, legs: float = 1.0, arms: float = 1.0
) -> Motion:
    """Somebody of these true flexions (T,), degrees, who stands with hanging arms and moves up and down, as
    captured on a skeleton whose legs and arms are longer than the person's by these factors.
    """
    names, parents, offsets = skeleton("mixamo")
    for side, out in (("left", 1), ("right", -1)):
        offsets[ROLES[f"{side}_knee"]] = (0, -THIGH * legs, 0)
        offsets[ROLES[f"{side}_ankle"]] = (0, -SHIN * legs, 0)
        offsets[ROLES[f"{side}_elbow"]] = (out * UPPER_ARM * arms, 0, 0)
        offsets[ROLES[f"{side}_wrist"]] = (out * FOREARM * arms, 0, 0)
    knees = np.radians(np.asarray(knees, float))
    elbows = np.radians(np.broadcast_to(elbows, knees.shape))
    knee, elbow = on_longer(THIGH, SHIN, knees, legs), on_longer(UPPER_ARM, FOREARM, elbows, arms)
    ahead = np.arctan2(SHIN * np.sin(knee), THIGH + SHIN * np.cos(knee))  # of the line to the ankle
    behind = np.arctan2(FOREARM * np.sin(elbow), UPPER_ARM + FOREARM * np.cos(elbow))
    rotvec = np.zeros((len(knees), len(names), 3))
    for side, out in (("left", 1), ("right", -1)):
        rotvec[:, ROLES[f"{side}_hip"], 0] = -ahead
        rotvec[:, ROLES[f"{side}_knee"], 0] = knee
        rotvec[:, ROLES[f"{side}_ankle"], 0] = ahead - knee
        down = np.tile([0, 0, -out * np.pi / 2], (len(knees), 1))
        back = np.stack([behind, 0 * behind, 0 * behind], axis=1)
        hanging = roma.rotvec_composition((torch.from_numpy(back), torch.from_numpy(down)))
        rotvec[:, ROLES[f"{side}_shoulder"]] = hanging.numpy()
        rotvec[:, ROLES[f"{side}_elbow"], 1] = -out * elbow
    trans = np.zeros((len(knees), 3))
    trans[:, 1] = 0.16 + np.sqrt(THIGH**2 + SHIN**2 + 2 * THIGH * SHIN * np.cos(knees))
    return Motion("clip", "01", FPS, names, parents, offsets, rotvec, trans)


def standing(seconds: float = 30, squats: float = 0, seed: int = 0) -> np.ndarray:
    """Degrees of knees that stand, slowly swaying from 3 to 9, and now and then squat as deeply as told."""
    time = np.arange(seconds * FPS) / FPS
    phase = np.random.default_rng(seed).uniform(0, 6)
    sway = 6 + 3 * np.sin(1.7 * time + phase)
    return sway + max(squats - 6, 0) * np.clip(np.sin(0.6 * time), 0, None) ** 2
