"""Rigs are known by what their exporters call joints, by their tree, or by a joint map: one pose from all."""

from dataclasses import replace

import numpy as np
import pytest
from people import write_person_bvh
from rigs import LEFT, MIDDLE, random_rotvec, role_index, t_posed

import mpt.bodies
import mpt.mocap
from mpt.bodies.retarget import read_rig, retarget
from mpt.errors import InputError
from mpt.mocap import Motion
from mpt.mocap.limbs import find_limbs

# As exporters call them: MIDDLE's joints, then LEFT's with {0} Left, {1} left, {2} LEFT; "-" is lacking.
RIGS = {
    "azure_kinect_sdk": (
        "K4ABT_JOINT_PELVIS K4ABT_JOINT_SPINE_NAVEL K4ABT_JOINT_SPINE_CHEST K4ABT_JOINT_NECK "
        "K4ABT_JOINT_HEAD K4ABT_JOINT_HIP_{2} K4ABT_JOINT_KNEE_{2} K4ABT_JOINT_ANKLE_{2} "
        "K4ABT_JOINT_FOOT_{2} "
        "K4ABT_JOINT_CLAVICLE_{2} K4ABT_JOINT_SHOULDER_{2} K4ABT_JOINT_ELBOW_{2} K4ABT_JOINT_WRIST_{2} "
        "K4ABT_JOINT_HAND_{2}"
    ),
    "second_life": (
        "mPelvis mTorso mChest mNeck mHead mHip{0} mKnee{0} mAnkle{0} mFoot{0} mCollar{0} mShoulder{0} "
        "mElbow{0} mWrist{0} -"
    ),
    "auto_rig_pro": (
        "root.x spine_01.x spine_02.x neck.x head.x thigh_stretch.{1[0]} leg_stretch.{1[0]} foot.{1[0]} "
        "toes_01.{1[0]} shoulder.{1[0]} arm_stretch.{1[0]} forearm_stretch.{1[0]} hand.{1[0]} middle1.{1[0]}"
    ),
    "mujoco_smpl": (
        "Pelvis Torso Chest Neck Head {0[0]}_Hip {0[0]}_Knee {0[0]}_Ankle {0[0]}_Toe {0[0]}_Thorax "
        "{0[0]}_Shoulder {0[0]}_Elbow {0[0]}_Wrist {0[0]}_Hand"
    ),
    "wisconsin": (
        "Hips Chest Chest2 Neck Head {0}UpLeg {0}LowLeg {0}Foot {0}Toe {0}Collar {0}UpArm {0}LowArm {0}Hand -"
    ),
    "character_creator": (
        "CC_Base_Hip CC_Base_Waist CC_Base_Spine02 CC_Base_NeckTwist01 CC_Base_Head CC_Base_{0[0]}_Thigh "
        "CC_Base_{0[0]}_Calf CC_Base_{0[0]}_Foot CC_Base_{0[0]}_ToeBase CC_Base_{0[0]}_Clavicle "
        "CC_Base_{0[0]}_Upperarm CC_Base_{0[0]}_Forearm CC_Base_{0[0]}_Hand CC_Base_{0[0]}_Mid1"
    ),
    "vroid": (
        "J_Bip_C_Hips J_Bip_C_Spine J_Bip_C_UpperChest J_Bip_C_Neck J_Bip_C_Head J_Bip_{0[0]}_UpperLeg "
        "J_Bip_{0[0]}_LowerLeg J_Bip_{0[0]}_Foot J_Bip_{0[0]}_ToeBase J_Bip_{0[0]}_Shoulder "
        "J_Bip_{0[0]}_UpperArm J_Bip_{0[0]}_LowerArm J_Bip_{0[0]}_Hand J_Bip_{0[0]}_Middle1"
    ),
    "unity": (
        "Hips Spine UpperChest Neck Head {0}UpperLeg {0}LowerLeg {0}Foot {0}Toes {0}Shoulder {0}UpperArm "
        "{0}LowerArm {0}Hand {0}MiddleProximal"
    ),
    "vrm": (
        "hips spine upperChest neck head {1}UpperLeg {1}LowerLeg {1}Foot {1}Toes {1}Shoulder {1}UpperArm "
        "{1}LowerArm {1}Hand {1}MiddleProximal"
    ),
    "rigify": (
        "spine spine.001 spine.003 spine.004 spine.006 thigh.{0[0]} shin.{0[0]} foot.{0[0]} toe.{0[0]} "
        "shoulder.{0[0]} upper_arm.{0[0]} forearm.{0[0]} hand.{0[0]} f_middle.01.{0[0]}"
    ),
    "rigify_def": (
        "DEF-spine DEF-spine.001 DEF-spine.003 DEF-spine.004 DEF-spine.006 DEF-thigh.{0[0]} DEF-shin.{0[0]} "
        "DEF-foot.{0[0]} DEF-toe.{0[0]} DEF-shoulder.{0[0]} DEF-upper_arm.{0[0]} DEF-forearm.{0[0]} "
        "DEF-hand.{0[0]} DEF-f_middle.01.{0[0]}"
    ),
    "soma": (
        "Hips Spine1 Chest Neck1 Head {0}Leg {0}Shin {0}Foot {0}ToeBase {0}Shoulder {0}Arm {0}ForeArm "
        "{0}Hand {0}HandMiddle1"
    ),
    "deepmotion": (
        "hips_JNT spine_JNT spine1_JNT neck_JNT head_JNT {1[0]}_upleg_JNT {1[0]}_leg_JNT {1[0]}_foot_JNT "
        "{1[0]}_toebase_JNT {1[0]}_shoulder_JNT {1[0]}_arm_JNT {1[0]}_forearm_JNT {1[0]}_hand_JNT "
        "{1[0]}_handMiddle1_JNT"
    ),
    "advanced_skeleton": (
        "Root_M Spine1_M Chest_M Neck_M Head_M Hip_{0[0]} Knee_{0[0]} Ankle_{0[0]} Toes_{0[0]} "
        "Scapula_{0[0]} Shoulder_{0[0]} Elbow_{0[0]} Wrist_{0[0]} MiddleFinger1_{0[0]}"
    ),
    "perception_neuron": (
        "Robot_Hips Robot_Spine Robot_Spine2 Robot_Neck Robot_Head Robot_{0}UpLeg Robot_{0}Leg "
        "Robot_{0}Foot - Robot_{0}Shoulder Robot_{0}Arm Robot_{0}ForeArm Robot_{0}Hand Robot_{0}HandMiddle1"
    ),
    "xsens": (
        "Pelvis L5 T8 Neck Head {0}UpperLeg {0}LowerLeg {0}Foot {0}Toe {0}Shoulder {0}UpperArm {0}Forearm "
        "{0}Hand -"
    ),
    "xsens_bvh": (
        "Hips Chest Chest4 Neck Head {0}Hip {0}Knee {0}Ankle {0}Toe {0}Collar {0}Shoulder {0}Elbow {0}Wrist -"
    ),
    "rokoko": (
        "Hips Spine1 Spine4 Neck Head {0}Thigh {0}Shin {0}Foot {0}Toe {0}Shoulder {0}Arm {0}ForeArm {0}Hand "
        "{0}Finger3Proximal"
    ),
    "genesis8": (
        "hip abdomenLower chestUpper neckLower head {1[0]}ThighBend {1[0]}Shin {1[0]}Foot {1[0]}Toe "
        "{1[0]}Collar {1[0]}ShldrBend {1[0]}ForearmBend {1[0]}Hand {1[0]}Mid1"
    ),
    "genesis9": (
        "hip spine1 spine4 neck1 head {1[0]}_thigh {1[0]}_shin {1[0]}_foot {1[0]}_toes {1[0]}_shoulder "
        "{1[0]}_upperarm {1[0]}_forearm {1[0]}_hand {1[0]}_mid1"
    ),
    "motive": (
        "Hip Ab Chest Neck Head {0[0]}Thigh {0[0]}Shin {0[0]}Foot {0[0]}Toe {0[0]}Shoulder {0[0]}UArm "
        "{0[0]}FArm {0[0]}Hand {0[0]}Middle1"
    ),
    "openpose": (
        "MidHip Spine Chest Neck Nose {0[0]}Hip {0[0]}Knee {0[0]}Ankle {0[0]}BigToe - {0[0]}Shoulder "
        "{0[0]}Elbow {0[0]}Wrist -"
    ),
    "bandai_namco": (
        "Hips Spine Chest Neck Head UpperLeg_{0[0]} LowerLeg_{0[0]} Foot_{0[0]} Toes_{0[0]} Shoulder_{0[0]} "
        "UpperArm_{0[0]} LowerArm_{0[0]} Hand_{0[0]} -"
    ),
    "kinect": (
        "SpineBase SpineMid SpineShoulder Neck Head Hip{0} Knee{0} Ankle{0} Foot{0} - Shoulder{0} Elbow{0} "
        "Wrist{0} Hand{0}"
    ),
    "azure_kinect": (
        "PELVIS SPINE_NAVEL SPINE_CHEST NECK HEAD HIP_{2} KNEE_{2} ANKLE_{2} FOOT_{2} CLAVICLE_{2} "
        "SHOULDER_{2} ELBOW_{2} WRIST_{2} HAND_{2}"
    ),
    "mocopi": (
        "root torso_1 torso_7 neck_1 head {1[0]}_up_leg {1[0]}_low_leg {1[0]}_foot {1[0]}_toes "
        "{1[0]}_shoulder {1[0]}_up_arm {1[0]}_low_arm {1[0]}_hand -"
    ),
    "biped_fingers": (
        "Bip001 Bip001_Spine Bip001_Spine2 Bip001_Neck Bip001_Head Bip001_{0[0]}_Thigh Bip001_{0[0]}_Calf "
        "Bip001_{0[0]}_Foot Bip001_{0[0]}_Toe0 Bip001_{0[0]}_Clavicle Bip001_{0[0]}_UpperArm "
        "Bip001_{0[0]}_Forearm Bip001_{0[0]}_Hand Bip001_{0[0]}_Finger2"
    ),
    "valve": (
        "ValveBiped.Bip01_Pelvis ValveBiped.Bip01_Spine ValveBiped.Bip01_Spine4 ValveBiped.Bip01_Neck1 "
        "ValveBiped.Bip01_Head1 ValveBiped.Bip01_{0[0]}_Thigh ValveBiped.Bip01_{0[0]}_Calf "
        "ValveBiped.Bip01_{0[0]}_Foot ValveBiped.Bip01_{0[0]}_Toe0 ValveBiped.Bip01_{0[0]}_Clavicle "
        "ValveBiped.Bip01_{0[0]}_UpperArm ValveBiped.Bip01_{0[0]}_Forearm ValveBiped.Bip01_{0[0]}_Hand -"
    ),
    "maya": (
        "pelvis_jnt spine_jnt chest_jnt neck_jnt head_jnt {1[0]}_hip_jnt {1[0]}_knee_jnt {1[0]}_ankle_jnt "
        "{1[0]}_ball_jnt {1[0]}_clavicle_jnt {1[0]}_shoulder_jnt {1[0]}_elbow_jnt {1[0]}_wrist_jnt -"
    ),
    "maya_mixed": (
        "root c_spine_bind c_chest_bind c_neck_bind c_head_bind hip_jnt_{1[0]} knee_jnt_{1[0]} "
        "ankle_jnt_{1[0]} toe_jnt_{1[0]} collar_jnt_{1[0]} shoulder_jnt_{1[0]} elbow_jnt_{1[0]} "
        "wrist_jnt_{1[0]} -"
    ),
    "upper_lower": (
        "pelvis spine_a spine_b neck_a head leg_upper_{1[0]} leg_lower_{1[0]} foot_{1[0]} toe_{1[0]} "
        "clavicle_{1[0]} arm_upper_{1[0]} arm_lower_{1[0]} hand_{1[0]} -"
    ),
    "smpl_bvh": (
        "Pelvis Spine1 Spine3 Neck Head {0[0]}_Hip {0[0]}_Knee {0[0]}_Ankle {0[0]}_Foot {0[0]}_Collar "
        "{0[0]}_Shoulder {0[0]}_Elbow {0[0]}_Wrist {0[0]}_Hand"
    ),
    "smpl_fbx": (
        "m_avg_Pelvis m_avg_Spine1 m_avg_Spine3 m_avg_Neck m_avg_Head m_avg_{0[0]}_Hip m_avg_{0[0]}_Knee "
        "m_avg_{0[0]}_Ankle m_avg_{0[0]}_Foot m_avg_{0[0]}_Collar m_avg_{0[0]}_Shoulder m_avg_{0[0]}_Elbow "
        "m_avg_{0[0]}_Wrist m_avg_{0[0]}_Hand"
    ),
    "cascadeur": (
        "pelvis stomach chest neck head thigh_{1[0]} calf_{1[0]} foot_{1[0]} toe_{1[0]} clavicle_{1[0]} "
        "arm_{1[0]} forearm_{1[0]} hand_{1[0]} -"
    ),
    "human36m": "Hip Spine Thorax Neck Head {0}Hip {0}Knee {0}Ankle - - {0}Shoulder {0}Elbow {0}Wrist -",
    "numbered": (
        "Hips_01 Spine_02 Spine2_03 Neck_04 Head_05 {0}UpLeg_06 {0}Leg_07 {0}Foot_08 {0}ToeBase_09 "
        "{0}Shoulder_10 {0}Arm_11 {0}ForeArm_12 {0}Hand_13 -"
    ),
    "snu": (
        "root Spine Spine1 Neck HEad {0[0]}_Thigh {0[0]}_Calf {0[0]}_Foot {0[0]}_Toe0 {0[0]}_Clavicle "
        "{0[0]}_UpperArm {0[0]}_Forearm {0[0]}_Hand -"
    ),
    "capitals": (
        "HIPS SPINE CHEST NECK HEAD {2}_THIGH {2}_CALF {2}_FOOT {2}_TOE {2}_CLAVICLE {2}_UPPERARM "
        "{2}_FOREARM {2}_HAND -"
    ),
}


def called(spelled: str, rotvec=None) -> tuple[Motion, Motion]:
    """The person under these names, and under Mixamo's."""
    words = dict(zip([*MIDDLE, *LEFT], spelled.split()))
    without = tuple(role for role, word in words.items() if word == "-")
    roles = role_index(without)
    names = []
    for role in roles:
        side, _, limb = role.rpartition("_")
        names.append(words[limb].format(side.title(), side, side.upper()))
    rotvec = random_rotvec(2, len(roles)) if rotvec is None else rotvec
    expected = t_posed(rotvec, without=without)
    return replace(expected, joints=tuple(names)), expected


@pytest.fixture(scope="module")
def body():
    return mpt.bodies.load("anny")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rig", RIGS)
def test_a_rig_gives_the_pose_that_mixamos_names_give(body, rig):
    motion, expected = called(RIGS[rig])
    np.testing.assert_array_equal(retarget(motion, body)[1], retarget(expected, body)[1])


@pytest.mark.parametrize("prefix", ["mixamorig", "Character1_", "Bip01 ", "actor:Skeleton_"])
@pytest.mark.parametrize("root", ["Armature", "Reference", "Dummy"])
def test_a_prefix_that_all_but_the_root_share_says_nothing(body, prefix, root):
    person = t_posed(random_rotvec(2, len(role_index())))
    joints = [name.removeprefix("mixamorig:") for name in person.joints]
    expected = retarget(replace(person, joints=tuple(joints)), body)[1]
    moved = replace(
        person,
        joints=(root, *(prefix + joint for joint in joints)),
        parents=np.concatenate([[-1], person.parents + 1]),
        offsets=np.concatenate([np.zeros((1, 3)), person.offsets]),
        rotvec=np.concatenate([np.zeros((2, 1, 3)), person.rotvec], axis=1),
    )
    np.testing.assert_allclose(retarget(moved, body)[1], expected, atol=1e-12)


def nameless(rotvec=None) -> tuple[Motion, Motion]:
    joints = " ".join(f"Bone.{number:03d}" for number in range(5))
    sided = " ".join(f"Bone.{{0}}{number}" for number in range(9))
    motion, expected = called(f"{joints} {sided}", rotvec)
    numbers = [f"Bone.{number:03d}" for number in range(len(motion.joints))]
    return replace(motion, joints=tuple(numbers)), expected


def test_where_names_say_nothing_the_tree_does_and_a_warning_names_what_it_found(body):
    motion, expected = nameless()
    with pytest.warns(UserWarning, match=r"clip: .*the tree was asked: left_hip Bone\.005, .*--joint-map"):
        pose = retarget(motion, body)[1]
    np.testing.assert_array_equal(pose, retarget(expected, body)[1])


def test_the_tree_knows_left_by_the_toes_in_any_axes(tmp_path, body):
    motion, expected = nameless()
    z_up = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    path = write_person_bvh(tmp_path / "a.bvh", motion, axes=z_up, unit=0.01)
    with pytest.warns(UserWarning, match="the tree was asked"):
        pose = retarget(mpt.mocap.read(path), body)[1]
    np.testing.assert_allclose(pose, retarget(expected, body)[1], atol=1e-6)


def test_the_end_of_a_hand_is_no_finger_to_the_tree():
    motion, _ = nameless()
    joints, roles = list(motion.joints), role_index()
    for side in ("left", "right"):
        joints[roles[f"{side}_finger"]] = joints[roles[f"{side}_wrist"]] + "_end"
    limbs = find_limbs(joints, motion.parents.tolist(), motion.offsets)
    assert not limbs.missing and "left_finger" not in limbs.joints


def test_a_tree_without_toes_does_not_show_sides(body):
    motion, _ = nameless()
    rig = t_posed(random_rotvec(2, 21), without=("toe",))
    with pytest.raises(InputError, match="no joint was found for left_hip, right_hip, left_knee"):
        retarget(replace(rig, joints=motion.joints[:21]), body)


def test_a_joint_map_overrides_names_and_tree(body):
    motion, expected = nameless()
    roles = role_index()
    told = {limb: motion.joints[roles[limb]] for limb in ("left_hip", "right_hip", "neck", "head")}
    with pytest.warns(UserWarning, match="the tree was asked") as notes:
        pose = retarget(replace(motion, joint_map=told), body)[1]
    assert "left_hip" not in str(notes[0].message)
    np.testing.assert_array_equal(pose, retarget(expected, body)[1])

    turned = replace(expected, joint_map={"head": "mixamorig:Neck"})
    rig = read_rig(turned.joints, turned.parents.tolist(), turned.offsets, turned.joint_map)
    assert (rig.roles["head"], rig.roles["neck"]) == (roles["neck"], roles["neck"])


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            {"left_hip": "mixamorig:LeftUpLeq"},
            "no joint 'mixamorig:LeftUpLeq', .*did you mean mixamorig:LeftUpLeg",
        ),
        ({"lefthip": "mixamorig:LeftUpLeg"}, "no limb is called 'lefthip', .*did you mean left_hip"),
        (
            {"left_knee": "mixamorig:Head"},
            "the left_knee 'mixamorig:Head' does not hang on the left_hip",
        ),
    ],
)
def test_a_joint_map_that_does_not_fit_is_refused(body, told, message):
    motion = replace(t_posed(random_rotvec(1, len(role_index()))), joint_map=told)
    with pytest.raises(InputError, match=message):
        retarget(motion, body)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"left_hip": "a"}', None),
        ("left_hip: a", "is not JSON, or cut short"),
        ('["left_hip"]', "limbs and their joints"),
        ('{"left_hip": 3}', "limbs and their joints"),
        ('{"left_thigh": "a"}', "no limb is called 'left_thigh'.*left_toe"),
    ],
)
def test_joint_maps_are_json(tmp_path, content, message):
    path = tmp_path / "map.json"
    path.write_text(content)
    if message is None:
        assert mpt.mocap.read_joint_map(path) == {"left_hip": "a"}
        path.write_text(content, encoding="utf-16")  # as PowerShell writes it
        assert mpt.mocap.read_joint_map(path) == {"left_hip": "a"}
    else:
        with pytest.raises(InputError, match=message) as error:
            mpt.mocap.read_joint_map(path)
        assert str(error.value).startswith(str(path))


def test_a_missing_joint_map_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.json does not exist"):
        mpt.mocap.read_joint_map(tmp_path / "none.json")


@pytest.mark.parametrize(("palm", "wrist"), [(0.3, "WristLeft"), (0.5, "HandLeft")])
def test_a_hand_close_behind_a_wrist_is_its_palm(palm, wrist):
    joints = ["Spine", "ShoulderLeft", "ElbowLeft", "WristLeft", "HandLeft", "HandTipLeft"]
    offsets = np.array([[0, 0, 0], [0.2, 0, 0], [0.3, 0, 0], [0.2, 0, 0], [0.2 * palm, 0, 0], [0.1, 0, 0]])
    limbs = find_limbs(joints, [-1, 0, 1, 2, 3, 4], offsets).joints
    assert joints[limbs["left_wrist"]] == wrist


@pytest.mark.parametrize("rig", ["unity", "vroid", "genesis9"])
def test_a_shoulder_before_an_upper_arm_of_any_name_is_a_collar(rig):
    motion, _ = called(RIGS[rig])
    known = find_limbs(motion.joints, motion.parents.tolist(), motion.offsets).joints
    joints = list(motion.joints)
    joints[known["left_shoulder"]] = "LeftBiceps"
    assert find_limbs(joints, motion.parents.tolist(), motion.offsets).joints == known


def test_a_shoulder_before_half_an_arm_begins_it():
    joints = ["root", "LeftShoulder", "LeftArmTwist", "LeftElbow", "LeftWrist"]
    offsets = np.array([[0, 0, 0], [0.2, 0, 0], [0.14, 0, 0], [0.14, 0, 0], [0.25, 0, 0]])
    limbs = find_limbs(joints, [-1, 0, 1, 2, 3], offsets).joints
    assert joints[limbs["left_shoulder"]] == "LeftShoulder" and "left_collar" not in limbs


def test_halves_of_limbs_are_no_limbs():
    """Rigify's deforming bones come in halves, and Genesis' with a twist."""
    joints = ["root", "thigh.L", "thigh.L.001", "shin.L", "shin.L.001", "foot.L"]
    limbs = find_limbs(joints, [-1, 0, 1, 2, 3, 4], np.zeros((6, 3))).joints
    assert [joints[limbs[f"left_{limb}"]] for limb in ("hip", "knee", "ankle")] == [
        "thigh.L",
        "shin.L",
        "foot.L",
    ]
