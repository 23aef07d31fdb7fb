"""Files of motion as accidents leave them: read or refused, never anything else."""

import io
import zipfile

import numpy as np
import pytest
from mutants import survive
from people import moving_person, write_person_bvh
from rigs import role_index, t_posed
from test_asfamc import amc_text, asf_text, random_clip

from mpt.mocap import read

COUNT = 2000
pytestmark = pytest.mark.filterwarnings("ignore")


def test_bvh(tmp_path):
    path = write_person_bvh(tmp_path / "walk.bvh", moving_person(frames=2))
    assert survive(read, path, path.read_bytes(), COUNT) > 0


@pytest.mark.parametrize("mutated", ["07.asf", "07_02.amc"])
def test_asf_and_amc(tmp_path, mutated):
    angles, places, _ = random_clip(frames=2)
    (tmp_path / "07.asf").write_text(asf_text())
    (tmp_path / "07_02.amc").write_text(amc_text(angles, places))
    path = tmp_path / mutated
    assert survive(lambda _: read(tmp_path / "07_02.amc"), path, path.read_bytes(), COUNT // 2) > 0


def own() -> dict[str, np.ndarray]:
    person = t_posed(np.zeros((2, len(role_index()), 3)))
    names = np.array([joint.removeprefix("mixamorig:") for joint in person.joints])
    kept = {
        "parents": person.parents,
        "offsets": person.offsets,
        "rotvec": person.rotvec,
        "trans": person.trans,
    }
    return {"names": names, "fps": np.array(30.0)} | kept


SMPL = {
    "poses": np.zeros((2, 72)), "trans": np.zeros((2, 3)), "mocap_framerate": np.array(30.0),
    "betas": np.zeros(10), "gender": np.array(b"male"),
}  # fmt: skip
OTHERS = {
    "global_orient": np.zeros((2, 1, 3)), "body_pose": np.tile(np.eye(3), (2, 21, 1, 1)),
    "transl": np.zeros((2, 3)), "fps": np.array(30),
}  # fmt: skip


@pytest.mark.parametrize("arrays", [own(), SMPL], ids=["own", "amass"])
def test_npz_archives(tmp_path, arrays):
    path = tmp_path / "walk.npz"
    np.savez(path, **arrays)
    assert survive(read, path, path.read_bytes(), COUNT // 2) > 0


@pytest.mark.parametrize("arrays", [own(), SMPL, OTHERS], ids=["own", "amass", "others"])
def test_npz_arrays_in_whole_archives(tmp_path, arrays):
    path = tmp_path / "walk.npz"
    contents = {}
    for key, value in arrays.items():
        np.save(buffer := io.BytesIO(), value)
        contents[key] = buffer.getvalue()

    def read_with(member):
        with zipfile.ZipFile(path, "w") as archive:
            for key, content in contents.items():
                archive.writestr(f"{key}.npy", member.read_bytes() if key == member.stem else content)
        return read(path)

    for key, content in contents.items():
        survive(read_with, tmp_path / f"{key}.npy", content, COUNT // 2 // len(contents))
