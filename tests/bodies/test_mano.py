"""MANO out of made-up official files, both hands."""

import numpy as np
import pytest
import roma
import torch
from official import as_published, mano, posed_slowly, random_people, write_downsampling, write_pickle
from official import smpl as made_up_smpl

from mpt import bodies
from mpt.bodies import mano as reader
from mpt.errors import InputError
from mpt.skeletons import HAND21


@pytest.fixture(scope="module")
def models():
    return {side: mano(side=side) for side in ("right", "left")}


@pytest.fixture(scope="module")
def hands(models, tmp_path_factory):
    """Both hands by their body files, from pickles whose names do not tell them apart."""
    folder = tmp_path_factory.mktemp("mano")
    for side, model in models.items():
        path = write_pickle(folder / "MANO.pkl", as_published(model))
        reader.build(path, folder / f"{side}.safetensors")
    return {side: bodies.load(folder / f"{side}.safetensors") for side in models}


def pose(body, rotvec, betas, trans):
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(rotvec)).to(body.template.dtype)
    return body(rotations, torch.from_numpy(betas).to(rotations), torch.from_numpy(trans).to(rotations))


@pytest.mark.parametrize("side", ["right", "left"])
def test_posing_follows_the_papers_equations(side, hands, models):
    people = random_people(3, 16)
    posed = pose(hands[side], *people)
    for n, person in enumerate(zip(*people)):
        vertices, joints = posed_slowly(models[side], *person)
        np.testing.assert_allclose(posed.vertices[n], vertices, atol=1e-5)
        np.testing.assert_allclose(posed.heads[n], joints, atol=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
def test_posing_and_its_mean_hand_agree_with_the_smplx_package(side, hands, models):
    smplx = pytest.importorskip("smplx")
    rotvec, betas, trans = random_people(4, 16, seed=2)
    theirs = smplx.MANO(
        "", is_rhand=side == "right", data_struct=smplx.utils.Struct(**models[side]), batch_size=4,
        use_pca=False, flat_hand_mean=False, dtype=torch.float64,
    )(
        global_orient=torch.from_numpy(rotvec[:, 0]), hand_pose=torch.from_numpy(rotvec[:, 1:]).flatten(1),
        betas=torch.from_numpy(betas), transl=torch.from_numpy(trans),
    )  # fmt: skip
    about_rest = rotvec.copy()
    about_rest[:, 1:] += np.reshape(hands[side].metadata["hands_mean"], (15, 3))
    posed = pose(hands[side], about_rest, betas, trans)
    torch.testing.assert_close(posed.vertices.double(), theirs.vertices, rtol=0, atol=1e-5)
    torch.testing.assert_close(posed.heads.double(), theirs.joints[:, :16], rtol=0, atol=1e-5)


def test_gradients_flow_to_pose_and_shape(hands):
    few = hands["right"].to(dtype=torch.float64).subset(torch.tensor([5, 300, 777]))
    rotvec, betas, _ = (torch.from_numpy(part) for part in random_people(1, 16))
    inputs = (rotvec.requires_grad_(), betas.requires_grad_())
    assert torch.autograd.gradcheck(lambda turn, shape: few(roma.rotvec_to_rotmat(turn), shape), inputs)


def test_which_hand_it_is_is_seen_in_its_rest_pose(hands):
    assert [body.name for body in hands.values()] == ["mano-right", "mano-left"]
    right, left = (body.rest(torch.zeros(1, 10)).joints[0] for body in hands.values())
    torch.testing.assert_close(left, right * torch.tensor([-1.0, 1, 1]), rtol=0, atol=1e-6)


def test_the_21_joints_are_16_of_its_own_and_five_fingertips(hands, models):
    body, model = hands["right"], models["right"]
    joints = dict(zip(HAND21.joints, body.rest(torch.zeros(1, 10)).joints[0].numpy()))
    own = dict(zip(body.bones, model["J"]))
    assert len(own) == 16 and set(own) < set(joints)
    for joint, place in joints.items():
        expected = own[joint] if joint in own else model["v_template"][reader.TIPS[joint]]
        np.testing.assert_allclose(place, expected, atol=1e-6)
    for bone, parent in zip(body.bones, body.parents):
        above = HAND21.parents[HAND21.index(bone)]
        assert above < 0 if parent < 0 else HAND21.joints[above] == body.bones[parent]


def test_every_bone_of_a_hand_moves(hands):
    assert hands["left"].moving_bones == hands["left"].bones


def test_its_coarse_mesh_is_our_own_or_metros(hands, models, tmp_path):
    assert [len(mesh) for mesh in hands["right"].coarse] == [195]
    path = write_pickle(tmp_path / "MANO_RIGHT.pkl", models["right"])
    metros = write_downsampling(tmp_path / "mano_downsampling.npz", (778, 195, 49))
    reader.build(path, tmp_path / "mano.safetensors", downsampling=metros)
    assert [len(mesh) for mesh in bodies.load(tmp_path / "mano.safetensors").coarse] == [49, 195]


def test_smpl_given_for_mano_is_refused_by_name(tmp_path):
    small = made_up_smpl() | {"posedirs": np.zeros((6890, 3, 207), np.float16)}
    path = write_pickle(tmp_path / "body.pkl", small)
    sentence = r"body.pkl: .* which is SMPL, where MANO .* was expected; use `mpt prepare body smpl`"
    with pytest.raises(InputError, match=sentence):
        reader.build(path, tmp_path / "out")


def test_a_mean_hand_of_another_size_is_refused(models, tmp_path):
    path = write_pickle(tmp_path / "MANO.pkl", models["right"] | {"hands_mean": np.zeros(6)})
    with pytest.raises(
        InputError, match=r"MANO.pkl: 'hands_mean' is float64 of shape \(6,\) where 45 numbers"
    ):
        reader.read(path)
