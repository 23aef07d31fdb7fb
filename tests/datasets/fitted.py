"""An SMPL that looks like the official one, and people who stand as its bodies do, by Human3.6M's joints."""

import numpy as np
import official
import torch
from layouts import People
from scipy.spatial.transform import Rotation

from mpt.bodies import smpl
from mpt.skeletons import H36M17


def with_h36m_joints(folder):
    """An SMPL that looks like the official one, with Human3.6M's regressor."""
    model = official.smpl()
    np.save(folder / "regressor.npy", official.h36m_regressor(model, "left"))
    np.savez(folder / "SMPL_NEUTRAL.npz", **model)
    return smpl.read(folder / "SMPL_NEUTRAL.npz", h36m_regressor=folder / "regressor.npy")


def joints_of(body, pose, betas):
    """(N, 17, 3) Human3.6M's joints on posed bodies, 3 m before the camera."""
    turns = Rotation.from_rotvec(np.reshape(pose, (-1, 3))).as_matrix().reshape(len(pose), 24, 3, 3)
    mesh = body.forward(torch.from_numpy(turns).float(), torch.from_numpy(betas).float()).vertices
    return body.regress(mesh, "h36m17").numpy() + np.array([0.2, 0, 3])


def people_at(joints):
    people = [People(seed) for seed in range(len(joints))]
    for person, places in zip(people, joints):
        person.places = dict(zip(H36M17.joints, places))
    return people


def about_their_mean(joints):
    return joints - joints.mean(-2, keepdims=True)
