"""Human3.6M in its two forms: SPIN's npz and the JSON of every camera."""

import json
import warnings

import layouts
import numpy as np
import pytest
from fitted import about_their_mean, joints_of, people_at, with_h36m_joints

from mpt import cameras
from mpt.datasets import (
    human36m,
    mpi_inf_3dhp,
    muco3dhp,
)
from mpt.errors import InputError
from mpt.recipes.photos import read_set
from mpt.skeletons import COCO17, H36M17, LSP14

PEOPLE = [layouts.People(seed) for seed in range(3)]
TRAINED = layouts.train_subjects(PEOPLE)


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


def test_a_whole_set_is_read_without_a_warning(h36m):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(human36m.read(h36m, strict=True)) == 3
