"""What is drawn is where the camera says it is, and the nearer thing is in front."""

import numpy as np
import pytest
import trimesh

from mpt.render import (
    Figure,
    Meshes,
    Orthographic,
    Perspective,
    draw_joints,
    overlay,
    overlay_figure,
    rasterize,
    render_mesh,
    side_view,
    sphere_directions,
    vertex_normals,
)

SIZE = (160, 120)
VIEW = Perspective(150.0, (79.5, 59.5))
RED, BLUE = np.float32([1, 0, 0]), np.float32([0, 0, 1])


def ball(centre, radius=0.3, colour=None):
    mesh = trimesh.creation.icosphere(3, radius=radius)
    return Figure(np.float32(mesh.vertices + centre), np.asarray(mesh.faces), colour)


def meshes(*figures):
    return Meshes([(f.vertices, f.faces) for f in figures])


def white(hits, directions):
    return np.ones((len(directions), 3), np.float32)


def picture_of(layer, size=SIZE):
    """Coverage over the whole picture."""
    whole = np.zeros((size[1], size[0]))
    h, w = layer.coverage.shape
    whole[layer.top : layer.top + h, layer.left : layer.left + w] = layer.coverage
    return whole


def test_rays_pass_through_what_projects_there():
    pixels = np.float32([[0, 0], [12.5, 100], [159, 3]])
    for view in (VIEW, Orthographic(40.0, (80, 60))):
        origins, directions = view.rays(pixels)
        np.testing.assert_allclose(view.project(origins + 103.0 * directions), pixels, atol=1e-3)


def test_the_silhouette_is_that_of_the_projected_vertices():
    figure = ball([0.2, -0.1, 3])
    mask = picture_of(rasterize(meshes(figure), VIEW, SIZE, white)) > 0.5
    rows, columns = np.nonzero(mask)
    low, high = VIEW.project(figure.vertices).min(0), VIEW.project(figure.vertices).max(0)
    np.testing.assert_allclose([columns.min(), rows.min()], low, atol=0.8)
    np.testing.assert_allclose([columns.max(), rows.max()], high, atol=0.8)
    inside = np.rint(VIEW.project(figure.vertices * 0.93 + np.float32([0.2, -0.1, 3]) * 0.07)).astype(int)
    assert mask[inside[:, 1], inside[:, 0]].all()


def test_the_covered_area_is_that_of_the_disc():
    layer = rasterize(meshes(ball([0, 0, 30], radius=5)), Orthographic(8.0, (79.5, 59.5)), SIZE, white)
    assert layer.coverage.sum() == pytest.approx(np.pi * 40**2, rel=0.01)


def test_depth_is_the_distance_along_z():
    layer = rasterize(meshes(ball([0, 0, 3])), VIEW, SIZE, white)
    assert layer.depth.min() == pytest.approx(2.7, abs=2e-3)
    assert np.isinf(layer.depth[layer.coverage == 0]).all()


def test_interpolated_positions_lie_on_the_rays():
    scene = meshes(ball([0.2, -0.1, 3]))
    pixels = np.float32([[80, 60], [85, 52], [90, 55]])
    origins, directions = VIEW.rays(pixels)
    hits = scene.cast(origins, directions)
    expected = hits.distance[:, None] * directions[hits.ray]
    np.testing.assert_allclose(scene.at(hits, scene.vertices), expected, atol=1e-5)


def test_the_nearer_person_hides_the_farther_whatever_their_order():
    near, far = ball([0, 0, 3], 0.2, RED), ball([0, 0, 5], 0.6, BLUE)
    photo = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    for order in ([near, far], [far, near]):
        out = overlay(photo, order, VIEW, opacity=1.0)
        red, _, blue = map(int, out[60, 80])
        assert red > 3 * blue
        red, _, blue = map(int, out[60, 80 + 14])
        assert blue > 3 * red


def test_pixels_beside_the_people_stay_as_they_were():
    photo = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    figure = ball([0.2, -0.1, 3])
    out = overlay(photo, [figure], VIEW)
    beside = picture_of(render_mesh([figure], VIEW, SIZE)) == 0
    np.testing.assert_array_equal(out[beside], photo[beside])
    np.testing.assert_array_equal(overlay(photo, [], VIEW), photo)


def test_a_person_outside_the_picture_or_behind_the_camera_draws_nothing():
    photo = np.full((120, 160, 3), 99, np.uint8)
    for centre in ([40, 0, 3], [0, -40, 3], [0, 0, -3]):
        np.testing.assert_array_equal(overlay(photo, [ball(centre)], VIEW), photo)


def test_a_person_around_the_camera_does_not_break_the_picture():
    out = overlay(np.zeros((120, 160, 3), np.uint8), [ball([0, 0, 0.2])], VIEW)
    assert out.max() > 0


def test_coarse_casting_of_big_pictures_agrees_with_fine(monkeypatch):
    figure = ball([0.2, -0.1, 3])
    fine = picture_of(render_mesh([figure], VIEW, SIZE))
    monkeypatch.setattr("mpt.render.MAX_RAYS", 400)
    coarse = picture_of(render_mesh([figure], VIEW, SIZE))
    assert np.abs(fine - coarse).mean() < 0.01
    assert coarse.sum() == pytest.approx(fine.sum(), rel=0.03)


def test_normals_of_a_ball_point_away_from_its_centre():
    figure = ball([0, 0, 0], radius=1)
    np.testing.assert_allclose(vertex_normals(figure.vertices, figure.faces), figure.vertices, atol=0.012)


def test_sphere_directions_are_unit_and_balanced():
    directions = sphere_directions(64)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(directions.mean(0), 0, atol=0.02)


def test_a_convex_body_is_open_and_a_covered_one_is_not():
    alone = meshes(ball([0, 0, 3]))
    np.testing.assert_allclose(alone.openness(sphere_directions(32)), 1, atol=0.01)
    covered = meshes(ball([0, 0, 3]), ball([0, 0, 3], radius=0.5))
    assert covered.openness(sphere_directions(32))[covered.faces[covered.owner == 0]].max() < 0.05


def test_the_side_view_shows_depth_as_width():
    flat = ball([0, 0, 4])
    deep = Figure((flat.vertices - [0, 0, 4]) * np.float32([0.3, 1, 2]) + np.float32([0, 0, 4]), flat.faces)

    def width_to_height(figure):
        scale = 0.8 * 200 / 1.2
        picture = side_view([Figure(figure.vertices, figure.faces, RED)], 200).astype(int)
        rows, columns = np.nonzero(picture[..., 0] - picture[..., 2] > 60)
        return np.ptp(columns) / scale, np.ptp(rows) / scale

    assert width_to_height(deep)[0] == pytest.approx(1.2, abs=0.05)
    assert width_to_height(flat)[0] == pytest.approx(0.6, abs=0.05)


def test_the_side_view_keeps_the_order_of_the_photo():
    left, right = ball([-1, 0, 4], colour=RED), ball([1, 0, 4], colour=BLUE)
    for order in ([left, right], [right, left]):
        picture = side_view(order, 160).astype(int)
        red = np.nonzero(picture[..., 0] - picture[..., 2] > 60)[1].mean()
        blue = np.nonzero(picture[..., 2] - picture[..., 0] > 60)[1].mean()
        assert red < blue


def test_the_figure_puts_photo_and_side_view_at_one_height():
    photo = np.zeros((120, 160, 3), np.uint8)
    joints = np.column_stack([np.linspace(5, 150, 17), np.linspace(5, 110, 17), np.ones(17)])
    people = [ball([x, 0, 4]) for x in np.linspace(-1, 1, 6)]
    figure = overlay_figure(photo, people, VIEW, joints2d=[joints])
    assert figure.dtype == np.uint8
    assert figure.shape[0] == 120 and 160 < figure.shape[1] <= 320
    np.testing.assert_array_equal(overlay_figure(photo, [], VIEW), photo)


def test_a_big_photo_is_shown_smaller_with_everything_in_its_place():
    photo = np.zeros((480, 640, 3), np.uint8)
    joints = np.full((17, 3), np.nan)
    joints[9] = 600.5, 400.5, 1
    joints_small = joints.copy()
    joints_small[9, :2] = (joints[9, :2] + 0.5) / 4 - 0.5
    person = ball([0.2, -0.1, 3], colour=RED)
    small = overlay_figure(photo, [person], VIEW.scaled(4), joints2d=[joints], max_side_px=160)[:, :160]
    same = draw_joints(overlay(photo[::4, ::4], [person], VIEW), joints_small)
    assert np.abs(small.astype(int) - same).mean() < 0.5


def test_joints_are_drawn_where_they_are_and_doubtful_ones_are_not():
    joints = np.zeros((17, 3))
    joints[9] = 100, 40, 0.9
    joints[10] = 30, 80, 0.1
    joints[11] = np.nan
    out = draw_joints(np.zeros((120, 160, 3), np.uint8), joints)
    assert out[40, 100].max() > 200
    assert not out[80, 30].any()


def test_hands_fill_the_view_from_the_side_in_the_air():
    little = ball((0, 0, 2), radius=0.06, colour=RED)

    def shown(standing: bool) -> np.ndarray:
        picture = side_view([little], 200, standing=standing).astype(int)
        return np.flatnonzero((picture[..., 0] > picture[..., 2] + 60).any(1))

    hand, someone = shown(standing=False), shown(standing=True)
    assert len(hand) > 4 * len(someone) and len(hand) > 80
    assert abs(hand.mean() - 100) < 12, "in the middle"
    assert someone.mean() > 170, "on the floor"
