"""Whatever happens to an annotation file, its reader reads it or refuses it in a sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import layouts
import numpy as np
import official
import pytest
from layouts import People
from mutants import limits, survive

from mpt.bodies import pickles
from mpt.datasets import coco, complement, emdb, freihand, human36m, mpi_inf_3dhp, mpii, muco3dhp, tdpw, up3d
from mpt.datasets.sample import Samples
from mpt.errors import InputError

COUNT = 2000
PERSON = [People(0)]
FIT = {key: value[0].tolist() for key, value in layouts.smpl_fields(1).items()}


def coco_set(folder: Path) -> None:
    layouts.coco(folder, PERSON)
    fits = json.dumps(layouts.photo_fits(1, 0))
    (folder / "annotations" / "coco_smplifyx_train.json").write_text(fits)


def mpii_set(folder: Path) -> None:
    layouts.mpii(folder, PERSON)
    layouts.neural_annot_mpii(folder)


def human36m_set(folder: Path) -> None:
    subjects = (1, 5, 6, 7, 8)
    layouts.human36m(folder, dict.fromkeys(subjects, PERSON), {subject: [FIT] for subject in subjects})


def spin_set(folder: Path) -> None:
    layouts.photo(folder / "S1" / "a.jpg")
    more = layouts.smpl_fields(1) | {"has_smpl": np.ones(1)}
    layouts.spin_npz(folder / "mpi_inf_3dhp_train.npz", ["S1/a.jpg"], layouts.SPIN, PERSON, **more)


def muco_set(folder: Path) -> None:
    layouts.muco(folder, PERSON)


def up3d_set(folder: Path) -> None:
    layouts.up3d(folder, PERSON)


def tdpw_set(folder: Path) -> None:
    layouts.tdpw(folder, split="train", frames=2)


def freihand_set(folder: Path) -> None:
    layouts.freihand(folder, hands=1)


def emdb_set(folder: Path) -> None:
    layouts.emdb(folder, {gender: official.smpl() for gender in ("male", "female")}, frames=2)
    for other in ("P0", "P7"):
        shutil.rmtree(folder / other)


H36M = "annotations/Human36M_subject1_"
SETS = [
    (coco_set, coco.read, "annotations/person_keypoints_train2017.json"),
    (coco_set, coco.read, "annotations/coco_smplifyx_train.json"),
    (mpii_set, mpii.read, "annot/train.json"),
    (mpii_set, mpii.read, "annotations/train.json"),
    (mpii_set, mpii.read, "annotations/MPII_train_SMPL_NeuralAnnot.json"),
    (muco_set, muco3dhp.read, "MuCo-3DHP.json"),
    (muco_set, muco3dhp.read, "smpl_param.json"),
    (human36m_set, human36m.read, f"{H36M}data.json"),
    (human36m_set, human36m.read, f"{H36M}camera.json"),
    (human36m_set, human36m.read, f"{H36M}joint_3d.json"),
    (human36m_set, human36m.read, f"{H36M}smpl_param.json"),
    (spin_set, mpi_inf_3dhp.read, "mpi_inf_3dhp_train.npz"),
    (up3d_set, up3d.read, "train.txt"),
    (up3d_set, up3d.read, "00000_joints.npy"),
    (up3d_set, up3d.read, "00000_body.pkl"),
    (tdpw_set, tdpw.read, "sequenceFiles/train/courtyard_arguing_00.pkl"),
    (emdb_set, lambda f: emdb.read(f, "all"), "P1/14_outdoor_climb/P1_14_outdoor_climb_data.pkl"),
    (freihand_set, freihand.read, "training_K.json"),
    (freihand_set, freihand.read, "training_xyz.json"),
    (freihand_set, freihand.read, "training_mano.json"),
    (layouts.complement, complement.read, "base_pose/0/model_mano/12.obj"),
    (layouts.complement, complement.read, "j_reg.npy"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("write", "read", "file"), SETS, ids=[file for *_, file in SETS])
def test_a_data_set_with_a_damaged_file(
    write: Callable[[Path], object], read: Callable[[Path], Samples], file: str, tmp_path
):
    write(tmp_path)
    source = (tmp_path / file).read_bytes()
    assert check(read(tmp_path))
    files = sum(one is write for one, *_ in SETS)
    assert survive(lambda _: check(read(tmp_path)), tmp_path / file, source, COUNT // files)


def check(samples: Samples) -> int:
    """The number of samples, of which the first ones are made and hold finite numbers."""
    for index in range(min(4, len(samples))):
        sample = samples[index]
        numbers = [sample.crop.center_px, sample.crop.side_px]
        if sample.keypoints is not None:
            numbers.append(sample.keypoints.xy_px[sample.keypoints.confidence > 0])
        if sample.joints is not None:
            numbers.append(sample.joints.xyz_m[sample.joints.known])
        if sample.parameters is not None:
            numbers += [sample.parameters.pose, sample.parameters.betas]
        numbers += [array for array in (sample.intrinsics, sample.vertices_m) if array is not None]
        assert all(np.isfinite(array).all() for array in numbers)
    return len(samples)


@pytest.mark.filterwarnings("ignore")
def test_a_box_without_finite_numbers_is_left_out_and_its_photo_named(tmp_path):
    layouts.coco(tmp_path, [People(0), People(1)])
    path = tmp_path / "annotations" / "person_keypoints_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][2] = float("nan")
    path.write_text(json.dumps(content))
    with pytest.warns(
        UserWarning, match=r"1 of 2 samples have no box .* first on .*000000000009.jpg; left out"
    ):
        samples = coco.read(tmp_path)
    assert [sample.sequence for sample in samples] == ["000000000010"]
    with pytest.raises(InputError, match=r"person_keypoints_train2017.json: 1 of 2 samples have no box"):
        coco.read(tmp_path, strict=True)


@pytest.mark.filterwarnings("ignore")
def test_fits_of_other_people_than_the_file_has_are_refused(tmp_path):
    spin_set(tmp_path)
    path = tmp_path / "mpi_inf_3dhp_train.npz"
    np.savez(path, **(dict(np.load(path)) | {"has_smpl": np.ones(2)}))
    with pytest.raises(InputError, match=r"its has_smpl has 2 entries for 1 samples; make it again"):
        mpi_inf_3dhp.read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # a memo numbered two thousand million
        b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00ab.",  # a bytearray of 2^40 bytes
    ],
)
def test_a_pickle_that_asks_for_the_memory_of_a_machine_gets_little(content, tmp_path):
    (tmp_path / "a.pkl").write_bytes(content)
    with limits(), pytest.raises(InputError, match=r"a.pkl: it is no whole pickle of arrays|a dictionary of"):
        pickles.read(tmp_path / "a.pkl")
