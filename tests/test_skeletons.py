"""Every skeleton is a tree of unique names whose left and right are each other's mirror."""

import numpy as np
import pytest

from mpt.skeletons import BLAZEPOSE33, COCO17, H36M17, HAND21, LSP14, SKELETONS, SMPL24, mirror_name, remap

ALL = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)


@ALL
def test_names_are_unique_and_as_many_as_the_skeleton_s_own_name_says(skeleton):
    assert len(set(skeleton.joints)) == len(skeleton) == len(skeleton.parents)
    assert skeleton.name.endswith(str(len(skeleton)))


@ALL
def test_joints_hang_together_in_one_tree(skeleton):
    (root,) = (joint for joint, parent in enumerate(skeleton.parents) if parent < 0)
    for joint in range(len(skeleton)):
        way = {joint}
        while skeleton.parents[joint] >= 0:
            joint = skeleton.parents[joint]
            assert joint not in way
            way.add(joint)
        assert joint == root
    assert len(skeleton.bones) == len(skeleton) - 1


@ALL
def test_flipping_twice_changes_nothing_and_once_changes_sides_only(skeleton):
    np.testing.assert_array_equal(skeleton.flip[skeleton.flip], np.arange(len(skeleton)))
    for joint, other in enumerate(skeleton.flip):
        assert skeleton.joints[other] == mirror_name(skeleton.joints[joint])
        assert (joint != other) == ("left" in skeleton.joints[joint] or "right" in skeleton.joints[joint])


@ALL
def test_the_mirrored_tree_is_the_same_tree(skeleton):
    for parent, child in skeleton.bones:
        mirrored = skeleton.parents[skeleton.flip[child]]
        # LSP14 and COCO17 hang both halves on the middle, which is its own mirror
        assert mirrored == skeleton.flip[parent]


@ALL
def test_remapping_onto_itself_is_the_identity(skeleton):
    np.testing.assert_array_equal(remap(skeleton, skeleton), np.arange(len(skeleton)))


def test_remapping_goes_by_name_and_says_what_is_missing():
    found = remap(H36M17, LSP14)
    for joint, source in zip(LSP14.joints, found):
        assert source == -1 if joint == "neck" else H36M17.joints[source] == joint
    assert (remap(HAND21, COCO17) == -1).all()


def test_a_skeleton_finds_its_joints():
    assert COCO17.index("nose") == 0
    assert COCO17.indices("left_hip", "right_hip") == [11, 12]
    with pytest.raises(ValueError):
        COCO17.index("tail")


def test_blazepose_landmarks_hold_all_coco_joints_at_their_published_numbers():
    expected = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
    np.testing.assert_array_equal(remap(BLAZEPOSE33, COCO17), expected)


def test_published_orders_are_kept():
    assert H36M17.joints[:7] == (
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"
    )  # fmt: skip
    assert [SMPL24.index(j) for j in ("left_knee", "right_ankle", "neck", "head", "left_hand")] == [
        4, 8, 12, 15, 22
    ]  # fmt: skip
    assert LSP14.joints[0] == "right_ankle" and LSP14.joints[-1] == "head_top"
    assert HAND21.indices("wrist", "thumb4", "index1", "pinky4") == [0, 4, 5, 20]


def test_a_root_is_the_hips_or_what_has_no_parent():
    assert COCO17.root == COCO17.indices("left_hip", "right_hip")
    assert H36M17.root == H36M17.indices("left_hip", "right_hip")
    assert HAND21.root == [HAND21.index("wrist")]


def test_people_have_two_sides_and_a_hand_is_one():
    assert COCO17.two_sided and SMPL24.two_sided and not HAND21.two_sided


def test_a_detector_takes_left_for_right_and_a_finger_for_its_neighbour():
    np.testing.assert_array_equal(COCO17.confused, COCO17.flip)
    for joint, taken_for in (
        ("wrist", "wrist"),
        ("thumb2", "index2"),
        ("index4", "middle4"),
        ("pinky1", "ring1"),
    ):
        assert HAND21.joints[HAND21.confused[HAND21.index(joint)]] == taken_for
