"""The skin's colours tell what the joints' standard deviations are."""

import cv2
import numpy as np
import pytest
import torch

from mpt import bodies, sureness
from mpt.modeling.mesh_transformer import SMALL, MeshTransformer

BODY = bodies.load()


@pytest.fixture(scope="module")
def shares() -> np.ndarray:
    return sureness.skin_shares(MeshTransformer.for_body(BODY, SMALL))


def carried_by(*bones: str) -> np.ndarray:
    """Vertices that these bones move, nearly alone."""
    return (BODY._dense_skin[:, [BODY.bones.index(bone) for bone in bones]].sum(1) > 0.9).numpy()


def test_every_vertex_is_a_mean_of_the_joints(shares):
    assert shares.shape == (len(BODY.template), len(BODY.skeleton)) and (shares >= 0).all()
    np.testing.assert_allclose(shares @ np.full(len(BODY.skeleton), 0.04), 0.04, rtol=1e-5)


@pytest.mark.parametrize("side", "LR")
def test_a_limb_tells_of_its_own_joints(shares, side):
    name = {"L": "left", "R": "right"}[side]
    for bones, joints in (
        ([f"lowerarm01.{side}", f"lowerarm02.{side}"], ("elbow", "wrist")),
        ([f"lowerleg01.{side}", f"lowerleg02.{side}"], ("knee", "ankle", "heel")),
        ([f"toe1-1.{side}", f"toe1-2.{side}"], ("big_toe", "small_toe")),
    ):
        own = shares[carried_by(*bones)][:, BODY.skeleton.indices(*(f"{name}_{joint}" for joint in joints))]
        assert len(own) > 20 and own.sum(1).min() > 0.5 and own.sum(1).mean() > 0.85
    eyes = shares[BODY.parts[f"eye_front.{side}"].numpy()]
    assert set(eyes.argmax(1)) == {BODY.skeleton.index(f"{name}_eye")}


def test_skin_at_a_joint_has_that_joint_s_deviation_and_between_two_one_between(shares):
    std = np.full(len(BODY.skeleton), 0.02)
    std[BODY.skeleton.index("left_wrist")] = 0.08
    skin = shares @ std
    rest = BODY.rest(torch.zeros(1, BODY.shape_count))
    wrist = rest.joints[0, BODY.skeleton.index("left_wrist")]
    away = (rest.vertices[0] - wrist).norm(dim=1).numpy()
    assert skin[away.argmin()] > 0.07 and skin[away > 0.6].max() < 0.021
    assert skin.min() >= 0.02 - 1e-6 and skin.max() <= 0.08 + 1e-6


def test_even_steps_of_deviation_are_even_steps_of_lightness():
    shown = sureness.colours(np.linspace(0, sureness.MOST_M, 11))
    lightness = cv2.cvtColor(shown[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0, :, 0]
    steps = -np.diff(lightness)
    assert lightness[0] > 85 and steps.min() > 0.8 * steps.mean() and steps.max() < 1.2 * steps.mean()


def test_beyond_the_scale_is_its_end():
    most = sureness.colours(np.array(sureness.MOST_M))
    np.testing.assert_array_equal(sureness.colours(np.array([0.3, np.inf])), np.stack([most, most]))
