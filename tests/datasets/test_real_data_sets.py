"""Every reader finds in a small set of the official layout what was written there: pixels, metres, names."""

import io
import json
import os
import pickle
import warnings

import layouts
import numpy as np
import official
import pytest
import torch
from layouts import People
from rich.console import Console
from scipy.spatial.transform import Rotation

from mpt import bodies, cameras
from mpt.bodies import smpl
from mpt.datasets import (
    check,
    coco,
    complement,
    files,
    freihand,
    human36m,
    mpi_inf_3dhp,
    mpii,
    muco3dhp,
    tdpw,
    up3d,
)
from mpt.datasets import fits as fits_of_people
from mpt.datasets.fits import fit_errors_mm
from mpt.datasets.loading import read_crop
from mpt.datasets.sample import Joints3D, Keypoints
from mpt.datasets.spin_npz import SPIN24
from mpt.errors import InputError
from mpt.recipes.finetune import read_set
from mpt.skeletons import COCO17, H36M17, HAND21, LSP14, SMPL24

PEOPLE = [People(seed) for seed in range(3)]


@pytest.fixture
def h36m(tmp_path):
    names = [f"images/S1_Directions_1.60457274_{frame:06d}.jpg" for frame in (1, 6, 11)]
    for seed, name in enumerate(names):
        layouts.photo(tmp_path / name, seed=seed)
    has_smpl = np.array([1, 0, 1])
    layouts.spin_npz(
        tmp_path / "h36m_train.npz", names, layouts.SPIN, PEOPLE, has_smpl=has_smpl, **layouts.smpl_fields(3)
    )
    return tmp_path


def close(actual, expected, tolerance=1e-4):
    np.testing.assert_allclose(actual, expected, atol=tolerance)


def test_human36m_in_spins_joints_is_known_by_name(h36m):
    samples = human36m.read(h36m)
    assert len(samples) == 3
    person, sample = PEOPLE[1], samples[1]
    close(sample.keypoints.on(H36M17).xy_px, person.xy(layouts.H36M), 1e-3)
    assert sample.keypoints.on(H36M17).confidence.tolist() == [1] * 17
    root = person.xyz(("pelvis",))
    close(sample.joints.on(H36M17).xyz_m, person.xyz(layouts.H36M) - root)
    assert sample.joints.on(LSP14).known.all()
    assert sample.joints.on(COCO17).known.sum() == 13  # no eyes, no ears
    assert (sample.subject, sample.sequence, sample.frame) == ("S1", "Directions_1.60457274", 6)
    assert sample.crop.center_px == (160, 120) and sample.crop.side_px == pytest.approx(220)


def test_human36m_smpl_is_known_where_the_file_says_so(h36m):
    samples, truth = human36m.read(h36m), layouts.smpl_fields(3)
    assert [sample.parameters is not None for sample in samples] == [True, False, True]
    close(samples[2].parameters.pose, truth["pose"][2].reshape(24, 3))
    close(samples[2].parameters.betas, truth["shape"][2])


@pytest.mark.parametrize("module, order", [(human36m, layouts.H36M), (mpi_inf_3dhp, layouts.MPI)])
def test_seventeen_joints_in_the_sets_own_order_are_known_by_name(tmp_path, module, order):
    layouts.photo(tmp_path / "images/S1/a.jpg")
    file = "h36m_train.npz" if module is human36m else "mpi_inf_3dhp_train.npz"
    layouts.spin_npz(tmp_path / "annotations" / file, ["S1/a.jpg"], order, PEOPLE[:1])
    sample = module.read(tmp_path)[0]
    close(sample.keypoints.on(H36M17).xy_px, PEOPLE[0].xy(layouts.H36M), 1e-3)


def with_h36m_joints(folder):
    """An SMPL that looks like the official one, with Human3.6M's regressor."""
    model = official.smpl()
    np.save(folder / "regressor.npy", official.h36m_regressor(model, "left"))
    np.savez(folder / "SMPL_NEUTRAL.npz", **model)
    return smpl.read(folder / "SMPL_NEUTRAL.npz", h36m_regressor=folder / "regressor.npy")


def joints_of(body, pose, betas):
    """(N, 17, 3) Human3.6M's joints on posed bodies, 3 m before the camera."""
    turns = Rotation.from_rotvec(np.reshape(pose, (-1, 3))).as_matrix().reshape(len(pose), 24, 3, 3)
    mesh = body.forward(torch.from_numpy(turns).float(), torch.from_numpy(betas).float()).vertices
    return body.regress(mesh, "h36m17").numpy() + np.array([0.2, 0, 3])


def people_at(joints):
    people = [People(seed) for seed in range(len(joints))]
    for person, places in zip(people, joints):
        person.places = dict(zip(H36M17.joints, places))
    return people


def about_their_mean(joints):
    return joints - joints.mean(-2, keepdims=True)


TRAINED = {1: PEOPLE, 5: PEOPLE[:1], 6: PEOPLE[:1], 7: PEOPLE[:1], 8: PEOPLE[:1]}


def test_human36ms_json_is_in_the_world_and_read_into_camera_axes(tmp_path):
    layouts.human36m(tmp_path, TRAINED)
    samples = human36m.read(tmp_path)
    assert len(samples) == 7 * 2  # every 5th frame, two cameras
    by_name = {sample.image.name: sample for sample in samples}
    sample, person = by_name["s_01_act_02_subact_01_ca_04_000006.jpg"], PEOPLE[1]
    close(sample.joints.xyz_m, person.xyz(layouts.H36M))
    close(sample.keypoints.xy_px, person.xy(layouts.H36M), 1e-2)
    close(sample.intrinsics, layouts.CAMERA)
    assert sample.joints.skeleton is sample.keypoints.skeleton is H36M17 and sample.joints.known.all()
    assert (sample.subject, sample.sequence, sample.frame) == ("S1", "s_01_act_02_subact_01_ca_04", 5)
    assert sample.image == tmp_path / "images" / sample.sequence / sample.image.name
    assert sample.crop.side_px == pytest.approx(1.2 * np.ptp(sample.keypoints.xy_px, axis=0).max())
    assert sample.parameters is None
    aside = by_name["s_01_act_02_subact_01_ca_02_000006.jpg"]
    turn = layouts._about_y(0.4)
    close(about_their_mean(aside.joints.xyz_m), about_their_mean(sample.joints.xyz_m) @ turn.T)
    close(aside.keypoints.xy_px, layouts.pixels(aside.joints.xyz_m), 1e-2)


def test_human36m_is_tested_on_every_64th_frame_of_the_frontal_camera(tmp_path):
    layouts.human36m(tmp_path, {9: PEOPLE, 11: PEOPLE[:2]}, every=64)
    samples = human36m.read(tmp_path, "test")
    assert [(sample.subject, sample.frame) for sample in samples] == [
        ("S9", 0), ("S9", 64), ("S9", 128), ("S11", 0), ("S11", 64),
    ]  # fmt: skip
    assert all("ca_04" in sample.image.name for sample in samples)
    assert len(human36m.read(tmp_path, "test-all-cameras")) == 10


@pytest.mark.parametrize("kind", ["smpl_param", "SMPL_NeuralAnnot"])
def test_human36m_fits_land_on_the_joints_in_camera_axes_and_bad_ones_are_left_out(tmp_path, kind):
    body = with_h36m_joints(tmp_path)
    pose, betas = np.random.default_rng(0).normal(0, 0.3, (3, 72)), np.full((3, 10), 0.5)
    betas[1] = 4
    joints = joints_of(body, pose, betas)
    joints[2, H36M17.index("left_wrist")] += [0.3, 0, 0]
    people = people_at(joints)
    each = [{"pose": p.tolist(), "shape": b.tolist()} for p, b in zip(pose, betas)]
    fits = {subject: each[: len(of)] for subject, of in TRAINED.items()}
    layouts.human36m(tmp_path, {s: people[: len(of)] for s, of in TRAINED.items()}, fits, kind=kind)

    said = r"annotations: 2 of 14 fits are over 25 mm from the 3D joints; left out"
    with pytest.warns(UserWarning, match=said):
        samples = human36m.read(tmp_path, body=body)
    bad = [sample for sample in samples if sample.parameters is None]
    assert [(sample.subject, sample.frame) for sample in bad] == [("S1", 10), ("S1", 10)]
    assert all(sample.joints.known.all() for sample in bad)
    good = [sample for sample in samples if sample.parameters]
    posed = joints_of(body, *(np.stack([getattr(s.parameters, n) for s in good]) for n in ("pose", "betas")))
    truth = np.stack([sample.joints.xyz_m for sample in good])
    close(about_their_mean(posed), about_their_mean(truth))
    frontal = next(s for s in good if s.image.name == "s_01_act_02_subact_01_ca_04_000006.jpg")
    close(frontal.parameters.pose.ravel(), pose[1])
    assert frontal.parameters.betas.tolist() == [4] * 10 and frontal.parameters.gender == "neutral"
    with pytest.warns(UserWarning, match=said):
        trained_on = read_set("human36m", "train", {"human36m": tmp_path}, body)
    assert sum(sample.parameters is None for sample in trained_on) == 2
    assert all(sample.parameters for sample in human36m.read(tmp_path))
    assert all(sample.parameters for sample in human36m.read(tmp_path, body=body, max_fit_mm=40))


def test_human36ms_json_is_taken_where_the_npz_lies_beside_it(h36m):
    assert human36m.read(h36m)[0].parameters is not None
    layouts.human36m(h36m, TRAINED)
    assert len(human36m.read(h36m)) == 14


def test_fits_of_some_subjects_alone_are_told(tmp_path):
    layouts.human36m(tmp_path, TRAINED, {1: [{"pose": [0.1] * 72, "shape": [0.5] * 10}, None, None]})
    with pytest.warns(UserWarning, match=r"no SMPL fits of subject 5, 6, 7, 8 lie beside the others'"):
        samples = human36m.read(tmp_path)
    assert sum(sample.parameters is not None for sample in samples) == 2


def test_fits_that_are_no_numbers_are_none(tmp_path):
    layouts.muco(tmp_path, PEOPLE)
    fits = json.loads((tmp_path / "smpl_param.json").read_text())
    fits["10"]["pose"][3] = float("nan")
    layouts._json(tmp_path / "smpl_param.json", fits)
    with pytest.warns(UserWarning, match="1 of 2 SMPL poses are not finite numbers"):
        samples = muco3dhp.read(tmp_path)
    assert [sample.parameters is None for sample in samples] == [False, True, True]


def test_human36m_is_tested_on_the_npz_s_photos_where_both_forms_lie(tmp_path):
    layouts.human36m(tmp_path, {9: PEOPLE[:1], 11: PEOPLE[:1]}, every=64)
    assert {sample.subject for sample in human36m.read(tmp_path, "test")} == {"S9", "S11"}
    names = ["S9_Directions_1.60457274_000001.jpg"]
    layouts.photo(tmp_path / "images" / names[0])
    layouts.spin_npz(tmp_path / "h36m_valid_protocol2.npz", names, layouts.H36M, PEOPLE[:1])
    [sample] = human36m.read(tmp_path, "test")
    assert (sample.subject, sample.image.name) == ("S9", names[0]) and sample.intrinsics is not None


def test_human36ms_json_must_be_whole_and_of_the_new_cameras(tmp_path):
    layouts.human36m(tmp_path, TRAINED)
    camera = tmp_path / "annotations" / "Human36M_subject6_camera.json"
    whole = json.loads(camera.read_text())
    old = {
        cam: about | {"t": (-np.transpose(about["R"]) @ about["t"]).tolist()} for cam, about in whole.items()
    }
    layouts._json(camera, old)
    with pytest.raises(InputError, match=r"subject6_camera\.json: most people stand outside their photos"):
        human36m.read(tmp_path)
    layouts._json(camera, {"4": whole["4"]})
    with pytest.raises(
        InputError, match=r"subject6_camera\.json: its R is not as expected \(KeyError: '2'\)"
    ):
        human36m.read(tmp_path)
    layouts._json(camera, whole)
    joints = tmp_path / "annotations" / "Human36M_subject7_joint_3d.json"
    layouts._json(joints, {"2": {"1": {}}})
    with pytest.raises(InputError, match=r"subject7_joint_3d\.json: its joints is not as expected"):
        human36m.read(tmp_path)
    joints.unlink()
    with pytest.raises(InputError, match=r"subject7_joint_3d\.json: is not there, beside those of other"):
        human36m.read(tmp_path)


def test_human36ms_camera_is_known_by_its_number(h36m, shared_data):
    frontal, sample = cameras.h36m_s1()[3], human36m.read(h36m)[1]
    assert cameras.H36M_CAMERAS[3] in sample.image.name
    close(np.diag(sample.intrinsics)[:2], frontal.focal_px)
    close(sample.intrinsics[:2, 2], frontal.principal_px)
    published = json.loads((shared_data / "h36m_s1_cameras.json").read_text())["cameras"]
    assert tuple(published) == cameras.H36M_CAMERAS
    for number, about in published.items():
        close(np.diag(cameras.h36m_intrinsics(number)), [*about["focal_px"], 1])
        close(cameras.h36m_intrinsics(number)[:2, 2], about["principal_point_px"])


def test_a_photo_that_names_no_camera_knows_none(tmp_path):
    layouts.photo(tmp_path / "a.jpg")
    layouts.spin_npz(tmp_path / "h36m_train.npz", ["a.jpg"], layouts.H36M, PEOPLE[:1])
    assert human36m.read(tmp_path)[0].intrinsics is None


def test_the_frontal_camera_is_taken_of_a_file_with_all(tmp_path):
    names = [f"S9_Walking.{camera}_000001.jpg" for camera in ("54138969", "60457274", "55011271")]
    for name in names:
        layouts.photo(tmp_path / name)
    layouts.spin_npz(tmp_path / "h36m_test.npz", names, layouts.H36M, PEOPLE)
    assert [sample.image.name for sample in human36m.read(tmp_path, "test")] == names[1:2]
    assert len(human36m.read(tmp_path, "test-all-cameras")) == 3


def test_mpi_inf_3dhp_tells_subject_sequence_and_frame(tmp_path):
    name = "S3/Seq1/imageFrames/video_4/frame_000101.jpg"
    layouts.photo(tmp_path / name)
    layouts.spin_npz(tmp_path / "mpi_inf_3dhp_train.npz", [name], layouts.SPIN, PEOPLE[:1])
    sample = mpi_inf_3dhp.read(tmp_path)[0]
    assert (sample.subject, sample.sequence, sample.frame) == ("S3", "S3/Seq1/imageFrames/video_4", 101)
    close(sample.joints.on(H36M17).xyz_m[0], 0)


def test_spins_set_has_what_human36m_has():
    assert set(layouts.H36M) <= set(SPIN24.joints) and len(set(SPIN24.joints)) == 24


def test_coco_people_with_labelled_joints_are_read(tmp_path):
    layouts.coco(tmp_path, PEOPLE)
    samples = coco.read(tmp_path)
    assert len(samples) == 3
    sample, xy = samples[2], PEOPLE[2].xy(COCO17.joints)
    close(sample.keypoints.xy_px[:16], xy[:16], 0.01)
    assert sample.keypoints.confidence.tolist() == [1] * 16 + [0]
    close(sample.crop.center_px, (xy.min(0) + xy.max(0)) / 2 - 0.5, 0.01)
    assert sample.crop.side_px == pytest.approx(1.2 * np.ptp(xy, axis=0).max(), abs=0.02)
    assert sample.joints is None and sample.parameters is None and sample.vertices_m is None


@pytest.mark.parametrize("name", coco.FITS)
def test_coco_fits_are_by_annotation_and_bring_their_camera(tmp_path, name):
    layouts.coco(tmp_path, PEOPLE)
    layouts._json(tmp_path / "annotations" / name, layouts.photo_fits(6, 2, 0, 77))
    samples, truth = coco.read(tmp_path), layouts.smpl_fields(3, 6)
    assert [sample.parameters is None for sample in samples] == [False, True, False]
    close(samples[0].parameters.pose.ravel(), truth["pose"][1])
    close(samples[2].parameters.pose.ravel(), truth["pose"][0])
    close(samples[2].parameters.betas, truth["shape"][0])
    close(samples[2].intrinsics, [[1500, 0, 160], [0, 1500, 100], [0, 0, 1]])
    assert samples[1].intrinsics is None
    layouts.coco(tmp_path, PEOPLE, "val2017")
    assert all(sample.parameters is None for sample in coco.read(tmp_path, "validation"))


def test_coco_fits_that_miss_the_labelled_joints_are_left_out(tmp_path):
    """Four people as their fits project; the second a sixth of the size off, the third's wrist astray."""
    own = with_h36m_joints(tmp_path)
    body = own.to(dtype=torch.float64)
    fits = layouts.photo_fits(6, 0, 1, 2, 3)
    xy = []
    for fit in fits.values():
        pose, betas = (np.array(fit["smpl_param"][key]) for key in ("pose", "shape"))
        turns = Rotation.from_rotvec(pose.reshape(24, 3)).as_matrix()
        posed = body.forward(torch.from_numpy(turns)[None], torch.from_numpy(betas)[None]).joints[0].numpy()
        focal, (x, y) = fit["cam_param"]["focal"][0], fit["cam_param"]["princpt"]
        placed = posed + np.array([0.1, 0.2, 9.0])
        xy.append(placed[:, :2] / placed[:, 2:] * focal + [x, y])
    size = [np.ptp(points, axis=0).max() for points in xy]
    rng = np.random.default_rng(0)
    xy[1] += size[1] / 6 * rng.normal(size=(17, 2))
    xy[2][9] += 0.2 * size[2]
    people = Keypoints(COCO17, np.array(xy), np.ones((4, 17)))
    arrays = fits_of_people.columns_of_photos(tmp_path, list(fits.values()))
    given = fits_of_people.of_columns(tmp_path, arrays, strict=True)
    with pytest.warns(UserWarning, match="1 of 4 fits are over 5.9% of the person's size from the labelled"):
        assert given.near_in_photos(people, own).known.tolist() == [True, False, True, True]
    assert given.near_in_photos(people, None).known.all()


def test_coco_fits_of_another_form_are_refused(tmp_path):
    layouts.coco(tmp_path, PEOPLE)
    fits = layouts.photo_fits(6, 0)
    fits["0"]["cam_param"] = {"s": 1.0, "t": [0, 0]}  # Pose2Mesh's
    layouts._json(tmp_path / "annotations" / coco.FITS[0], fits)
    with pytest.raises(InputError, match=r"coco_smplifyx_train\.json: its focal is not as expected"):
        coco.read(tmp_path)
    layouts._json(tmp_path / "annotations" / coco.FITS[0], [])
    with pytest.raises(InputError, match=r"coco_smplifyx_train\.json: its ids is not as expected"):
        coco.read(tmp_path)


def test_real_coco_photos_are_read(shared_data):
    folder = shared_data / "images" / "coco"
    samples = coco.read_file(folder / "test_coco.json", folder, "coco", COCO17)
    one = next(sample for sample in samples if sample.image.name == "000000000785.jpg")
    assert one.keypoints.xy_px[0].tolist() == [367, 81]
    assert read_crop(one.image, one.crop, 224).shape == (224, 224, 3)


def test_real_freihand_keypoints_lie_inside_their_photos(shared_data):
    folder = shared_data / "formats" / "freihand"
    samples = coco.read_file(folder / "test_freihand.json", folder, "freihand", HAND21)
    assert len(samples) == 4 and all(
        0 < s.keypoints.xy_px.min() < s.keypoints.xy_px.max() < 224 for s in samples
    )


def test_mpii_counts_pixels_from_one(tmp_path):
    layouts.mpii(tmp_path, PEOPLE)
    samples = mpii.read(tmp_path)
    keypoints = samples[1].keypoints
    close(keypoints.on(H36M17).xy_px[1], PEOPLE[1].xy(("right_hip",))[0], 1e-3)
    assert keypoints.confidence.tolist() == [0] + [1] * 15
    assert samples[1].crop.center_px == pytest.approx((160, 120 + 15 * 0.9))
    assert samples[1].crop.side_px == pytest.approx(0.9 * 200 * 1.25)


def test_mpii_fits_are_found_by_photo_and_joints(tmp_path):
    layouts.mpii(tmp_path, PEOPLE)
    layouts.neural_annot_mpii(tmp_path)
    samples, truth = mpii.read(tmp_path), layouts.smpl_fields(4, 6)
    assert [sample.parameters is None for sample in samples] == [False, False, True]
    close(samples[0].parameters.pose.ravel(), truth["pose"][1])
    close(samples[1].parameters.betas, truth["shape"][3])
    close(samples[1].intrinsics, [[1500, 0, 159], [0, 1500, 99], [0, 0, 1]])
    (tmp_path / "annotations" / "train.json").unlink()
    with pytest.raises(
        InputError, match=r"annotations/train\.json: is not there, whose people MPII_train_SMPL"
    ):
        mpii.read(tmp_path)


def test_mpii_in_cocos_form_is_not_taken_for_hrnets(tmp_path):
    layouts.mpii(tmp_path, PEOPLE)
    layouts.neural_annot_mpii(tmp_path)
    (tmp_path / "annot" / "train.json").unlink()
    with pytest.raises(InputError, match=r"is in COCO's form, .* put HRNet's file into annot"):
        mpii.read(tmp_path)


def test_real_mpii_people_are_in_their_crops(shared_data):
    folder = shared_data / "images" / "mpii"
    samples = mpii.read_file(folder / "test_mpii.json", folder)
    assert len(samples) == 5
    for sample in samples:
        known = sample.keypoints.xy_px[sample.keypoints.confidence > 0]
        assert np.abs(known - sample.crop.center_px).max() < sample.crop.side_px * 0.75


def test_muco_is_in_millimetres_and_its_nearest_person_is_taken(tmp_path):
    layouts.muco(tmp_path, PEOPLE)
    samples = muco3dhp.read(tmp_path)
    assert len(samples) == 3
    sample = samples[0]
    close(sample.joints.on(H36M17).xyz_m, PEOPLE[0].xyz(layouts.H36M))
    close(sample.keypoints.on(H36M17).xy_px, PEOPLE[0].xy(layouts.H36M), 1e-2)
    close(sample.intrinsics, layouts.CAMERA)
    assert sample.parameters.betas.tolist() == [0.5] * 10
    assert samples[1].parameters.betas.tolist() == [4] * 10  # with others it would be another mesh
    assert samples[2].parameters is None


def test_muco_without_fits_knows_no_smpl(tmp_path):
    layouts.muco(tmp_path, PEOPLE)
    (tmp_path / "smpl_param.json").unlink()
    assert muco3dhp.read(tmp_path)[0].parameters is None


def test_muco_fits_far_from_the_joints_are_left_out(tmp_path):
    """A fit's error is what one finds on the whole mesh; the joints stay, and their place does not matter."""
    body = with_h36m_joints(tmp_path)
    pose, betas = np.random.default_rng(0).normal(0, 0.2, (3, 72)), np.full((3, 10), 0.5)
    betas[0] = 4  # the mesh is the one of the fit's own betas, far from the mean as they are
    joints = joints_of(body, pose, betas)
    joints[1, H36M17.index("left_wrist"), 0] += 0.2  # centred: 13/14 of it there, 1/14 at each other joint
    joints[2, H36M17.index("spine")] += 9  # which is another joint in MuCo
    layouts.muco(tmp_path, people_at(joints))
    fits = {str(10 * n): {"pose": pose[n].tolist(), "shape": betas[n].tolist()} for n in range(3)}
    layouts._json(tmp_path / "smpl_param.json", fits)

    with pytest.warns(UserWarning, match=r"smpl_param\.json: 1 of 3 fits are over 25 mm from the 3D joints"):
        samples = muco3dhp.read(tmp_path, body=body)
    assert [sample.parameters is None for sample in samples] == [False, True, False]
    assert samples[1].joints.known.all()
    stacked = (np.stack([getattr(sample.joints, name) for sample in samples]) for name in ("xyz_m", "known"))
    of_muco = Joints3D(muco3dhp.MUCO21, *stacked)
    errors = fit_errors_mm(body, pose.reshape(3, 24, 3), betas, of_muco, muco3dhp.COMPARED)
    np.testing.assert_allclose(errors, [0, 200 * 2 * 13 / 14**2, 0], atol=0.01)
    assert all(sample.parameters for sample in muco3dhp.read(tmp_path, body=body, max_fit_mm=30))
    assert all(sample.parameters for sample in muco3dhp.read(tmp_path, body=bodies.load()))
    bare = smpl.read(tmp_path / "SMPL_NEUTRAL.npz")
    with pytest.warns(UserWarning, match="fits are taken as they are, bad ones too"):
        assert all(sample.parameters for sample in muco3dhp.read(tmp_path, body=bare))


def test_up3d_joints_are_lsps_and_its_body_is_neutral(tmp_path):
    layouts.up3d(tmp_path, PEOPLE)
    samples = up3d.read(tmp_path)
    assert len(samples) == 3
    close(samples[1].keypoints.xy_px[:13], PEOPLE[1].xy(LSP14.joints)[:13])
    assert samples[1].keypoints.confidence.tolist() == [1] * 13 + [0]
    close(samples[1].parameters.pose.ravel(), np.arange(72) / 100)
    assert samples[1].parameters.gender == "neutral"


def test_3dpw_people_stand_in_camera_axes(tmp_path):
    truth = layouts.tdpw(tmp_path)
    samples = tdpw.read(tmp_path, "test")
    assert len(samples) == 6  # two people, three frames with a camera
    sample = samples[4]
    assert (sample.subject, sample.frame, sample.image.name) == ("1", 2, "image_00002.jpg")
    close(sample.joints.xyz_m, truth["camera_axes"][1, 2])
    assert sample.joints.skeleton is SMPL24 and not sample.joints.on(COCO17).known.any()
    rotation = truth["cam_poses"][2, :3, :3]
    root = Rotation.from_rotvec(truth["poses"][1][2, :3]).as_matrix()
    close(Rotation.from_rotvec(sample.parameters.pose[0]).as_matrix(), rotation @ root)
    close(sample.parameters.pose[1:].ravel(), truth["poses"][1][2, 3:])
    close(sample.parameters.betas, truth["betas"][1][:10])
    assert sample.parameters.gender == "female" and samples[0].parameters.gender == "male"
    nose = truth["poses2d"][1][2][:2, 0]
    close(sample.keypoints.on(COCO17).xy_px[0], nose, 1e-3)
    assert sample.keypoints.on(COCO17).confidence[COCO17.index("left_ear")] == 0


def test_3dpw_frames_without_detections_are_cropped_by_projected_joints(tmp_path):
    truth = layouts.tdpw(tmp_path)
    sample = tdpw.read(tmp_path, "test")[2]
    xy = layouts.pixels(truth["camera_axes"][0, 3])
    close(sample.crop.center_px, (xy.min(0) + xy.max(0)) / 2, 1e-2)
    assert sample.crop.side_px == pytest.approx(1.2 * np.ptp(xy, axis=0).max(), abs=1e-2)


def test_freihand_shows_every_hand_in_four_versions(tmp_path):
    truth = layouts.freihand(tmp_path)
    samples = freihand.read(tmp_path)
    assert len(samples) == 8
    for index in (1, 3, 7):
        sample = samples[index]
        assert sample.image.name == f"{index:08d}.jpg"
        close(sample.joints.xyz_m, truth["xyz"][1])
        close(sample.vertices_m, truth["verts"][1])
        close(sample.keypoints.xy_px, layouts.pixels(truth["xyz"][1], truth["K"][1]), 1e-2)
        close(sample.parameters.pose.ravel(), truth["mano"][1, 0, :48])
        close(sample.parameters.betas, truth["mano"][1, 0, 48:58])
        assert sample.parameters.about_mean


def test_freihand_evaluation_without_labels_knows_the_camera_alone(tmp_path):
    layouts.freihand(tmp_path)
    sample = freihand.read(tmp_path, "test")[0]
    assert sample.joints is None and sample.keypoints is None and sample.parameters is None
    assert sample.intrinsics.shape == (3, 3)


def test_freihands_labels_are_told_by_name_where_they_are_not_there(tmp_path):
    truth = layouts.freihand(tmp_path)
    said = str(freihand.labels_missing(tmp_path))
    assert said.startswith(f"{tmp_path}: has no evaluation_xyz.json and no evaluation_verts.json, the truth")
    assert "unzip FreiHAND_pub_v2_eval.zip" in said and "\n" not in said
    layouts._json(tmp_path / "evaluation_xyz.json", truth["xyz"][:1].tolist())
    assert "has no evaluation_verts.json, the" in str(freihand.labels_missing(tmp_path))
    layouts._json(tmp_path / "evaluation_verts.json", truth["verts"][:1].tolist())
    assert freihand.labels_missing(tmp_path) is None
    close(freihand.read(tmp_path, "test")[0].vertices_m, truth["verts"][0])


def test_complement_is_a_right_hand_in_the_mirror(tmp_path):
    vertices, _ = layouts.complement(tmp_path)
    samples = complement.read(tmp_path)
    assert len(samples) == 2
    sample = samples[0]
    close(sample.vertices_m, vertices * [-1, 1, 1])
    close(sample.joints.xyz_m[HAND21.index("index1")], sample.vertices_m[1])
    close(sample.joints.xyz_m[HAND21.index("thumb4")], sample.vertices_m[20])
    assert sample.mirrored
    as_stored = read_crop(sample.image, sample.crop, 64)
    assert (read_crop(sample.image, sample.crop, 64, mirrored=True) != as_stored).any()


WRITERS = {
    "coco": lambda folder: layouts.coco(folder, PEOPLE),
    "mpii": lambda folder: layouts.mpii(folder, PEOPLE),
    "muco3dhp": lambda folder: layouts.muco(folder, PEOPLE),
    "up3d": lambda folder: layouts.up3d(folder, PEOPLE),
    "3dpw": lambda folder: layouts.tdpw(folder, split="train"),
    "freihand": layouts.freihand,
}


@pytest.mark.parametrize("name", WRITERS)
def test_missing_photos_are_named_counted_and_refused_when_strict(tmp_path, name):
    WRITERS[name](tmp_path)
    whole = check.read(name, tmp_path)
    gone = whole[len(whole) - 1].image
    gone.unlink()
    with pytest.warns(
        UserWarning, match=rf"photos missing: 1 \(.*{gone.name}\).* of {len(whole)} samples left out"
    ):
        rest = check.read(name, tmp_path)
    assert len(rest) < len(whole) and all(sample.image != gone for sample in rest)
    with pytest.raises(InputError, match=gone.name):
        check.read(name, tmp_path, strict=True)
    for photo in {sample.image for sample in rest}:
        photo.unlink()
    with pytest.raises(InputError, match="photos missing"):
        check.read(name, tmp_path)


@pytest.mark.parametrize("name", check.DATASETS)
def test_a_folder_without_annotations_is_refused_with_where_to_get_them(tmp_path, name):
    with pytest.raises(InputError, match=str(tmp_path)):
        check.read(name, tmp_path)
    with pytest.raises(InputError, match="get it from"):
        check.check(name, tmp_path)
    with pytest.raises(InputError, match=r"no such folder|pic256"):
        check.read(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", WRITERS)
def test_samples_are_the_same_however_they_are_counted(tmp_path, name):
    WRITERS[name](tmp_path)
    samples = check.read(name, tmp_path)
    assert samples[-1].image == samples[len(samples) - 1].image == samples.image(len(samples) - 1)
    with pytest.raises(IndexError):
        samples[len(samples)]
    assert len(list(samples)) == len(samples)
    again = pickle.loads(pickle.dumps(samples))  # as a DataLoader hands it to its workers
    assert again[0].image == samples[0].image


def test_check_says_what_is_there_and_what_is_missing(tmp_path):
    layouts.coco(tmp_path, PEOPLE)
    os.unlink(tmp_path / "train2017" / "000000000009.jpg")
    report = check.check("coco", tmp_path)
    train, validation = report.splits
    assert (train.split, train.samples, train.knows) == ("train", 2, ("2D joints",))
    assert "000000000009.jpg" in train.problems[0]
    assert validation.absent and not report.whole
    assert report.table().row_count == 3
    with pytest.raises(InputError, match=r"000000000009\.jpg"):
        check.check("coco", tmp_path, strict=True)


@pytest.mark.parametrize(
    "name, file, use, source",
    [
        ("coco", "annotations/coco_smplifyx_train.json", "SMPL parameters, for the loss of", "I2L-MeshNet"),
        ("mpii", "annotations/MPII_train_SMPL_NeuralAnnot.json", "loss of vertices", "NeuralAnnot"),
        ("freihand", "evaluation_xyz.json", "joints of the split test", "FreiHAND_pub_v2_eval.zip"),
        ("freihand", "evaluation_verts.json", "vertices of the split test", "FreiHAND_pub_v2_eval.zip"),
        ("muco3dhp", "smpl_param.json", "loss of vertices", "I2L-MeshNet"),
        ("human36m", "annotations/Human36M_subject*_smpl_param.json", "loss of", "_{data,camera,joint_3d}"),
        ("complement", "j_reg.npy", "losses of joints", "template of MobRecon"),
    ],
)
def test_check_names_optional_files_what_for_and_from_where(tmp_path, name, file, use, source):
    write = {"human36m": lambda folder: layouts.human36m(folder, TRAINED), "complement": layouts.complement}
    (WRITERS | write)[name](tmp_path)
    for path in tmp_path.glob(file):
        path.unlink()
    report = check.check(name, tmp_path)
    extra = next(extra for extra in report.missing if file in extra.files)
    console = Console(width=400, file=io.StringIO())
    console.print(report.table())
    line = next(line for line in console.file.getvalue().splitlines() if f"no {file}" in line)
    assert "optional" in line and use in extra.use and extra.use in line and source in line
    there = tmp_path / file.replace("*", "1")
    there.parent.mkdir(exist_ok=True)
    there.touch()
    assert extra.lies_in(tmp_path)


def test_check_of_a_whole_split_is_content(tmp_path):
    layouts.tdpw(tmp_path)
    report = check.check("3dpw", tmp_path, strict=True)
    assert [split.samples for split in report.splits] == [0, 0, 6]
    assert report.splits[2].knows == ("2D joints", "3D joints", "SMPL parameters", "camera")


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="no data set 'h36m'; choose one of human36m"):
        check.read("h36m", tmp_path)
    with pytest.raises(InputError, match="no split 'val'; choose one of train, validation"):
        coco.read(tmp_path, "val")


def test_joints_that_are_no_numbers_are_unknown_with_a_warning(h36m):
    with np.load(h36m / "h36m_train.npz") as file:
        arrays = dict(file)
    arrays["S"][1, 2, 0] = np.nan
    np.savez(h36m / "h36m_train.npz", **arrays)
    with pytest.warns(UserWarning, match="1 of 51 3D joints are not finite numbers"):
        samples = human36m.read(h36m)
    joints = samples[1].joints
    assert joints.known.sum() == 16 and np.isfinite(joints.xyz_m).all()
    with pytest.raises(InputError, match="not finite numbers"):
        human36m.read(h36m, strict=True)
    arrays["S"][..., 0] = np.nan
    np.savez(h36m / "h36m_train.npz", **arrays)
    with pytest.raises(InputError, match="51 of 51 3D joints are not finite"):
        human36m.read(h36m)


def test_broken_npz_files_are_refused(h36m):
    path = h36m / "h36m_train.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{key: value for key, value in arrays.items() if key != "scale"})
    with pytest.raises(InputError, match="lacks scale"):
        human36m.read(h36m)
    np.savez(path, **arrays | {"part": arrays["part"][:, :19]})
    with pytest.raises(InputError, match="its part has 19 joints, 24"):
        human36m.read(h36m)
    np.savez(path, **arrays | {"imgname": np.array(["a", None, 3], dtype=object)})
    with pytest.raises(InputError, match="plain arrays"):
        human36m.read(h36m)
    np.savez(path, **{key: value[:0] for key, value in arrays.items()})
    with pytest.raises(InputError, match="holds no samples"):
        human36m.read(h36m)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"whole \.npz"):
        human36m.read(h36m)


def sequence_file(folder):
    return folder / "sequenceFiles" / "test" / "courtyard_arguing_00.pkl"


def test_a_corrupted_3dpw_pickle_is_refused(tmp_path):
    layouts.tdpw(tmp_path)
    content = sequence_file(tmp_path).read_bytes()
    sequence_file(tmp_path).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="no whole pickle"):
        tdpw.read(tmp_path, "test")
    sequence_file(tmp_path).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match=r"os\.system"):
        tdpw.read(tmp_path, "test")


def test_an_empty_3dpw_sequence_is_refused(tmp_path):
    layouts.tdpw(tmp_path, frames=1)
    layouts.python2_pickle(
        sequence_file(tmp_path), {"poses": [], "cam_poses": np.zeros((0, 4, 4)), "cam_intrinsics": np.eye(3)}
    )
    with pytest.raises(InputError, match=r"the sequence is empty \(0 people, 0 frames\)"):
        tdpw.read(tmp_path, "test")


def test_a_3dpw_sequence_without_a_field_is_refused_by_its_name(tmp_path):
    truth = layouts.tdpw(tmp_path)
    del truth["jointPositions"]
    layouts.python2_pickle(sequence_file(tmp_path), truth)
    with pytest.raises(InputError, match="its jointPositions is not as expected"):
        tdpw.read(tmp_path, "test")


def test_3dpw_frames_with_poses_that_are_no_numbers_are_left_out(tmp_path):
    truth = layouts.tdpw(tmp_path)
    truth["poses"][0][1, 5] = np.nan
    layouts.python2_pickle(sequence_file(tmp_path), truth)
    with pytest.warns(UserWarning, match="1 of 3 poses of person 0"):
        assert len(tdpw.read(tmp_path, "test")) == 5
    with pytest.raises(InputError, match="not finite"):
        tdpw.read(tmp_path, "test", strict=True)


def test_freihand_files_must_fit_each_other(tmp_path):
    layouts.freihand(tmp_path)
    (tmp_path / "training_xyz.json").write_text(json.dumps([[[0, 0, 1]] * 21]))
    with pytest.raises(InputError, match=r"has 1 entries where training_K\.json has 2"):
        freihand.read(tmp_path)
    (tmp_path / "training_xyz.json").unlink()
    with pytest.raises(InputError, match=r"has no training_xyz\.json"):
        freihand.read(tmp_path)
    (tmp_path / "training_K.json").write_text("[[[1, 2")
    with pytest.raises(InputError, match="no whole JSON"):
        freihand.read(tmp_path)


def test_a_complement_mesh_in_other_units_is_refused(tmp_path):
    layouts.complement(tmp_path)
    for mesh in tmp_path.glob("**/*.obj"):
        lines = [
            f"v {' '.join(str(100 * float(x)) for x in line.split()[1:])}"
            for line in mesh.read_text().splitlines()
            if line.startswith("v")
        ]
        mesh.write_text("\n".join(lines))
    with pytest.raises(InputError, match="metres were expected"):
        complement.read(tmp_path)[0]
    next(tmp_path.glob("**/*.obj")).unlink()
    with pytest.raises(InputError, match="1 pictures have no mesh"):
        complement.read(tmp_path)


def test_large_json_is_parsed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "SLOW_BYTES", 0)
    layouts.muco(tmp_path, PEOPLE)
    first = muco3dhp.read(tmp_path)
    with monkeypatch.context() as without_parsing:
        without_parsing.setattr(json, "load", None)
        again = muco3dhp.read(tmp_path)
    for one, other in zip(first, again):
        assert (one.joints.xyz_m == other.joints.xyz_m).all() and one.image == other.image
        assert (one.parameters is None) == (other.parameters is None)
    layouts.muco(tmp_path, PEOPLE[:1])  # another file of the same name is parsed anew
    assert len(muco3dhp.read(tmp_path)) == 1
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    (tmp_path / "cache").write_text("no folder")
    assert len(muco3dhp.read(tmp_path)) == 1


def test_a_whole_set_is_read_without_a_warning(h36m):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(human36m.read(h36m, strict=True)) == 3
