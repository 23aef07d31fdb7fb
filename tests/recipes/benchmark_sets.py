"""What the tests of benchmarks share: bodies and data sets, small and official-looking."""

import layouts
import numpy as np
import official
import pytest
import torch
from little_model import write_little_model

from mpt.bodies import mano, smpl
from mpt.skeletons import H36M17


@pytest.fixture(scope="session")
def smpl_files(tmp_path_factory):
    """Official-looking SMPL files of three genders, and the regressor's."""
    folder = tmp_path_factory.mktemp("smpl")
    neutral = official.smpl(0)
    np.save(folder / "J_regressor_h36m.npy", official.h36m_regressor(neutral, "left"))
    for gender, scale in (("neutral", 1.0), ("female", 0.9), ("male", 1.1)):
        np.savez(
            folder / f"SMPL_{gender.upper()}.npz", **neutral | {"shapedirs": scale * neutral["shapedirs"]}
        )
    return folder


@pytest.fixture(scope="session")
def people(smpl_files):
    regressor = smpl_files / "J_regressor_h36m.npy"
    return {
        gender: smpl.read(smpl_files / f"SMPL_{gender.upper()}.npz", gender=gender, h36m_regressor=regressor)
        for gender in ("neutral", "female", "male")
    }


@pytest.fixture(scope="session")
def hand(tmp_path_factory):
    path = tmp_path_factory.mktemp("mano") / "MANO_RIGHT.npz"
    np.savez(path, **official.mano())
    return mano.read(path)


@pytest.fixture
def tdpw_folder(tmp_path):
    layouts.tdpw(tmp_path / "3dpw")
    return tmp_path / "3dpw"


@pytest.fixture(scope="session")
def emdb_folder(tmp_path_factory, smpl_files):
    """EMDB of the three genders' own bodies: its folder, and what was written by sequence."""
    models = {g: dict(np.load(smpl_files / f"SMPL_{g.upper()}.npz")) for g in ("female", "male")}
    folder = tmp_path_factory.mktemp("emdb")
    return folder, layouts.emdb(folder, models)


@pytest.fixture
def freihand_folder(tmp_path, hand):
    folder = tmp_path / "freihand"
    generator = np.random.default_rng(2)
    meshes = hand.template.double() + 0.01 * torch.from_numpy(generator.normal(size=(3, 778, 3)))
    meshes[..., 2] += 0.6
    joints = hand.to(dtype=torch.float64).regress(meshes)
    intrinsics = [[[470.0, 0, 112], [0, 470, 112], [0, 0, 1]]] * 3
    for key, value in (("K", intrinsics), ("xyz", joints.tolist()), ("verts", meshes.tolist())):
        layouts._json(folder / f"evaluation_{key}.json", value)
    for row in range(3):
        layouts.photo(folder / "evaluation" / "rgb" / f"{row:08d}.jpg", (224, 224), row)
    return folder, meshes


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of photos with COCO keypoints, and a little model."""
    folder = tmp_path_factory.mktemp("photos")
    layouts.coco(folder, [layouts.People(seed) for seed in range(2)])
    for photo in (folder / "train2017").iterdir():
        photo.rename(folder / photo.name)
    (folder / "annotations" / "person_keypoints_train2017.json").rename(folder / "keypoints.json")
    return folder, write_little_model(folder.parent / "little" / "model.safetensors")


@pytest.fixture
def h36m(tmp_path, people):
    """Three photos of the frontal camera whose 3D joints are those of posed SMPL bodies."""
    folder = tmp_path / "h36m"
    names = [f"S9_Directions_1.60457274_{frame:06d}.jpg" for frame in (1, 6, 11)]
    body = people["neutral"].to(dtype=torch.float64)
    pose, betas, _ = official.random_people(3, 24)
    turns = torch.from_numpy(np.stack([[official._rodrigues(v) for v in person] for person in pose]))
    meshes = body.forward(turns, torch.from_numpy(betas)).vertices
    joints = body.regress(meshes, "h36m17")
    crowd = []
    for name, xyz in zip(names, joints):
        layouts.photo(folder / "images" / name)
        person = layouts.People()
        person.places = dict(zip(H36M17.joints, xyz.numpy() + np.array([0, 0, 3])))
        crowd.append(person)
    layouts.spin_npz(folder / "h36m_valid_protocol2.npz", names, layouts.H36M, crowd)
    return folder, meshes
