"""Files of meshes: Complement's, FreiHAND's, any OBJ; the same hand from two sides is one."""

import json

import numpy as np
import pytest
from layouts import complement as write_complement

from mpt.datasets import meshes
from mpt.errors import InputError


def write_obj(path, vertices):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"v {x:.6f} {y:.6f} {z:.6f}\nvn 0 0 1\n" for x, y, z in vertices) + "f 1 2 3\n")
    return path


def test_complements_hands_are_mirrored_and_turned_up(tmp_path):
    written, _ = write_complement(tmp_path)
    files = meshes.find([tmp_path])
    assert [file.name for file in files] == ["12.obj", "12.obj"]
    np.testing.assert_allclose(meshes.read(files[0], 778)[0], written * [-1, -1, -1], atol=1e-6)


def test_any_obj_is_turned_up_and_not_mirrored(tmp_path):
    vertices = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(
        meshes.read(write_obj(tmp_path / "a.obj", vertices), 5)[0], vertices * [1, -1, -1], atol=1e-6
    )


def test_freihands_training_meshes_are_read_and_its_evaluation_left_alone(tmp_path):
    vertices = np.random.default_rng(0).normal(size=(3, 5, 3))
    for name in ("training", "evaluation"):
        (tmp_path / f"{name}_verts.json").write_text(json.dumps(vertices.tolist()))
    (file,) = meshes.find([tmp_path])
    assert file.name == "training_verts.json" and meshes.read(file, 5).shape == (3, 5, 3)


def test_numbered_files_come_in_their_numbers_order(tmp_path):
    for number in (10, 9, 100):
        write_obj(tmp_path / "a" / f"{number}.obj", np.zeros((3, 3)))
    assert [file.stem for file in meshes.find([tmp_path, tmp_path / "a" / "9.obj"])] == ["9", "10", "100"]


def test_a_hand_from_another_side_is_the_same_one(tmp_path):
    rng = np.random.default_rng(0)
    hands = rng.normal(0, 0.05, (6, 40, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    hands[3] = hands[1] @ turn * np.linalg.det(turn) + [0, 0, 0.6]
    hands[4] = hands[1] + rng.normal(0, 1e-5, (40, 3))  # rounded
    hands[5] = hands[1] + rng.normal(0, 1e-3, (40, 3))  # moved on
    kept = meshes.distinct(meshes.signature(hands.astype(np.float32)))
    np.testing.assert_array_equal(kept, [True, True, True, False, False, True])


def test_batches_go_through_files_of_many_and_of_one(tmp_path):
    vertices = np.random.default_rng(0).normal(size=(5, 4, 3))
    many = tmp_path / "training_verts.json"
    many.write_text(json.dumps(vertices.tolist()))
    one = write_obj(tmp_path / "one.obj", vertices[0] + 1)
    found = list(meshes.batches({many: np.array([0, 2, 4]), one: np.array([0])}, 4, 2))
    assert [source for _, sources in found for source in sources] == [many] * 3 + [one]
    expected = np.concatenate([vertices[[0, 2, 4]], vertices[:1] + 1]) * [1, -1, -1]
    np.testing.assert_allclose(np.concatenate([part for part, _ in found]), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("v 0 0 0\nv 1 0 0\n", "2 x 3 numbers, meshes of 3 vertices"),
        ("v 0 0 0\nv 1 0 0\nv nan 0 0\n", "with finite x, y and z"),
        ("v 0 0 0\nv 1 0\nv 1 0 0\n", "no meshes of equal numbers"),
        ("v 0 0 0\nv 1 0 x\nv 1 0 0\n", "no meshes of equal numbers"),
    ],
)
def test_broken_meshes_are_refused(content, message, tmp_path):
    path = tmp_path / "a.obj"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        meshes.read(path, 3)


def test_nothing_found_is_said(tmp_path):
    with pytest.raises(InputError, match="no meshes were given"):
        meshes.find([])
    with pytest.raises(InputError, match=r"no \.obj and no training_verts\.json lie below it"):
        meshes.find([tmp_path])
    with pytest.raises(InputError, match="there is no such file or folder"):
        meshes.find([tmp_path / "nowhere"])
