"""AMASS: z up becomes y up, both layouts agree, and nothing is unpickled."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpt.errors import InputError
from mpt.mocap import read
from mpt.mocap.amass import JOINTS, rest_joints


def fields(frames: int = 4) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "poses": generator.normal(size=(frames, 156)),
        "trans": generator.normal(size=(frames, 3)),
        "betas": generator.normal(size=16),
        "gender": np.array("female"),
        "mocap_framerate": np.array(120.0),
        "dmpls": np.zeros((frames, 8)),
    }


@pytest.fixture
def save(tmp_path):
    def _save(**change):
        path = tmp_path / "ACCAD" / "Female1" / "walk_poses.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in (fields() | change).items() if value is not None}
        np.savez(path, **kept)
        return path

    return _save


def test_joints_are_those_of_the_model_with_z_turned_up(save):
    motion = read(save())
    assert (motion.name, motion.subject, motion.fps) == ("walk_poses", "ACCAD/Female1", 120)
    assert (motion.joints, motion.gender) == (JOINTS, "female")
    np.testing.assert_array_equal(motion.betas, fields()["betas"])

    rest = rest_joints()
    poses = fields()["poses"][:, :66].reshape(4, 22, 3)
    place = fields()["trans"] + rest[0]
    world = [Rotation.from_rotvec(poses[:, 0])]
    expected = [place]
    for joint, parent in enumerate(motion.parents[1:], 1):
        expected.append(expected[parent] + world[parent].apply(rest[joint] - rest[parent]))
        world.append(world[parent] * Rotation.from_rotvec(poses[:, joint]))
    x, y, z = np.moveaxis(np.stack(expected, axis=1), -1, 0)
    np.testing.assert_allclose(motion.positions(), np.stack([x, z, -y], axis=-1), atol=1e-12)


def test_a_person_who_stands_in_their_world_stands_in_ours(save):
    upright = np.zeros((4, 156))
    upright[:, 0] = np.pi / 2  # the model is y up, AMASS's world z up
    positions = read(save(poses=upright)).positions()[0]
    at = {joint: positions[JOINTS.index(joint)] for joint in JOINTS}
    assert at["head"][1] - at["left_ankle"][1] == pytest.approx(1.45, abs=0.1)
    assert at["left_hip"][0] > at["right_hip"][0]
    assert at["left_foot"][2] > at["left_ankle"][2] + 0.05


def test_the_resting_body_is_symmetric():
    rest = dict(zip(JOINTS, rest_joints()))
    for joint, (x, y, z) in rest.items():
        mirrored = joint.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        np.testing.assert_array_equal(rest[mirrored], [-x, y, z])


@pytest.mark.parametrize("smplx", [False, True])
def test_the_split_layout_equals_the_joined_one(save, smplx):
    joined = read(save())
    poses = fields()["poses"]
    extra = {"pose_jaw": np.zeros((4, 3))} if smplx else {}
    split = read(
        save(
            poses=None, root_orient=poses[:, :3], pose_body=poses[:, 3:66], mocap_framerate=None,
            mocap_frame_rate=np.array(120), **extra,
        )
    )  # fmt: skip
    np.testing.assert_array_equal(split.rotvec, joined.rotvec)
    assert (split.fps, split.betas is None) == (120, smplx)


def under_other_names(**change) -> dict[str, np.ndarray | None]:
    """What ``save`` is to write in AMASS's place; its poses are in AMASS's order of joints."""
    return {"poses": None, "trans": None, "mocap_framerate": None, "dmpls": None} | change


@pytest.mark.parametrize("rate", ["mocap_framerate", "mocap_frame_rate", "fps", "framerate", "frame_rate"])
@pytest.mark.parametrize(
    "of",
    [
        lambda poses: {"poses": poses.reshape(4, 52, 3)},
        lambda poses: {"poses": poses.reshape(4, 52, 3)[:, :24]},
        lambda poses: {"pose": poses[:, :72]},
        lambda poses: {"pred_rotmat": matrices(poses[:, :72])},
        lambda poses: {"global_orient": poses[:, :3], "body_pose": poses[:, 3:66]},
        lambda poses: {"global_orient": poses[:, None, :3], "body_pose": poses[:, 3:72].reshape(4, 23, 3)},
        lambda poses: {"global_orient": matrices(poses[:, :3]), "body_pose": matrices(poses[:, 3:72])},
        lambda poses: {"global_orient": matrices(poses[:, :3])[:, 0], "body_pose": poses[:, 3:66]},
    ],
)
def test_smpls_parameters_are_known_by_other_names_and_shapes(save, of, rate):
    expected = read(save(), up="z")
    fps = np.array([120])
    motion = read(
        save(**under_other_names(transl=fields()["trans"][:, None], **of(fields()["poses"]), **{rate: fps})),
        up="z",
    )
    assert (len(motion), motion.fps) == (4, 120)
    np.testing.assert_allclose(motion.positions(), expected.positions(), atol=1e-12)


def matrices(poses: np.ndarray) -> np.ndarray:
    """(T, J, 3, 3)"""
    return Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix().reshape(len(poses), -1, 3, 3)


def test_aists_places_are_scaled_and_its_rate_is_known(save):
    poses, trans = fields()["poses"], fields()["trans"]
    path = save(
        **under_other_names(smpl_poses=poses[:, :72], smpl_trans=90 * trans, smpl_scaling=np.array([90.0]))
    )
    with pytest.warns(
        UserWarning, match=r"walk_poses\.npz: its frame rate is not told, 60 frames per second"
    ):
        motion = read(path, up="z")
    assert motion.fps == 60
    np.testing.assert_allclose(motion.positions(), read(save(), up="z").positions(), atol=1e-12)


def test_other_parameters_without_a_rate_are_taken_as_a_videos(save):
    poses = fields()["poses"]
    change = under_other_names(global_orient=poses[:, :3], body_pose=poses[:, 3:66], transl=fields()["trans"])
    with pytest.warns(UserWarning, match="its frame rate is not told, 30 frames per second are taken"):
        motion = read(save(**change), up="z")
    assert (motion.fps, motion.betas) == (30, None)  # 21 joints under these names are SMPL-X's


def test_shapes_told_for_each_frame_are_averaged(save):
    betas = np.stack([np.arange(10.0), np.arange(10.0) + 2, np.zeros(10), np.zeros(10)])
    np.testing.assert_allclose(read(save(betas=betas)).betas[:10], betas.mean(0))


def test_smplx_shapes_are_not_taken_for_smplhs(save):
    poses = np.zeros((4, 165))
    assert read(save(poses=poses)).betas is None
    assert read(save(surface_model_type=np.array("smplx"))).betas is None
    assert read(save(surface_model_type=np.array("smplh"))).betas is not None


@pytest.mark.parametrize(("count", "kept"), [(10, 10), (16, 16), (300, 16)])
def test_betas_are_sixteen(save, count, kept):
    betas = read(save(betas=np.arange(1.0, count + 1))).betas
    assert betas.shape == (16,)
    assert np.count_nonzero(betas) == kept


@pytest.mark.parametrize(
    ("written", "gender"),
    [
        (np.array("female"), "female"),
        (np.array(b"male"), "male"),
        (np.array(["neutral"]), "neutral"),
        (np.array("b'male'"), "male"),
        (np.array("unknown"), None),
        (np.array("male", dtype=object), None),
        (np.array(b"\xff\xfemale"), None),
        (None, None),
    ],
)
def test_gender_is_read_however_it_is_written(save, written, gender):
    assert read(save(gender=written)).gender == gender


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poses": np.array([1, "a"], dtype=object)}, "'poses' holds Python objects"),
        ({"trans": np.array([None])}, "'trans' holds Python objects"),
        ({"trans": None}, "lacks trans"),
        ({"mocap_framerate": None}, "lacks mocap_framerate"),
        ({"poses": np.zeros((4, 63))}, "63 columns"),
        ({"poses": np.zeros((4, 144))}, "144 columns"),
        ({"poses": None, "root_orient": np.zeros((4, 9)), "pose_body": np.zeros((4, 63))}, "9 columns, 3 of"),
        (
            {"poses": None, "root_orient": np.zeros((4, 3)), "pose_body": np.zeros((4, 207))},
            "207 columns, 63",
        ),
        ({"poses": np.zeros((4, 52, 2))}, r"'poses' is float64 of shape \(4, 52, 2\)"),
        ({"poses": np.zeros((4, 24, 3, 3))}, "'poses' holds matrices that are no rotations"),
        (
            {"poses": None, "pose": None},
            "lacks names, .* or SMPL's parameters as poses .* it holds trans, betas",
        ),
        (
            {"poses": None, "global_orient": np.zeros((4, 3))},
            "nor global_orient and body_pose, among trans, ",
        ),
        ({"mocap_framerate": np.array(0.0333)}, "'mocap_framerate' is 0.0333, 1 to 1000 frames per second"),
        ({"trans": np.zeros((3, 3))}, r"numbers of shape \(4, 3\)"),
        ({"poses": np.full((4, 156), np.inf)}, r"'poses' holds numbers that are not finite .*inf in frame 1"),
        ({"trans": np.full((4, 3), 1e30)}, r"'trans' holds numbers .*beyond 1,000,000 \(1e\+30 in frame 1"),
        ({"poses": np.full((4, 156), 90.0)}, "'poses' turns a joint by 155.9 in frame 1, .* radians"),
        ({"poses": None, "root_orient": np.zeros((4, 3))}, "nor root_orient and pose_body"),
        ({"mocap_framerate": np.array(0.0)}, "frame rate"),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "no frames"),
    ],
)
def test_what_is_no_motion_is_refused_in_one_sentence(save, change, message):
    path = save(**change)
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_the_sample_clip_moves_with_its_markers(shared_data):
    path = shared_data / "mocap" / "amass_sample.npz"
    motion = read(path)
    with np.load(path) as arrays:
        labels = arrays["labels"].tolist()
        x, y, z = np.moveaxis(arrays["markers"], -1, 0)
    markers, positions = np.stack([x, z, -y], axis=-1), motion.positions()
    pairs = {"LANK": "left_ankle", "RANK": "right_ankle", "LKNE": "left_knee", "LELB": "left_elbow"}
    for marker, joint in pairs.items():
        apart = markers[:, labels.index(marker)] - positions[:, JOINTS.index(joint)]
        assert np.linalg.norm(apart, axis=-1).mean() < 0.12
