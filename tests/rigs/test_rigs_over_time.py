"""Rigs that move: what independent readers make of every frame of their files."""

import warnings
from dataclasses import replace
from pathlib import Path

import bvh
import numpy as np
import pybvh
import pygltflib
import pytest
import roma
import torch
import trimesh
from official import as_published, h36m_regressor, write_pickle
from official import smpl as made_up
from posed import gltf_arrays, posed_person, skinned_by_hand, validator_says

from mpt import bodies
from mpt.bodies import smpl
from mpt.bodies.motion import BodyMotion, still
from mpt.errors import InputError
from mpt.floor import World
from mpt.mocap.bvh import read_bvh
from mpt.rigs.bvh import bvh as bvh_of
from mpt.rigs.gltf import Lens, rigged
from mpt.rigs.names import mixamo
from mpt.rigs.rig import Place, rig_of
from mpt.rigs.timing import at_rate, keys
from mpt.saving import Saving, save_motion, save_motions_together

MM = 1e-3
FPS = 30.0
TURN = np.array([[0.0, 0, 1], [0, -1, 0], [1, 0, 0]])  # camera axes -> y up, seen from another side
PLACE = Place(TURN, np.array([0.5, 1.1, -2.0]))
WORLD = World(PLACE.rotation, PLACE.shift, "model", (0.0,))


def moving(seed: int = 1, count: int = 40, body: str = "anny") -> BodyMotion:
    """Somebody who swings all limbs, each at its own pace, turns about twice and walks off."""
    pose = posed_person(seed, body)
    times = np.arange(count) / FPS
    pace = 2 * np.pi * np.linspace(0.4, 1.1, len(pose.body.bones))
    swing = np.cos(times[:, None] * pace)[:, :, None]
    rotvec = pose.rotvec * swing
    spin = np.stack([0 * times, 4 * np.pi * times / times[-1], 0 * times], 1)
    root = roma.rotvec_composition(
        [torch.from_numpy(np.tile(pose.rotvec[0].astype(float), (count, 1))), torch.from_numpy(spin)]
    )
    rotvec[:, 0] = root.numpy()
    translation = pose.translation_m + np.column_stack([times, 0.1 * np.sin(9 * times), 3 + 0.5 * times])
    return BodyMotion(
        pose.body, rotvec.astype(np.float32), pose.shape, translation.astype(np.float32), times, FPS
    )


@pytest.fixture(scope="module")
def motion() -> BodyMotion:
    return moving()


def heads(motion: BodyMotion, frame: int) -> dict[str, np.ndarray]:
    return dict(zip(motion.body.bones, PLACE(motion[frame].posed().transforms[:, :3, 3].astype(float))))


def played(path: Path, seconds: float) -> list[np.ndarray]:
    """(V, 3) of each skin of a GLB at a moment of its animation, by glTF's own rules."""
    file = pygltflib.GLTF2().load(str(path))
    (animation,) = file.animations
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        assert sampler.interpolation == "LINEAR"
        times, values = gltf_arrays(file, sampler.input)[:, 0], gltf_arrays(file, sampler.output)
        second = int(np.clip(np.searchsorted(times, seconds), 1, len(times) - 1))
        share = np.clip((seconds - times[second - 1]) / (times[second] - times[second - 1]), 0, 1)
        value = values[second - 1] + share * (values[second] - values[second - 1])
        if channel.target.path == "rotation":
            assert (values[1:] * values[:-1]).sum(1).min() > 0  # no quaternion jumps to its negative
            value = value / np.linalg.norm(value)
        setattr(file.nodes[channel.target.node], channel.target.path, value.tolist())
    return skinned_by_hand(file)


def test_every_frame_of_a_glb_skins_to_the_body(tmp_path, motion):
    """Four bones to a vertex are few where neck, collar, arm and spine all turn: there some skin is off."""
    path = tmp_path / "person.glb"
    path.write_bytes(rigged({"person": rig_of(motion, PLACE)}))
    off = []
    for frame in range(0, len(motion), 3):
        (vertices,) = played(path, motion.times_s[frame])
        off.append(np.linalg.norm(vertices - PLACE(motion[frame].posed().vertices), axis=1))
    off = np.stack(off)
    assert off.mean() < 0.01 * MM and (off.max(0) > MM).mean() < 0.003 and off.max() < 4 * MM


def test_what_stays_is_not_animated_and_a_photo_not_at_all(tmp_path, motion):
    path = tmp_path / "person.glb"
    path.write_bytes(rigged({"person": rig_of(motion, PLACE)}))
    file = pygltflib.GLTF2().load(str(path))
    turned = {
        file.nodes[channel.target.node].name
        for channel in file.animations[0].channels
        if channel.target.path == "rotation"
    }
    assert turned == set(motion.body.moving_bones)
    assert [c.target.path for c in file.animations[0].channels].count("translation") == 1
    path.write_bytes(rigged({"person": rig_of(still(motion[3]), PLACE)}))
    assert not pygltflib.GLTF2().load(str(path)).animations


@pytest.mark.parametrize("rest", ["a-pose", "t-pose"])
@pytest.mark.parametrize("names", ["anny", "mixamo"])
def test_every_frame_of_a_bvh_has_the_joints_where_the_body_has_them_by_three_readers(
    tmp_path, motion, names, rest
):
    path = tmp_path / "person.bvh"
    path.write_bytes(bvh_of(rig_of(motion, PLACE, names=names, rest=rest, all_bones=False)))
    called = mixamo(motion.body) if names == "mixamo" else {bone: bone for bone in motion.body.bones}
    with warnings.catch_warnings(action="error"):
        ours = read_bvh(path, scale=1.0, up="y")
    theirs, plain = pybvh.read_bvh_file(path), bvh.Bvh(path.read_text())
    assert ours.fps == pytest.approx(FPS, abs=1e-4) and 1 / plain.frame_time == pytest.approx(FPS, abs=1e-4)
    assert len(ours.positions()) == plain.nframes == len(motion)
    second = theirs.joint_positions()
    for frame in range(0, len(motion), 4):
        wanted = {called[bone]: at for bone, at in heads(motion, frame).items() if bone in called}
        read = dict(zip(ours.joints, ours.positions()[frame]))
        for joint, at in zip(theirs.joint_names, second[frame]):
            np.testing.assert_allclose(at, wanted[joint], atol=0.1 * MM)
            np.testing.assert_allclose(read[joint], wanted[joint], atol=0.1 * MM)
    for joint in theirs.joint_names:
        parent = plain.joint_parent(joint)
        if parent is not None:
            bone = second[:, [theirs.joint_names.index(end) for end in (joint, parent.name)]]
            assert np.ptp(np.linalg.norm(bone[:, 0] - bone[:, 1], axis=1)) < 0.1 * MM


def test_angles_of_a_bvh_do_not_jump(motion):
    text = bvh_of(rig_of(motion, PLACE, rest="t-pose", all_bones=False)).decode()
    rows = np.array([row.split() for row in text.split("Frame Time:")[1].splitlines()[1:]], float)
    assert np.abs(np.diff(rows[:, 3:], axis=0)).max() < 90
    assert np.ptp(rows[:, 3:], axis=0).max() > 500  # who turns twice has turned by 720 degrees


def test_a_long_absence_is_held_and_a_short_one_bridged():
    times = np.array([0.0, 0.1, 0.4, 0.5, 2.0, 2.1])
    when, frame = keys(times, 10.0)
    np.testing.assert_allclose(when, [0, 0.1, 0.4, 0.5, 1.9, 2.0, 2.1])
    assert frame.tolist() == [0, 1, 2, 3, 3, 4, 5]
    before, after, share = at_rate(times, 10.0)
    assert len(before) == 22
    shown = before + share * (after - before)
    np.testing.assert_allclose(shown[:6], [0, 1, 1 + 1 / 3, 1 + 2 / 3, 2, 3], atol=1e-9)
    np.testing.assert_allclose(shown[6:], [3] * 14 + [4, 5])
    assert at_rate(np.arange(7) / 29.97 + 4, 29.97)[2].tolist() == [0] * 7
    assert [len(part) for part in at_rate(np.zeros(1), 30.0)] == [1, 1, 1]


def test_files_hold_who_is_away_and_bridge_uneven_frames(tmp_path, motion):
    """Of frames at uneven times a GLB has these times, a BVH what is between them at its own."""
    kept = [k for k in range(len(motion)) if k % 3 != 1 and not 10 < k < 30]
    part = BodyMotion(
        motion.body,
        motion.rotvec[kept],
        motion.shape,
        motion.translation_m[kept],
        motion.times_s[kept] + 5,
        FPS,
    )
    rig = rig_of(part, PLACE)
    glb, path = tmp_path / "person.glb", tmp_path / "person.bvh"
    glb.write_bytes(rigged({"person": rig}))
    path.write_bytes(bvh_of(rig_of(part, PLACE, all_bones=False)))
    gone, middle = kept.index(9), (kept.index(9) + 1)
    assert kept[middle] == 30
    (left,) = played(glb, part.times_s[gone])
    (away,) = played(glb, part.times_s[gone] + 0.4)
    (back,) = played(glb, part.times_s[middle])
    np.testing.assert_allclose(away, left, atol=0.01 * MM)
    np.testing.assert_allclose(back, PLACE(part[middle].posed().vertices), atol=10 * MM)
    theirs = pybvh.read_bvh_file(path)
    at = theirs.joint_positions()
    assert len(at) == kept[-1] - kept[0] + 1
    np.testing.assert_allclose(at[12], at[9], atol=0.1 * MM)
    for frame in (0, 2, 3, 30, kept[-1]):
        wanted = heads(motion, frame)
        ours = np.stack([wanted[joint] for joint in theirs.joint_names])
        np.testing.assert_allclose(at[frame - kept[0]], ours, atol=0.1 * MM)
    true = np.stack([heads(motion, 4)[joint] for joint in theirs.joint_names])  # a frame that was not there
    assert np.linalg.norm(at[4] - true, axis=1).max() < 15 * MM


def test_several_people_move_in_one_animation(tmp_path, motion):
    other = moving(2, 25)
    later = replace(other, times_s=other.times_s + 1.0)
    path = tmp_path / "everybody.glb"
    lens = Lens(700.0, (640, 480))
    save_motions_together(path, {"person0": motion, "person1": later}, Saving(), WORLD, lens)
    assert len(trimesh.load(path).geometry) == 2
    for seconds, frames in ((0.0, (0, 0)), (1.2, (36, 6)), (1.3, (39, 9))):
        for vertices, who, frame in zip(played(path, seconds), (motion, later), frames):
            off = np.linalg.norm(vertices - PLACE(who[frame].posed().vertices), axis=1)
            assert off.mean() < 0.02 * MM
    file = pygltflib.GLTF2().load(str(path))
    assert len(file.animations) == 1 and len(file.cameras) == 1


@pytest.mark.parametrize("body", ["anny", "anny-hand"])
def test_a_motion_saves_itself_as_each_format(tmp_path, body):
    motion = moving(3, 20, body)
    for ending in ("glb", "bvh"):
        save_motion(tmp_path / f"one.{ending}", motion, Saving(), world=WORLD)
    (vertices,) = played(tmp_path / "one.glb", motion.times_s[7])
    assert np.linalg.norm(vertices - PLACE(motion[7].posed().vertices), axis=1).mean() < 0.02 * MM
    save_motion(tmp_path / "cm.bvh", motion, Saving(scale="cm"), world=WORLD)
    metres, centimetres = (pybvh.read_bvh_file(tmp_path / f"{name}.bvh") for name in ("one", "cm"))
    np.testing.assert_allclose(centimetres.joint_positions(), 100 * metres.joint_positions(), atol=1e-3)
    save_motion(tmp_path / "here.glb", motion, Saving(), world=None)
    (vertices,) = played(tmp_path / "here.glb", 0)
    off = np.linalg.norm(vertices - motion[0].posed().vertices * [1, -1, -1], axis=1)
    assert off.mean() < 0.02 * MM


def test_what_holds_no_motion_is_refused_and_leaves_nothing(tmp_path, motion, monkeypatch):
    monkeypatch.setattr("mpt.rigs.fbx._blender", lambda: None)
    for name, sentence in (
        ("me.obj", r"^'obj' is no format for motion; use glb, bvh, fbx, trc, c3d, csv$"),
        ("me.mov", r"^'mov' is no format that can be written; use glb"),
        ("me.fbx", r"^fbx is written by Blender's own exporter"),
    ):
        with pytest.raises(InputError, match=sentence):
            save_motion(tmp_path / name, motion, Saving(), world=WORLD)
    assert not list(tmp_path.iterdir())


def test_the_validator_of_gltf_is_silent(tmp_path, motion):
    path = tmp_path / "both.glb"
    save_motions_together(path, {"a": motion, "b": moving(2, 9)}, Saving(), WORLD, Lens(700.0, (640, 480)))
    assert validator_says(path) == []


def test_skin_that_bends_by_its_pose_is_met_as_nearly_as_bones_can(tmp_path):
    model = made_up()
    write_pickle(tmp_path / "SMPL_FEMALE.pkl", as_published(model))
    np.save(tmp_path / "h36m.npy", h36m_regressor(model, "left"))
    smpl.build(
        tmp_path / "SMPL_FEMALE.pkl", tmp_path / "smpl.safetensors", h36m_regressor=tmp_path / "h36m.npy"
    )
    body = bodies.load(tmp_path / "smpl.safetensors")
    rng = np.random.default_rng(0)
    limbs = 0.3 * np.sin(
        np.linspace(0, 3, 12)[:, None, None] * rng.uniform(1, 3, (24, 1)) + rng.random((24, 3))
    )
    shape = np.zeros(body.shape_count, np.float32)
    motion = BodyMotion(
        body, limbs.astype(np.float32), shape, np.zeros((12, 3), np.float32), np.arange(12) / FPS, FPS
    )
    path, off = tmp_path / "person.glb", {}
    for all_bones in (True, False):  # without them the skin stays as it rests
        path.write_bytes(rigged({"person": rig_of(motion, PLACE, all_bones=all_bones)}))
        skins = [
            played(path, second)[0] - PLACE(motion[k].posed().vertices)
            for k, second in enumerate(motion.times_s)
        ]
        off[all_bones] = np.linalg.norm(skins, axis=2)
    assert off[True].mean() < 0.8 * off[False].mean()
