"""Meshes and pictures survive the way to a file and back."""

import cv2
import numpy as np
import pytest
import trimesh
from glb import glb_attribute, glb_header

from mpt.errors import InputError
from mpt.export import WRITERS, write_mesh, write_picture
from mpt.render import vertex_normals
from mpt.rigs.gltf import Painted, painted


@pytest.fixture(scope="module")
def ball():
    mesh = trimesh.creation.icosphere(2, radius=0.5)
    squashed = np.asarray(mesh.vertices) * [1, 1.5, 0.5] + [0.1, 0.2, -0.3]
    return squashed.astype(np.float32), np.asarray(mesh.faces)


def load(path):
    return trimesh.load(path, process=False, force="mesh")


def test_glb_keeps_vertices_with_y_up_facing_the_viewer(tmp_path, ball):
    vertices, faces = ball
    write_mesh(tmp_path / "person.glb", vertices, faces)
    mesh = load(tmp_path / "person.glb")
    np.testing.assert_allclose(mesh.vertices, vertices * [1, -1, -1], atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, faces)


def test_glb_carries_smooth_outward_normals(tmp_path, ball):
    vertices, faces = ball
    write_mesh(tmp_path / "person.glb", vertices, faces)
    normals = glb_attribute(tmp_path / "person.glb", "NORMAL")
    np.testing.assert_allclose(normals, vertex_normals(vertices, faces) * [1, -1, -1], atol=1e-5)
    assert load(tmp_path / "person.glb").volume > 0


def test_a_coloured_glb_is_the_same_mesh_with_colours_in_linear_light(tmp_path, ball):
    vertices, faces = ball
    colours = np.linspace(0, 1, vertices.size).reshape(vertices.shape)
    mesh = Painted(vertices * [1, -1, -1], faces, colours)
    (tmp_path / "coloured.glb").write_bytes(painted({"person": mesh}))
    write_mesh(tmp_path / "plain.glb", vertices, faces)
    coloured, plain = load(tmp_path / "coloured.glb"), load(tmp_path / "plain.glb")
    np.testing.assert_array_equal(coloured.vertices, plain.vertices)
    np.testing.assert_array_equal(coloured.faces, plain.faces)
    light = glb_attribute(tmp_path / "coloured.glb", "COLOR_0")
    back = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clip(1e-9) ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(back, colours, atol=1e-5)
    factor = glb_header(tmp_path / "coloured.glb")["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"]
    assert factor == [1, 1, 1, 1]
    assert "COLOR_0" not in glb_header(tmp_path / "plain.glb")["meshes"][0]["primitives"][0]["attributes"]


@pytest.mark.parametrize("kind", ["obj", "ply"])
def test_obj_and_ply_keep_camera_axes(tmp_path, ball, kind):
    vertices, faces = ball
    write_mesh(tmp_path / f"person.{kind}", vertices, faces)
    mesh = load(tmp_path / f"person.{kind}")
    np.testing.assert_allclose(mesh.vertices, vertices, atol=2e-6)
    np.testing.assert_array_equal(mesh.faces, faces)


def test_npz_keeps_vertices_faces_and_joints(tmp_path, ball):
    vertices, faces = ball
    write_mesh(tmp_path / "person.npz", vertices, faces, joints=vertices[:17])
    with np.load(tmp_path / "person.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["vertices"], vertices)
        np.testing.assert_array_equal(file["faces"], faces)
        np.testing.assert_array_equal(file["joints"], vertices[:17])


def test_an_unknown_format_is_refused_by_naming_the_known_ones(tmp_path, ball):
    with pytest.raises(InputError, match=r"person\.fbx: '\.fbx' .* use glb, obj, ply, npz"):
        write_mesh(tmp_path / "person.fbx", *ball)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", WRITERS)
def test_an_unwritable_folder_is_named_and_nothing_is_left(tmp_path, ball, kind):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=rf"person\.{kind}: cannot be written .* choose another folder"):
        write_mesh(tmp_path / "file" / f"person.{kind}", *ball)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_writing_replaces_the_old_file_and_leaves_no_part(tmp_path, ball):
    vertices, faces = ball
    write_mesh(tmp_path / "person.obj", vertices + 1, faces)
    write_mesh(tmp_path / "person.obj", vertices, faces)
    assert [p.name for p in tmp_path.iterdir()] == ["person.obj"]
    np.testing.assert_allclose(load(tmp_path / "person.obj").vertices, vertices, atol=2e-6)


def test_a_png_gives_back_the_pixels(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    write_picture(tmp_path / "picture.png", image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "picture.png"))[..., ::-1], image)


def test_an_unknown_picture_format_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"use \.png or \.jpg"):
        write_picture(tmp_path / "picture.webp", np.zeros((2, 2, 3), np.uint8))
