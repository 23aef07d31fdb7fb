"""People wear a top and shorts: of Anny's, in pictures and as colours of vertices; the surface stays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from mpt import bodies
from mpt.clothes import Clothes, clothes_of, dyed, skin_beside
from mpt.films.drawing import Body, Stage
from mpt.render import PALETTE, Figure, Orthographic, render_mesh, vertex_normals

BLUE = PALETTE[0]


@pytest.fixture(scope="module")
def anny() -> bodies.Body:
    return bodies.load()


@pytest.fixture(scope="module")
def clothes(anny) -> Clothes:
    worn = clothes_of(anny)
    assert worn is not None
    return worn


def near(body: bodies.Body, joint: str) -> np.ndarray:
    """Vertices of the skin around a joint's bone, near to it."""
    head = body.heads[body.bones.index(body.roles[joint])]
    return (body.template - head).norm(dim=1).argsort()[:40].numpy()


def test_top_and_shorts_cover_what_they_should_and_nothing_else(anny, clothes):
    top, shorts = (clothes.inside_m > 0).T
    for joint in ("left_hip", "right_hip", "pelvis"):
        assert shorts[near(anny, joint)].all(), joint
    assert top[near(anny, "spine2")].all() and not shorts[near(anny, "spine3")].any()
    for joint in ("left_knee", "right_ankle", "left_elbow", "right_wrist", "head"):
        assert not (top | shorts)[near(anny, joint)].any(), joint
    for part in ("head", "hand.L", "hand.R", "foot.L", "foot.R"):
        assert not (top | shorts)[anny.parts[part].numpy()].any(), part


def test_clothes_are_as_wide_on_the_left_as_on_the_right(anny, clothes):
    vertices = anny.template.numpy()
    distance, other = cKDTree(vertices).query(vertices * [-1, 1, 1])
    twins = distance < 1e-3
    assert twins.mean() > 0.9
    np.testing.assert_allclose(clothes.inside_m[twins], clothes.inside_m[other[twins]], atol=5e-3)


def test_hems_of_legs_and_waist_run_between_rows_of_vertices(anny, clothes):
    """So that colours of vertices change over one row of triangles: no vertex lies on such a hem."""
    y, shorts = anny.template[:, 1].numpy(), clothes.inside_m[:, 1]
    legs = (y < 0) & (np.abs(anny.template[:, 0].numpy()) < 0.28)
    assert np.abs(shorts[legs]).min() > 0.009
    assert np.mean(np.abs(shorts[(y > 0.05) & (y < 0.25)]) < 0.004) < 0.02


def test_only_people_of_anny_wear_clothes():
    assert clothes_of(bodies.load("anny-hand")) is None
    anny = bodies.load()
    assert clothes_of(replace(anny, hash="another", phenotypes=None)) is None, "as SMPL's bodies are"
    assert clothes_of(anny.subset(torch.arange(10))) is None


def test_colours_are_skin_top_and_shorts_with_hems_between():
    deep = dyed(np.array([[-9, -9], [9, -9], [9, 9], [-9, 9], [0, -9]]), skin_beside(BLUE), BLUE)
    skin, top, both, shorts, hem = deep
    np.testing.assert_allclose(skin, skin_beside(BLUE))
    np.testing.assert_allclose(top, BLUE)
    np.testing.assert_allclose(both, shorts, err_msg="shorts are over the top")
    np.testing.assert_allclose(hem, (skin + top) / 2, atol=1e-6)
    assert shorts.max() < 0.5 < skin.min()


def test_cloth_is_smoother_than_what_it_hides_and_skin_stays(anny, clothes):
    faces = anny.faces.numpy()
    normals = vertex_normals(anny.template.numpy(), faces)
    smooth = clothes.smoothed(normals)
    np.testing.assert_allclose(np.linalg.norm(smooth, axis=1), np.linalg.norm(normals, axis=1), atol=1e-5)
    bare = clothes.inside_m.max(1) < -0.011
    np.testing.assert_array_equal(smooth[bare], normals[bare])
    ahead, behind = faces.ravel(), np.roll(faces, -1, 1).ravel()
    under = clothes.inside_m.max(1)[ahead] > 0.03

    def rough(of: np.ndarray) -> float:
        return float(np.linalg.norm(of[ahead] - of[behind], axis=1)[under].mean())

    assert rough(smooth) < 0.7 * rough(normals)


def pixel_of(vertex: np.ndarray, layer, view: Orthographic) -> np.ndarray:
    x, y = np.rint(view.project(vertex)).astype(int)
    return layer.colour[y - layer.top, x - layer.left]


def test_pictures_show_clothes_in_the_persons_colour_and_bare_bodies_in_that_alone(anny, clothes):
    vertices = anny.template.numpy() * [1, -1, -1]
    view = Orthographic(300, (200, 300))
    chest, face = (
        some[vertices[some, 2].argmin()] for some in (near(anny, "spine3"), anny.parts["head"].numpy())
    )  # what is nearest to the camera
    dressed = render_mesh([Figure(vertices, clothes.faces, PALETTE[1], clothes)], view, (400, 640))
    bare = render_mesh([Figure(vertices, clothes.faces, PALETTE[1])], view, (400, 640))
    ratio = pixel_of(vertices[face], dressed, view) / pixel_of(vertices[face], bare, view)
    assert (ratio[1:] > 1.15).all(), "skin is paler than the colour"
    top = pixel_of(vertices[chest], dressed, view)
    np.testing.assert_allclose(top, pixel_of(vertices[chest], bare, view), atol=0.05)


def test_films_show_what_photos_do(anny, clothes):
    coarse = anny.coarsened(1723)
    index = coarse.index.numpy()
    vertices = anny.template.numpy()[index] * [1, -1, -1] + [0, 0, 4]
    stage = Stage((400, 640), (400, 640), 1100.0, (199.5, 319.5), np.eye(3), np.zeros(3))
    grey = np.full((640, 400, 3), 128, np.uint8)

    def drawn(inside: np.ndarray | None) -> np.ndarray:
        body = Body(0, vertices.astype(np.float32), coarse.faces.numpy(), inside_m=inside)
        return stage.draw(grey, [body]).astype(int)

    dressed, bare = drawn(clothes.inside_m[index]), drawn(None)
    there = (np.abs(bare - 128) > 8).any(2)
    assert ((np.abs(dressed - 128) > 8).any(2) | ~there).mean() > 0.995, "the body is where it was"
    dark = there & (dressed.sum(2) < 0.75 * bare.sum(2))
    pale = there & (dressed.sum(2) > 1.05 * bare.sum(2))
    assert 0.1 < dark.sum() / there.sum() < 0.4 and 0.3 < pale.sum() / there.sum() < 0.8
