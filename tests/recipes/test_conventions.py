"""Benchmarks say 0 of the truth and exactly so many millimetres of a known error, under each convention."""

from dataclasses import replace

import layouts
import numpy as np
import pytest
import torch
from oracles import kept, oracle, predicted, smpl_truth

from mpt import bodies
from mpt.bodies import smpl
from mpt.errors import InputError
from mpt.recipes.benchmark import measure, read_samples
from mpt.recipes.conventions import conventions
from mpt.skeletons import COCO17, H36M17, SMPL24

pytest_plugins = ["benchmark_sets"]


def test_the_truth_is_without_error_under_its_own_convention_alone(tdpw_folder, people, tmp_path):
    samples = read_samples("3dpw", tdpw_folder)
    assert len(samples) == 6
    neutral, gendered = conventions("3dpw", people["neutral"], people)[0]
    assert (neutral.name, gendered.name) == ("metro-neutral", "spin-gendered")
    as_neutral = kept(tmp_path / "a", samples, oracle(people, "neutral", shift=(0.4, -1, 2)))
    as_gendered = kept(tmp_path / "b", samples, oracle(people))
    for predictions, own, other in ((as_neutral, neutral, gendered), (as_gendered, gendered, neutral)):
        right, wrong = measure(predictions, own)[0].means, measure(predictions, other)[0].means
        assert all(mm < 1e-3 for mm in right.values()), right
        assert all(mm > 0.1 for mm in wrong.values()), wrong


def test_known_errors_are_so_many_millimetres(tdpw_folder, people, tmp_path):
    samples = read_samples("3dpw", tdpw_folder)
    rule = conventions("3dpw", people["neutral"], people)[0][0]
    # A mesh twice as large is off by each vertex's distance from the pelvis, and right after alignment.
    means = measure(kept(tmp_path, samples, oracle(people, "neutral", scale=2.0)), rule)[0].means
    regress = people["neutral"].to(dtype=torch.float64).regress
    joint_mm, vertex_mm = [], []
    for sample in samples:
        mesh = smpl_truth(people, sample, "neutral")
        joints = regress(mesh[None], "h36m17")[0]
        fourteen = joints[H36M17.indices(*(j for j in H36M17.joints if j not in ("pelvis", "spine", "nose")))]
        joint_mm.append(1000 * (fourteen - joints[0]).norm(dim=1).mean())
        vertex_mm.append(1000 * (mesh - joints[0]).norm(dim=1).mean())
    assert means["mpjpe_mm"] == pytest.approx(np.mean(joint_mm), rel=1e-5)
    assert means["mpve_mm"] == pytest.approx(np.mean(vertex_mm), rel=1e-5)
    assert means["pa_mpjpe_mm"] < 1e-3


def test_conventions_whose_bodies_are_missing_are_named(people):
    rules, notes = conventions("3dpw", people["neutral"])
    assert [rule.name for rule in rules] == ["metro-neutral"]
    assert notes == ["spin-gendered is left out: it needs --female FILE and --male FILE."]
    rules, notes = conventions("3dpw", people["male"], {"female": people["female"]})
    assert [rule.name for rule in rules] == ["spin-gendered"] and "--neutral" in notes[0]
    with pytest.raises(InputError, match="3DPW's truth is a mesh of SMPL"):
        conventions("3dpw", people["male"])
    with pytest.raises(InputError, match="--male names the body smpl-female"):
        conventions("3dpw", people["neutral"], {"male": people["female"]})


def test_human36m_is_measured_on_its_own_joints(h36m, people, tmp_path):
    folder, meshes = h36m
    samples = read_samples("h36m", folder)
    [rule], notes = conventions("h36m", people["neutral"])
    assert rule.name == "h36m-p2" and not notes

    def shown(mirror):
        return lambda group: [predicted(meshes[(s.frame - 1) // 5] * torch.tensor(mirror)) for s in group]

    right = measure(kept(tmp_path / "a", samples, shown([1, 1, 1])), rule)[0].means
    assert right["mpjpe_mm"] < 1e-2 and right["pa_mpjpe_mm"] < 1e-2
    mirrored = measure(kept(tmp_path / "b", samples, shown([-1, 1, 1])), rule)[0].means
    assert mirrored["pa_mpjpe_mm"] > 10  # no reflection


def test_an_smpl_body_without_the_regressor_is_refused(smpl_files):
    with pytest.raises(InputError, match=r"smpl-male: has no regressor of Human3\.6M's joints; make"):
        conventions("h36m", smpl.read(smpl_files / "SMPL_MALE.npz"))


def test_other_bodies_are_measured_on_the_limbs_and_say_so(h36m, tdpw_folder, tmp_path):
    body = bodies.load()
    [rule], [note] = conventions("h36m", body)
    assert rule.name == "coco-limbs" and "not comparable" in rule.says
    assert note == f"{body.name} has no regressor of Human3.6M's joints."
    rest = body.rest(torch.zeros(1, body.shape_count))
    limbs = body.regress(rest.vertices)[0, 5:].numpy()
    person = layouts.People()
    person.places = dict(zip(COCO17.joints[5:], limbs)) | {
        j: np.ones(3) for j in ("pelvis", "spine", "thorax", "nose", "head_top")
    }
    folder = h36m[0]
    names = ["S9_Directions_1.60457274_000001.jpg"]
    layouts.spin_npz(folder / "h36m_valid_protocol2.npz", names, layouts.H36M, [person])
    sight = kept(tmp_path / "a", read_samples("h36m", folder), lambda s: [predicted(rest.vertices[0])])
    assert measure(sight, rule)[0].means["mpjpe_mm"] < 1e-2
    assert rule.knows(read_samples("3dpw", tdpw_folder)[0])  # SMPL's 24 have these joints, too


def test_freihand_aligns_with_reflections(freihand_folder, hand, tmp_path):
    folder, meshes = freihand_folder
    samples = read_samples("freihand", folder)
    [rule], _ = conventions("freihand", hand)
    mirror = torch.tensor([-1.0, 1, 1])
    mirrored = kept(tmp_path, samples, lambda group: [predicted(meshes[s.frame] * mirror) for s in group])
    means = measure(mirrored, rule)[0].means
    assert list(means) == ["pa_mpvpe_mm", "pa_mpjpe_mm", "auc_joints", "f_5", "f_15", "auc_vertices"]
    assert means["pa_mpvpe_mm"] < 1e-2 and means["pa_mpjpe_mm"] < 1e-2
    assert means["f_5"] == 1 and means["auc_vertices"] > 0.99


def test_reprojection_is_what_the_points_are_off(photos, tmp_path):
    samples = read_samples("folder", photos[0])

    def off(pixels):
        return lambda group: [
            replace(predicted(np.zeros((1, 3))), points_px=s.keypoints.xy_px + np.array([pixels, 0]))
            for s in group
        ]

    [rule], _ = conventions("folder", bodies.load())
    means = measure(kept(tmp_path / "a", samples, off(3)), rule)[0].means
    boxes = [sample.crop.side_px / 1.2 for sample in samples]
    assert means["error_px"] == pytest.approx(3)
    assert means["error_percent"] == pytest.approx(np.mean([300 / box for box in boxes]))
    half = measure(kept(tmp_path / "b", samples, off(0.07 * boxes[0])), rule)[0].means
    assert (half["pck_5"], half["pck_10"]) == (
        pytest.approx(np.mean([0.07 * boxes[0] <= 0.05 * box for box in boxes])),
        pytest.approx(np.mean([0.07 * boxes[0] <= 0.10 * box for box in boxes])),
    )


@pytest.mark.filterwarnings("ignore:.* sequences of ")
@pytest.mark.parametrize("place", [0, 1], ids=["wham-own-joints", "gvhmr-neutral-joints"])
def test_emdb_is_measured_on_smpl_s_24_joints_of_the_gendered_body(
    emdb_folder, smpl_files, people, tmp_path, place, request
):
    folder, written = emdb_folder
    samples = read_samples("emdb", folder)
    assert {sample.sequence for sample in samples} == {"14_outdoor_climb", "57_outdoor_rock_chair"}
    rules, notes = conventions("emdb", people["neutral"], people)
    rule = rules[place]
    assert rule.name == request.node.callspec.id and not notes
    moved = measure(kept(tmp_path / "moved", samples, oracle(people, shift=(0.4, -1, 2))), rule)[0].means
    assert list(moved) == ["mpjpe_mm", "pa_mpjpe_mm", "mpve_mm"]
    assert all(mm < 1e-3 for mm in moved.values()), moved
    neutral = measure(kept(tmp_path / "neutral", samples, oracle(people, "neutral")), rule)[0].means
    assert all(mm > 0.1 for mm in neutral.values()), neutral

    means = measure(kept(tmp_path / "large", samples, oracle(people, scale=2.0)), rule)[0].means
    joint_mm, vertex_mm = [], []
    regressor = np.load(smpl_files / "SMPL_MALE.npz")["J_regressor"]
    for sample in samples:
        mesh = written[sample.sequence]["camera_vertices"][sample.frame]
        joints = regressor @ mesh
        hips = joints[1:3].mean(0)
        joint_mm.append(1000 * np.linalg.norm(joints - hips, axis=1).mean())
        vertex_mm.append(1000 * np.linalg.norm(mesh - hips, axis=1).mean())
    assert means["mpjpe_mm"] == pytest.approx(np.mean(joint_mm), rel=1e-4)
    assert means["mpve_mm"] == pytest.approx(np.mean(vertex_mm), rel=1e-4)
    assert means["pa_mpjpe_mm"] < 1e-3


@pytest.mark.filterwarnings("ignore:.* sequences of ")
@pytest.mark.parametrize("joint, hips", [("left_hand", 0), ("left_hip", 0.5)])
def test_on_emdb_a_joint_that_a_gender_has_elsewhere_is_off_under_wham_s_convention_alone(
    emdb_folder, people, tmp_path, joint, hips
):
    """The women's regressor sees a joint at one vertex; ``hips`` is how much of its offset the root takes."""
    other = people["female"].regressors["smpl24"].to_dense()
    other[SMPL24.index(joint)] = torch.eye(len(other.T))[1000]
    people = people | {"female": replace(people["female"], regressors={"smpl24": other.to_sparse()})}
    samples = read_samples("emdb", emdb_folder[0])
    own, neutral = conventions("emdb", people["neutral"], people)[0]
    predictions = kept(tmp_path, samples, oracle(people))
    right, found = measure(predictions, neutral)[0].means, measure(predictions, own)[0].means
    assert all(mm < 1e-3 for mm in right.values()), right
    off_mm = []
    for sample in samples:
        mesh = smpl_truth(people, sample, sample.parameters.gender)
        true = people["male"].to(dtype=torch.float64).regress(mesh[None], "smpl24")[0, SMPL24.index(joint)]
        woman = sample.parameters.gender == "female"
        off_mm.append(1000 * float((mesh[1000] - true).norm()) * woman)
    # The joint itself is off by what the root does not take, the 23 others by what it takes.
    assert found["mpjpe_mm"] == pytest.approx(np.mean(off_mm) * (1 - hips + 23 * hips) / 24, rel=1e-4)
    assert found["mpve_mm"] == pytest.approx(np.mean(off_mm) * hips, rel=1e-4, abs=1e-3)
    assert found["pa_mpjpe_mm"] > 0.1


def test_what_emdb_needs_is_said_at_once(people):
    with pytest.raises(InputError, match="name --female FILE and --male FILE, bodies"):
        conventions("emdb", people["neutral"])
    with pytest.raises(InputError, match="name --male FILE, bodies"):
        conventions("emdb", people["neutral"], {"female": people["female"]})
    with pytest.raises(InputError, match="EMDB's truth is a mesh of SMPL, and the model's body is anny"):
        conventions("emdb", bodies.load())
    rules, notes = conventions("emdb", people["male"], {"female": people["female"]})
    assert [rule.name for rule in rules] == ["wham-own-joints"]
    assert notes == ["gvhmr-neutral-joints is left out: it needs --neutral FILE."]


def test_emdb_asks_for_a_newer_file_of_a_body_without_smpl_s_joints(people):
    for gender in people:
        old = replace(people[gender], regressors={})
        said = f"smpl-{gender}: has no regressor of SMPL's own joints.* name it with --{gender} FILE"
        with pytest.raises(InputError, match=said):
            conventions("emdb", people["neutral"], people | {gender: old})
    old = replace(people["neutral"], regressors={})
    assert len(conventions("emdb", old, people)[0]) == 2  # its own file stays, which its model knows
