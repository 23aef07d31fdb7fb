"""What Blender makes of our files, where it is installed: as a command, or as the package bpy."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from posed import posed_person
from test_rigs_over_time import FPS, PLACE, WORLD, moving

from mpt.bodies.pose import BodyPose
from mpt.floor import World
from mpt.rigs import fbx
from mpt.rigs.gltf import rigged
from mpt.rigs.rig import Place, rig_of
from mpt.saving import Saving, save_motion, save_motions_together

BLENDER = fbx._blender()
pytestmark = pytest.mark.skipif(
    BLENDER is None, reason="Blender is not here (the command blender, or pip install bpy)"
)
MM = 1e-3
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # of ours, y up, to Blender's
LOOK = """
import sys, numpy as np, bpy
from mathutils import Matrix
source, target, turns = sys.argv[-3:]
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps = 30
if source.endswith("bvh"):
    bpy.ops.import_anim.bvh(filepath=source)
elif source.endswith("fbx"):
    bpy.ops.import_scene.fbx(filepath=source)
else:
    bpy.ops.import_scene.gltf(filepath=source)
things = sorted(bpy.data.objects, key=lambda thing: thing.name)
armatures = [thing for thing in things if thing.type == "ARMATURE"]
skins = [thing for thing in things if thing.type == "MESH" and thing.modifiers]
found = {"objects": [thing.name for thing in things if not thing.name.startswith("Icosphere")]}
found["scales"] = [thing.matrix_world.to_scale()[:] for thing in armatures + skins]

def vertices(skin):
    seen = skin.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return [seen.matrix_world @ vertex.co for vertex in seen.to_mesh().vertices]

first = round(min([action.frame_range[0] for action in bpy.data.actions], default=0))
for frame in (0, 7, 19):
    scene.frame_set(first + frame)
    found[f"frame{frame}"] = [vertices(skin) for skin in skins]
scene.frame_set(first)
for one in armatures:
    bones = [bone for bone in one.data.bones]
    found[one.name] = [bone.name for bone in bones]
    found[f"{one.name} parents"] = [bones.index(bone.parent) if bone.parent else -1 for bone in bones]
    for part, place in (("heads", "head_local"), ("tails", "tail_local")):
        found[f"{one.name} {part}"] = [one.matrix_world @ getattr(bone, place) for bone in bones]
    found[f"{one.name} turned"] = [bone.rotation_quaternion.angle for bone in one.pose.bones]
    found[f"{one.name} posed"] = [one.matrix_world @ bone.head for bone in one.pose.bones]
for name, turn in np.load(turns).items():
    bone = armatures[0].pose.bones[name]
    axes = armatures[0].matrix_world.to_3x3() @ bone.bone.matrix_local.to_3x3()
    bone.rotation_mode = "QUATERNION"
    bone.rotation_quaternion = (axes.inverted() @ Matrix(turn.tolist()) @ axes).to_quaternion()
bpy.context.view_layer.update()
found["again"] = [vertices(skin) for skin in skins]
for one in armatures:
    one.data.pose_position = "REST"
bpy.context.view_layer.update()
found["rest"] = [vertices(skin) for skin in skins]
np.savez(target, **found)
"""


def seen_in_blender(path: Path, turns: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """What Blender has after importing a file, z up; ``turns`` (3, 3), in our axes, then pose bones again."""
    script, result, bones = (path.with_name(name) for name in ("look.py", "look.npz", "turns.npz"))
    script.write_text(LOOK)
    np.savez(bones, **{name: Z_UP @ turn @ Z_UP.T for name, turn in (turns or {}).items()})
    command = [*(BLENDER or []), str(script), "--", str(path), str(result), str(bones)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "invalid mode: 'rU'" in done.stderr:
        pytest.skip("the BVH importer of this old Blender does not run under its own Python")
    assert result.is_file(), done.stderr[-2000:]
    return dict(np.load(result))


def vertices(pose: BodyPose, place: Place = PLACE) -> np.ndarray:
    return place(pose.posed().vertices) @ Z_UP.T


@pytest.fixture(scope="module")
def people() -> list[BodyPose]:
    return [posed_person(1), posed_person(2)]


@pytest.mark.parametrize("ending", ["glb", "fbx"])
def test_people_are_imported_as_armatures_in_their_poses(tmp_path, people, ending):
    places = [PLACE, Place(PLACE.rotation, PLACE.shift + np.array([1.0, 0.2, 0.3]))]
    rigs = {f"person{k}": rig_of(*both) for k, both in enumerate(zip(people, places))}
    path = tmp_path / f"everybody.{ending}"
    content = rigged(rigs)
    path.write_bytes(content if ending == "glb" else fbx.fbx(content, FPS))
    forearm = roma.rotvec_to_rotmat(torch.tensor([0.3, -1.2, 0.2], dtype=torch.float64)).numpy()
    seen = seen_in_blender(path, {"lowerarm01.L": forearm})
    assert set(seen["objects"]) == {"person0", "person1", "person0 skin", "person1 skin"}
    np.testing.assert_allclose(seen["scales"], 1, atol=1e-5)
    for k, (pose, place) in enumerate(zip(people, places)):
        np.testing.assert_allclose(seen["frame0"][k], vertices(pose, place), atol=0.1 * MM)
        assert seen["rest"][k][:, 2].min() == pytest.approx(0, abs=2 * MM)  # at rest they stand on the floor
        assert tuple(seen[f"person{k}"]) == rigs[f"person{k}"].joints
        assert (seen[f"person{k} turned"] > 0.05).sum() >= 20  # the pose is a pose, and not the rest
    bent = people[0].turned({"left_elbow": roma.rotmat_to_rotvec(torch.from_numpy(forearm)).numpy()})
    off = np.linalg.norm(seen["again"][0] - vertices(bent), axis=1)
    moved = np.linalg.norm(seen["again"][0] - seen["frame0"][0], axis=1)
    assert off.mean() < 0.1 * MM and np.quantile(off, 0.99) < 2 * MM and moved.max() > 0.1
    np.testing.assert_allclose(seen["again"][1], seen["frame0"][1], atol=1e-6)


@pytest.mark.parametrize("ending", ["glb", "fbx"])
def test_bones_lie_in_the_limbs(tmp_path, people, ending):
    path = tmp_path / f"me.{ending}"
    content = rigged({"me": rig_of(people[0], PLACE, names="mixamo", rest="t-pose")})
    path.write_bytes(content if ending == "glb" else fbx.fbx(content, FPS))
    seen = seen_in_blender(path)
    number = {str(name).removeprefix("mixamorig:"): k for k, name in enumerate(seen["me"])}
    heads, tails = seen["me heads"], seen["me tails"]
    for limb, next_one in (("UpLeg", "Leg"), ("Leg", "Foot"), ("Arm", "ForeArm"), ("ForeArm", "Hand")):
        for side, out in (("Left", 1.0), ("Right", -1.0)):
            upper, lower = number[side + limb], number[side + next_one]
            np.testing.assert_allclose(tails[upper], heads[lower], atol=MM)
            way = tails[upper] - heads[upper]
            wanted = [0, 0, -1] if "Leg" in limb else [out, 0, 0]
            np.testing.assert_allclose(way / np.linalg.norm(way), wanted, atol=0.01)
    for trunk in ("Hips", "Spine", "Neck", "Head"):
        way = tails[number[trunk]] - heads[number[trunk]]
        assert way[2] > 0.7 * np.linalg.norm(way)
    assert seen["rest"][0][:, 2].min() == pytest.approx(0, abs=2 * MM)
    np.testing.assert_allclose(seen["frame0"][0], vertices(people[0]), atol=0.1 * MM)


def test_a_motion_moves_in_blender_as_the_body_does(tmp_path):
    motion = moving(1, 20)
    for ending in ("glb", "fbx"):
        save_motion(tmp_path / f"me.{ending}", motion, Saving(), world=WORLD)
        seen = seen_in_blender(tmp_path / f"me.{ending}")
        for frame in (0, 7, 19):
            off = np.linalg.norm(seen[f"frame{frame}"][0] - vertices(motion[frame]), axis=1)
            assert off.mean() < 0.02 * MM and off.max() < 4 * MM


def test_one_animation_moves_everybody(tmp_path):
    motions = {"person0": moving(1, 20), "person1": moving(2, 20)}
    save_motions_together(tmp_path / "everybody.glb", motions, Saving(), WORLD)
    seen = seen_in_blender(tmp_path / "everybody.glb")
    for frame in (0, 7, 19):
        for skin, motion in zip(seen[f"frame{frame}"], motions.values()):
            assert np.linalg.norm(skin - vertices(motion[frame]), axis=1).mean() < 0.02 * MM


def test_a_bvh_stands_where_the_body_does(tmp_path, people):
    motion, level = moving(2, 8), World(PLACE.rotation, PLACE.shift, "model", (0.0,))
    save_motion(tmp_path / "me.bvh", motion, Saving(), world=level)
    seen = seen_in_blender(tmp_path / "me.bvh")
    posed = motion[0].posed().transforms[:, :3, 3].astype(float)
    wanted = dict(zip(motion.body.bones, PLACE(posed) @ Z_UP.T))
    for name, place in zip(seen["me"], seen["me posed"]):
        np.testing.assert_allclose(place, wanted[str(name)], atol=MM)
