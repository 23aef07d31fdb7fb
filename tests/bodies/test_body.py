"""The kernel against a plain slow one, its invariants, and the body file."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import roma
import torch
from mutants import survive

from mpt.bodies import load
from mpt.bodies.body import Body, make_body
from mpt.bodies.body_files import read_body, write_body
from mpt.errors import InputError
from mpt.skeletons import Skeleton

PARENTS = (-1, 0, 1, 2, 1, 4, 0)
VERTICES, SHAPES = 30, 5


def tiny_body(pose_basis: bool = False) -> Body:
    """A random body of seven bones in float64."""
    torch.manual_seed(0)
    bones = len(PARENTS)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, dtype=torch.float64)

    weight = torch.rand(VERTICES, 3, dtype=torch.float64)
    regressor = torch.rand(2, VERTICES, dtype=torch.float64)
    return make_body(
        name="tiny",
        hash="",
        bones=tuple(f"bone{b}" for b in range(bones)),
        parents=PARENTS,
        roles={"pelvis": "bone0", "neck": "bone1", "left_wrist": "bone5"},
        skeleton=Skeleton("two", ("left_a", "right_a"), (-1, 0)),
        template=normal(VERTICES, 3),
        faces=torch.randint(VERTICES, (40, 3)),
        shape_basis=0.1 * normal(SHAPES, VERTICES, 3),
        heads=normal(bones, 3),
        heads_basis=0.1 * normal(SHAPES, bones, 3),
        skin_index=torch.stack([torch.randperm(bones)[:3] for _ in range(VERTICES)]),
        skin_weight=weight / weight.sum(1, keepdim=True),
        regressor=(regressor / regressor.sum(1, keepdim=True)).to_sparse(),
        pose_basis=0.1 * normal(9 * (bones - 1), VERTICES, 3) if pose_basis else None,
    )


def random_input(body: Body, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    like = {"dtype": body.template.dtype}
    rotations = roma.random_rotmat(count * len(body.bones), **like).view(count, -1, 3, 3)
    return rotations, torch.randn(count, body.shape_count, **like), torch.randn(count, 3, **like)


def pose_slowly(body: Body, rotations, shape, translation) -> tuple[np.ndarray, np.ndarray]:
    """One body, vertex by vertex and bone by bone."""
    R, beta, shift = rotations.numpy(), shape.numpy(), translation.numpy()
    rest = body.template.numpy() + np.tensordot(beta, body.shape_basis.numpy(), 1)
    if body.pose_basis is not None:
        rest = rest + np.tensordot((R[1:] - np.eye(3)).reshape(-1), body.pose_basis.numpy(), 1)
    heads = body.heads.numpy() + np.tensordot(beta, body.heads_basis.numpy(), 1)
    turn, place = [R[0]], [heads[0] + shift]
    for bone in range(1, len(R)):
        parent = body.parents[bone]
        turn.append(turn[parent] @ R[bone])
        place.append(place[parent] + turn[parent] @ (heads[bone] - heads[parent]))
    vertices = np.zeros_like(rest)
    for v in range(len(rest)):
        for bone, weight in zip(body.skin_index[v].tolist(), body.skin_weight[v].tolist()):
            vertices[v] += weight * (turn[bone] @ (rest[v] - heads[bone]) + place[bone])
    return vertices, np.stack(place)


@pytest.mark.parametrize("pose_basis", [False, True])
def test_the_kernel_is_linear_blend_skinning(pose_basis):
    body = tiny_body(pose_basis)
    rotations, shape, translation = random_input(body, 3)
    posed = body(rotations, shape, translation)
    for n in range(3):
        vertices, heads = pose_slowly(body, rotations[n], shape[n], translation[n])
        np.testing.assert_allclose(posed.vertices[n], vertices, atol=1e-12)
        np.testing.assert_allclose(posed.heads[n], heads, atol=1e-12)


@pytest.mark.parametrize("pose_basis", [False, True])
def test_joints_are_the_regressor_of_the_posed_vertices(pose_basis):
    body = tiny_body(pose_basis)
    posed = body(*random_input(body, 4))
    torch.testing.assert_close(posed.joints, body.regress(posed.vertices), rtol=0, atol=1e-12)


def test_the_rest_pose_is_the_template_and_its_shape():
    body = tiny_body()
    shape = torch.randn(2, SHAPES, dtype=torch.float64)
    rest = body.rest(shape)
    expected = body.template + torch.einsum("ns,svc->nvc", shape, body.shape_basis)
    torch.testing.assert_close(rest.vertices, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        rest.heads, body.heads + torch.einsum("ns,sbc->nbc", shape, body.heads_basis), rtol=0, atol=1e-12
    )


def test_the_root_turns_the_body_about_its_head_and_translation_shifts_everything():
    body = tiny_body()
    rotations, shape, translation = random_input(body, 3)
    turn = roma.random_rotmat(3, dtype=torch.float64)
    still = body(rotations, shape)
    turned = body(torch.cat([(turn @ rotations[:, 0])[:, None], rotations[:, 1:]], 1), shape, translation)
    pivot = body.rest(shape).heads[:, :1]
    for before, after in zip(still, turned):
        moved = (before - pivot) @ turn.transpose(1, 2) + pivot + translation[:, None]
        torch.testing.assert_close(after, moved, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pose_basis", [False, True])
def test_gradients_flow_to_rotations_shape_and_translation(pose_basis):
    body = tiny_body(pose_basis).subset(torch.arange(4))
    inputs = [value.requires_grad_() for value in random_input(body, 2)]
    assert torch.autograd.gradcheck(lambda *some: tuple(body(*some)), inputs)


def test_a_batch_is_its_single_bodies_and_one_shape_serves_all():
    body = tiny_body()
    rotations, shape, translation = random_input(body, 4)
    batch = body(rotations, shape, translation)
    for n in range(4):
        one = body(rotations[n : n + 1], shape[n : n + 1], translation[n : n + 1])
        for single, whole in zip(one, batch):
            torch.testing.assert_close(single[0], whole[n], rtol=0, atol=1e-12)
    shared = body(rotations, shape[:1])
    repeated = body(rotations, shape[:1].repeat(4, 1))
    torch.testing.assert_close(shared.vertices, repeated.vertices, rtol=0, atol=0)


@pytest.mark.parametrize("pose_basis", [False, True])
def test_a_subset_poses_its_vertices_and_all_joints_alike(pose_basis):
    body = tiny_body(pose_basis)
    some = torch.tensor([7, 3, 21])
    inputs = random_input(body, 2)
    whole, part = body(*inputs), body.subset(some)(*inputs)
    torch.testing.assert_close(part.vertices, whole.vertices[:, some], rtol=0, atol=1e-12)
    torch.testing.assert_close(part.joints, whole.joints, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="needs every vertex"):
        body.subset(some).regress(part.vertices)


@pytest.mark.parametrize("pose_basis", [False, True])
def test_fewer_bones_are_exact_while_the_others_rest(pose_basis):
    body = tiny_body(pose_basis)
    few = body.with_bones(("bone4", "bone0", "bone1"))
    assert few.bones == ("bone0", "bone1", "bone4") and few.parents == (-1, 0, 1)
    assert few.roles == {"pelvis": "bone0", "neck": "bone1"}
    rotations, shape, translation = random_input(body, 2)
    kept = [body.bones.index(bone) for bone in few.bones]
    resting = torch.eye(3, dtype=torch.float64).repeat(2, len(body.bones), 1, 1)
    resting[:, kept] = rotations[:, kept]
    whole, short = body(resting, shape, translation), few(rotations[:, kept], shape, translation)
    torch.testing.assert_close(short.vertices, whole.vertices, rtol=0, atol=1e-12)
    torch.testing.assert_close(short.joints, whole.joints, rtol=0, atol=1e-12)
    torch.testing.assert_close(short.heads, whole.heads[:, kept], rtol=0, atol=1e-12)


def test_fewer_bones_need_the_root_and_known_names():
    with pytest.raises(ValueError, match="the root, 'bone0', must be among"):
        tiny_body().with_bones(("bone1",))
    with pytest.raises(ValueError, match="no bone 'tail'"):
        tiny_body().with_bones(("bone0", "tail"))


def test_moving_to_another_type_moves_every_number_and_keeps_indices():
    body = replace(load(), parts={}).to(dtype=torch.float64)
    assert body.template.dtype == body.joint_moments.dtype == body.phenotypes.grid.dtype == torch.float64
    assert body.regressor.dtype == body.coarse[0].weight.dtype == torch.float64
    assert body.faces.dtype == body.skin_index.dtype == torch.int64
    shape = body.sample_shapes(1)
    in_single = load().rest(shape.float())
    torch.testing.assert_close(body.rest(shape).vertices.float(), in_single.vertices, rtol=0, atol=1e-5)


def test_shapes_repeat_with_their_generator():
    for body in (tiny_body(), load()):
        first, second = (body.sample_shapes(3, torch.Generator().manual_seed(4)) for _ in range(2))
        assert first.shape == (3, body.shape_count) and torch.equal(first, second)


def test_shapes_are_drawn_from_known_people():
    people = torch.tensor([[1.0, 0, 0, 0, 0], [0, 2, 0, 0, 0]], dtype=torch.float64)
    drawn = replace(tiny_body(), people=people).sample_shapes(50, torch.Generator().manual_seed(0))
    assert {tuple(shape) for shape in drawn.tolist()} == {tuple(shape) for shape in people.tolist()}


def test_a_skeleton_without_a_regressor_is_refused_by_name():
    body = tiny_body()
    mesh = body.template[None]
    torch.testing.assert_close(body.regress(mesh, "two"), body.regress(mesh))
    with pytest.raises(InputError, match="joints of h36m17 were asked of tiny, which has a regressor of two"):
        body.regress(mesh, "h36m17")


def test_a_body_file_that_is_not_one_is_refused_by_name(tmp_path):
    missing = tmp_path / "nobody"
    with pytest.raises(InputError, match=r"nobody: cannot read the body file .*mpt prepare body"):
        load(missing)
    whole = (resources.files("mpt") / "data" / "anny.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut.safetensors: not a whole mpt-body-1 file"):
        read_body(path)
    for content in (b"", b"not a body at all", whole[:8]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a whole"):
            read_body(path)
    with pytest.raises(InputError, match="is no body file of mpt's: move it away"):
        write_body(path, {"template": torch.zeros(1, 3)}, {"name": "half"})
    half = tmp_path / "half.safetensors"
    write_body(half, {"template": torch.zeros(1, 3)}, {"name": "half"})
    with pytest.raises(InputError, match="not a whole"):
        read_body(half)


def test_a_body_file_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(InputError, match="it is a folder, a file to write the body file to was expected"):
        write_body(tmp_path, {"template": torch.zeros(1, 3)}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_body_file_with_a_damaged_header_is_read_or_refused(tmp_path):
    content = (resources.files("mpt") / "data" / "anny-hand.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")

    def read(path):
        header = path.read_bytes()
        whole = tmp_path / "body.safetensors"
        whole.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
        read_body(whole)

    assert survive(read, tmp_path / "header", content[8 : 8 + length], 500)
