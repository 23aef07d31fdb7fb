"""Every reader finds in a small set of the official layout what was written there: pixels, metres, names."""

import json

import layouts
import numpy as np
import pytest
import torch
from fitted import joints_of, people_at, with_h36m_joints
from scipy.spatial.transform import Rotation

from mpt import bodies
from mpt.bodies import smpl
from mpt.datasets import (
    coco,
    complement,
    freihand,
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
from mpt.skeletons import COCO17, H36M17, HAND21, LSP14, SMPL24

PEOPLE = [layouts.People(seed) for seed in range(3)]


def close(actual, expected, tolerance=1e-4):
    np.testing.assert_allclose(actual, expected, atol=tolerance)


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
