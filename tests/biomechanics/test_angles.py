"""Known turns of known bones are read as the angles that they are."""

import csv
import io

import numpy as np
import pytest
import torch
from moving import AS_IT_IS, film, mirrored, t_posed, turned
from official import smpl as made_up_smpl
from official import write_pickle
from posed import posed_person

from mpt import bodies
from mpt.biomechanics.table import csv as table
from mpt.biomechanics.uncertainty import MEASURED, PELVIS_DEG
from mpt.bodies import smpl
from mpt.bodies.pose import BodyPose

X, Y, Z = np.eye(3).tolist()
BACK = [-1.0, 0, 0]
T_POSE = {"arm_add_r": -90, "arm_add_l": -90, "pro_sup_r": 90, "pro_sup_l": 90}


def rows(content: bytes) -> list[dict[str, float]]:
    """A table's rows; NaN where a cell is empty."""
    read = csv.DictReader(io.StringIO(content.decode()))
    return [{name: float(cell or "nan") for name, cell in row.items()} for row in read]


def angles(pose: BodyPose) -> dict[str, float]:
    (row,) = rows(table(film(pose), AS_IT_IS))
    told = {name: value for name, value in row.items() if not name.endswith(("_x", "_y", "_z", "time"))}
    assert len(told) == 41
    return told


def close(found: dict[str, float], wanted: dict[str, float], atol: float = 2e-3) -> None:
    off = {name: value for name, value in found.items() if abs(value - wanted.get(name, 0)) > atol}
    assert not off, off


@pytest.fixture(scope="module")
def anny():
    return bodies.load()


def test_in_a_t_pose_all_angles_are_zero_but_those_of_raised_arms_with_palms_down(anny):
    close(angles(t_posed(anny)), T_POSE)
    somebody = anny.sample_shapes(1, torch.Generator().manual_seed(3))[0].numpy()
    close(angles(t_posed(anny, somebody)), T_POSE)


@pytest.mark.parametrize(
    "role, axis, angle, sign",
    [
        ("left_hip", X, "hip_flexion", -1),  # x is the person's left, z is ahead
        ("left_hip", Z, "hip_adduction", -1),
        ("left_hip", Y, "hip_rotation", -1),
        ("left_knee", X, "knee_angle", 1),
        ("left_knee", Z, "knee_adduction", -1),
        ("left_knee", Y, "knee_rotation", -1),
        ("left_ankle", X, "ankle_angle", -1),
        ("left_ankle", Z, "subtalar_angle", -1),
        ("left_ankle", Y, "ankle_rotation", -1),
        ("left_shoulder", Z, "arm_add", -1),
        ("left_elbow", Y, "elbow_flex", -1),
        ("left_elbow", X, "pro_sup", 1),
        ("left_wrist", X, "pro_sup", 1),
        ("left_wrist", Z, "wrist_flex", -1),
        ("left_wrist", Y, "wrist_dev", 1),
    ],
)
def test_a_turned_limb_reads_that_turn_on_either_side(anny, role, axis, angle, sign):
    for degrees in (20.0, 35.0):
        left = turned(t_posed(anny), role, axis, sign * degrees)
        mirror = [axis[0], -axis[1], -axis[2]]
        right = turned(t_posed(anny), role.replace("left", "right"), mirror, sign * degrees)
        for pose, end in ((left, "_l"), (right, "_r")):
            close(angles(pose), T_POSE | {angle + end: T_POSE.get(angle + end, 0) + degrees})


@pytest.mark.parametrize(
    "role, axis, angle",
    [
        ("pelvis", Y, "pelvis_rotation"),
        ("pelvis", Z, "pelvis_list"),
        ("pelvis", BACK, "pelvis_tilt"),
        ("head", BACK, "neck_extension"),
        ("head", Z, "neck_bending"),
        ("head", Y, "neck_rotation"),
    ],
)
def test_a_turned_trunk_reads_that_turn(anny, role, axis, angle):
    close(angles(turned(t_posed(anny), role, axis, 25.0)), T_POSE | {angle: 25})


@pytest.mark.parametrize("axis, bend", [(BACK, "extension"), (Z, "bending"), (Y, "rotation")])
def test_a_turned_chest_is_lumbar_and_takes_head_and_arms_with_it(anny, axis, bend):
    close(angles(turned(t_posed(anny), "spine3", axis, 25.0)), T_POSE | {f"lumbar_{bend}": 25})


def test_hanging_arms_flex_and_turn_as_opensim_says(anny):
    hanging = turned(turned(t_posed(anny), "left_shoulder", Z, -90), "right_shoulder", Z, 90)
    zero = {"pro_sup_r": 90, "pro_sup_l": 90}
    close(angles(hanging), zero)
    for side, out in (("left", 1), ("right", -1)):
        end = "_" + side[0]
        close(angles(turned(hanging, f"{side}_shoulder", X, -40)), zero | {"arm_flex" + end: 40})
        close(angles(turned(hanging, f"{side}_shoulder", Y, -30 * out)), zero | {"arm_rot" + end: 30})
        close(angles(turned(hanging, f"{side}_elbow", X, -70)), zero | {"elbow_flex" + end: 70})


def test_bowing_is_the_same_tilt_wherever_somebody_looks(anny):
    bowed = turned(t_posed(anny), "pelvis", X, 30)
    for heading in (0.0, 80, -170):
        told = angles(turned(bowed, "pelvis", Y, heading))
        assert told["pelvis_tilt"] == pytest.approx(-30, abs=1e-3)
        assert told["pelvis_list"] == pytest.approx(0, abs=1e-3)
        assert told["pelvis_rotation"] == pytest.approx(heading, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_a_pose_in_a_mirror_has_the_other_sides_angles(seed):
    pose = posed_person(seed)
    own, seen = angles(pose), angles(mirrored(pose))
    across = ("pelvis_list", "pelvis_rotation", "lumbar_bending", "lumbar_rotation", "neck_bending")
    for name, value in own.items():
        other = {"_l": name[:-1] + "r", "_r": name[:-1] + "l"}.get(name[-2:], name)
        sign = -1 if name in (*across, "neck_rotation") else 1
        assert (seen[other] - sign * value + 180) % 360 - 180 == pytest.approx(0, abs=0.2), name


@pytest.mark.parametrize("seed", range(3))
def test_hips_and_knees_are_those_of_the_lines_through_the_joints(seed):
    pose = posed_person(seed)
    posed, told = pose.posed(), angles(pose)
    at = {role: posed.transforms[pose.body.bones.index(bone)] for role, bone in pose.body.roles.items()}
    pelvis = at["pelvis"][:3, :3]
    for side, out in (("left", 1), ("right", -1)):
        thigh, shank = (
            at[f"{side}_{below}"][:3, 3] - at[f"{side}_{above}"][:3, 3]
            for above, below in (("hip", "knee"), ("knee", "ankle"))
        )
        left, up, ahead = pelvis.T @ thigh / np.linalg.norm(thigh)
        end = "_" + side[0]
        assert np.degrees(np.arctan2(ahead, -up)) == pytest.approx(told["hip_flexion" + end], abs=0.01)
        assert -np.degrees(np.arcsin(out * left)) == pytest.approx(told["hip_adduction" + end], abs=0.01)
        bend = np.arccos(thigh @ shank / np.linalg.norm(thigh) / np.linalg.norm(shank))
        flexion, adduction = (np.radians(told[name + end]) for name in ("knee_angle", "knee_adduction"))
        assert np.cos(flexion) * np.cos(adduction) == pytest.approx(np.cos(bend), abs=1e-4)


def test_another_body_has_the_same_angles(tmp_path):
    body = smpl.read(write_pickle(tmp_path / "SMPL_MALE.pkl", made_up_smpl()))
    bent = turned(turned(t_posed(body), "left_knee", X, 40), "right_hip", X, -20)
    close(angles(bent), T_POSE | {"knee_angle_l": 40, "hip_flexion_r": 20})


# ------------------------------------------------------------------------------------------------- how sure


def test_deviations_of_angles_are_those_of_angles_between_shaken_joints(anny):
    pose = turned(turned(t_posed(anny), "left_knee", X, 60), "left_hip", X, -30)
    joints = pose.posed().joints.astype(float)
    std = np.random.default_rng(0).uniform(0.005, 0.02, len(joints))
    std[anny.skeleton.root] = 0.01
    (row,) = rows(table(film(pose), AS_IT_IS, std[None]))
    shaken = joints + np.random.default_rng(1).normal(size=(20_000, *joints.shape)) * std[:, None]
    left, right = anny.skeleton.root  # in whose middle the origin is
    shaken[:, right] = joints[right] + joints[left] - shaken[:, left]
    hip, knee, ankle, *trunk = (
        shaken[:, anny.skeleton.index(joint)]
        for joint in ("left_hip", "left_knee", "left_ankle", "right_hip", "left_shoulder", "right_shoulder")
    )
    thigh, shank = knee - hip, ankle - knee
    cosine = (thigh * shank).sum(1) / np.linalg.norm(thigh, axis=1) / np.linalg.norm(shank, axis=1)
    assert np.degrees(np.arccos(cosine)).std() == pytest.approx(
        row["knee_angle_l_std"] / MEASURED["knee_angle"], rel=0.05
    )
    across = hip - trunk[0]
    assert np.degrees(np.arctan2(across[:, 1], np.hypot(*across[:, [0, 2]].T))).std() == pytest.approx(
        row["pelvis_list_std"] / MEASURED["pelvis_list"], rel=0.05
    )
    z = -across / np.linalg.norm(across, axis=1)[:, None]  # to the right
    x = np.cross(trunk[1] + trunk[2] - trunk[0] - hip, z)
    x /= np.linalg.norm(x, axis=1)[:, None]
    flexion = np.degrees(np.arctan2((thigh * x).sum(1), -(thigh * np.cross(z, x)).sum(1)))
    assert np.hypot(flexion.std(), PELVIS_DEG["hip_flexion"]) == pytest.approx(
        row["hip_flexion_l_std"], rel=0.02
    )
    for joint, deviation in zip(anny.skeleton.joints, std):
        assert row[f"{joint}_std"] == pytest.approx(deviation, abs=1e-5)


def test_what_lines_through_joints_do_not_show_has_no_deviation(anny):
    std = np.full((1, len(anny.skeleton)), 0.02)
    (row,) = rows(table(film(t_posed(anny)), AS_IT_IS, std))
    for name in ("hip_rotation_r", "arm_rot_l", "pro_sup_r", "lumbar_rotation", "knee_adduction_l"):
        assert name in row and f"{name}_std" not in row
    assert np.isfinite(list(row.values())).all()
    straight = row["knee_angle_r_std"], row["elbow_flex_l_std"]
    assert 5 < min(straight) < max(straight) < 20
    core = bodies.load(skeleton="coco17")
    (row,) = rows(table(film(t_posed(core)), AS_IT_IS, std[:, :17]))
    assert "knee_angle_r_std" in row and "ankle_angle_r_std" not in row
