"""The free hand: the same surface as on the whole body, and its likeness to MANO's."""

from importlib import resources
from itertools import pairwise

import pytest
import roma
import torch
from safetensors.torch import load_file
from tolerance import assert_close

from mpt.bodies import anny_hand, load
from mpt.bodies.body_files import assemble
from mpt.bodies.hand_poses import sample_hand_poses, to_rotations
from mpt.bodies.mano import BONES
from mpt.errors import InputError
from mpt.skeletons import HAND21

MIRROR = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def body():
    return load("anny-hand")


@pytest.fixture(scope="module")
def whole():
    return load("anny")


@pytest.fixture(scope="module")
def left(body):
    tensors = load_file(str(resources.files("mpt") / "data" / "anny-hand.safetensors"))
    return assemble(*anny_hand.mirrored(tensors, body.metadata), body.hash)


@pytest.fixture(scope="module")
def posed(body):
    """40 people's hands in drawn poses."""
    generator = torch.Generator().manual_seed(3)
    rotations = to_rotations(body, sample_hand_poses(body, 40, generator))
    return body(rotations, body.sample_shapes(40, generator))


def test_the_packaged_hand_is_the_right_one_with_manos_joints(body):
    assert (body.name, body.metadata["side"]) == ("anny-hand", "right")
    assert body.template.shape == (1609, 3) and body.faces.shape == (3196, 3) and len(body.bones) == 20
    assert body.skeleton == HAND21 and set(body.roles) == set(BONES.joints) and len(body.moving_bones) == 16
    assert [len(coarse) for coarse in body.coarse] == [195] and "CC0" in body.metadata["licence"]


def test_its_axes_are_manos_the_fingers_at_minus_x_and_the_back_up(body):
    rest = dict(zip(HAND21.joints, body.rest(torch.zeros(1, body.shape_count)).joints[0]))
    assert (
        torch.stack([rest[f"{f}{k}"] for f in ("index", "middle", "ring") for k in (1, 4)])[:, 0] < 0
    ).all()
    assert rest["index1"][2] > rest["middle1"][2] > rest["ring1"][2] > rest["pinky1"][2]
    assert rest["thumb4"][2] > rest["index1"][2]
    a, b, c = body.template[body.faces].unbind(1)
    assert (a * torch.linalg.cross(b, c)).sum() > 0  # faces look outward
    assert_close(body.heads[0], torch.zeros(3))


def test_it_is_one_surface_open_at_the_wrist_alone(body):
    edges = torch.cat([body.faces[:, [i, (i + 1) % 3]] for i in range(3)]).sort(1)[0]
    edge, faces = edges.unique(dim=0, return_counts=True)
    border = edge[faces == 1]
    assert faces.max() == 2 and len(border) == len(border.unique()) == 20
    assert body.template[border.unique(), 0].min() > -0.02
    assert len(body.template) - len(edge) + len(body.faces) == 1  # a disc


def test_it_moves_as_the_hand_of_the_whole_body_does(body, whole):
    generator = torch.Generator().manual_seed(1)
    people = whole.sample_shapes(8, generator)
    bones = [whole.bones.index(f"{bone}.R") for bone in body.bones]
    index, middle, pinky = (whole.heads[bones[body.bones.index(f"finger{k}-1")]] for k in (2, 3, 5))
    wrist = whole.heads[bones[0]]
    x = wrist - middle
    z = torch.linalg.cross(x, torch.linalg.cross(pinky - wrist, index - wrist))
    axes = torch.stack([x, torch.linalg.cross(z, x), z])
    axes = axes / axes.norm(dim=1, keepdim=True)

    def of_the_whole(rotations):
        out = whole(rotations, people)
        return (out.vertices[:, whole.parts["hand.R"]] - out.heads[:, bones[:1]]) @ axes.T

    still = torch.eye(3).repeat(8, len(whole.bones), 1, 1)
    away = (of_the_whole(still) - body.template).flatten(1)
    shapes = torch.linalg.lstsq(body.shape_basis.flatten(1).T, away.T).solution.T

    rotations = to_rotations(body, sample_hand_poses(body, 8, generator))
    moved = still.clone()
    moved[:, bones] = axes.T @ rotations @ axes
    apart_mm = 1000 * (body(rotations, shapes).vertices - of_the_whole(moved)).norm(dim=-1)
    assert apart_mm.mean() < 0.03 and apart_mm.max() < 1.5  # what twelve components leave


def test_shapes_are_of_known_people_children_and_men(body):
    shapes = body.sample_shapes(200, torch.Generator().manual_seed(0))
    assert (shapes[:, None] == body.people).all(-1).any(1).all()
    joints = dict(zip(HAND21.joints, body.rest(shapes).joints.unbind(1)))
    chain = ["wrist", "middle1", "middle2", "middle3", "middle4"]
    length = sum((joints[b] - joints[a]).norm(dim=1) for a, b in pairwise(chain))
    assert 0.1 < length.min() < 0.14 and 0.19 < length.max() < 0.24 and 0.17 < length.median() < 0.2


def test_regressed_joints_are_the_bones_heads_to_about_a_millimetre(body, posed):
    weights = body.regressor.to_dense()
    assert_close(weights.sum(1), torch.ones(21))
    assert weights.min() == 0 and (weights > 0).sum(1).max() < 50
    apart_mm = {
        joint: 1000
        * (body.regress(posed.vertices)[:, k] - posed.heads[:, body.bones.index(bone)]).norm(dim=1)
        for k, joint in enumerate(HAND21.joints)
        if (bone := body.roles.get(joint))
    }
    assert apart_mm.pop("wrist").mean() < 3.2  # which lies just outside the skin that is left
    assert max(apart.mean() for apart in apart_mm.values()) < 1.2
    assert torch.cat(list(apart_mm.values())).mean() < 0.5


def test_a_fingertip_is_one_vertex_of_the_skin(body, posed):
    for k, joint in enumerate(HAND21.joints):
        if joint.endswith("4"):
            (vertex,) = body.regressor.to_dense()[k].nonzero()[:, 0]
            assert_close(posed.joints[:, k], posed.vertices[:, vertex])
            last = body.roles[joint.replace("4", "3")]
            head = body.heads[body.bones.index(last)]
            reach = (body.template - head).norm(dim=1)[body._dense_skin[:, body.bones.index(last)] > 0.9]
            assert (body.template[vertex] - head).norm() > 0.93 * reach.max()


def test_the_coarse_mesh_carries_the_fine_one(body, posed):
    coarse = body.coarsened(195)
    apart = (coarse.upsample(posed.vertices[:, coarse.index]) - posed.vertices).norm(dim=-1)
    assert apart.mean() < 6e-4 and coarse.faces.max() == 194


def test_metacarpals_rest_and_may_be_left_out(body, posed):
    few = body.with_bones(body.moving_bones)
    rotvec = sample_hand_poses(body, 3, torch.Generator().manual_seed(2))
    shape = body.people[:3]
    assert_close(
        few(roma.rotvec_to_rotmat(rotvec), shape).vertices, body(to_rotations(body, rotvec), shape).vertices
    )


def test_the_left_hand_is_the_mirror_image_of_the_right(body, left):
    assert (left.name, left.metadata["side"]) == ("anny-hand-left", "left")
    rotvec = sample_hand_poses(body, 5, torch.Generator().manual_seed(4))
    rotvec[:, 0] = torch.tensor([0.3, -0.8, 0.5])  # the wrist turns, too
    shape = body.people[:5]
    right = body(to_rotations(body, rotvec), shape)
    other = left(to_rotations(left, rotvec * -MIRROR), shape)
    assert_close(other.vertices, right.vertices * MIRROR)
    assert_close(other.joints, right.joints * MIRROR)
    a, b, c = left.template[left.faces].unbind(1)
    assert (a * torch.linalg.cross(b, c)).sum() > 0


def test_annys_own_left_hand_differs_from_it_by_less_than_a_tenth_of_a_millimetre(whole):
    right, left = (
        whole.template[whole.parts[f"hand.{side}"]] - whole.heads[whole.bones.index(f"wrist.{side}")]
        for side in "RL"
    )
    assert torch.cdist(left * MIRROR, right).min(1)[0].max() < 1e-4


def test_it_is_made_again_out_of_the_whole_body(body, whole, monkeypatch):
    monkeypatch.setattr(anny_hand, "POPULATION", 150)  # of other people, the same surface
    monkeypatch.setattr(anny_hand, "PEOPLE", 50)
    monkeypatch.setattr(anny_hand, "EXAMPLES", 12)
    made = assemble(*anny_hand.describe(whole))
    assert (made.bones, made.parents, made.roles) == (body.bones, body.parents, body.roles)
    assert torch.equal(made.faces, body.faces) and made.people.shape == (50, 12)
    assert_close(made.skin_weight, body.skin_weight)
    assert_close(made.template, body.template, dtype=torch.bfloat16)
    assert len(made.coarsened(195)) == 195


def test_a_third_hand_is_refused(tmp_path):
    with pytest.raises(InputError, match="right or left was expected"):
        anny_hand.build(tmp_path / "hand.safetensors", "middle")
    assert not list(tmp_path.iterdir())
