"""Motion of any rig, laid on the body: directions, sides, the spine, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from rigs import LIMBS, NAMES, random_rotvec, role_index, skeleton, t_posed

import mpt.bodies
import mpt.mocap
from mpt.bodies.retarget import hips_path, laid_on, read_rig, retarget
from mpt.errors import InputError
from mpt.mocap import Motion

JOINTS = len(role_index())


@pytest.fixture(scope="module")
def body():
    return mpt.bodies.load("anny")


def body_motion(body, bones, rotvec) -> Motion:
    """Motion whose skeleton is the body's own."""
    part = body.with_bones(bones)
    heads = part.heads.double().numpy()
    offsets = heads - heads[[max(parent, 0) for parent in part.parents]]
    return Motion("own", "01", 30, part.bones, part.parents, offsets, rotvec, np.zeros((len(rotvec), 3)))


def every_tenth(motion: Motion) -> Motion:
    return replace(motion, rotvec=motion.rotvec[::10], trans=motion.trans[::10], fps=motion.fps / 10)


def posed(body, rotvec) -> dict[str, np.ndarray]:
    """Each role's joint (T, 3), by the body's own kernel."""
    part = body.with_bones(body.moving_bones).to(dtype=torch.float64)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(rotvec))
    heads = part.forward(rotations, torch.zeros(1, part.shape_count, dtype=torch.float64)).heads.numpy()
    return {role: heads[:, part.bones.index(bone)] for role, bone in part.roles.items()}


def angle(a, b) -> np.ndarray:
    """Degrees between directions (..., 3)."""
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


def test_the_bodys_own_motion_comes_back_unchanged(body):
    bones = body.moving_bones
    rotvec = random_rotvec(4, len(bones))
    named, found = retarget(body_motion(body, bones, rotvec), body)
    assert named == bones
    np.testing.assert_allclose(found, rotvec, atol=1e-9)


def test_a_laid_motion_has_its_hips_where_the_capture_has_them(body):
    trans = np.cumsum(np.full((4, 3), 0.1), 0)
    motion = t_posed(random_rotvec(4, JOINTS), trans=trans)
    moving = laid_on(motion, body)
    assert (len(moving), moving.fps) == (4, motion.fps)
    hips = body.skeleton.indices("left_hip", "right_hip")
    found = np.stack([moving[frame].posed().joints[hips].mean(0) for frame in range(4)])
    np.testing.assert_allclose(found, hips_path(motion, body), atol=1e-5)
    bones, rotvec = retarget(motion, body)
    np.testing.assert_allclose(moving.rotvec[:, [body.bones.index(b) for b in bones]], rotvec, atol=1e-6)


@pytest.mark.parametrize("rig", NAMES)
def test_arms_and_legs_point_where_the_sources_do(body, rig):
    motion = t_posed(random_rotvec(5, JOINTS), rig)
    theirs, ours, roles = motion.positions(), posed(body, retarget(motion, body)[1]), role_index()
    for side in ("left", "right"):
        for start, end in ((f"{side}_{a}", f"{side}_{b}") for a, b in LIMBS):
            want = theirs[:, roles[end]] - theirs[:, roles[start]]
            assert angle(want, ours[end] - ours[start]).max() < 1e-4, (start, rig)


@pytest.mark.parametrize("rig", NAMES)
def test_the_same_motion_gives_the_same_pose_whatever_joints_are_called(body, rig):
    rotvec = random_rotvec(2, JOINTS)
    found, expected = (retarget(t_posed(rotvec, name), body)[1] for name in (rig, "mixamo"))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_mirrored_motion_gives_the_mirrored_pose(body):
    roles = role_index()
    other = {role: role.replace("left", "X").replace("right", "left").replace("X", "right") for role in roles}
    flip = [roles[other[role]] for role in roles]
    rotvec = random_rotvec(3, JOINTS)
    pose = retarget(t_posed(rotvec), body)[1]
    mirrored = retarget(t_posed(rotvec[:, flip] * [1, -1, -1]), body)[1]
    bones = body.moving_bones
    swap = [bones.index(b[:-1] + {"L": "R", "R": "L"}[b[-1]] if b[-2] == "." else b) for b in bones]
    np.testing.assert_allclose(mirrored, pose[:, swap] * [1, -1, -1], atol=2e-3)


def test_turning_the_whole_person_turns_the_root_alone(body):
    rotvec = random_rotvec(3, JOINTS)
    turn = torch.tensor([0.0, 1.2, 0.0], dtype=torch.float64)
    turned = rotvec.copy()
    turned[:, 0] = roma.rotvec_composition((turn.expand(3, 3), torch.from_numpy(rotvec[:, 0]))).numpy()
    a, b = (retarget(t_posed(r), body)[1] for r in (rotvec, turned))
    np.testing.assert_allclose(a[:, 1:], b[:, 1:], atol=1e-9)
    root = roma.rotvec_composition((turn.expand(3, 3), torch.from_numpy(a[:, 0]))).numpy()
    np.testing.assert_allclose(b[:, 0], root, atol=1e-9)


def test_a_t_pose_at_rest_has_level_arms_palms_down_flat_soles_and_the_head_up(body):
    pose = retarget(t_posed(np.zeros((1, JOINTS, 3))), body)[1]
    full = body.to(dtype=torch.float64)
    local = torch.eye(3, dtype=torch.float64).repeat(1, len(full.bones), 1, 1)
    moving = [full.bones.index(bone) for bone in full.moving_bones]
    local[:, moving] = roma.rotvec_to_rotmat(torch.from_numpy(pose))
    out = full.forward(local, torch.zeros(1, full.shape_count, dtype=torch.float64))
    heads = dict(zip(full.bones, out.heads[0].numpy()))
    for side, left in (("L", 1), ("R", -1)):
        arm = heads[f"wrist.{side}"] - heads[f"upperarm01.{side}"]
        assert angle(arm, np.array([left, 0, 0])) < 4
        knuckles = heads[f"finger2-1.{side}"] - heads[f"finger5-1.{side}"]
        assert angle(knuckles, np.array([0, 0, 1])) < 20  # index forward, little finger back
        curl = heads[f"finger3-3.{side}"] - heads[f"finger3-1.{side}"]
        assert curl[1] < 0  # down to the palm
    joints = dict(zip(full.skeleton.joints, out.joints[0].numpy()))
    ears = joints["left_ear"] + joints["right_ear"]
    assert angle(2 * joints["nose"] - ears, np.array([0, 0, 1])) < 35
    assert joints["left_eye"][1] > joints["left_shoulder"][1]


@pytest.mark.parametrize("without", [("collar",), ("toe",), ("finger",), ("spine",), ("spine", "chest")])
def test_joints_that_a_rig_may_lack_leave_the_limbs_in_place(body, without):
    roles = role_index(without)
    motion = t_posed(random_rotvec(3, len(roles)), without=without)
    pose = retarget(motion, body)[1]
    theirs, ours = motion.positions(), posed(body, pose)
    for start, end in LIMBS:
        want = theirs[:, roles[f"left_{end}"]] - theirs[:, roles[f"left_{start}"]]
        assert angle(want, ours[f"left_{end}"] - ours[f"left_{start}"]).max() < 1e-4
    if without == ("collar",):
        assert np.abs(pose[:, body.moving_bones.index(body.roles["left_collar"])]).max() < 1e-9


def test_spines_of_any_length_carry_the_shoulders_alike(body):
    rotvec = np.zeros((1, JOINTS, 3))
    roles = role_index()
    rotvec[:, roles["spine"]] = rotvec[:, roles["chest"]] = (0.3, 0, 0)
    long = posed(body, retarget(t_posed(rotvec), body)[1])
    short_roles = role_index(("spine",))
    rotvec = np.zeros((1, len(short_roles), 3))
    rotvec[:, short_roles["chest"]] = (0.6, 0, 0)
    short = posed(body, retarget(t_posed(rotvec, without=("spine",)), body)[1])
    for end in ("left_shoulder", "right_shoulder"):
        np.testing.assert_allclose(
            long[end] - long["left_collar"], short[end] - short["left_collar"], atol=1e-6
        )


@pytest.mark.parametrize("toe", [(0, -0.06, 0), (0, 0, 0), (0.0001, -0.06, -0.0001)])
def test_a_foot_whose_toes_point_nowhere_ahead_is_one_without_toes(body, toe):
    rotvec = random_rotvec(2, len(role_index(("toe",))))
    expected = retarget(t_posed(rotvec, without=("toe",)), body)[1]
    roles = role_index()
    kept = [joint for role, joint in roles.items() if not role.endswith("toe")]
    with_toes = np.zeros((2, len(roles), 3))
    with_toes[:, kept] = rotvec
    motion = t_posed(with_toes)
    motion.offsets[[roles["left_toe"], roles["right_toe"]]] = toe
    np.testing.assert_allclose(retarget(motion, body)[1], expected, atol=1e-9)


@pytest.mark.parametrize("role", [role for role in role_index() if role != "pelvis"])
def test_bones_without_length_leave_no_pose_that_is_no_number(body, role):
    motion = t_posed(random_rotvec(3, JOINTS))
    motion.offsets[role_index()[role]] = 0
    assert np.isfinite(retarget(motion, body)[1]).all()


def test_a_skeleton_of_one_point_is_no_nan_either(body):
    motion = t_posed(random_rotvec(3, JOINTS))
    motion.offsets[:] = 0
    assert np.isfinite(retarget(motion, body)[1]).all()


def test_numbers_as_large_as_a_motion_holds_give_a_pose(body):
    for motion in (
        t_posed(np.full((1, JOINTS, 3), 9e5)),
        body_motion(body, body.moving_bones, 9e5 * np.ones((1, len(body.moving_bones), 3))),
    ):
        assert np.isfinite(retarget(motion, body)[1]).all()


def test_joints_that_are_not_found_are_named(body):
    motion = t_posed(np.zeros((1, len(role_index(("knee",))), 3)), without=("knee",))
    with pytest.raises(InputError, match=r"^clip: no joint was found for left_knee, right_knee among .*Hips"):
        retarget(motion, body)


def test_a_head_that_hangs_beside_the_neck_is_refused():
    joints, parents, offsets = skeleton("unreal")
    parents[joints.index("head")] = joints.index("spine_03")
    with pytest.raises(InputError, match="'head' does not hang on the neck 'neck_01'"):
        read_rig(joints, parents, offsets)


@pytest.mark.parametrize(
    "clip",
    [
        "cmu/02/02_01",
        "cmu/35/35_02",
        "cmu/60/60_daz01",
        "cmu/85/85_03",
        "ual/Roll",
        "deepmimic/cartwheel",
        "amass_sample",
    ],
)
def test_limbs_of_real_clips_keep_their_directions(body, shared_data, clip):
    motion = every_tenth(mpt.mocap.read(shared_data / "mocap" / f"{clip}.npz"))
    roles = read_rig(motion.joints, motion.parents.tolist(), motion.offsets).roles
    theirs = {role: motion.positions()[:, joint] for role, joint in roles.items()}
    pose = retarget(motion, body)[1]
    ours = posed(body, pose)
    for side in ("left", "right"):
        wrist = pose[:, body.moving_bones.index(body.roles[f"{side}_wrist"])]
        assert np.degrees(np.linalg.norm(wrist, axis=1)).mean() < 70
        for start, end in ((f"{side}_{a}", f"{side}_{b}") for a, b in LIMBS):
            assert angle(theirs[end] - theirs[start], ours[end] - ours[start]).mean() < 0.1
    theirs, ours = (p["neck"] - (p["left_hip"] + p["right_hip"]) / 2 for p in (theirs, ours))
    assert angle(theirs, ours).mean() < 8


H36M = {"Hip": "hip", "Knee": "knee", "Ankle": "ankle", "Shoulder": "shoulder", "Elbow": "elbow"}


def test_every_skeleton_of_free_motion_is_known_as_people_know_it(body, shared_data):
    clips = {mpt.mocap.read(clip).joints: clip for clip in mpt.mocap.find([shared_data / "mocap"])}
    motions = {joints: mpt.mocap.read(clip) for joints, clip in clips.items()}
    skeletons = json.loads((shared_data / "mocap" / "skeletons.json").read_text())
    assert len(motions) > len(skeletons)
    for known in skeletons.values():
        motion = motions[tuple(known["names"])]
        rig = read_rig(motion.joints, motion.parents.tolist(), motion.offsets)
        played = {role: rig.joints[joint] for role, joint in rig.roles.items()}
        for joint, limb in H36M.items():
            for letter, side in (("L", "left"), ("R", "right")):
                assert played[f"{side}_{limb}"] == known["h36m17"][f"{letter}{joint}"]
        assert rig.joints[rig.trunk[0]] == known["h36m17"]["Pelvis"]
        assert played["head"] == known["h36m17"]["Neck"]  # Human3.6M's neck is below the chin
    for motion in motions.values():
        pose = retarget(replace(motion, rotvec=motion.rotvec[:2], trans=motion.trans[:2]), body)[1]
        assert np.isfinite(pose).all()


@pytest.mark.parametrize("head", ["head", "neck"])
def test_a_rig_without_neck_or_head_gives_the_same_limbs(body, head):
    """Where the head hangs on the chest it carries the neck; a neck that ends carries the head."""
    roles = role_index((head,) if head == "head" else ("neck",))
    rotvec = np.zeros((1, len(roles), 3))
    other = "neck" if head == "head" else "head"
    rotvec[:, roles[other]] = (0.4, 0, 0)
    motion = t_posed(rotvec, without=(head,))
    if head == "head":
        joints, parents = [*motion.joints, "end"], [*motion.parents, roles["neck"]]
        offsets = np.concatenate([motion.offsets, [[0, 0.1, 0.03]]])
        rotvec = np.concatenate([rotvec, np.zeros((1, 1, 3))], axis=1)
        motion = replace(motion, joints=joints, parents=parents, offsets=offsets, rotvec=rotvec)
    world = body_rotations(body, retarget(motion, body)[1])
    turned = roma.rotvec_to_rotmat(torch.tensor([0.4, 0, 0], dtype=torch.float64)).numpy()
    np.testing.assert_allclose(world[body.roles["head"]], turned[None], atol=1e-9)


def test_a_hand_that_only_ends_its_forearm_follows_it(body):
    without = ("wrist", "finger")
    roles = role_index(without)
    joints, parents, offsets = skeleton(without=without)
    for side, sign in (("Left", 1), ("Right", -1)):
        parents.append(roles[f"{side.lower()}_elbow"])
        joints = (*joints, f"{side}ForeArm_end")
        offsets = np.concatenate([offsets, [[0.25 * sign, -0.01, 0.04]]])
    rotvec = np.concatenate([random_rotvec(2, len(roles)), np.zeros((2, 2, 3))], axis=1)
    motion = Motion("clip", "01", 30, joints, parents, offsets, rotvec, np.zeros((2, 3)))
    pose = retarget(motion, body)[1]
    for side in ("left", "right"):
        assert np.abs(pose[:, body.moving_bones.index(body.roles[f"{side}_wrist"])]).max() < 1e-9


def test_feet_of_people_who_stand_are_flat(body, shared_data):
    pose = retarget(every_tenth(mpt.mocap.read(shared_data / "mocap/cmu/29/29_01.npz")), body)[1]
    world = body_rotations(body, pose)
    for side in ("left", "right"):
        sole = world[body.roles[f"{side}_ankle"]][:, :, 1]
        assert np.median(angle(sole, np.array([0.0, 1, 0]))) < 8


def body_rotations(body, pose) -> dict[str, np.ndarray]:
    """World rotation (T, 3, 3) of each moving bone, bone by bone."""
    part = body.with_bones(body.moving_bones)
    local = roma.rotvec_to_rotmat(torch.from_numpy(pose)).numpy()
    world = []
    for bone, parent in enumerate(part.parents):
        world.append(local[:, bone] if parent < 0 else world[parent] @ local[:, bone])
    return dict(zip(part.bones, world))
