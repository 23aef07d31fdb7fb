"""What a rest skeleton tells: axes by the names of its joints, the unit by its height."""

import numpy as np
import pytest
from people import JOINTS, OFFSETS, PARENTS

from mpt.errors import InputError
from mpt.mocap.rest import METRES_PER_UNIT, axes_of_rest, metres_per_unit, rest_positions

FACING_Y = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])  # Motion's axes to z up, facing +y, left -x


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name,
        lambda name: f"mixamorig:{name}",
        lambda name: name.replace("Left", "L_").replace("Right", "R_"),
        lambda name: name.replace("Left", "l").replace("Right", "r"),
        lambda name: name.replace("Left", "Bip01 L ").replace("Right", "Bip01 R "),
        lambda name: (
            f"{name.removeprefix('Left')}.L" if "Left" in name else f"{name.removeprefix('Right')}.R"
        ),
    ],
)
def test_sides_are_known_however_joints_are_called(rename):
    joints = [rename(name) for name in JOINTS]
    np.testing.assert_array_equal(axes_of_rest(joints, PARENTS, OFFSETS @ FACING_Y.T), FACING_Y.T)


@pytest.mark.parametrize("flipped", range(3))
def test_a_left_handed_file_is_turned_into_its_mirror_image(flipped):
    flip = np.diag(np.where(np.arange(3) == flipped, -1.0, 1.0))
    axes = axes_of_rest(JOINTS, PARENTS, OFFSETS @ FACING_Y.T @ flip)
    np.testing.assert_allclose(OFFSETS @ FACING_Y.T @ flip @ axes.T, OFFSETS)


def test_feet_that_do_not_point_tell_no_hand():
    offsets = OFFSETS.copy()
    offsets[[JOINTS.index("LeftFoot_end"), JOINTS.index("RightFoot_end")], 2] *= -0.1
    assert np.linalg.det(axes_of_rest(JOINTS, PARENTS, offsets)) == 1


def test_without_names_the_axes_are_taken_as_y_up_facing_z():
    joints = [f"j{j}" for j in range(len(JOINTS))]
    np.testing.assert_array_equal(axes_of_rest(joints, PARENTS, OFFSETS @ FACING_Y.T), np.eye(3))


def test_a_root_on_the_floor_changes_nothing():
    joints, parents = ["Reference", *JOINTS], [-1, *(parent + 1 for parent in PARENTS)]
    offsets = np.concatenate([np.zeros((1, 3)), [[0, 0.95, 0]], OFFSETS[1:]]) @ FACING_Y.T
    np.testing.assert_array_equal(axes_of_rest(joints, parents, offsets), FACING_Y.T)


def test_a_person_who_lies_folded_is_refused():
    folded = OFFSETS.copy()
    folded[JOINTS.index("Spine")] *= -1
    folded[JOINTS.index("Head")] *= -1
    with pytest.raises(InputError, match="nobody standing upright"):
        axes_of_rest(JOINTS, PARENTS, folded)


@pytest.mark.parametrize("unit", METRES_PER_UNIT)
@pytest.mark.parametrize("height", [1.21, 1.7, 2.19])
def test_every_height_of_a_person_has_one_unit(unit, height):
    positions = rest_positions(PARENTS, OFFSETS)
    positions *= height / np.ptp(positions[:, 1]) / unit
    assert metres_per_unit(positions) == unit
