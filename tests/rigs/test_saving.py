"""People of a photo as files: on a floor, apart, and under the camera that saw them."""

import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import ezc3d
import numpy as np
import pybvh
import pygltflib
import pytest
import trc
import trimesh
from glb import glb_attribute, glb_header
from little_model import standing_joints
from PIL import Image
from posed import gltf_globals, posed_person, skinned_by_hand

from mpt import bodies, results
from mpt.bodies.pose import BodyPose
from mpt.cli import main
from mpt.clothes import clothes_of
from mpt.crops import Crop
from mpt.errors import InputError
from mpt.reconstruction import Reconstruction
from mpt.render import PALETTE
from mpt.results import Seconds, as_json, write_files, write_json
from mpt.saving import FORMATS, Saving, save_together
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


def seen_by_the_file(path: Path, size_wh: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """(V, 2) pixels of each person, as the GLB's own camera sees them."""
    file = pygltflib.GLTF2().load(str(path))
    lens = file.cameras[0].perspective
    number = next(i for i, node in enumerate(file.nodes) if node.camera == 0)
    to_camera = np.linalg.inv(gltf_globals(file)[number])
    seen = []
    for vertices in skinned_by_hand(path):
        x, y, z = (vertices @ to_camera[:3, :3].T + to_camera[:3, 3]).T
        half = np.tan(lens.yfov / 2)
        u = (x / -z / half / lens.aspectRatio + 1) / 2 * size_wh[0] - 0.5
        seen.append(np.column_stack([u, (1 - y / -z / half) / 2 * size_wh[1] - 0.5]))
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


def test_markers_and_angles_are_in_the_world_that_the_other_files_are_in(tmp_path, two):
    sure = [replace(person, joints3d_std_m=np.full(len(person.joints3d), 0.03)) for person in two]
    files = write_files(tmp_path, PHOTO, sure, ["trc", "c3d", "csv"])
    assert files[1] == {end: f"person1.{end}" for end in ("trc", "c3d", "csv")}
    world = results.world_of_people(two)
    for number, person in enumerate(two):
        there = world(person.joints3d + person.translation_m)[:, [2, 1, 0]] * [1, 1, -1]
        markers = trc.TRCData()
        markers.load(tmp_path / f"person{number}.trc")
        assert markers["FileName"] == f"person{number}.trc"
        found = np.stack([markers[name][0] for name in markers["Markers"][: len(there)]])
        np.testing.assert_allclose(found, there, atol=1e-5)
        points = ezc3d.c3d(str(tmp_path / f"person{number}.c3d"))["data"]["points"]
        np.testing.assert_allclose(points[:3, : len(there), 0].T, 1000 * there, atol=1e-2)
        header, row = (tmp_path / f"person{number}.csv").read_text().splitlines()
        told = dict(zip(header.split(","), row.split(",")))
        np.testing.assert_allclose([float(told[f"nose_{axis}"]) for axis in "xyz"], there[0], atol=1e-5)
        assert float(told["nose_std"]) == 0.03 and 0 < float(told["knee_angle_r_std"]) < 20


def filled(pixels: np.ndarray, faces: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """(H, W) whether triangles of points (V, 2) cover a pixel."""
    mask = np.zeros(size_wh[::-1], np.uint8)
    for corners in np.rint(pixels[faces]).astype(np.int32):
        cv2.fillConvexPoly(mask, corners, 1)
    return mask > 0


def within(mask: np.ndarray, other: np.ndarray, px: int) -> float:
    """The share of a mask that is no farther from the other."""
    wider = cv2.dilate(other.astype(np.uint8), np.ones((2 * px + 1, 2 * px + 1), np.uint8)) > 0
    return float((mask & wider).sum() / mask.sum())


@pytest.mark.parametrize(("lens_mm", "options"), [(None, []), (24, []), (None, ["--format", "obj"])])
def test_the_overlay_has_people_where_the_files_have_them(tmp_path, monkeypatch, lens_mm, options):
    """Of a real prediction, which lies some millimetres off every body; two pixels of a large photo."""
    size = (900, 1200)
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    if lens_mm:
        exif.get_ifd(0x8769).update({0xA405: lens_mm})
    Image.new("RGB", size, "grey").save("photo.png", exif=exif)
    joints = standing_joints((0, 0, 2.2), 1200, size)
    entry = {"image_id": 0, "keypoints": (joints * [1, 1, 2]).ravel().tolist()}
    told = {"images": [{"id": 0, "file_name": "photo.png"}], "annotations": [entry]}
    Path("joints.json").write_text(json.dumps(told))
    assert main(["reconstruct", "photo.png", "--keypoints", "joints.json", *options]) == 0
    drawn = np.asarray(Image.open("mpt-out/photo/overlay.png"))[:, : size[0]].astype(int)
    shown = np.abs(drawn - 128).max(2) > 8
    if options:
        camera = json.loads(Path("mpt-out/photo/result.json").read_text())["people"][0]["camera"]
        mesh = trimesh.load("mpt-out/photo/person0.obj", process=False)
        x, y, z = (mesh.vertices + camera["translation_m"]).T
        pixels = camera["focal_px"] * np.column_stack([x, y]) / z[:, None] + camera["principal_px"]
    else:
        (pixels,) = seen_by_the_file(Path("mpt-out/photo/person0.glb"), size)
    there = filled(pixels, bodies.load("anny").faces.numpy(), size)
    assert within(shown, there, 2) == 1 and within(there, shown, 2) == 1


def test_a_camera_that_glb_does_not_know_is_said_to_be_missing(tmp_path, two):
    aside = [replace(person, principal_px=(300.0, 239.5)) for person in two]
    with pytest.warns(UserWarning, match=r"^the optical axis meets the photo at \(300, 239\.5\), and not in"):
        write_files(tmp_path, PHOTO, aside, ["glb"])
    assert pygltflib.GLTF2().load(str(tmp_path / "person0.glb")).cameras == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_files(tmp_path, PHOTO, aside, ["bvh", "obj"])


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
    monkeypatch.setattr("mpt.biomechanics.c3d.find_spec", lambda name: None)
    for person, path, sentence in (
        (two[0], "me.stl", r"'stl' is no format that can be written; use glb, obj, ply, npz, bvh, fbx, trc"),
        (two[0], "me.fbx", r"^fbx is written by Blender's own exporter, whose package bpy is not installed"),
        (two[0], "me.c3d", r"^c3d is written by the package ezc3d, which is not installed"),
        (two[0], "file/me.bvh", r"me\.bvh: cannot be written .* choose another folder"),
        (two[0], "file/me.trc", r"me\.trc: cannot be written .* choose another folder"),
        (two[0], "file/me.csv", r"me\.csv: cannot be written .* choose another folder"),
        (bodiless, "me.bvh", r"^bvh needs the body's pose, which is not known"),
        (bodiless, "me.csv", r"^csv needs the body's pose, which is not known"),
    ):
        with pytest.raises(InputError, match=sentence):
            person.save(tmp_path / path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    bodiless.save(tmp_path / "me.glb")  # then as it stands
    assert pygltflib.GLTF2().load(str(tmp_path / "me.glb")).skins == []


@pytest.fixture
def closed(tmp_path) -> Path:
    """A folder in which nobody may write; for root, who may everywhere, a file that stands in its place."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        folder.rmdir()
        folder.write_text("no folder")
    return folder


@pytest.mark.parametrize("ending", [*FORMATS, "static.glb"])
def test_no_format_is_half_written_where_nothing_can_be(closed, two, monkeypatch, ending):
    monkeypatch.setattr("mpt.saving.check_bpy", lambda: None)
    monkeypatch.setattr("mpt.saving.fbx", lambda content, fps: content)
    path = closed / f"person.{ending}"
    with pytest.raises(InputError) as refused:
        two[0].save(path, static=ending == "static.glb")
    assert str(refused.value).startswith(f"{path}: cannot be written (")
    assert str(refused.value).endswith("choose another folder")
    with pytest.raises(InputError, match=r"everybody\.glb: cannot be written \("):
        save_together(closed / "everybody.glb", two, Saving(), results.world_of_people(two))
    assert [path for path in closed.parent.rglob("*") if path != closed] == []


def test_hands_are_apart_as_photographed_and_have_no_floor(tmp_path):
    hands = [
        replace(photographed(posed_person(seed, "anny-hand"), at), up=None, up_std_deg=None)
        for seed, at in ((1, (-0.1, 0.0, 0.5)), (2, (0.1, 0.05, 0.6)))
    ]
    write_files(tmp_path, PHOTO, hands, ["glb"])
    there = skinned_by_hand(tmp_path / "everybody.glb")
    np.testing.assert_allclose(np.mean([hand.mean(0) for hand in there], 0), 0, atol=1e-4)
    write_files(tmp_path, PHOTO, hands, ["trc", "csv"])
    assert "\tRWrist\t" in (tmp_path / "person0.trc").read_text()
    header = (tmp_path / "person1.csv").read_text().splitlines()[0].split(",")
    assert header[1:4] == ["wrist_x", "wrist_y", "wrist_z"] and len(header) == 1 + 3 * 21
    with pytest.raises(InputError, match=r"^mixamo has names for people's bones"):
        hands[0].save(tmp_path / "hand.glb", names="mixamo")


def vertices_of(path: Path) -> np.ndarray:
    """(V, 3) of a mesh, or of a rig as it stands."""
    if path.suffix == ".glb" and glb_header(path).get("skins"):
        return skinned_by_hand(path)[0]
    return np.asarray(trimesh.load(path, process=False, force="mesh").vertices)


@pytest.mark.parametrize("static", [False, True])
def test_people_wear_clothes_as_colours_of_vertices_unless_they_are_bare(static, tmp_path, two):
    write_files(tmp_path, PHOTO, two, ["glb", "ply", "obj"], Saving(static=static))
    (tmp_path / "bare").mkdir()
    write_files(tmp_path / "bare", PHOTO, two, ["glb", "ply", "obj"], Saving(static=static, bare=True))
    worn = clothes_of(two[0].pose.body)
    skin, shorts = worn.inside_m.max(1) < -0.05, worn.inside_m[:, 1] > 0.05
    seen = []
    for name, meshes in (("person1.glb", 1), ("everybody.glb", 2)):
        for mesh in range(meshes):
            colours = glb_attribute(tmp_path / name, "COLOR_0", mesh)
            assert len(colours) == len(two[0].vertices) and colours.min() >= 0 and colours.max() <= 1
            assert len(np.unique(colours[skin], axis=0)) == len(np.unique(colours[shorts], axis=0)) == 1
            assert (colours[skin].mean(0) > 2 * colours[shorts].mean(0)).all()
            seen.append(colours[shorts][0])
            place = glb_attribute(tmp_path / name, "POSITION", mesh)
            bare = glb_attribute(tmp_path / "bare" / name, "POSITION", mesh)
            np.testing.assert_array_equal(place, bare, err_msg="clothes are colours, and no other surface")
        assert "COLOR_0" not in (tmp_path / "bare" / name).read_bytes().decode("latin1")
        white = [
            one["pbrMetallicRoughness"]["baseColorFactor"] for one in glb_header(tmp_path / name)["materials"]
        ]
        assert white == [[1, 1, 1, 1]] * meshes, "colours of vertices are multiplied by it"
    assert np.abs(seen[1] - seen[2]).max() > 0.05, "people are told apart"
    ply = trimesh.load(tmp_path / "person0.ply", process=False)
    np.testing.assert_allclose(ply.visual.vertex_colors[:, :3] / 255, worn.colours(PALETTE[0]), atol=0.003)
    assert b"red" not in (tmp_path / "bare" / "person0.ply").read_bytes()[:600]
    both = [(folder / "person0.obj").read_bytes() for folder in (tmp_path, tmp_path / "bare")]
    assert both[0] == both[1]


def test_the_origin_is_between_the_feet_where_this_is_asked_for(tmp_path, two):
    formats = ["glb", "bvh", "obj", "ply", "npz", "trc"]
    write_files(tmp_path, PHOTO, two, formats, Saving(origin="feet"))
    world = results.world_of_people(two)
    for number, person in enumerate(two):
        skeleton = person.skeleton
        feet = [joint for joint in skeleton.joints if joint.endswith(("ankle", "heel", "toe"))]
        middle = world(person.joints3d + person.translation_m)[skeleton.indices(*feet)].mean(0)
        there = world(person.vertices + person.translation_m) - middle * [1, 0, 1]
        there[:, 1] -= there[:, 1].min()
        for ending in ("glb", "obj", "ply"):
            found = vertices_of(tmp_path / f"person{number}.{ending}")
            np.testing.assert_allclose(found, there, atol=1e-4, err_msg=ending)
        wanted = person.project(person.vertices)
        seen = seen_by_the_file(tmp_path / f"person{number}.glb")[0]
        np.testing.assert_allclose(seen, wanted, atol=0.1, err_msg="the camera comes along")
        with np.load(tmp_path / f"person{number}.npz") as arrays:
            np.testing.assert_array_equal(arrays["vertices"], person.vertices)
    apart = [vertices.mean(0) for vertices in skinned_by_hand(tmp_path / "everybody.glb")]
    assert np.linalg.norm(apart[1] - apart[0]) > 1, "everybody is apart as they were"


@pytest.mark.parametrize("how", [{}, {"origin": "feet"}])
def test_obj_and_ply_stand_up_along_the_axis_that_is_asked_for(how, tmp_path, two):
    person = two[0]
    for up in ("y", "z"):
        for ending in ("obj", "ply"):
            person.save(tmp_path / f"{up}.{ending}", up=up, **how)
    x, y, z = vertices_of(tmp_path / "y.obj").T
    assert y.min() == pytest.approx(0, abs=1e-5) and 0.3 < y.max() < 2.5
    person.save(tmp_path / "world.obj", world=True, **how)
    np.testing.assert_array_equal(vertices_of(tmp_path / "world.obj"), np.column_stack([x, y, z]))
    for ending in ("obj", "ply"):
        np.testing.assert_allclose(
            vertices_of(tmp_path / f"y.{ending}"), np.column_stack([x, y, z]), atol=2e-6
        )
        np.testing.assert_allclose(
            vertices_of(tmp_path / f"z.{ending}"), np.column_stack([x, -z, y]), atol=2e-6
        )
    person.save(tmp_path / "up.glb", static=True, up="z")
    person.save(tmp_path / "as_ever.glb", static=True)
    assert (tmp_path / "up.glb").read_bytes() == (tmp_path / "as_ever.glb").read_bytes(), "glTF is y up"


def test_origins_and_axes_that_cannot_be_are_refused(tmp_path, two):
    person = two[0]
    with pytest.raises(
        InputError, match=r"^up is 'x': take y or z, or leave it out for camera axes, y down$"
    ):
        person.save(tmp_path / "me.obj", up="x")
    with pytest.raises(InputError, match=r"^the origin is 'head': take feet, or leave it out$"):
        person.save(tmp_path / "me.glb", origin="head")
    with pytest.raises(
        InputError, match=r"^up='z' stands in the world, and world=False was given: leave one out$"
    ):
        person.save(tmp_path / "me.obj", up="z", world=False)
    with pytest.raises(InputError, match=r"^origin='feet' stands in the world, and world=False was given"):
        person.save(tmp_path / "me.glb", origin="feet", world=False)
    hand = replace(person, skeleton=SKELETONS["hand21"], joints3d=np.zeros((21, 3)), pose=None)
    with pytest.raises(InputError, match=r"^the origin is to be between the feet, and hands have none"):
        hand.save(tmp_path / "hand.obj", origin="feet")
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_up_without_a_file_that_has_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("photo.png")
    assert main(["reconstruct", "photo.png", "--up", "z"]) == 2
    said = (
        "mpt: --up z is of OBJ and PLY, and none is written: name one, as in --format glb ply, or leave --up "
        "out (GLB is always y up)"
    )
    assert capsys.readouterr().err.strip() == said
