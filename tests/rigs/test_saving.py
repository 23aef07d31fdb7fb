"""People of a photo as files: on a floor, apart, and under the camera that saw them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pybvh
import pygltflib
import pytest
import trimesh
from posed import gltf_globals, posed_person, skinned_by_hand

from mpt import results
from mpt.bodies.pose import BodyPose
from mpt.crops import Crop
from mpt.errors import InputError
from mpt.reconstruct import Reconstruction
from mpt.results import Seconds, as_json, write_files, write_json
from mpt.saving import Saving
from mpt.skeletons import SKELETONS

SIZE = (640, 480)
PHOTO = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
UP = np.array([0.05, -0.97, -0.2]) / np.linalg.norm([0.05, -0.97, -0.2])


def photographed(pose: BodyPose, at_m, focal_px: float = 600.0) -> Reconstruction:
    """Somebody whose mesh is their body's, at a place in camera axes."""
    posed = pose.posed()
    return Reconstruction(
        skeleton=SKELETONS[pose.body.skeleton.name],
        vertices=posed.vertices,
        faces=pose.body.faces.numpy(),
        joints3d=posed.joints,
        translation_m=np.array(at_m, float),
        focal_px=focal_px,
        focal_assumed=False,
        principal_px=((SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2),
        camera=(1.0, 0.0, 0.0),
        crop=Crop((320.0, 240.0), 300.0),
        joints2d_px=np.zeros((len(posed.joints), 3)),
        score=1.0,
        bbox_xywh=(0.0, 0.0, 10.0, 10.0),
        up=UP,
        up_std_deg=4.0,
        pose=pose,
    )


@pytest.fixture(scope="module")
def two() -> list[Reconstruction]:
    return [photographed(posed_person(1), (-0.6, 0.3, 4.0)), photographed(posed_person(2), (0.9, 0.2, 5.5))]


def seen_by_the_file(path: Path) -> list[np.ndarray]:
    """(V, 2) pixels of each person, as the GLB's own camera sees them."""
    file = pygltflib.GLTF2().load(str(path))
    lens = file.cameras[0].perspective
    number = next(i for i, node in enumerate(file.nodes) if node.camera == 0)
    to_camera = np.linalg.inv(gltf_globals(file)[number])
    seen = []
    for vertices in skinned_by_hand(path):
        x, y, z = (vertices @ to_camera[:3, :3].T + to_camera[:3, 3]).T
        half = np.tan(lens.yfov / 2)
        u = (x / -z / half / lens.aspectRatio + 1) / 2 * SIZE[0] - 0.5
        seen.append(np.column_stack([u, (1 - y / -z / half) / 2 * SIZE[1] - 0.5]))
    return seen


def test_people_stand_on_the_floor_apart_and_are_seen_where_the_overlay_has_them(tmp_path, two):
    files = write_files(tmp_path, PHOTO, two, ["glb", "bvh"])
    assert files[1] == {"glb": "person1.glb", "bvh": "person1.bvh"}
    together = skinned_by_hand(tmp_path / "everybody.glb")
    world = results.world_of_people(two)
    for number, person in enumerate(two):
        (alone,) = skinned_by_hand(tmp_path / f"person{number}.glb")
        there = world(person.vertices + person.translation_m)
        np.testing.assert_allclose(alone, there, atol=1e-4)
        np.testing.assert_allclose(together[number], there, atol=1e-4)
        assert alone[:, 1].min() == pytest.approx(world.above_floor_m[number], abs=1e-3)
        wanted = person.project(person.vertices)
        for path, place in (("everybody.glb", number), (f"person{number}.glb", 0)):
            np.testing.assert_allclose(seen_by_the_file(tmp_path / path)[place], wanted, atol=0.1)
        joints = pybvh.read_bvh_file(tmp_path / f"person{number}.bvh")
        root = world(person.pose.posed().transforms[0, :3, 3] + person.translation_m)
        np.testing.assert_allclose(joints.joint_positions()[0][0], root, atol=1e-4)
    apart = [vertices.mean(0) for vertices in together]
    were = [(person.vertices + person.translation_m).mean(0) for person in two]
    assert np.linalg.norm(apart[1] - apart[0]) == pytest.approx(np.linalg.norm(were[1] - were[0]), abs=1e-4)


def test_result_json_has_the_world_that_the_files_are_in(tmp_path, two):
    files = write_files(tmp_path, PHOTO, two, ["glb"])
    result = as_json("a.jpg", "m", Seconds(0, 0, 0), two, files, size_wh=SIZE)
    write_json(tmp_path, result)
    told = json.loads((tmp_path / "result.json").read_text())
    assert told["everybody"] == "everybody.glb" and told["world"]["up_from"] == "model"
    rotation, shift = np.array(told["world"]["rotation"]), np.array(told["world"]["translation_m"])
    placed = (two[0].vertices + two[0].translation_m) @ rotation.T + shift
    np.testing.assert_allclose(skinned_by_hand(tmp_path / "person0.glb")[0], placed, atol=1e-3)
    assert told["people"][0]["camera"]["focal_from"] == "given"


def test_static_files_are_about_the_hips_and_in_the_world_where_this_is_asked_for(tmp_path, two):
    write_files(tmp_path, PHOTO, two[:1], ["glb", "obj", "ply"], Saving(static=True))
    (person,) = two[:1]
    turn = results.level_of(two[:1])
    glb, obj = (
        trimesh.load(tmp_path / f"person0.{end}", process=False, force="mesh") for end in ("glb", "obj")
    )
    np.testing.assert_allclose(glb.vertices, person.vertices @ turn.T * [1, -1, -1], atol=1e-5)
    np.testing.assert_allclose(obj.vertices, person.vertices, atol=2e-6)
    write_files(tmp_path, PHOTO, two[:1], ["glb", "obj", "ply"], Saving(static=True, world=True))
    there = results.world_of_people(two[:1])(person.vertices + person.translation_m)
    for end in ("glb", "obj", "ply"):
        mesh = trimesh.load(tmp_path / f"person0.{end}", process=False, force="mesh")
        np.testing.assert_allclose(mesh.vertices, there, atol=1e-5)


def test_without_up_the_guess_is_said(tmp_path, two):
    unsure = [replace(person, up=None, up_std_deg=None) for person in two]
    with pytest.warns(
        UserWarning, match="^the model does not say which way is up: the camera is taken to have"
    ):
        write_files(tmp_path, PHOTO, unsure, ["glb"])
    assert results.world_of_people(unsure).up_from == "assumed"


def test_a_person_saves_themselves(tmp_path, two):
    person = two[0]
    person.save(tmp_path / "me.glb", names="mixamo")
    (vertices,) = skinned_by_hand(tmp_path / "me.glb")
    assert vertices[:, 1].min() == pytest.approx(0, abs=1e-4)
    person.save(tmp_path / "here.glb", world=False)
    np.testing.assert_allclose(
        skinned_by_hand(tmp_path / "here.glb")[0], person.vertices * [1, -1, -1], atol=1e-4
    )
    person.save(tmp_path / "me.bvh", scale="cm", rest="a-pose")
    centimetres = pybvh.read_bvh_file(tmp_path / "me.bvh").joint_positions()[0]
    assert 100 < np.ptp(centimetres[:, 1]) < 250
    person.save(tmp_path / "me.obj")
    np.testing.assert_allclose(
        trimesh.load(tmp_path / "me.obj", process=False).vertices, person.vertices, atol=2e-6
    )


def test_what_cannot_be_saved_is_refused_and_leaves_nothing(tmp_path, two, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    bodiless = replace(two[0], pose=None)
    monkeypatch.setattr("mpt.rigs.fbx._blender", lambda: None)
    for person, path, sentence in (
        (two[0], "me.stl", r"'stl' is no format that can be written; use glb, obj, ply, npz, bvh, fbx"),
        (two[0], "me.fbx", r"^fbx is written by Blender's own exporter, whose package bpy is not installed"),
        (two[0], "file/me.bvh", r"me\.bvh: cannot be written .* choose another folder"),
        (bodiless, "me.bvh", r"^bvh needs the body's pose, which is not known"),
    ):
        with pytest.raises(InputError, match=sentence):
            person.save(tmp_path / path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    bodiless.save(tmp_path / "me.glb")  # then as it stands
    assert pygltflib.GLTF2().load(str(tmp_path / "me.glb")).skins == []


def test_hands_are_apart_as_photographed_and_have_no_floor(tmp_path):
    hands = [
        replace(photographed(posed_person(seed, "anny-hand"), at), up=None, up_std_deg=None)
        for seed, at in ((1, (-0.1, 0.0, 0.5)), (2, (0.1, 0.05, 0.6)))
    ]
    write_files(tmp_path, PHOTO, hands, ["glb"])
    there = skinned_by_hand(tmp_path / "everybody.glb")
    np.testing.assert_allclose(np.mean([hand.mean(0) for hand in there], 0), 0, atol=1e-4)
    with pytest.raises(InputError, match=r"^mixamo has names for people's bones"):
        hands[0].save(tmp_path / "hand.glb", names="mixamo")
