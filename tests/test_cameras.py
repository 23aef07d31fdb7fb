"""Virtual cameras stand where they were published, look at the person, and see left at the right."""

import json
import math

import pytest
import torch
from clouds import points
from tolerance import assert_close

from mpt.cameras import (
    RandomCameras,
    aim,
    fit_translation,
    h36m_s1,
    view_rotation,
    weak_perspective,
)

ORIGIN = torch.zeros(3)
ABOVE = torch.tensor([0.0, 0.8, 0.0])
LEFT = torch.tensor([0.5, 0.0, 0.0])


def project_one(cameras, point):
    """(C, 2) pixels of one world point in each camera."""
    return cameras.project(cameras.world_to_camera(point.expand(len(cameras), 1, 3)))[:, 0]


def assert_rotations(matrices):
    assert_close(matrices @ matrices.mT, torch.eye(3).to(matrices).expand_as(matrices))
    assert_close(torch.linalg.det(matrices), torch.ones(len(matrices)).to(matrices))


def pitch_down_deg(cameras):
    """The optical axis below the horizon; y is up."""
    return torch.rad2deg(torch.asin(-cameras.rotation[:, 2, 1]))


def viewing_azimuth_deg(cameras):
    """Of the optical axis about the vertical, from +x, in the data set's z-up axes, whose y is our -z."""
    axis = cameras.rotation[:, 2]
    return torch.rad2deg(torch.atan2(-axis[:, 2], axis[:, 0]))


def around_deg(cameras):
    """(C,) azimuth at which each camera stands, from +z towards +x, in [0, 360)."""
    return torch.rad2deg(torch.atan2(cameras.centers[:, 0], cameras.centers[:, 2])) % 360


def test_the_rig_is_the_published_one(shared_data):
    published = json.loads((shared_data / "h36m_s1_cameras.json").read_text())["cameras"].values()
    cameras = h36m_s1()
    for i, camera in enumerate(published):
        x, y, z = (value / 1000 for value in camera["centre_mm"])  # z up
        assert_close(cameras.centers[i], torch.tensor([x, z, -y]))
        assert_close(cameras.focal_px[i], torch.tensor(camera["focal_px"]))
        assert_close(cameras.principal_px[i], torch.tensor(camera["principal_point_px"]))
        place_z_up = torch.tensor([0.4, -0.3, 0.7])
        expected = torch.tensor(camera["R_world_to_camera"]) @ place_z_up
        expected = expected + torch.tensor(camera["T_mm"]) / 1000
        place_y_up = torch.tensor([0.4, 0.7, 0.3])
        seen = cameras[i : i + 1].world_to_camera(place_y_up[None, None])[0, 0]
        assert_close(seen, expected)


def test_the_rig_looks_as_the_paper_s_figures_say():
    cameras = h36m_s1()
    torch.testing.assert_close(
        pitch_down_deg(cameras), torch.tensor([10.7, 12.4, 12.4, 16.0]), atol=0.05, rtol=0
    )
    torch.testing.assert_close(
        viewing_azimuth_deg(cameras), torch.tensor([-114.0, 111.8, -65.6, 65.3]), atol=0.06, rtol=0
    )
    distance = cameras.centers.norm(dim=1)
    assert (distance > 4.4).all() and (distance < 5.75).all()


@pytest.mark.parametrize("views", [1, 2, 4, 8])
def test_every_camera_is_rigid_above_the_person_and_sees_up_as_up(views):
    cameras = h36m_s1(views)
    assert len(cameras) == views
    assert_rotations(cameras.rotation)
    height = cameras.centers[:, 1]
    assert (height > 1.45).all() and (height < 1.65).all()
    middle, above = project_one(cameras, ORIGIN), project_one(cameras, ABOVE)
    assert (above[:, 1] < middle[:, 1] - 100).all()
    assert ((middle - 500).abs() < 150).all()


def test_fewer_views_are_the_first_ones_and_eight_contain_the_four():
    eight = h36m_s1(8)
    for views in (1, 2, 4):
        assert torch.equal(h36m_s1(views).rotation, eight.rotation[:views])
        assert torch.equal(h36m_s1(views).translation, eight.translation[:views])


def test_an_interpolated_view_is_midway_between_its_neighbours():
    eight = h36m_s1(8)
    azimuth = around_deg(eight)
    radius = eight.centers[:, [0, 2]].norm(dim=1)
    order = azimuth[:4].argsort()
    found = []
    for a, b in zip(order, order.roll(-1)):
        midway = (azimuth[a] + ((azimuth[b] - azimuth[a]) % 360) / 2) % 360
        (new,) = 4 + ((azimuth[4:] - midway + 180) % 360 - 180).abs().lt(1e-3).nonzero()[:, 0]
        found.append(int(new))
        for mean in (radius, eight.centers[:, 1], eight.focal_px, eight.principal_px):
            assert_close(mean[new], (mean[a] + mean[b]) / 2)
        low, high = pitch_down_deg(eight)[torch.stack([a, b])].sort().values
        assert low <= pitch_down_deg(eight)[new] <= high
    assert sorted(found) == [4, 5, 6, 7]


def test_a_rig_of_three_views_is_refused():
    with pytest.raises(ValueError, match="1, 2, 4 or 8 views, not 3"):
        h36m_s1(3)


def test_projection_is_the_pinhole_s():
    cameras = h36m_s1(4)
    world = points(4, 9).float()
    camera = cameras.world_to_camera(world)
    pixels = cameras.project(camera)
    for c in range(4):
        for p in range(9):
            x, y, z = cameras.rotation[c] @ world[c, p] + cameras.translation[c]
            assert_close(camera[c, p], torch.stack([x, y, z]))
            expected = cameras.focal_px[c] * torch.stack([x / z, y / z]) + cameras.principal_px[c]
            assert_close(pixels[c, p], expected)


def test_at_zero_the_view_is_the_front_with_the_person_s_left_at_the_right():
    zero = torch.zeros(1)
    (view,) = view_rotation(zero, zero, zero)
    assert_close(view @ LEFT, LEFT)  # x right
    assert_close(view @ ABOVE, -ABOVE)  # y down
    toward_the_viewer = torch.tensor([0.0, 0.0, 1.0])
    assert_close(view @ toward_the_viewer, -toward_the_viewer)


def test_yaw_moves_the_camera_to_the_left_pitch_up_and_roll_clockwise():
    angle, zero = torch.tensor([0.3]), torch.zeros(1)
    axis = torch.tensor([0.0, 0.0, 1.0])

    def stands(view):
        return -view[0].mT @ axis  # unit distance away, where the axis comes from

    assert_close(stands(view_rotation(angle, zero, zero)), torch.tensor([math.sin(0.3), 0, math.cos(0.3)]))
    assert_close(stands(view_rotation(zero, angle, zero)), torch.tensor([0, math.sin(0.3), math.cos(0.3)]))
    rolled = view_rotation(zero, zero, angle)
    assert_close(stands(rolled), axis)
    assert (rolled[0] @ ABOVE)[0] < 0  # what stands upright leans to the left in a camera turned clockwise


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_views_are_rotations_in_any_precision(dtype):
    yaw, pitch, roll = points(50).to(dtype).unbind(1)
    view = view_rotation(yaw, pitch, roll)
    assert view.dtype == dtype
    assert_rotations(view)


def test_random_cameras_stay_in_their_ranges_and_fill_them():
    ranges = RandomCameras(level_share=0)
    cameras = ranges.draw(4000, torch.Generator().manual_seed(0))
    assert_rotations(cameras.rotation)
    x, y, distance = cameras.translation.unbind(1)
    pitch = torch.rad2deg(torch.asin(-cameras.rotation[:, 2, 1]))
    for value, (low, high) in (
        (distance, ranges.distance_m),
        (pitch, ranges.pitch_deg),
        (cameras.focal_px[:, 0], ranges.focal_px),
        (x / distance, (-ranges.offset, ranges.offset)),
        (y / distance, (-ranges.offset, ranges.offset)),
    ):
        slack = 1e-3 * (high - low)
        assert low - slack <= value.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < value.max() <= high + slack
    assert torch.histc(around_deg(cameras), 12, 0, 360).min() > 200  # from all sides
    assert_close((1 / distance).mean(), torch.tensor(0.3), dtype=torch.bfloat16)  # uniform in 1 / distance


def test_most_random_cameras_stand_at_about_eye_level():
    cameras = RandomCameras(level_share=1).draw(4000, torch.Generator().manual_seed(0))
    pitch = torch.rad2deg(torch.asin(-cameras.rotation[:, 2, 1]))
    assert abs(pitch.mean() - 6) < 0.6 and abs(pitch.std() - 9) < 0.6


def test_random_cameras_see_the_mid_hip_near_their_axis():
    ranges = RandomCameras()
    cameras = ranges.draw(500, torch.Generator().manual_seed(1))
    off = (project_one(cameras, ORIGIN) - cameras.principal_px).abs() / cameras.focal_px
    assert off.max() <= ranges.offset + 1e-6


def test_equal_generators_draw_equal_cameras():
    first, second = (RandomCameras().draw(5, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first.rotation, second.rotation) and torch.equal(first.translation, second.translation)


def test_weak_perspective_shifts_then_scales():
    seen = weak_perspective(torch.tensor([[[1.0, 2.0, 9.0]]]), torch.tensor([[0.5, 1.0, -4.0]]))
    assert_close(seen, torch.tensor([[[1.0, -1.0]]]))


def test_perspective_tends_to_weak_perspective_far_away():
    body = 0.5 * points(1, 17)
    far = 1e5
    focal = torch.tensor([[far, far]], dtype=torch.float64)
    ratio = body[..., :2] / (body[..., 2:] + far)
    weak = weak_perspective(body, torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(ratio * focal, weak, atol=1e-4, rtol=1e-4)


def test_fit_translation_recovers_where_bodies_stand():
    body = 0.5 * points(34).view(2, 17, 3)
    place = torch.tensor([[0.7, -0.2, 4.0], [-0.3, 0.4, 2.5]], dtype=torch.float64)
    turned = torch.linalg.qr(points(3))[0]
    pinhole = torch.tensor([[900.0, 0, 320], [0, 850, 240], [0, 0, 1]], dtype=torch.float64)
    projection = torch.stack([pinhole, pinhole @ turned])
    seen = (body + place[:, None]) @ projection.mT
    seen = seen[..., :2] / seen[..., 2:]
    weights = torch.rand(2, 17, generator=torch.Generator().manual_seed(0)).double()
    assert_close(fit_translation(body, seen, weights, projection), place)

    seen[:, 3] += 500  # a joint of no weight does not matter
    weights[:, 3] = 0
    assert_close(fit_translation(body, seen, weights, projection), place)


def test_fit_translation_is_the_least_squares_optimum():
    body = 0.5 * points(17)
    place = torch.tensor([0.1, 0.1, 3.0], dtype=torch.float64)
    noise = points(17, seed=5)[:, :2]
    pixels = 800 * (body + place)[:, :2] / (body + place)[:, 2:] + 3 * noise
    weights = torch.rand(17, generator=torch.Generator().manual_seed(0)).double() + 0.1

    def cost(t):
        u = pixels / 800
        return (weights[:, None] * ((body + t)[:, :2] - u * (body + t)[:, 2:]) ** 2).sum()

    projection = torch.diag(torch.tensor([800.0, 800, 1], dtype=torch.float64))
    found = fit_translation(body[None], pixels[None], weights[None], projection[None])[0].requires_grad_()
    (slope,) = torch.autograd.grad(cost(found), found)
    assert_close(slope, torch.zeros(3, dtype=torch.float64))
    assert (found - place).norm() < 0.1


def test_aim_takes_the_axis_to_the_ray_the_shortest_way():
    direction = points(30)
    direction[:, 2] = direction[:, 2].abs()
    direction = direction / direction.norm(dim=1, keepdim=True)
    rotation = aim(direction)
    axis = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    assert_rotations(rotation)
    assert_close(rotation @ axis, direction)
    angle = torch.acos((rotation.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2)
    assert_close(angle, torch.acos(direction[:, 2]))
    assert_close(aim(axis[None])[0], torch.eye(3, dtype=torch.float64))
