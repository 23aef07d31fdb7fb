"""Skeletons whose zero pose is nobody (LaFAN1's has all bones along x): a frame that stands is their rest."""

from dataclasses import replace

import numpy as np
import pytest
from people import write_person_bvh
from rigs import random_rotvec, role_index, t_posed
from scipy.spatial.transform import Rotation

from mpt.errors import InputError
from mpt.mocap import Motion, read

JOINTS = len(role_index())
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def without_rest(motion: Motion) -> Motion:
    """The same movement, told from joint frames in which every bone to a first child lies along x."""
    frames = []
    for joint in range(JOINTS):
        children = [child for child, parent in enumerate(motion.parents) if parent == joint]
        bone = motion.offsets[children[0]] if children else np.array([1.0, 0, 0])
        frames.append(Rotation.align_vectors([[1.0, 0, 0]], [bone])[0])
    rotvec = motion.rotvec.copy()
    offsets = motion.offsets.copy()
    for joint, parent in enumerate(motion.parents):
        above = frames[parent] if parent >= 0 else Rotation.identity()
        rotvec[:, joint] = (
            above * Rotation.from_rotvec(motion.rotvec[:, joint]) * frames[joint].inv()
        ).as_rotvec()
        offsets[joint] = above.apply(motion.offsets[joint])
    return replace(motion, offsets=offsets, rotvec=rotvec)


def clip(heading: float = 0.0) -> Motion:
    """Somebody who moves, and stands in the fourth frame, turned about the vertical."""
    rotvec = random_rotvec(6, JOINTS, size=0.4)
    rotvec[3] = 0
    turn = Rotation.from_rotvec([0, heading, 0])
    rotvec[:, 0] = (turn * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    motion = t_posed(rotvec, trans=np.tile([0.3, 1.0, -2.0], (6, 1)))
    return replace(motion, joints=tuple(joint.removeprefix("mixamorig:") for joint in motion.joints))


@pytest.mark.parametrize("axes", [np.eye(3), Z_UP])
@pytest.mark.parametrize("heading", [0.0, 1.0, 2.5])
def test_the_frame_that_stands_is_the_rest_pose(tmp_path, heading, axes):
    person = clip(heading)
    path = write_person_bvh(tmp_path / "a.bvh", without_rest(person), axes=axes)
    with pytest.warns(
        UserWarning, match=r"a\.bvh: its zero pose is nobody .*, frame 4 is taken as rest pose"
    ):
        motion = read(path)
    order = [motion.joints.index(joint) for joint in person.joints]
    np.testing.assert_allclose(motion.offsets[order][1:], person.offsets[1:], atol=1e-6)
    np.testing.assert_allclose(motion.positions()[:, order], person.positions(), atol=1e-6)
    np.testing.assert_allclose(motion.global_rotations()[:, order], person.global_rotations(), atol=1e-6)


def test_where_nobody_ever_stands_the_zero_pose_is_refused(tmp_path):
    person = clip()
    rotvec = person.rotvec.copy()
    rotvec[3] = rotvec[2]
    path = write_person_bvh(tmp_path / "a.bvh", without_rest(replace(person, rotvec=rotvec)))
    with pytest.raises(InputError, match="its zero pose is nobody standing upright"):
        read(path)
