"""EMDB as its official files have it: what is read of a person projects to where the set saw them."""

import pickle
import re

import layouts
import numpy as np
import official
import pytest
import roma
import torch

from mpt.bodies import smpl
from mpt.datasets import check, emdb
from mpt.datasets.sample import project
from mpt.errors import InputError
from mpt.skeletons import COCO17, SMPL24

CLIMB = "P1/14_outdoor_climb/P1_14_outdoor_climb_data.pkl"
pytestmark = pytest.mark.filterwarnings("ignore:.* sequences of ")


@pytest.fixture(scope="module")
def models():
    model = official.smpl(0)
    return {
        gender: model | {"shapedirs": scale * model["shapedirs"]}
        for gender, scale in (("female", 0.9), ("male", 1.1))
    }


@pytest.fixture(scope="module")
def people(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("smpl")
    for gender, model in models.items():
        np.savez(folder / f"{gender}.npz", **model)
    return {gender: smpl.read(folder / f"{gender}.npz", gender=gender) for gender in models}


@pytest.fixture
def written(models, tmp_path):
    return layouts.emdb(tmp_path, models)


def rewrite(folder, data, **changes):
    """The climb's file with other content; a change to None leaves a key out."""
    content = {key: value for key, value in (data | changes).items() if value is not None}
    (folder / CLIMB).write_bytes(pickle.dumps(content))


def posed(people, sample):
    """The person of a sample by its parameters, about some origin: vertices (V, 3), joints (24, 3)."""
    parameters = sample.parameters
    body = people[parameters.gender].to(dtype=torch.float64)
    turns = roma.rotvec_to_rotmat(torch.from_numpy(parameters.pose).double())
    out = body.forward(turns[None], torch.from_numpy(parameters.betas).double()[None])
    return out.vertices[0].numpy(), out.heads[0].numpy()


def test_the_posed_body_projects_to_the_sets_joints(written, people, tmp_path):
    for sample in emdb.read(tmp_path, "all"):
        truth = written[sample.sequence]
        vertices, joints = posed(people, sample)
        place = truth["camera_joints"][sample.frame, 0] - joints[0]
        xy = project(joints + place, sample.intrinsics)
        np.testing.assert_allclose(xy, sample.keypoints.xy_px, atol=1e-2)
        np.testing.assert_allclose(vertices + place, truth["camera_vertices"][sample.frame], atol=1e-5)


def test_frames_and_sequences_are_those_that_count(written, tmp_path):
    samples = emdb.read(tmp_path)
    assert [(s.subject, s.sequence, s.frame) for s in samples] == [
        (*name, frame)
        for name in (("P1", "14_outdoor_climb"), ("P7", "57_outdoor_rock_chair"))
        for frame in (0, 2, 3)
    ]
    assert samples[1].image == tmp_path / "P1/14_outdoor_climb/images/00002.jpg"
    assert [s.parameters.gender for s in samples] == ["female"] * 3 + ["male"] * 3
    assert {s.sequence for s in emdb.read(tmp_path, "emdb2")} == {"09_outdoor_walk", "57_outdoor_rock_chair"}
    assert len(emdb.read(tmp_path, "all")) == 9
    with pytest.raises(InputError, match="no split 'train'; choose one of emdb1, emdb2, all"):
        emdb.read(tmp_path, "train")


def test_the_crop_is_the_sets_box_or_that_of_the_joints(written, tmp_path):
    first, _, last = list(emdb.read(tmp_path))[:3]
    for sample, margin in ((first, 3), (last, 0)):
        xy = sample.keypoints.xy_px
        np.testing.assert_allclose(sample.crop.center_px, (xy.min(0) + xy.max(0)) / 2, atol=1e-3)
        assert sample.crop.side_px == pytest.approx(1.2 * (np.ptp(xy, axis=0).max() + 2 * margin), abs=1e-2)


def test_joints_stand_in_camera_axes_where_smpl_is_given(written, people, tmp_path):
    assert all(sample.joints is None for sample in emdb.read(tmp_path))
    for sample in emdb.read(tmp_path, people=people):
        assert sample.joints.skeleton is SMPL24 and sample.joints.known.all()
        assert not sample.joints.on(COCO17).known.any()
        truth = written[sample.sequence]["camera_joints"][sample.frame]
        np.testing.assert_allclose(sample.joints.xyz_m, truth, atol=1e-5)
    women = emdb.read(tmp_path, people={"female": people["female"]})
    assert [sample.joints is not None for sample in women] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("protocol, numpy", [(2, "numpy.core."), (2, "numpy._core."), (4, ""), (5, "")])
def test_files_of_old_and_new_numpy_say_the_same(models, written, tmp_path, protocol, numpy):
    expected = emdb.read(tmp_path)[0].parameters.pose
    layouts.emdb(tmp_path, models, protocol=protocol)
    if numpy:  # later protocols write how long a name is
        content = (tmp_path / CLIMB).read_bytes()
        (tmp_path / CLIMB).write_bytes(re.sub(rb"numpy\._?core\.", numpy.encode(), content))
    np.testing.assert_array_equal(emdb.read(tmp_path)[0].parameters.pose, expected)


def test_check_knows_emdb(written, tmp_path):
    report = check.check("emdb", tmp_path)
    assert [(split.split, split.samples) for split in report.splits] == [
        ("emdb1", 6),
        ("emdb2", 6),
        ("all", 9),
    ]
    assert report.splits[0].knows == ("2D joints", "SMPL parameters", "camera")
    assert "holds 2 of the 17 sequences of emdb1" in report.splits[0].problems[0]


def test_a_part_of_a_benchmark_is_named_and_refused_when_strict(written, tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match="holds 2 of the 17 sequences of emdb1; figures on a part"):
        emdb.read(tmp_path)
    with pytest.raises(InputError, match="holds 2 of the 25 sequences of emdb2; unzip the others"):
        emdb.read(tmp_path, "emdb2", strict=True)
    monkeypatch.setitem(emdb.SPLITS, "emdb1", 2)
    samples = emdb.read(tmp_path, strict=True)
    samples[4].image.unlink()
    with pytest.warns(UserWarning, match=r"photos missing: 1 \(.*00002.jpg\); 1 of 6 samples left out"):
        assert len(emdb.read(tmp_path)) == 5
    with pytest.raises(InputError, match="photos missing"):
        emdb.read(tmp_path, strict=True)
    again = pickle.loads(pickle.dumps(samples))  # as a DataLoader hands it to its workers
    assert again[-1].image == samples[5].image


def test_no_sequence_of_a_benchmark_is_said(written, tmp_path):
    for name in (
        "P1/14_outdoor_climb/P1_14_outdoor_climb",
        "P7/57_outdoor_rock_chair/P7_57_outdoor_rock_chair",
    ):
        (tmp_path / f"{name}_data.pkl").unlink()
    with pytest.raises(InputError, match="none of its 1 sequences is of emdb1"):
        emdb.read(tmp_path)
    with pytest.raises(InputError, match=r"P0_09_outdoor_walk_data\.pkl or the like; give the folder"):
        emdb.read(tmp_path / "P0")


def test_broken_files_are_refused(written, tmp_path):
    file = tmp_path / CLIMB
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="no whole pickle"):
        emdb.read(tmp_path)
    file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match=r"os\.system"):
        emdb.read(tmp_path)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"emdb1": None}, r"its emdb1 is not as expected \(KeyError"),
        ({"n_frames": 5}, "its camera extrinsics is not as expected"),
        ({"kp2d": None}, "its kp2d is not as expected"),
        ({"smpl": {"poses_root": np.zeros((4, 3))}}, "its smpl poses_body is not as expected"),
        ({"bboxes": np.zeros((4, 4))}, "its bboxes bboxes is not as expected"),
        ({"gender": "unknown"}, "its gender is not as expected"),
        ({"good_frames_mask": np.ones(3, bool)}, "its good_frames_mask is not as expected"),
    ],
)
def test_a_field_that_is_missing_or_of_another_shape_is_named(written, tmp_path, changes, said):
    rewrite(tmp_path, written["14_outdoor_climb"], **changes)
    with pytest.raises(InputError, match=f"14_outdoor_climb_data.pkl: {said}"):
        emdb.read(tmp_path)


def test_frames_with_numbers_that_are_none_are_left_out(written, people, tmp_path):
    truth = written["14_outdoor_climb"]
    truth["smpl"]["trans"][2, 1] = np.nan
    truth["kp2d"][0, 3] = np.inf
    truth["kp2d"][3] = np.nan  # where the box is empty, too
    rewrite(tmp_path, truth)
    with (
        pytest.warns(UserWarning, match="1 of 3 poses are not finite"),
        pytest.warns(UserWarning, match="25 of 48 2D joints are not finite"),
    ):
        samples = emdb.read(tmp_path, people=people)
    assert [sample.frame for sample in samples if sample.sequence == "14_outdoor_climb"] == [0]
    assert samples[0].keypoints.confidence.tolist() == [1] * 3 + [0] + [1] * 20
    rewrite(tmp_path, truth, good_frames_mask=np.zeros(4, bool))
    assert len(emdb.read(tmp_path, people=people)) == 3
