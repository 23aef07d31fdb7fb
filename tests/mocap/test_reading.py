"""One door for every format: what read and find take, skip and refuse."""

import numpy as np
import pytest
from people import moving_person, write_person_bvh

from mpt.errors import InputError
from mpt.mocap import find, read


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("walk.fbx", r"'\.fbx' is no motion format known here"),
        ("walk.pkl", "it is a pickle, which is never opened"),
        ("walk", r"'' is no motion format known here"),
        ("walk.asf", "skeleton without motion"),
    ],
)
def test_other_formats_are_refused_with_those_that_are_known(tmp_path, name, message):
    (tmp_path / name).write_text("something")
    with pytest.raises(InputError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["none.bvh", "none.amc", "none.npz"])
def test_a_missing_file_is_refused_by_name(tmp_path, name):
    with pytest.raises(InputError, match=rf"{name}: .*No such file"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["folder", "folder.bvh", "folder.npz"])
def test_a_folder_is_no_motion(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        read(tmp_path / name)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_is_above_zero(tmp_path, scale):
    with pytest.raises(InputError, match="scale cannot be"):
        read(write_person_bvh(tmp_path / "a.bvh", moving_person()), scale=scale)


def test_the_extension_may_be_in_capitals(tmp_path):
    assert len(read(str(write_person_bvh(tmp_path / "A.BVH", moving_person())))) == 5


@pytest.fixture
def folder(tmp_path):
    names = (
        "b.bvh", "a.BVH", "02.asf", "02_01.amc", "notes.txt", "._a.bvh", ".cache/c.bvh",
        "sub/deep/d.npz", "sub/shape.npz", "sub/neutral_stagei.npz",
    )  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / name) if name.endswith("npz") else (tmp_path / name).write_text("")
    return tmp_path


def test_folders_are_walked_in_order_and_what_is_no_motion_is_left_out(folder):
    expected = [folder / name for name in ("02_01.amc", "a.BVH", "b.bvh", "sub/deep/d.npz")]
    assert find([folder]) == expected


def test_files_stay_as_given_and_none_comes_twice(folder):
    chosen = [folder / "sub" / "shape.npz", folder / "b.bvh", folder / "sub" / ".." / "b.bvh"]
    assert find(chosen) == chosen[:2]
    assert find([str(folder / "b.bvh"), folder])[0] == folder / "b.bvh"
    assert len(find([folder / "b.bvh", folder])) == 4


def test_a_path_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        find([tmp_path / "nowhere"])


def test_a_folder_without_motion_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="no motion in this folder"):
        find([tmp_path])
