"""Coarse meshes are subsets, closed surfaces, nested and symmetric; the way up is exact where it can be."""

import pytest
import torch

from mpt.bodies import anny, load
from mpt.bodies.coarsening import coarsen, decimate, mirror_vertices
from mpt.errors import InputError


@pytest.fixture(scope="module")
def body():
    return load("anny")


def ball(rings: int = 18, around: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """A closed sphere of latitude rings, mirror symmetric in x."""
    tilt = torch.linspace(0, torch.pi, rings + 2, dtype=torch.float64)[1:-1, None]
    turn = torch.arange(around, dtype=torch.float64)[None] * (2 * torch.pi / around)
    points = torch.stack(
        [tilt.sin() * turn.sin(), tilt.cos().expand(-1, around), tilt.sin() * turn.cos()], -1
    )
    poles = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
    top, bottom, faces = rings * around, rings * around + 1, []
    for i in range(around):
        j = (i + 1) % around
        faces += [[top, i, j], [bottom, (rings - 1) * around + j, (rings - 1) * around + i]]
        for a in range(0, (rings - 1) * around, around):
            faces += [[a + i, a + around + i, a + around + j], [a + i, a + around + j, a + j]]
    return torch.cat([points.flatten(0, 1), poles]), torch.tensor(faces)


def assert_closed_surface(faces: torch.Tensor, count: int) -> None:
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, uses = edges.sort(1)[0].unique(dim=0, return_counts=True)
    assert (uses == 2).all() and count - len(uses) + len(faces) == 2  # Euler: a sphere
    assert len(edges.unique(dim=0)) == len(edges)  # every edge once in each direction: one orientation
    assert faces.unique().tolist() == list(range(count))


def volume(points: torch.Tensor, faces: torch.Tensor) -> float:
    a, b, c = points[faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def test_decimation_keeps_a_closed_ball_nested_and_symmetric():
    points, faces = ball()
    (few, few_faces), (many, many_faces) = decimate(points.numpy(), faces.numpy(), (60, 200))
    assert (len(few), len(many)) == (60, 200) and torch.isin(few, many).all()
    assert_closed_surface(few_faces, 60)
    assert_closed_surface(many_faces, 200)
    assert volume(points[many], many_faces) > 0.95 * volume(points, faces)
    mirror = torch.from_numpy(mirror_vertices(points.numpy()))
    for kept in (few, many):
        assert torch.equal(mirror[kept].sort()[0], kept)


def test_decimation_ignores_loose_pieces():
    points, faces = ball()
    eye_points, eye_faces = ball(3, 8)
    both = torch.cat([points, eye_points * 0.1]), torch.cat([faces, eye_faces + len(points)])
    ((kept, kept_faces),) = decimate(both[0].numpy(), both[1].numpy(), (50,))
    assert kept.max() < len(points)
    assert_closed_surface(kept_faces, 50)


def test_an_open_lopsided_mesh_keeps_its_border_and_its_whole_chain():
    points, faces = ball()
    faces = faces[points[faces][..., 1].min(1)[0] > -0.3]
    kept = faces.unique()
    points, faces = points[kept] * points[kept].new_tensor([1.0, 1.3, 0.8]), torch.searchsorted(kept, faces)
    points[:, 0] += 0.3 * points[:, 1] ** 2
    chain = decimate(points.numpy(), faces.numpy(), (40, 120, len(points)))
    assert [len(index) for index, _ in chain] == [40, 120, len(points)]
    assert torch.isin(chain[0][0], chain[1][0]).all()
    low = points[:, 1].min()
    for index, coarse_faces in chain:
        edges = torch.cat([coarse_faces[:, [0, 1]], coarse_faces[:, [1, 2]], coarse_faces[:, [2, 0]]])
        pairs, uses = edges.sort(1)[0].unique(dim=0, return_counts=True)
        assert uses.max() == 2 and len(index) - len(pairs) + len(coarse_faces) == 1  # Euler: a disc
        border = points[index[pairs[uses == 1].unique()]]
        assert (border[:, 1] - low).max() < 1e-9


def test_a_mesh_goes_no_further_down_than_a_tetrahedron():
    points, faces = ball(3, 8)
    with pytest.raises(InputError, match="3 coarse vertices were asked of a mesh that can go down to"):
        decimate(points.numpy(), faces.numpy(), (3,))


def test_upsampling_is_exact_at_chosen_vertices_and_follows_translations():
    points, faces = ball()
    examples = torch.stack(
        [points * points.new_tensor(s) for s in ((1, 1, 1), (2, 1, 1), (1, 1, 0.5), (1, 3, 1))]
    )
    (coarse,) = coarsen(points, faces, examples.float(), (80,))
    torch.testing.assert_close(coarse.weight.sum(1), torch.ones(len(points)))
    seen = points[coarse.index].float()
    torch.testing.assert_close(coarse.upsample(seen)[coarse.index], seen, rtol=0, atol=1e-6)
    shift = torch.tensor([3.0, -1.0, 2.0])
    torch.testing.assert_close(
        coarse.upsample(seen + shift), coarse.upsample(seen) + shift, rtol=0, atol=1e-5
    )
    assert (coarse.upsample(seen) - points).norm(dim=1).mean() < 0.02
    batch = torch.stack([seen, 2 * seen])
    torch.testing.assert_close(coarse.upsample(batch)[1], 2 * coarse.upsample(seen))


def test_anny_s_coarse_meshes_are_nested_closed_and_symmetric(body):
    few, many = body.coarse
    assert (len(few), len(many)) == (431, 1723) and torch.isin(few.index, many.index).all()
    mirror = torch.from_numpy(mirror_vertices(body.template.double().numpy()))
    for coarse in body.coarse:
        assert_closed_surface(coarse.faces, len(coarse))
        assert torch.equal(mirror[coarse.index].sort()[0], coarse.index)
        assert coarse.near.shape == (13718, 8)
        torch.testing.assert_close(coarse.weight.sum(1), torch.ones(13718))
    assert body.coarsened(431) is few


def test_anny_s_coarse_meshes_rebuild_unseen_poses(body):
    generator = torch.Generator().manual_seed(7)
    posed = body(anny.random_pose(body, 10, generator), body.sample_shapes(10, generator)).vertices
    for coarse, mean_mm in zip(body.coarse, (2.5, 1.2)):
        error_mm = (coarse.upsample(posed[:, coarse.index]) - posed).norm(dim=-1) * 1000
        assert error_mm.mean() < mean_mm


def test_noise_of_the_coarse_mesh_does_not_grow(body):
    assert body.coarsened(431).weight.square().sum(1).mean() < 0.5


def test_a_thigh_takes_nothing_from_the_other_thigh(body):
    dominant = body.skin_index.gather(1, body.skin_weight.argmax(1, keepdim=True))[:, 0]
    leg = {
        side: torch.isin(
            dominant,
            torch.tensor(
                [body.bones.index(f"{bone}.{side}") for bone in ("upperleg02", "lowerleg01", "foot")]
            ),
        )
        for side in "LR"
    }
    coarse = body.coarsened(431)
    taken = coarse.weight * leg["R"][coarse.index][coarse.near]
    assert taken[leg["L"]].abs().sum(1).max() < 0.2
    assert taken[leg["L"]].abs().sum(1).mean() < 1e-3
