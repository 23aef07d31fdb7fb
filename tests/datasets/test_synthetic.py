"""A sample is what body, camera, crop and maps make of a pose; its seed decides; widened as promised."""

from dataclasses import replace

import pytest
import roma
import torch
from tolerance import assert_close

from mpt import bodies
from mpt.cameras import RandomCameras, h36m_s1
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.heatmaps import PERFECT, blobs, decode, marginals, render
from mpt.skeletons import COCO17

PLAIN = SyntheticConfig(widening=NO_WIDENING, noise=PERFECT, truncation=0.0, fine_vertices=50)
SIZE = 64


@pytest.fixture(scope="module")
def body():
    return bodies.load("anny")


@pytest.fixture
def make(body):
    def make(config=PLAIN, inputs="joints", **options):
        options = {"coarse_vertices": 431, "heatmap_size": SIZE} | options
        return Synthesizer(body, body.moving_bones, config, inputs=inputs, **options)

    return make


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_poses(body, n: int = 6, size: float = 0.3) -> torch.Tensor:
    return size * torch.randn(n, len(body.moving_bones), 3, generator=seeded(5))


def at(body, role: str) -> int:
    """Column of a role's bone among the stored ones."""
    return body.moving_bones.index(body.roles[role])


def shortest_turn(ray: torch.Tensor) -> torch.Tensor:
    """(3, 3) the rotation about one axis that takes (0, 0, 1) to a ray, by its angle."""
    axis = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), ray)
    angle = torch.atan2(axis.norm(), ray[2])
    return roma.rotvec_to_rotmat(axis / axis.norm() * angle)


def hips_middle(joints: torch.Tensor) -> torch.Tensor:
    return joints[:, COCO17.indices("left_hip", "right_hip")].mean(1)


@pytest.mark.parametrize("inputs", ["patches", "joints", "coordinates"])
def test_a_batch_follows_from_its_generator_alone(body, make, inputs):
    config = SyntheticConfig(fine_vertices=20)
    first, second, other = (make(config, inputs)(some_poses(body), seeded(seed)) for seed in (3, 3, 4))
    for name, value in vars(first).items():
        assert torch.equal(value, vars(second)[name]), name
        assert value.isfinite().all() and not torch.equal(value, vars(other)[name]), name


@pytest.mark.parametrize("inputs", ["patches", "joints", "coordinates"])
def test_shapes_are_those_that_the_batch_declares(body, make, inputs):
    batch = make(inputs=inputs)(some_poses(body), seeded())
    seen = {"patches": (6, 29, SIZE, SIZE), "joints": (6, 29, 2, SIZE), "coordinates": (6, 29, 3)}
    assert batch.seen.shape == seen[inputs]
    assert batch.joints.shape == (6, 29, 3) and batch.points.shape == (6, 29, 2)
    assert batch.coarse.shape == (6, 431, 3) and batch.vertices.shape == (6, 50, 3)
    assert len(batch.rows.unique()) == 50


def test_joints_are_the_regressor_on_the_whole_mesh(body, make):
    batch = make(replace(PLAIN, fine_vertices=len(body.template)))(some_poses(body), seeded())
    whole = torch.empty_like(batch.vertices)
    whole[:, batch.rows] = batch.vertices
    assert_close(body.regress(whole), batch.joints)
    assert_close(whole[:, body.coarsened(431).index], batch.coarse)
    assert_close(hips_middle(batch.joints), torch.zeros(6, 3))


def test_targets_are_the_posed_body_turned_by_a_camera_of_the_rig(body, make):
    rotvec = some_poses(body, 12)
    shape = torch.zeros(12, body.shape_count)
    posed = body.with_bones(body.moving_bones)(roma.rotvec_to_rotmat(rotvec), shape)
    rows = torch.tensor([7, 1000, 13000])
    vertices = posed.vertices[:, torch.cat([body.coarsened(431).index, rows])]
    batch = make(replace(PLAIN, cameras="h36m_s1")).look(vertices, posed.joints, rows, seeded())

    rig = h36m_s1()
    centered = posed.joints - hips_middle(posed.joints)[:, None]
    used = set()
    for n in range(12):
        to_root = rig.world_to_camera(torch.zeros(4, 1, 3))[:, 0]
        turn = torch.stack([shortest_turn(ray).T for ray in to_root]) @ rig.rotation  # (4, 3, 3)
        in_each = centered[n] @ turn.mT  # (4, 29, 3)
        (camera,) = ((in_each - batch.joints[n]).abs().amax((1, 2)) < 1e-4).nonzero()[:, 0]
        used.add(int(camera))
        off_axis = torch.rad2deg(torch.atan(to_root[camera, :2].norm() / to_root[camera, 2]))
        assert 4 < off_axis < 8  # these cameras look over people's heads
        seen = (vertices[n] - hips_middle(posed.joints)[n]) @ turn[camera].T
        assert_close(torch.cat([batch.coarse, batch.vertices], 1)[n], seen)

        # the crop's points are the camera's pixels, moved and scaled alike in x and y
        view = rig[camera : camera + 1]
        pixels = view.project(view.world_to_camera(centered[n : n + 1]))[0]
        scale = (pixels - pixels.mean(0)).norm() / (batch.points[n] - batch.points[n].mean(0)).norm()
        expected = (pixels - pixels.mean(0)) / scale + batch.points[n].mean(0)
        torch.testing.assert_close(batch.points[n], expected, atol=1e-4, rtol=0)
    assert used == {0, 1, 2, 3}


def test_points_are_the_projection_of_the_joints_for_random_cameras(body, make):
    near = RandomCameras(distance_m=(3, 3), offset=0.0, focal_px=(1000, 1000))
    batch = make(replace(PLAIN, random_cameras=near))(some_poses(body), seeded())
    ahead = batch.joints + torch.tensor([0.0, 0.0, 3.0])
    pixels = 1000 * ahead[..., :2] / ahead[..., 2:]
    for n in range(6):
        moved, target = pixels[n] - pixels[n].mean(0), batch.points[n] - batch.points[n].mean(0)
        torch.testing.assert_close(target, moved * (target.norm() / moved.norm()), atol=1e-4, rtol=0)


@pytest.mark.parametrize("inputs", ["patches", "joints", "coordinates"])
def test_perfect_maps_show_the_points(body, make, inputs):
    wide = replace(PLAIN, crop_factor=(1.8, 1.8))  # feet and hands lie in it as well
    batch = make(wide, inputs)(some_poses(body), seeded())
    pixels = (batch.points + 1) * SIZE / 2 - 0.5
    maps = render(blobs(pixels, 3 / 2**0.5 * SIZE / 224), SIZE)
    match inputs:
        case "patches":
            assert_close(batch.seen, maps)
            assert ((decode(batch.seen)[..., :2] - pixels).abs() < 0.3).all()
        case "joints":
            assert_close(batch.seen, marginals(maps))
        case "coordinates":
            assert_close(batch.seen[..., :2], batch.points)
            assert (batch.seen[..., 2] == 1).all()


def test_visible_joints_lie_inside_the_crop(body, make):
    for least, most in ((1.1, 1.1), (1.25, 1.4)):
        config = replace(PLAIN, crop_factor=(least, most), crop_shift=0.045, truncation=0.5)
        synthesize = make(config, "coordinates")
        batch = synthesize(some_poses(body, 60), seeded())
        seen = batch.seen[..., 2] > 0
        inside = (batch.points.abs() < 1).all(-1)
        assert inside[seen].all()
        assert not seen.all() and seen.any(1).all()


def test_an_unshifted_crop_is_centred_on_coco_s_17_and_as_large_as_its_factor_says(body, make):
    batch = make(replace(PLAIN, crop_factor=(1.25, 1.25), crop_shift=0.0))(some_poses(body), seeded())
    low, high = batch.points[:, :17].amin(1), batch.points[:, :17].amax(1)
    assert_close(low + high, torch.zeros(6, 2))
    assert_close((high - low).amax(1), torch.full((6,), 2 / 1.25))


def test_nobody_is_cut_off_without_truncation_and_everybody_with_it(body, make):
    whole = make(inputs="coordinates")(some_poses(body, 50), seeded())
    assert (whole.seen[:, :17, 2] > 0).all()
    cut = make(replace(PLAIN, truncation=1.0), "coordinates")(some_poses(body, 50), seeded())
    missing = cut.seen[..., 2] == 0
    assert missing.any(1).all() and (~missing).any(1).all()
    for left, right in (("left_ankle", "right_ankle"), ("left_wrist", "right_wrist")):
        found = missing[:, COCO17.indices(left, right)]
        assert found.any(0).all()


def test_without_widening_poses_stay_as_they_are(body, make):
    rotvec = some_poses(body)
    assert torch.equal(make().widen(rotvec, seeded()), rotvec)
    assert_close(make()._tilt(6, seeded()), torch.eye(3).expand(6, 3, 3))


def test_mirroring_a_pose_mirrors_the_body(body, make):
    rotvec = some_poses(body, 4)
    synthesize = make(replace(PLAIN, widening=replace(NO_WIDENING, mirror=1.0)))
    mirrored = synthesize.widen(rotvec, seeded())
    assert_close(synthesize.widen(mirrored, seeded()), rotvec)
    reduced = body.with_bones(body.moving_bones)
    shape = torch.zeros(4, body.shape_count)
    straight, turned = (reduced(roma.rotvec_to_rotmat(pose), shape).joints for pose in (rotvec, mirrored))
    other_side = straight[:, body.skeleton.flip] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(turned, other_side, atol=3e-3, rtol=0)  # Anny is symmetric to millimetres


def test_exchanging_leaves_each_bone_to_somebody_and_legs_and_roots_alone(body, make):
    rotvec = some_poses(body, 40)
    synthesize = make(replace(PLAIN, widening=replace(NO_WIDENING, exchange=1.0)))
    mixed = synthesize.widen(rotvec, seeded())
    owner = (mixed[:, :, None] == rotvec.transpose(0, 1)[None]).all(-1)  # (40, bones, 40)
    assert owner.any(-1).all()
    taken = (mixed != rotvec).any(-1)
    assert taken.any(1).double().mean() > 0.9
    for role in ("pelvis", "left_hip", "right_knee", "left_ankle"):
        assert not taken[:, at(body, role)].any()
    donors = owner.int().argmax(-1)
    for n in range(40):
        assert len(set(donors[n][taken[n]].tolist())) <= 1  # one donor for each


def test_perturbing_moves_limbs_a_little(body, make):
    widening = replace(NO_WIDENING, perturb=1.0, perturb_deg=8.0)
    rotvec = some_poses(body, 500)
    extra = make(replace(PLAIN, widening=widening)).widen(rotvec, seeded()) - rotvec
    assert not extra[:, at(body, "pelvis")].any()
    elbow = torch.rad2deg(extra[:, at(body, "left_elbow")]).double()
    # a sample's deviation is uniform up to twice the size: mean square 4 / 3 of the size squared
    assert elbow.square().mean() == pytest.approx(4 / 3 * 8.0**2, rel=0.2)


def test_drawn_legs_bend_as_legs_do(body, make):
    widening = replace(NO_WIDENING, legs=1.0)
    synthesize = make(replace(PLAIN, widening=widening))
    rotvec = torch.zeros(300, len(body.moving_bones), 3)
    drawn = synthesize.widen(rotvec, seeded())
    knee = torch.rad2deg(drawn[:, at(body, "left_knee")])
    assert (knee[:, 0] >= 0).all() and (knee[:, 0] <= 150).all() and not knee[:, 1:].any()
    assert not drawn[:, at(body, "left_elbow")].any()
    joints = body.with_bones(body.moving_bones)(
        roma.rotvec_to_rotmat(drawn), torch.zeros(300, body.shape_count)
    ).joints
    knees, hips = (joints[:, COCO17.indices(f"left_{j}", f"right_{j}")] for j in ("knee", "hip"))
    assert (knees - hips)[..., 2].mean() > 0.1  # thighs go forward more than back
    spread = (knees - hips)[..., 0] * torch.tensor([1.0, -1.0])
    assert spread.mean() > 0.05  # and outward more than inward


def test_drawn_arms_hold_their_length_and_bend_only_at_the_elbow(body, make):
    drawn = make(replace(PLAIN, widening=replace(NO_WIDENING, arms=1.0))).widen(
        torch.zeros(300, len(body.moving_bones), 3), seeded()
    )
    bend = torch.rad2deg(drawn[:, at(body, "left_elbow")].norm(dim=-1))
    assert (bend <= 145.1).all() and bend.mean() > 60
    assert not drawn[:, at(body, "left_knee")].any()
    joints = body.with_bones(body.moving_bones)(
        roma.rotvec_to_rotmat(drawn), torch.zeros(300, body.shape_count)
    ).joints
    elbows, shoulders = (joints[:, COCO17.indices(f"left_{j}", f"right_{j}")] for j in ("elbow", "shoulder"))
    outward = (elbows - shoulders)[..., 0] * torch.tensor([1.0, -1.0])
    assert outward.mean() > 0.03 and (elbows - shoulders)[..., 2].mean() > 0.03  # aside and to the front


def test_a_bend_turns_the_spine_forward_and_nothing_else(body, make):
    drawn = make(replace(PLAIN, widening=replace(NO_WIDENING, bend=1.0))).widen(
        torch.zeros(300, len(body.moving_bones), 3), seeded()
    )
    spine = sum(drawn[:, at(body, f"spine{k}"), 0] for k in (1, 2, 3))
    assert (spine >= 0).all() and 60 < torch.rad2deg(spine.max()) <= 70.01
    assert not drawn[:, at(body, "left_hip")].any()


def test_tilting_and_turning_are_rotations_as_often_as_asked(make):
    tilting = replace(NO_WIDENING, tilt=0.5, tilt_deg=30.0)
    tilted = make(replace(PLAIN, widening=tilting))._tilt(2000, seeded())
    angle = torch.rad2deg(roma.rotmat_to_rotvec(tilted).norm(dim=-1))
    assert (angle > 1e-2).double().mean() == pytest.approx(0.5, abs=0.05)
    assert 25 < angle[angle > 1e-2].median() < 50
    assert roma.rotmat_to_rotvec(tilted)[:, 1].abs().max() < 1e-3  # about horizontal axes
    turned = make(replace(PLAIN, widening=replace(NO_WIDENING, turn=1.0)))._tilt(2000, seeded())
    assert_close(turned @ turned.mT, torch.eye(3).expand(2000, 3, 3))
    assert (turned[:, 1, 1] < 0).double().mean() == pytest.approx(0.5, abs=0.05)  # half upside down


def test_up_is_where_a_pose_had_it_before_it_was_tilted(body, make):
    """A tilted body is the same body before a camera that is tilted the other way."""
    rotvec, shape = some_poses(body, 40), torch.zeros(40, body.shape_count)
    upright = make(PLAIN)(rotvec, seeded(), shape=shape)
    assert_close(upright.up.norm(dim=-1), torch.ones(40))
    assert (upright.up[:, 1] < -0.6).all()  # y down, and no camera looks more steeply than 45 degrees
    tilted = make(replace(PLAIN, widening=replace(NO_WIDENING, tilt=1.0, tilt_deg=40.0)))
    seen = tilted(rotvec, seeded(), shape=shape)
    assert (seen.up - upright.up).norm(dim=-1).mean() > 0.2
    turn, _ = roma.rigid_points_registration(upright.joints, seen.joints)  # of the body's own axes
    assert_close((turn @ upright.up[..., None])[..., 0], seen.up)


def test_a_batch_in_parts_is_the_batch(body, make):
    batch = make()(some_poses(body), seeded())
    parts = [batch.part(number, 3) for number in range(3)]
    for name, value in vars(batch).items():
        joined = parts[0].rows if name == "rows" else torch.cat([vars(part)[name] for part in parts])
        assert torch.equal(joined, value), name


def test_widening_shares_are_probabilities(body, make):
    rotvec = some_poses(body, 1000)
    for name in ("mirror", "perturb", "ends", "legs"):
        widening = replace(NO_WIDENING, perturb_deg=8, ends_deg=8, **{name: 0.3})
        synthesize = make(replace(PLAIN, widening=widening))
        changed = (synthesize.widen(rotvec, seeded()) != rotvec).flatten(1).any(1)
        assert changed.double().mean() == pytest.approx(0.3, abs=0.05), name


def test_stored_columns_may_come_in_any_order(body, make):
    rotvec = some_poses(body)
    order = [0, *range(len(body.moving_bones) - 1, 0, -1)]
    bones = tuple(body.moving_bones[i] for i in order)
    shuffled = Synthesizer(body, bones, PLAIN, inputs="joints", coarse_vertices=431, heatmap_size=SIZE)
    expected, found = make()(rotvec, seeded()), shuffled(rotvec[:, order], seeded())
    assert_close(found.joints, expected.joints)
    assert_close(found.seen, expected.seen)


def test_a_coarse_mesh_that_the_body_lacks_is_refused(make):
    with pytest.raises(ValueError, match="777 coarse vertices"):
        make(coarse_vertices=777)
