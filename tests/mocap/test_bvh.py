"""BVH: what is written is read, whatever the channel order, unit and axes; what is broken is refused."""

import json
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from people import AXES, JOINTS, OFFSETS, bvh_text, depth_first, moving_person, write_person_bvh
from scipy.spatial.transform import Rotation

from mpt.errors import InputError
from mpt.mocap import read
from mpt.mocap.bvh import read_bvh


def random_file(seed: int):
    """A random tree whose joints have channels of random kind and order, and its positions, by scipy."""
    generator = np.random.default_rng(seed)
    count, frames = 12, 4
    parents = [-1, *(int(generator.integers(0, joint)) for joint in range(1, count))]
    leaves = set(range(count)) - set(parents)
    joints = [f"j{joint}" + ("_end" if joint in leaves and joint % 2 else "") for joint in range(count)]
    for joint, parent in enumerate(parents):  # an end site bears its parent's name
        if joints[joint].endswith("_end"):
            first = all(
                not (p == parent and joints[j].endswith("_end")) for j, p in enumerate(parents[:joint])
            )
            joints[joint] = f"{joints[parent]}_end" if first else joints[joint].removesuffix("_end")
    offsets = generator.normal(size=(count, 3))

    channels, columns, turns = [], [], []
    for joint in range(count):
        turning = list(generator.permutation([f"{axis}rotation" for axis in AXES]))
        turning = turning[: generator.integers(0, 4)]
        moving = [f"{axis}position" for axis in AXES] if joint == 0 or generator.random() < 0.3 else []
        names = list(generator.permutation(moving + turning))
        if joints[joint].endswith("_end"):
            names = []
        values = generator.uniform(-170, 170, size=(frames, len(names)))
        angles = [k for k, name in enumerate(names) if name.endswith("rotation")]
        order = "".join(names[k][0] for k in angles)
        turn = Rotation.identity(frames)
        for axis, k in zip(order, angles):
            turn = turn * Rotation.from_euler(axis, values[:, [k]], degrees=True)
        channels.append(names)
        columns.append(values)
        turns.append(turn)

    positions = np.zeros((frames, count, 3))
    world = []
    for joint, parent in enumerate(parents):
        if parent < 0:
            place = [channels[0].index(f"{axis}position") for axis in AXES]
            positions[:, 0] = columns[0][:, place]
            world.append(turns[0])
        else:
            positions[:, joint] = positions[:, parent] + world[parent].apply(offsets[joint])
            world.append(world[parent] * turns[joint])
    order = depth_first(parents)
    values = np.concatenate([columns[joint] for joint in order], axis=1)
    text = bvh_text(joints, parents, offsets, channels, values)
    return text, dict(zip(joints, positions.transpose(1, 0, 2)))


@pytest.mark.parametrize("seed", range(8))
def test_any_channel_order_gives_the_positions_that_scipy_gives(tmp_path, seed):
    text, expected = random_file(seed)
    path = tmp_path / "random.bvh"
    path.write_text(text)
    motion = read_bvh(path, scale=1.0)
    positions = dict(zip(motion.joints, motion.positions().transpose(1, 0, 2)))
    assert positions.keys() == expected.keys()
    for joint in expected:
        np.testing.assert_allclose(positions[joint], expected[joint], atol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45])
def test_a_person_is_the_same_in_any_unit(tmp_path, unit):
    person = moving_person()
    motion = read(write_person_bvh(tmp_path / "01_01.bvh", person, unit=unit))
    assert (motion.name, motion.subject, motion.fps) == ("01_01", "01", 120)
    assert motion.joints == JOINTS
    np.testing.assert_allclose(motion.offsets, person.offsets, atol=1e-6)
    np.testing.assert_allclose(motion.positions(), person.positions(), atol=1e-6)


@pytest.mark.parametrize("up", range(3))
@pytest.mark.parametrize("turn", [0, 90, 180, 270, 30, -140])
def test_a_person_is_the_same_in_any_axes(tmp_path, up, turn):
    person = moving_person()
    axes = np.roll(np.eye(3), up, axis=0) @ Rotation.from_euler("y", turn, degrees=True).as_matrix()
    motion = read(write_person_bvh(tmp_path / "01_01.bvh", person, axes=axes))
    np.testing.assert_allclose(motion.positions(), person.positions(), atol=1e-6)


def test_the_scale_given_overrides_the_guess(tmp_path):
    path = write_person_bvh(tmp_path / "walk.bvh", moving_person())
    np.testing.assert_allclose(read(path, scale=0.5).offsets, OFFSETS / 2, atol=1e-8)


@pytest.mark.parametrize(
    ("written", "fps"),
    [
        ("0.0083333", 120),
        (".0333", 30),
        ("0.033367", 1 / 0.033367),
        ("0.016666", 60),
        ("0.04", 25),
        ("0.03", 1 / 0.03),
        (".0333 s", 30),
        ("0.0333333 seconds", 30),
        (" 0,0083333", 120),
        ("8.3333 ms", 120),
        ("33 msec.", 1 / 0.033),
        ("1.6666e-2", 60),
        ("30 fps", 30),
        ("59.94 Hz", 59.94),
    ],
)
def test_a_frame_time_means_a_whole_rate_where_its_digits_allow(tmp_path, written, fps):
    path = write_person_bvh(tmp_path / "walk.bvh", moving_person())
    path.write_text(path.read_text().replace("0.0083333", written))
    assert read(path).fps == pytest.approx(fps, rel=1e-12)


@pytest.mark.parametrize(
    ("written", "fps", "meant"),
    [
        ("33.333", 30, "milliseconds"),
        ("33.3", 30, "milliseconds"),
        ("8.3333", 120, "milliseconds"),
        ("40", 25, "milliseconds"),
        ("30", 30, "frames per second"),
        ("120", 120, "frames per second"),
    ],
)
def test_a_frame_time_that_can_be_no_seconds_is_taken_with_a_note(tmp_path, written, fps, meant):
    path = write_person_bvh(tmp_path / "walk.bvh", moving_person())
    path.write_text(path.read_text().replace("0.0083333", written))
    with pytest.warns(
        UserWarning, match=rf"walk\.bvh: its frame time is \S+, which is taken as {meant}: {fps} f"
    ):
        assert read(path).fps == pytest.approx(fps, rel=0.002)


def test_decimal_commas_are_points(tmp_path):
    person = moving_person()
    path = write_person_bvh(tmp_path / "walk.bvh", person)
    path.write_text(path.read_text().replace(".", ","))
    np.testing.assert_allclose(read(path).positions(), person.positions(), atol=1e-6)


def test_angles_that_may_be_radians_are_read_with_a_note(tmp_path):
    person = moving_person()
    person.rotvec[:] *= 0.01
    with pytest.warns(
        UserWarning, match=r"walk\.bvh: its largest angle is \S+, which is read as degrees; if"
    ):
        motion = read(write_person_bvh(tmp_path / "walk.bvh", person))
    np.testing.assert_allclose(motion.rotvec, person.rotvec, atol=1e-6)


def test_bones_without_any_length_are_refused_whatever_the_scale(tmp_path):
    person = replace(moving_person(), offsets=0 * OFFSETS)
    with pytest.raises(InputError, match="no bone of its skeleton has a length"):
        read(write_person_bvh(tmp_path / "walk.bvh", person), scale=0.01)


def test_a_name_that_comes_again_is_numbered_with_a_note(tmp_path):
    person = moving_person()
    path = write_person_bvh(tmp_path / "walk.bvh", person)
    path.write_text(path.read_text().replace("JOINT RightHand", "JOINT LeftHand"))
    with pytest.warns(
        UserWarning, match=r"walk\.bvh: two joints are called 'LeftHand', one is .* 'LeftHand_2'"
    ):
        motion = read(path)
    assert motion.joints == (*JOINTS[:-1], "LeftHand_2")
    np.testing.assert_allclose(motion.positions(), person.positions(), atol=1e-6)


def test_a_capture_that_was_stopped_early_is_read_with_a_note(tmp_path):
    person = moving_person()
    path = write_person_bvh(tmp_path / "walk.bvh", person)
    path.write_text(path.read_text().replace("Frames: 5", "Frames: 900"))
    with pytest.warns(UserWarning, match=r"walk\.bvh: it declares 900 frames and holds 5, which are read"):
        np.testing.assert_allclose(read(path).positions(), person.positions(), atol=1e-6)


@pytest.mark.parametrize("flipped", "xyz")
def test_a_left_handed_file_is_read_as_its_mirror_image(tmp_path, flipped):
    person = moving_person()
    flip = np.where(np.array(list("xyz")) == flipped, -1.0, 1.0)
    mirrored = replace(
        person, offsets=person.offsets * flip, rotvec=-person.rotvec * flip, trans=person.trans * flip
    )
    path = write_person_bvh(tmp_path / "walk.bvh", mirrored)
    with pytest.warns(UserWarning, match=r"walk\.bvh: .*those of a person in a mirror"):
        np.testing.assert_allclose(read(path).positions(), person.positions(), atol=1e-6)


def test_exchanged_sides_are_read_as_a_mirror_image(tmp_path):
    person = moving_person()
    path = write_person_bvh(tmp_path / "walk.bvh", person)
    text = path.read_text().replace("Left", "@").replace("Right", "Left").replace("@", "Right")
    path.write_text(text)
    with pytest.warns(UserWarning, match="sides exchanged"):
        motion = read(path)
    at = dict(zip(motion.joints, motion.positions().transpose(1, 0, 2)))
    theirs = dict(zip(person.joints, person.positions().transpose(1, 0, 2)))
    for joint in ("LeftHand", "LeftFoot_end"):
        np.testing.assert_allclose(at[joint], theirs[joint.replace("Left", "Right")] * [-1, 1, 1], atol=1e-6)


def test_an_added_first_pose_is_left_out(tmp_path):
    person = moving_person(frames=6)
    person.rotvec[0, 0] = 0
    motion = read(write_person_bvh(tmp_path / "walk.bvh", person))
    np.testing.assert_allclose(motion.positions(), person.positions()[1:], atol=1e-6)


def test_a_first_frame_stays_where_only_the_root_turns_on(tmp_path):
    person = moving_person(frames=6)
    person.rotvec[:] = person.rotvec[:1]
    person.rotvec[:, 0] = np.radians(25) * np.arange(6)[:, None] * [0, 1, 0]
    assert len(read(write_person_bvh(tmp_path / "walk.bvh", person))) == 6


def test_a_first_frame_at_rest_stays_where_the_motion_goes_on_from_it(tmp_path):
    person = moving_person(frames=6)
    person.rotvec[:] = 0.01 * np.arange(6)[:, None, None] * person.rotvec[-1]
    assert len(read(write_person_bvh(tmp_path / "walk.bvh", person))) == 6


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\t", "   "),
        lambda text: text.replace("\n{", " {").replace("\n\t{", " {"),
        lambda text: "\ufeff" + text.replace("HIERARCHY", "hierarchy").replace("rotation", "ROTATION"),
        lambda text: text.replace("Frames: ", "Frames:\t").replace("MOTION", "MOTION  "),
        lambda text: text.rstrip() + "\n\n  \n",
        lambda text: text + "\x1a",
        lambda text: text + "\x00\x00",
        lambda text: text.replace("MOTION", "MOTION\x00"),
    ],
)
def test_exporters_may_write_it_their_way(tmp_path, change):
    path = write_person_bvh(tmp_path / "walk.bvh", moving_person())
    expected = read(path)
    path.write_bytes(change(path.read_text()).encode())
    np.testing.assert_array_equal(read(path).rotvec, expected.rotvec)


def test_a_file_without_end_sites_is_read(tmp_path):
    path = tmp_path / "walk.bvh"
    values = np.zeros((3, 6))
    channels = [["Xposition", "Yposition", "Zposition"], ["Zrotation"], ["Xrotation"], ["Yrotation"]]
    path.write_text(bvh_text("abcd", [-1, 0, 1, 2], np.array([[0, 0.6, 0]] * 4), channels, values))
    motion = read(path)
    assert motion.joints == tuple("abcd")
    np.testing.assert_allclose(motion.positions()[0, :, 1], [0, 0.6, 1.2, 1.8], atol=1e-9)


def edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def glued(text: str) -> str:
    """The space before some minus of the second frame is lost."""
    lines = text.splitlines()
    lines[-4] = lines[-4].replace(" -", "-", 1)
    return "\n".join(lines)


def last_word_cut(text: str) -> str:
    return text.rstrip().rpartition(" ")[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "is empty"),
        (lambda t: "Dear all,\nno motion here\n", "HIERARCHY"),
        (lambda t: t[: t.index("MOTION")], "ends before its MOTION"),
        (lambda t: t[: t.index("Frame Time")], "lacks 'Frames:' or 'Frame Time:'"),
        (last_word_cut, r"cut in the middle of frame 5 of 5 \(\d+ of \d+ numbers\)"),
        (lambda t: t[: t.index("0.0083333") + 9], "declares 5 frames and holds none"),
        (lambda t: edited(t, "Frames: 5", "Frames: 4"), "declares 4 frames and holds 5"),
        (lambda t: edited(t, "Frames: 5", "Frames: 0"), "it declares 0 frames and holds 5, correct"),
        (lambda t: edited(t, "Frames: 5", "Frames: many"), "'many'"),
        (lambda t: edited(t, "Frame Time: 0.0083333", "Frame Time: 0"), "frame time is 0"),
        (
            lambda t: edited(t, "Frame Time: 0.0083333", "Frame Time: 0.0000083"),
            "a thousandth of a second to",
        ),
        (lambda t: edited(t, "Frame Time: 0.0083333", "Frame Time: 1e9"), "no usual number of milliseconds"),
        (lambda t: edited(t, "Frame Time: 0.0083333", "Frame Time: 20"), "20, which may be milliseconds or"),
        (lambda t: edited(t, "Frame Time: 0.0083333", "Frame Time: soon"), "'Frame Time:' holds 'soon'"),
        (lambda t: edited(t, "Frame Time: 0.0083333", "Frame Time:"), "'Frame Time:' holds"),
        (glued, "^[^ ]*: '[-0-9.]+-[-0-9.]+' in frame 2 is no number but two without a space between them"),
        (lambda t: last_word_cut(t) + " 1.5.5\n", "'1.5.5' in frame 5 is no number but two"),
        (
            lambda t: last_word_cut(t) + " " + 50_000 * "1" + "x\n",
            "Yrotation of RightHand is '1{60}' in frame",
        ),
        (lambda t: last_word_cut(t) + " 1.5f\n", "Yrotation of RightHand is '1.5f' in frame 5"),
        (lambda t: last_word_cut(t) + " 1e30\n", "is '1e30' in frame 5, a number below 100,000,000 was"),
        (
            lambda t: re.sub("\n(?=[-.0-9 ]+$)", "\n7 ", t, flags=re.M),
            "holds 43 numbers where .* 42 channels",
        ),
        (lambda t: edited(t, "Frames: 5", "Frames: -1"), "declares -1 frames and holds 5"),
        (lambda t: last_word_cut(t) + " nan\n", "Yrotation of RightHand is 'nan' in frame 5"),
        (lambda t: last_word_cut(t) + " 1,5\n", "Yrotation of RightHand is '1,5' in frame 5"),
        (lambda t: edited(t, "OFFSET 0.1", "OFFSET 1e30 "), "OFFSET of LeftUpLeg holds '1e30"),
        (lambda t: edited(t, "OFFSET 0.1", "OFFSET x"), "OFFSET of LeftUpLeg"),
        (lambda t: edited(t, "CHANNELS 6", "CHANNELS 5"), "channels of Hips"),
        (lambda t: edited(t, "Zrotation", "Wrotation"), "channels of Hips"),
        (lambda t: edited(t, "\t}\n}\nMOTION", "\t}\nMOTION"), "not closed"),
        (lambda t: edited(t, "JOINT Spine", "BONE Spine"), "'BONE Spine'"),
        (lambda t: edited(t, "\nMOTION", "\nROOT Other\n{\n}\nMOTION"), "several skeletons"),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence_that_names_it(tmp_path, change, message):
    path = write_person_bvh(tmp_path / "walk.bvh", moving_person())
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message) as refusal:
        read(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


def test_a_height_that_is_nobodys_asks_for_the_scale(tmp_path):
    path = write_person_bvh(tmp_path / "walk.bvh", moving_person(), unit=0.2)
    with pytest.raises(InputError, match=r"8.5 units tall.*scale"):
        read(path)


def test_a_zero_pose_that_is_no_standing_person_is_refused(tmp_path):
    lengths = np.linalg.norm(OFFSETS, axis=1)
    along_x = np.stack([lengths, 0 * lengths, 0 * lengths], axis=1)
    person = replace(moving_person(), offsets=along_x)
    with pytest.raises(InputError, match="nobody standing upright"):
        read(write_person_bvh(tmp_path / "walk.bvh", person))


def test_five_thousand_frames_take_less_than_a_second(tmp_path):
    person = moving_person(frames=100)
    path = write_person_bvh(tmp_path / "walk.bvh", person)
    head, _, frames = path.read_text().partition("Frames: 100\nFrame Time: 0.0083333\n")
    path.write_text(f"{head}Frames: 5000\nFrame Time: 0.0083333\n" + frames * 50)
    start = time.process_time()
    assert len(read(path)) == 5000
    assert time.process_time() - start < 1


@pytest.mark.parametrize(("clip", "within_mm"), [("02/02_01", 1.0), ("16/16_15", 7.0)])
def test_cmu_bvh_and_amc_agree_once_the_lost_bones_are_back(shared_data, clip, within_mm):
    mocap = shared_data / "mocap"
    motion = read(mocap / "raw" / f"{clip[3:]}.bvh").resampled(30)
    truth = read(mocap / "cmu" / f"{clip}.npz")
    assert len(motion) == len(truth)
    same = json.loads((mocap / "skeletons.json").read_text())
    ours, theirs = motion.positions(), truth.positions()
    for bvh_joint, asf_joint in zip(same["bvh_mb"]["h36m17"].values(), same["asf"]["h36m17"].values()):
        apart = ours[:, motion.joints.index(bvh_joint)] - theirs[:, truth.joints.index(asf_joint)]
        assert np.linalg.norm(apart, axis=-1).max() * 1000 < within_mm, bvh_joint


def test_daz_bvh_equals_its_npz(shared_data):
    motion = read(shared_data / "mocap" / "raw" / "60_daz10.bvh")
    truth = read(shared_data / "mocap" / "cmu" / "60" / "60_daz10.npz")  # keeps the added first pose
    assert motion.joints == truth.joints
    np.testing.assert_allclose(motion.positions()[1::2], truth.positions()[1:], atol=1e-5)
