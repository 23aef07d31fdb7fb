"""What a folder of a data set lacks is counted and said."""

import io
import json
import os
import pickle

import layouts
import pytest
from rich.console import Console

from mpt.datasets import (
    check,
    coco,
    files,
    muco3dhp,
)
from mpt.errors import InputError

PEOPLE = [layouts.People(seed) for seed in range(3)]

WRITERS = {
    "coco": lambda folder: layouts.coco(folder, PEOPLE),
    "mpii": lambda folder: layouts.mpii(folder, PEOPLE),
    "muco3dhp": lambda folder: layouts.muco(folder, PEOPLE),
    "up3d": lambda folder: layouts.up3d(folder, PEOPLE),
    "3dpw": lambda folder: layouts.tdpw(folder, split="train"),
    "freihand": layouts.freihand,
}


@pytest.mark.parametrize("name", WRITERS)
def test_missing_photos_are_named_counted_and_refused_when_strict(tmp_path, name):
    WRITERS[name](tmp_path)
    whole = check.read(name, tmp_path)
    gone = whole[len(whole) - 1].image
    gone.unlink()
    with pytest.warns(
        UserWarning, match=rf"photos missing: 1 \(.*{gone.name}\).* of {len(whole)} samples left out"
    ):
        rest = check.read(name, tmp_path)
    assert len(rest) < len(whole) and all(sample.image != gone for sample in rest)
    with pytest.raises(InputError, match=gone.name):
        check.read(name, tmp_path, strict=True)
    for photo in {sample.image for sample in rest}:
        photo.unlink()
    with pytest.raises(InputError, match="photos missing"):
        check.read(name, tmp_path)


@pytest.mark.parametrize("name", check.DATASETS)
def test_a_folder_without_annotations_is_refused_with_where_to_get_them(tmp_path, name):
    with pytest.raises(InputError, match=str(tmp_path)):
        check.read(name, tmp_path)
    with pytest.raises(InputError, match="get it from"):
        check.check(name, tmp_path)
    with pytest.raises(InputError, match=r"no such folder|pic256"):
        check.read(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", WRITERS)
def test_samples_are_the_same_however_they_are_counted(tmp_path, name):
    WRITERS[name](tmp_path)
    samples = check.read(name, tmp_path)
    assert samples[-1].image == samples[len(samples) - 1].image == samples.image(len(samples) - 1)
    with pytest.raises(IndexError):
        samples[len(samples)]
    assert len(list(samples)) == len(samples)
    again = pickle.loads(pickle.dumps(samples))  # as a DataLoader hands it to its workers
    assert again[0].image == samples[0].image


def test_check_says_what_is_there_and_what_is_missing(tmp_path):
    layouts.coco(tmp_path, PEOPLE)
    os.unlink(tmp_path / "train2017" / "000000000009.jpg")
    report = check.check("coco", tmp_path)
    train, validation = report.splits
    assert (train.split, train.samples, train.knows) == ("train", 2, ("2D joints",))
    assert "000000000009.jpg" in train.problems[0]
    assert validation.absent and not report.whole
    assert report.table().row_count == 3
    with pytest.raises(InputError, match=r"000000000009\.jpg"):
        check.check("coco", tmp_path, strict=True)


@pytest.mark.parametrize(
    "name, file, use, source",
    [
        ("coco", "annotations/coco_smplifyx_train.json", "SMPL parameters, for the loss of", "I2L-MeshNet"),
        ("mpii", "annotations/MPII_train_SMPL_NeuralAnnot.json", "loss of vertices", "NeuralAnnot"),
        ("freihand", "evaluation_xyz.json", "joints of the split test", "FreiHAND_pub_v2_eval.zip"),
        ("freihand", "evaluation_verts.json", "vertices of the split test", "FreiHAND_pub_v2_eval.zip"),
        ("muco3dhp", "smpl_param.json", "loss of vertices", "I2L-MeshNet"),
        ("human36m", "annotations/Human36M_subject*_smpl_param.json", "loss of", "_{data,camera,joint_3d}"),
        ("complement", "j_reg.npy", "losses of joints", "template of MobRecon"),
    ],
)
def test_check_names_optional_files_what_for_and_from_where(tmp_path, name, file, use, source):
    write = {
        "human36m": lambda folder: layouts.human36m(folder, layouts.train_subjects(PEOPLE)),
        "complement": layouts.complement,
    }
    (WRITERS | write)[name](tmp_path)
    for path in tmp_path.glob(file):
        path.unlink()
    report = check.check(name, tmp_path)
    extra = next(extra for extra in report.missing if file in extra.files)
    console = Console(width=400, file=io.StringIO())
    console.print(report.table())
    line = next(line for line in console.file.getvalue().splitlines() if f"no {file}" in line)
    assert "optional" in line and use in extra.use and extra.use in line and source in line
    there = tmp_path / file.replace("*", "1")
    there.parent.mkdir(exist_ok=True)
    there.touch()
    assert extra.lies_in(tmp_path)


def test_check_of_a_whole_split_is_content(tmp_path):
    layouts.tdpw(tmp_path)
    report = check.check("3dpw", tmp_path, strict=True)
    assert [split.samples for split in report.splits] == [0, 0, 6]
    assert report.splits[2].knows == ("2D joints", "3D joints", "SMPL parameters", "camera")


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="no data set 'h36m'; choose one of human36m"):
        check.read("h36m", tmp_path)
    with pytest.raises(InputError, match="no split 'val'; choose one of train, validation"):
        coco.read(tmp_path, "val")


def test_large_json_is_parsed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "SLOW_BYTES", 0)
    layouts.muco(tmp_path, PEOPLE)
    first = muco3dhp.read(tmp_path)
    with monkeypatch.context() as without_parsing:
        without_parsing.setattr(json, "load", None)
        again = muco3dhp.read(tmp_path)
    for one, other in zip(first, again):
        assert (one.joints.xyz_m == other.joints.xyz_m).all() and one.image == other.image
        assert (one.parameters is None) == (other.parameters is None)
    layouts.muco(tmp_path, PEOPLE[:1])  # another file of the same name is parsed anew
    assert len(muco3dhp.read(tmp_path)) == 1
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    (tmp_path / "cache").write_text("no folder")
    assert len(muco3dhp.read(tmp_path)) == 1
