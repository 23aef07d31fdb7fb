"""Sketches show the people whose bodies they were drawn of, where these are."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from mpt import bodies
from mpt.cameras import RandomCameras
from mpt.crops import applied
from mpt.render import Meshes, Perspective
from mpt.scenes.poses import POSES, rotations
from mpt.scenes.sketches import Looks, Sketchbook, nearest_faces

SIZE = 128


@lru_cache(maxsize=1)
def people():
    """Three people in camera axes: vertices, where they are seen, maps to pixels, and their faces."""
    body = bodies.load()
    local = torch.stack([rotations(body, POSES[pose]) for pose in ("waving", "squatting", "lunging")])
    generator = torch.Generator().manual_seed(0)
    posed = body(local, body.sample_shapes(3, generator))
    cameras = RandomCameras().draw(3, generator)
    vertices = cameras.world_to_camera(posed.vertices - posed.joints.mean(1, keepdim=True))
    points = cameras.project(vertices)
    low, high = points.amin(1), points.amax(1)
    scale = 0.8 * SIZE / (high - low).amax(1)
    pixels = torch.zeros(3, 2, 3)
    pixels[:, 0, 0] = pixels[:, 1, 1] = scale
    pixels[:, :, 2] = SIZE / 2 - scale[:, None] * (low + high) / 2
    return vertices, points, pixels, cameras, body.faces


@pytest.fixture(scope="module")
def book():
    return Sketchbook.of(bodies.load(), outfits=3, places=2)


@pytest.fixture(scope="module")
def looks(book) -> Looks:
    _, points, *_ = people()
    return book.looks(torch.cat([points.amin(1), points.amax(1)], 1), torch.Generator().manual_seed(1))


def test_the_nearest_faces_are_those_that_rays_meet_first():
    vertices, points, pixels, cameras, faces = people()
    found = nearest_faces(applied(pixels, points), vertices[..., 2], faces, SIZE)
    for k in range(3):
        scale, shift = pixels[k, 0, 0], pixels[k, :, 2]
        focal, principal = scale * cameras.focal_px[k, 0], scale * cameras.principal_px[k] + shift
        view = Perspective(float(focal), tuple(principal.tolist()))
        y, x = np.mgrid[:SIZE, :SIZE]
        rays = view.rays(np.stack([x, y], -1).reshape(-1, 2).astype(np.float32))
        hits = Meshes([(vertices[k].numpy(), faces.numpy())]).cast(*rays)
        traced = np.full(SIZE * SIZE, -1)
        traced[hits.ray] = hits.face
        same = traced == found[k].flatten().numpy()
        assert same[traced >= 0].mean() > 0.98  # on an edge of two faces, either may win
        assert ((traced >= 0) == (found[k].flatten().numpy() >= 0)).mean() > 0.999


def test_large_triangles_are_filled_like_small_ones():
    corners = torch.tensor([[[10.2, 5.1], [10.2, 100.7], [90.9, 60.3]]])
    found = nearest_faces(corners, torch.ones(1, 3), torch.tensor([[0, 1, 2]]), SIZE)[0]
    area = 0.5 * (100.7 - 5.1) * (90.9 - 10.2)
    assert abs(int((found == 0).sum()) - area) < 0.01 * area
    behind = nearest_faces(corners, torch.ones(1, 3), torch.tensor([[0, 2, 1]]), SIZE)
    assert (behind == -1).all()  # it looks away


def test_a_batch_is_its_people_one_by_one(book, looks):
    vertices, points, pixels, *_ = people()
    still = looks._replace(grain=torch.zeros(3))
    together = book.draw(vertices, points, still, pixels, SIZE)
    for k in range(3):
        one = slice(k, k + 1)
        alone = book.draw(vertices[one], points[one], Looks(*(v[one] for v in still)), pixels[one], SIZE)
        torch.testing.assert_close(alone[0], together[k], atol=2e-5, rtol=0)


def test_people_are_seen_before_their_place_and_black_beyond_the_photo(book, looks):
    vertices, points, pixels, *_ = people()
    still = looks._replace(grain=torch.zeros(3))
    picture = book.draw(vertices, points, still, pixels, SIZE)
    away = book.draw(vertices, points + 1e5, still, pixels, SIZE)
    covered = nearest_faces(applied(pixels, points), vertices[..., 2], people()[4], SIZE) >= 0
    difference = (picture - away).abs().amax(1)
    assert (difference[covered] > 0.02).float().mean() > 0.9
    near = (
        torch.nn.functional.max_pool2d(covered.float()[:, None], 9, 1, 4)[:, 0] > 0
    )  # cloth and a soft lens
    assert difference[~near].max() < 1e-5
    frame = looks.frame
    low, high = applied(pixels, frame.view(3, 2, 2)).unbind(1)
    y, x = torch.meshgrid(*[torch.arange(SIZE)] * 2, indexing="ij")
    for k in range(3):
        outside = (x < low[k, 0] - 1) | (x > high[k, 0] + 1) | (y < low[k, 1] - 1) | (y > high[k, 1] + 1)
        assert picture[k, :, outside].abs().sum() == 0


def test_looks_are_drawn_by_the_generator_alone(book):
    boxes = torch.tensor([[0.0, 0, 10, 30], [5, 5, 50, 40]])
    one, other = (book.looks(boxes, torch.Generator().manual_seed(4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other))
    assert (one.frame[:, :2] < boxes[:, :2]).all() and (one.frame[:, 2:] > boxes[:, 2:]).all()
