"""The world's up where the rest pose does not tell it: by where people stand, or as it is said."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from people import write_person_bvh
from rigs import random_rotvec, role_index, t_posed
from scipy.spatial.transform import Rotation

from mpt.mocap import Motion, read
from mpt.mocap.amass import FROM_Z_UP, JOINTS

Z_UP = FROM_Z_UP.T  # Motion's axes to a file's with z up
LIE = (-np.pi / 2, 0, 0)  # on the back, head away from +z


def walking(frames: int = 8, tilt: tuple[float, float, float] = (0, 0, 0), height: float = 1.0) -> Motion:
    """Somebody whose limbs move, upright or tilted as a whole, the pelvis at a height."""
    rotvec = random_rotvec(frames, len(role_index()), size=0.15)
    root = Rotation.from_rotvec(tilt) * Rotation.from_rotvec(rotvec[:, 0])
    rotvec[:, 0] = root.as_rotvec()
    trans = np.stack([np.linspace(0, 1, frames), np.full(frames, height), np.full(frames, 2.0)], axis=1)
    return t_posed(rotvec, trans=trans)


def write_baked(path, motion: Motion):
    """Offsets z up, while the root turns them up to y in every frame."""
    bake = Rotation.from_matrix(Z_UP.T)
    root = Rotation.from_rotvec(motion.rotvec[:, 0]) * bake
    rotvec = motion.rotvec @ Z_UP.T
    rotvec[:, 0] = root.as_rotvec()
    return write_person_bvh(path, replace(motion, offsets=motion.offsets @ Z_UP.T, rotvec=rotvec))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("axes", [np.eye(3), Z_UP])
@pytest.mark.parametrize("pose", [{}, {"tilt": LIE, "height": 0.2}, {"tilt": (np.pi, 0, 0)}])
def test_a_rest_pose_that_stands_as_the_world_does_is_believed(tmp_path, axes, pose):
    person = walking(**pose)
    motion = read(write_person_bvh(tmp_path / "a.bvh", person, axes=axes), up="z" if axes is Z_UP else "y")
    np.testing.assert_allclose(by_name(motion), by_name(person), atol=1e-6)


def test_a_world_is_turned_up_whatever_way_the_rest_pose_faces(tmp_path):
    turned = Z_UP @ Rotation.from_euler("y", 40, degrees=True).as_matrix()
    motion = read(write_person_bvh(tmp_path / "a.bvh", walking(), axes=turned), up="y")
    turns = Rotation.from_rotvec(motion.rotvec[:, 0]) * Rotation.from_rotvec(walking().rotvec[:, 0]).inv()
    bones = np.linalg.norm(np.diff(by_name(motion), axis=0), axis=-1)
    np.testing.assert_allclose(bones, np.linalg.norm(np.diff(by_name(walking()), axis=0), axis=-1), atol=1e-6)
    np.testing.assert_allclose(turns.apply([0, 1, 0])[:, 1], 0, atol=1e-6)


def by_name(motion: Motion) -> np.ndarray:
    places = dict(zip(motion.joints, motion.positions().transpose(1, 0, 2)))
    return np.stack([places[joint] for joint in sorted(places)])


@pytest.mark.parametrize("axes", [np.eye(3), Z_UP])
def test_who_lies_on_the_floor_of_the_rest_pose_lies(tmp_path, axes):
    person = walking(tilt=LIE, height=0.2)
    path = write_person_bvh(tmp_path / "a.bvh", person, axes=axes)
    np.testing.assert_allclose(by_name(read(path)), by_name(person), atol=1e-6)


def test_a_root_that_turns_the_rest_pose_up_in_every_frame_is_seen(tmp_path):
    person = walking()
    path = write_baked(tmp_path / "a.bvh", person)
    with pytest.warns(UserWarning, match=r"a\.bvh: its people stand along the file's y axis.*\(--up z\)"):
        motion = read(path)
    np.testing.assert_allclose(by_name(motion), by_name(person), atol=1e-6)
    lying = read(path, up="z").positions()
    assert np.ptp(lying[0, :, 1]) < 0.8


def test_a_root_that_lays_a_rest_pose_with_y_up_into_a_world_with_z_up_is_seen(tmp_path):
    person = walking()
    root = Rotation.from_matrix(Z_UP) * Rotation.from_rotvec(person.rotvec[:, 0])
    rotvec = person.rotvec.copy()
    rotvec[:, 0] = root.as_rotvec()
    path = write_person_bvh(tmp_path / "a.bvh", replace(person, rotvec=rotvec, trans=person.trans @ Z_UP.T))
    with pytest.warns(UserWarning, match=r"a\.bvh: its people stand along the file's z axis.*\(--up y\)"):
        motion = read(path)
    np.testing.assert_allclose(by_name(motion), by_name(person), atol=1e-6)


def smpl(path, motion: Motion, axes: np.ndarray, **more):
    """Poses and places of SMPL's joints in a world that ``axes`` takes Motion's to."""
    root = Rotation.from_matrix(axes) * Rotation.from_rotvec(motion.rotvec[:, 0])
    poses = np.concatenate(
        [root.as_rotvec(), 0.1 * random_rotvec(len(motion), 21).reshape(len(motion), 63)], axis=1
    )
    np.savez(path, poses=poses, trans=motion.trans @ axes.T, mocap_framerate=30.0, **more)
    return path


DOWN = np.diag([1.0, -1, -1])  # Motion's axes to a camera's


@pytest.mark.parametrize("axes", [np.eye(3), Z_UP, DOWN])
@pytest.mark.parametrize("tilt", [(0, 0, 0), (0.4, 0.3, 0)])
def test_smpls_world_is_told_by_where_people_stand(tmp_path, axes, tilt):
    person = walking(tilt=tilt, height=1.2)
    expected = read(smpl(tmp_path / "expected.npz", person, Z_UP), up="z")
    path = smpl(tmp_path / "a.npz", person, axes)
    if axes is Z_UP:
        motion = read(path)
    else:
        with pytest.warns(UserWarning, match=r"a\.npz: its people stand along the file's y.*\(--up z\)"):
            motion = read(path)
    head, pelvis = (motion.positions()[:, JOINTS.index(joint)] for joint in ("head", "pelvis"))
    assert (head - pelvis)[:, 1].min() > 0.4
    np.testing.assert_allclose(
        head - pelvis, (expected.positions()[:, 15] - expected.positions()[:, 0]), atol=1e-9
    )


@pytest.mark.parametrize("heading", [0, 90, 180, 270])
def test_people_who_lie_in_a_world_with_z_up_lie(tmp_path, heading):
    turn = Rotation.from_euler("y", heading, degrees=True) * Rotation.from_rotvec(LIE)
    person = walking(tilt=tuple(turn.as_rotvec()), height=0.3)
    path = smpl(tmp_path / "a.npz", person, Z_UP)
    motion, told = read(path), read(path, up="z")
    np.testing.assert_array_equal(motion.positions(), told.positions())
    assert np.median(np.ptp(motion.positions()[..., 1], axis=1)) < 0.7


def test_up_may_be_said(tmp_path):
    person = walking(height=1.2)
    paths = [smpl(tmp_path / f"{n}.npz", person, axes) for n, axes in enumerate((np.eye(3), Z_UP, DOWN))]
    motions = [read(path, up=up) for path, up in zip(paths, ("y", "z", "y-down"))]
    for motion in motions[:2]:
        turned = torch.from_numpy(motion.rotvec[:, 0])
        assert (
            roma.rotmat_geodesic_distance(
                roma.rotvec_to_rotmat(turned), roma.rotvec_to_rotmat(torch.from_numpy(person.rotvec[:, 0]))
            ).max()
            < 1e-6
        )
