"""mpt prepare: files to store, near-duplicates dropped, subjects kept apart, bad files named; hands drawn."""

import contextlib
import itertools
import os

import numpy as np
import pytest
import roma
import torch
from captured import captured, standing
from layouts import complement
from official import mano as made_up_mano
from official import write_pickle
from rich.console import Console
from rigs import skeleton as rig

import mpt.bodies
from mpt.bodies import mano
from mpt.cli import main
from mpt.datasets.store import PoseStore, Sequence
from mpt.errors import InputError
from mpt.recipes import prepare
from mpt.recipes.prepare import (
    changed_frames,
    pose_kind,
    prepare_hands,
    prepare_meshes,
    prepare_mocap,
    repair,
)


@pytest.fixture(scope="module")
def body():
    return mpt.bodies.load("anny")


@pytest.fixture
def console(tmp_path):
    with (tmp_path / "console.txt").open("w") as file:
        yield Console(file=file, width=200)


@pytest.fixture(scope="module")
def skeleton(body):
    part = body.with_bones(body.moving_bones)
    heads = part.heads.double().numpy()
    offsets = heads - heads[[max(parent, 0) for parent in part.parents]]
    return {"names": np.array(part.bones), "parents": np.array(part.parents), "offsets": offsets}


def write_clip(path, skeleton, rotvec, fps=30):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **skeleton, rotvec=rotvec, trans=np.zeros((len(rotvec), 3)), fps=fps)


def waving(frames: int, bones: int, seed: int = 0) -> np.ndarray:
    """Rotations that change by 3 to 10 degrees a frame, all within a person's limits."""
    steps = np.random.default_rng(seed).uniform(0.05, 0.15, (frames, bones, 3)) * [1, 0, 0]
    return np.where(np.cumsum(steps, 0) % 2 > 1, 1 - np.cumsum(steps, 0) % 1, np.cumsum(steps, 0) % 1)


@pytest.fixture
def clips(tmp_path, skeleton):
    folder = tmp_path / "clips"
    bones = len(skeleton["names"])
    for seed, (subject, name, frames) in enumerate([("a", "walk", 20), ("a", "run", 15), ("b", "sit", 10)]):
        write_clip(folder / subject / f"{name}.npz", skeleton, waving(frames, bones, seed))
    return folder


def test_motions_become_poses_split_by_subject(clips, tmp_path, body, console):
    out = tmp_path / "out" / "poses.store"
    summary = prepare_mocap([clips], out, body=body, validation=["b"], console=console)
    store = PoseStore(out, body=body)
    assert {(s.name, s.subject, s.source, s.split) for s in store.sequences} == {
        ("walk", "a", "a/walk.npz", "train"),
        ("run", "a", "a/run.npz", "train"),
        ("sit", "b", "b/sit.npz", "validation"),
    }
    assert (summary.frames, summary.poses, summary.size) == (45, len(store), out.stat().st_size)
    assert summary.sequences == store.sequences
    assert len(store.validation) == 10
    given = np.load(clips / "b" / "sit.npz")["rotvec"]
    np.testing.assert_allclose(
        store.rotvec(store.validation), given[store.frame(store.validation)], atol=1e-3
    )


def test_the_table_says_how_much_of_each_split(clips, tmp_path, body, console):
    summary = prepare_mocap([clips], tmp_path / "a.store", body=body, validation=["b"], console=console)
    with open(os.devnull, "w") as nowhere:
        printer = Console(record=True, width=120, file=nowhere)
        printer.print(summary.table())
    text = printer.export_text()
    assert "train" in text and "validation" in text and "0 files skipped" in text


def test_a_broken_file_is_named_skipped_and_counted(clips, tmp_path, body, console):
    (clips / "b" / "broken.npz").write_text("not a zip")
    summary = prepare_mocap([clips], tmp_path / "a.store", body=body, console=console)
    assert [skipped.path.name for skipped in summary.skipped] == ["broken.npz"]
    assert "broken.npz: it is no .npz file" in summary.skipped[0].reason
    assert len(summary.sequences) == 3
    console.file.flush()
    assert "skipped" in (tmp_path / "console.txt").read_text()


def test_a_skeleton_that_is_nobody_is_skipped_too(clips, tmp_path, body, console, skeleton):
    lying = np.abs(skeleton["offsets"]) * [1, 0, 0]
    unknown = skeleton | {"names": np.array([f"bone{i}" for i in range(len(lying))]), "offsets": lying}
    write_clip(clips / "c" / "spider.npz", unknown, waving(3, len(skeleton["names"])))
    summary = prepare_mocap([clips], tmp_path / "a.store", body=body, console=console)
    assert "no joint was found for left_hip, right_hip, left_knee" in summary.skipped[0].reason


def test_bones_without_direction_keep_every_pose_that_differs(tmp_path, body, console):
    """Toes straight below the ankle, as made by hand; the person turns by 25 degrees a frame."""
    names, parents, offsets = rig("mixamo")
    toes = [joint for joint, name in enumerate(names) if "Toe" in name]
    offsets[toes] = (0, -0.06, 0)
    rotvec = np.zeros((6, len(names), 3))
    rotvec[:, 0, 1] = np.radians(25) * np.arange(6)
    write_clip(tmp_path / "x" / "a.npz", {"names": names, "parents": parents, "offsets": offsets}, rotvec)
    summary = prepare_mocap([tmp_path / "x"], tmp_path / "a.store", body=body, console=console)
    assert (summary.poses, len(summary.skipped)) == (6, 0)
    assert np.isfinite(PoseStore(tmp_path / "a.store", body=body).rotvec()).all()


def test_a_store_takes_no_pose_that_is_no_number(tmp_path, body):
    rotvec = np.zeros((3, len(body.moving_bones), 3))
    rotvec[1, 2] = np.nan
    about = Sequence("clip", "a", "a/clip.npz", 30.0, 3, 3, "train")
    kind = pose_kind(np.zeros_like(rotvec), body)
    with (
        pytest.raises(InputError, match=r"a/clip\.npz: 1 of its 3 poses hold rotations that are not finite"),
        PoseStore.create(tmp_path / "a.store", body=body) as writer,
    ):
        writer.add(about, rotvec=rotvec, frame=np.arange(3), kind=kind)
    assert not list(tmp_path.glob("*store*"))


def test_a_joint_map_and_the_axis_up_are_handed_to_the_readers(tmp_path, body, console):
    (tmp_path / "a.bvh").write_text(bvh(1.0).replace("mixamorig:LeftUpLeg", "Something"))
    told = {"joint_map": {"left_hip": "Something"}}
    summary = prepare_mocap([tmp_path / "a.bvh"], tmp_path / "a.store", body=body, console=console, **told)
    assert summary.poses == 1
    lying = prepare_mocap(
        [tmp_path / "a.bvh"], tmp_path / "b.store", body=body, console=console, up="z", **told
    )
    assert lying.poses == 1
    tilts = [PoseStore(tmp_path / name, body=body).kind().trunk_tilt[0] for name in ("a.store", "b.store")]
    assert tilts[0] < 10 and 80 < tilts[1] < 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--joint-map", "none.json"], "none.json does not exist: give a JSON file with limbs"),
        (["--joint-map", "map.json"], "map.json: no limb is called 'left_thigh', did you mean left_"),
        (["--up", "x"], "'x'"),
    ],
)
def test_wrong_ways_to_read_are_refused_by_the_command(
    clips, tmp_path, capsys, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map.json").write_text('{"left_thigh": "a"}')
    with pytest.raises(SystemExit) if options[0] == "--up" else contextlib.nullcontext():
        assert main(["prepare", "mocap", str(clips), "--out", "a.store", *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*store*"))


def test_strict_stops_at_a_broken_file_and_leaves_nothing(clips, tmp_path, body, console):
    (clips / "b" / "broken.npz").write_text("not a zip")
    with pytest.raises(InputError, match=r"broken\.npz: it is no \.npz file"):
        prepare_mocap([clips], tmp_path / "a.store", body=body, strict=True, console=console)
    assert not list(tmp_path.glob("*store*"))


def test_ctrl_c_leaves_no_store(clips, tmp_path, body, console, monkeypatch):
    calls = iter([1, 2])

    def interrupted(*args):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return retarget(*args)

    retarget = prepare.retarget
    monkeypatch.setattr(prepare, "retarget", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_mocap([clips], tmp_path / "a.store", body=body, console=console)
    assert not [name for name in os.listdir(tmp_path) if "store" in name]


def test_a_file_given_twice_is_read_once(clips, tmp_path, body, console):
    paths = [clips, clips / "a", clips / "a" / "walk.npz"]
    assert len(prepare_mocap(paths, tmp_path / "a.store", body=body, console=console).sequences) == 3


def test_fast_recordings_are_looked_at_more_rarely(tmp_path, body, console, skeleton):
    rotvec = np.repeat(waving(10, len(skeleton["names"])), 4, axis=0)
    write_clip(tmp_path / "x" / "fast.npz", skeleton, rotvec, fps=120)
    write_clip(tmp_path / "x" / "slow.npz", skeleton, rotvec[:8], fps=16)
    summary = prepare_mocap([tmp_path / "x"], tmp_path / "a.store", body=body, console=console)
    assert [(s.fps, s.frames) for s in summary.sequences] == [(30, 10), (16, 8)]


def knees(path, body) -> np.ndarray:
    """(N,) degrees by which stored poses bend their left knees."""
    store = PoseStore(path, body=body)
    part = body.with_bones(store.bones)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(store.rotvec()))
    heads = part.forward(rotations, torch.zeros(1, part.shape_count)).heads.numpy()
    hip, knee, ankle = (heads[:, part.bones.index(body.roles[f"left_{j}"])] for j in ("hip", "knee", "ankle"))
    cosine = ((knee - hip) * (ankle - knee)).sum(-1)
    return np.degrees(
        np.arccos(cosine / np.linalg.norm(knee - hip, axis=1) / np.linalg.norm(ankle - knee, axis=1))
    )


def test_people_whose_legs_were_fitted_too_long_stand_in_the_store(tmp_path, body, console):
    for name, true in (("stand", standing()), ("squat", standing(6, squats=90))):
        motion = captured(true, legs=1.01)
        about = {"names": np.array(motion.joints), "parents": motion.parents, "offsets": motion.offsets}
        arrays = {"rotvec": motion.rotvec, "trans": motion.trans, "fps": motion.fps}
        (tmp_path / "eve").mkdir(exist_ok=True)
        np.savez(tmp_path / "eve" / f"{name}.npz", **about, **arrays)
    how = {"body": body, "min_change": 0, "console": console}
    bent, straight = (tmp_path / name for name in ("bent.store", "straight.store"))
    summaries = [
        prepare_mocap([tmp_path / "eve"], out, straight=out == straight, **how) for out in (bent, straight)
    ]
    truth = np.concatenate([standing(6, squats=90), standing()])  # by the files' names
    assert (knees(bent, body) - truth).max() > 10
    assert np.abs(knees(straight, body) - truth).max() < 2
    assert PoseStore(bent).sampling["straightened"] is None
    (eve,) = PoseStore(straight).sampling["straightened"]
    assert eve == {"subject": "eve", "left_leg": pytest.approx(0.99, abs=2e-3), "right_leg": eve["left_leg"]}
    assert [summary.straightened for summary in summaries] == [None, 1]
    chosen = tmp_path / "chosen.store"
    prepare_mocap([tmp_path / "eve"], chosen, poses=100, **how)
    assert PoseStore(chosen).sampling["straightened"] == [eve]


def test_motion_on_the_bodys_own_bones_is_taken_as_it_is(tmp_path, body, console):
    heads = body.heads.double().numpy()
    offsets = heads - heads[[max(parent, 0) for parent in body.parents]]
    own = {"names": np.array(body.bones), "parents": np.array(body.parents), "offsets": offsets}
    rotvec = np.zeros((900, len(body.bones), 3))
    for side in ("left", "right"):
        rotvec[:, body.bones.index(body.roles[f"{side}_hip"]), 0] = -0.1
        rotvec[:, body.bones.index(body.roles[f"{side}_knee"]), 0] = 0.2
    write_clip(tmp_path / "x" / "own.npz", own, rotvec)
    summary = prepare_mocap([tmp_path / "x"], tmp_path / "a.store", body=body, console=console)
    assert summary.straightened == 0
    own = PoseStore(tmp_path / "a.store").rotvec()
    moving = [body.bones.index(bone) for bone in body.moving_bones]
    np.testing.assert_allclose(own, rotvec[: len(own), moving], atol=1e-3)


def test_a_note_that_many_files_give_is_said_once(tmp_path, body, console):
    for number in (1, 2, 3):
        (tmp_path / f"{number}.bvh").write_text(bvh(1.0).replace("Time: 0.04", f"Time: 33.33{number}"))
    (tmp_path / "4.bvh").write_text(bvh(1.0).replace("Frames: 2", "Frames: 3"))
    with pytest.warns(UserWarning) as notes:
        prepare_mocap([tmp_path], tmp_path / "a.store", body=body, console=console)
    first, of_another_kind, more = (str(note.message) for note in notes)
    assert first.endswith(
        "1.bvh: its frame time is 33.331, which is taken as milliseconds: 30 frames per second"
    )
    assert "4.bvh: it declares 3 frames and holds 2" in of_another_kind
    assert more == f"2 more files as {first}"


def bvh(unit: float) -> str:
    """Two frames of somebody at rest, in a unit of so many metres."""
    names, parents, offsets = rig("mixamo")

    def node(joint: int) -> str:
        below = "".join(node(child) for child, parent in enumerate(parents) if parent == joint)
        x, y, z = offsets[joint] / unit
        turns = "CHANNELS 3 Zrotation Xrotation Yrotation"
        below = below or "End Site {\nOFFSET 0 0 0\n}\n"
        return f"{'JOINT' if joint else 'ROOT'} {names[joint]}\n{{\nOFFSET {x} {y} {z}\n{turns}\n{below}}}\n"

    frames = ("0 " * 3 * len(names) + "\n") * 2
    return f"HIERARCHY\n{node(0)}MOTION\nFrames: 2\nFrame Time: 0.04\n{frames}"


def test_a_unit_that_nobody_guesses_may_be_given(tmp_path, body, console):
    (tmp_path / "feet.bvh").write_text(bvh(0.3048))
    with pytest.raises(InputError, match="give the length of its unit in metres as scale"):
        prepare_mocap([tmp_path], tmp_path / "a.store", body=body, console=console)
    summary = prepare_mocap([tmp_path], tmp_path / "a.store", body=body, scale=0.3048, console=console)
    assert (summary.frames, len(summary.skipped)) == (2, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": -1}, "scale is -1, a number above 0"),
        ({"validation": ["b", "9"]}, "validation subject 9 is not there, the subjects are a, b;"),
        ({"fps": 0}, "fps is 0, a number above 0"),
        ({"max_gap": float("nan")}, "max_gap is nan"),
        ({"poses": 0}, "poses is 0, a number above 0"),
        ({"min_change": -1}, "min_change is -1, degrees from 0 up"),
        ({"paths": []}, "no motion was given"),
        ({"paths": ["nowhere"]}, "nowhere: no such file or folder"),
    ],
)
def test_wrong_settings_are_refused_and_leave_nothing(clips, tmp_path, body, console, given, message):
    given = {"paths": [clips]} | given
    with pytest.raises(InputError, match=message):
        prepare_mocap(out=tmp_path / "a.store", body=body, console=console, **given)
    assert not list(tmp_path.glob("*store*"))


def test_nothing_readable_is_refused_with_the_first_reason(tmp_path, body, console):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "broken.npz").write_text("")
    with pytest.raises(InputError, match=r"none of the 1 files could be read; the first: .*broken\.npz"):
        prepare_mocap([tmp_path / "x"], tmp_path / "a.store", body=body, console=console)


def test_one_of_many_equal_frames_is_kept_and_one_each_second():
    still = np.zeros((100, 4, 3))
    np.testing.assert_array_equal(changed_frames(still, 0.05, 30), [0, 30, 60, 90])


def test_no_kept_neighbours_are_alike_and_no_dropped_frame_is_unlike():
    generator = np.random.default_rng(0)
    rotvec = np.cumsum(generator.normal(scale=0.01, size=(200, 4, 3)), 0)
    kept = changed_frames(rotvec, 0.05, 1000)

    def apart(a, b) -> float:
        """Largest angle between two poses, radians."""
        a, b = (roma.rotvec_to_rotmat(torch.from_numpy(rotvec[i])) for i in (a, b))
        return float(roma.rotmat_geodesic_distance(a, b).max())

    assert 10 < len(kept) < 200
    last = 0
    for frame in range(1, 200):
        assert (apart(last, frame) > 0.05) == (frame in kept)
        last = frame if frame in kept else last


def test_a_single_frame_is_kept():
    np.testing.assert_array_equal(changed_frames(np.zeros((1, 4, 3)), 0.05, 30), [0])


def test_without_a_least_change_or_a_longest_gap_all_frames_or_one_of_equals_are_kept():
    still = np.zeros((100, 4, 3))
    np.testing.assert_array_equal(changed_frames(still, 0.0), np.arange(100))
    np.testing.assert_array_equal(changed_frames(still, 0.05), [0])


def largest_turn(one, other) -> float:
    """Degrees by which the bone that differs most does."""
    one, other = (roma.rotvec_to_rotmat(torch.from_numpy(pose).double()) for pose in (one, other))
    return float(roma.rotmat_geodesic_distance(one, other).max().rad2deg())


@pytest.fixture
def long_clips(tmp_path, skeleton):
    """Two people who train, one of whom waves to and fro and then stands still, and one for validation."""
    folder, bones = tmp_path / "long", len(skeleton["names"])
    write_clip(folder / "a" / "walk.npz", skeleton, waving(400, bones, 0))
    still = np.repeat(waving(2, bones, 1), [100, 1], axis=0)
    to_and_fro = np.abs(np.random.default_rng(1).integers(-5, 6, 500).cumsum() % 12 - 6)
    wave = waving(7, bones, 1)[to_and_fro]
    write_clip(folder / "b" / "wave.npz", skeleton, np.concatenate([wave, still]))
    write_clip(folder / "c" / "run.npz", skeleton, waving(200, bones, 2))
    return folder


@pytest.mark.parametrize(
    ("poses", "min_change"), [(100, 2.0), (300, 2.0), (300, 8.0), (750, 2.0), (400, 0.0)]
)
def test_as_many_poses_as_asked_are_kept_and_no_neighbours_are_alike(
    long_clips, tmp_path, body, console, poses, min_change
):
    out = tmp_path / "out" / "a.store"
    summary = prepare_mocap(
        [long_clips], out, body=body, validation=["c"], poses=poses, min_change=min_change, straight=False,
        console=console,
    )  # fmt: skip
    store = PoseStore(out, body=body)
    assert abs(len(store.train) - poses) <= 0.01 * poses
    for number in range(3):
        kept = store.rotvec(store.sequence() == number)
        changes = [largest_turn(one, other) for one, other in itertools.pairwise(kept)]
        assert min(changes) > min_change - 0.2 or not min_change  # half precision
    assert store.sampling == {
        "fps": 30.0, "min_change_degrees": min_change, "poses": poses, "rate_hertz": summary.rate,
        "straightened": None,
    }  # fmt: skip
    with open(os.devnull, "w") as nowhere:
        printer = Console(record=True, width=160, file=nowhere)
        printer.print(summary.table())
    assert f"poses chosen at {summary.rate:.2f} Hz" in printer.export_text()
    assert os.listdir(out.parent) == ["a.store"]


def test_poses_are_chosen_evenly_over_the_time_of_all_motion(tmp_path, body, console, skeleton):
    bones = len(skeleton["names"])
    for name, frames, fps in (("slow", 300, 10), ("fast", 300, 30)):
        write_clip(tmp_path / "x" / name / "clip.npz", skeleton, waving(frames, bones), fps=fps)
    prepare_mocap([tmp_path / "x"], tmp_path / "a.store", body=body, poses=100, console=console)
    store = PoseStore(tmp_path / "a.store")
    assert [(s.name, s.subject, s.poses) for s in store.sequences] == [
        ("clip", "fast", 25), ("clip", "slow", 75)
    ]  # fmt: skip
    for sequence in range(2):
        gaps = np.diff(store.frame(store.sequence() == sequence))
        assert set(gaps) <= ({12, 13}, {4, 5})[sequence]


def test_of_too_little_motion_all_that_differs_is_kept_and_said(clips, tmp_path, body, console):
    summary = prepare_mocap([clips], tmp_path / "a.store", body=body, poses=1000, console=console)
    console.file.flush()
    said = " ".join((tmp_path / "console.txt").read_text().split())
    assert (summary.poses, summary.rate) == (45, 30)
    assert "1,000 poses were asked of the training motion, which holds 45 that differ by 2 degrees" in said


def test_a_number_of_poses_leaves_no_candidates_behind(clips, tmp_path, body, console):
    with pytest.raises(InputError, match="validation subject 9 is not there"):
        prepare_mocap([clips], tmp_path / "a.store", body=body, poses=10, validation=["9"], console=console)
    assert not [name for name in os.listdir(tmp_path) if "store" in name]


def amass(path, frames: int = 5) -> None:
    path.parent.mkdir(parents=True)
    poses = np.random.default_rng(0).normal(0, 0.3, (frames, 156))
    np.savez(path, poses=poses, trans=np.zeros((frames, 3)), mocap_framerate=30.0)


def test_a_subject_of_amass_is_named_with_its_set_or_alone_where_one_set_has_it(tmp_path, body, console):
    for folder in ("CMU/01", "CMU/02", "KIT/01"):
        amass(tmp_path / "amass" / folder / "01_01_poses.npz")
    for given, held_out in ((["CMU/01", "02"], {"CMU/01", "CMU/02"}), (["KIT/01"], {"KIT/01"})):
        prepare_mocap(
            [tmp_path / "amass"], tmp_path / "a.store", body=body, validation=given, console=console
        )
        store = PoseStore(tmp_path / "a.store")
        assert {s.subject for s in store.sequences if s.split == "validation"} == held_out
        assert len(store.indices(subjects=given)) == len(store.validation) == 5 * len(held_out)
    message = r"subject 01 may be CMU/01 or KIT/01, one was expected; name it with its set"
    with pytest.raises(InputError, match=message):
        prepare_mocap(
            [tmp_path / "amass"], tmp_path / "b.store", body=body, validation=["01"], console=console
        )
    with pytest.raises(InputError, match=message):
        store.indices("train", subjects=["01"])
    assert len(store.indices(subjects=["nobody"])) == 0


def test_flipped_heads_go_back_to_rest_and_nothing_else_changes(body):
    rotvec = np.full((2, len(body.moving_bones), 3), 0.2)
    head = body.moving_bones.index(body.roles["head"])
    rotvec[1, head] = (0, 0, 3.1)
    found, flipped = repair(rotvec, body)
    np.testing.assert_array_equal(flipped, [False, True])
    np.testing.assert_array_equal(found[1, head], 0)
    rotvec[1, head] = 0
    np.testing.assert_array_equal(found, rotvec)


def test_pelvis_height_and_trunk_tilt_tell_standing_lying_and_handstands(body):
    rotvec = np.zeros((3, len(body.moving_bones), 3))
    rotvec[1, 0] = (-np.pi / 2, 0, 0)
    rotvec[2, 0] = (np.pi, 0, 0)
    kind = pose_kind(rotvec, body)
    heads = body.heads.numpy()
    np.testing.assert_allclose(kind.pelvis_height[0], heads[0, 1] - heads[:, 1].min(), atol=1e-6)
    assert kind.pelvis_height[0] > 0.8 and kind.pelvis_height[1] < 0.3
    tilt = kind.trunk_tilt
    assert tilt[0] < 5 and abs(tilt[1] - 90) < 5
    np.testing.assert_allclose(tilt[2], 180 - tilt[0], atol=1e-6)


def test_pose_kind_agrees_with_the_bodys_own_kernel(body):
    rotvec = np.random.default_rng(0).normal(scale=0.5, size=(4, len(body.moving_bones), 3))
    full = body.to(dtype=torch.float64)
    local = torch.eye(3, dtype=torch.float64).repeat(4, len(full.bones), 1, 1)
    local[:, [full.bones.index(bone) for bone in full.moving_bones]] = roma.rotvec_to_rotmat(
        torch.from_numpy(rotvec)
    )
    heads = full.forward(local, torch.zeros(1, full.shape_count, dtype=torch.float64)).heads.numpy()
    np.testing.assert_allclose(
        pose_kind(rotvec, body).pelvis_height, heads[:, 0, 1] - heads[..., 1].min(1), atol=1e-6
    )


@pytest.fixture(scope="module")
def hand():
    return mpt.bodies.load("anny-hand")


def test_hands_are_drawn_and_stored_a_twentieth_for_validation(tmp_path, hand):
    summary = prepare_hands(tmp_path / "hands.store", samples=60)
    store = PoseStore(summary.path, body=hand)
    assert (len(store.train), len(store.validation), summary.poses) == (57, 3, 60)
    assert [s.name for s in store.sequences] == ["sampled-train", "sampled-validation"]
    assert np.isnan(store.kind().pelvis_height).all() and np.isnan(store.kind().trunk_tilt).all()
    assert (store.rotvec()[:, 0] == 0).all() and np.isfinite(store.rotvec()).all()
    assert len(np.unique(store.rotvec(), axis=0)) == 60  # validation poses are none of the others


def test_a_seed_tells_the_hands_that_are_drawn(tmp_path):
    one, same, other = (
        PoseStore(prepare_hands(tmp_path / f"{k}.store", samples=20, seed=seed).path).rotvec()
        for k, seed in enumerate((3, 3, 4))
    )
    np.testing.assert_array_equal(one, same)
    assert not np.isclose(one, other).all((1, 2)).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"body": "anny"}, "has no moving bone 'index1'"),
        ({"samples": 0}, "samples is 0, a number above 0"),
        ({"seed": -1}, "seed is -1, a number from 0 up"),
    ],
)
def test_wrong_wishes_of_hands_are_refused_and_leave_nothing(given, message, tmp_path):
    with pytest.raises(InputError, match=message):
        prepare_hands(tmp_path / "hands.store", **given)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def made_up_hand(tmp_path_factory):
    return mano.read(write_pickle(tmp_path_factory.mktemp("mano") / "MANO.pkl", made_up_mano()))


@pytest.fixture
def posed_meshes(tmp_path, made_up_hand):
    """Complement's folder with four left hands before a camera, the second again from another side."""
    rotvec = torch.from_numpy(np.random.default_rng(0).normal(0, 0.4, (4, 16, 3))).float()
    rotvec = torch.cat([rotvec, rotvec[1:2]])
    rotvec[4, 0] += 1.0
    shape = made_up_hand.sample_shapes(4, torch.Generator().manual_seed(0))[[0, 1, 2, 3, 1]]
    vertices = made_up_hand(roma.rotvec_to_rotmat(rotvec), shape).vertices * torch.tensor([-1.0, -1.0, -1.0])
    for number, mesh in enumerate(vertices + torch.tensor([0, 0, 0.6])):
        file = tmp_path / "compdata" / f"view{number // 4}" / "model_mano" / f"{number % 4}.obj"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in mesh.tolist()))
    return tmp_path / "compdata", rotvec[:4].numpy()


def test_meshes_become_the_poses_that_made_them_each_once(posed_meshes, tmp_path, made_up_hand, console):
    folder, rotvec = posed_meshes
    summary = prepare_meshes([folder], tmp_path / "h.store", body=made_up_hand, console=console)
    store = PoseStore(summary.path, body=made_up_hand)
    assert (len(store.train), len(store.validation), len(summary.skipped)) == (3, 1, 0)
    assert [s.name for s in store.sequences] == ["meshes-train", "meshes-validation"]
    np.testing.assert_allclose(store.rotvec(), rotvec, atol=0.01)


def test_meshes_of_something_else_are_named_and_skipped(posed_meshes, tmp_path, made_up_hand, console):
    folder, _ = posed_meshes
    complement(folder / "other")  # 778 points anywhere, in two views
    (folder / "cut.obj").write_text("v 0 0 0\n")
    summary = prepare_meshes([folder], tmp_path / "h.store", body=made_up_hand, console=console)
    assert sorted(skipped.path.name for skipped in summary.skipped) == ["12.obj", "cut.obj"]
    assert summary.poses == 4
    with pytest.raises(InputError, match=r"cut\.obj: it holds 1 x 1 x 3 numbers"):
        prepare_meshes([folder], tmp_path / "s.store", body=made_up_hand, strict=True, console=console)
    with pytest.raises(
        InputError, match=r"none of the 1 meshes could be taken; .*mm from any pose of mano-right"
    ):
        prepare_meshes([folder / "other"], tmp_path / "s.store", body=made_up_hand, console=console)
    assert not (tmp_path / "s.store").exists()
