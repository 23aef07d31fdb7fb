"""mpt prepare mocap: files to store, subjects kept apart, bad files named."""

import contextlib
import os

import numpy as np
import pytest
import roma
import torch
from captured import captured, standing
from clips import given_body, given_clips, given_console, given_skeleton, waving, write_clip  # noqa: F401
from rich.console import Console
from rigs import skeleton as rig

from mpt.cli import main
from mpt.datasets.store import PoseStore, Sequence
from mpt.errors import InputError
from mpt.recipes import laying
from mpt.recipes.poses import pose_kind
from mpt.recipes.prepare import prepare_mocap


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

    retarget = laying.retarget
    monkeypatch.setattr(laying, "retarget", interrupted)
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
