"""Drawn hand poses: inside the limits, whatever hand it is and however it rests."""

from dataclasses import replace
from importlib import resources

import pytest
import torch
from official import mano as made_up_mano
from official import write_pickle
from safetensors.torch import load_file

from mpt.bodies import anny_hand, hand_poses, load, mano
from mpt.bodies.body import make_body
from mpt.bodies.body_files import assemble
from mpt.bodies.hand_poses import FINGERS, sample_hand_poses, to_rotations
from mpt.errors import InputError
from mpt.skeletons import HAND21

MIRROR = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def body():
    return load("anny-hand")


@pytest.fixture(scope="module")
def left(body):
    tensors = load_file(str(resources.files("mpt") / "data" / "anny-hand.safetensors"))
    return assemble(*anny_hand.mirrored(tensors, body.metadata))


@pytest.fixture(scope="module")
def flat():
    """A hand of sticks with MANO's bones, flat and straight as MANO rests: the skin is its 21 joints."""
    rays = {  # knuckle, direction to the thumb's side, lengths of the three bones; metres about the wrist
        "thumb": ((-0.025, -0.012, 0.02), 40, (0.036, 0.03, 0.028)),
        "index": ((-0.088, -0.003, 0.021), 4, (0.033, 0.023, 0.022)),
        "middle": ((-0.094, 0, 0), 0, (0.032, 0.024, 0.024)),
        "ring": ((-0.082, -0.002, -0.018), -6, (0.029, 0.024, 0.023)),
        "pinky": ((-0.069, -0.008, -0.034), -14, (0.021, 0.017, 0.02)),
    }
    at = {"wrist": torch.zeros(3)}
    for finger, (knuckle, aside, lengths) in rays.items():
        aside = torch.deg2rad(torch.tensor(float(aside)))
        along = torch.stack([-aside.cos(), torch.tensor(0.0), aside.sin()])
        for k, length in enumerate((0, *lengths), start=1):
            at[f"{finger}{k}"] = (
                torch.tensor(knuckle) if k == 1 else at[f"{finger}{k - 1}"]
            ) + length * along
    points, heads = (
        torch.stack([at[name] for name in names]) for names in (HAND21.joints, mano.BONES.joints)
    )
    bone = [mano.BONES.index(name.replace("4", "3")) for name in HAND21.joints]
    return make_body(
        name="sticks",
        hash="",
        bones=mano.BONES.joints,
        parents=mano.BONES.parents,
        roles={name: name for name in mano.BONES.joints},
        skeleton=HAND21,
        template=points,
        faces=torch.zeros(0, 3, dtype=torch.long),
        shape_basis=torch.zeros(1, 21, 3),
        heads=heads,
        heads_basis=torch.zeros(1, 16, 3),
        skin_index=torch.tensor(bone)[:, None],
        skin_weight=torch.ones(21, 1),
        regressor=torch.eye(21).to_sparse(),
    )


@pytest.fixture(scope="module")
def poses(body):
    return sample_hand_poses(body, 400, generator(0))


def generator(seed):
    return torch.Generator().manual_seed(seed)


def joints_of(body, poses):
    """Name -> (N, 3) on the mean shape."""
    out = body(to_rotations(body, poses), torch.zeros(1, body.shape_count))
    return dict(zip(body.skeleton.joints, out.joints.unbind(1)))


def bend_deg(a, b, c):
    one, two = b - a, c - b
    return torch.rad2deg(torch.acos(torch.nn.functional.cosine_similarity(one, two, dim=-1).clamp(-1, 1)))


@pytest.mark.parametrize("hand", ["body", "flat"])
def test_fingers_bend_within_their_limits_and_towards_the_palm(hand, request):
    body = request.getfixturevalue(hand)
    at = joints_of(body, sample_hand_poses(body, 400, generator(0)))
    for finger in FINGERS:
        pip = bend_deg(at[f"{finger}1"], at[f"{finger}2"], at[f"{finger}3"])
        assert pip.max() < 112 and pip.max() > 90 and pip.min() < 15
        mcp = bend_deg(at["wrist"], at[f"{finger}1"], at[f"{finger}2"])
        assert mcp.max() < 100 and mcp.max() > 70
        assert (at[f"{finger}4"][:, 1] < at[f"{finger}1"][:, 1] + 0.04).all()
        assert at[f"{finger}4"][:, 1].min() < -0.04
    assert at["thumb4"][:, 1].max() < 0.03  # never far out of the back of the hand


def test_the_last_joint_follows_the_middle_one(body, poses):
    rest = joints_of(body, torch.zeros(1, 16, 3))
    turn = dict(zip(body.moving_bones, poses.norm(dim=-1).unbind(1)))
    for number, finger in enumerate(FINGERS, start=2):
        along = torch.stack([turn[f"finger{number}-2"], turn[f"finger{number}-3"]])
        assert torch.corrcoef(along)[0, 1] > 0.8
        assert rest[f"{finger}4"].isfinite().all()


@pytest.mark.parametrize("hand", ["body", "flat"])
def test_bones_of_different_fingers_keep_apart(hand, request):
    body = request.getfixturevalue(hand)
    at = joints_of(body, sample_hand_poses(body, 400, generator(0)))
    steps = torch.linspace(0, 1, 30)[:, None]
    bones = {
        finger: torch.cat([torch.lerp(at[f"{finger}{k}"][:, None], at[f"{finger}{k + 1}"][:, None], steps)
                           for k in (2, 3)], 1)
        for finger in ("thumb", *FINGERS)
    }  # fmt: skip
    for i, one in enumerate(bones):
        for other in list(bones)[i + 1 :]:
            nearest = torch.cdist(bones[one], bones[other]).flatten(1).min(1)[0]
            assert nearest.min() > 0.004 and nearest.quantile(0.01) > 0.007


@pytest.mark.parametrize("hand", ["body", "flat"])
def test_there_are_fists_flat_hands_pinches_and_pointing(hand, request):
    body = request.getfixturevalue(hand)
    at = joints_of(body, poses := sample_hand_poses(body, 400, generator(0)))
    reach = torch.stack([(at[f"{f}4"] - at["wrist"]).norm(dim=1) for f in FINGERS], 1)
    out = reach > 0.85 * torch.stack([reach[:, i].max() for i in range(4)])
    tips = torch.stack([(at[f"{f}4"] - at["thumb4"]).norm(dim=1) for f in FINGERS], 1)
    share = {
        "fist": (~out).all(1),
        "flat": out.all(1),
        "pointing": out[:, 0] & ~out[:, 1:].any(1),
        "pinch": tips.min(1)[0] < 0.018,
    }
    assert all(kind.double().mean() > 0.02 for kind in share.values()), share
    assert len(poses.unique(dim=0)) == len(poses)


def test_the_wrist_rests_and_a_seed_tells_the_poses(body, poses):
    assert (poses[:, body.moving_bones.index(body.roles["wrist"])] == 0).all()
    assert torch.equal(sample_hand_poses(body, 400, generator(0)), poses)
    assert not torch.equal(sample_hand_poses(body, 400, generator(1)), poses)
    assert sample_hand_poses(body, 0, generator(0)).shape == (0, 16, 3)


def test_a_left_hand_does_what_a_right_one_does_in_the_mirror(body, left, poses):
    # Mirrored geometry is the same up to rounding, which now and then decides about a contact.
    mirrored = sample_hand_poses(left, 40, generator(5)) * -MIRROR
    torch.testing.assert_close(mirrored, sample_hand_poses(body, 40, generator(5)), rtol=0, atol=1e-3)


def test_the_drawn_hand_does_not_depend_on_how_the_body_rests(body, monkeypatch):
    """A hand whose rest pose is a bent one is told other rotations, and comes out the same."""
    monkeypatch.setattr(hand_poses, "SHARES", hand_poses.SHARES | {"pinch": 0.0})  # these are a choice
    monkeypatch.setattr(hand_poses, "_collides", lambda _, joints: torch.zeros(len(joints), dtype=torch.bool))
    bent = torch.zeros(1, 16, 3)
    hinges = hand_poses._Anatomy.of(body).hinges.float()
    for finger, hinge in zip(FINGERS, hinges):
        for k, angle in ((1, 0.35), (2, 0.25), (3, 0.17)):
            bent[0, body.moving_bones.index(body.roles[f"{finger}{k}"])] = angle * hinge
    rest = body(to_rotations(body, bent), torch.zeros(1, body.shape_count))
    other = replace(body, template=rest.vertices[0], heads=rest.heads[0])
    regressor, skin = other.regressor.coalesce(), other._dense_skin
    ones = torch.cat([other.template, torch.ones(len(skin), 1)], 1)
    moments = torch.einsum("kv,vb,vc->kbc", regressor.to_dense(), skin, ones)
    other = replace(other, joint_moments=moments)
    one, two = (joints_of(hand, sample_hand_poses(hand, 60, generator(0))) for hand in (body, other))
    apart = torch.stack([(one[f"{f}{k}"] - two[f"{f}{k}"]).norm(dim=1) for f in FINGERS for k in (2, 3)])
    assert apart.median() < 1e-3


def test_a_body_without_fingers_and_a_hand_that_is_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="no moving bone 'index1'; take anny-hand"):
        sample_hand_poses(load("anny"), 3)
    with pytest.raises(InputError, match="do not lie as a hand's"):
        sample_hand_poses(mano.read(write_pickle(tmp_path / "MANO.pkl", made_up_mano())), 3)
