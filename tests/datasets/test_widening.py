"""Hands are widened and seen as hands; a body of unknown anatomy is refused."""

from dataclasses import replace

import pytest
import torch
from tolerance import assert_close

from mpt import bodies
from mpt.bodies.hand_poses import sample_hand_poses
from mpt.cameras import HAND_CAMERAS
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING, Widening, widener_of
from mpt.errors import InputError
from mpt.heatmaps import PERFECT

PLAIN = SyntheticConfig(
    random_cameras=HAND_CAMERAS, widening=NO_WIDENING, noise=PERFECT, truncation=0.0, fine_vertices=50
)


@pytest.fixture(scope="module")
def hand():
    return bodies.load("anny-hand")


@pytest.fixture(scope="module")
def poses(hand):
    return sample_hand_poses(hand, 40, seeded())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moving(hand, widening: Widening):
    bones = hand.with_bones(hand.moving_bones)
    return widener_of(bones)(bones, widening)


@pytest.mark.parametrize("inputs", ["patches", "joints", "coordinates"])
def test_a_hand_is_seen_as_a_person_is(hand, poses, inputs):
    config = replace(PLAIN, fine_vertices=len(hand.template))
    synthesize = Synthesizer(
        hand, hand.moving_bones, config, inputs=inputs, coarse_vertices=195, heatmap_size=56
    )
    batch = synthesize(poses, seeded(1))
    shape = {"patches": (40, 21, 56, 56), "joints": (40, 21, 2, 56), "coordinates": (40, 21, 3)}[inputs]
    assert batch.seen.shape == shape and batch.coarse.shape == (40, 195, 3)
    whole = torch.empty_like(batch.vertices)
    whole[:, batch.rows] = batch.vertices
    assert_close(hand.regress(whole), batch.joints)
    assert_close(batch.joints[:, 0], torch.zeros(40, 3))  # about the wrist


def test_cameras_look_at_hands_from_everywhere(hand, poses):
    synthesize = Synthesizer(hand, hand.moving_bones, PLAIN, inputs="coordinates", coarse_vertices=195)
    joints = synthesize(poses[:1].expand(2000, -1, -1), seeded()).joints
    ahead = torch.nn.functional.normalize(joints[:, hand.skeleton.index("middle1")], dim=-1)
    assert (ahead.mean(0).abs() < 0.1).all() and (ahead.std(0) > 0.4).all()


def test_fingers_are_exchanged_whole_and_between_hands(hand, poses):
    mixed = moving(hand, replace(NO_WIDENING, exchange=1.0))(poses, seeded())
    for row in mixed:
        taken = {}
        for finger in ("thumb", "index", "middle", "ring", "pinky"):
            columns = [hand.moving_bones.index(hand.roles[f"{finger}{k}"]) for k in (1, 2, 3)]
            source = (poses[:, columns] == row[columns]).flatten(1).all(1).nonzero()[:, 0]
            assert len(source) == 1, finger
            taken[finger] = int(source)
        assert len(set(taken.values())) <= 2


def test_a_hand_has_no_mirror_image_and_its_wrist_is_left_alone(hand, poses):
    assert torch.equal(moving(hand, replace(NO_WIDENING, mirror=1.0))(poses, seeded()), poses)
    assert torch.equal(
        moving(hand, replace(NO_WIDENING, legs=1.0, arms=1.0, bend=1.0))(poses, seeded()), poses
    )
    perturbed = moving(hand, replace(NO_WIDENING, perturb=1.0, perturb_deg=8.0))(poses, seeded())
    wrist = hand.moving_bones.index(hand.roles["wrist"])
    assert torch.equal(perturbed[:, wrist], poses[:, wrist])
    others = [b for b in range(len(hand.moving_bones)) if b != wrist]
    assert (perturbed[:, others] != poses[:, others]).all()


def test_each_edge_of_the_picture_leaves_enough_of_a_hand(hand):
    cuts = moving(hand, NO_WIDENING).cuts
    assert cuts.shape[1] == 21 and (cuts.sum(1) >= 1).all() and (cuts.sum(1) <= 8).all()


def test_a_body_of_unknown_anatomy_is_refused(hand):
    roles = {("tail" if role == "wrist" else role): bone for role, bone in hand.roles.items()}
    with pytest.raises(InputError, match=r"grows from 'tail'.*pelvis or wrist"):
        widener_of(replace(hand, roles=roles))
