"""Motion that a character performs is read from what mpt writes, and from motion capture."""

import io
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from kinds import CHARACTERS
from mutants import survive
from people import write_person_bvh
from posed import posed_person
from rigs import random_rotvec, role_index, t_posed
from test_characters import direction, limbs_of, played

from mpt import bodies
from mpt.bodies.motion import BodyMotion
from mpt.cli import main
from mpt.errors import InputError
from mpt.mocap import read
from mpt.rigs.glb_file import is_ours
from mpt.rigs.performances import read_performance

FRAMES = 3


def film() -> dict[str, np.ndarray]:
    """A person of a film, as its file has it."""
    poses = [posed_person(seed) for seed in range(FRAMES)]
    return {
        "bones": np.array(poses[0].body.bones),
        "rotvec": np.stack([pose.rotvec for pose in poses]),
        "shape": poses[0].shape,
        "joints": np.array(poses[0].body.skeleton.joints),
        "joints3d_m": np.zeros((FRAMES, 29, 3)),
        "translation_m": np.float32([[0.1, 0.2, 4], [0.2, 0.2, 4], [0.3, 0.2, 4]]),
        "frames": np.array([4, 5, 7]),
        "times_s": np.array([0.16, 0.2, 0.28]),
        "fps": np.array(25.0),
    }


WORLD = {"world_rotation": np.diag([1.0, -1, -1]), "world_shift": np.array([1.0, 1.5, 4])}


def saved(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("world", [{}, WORLD])
def test_the_middle_of_the_hips_is_where_the_file_says(tmp_path, world):
    told = film()
    performance = read_performance(saved(tmp_path / "person0.npz", told | world))
    motion, body = performance.motion, bodies.load()
    assert performance.in_world == bool(world)
    np.testing.assert_array_equal(performance.times_s, told["times_s"])
    assert (motion.name, motion.fps) == ("person0", 25.0)
    shift = world.get("world_shift", np.zeros(3))
    for frame, place in enumerate(told["translation_m"]):
        moving = BodyMotion(body, told["rotvec"], told["shape"], np.zeros((FRAMES, 3)), told["times_s"], 25.0)
        posed = moving[frame].posed()
        middle = posed.joints[body.skeleton.root].mean(0)
        heads = (posed.transforms[:, :3, 3] - middle + place) * [1, -1, -1] + shift
        np.testing.assert_allclose(motion.positions()[frame], heads, atol=1e-5)


def test_a_camera_that_turns_does_not_turn_the_person(tmp_path):
    still = {name: value[[0, 0, 0]] for name, value in film().items() if name in ("rotvec", "translation_m")}
    still = film() | still | WORLD
    camera = np.array([[0, 0, 0], [0, 0.3, 0], [0.1, -0.5, 0]])
    now = roma.rotvec_to_rotmat(torch.from_numpy(camera)).numpy()
    root = roma.rotvec_to_rotmat(torch.from_numpy(still["rotvec"][:, 0].astype(float))).numpy()
    seen = still["rotvec"].copy()
    seen[:, 0] = roma.rotmat_to_rotvec(torch.from_numpy(now @ root)).numpy()
    place = (now @ still["translation_m"][..., None])[..., 0]
    turning = still | {"rotvec": seen, "translation_m": place, "camera_rotvec": camera}
    one, other = (
        read_performance(saved(tmp_path / f"{name}.npz", told)).motion
        for name, told in (("still", still), ("turning", turning))
    )
    np.testing.assert_allclose(one.positions(), other.positions(), atol=1e-4)


def test_a_photos_person_is_a_pose(tmp_path):
    told = film()
    photo = {name: told[name][0] if name in ("rotvec", "translation_m") else told[name] for name in
             ("bones", "rotvec", "shape", "translation_m")}  # fmt: skip
    performance = read_performance(saved(tmp_path / "person0.npz", photo))
    whole = read_performance(saved(tmp_path / "film.npz", told))
    assert performance.times_s.tolist() == [0]
    np.testing.assert_allclose(performance.motion.rotvec, whole.motion.rotvec[:1])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"bones": np.array(["a", "b"])}, "its 2 bones (a, b ...) are not those of anny, the body of the"),
        ({"rotvec": np.zeros((3, 4, 3))}, "'rotvec' has shape (3, 4, 3) where (3, "),
        ({"shape": np.zeros(2)}, "'shape' has shape (2,) where ("),
        ({"shape": np.array(["x"])}, "'shape' is <U1 of shape (1,), numbers along 1 axes were expected"),
        ({"translation_m": np.full((3, 3), np.nan)}, "'translation_m' holds numbers that are not finite"),
        ({"times_s": np.array([0.0, 0.2, 0.1])}, "its times are not those of 3 frames, ascending from 0"),
        ({"times_s": np.arange(4)}, "its times are not those of 3 frames, ascending from 0 or later"),
        ({"fps": np.array(-1.0)}, "its frame rate is -1.0, a number above 0 was expected"),
        (WORLD | {"world_rotation": 2 * np.eye(3)}, "its world_rotation is no rotation"),
        (
            WORLD | {"world_shift": np.zeros(2)},
            "world_rotation and world_shift have the shapes (3, 3) and (2,",
        ),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path, changed, sentence):
    path = saved(tmp_path / "person0.npz", film() | changed)
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {sentence}')}"):
        read_performance(path)


@pytest.mark.filterwarnings("ignore")
def test_damaged_arrays_are_read_or_refused(tmp_path):
    path, contents = tmp_path / "person0.npz", {}
    for key, value in (film() | WORLD).items():
        np.save(buffer := io.BytesIO(), value)
        contents[key] = buffer.getvalue()

    def read_with(member: Path) -> object:
        with zipfile.ZipFile(path, "w") as archive:
            for key, content in contents.items():
                archive.writestr(f"{key}.npy", member.read_bytes() if key == member.stem else content)
        return read_performance(path)

    for key in ("bones", "rotvec", "translation_m", "fps", "world_rotation"):
        assert survive(read_with, tmp_path / f"{key}.npy", contents[key], 40) > 0


# ----------------------------------------------------------------------------------------- the command line


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "person0.npz", film())
    (tmp_path / "rig.glb").write_bytes(CHARACTERS["from fbx"]()[1].glb())
    return tmp_path


def test_a_character_is_animated_by_one_command(place, capsys):
    assert main(["animate", "rig.glb", "--motion", "person0.npz"]) == 0
    assert capsys.readouterr().out == "animated.glb: animation 'person0' of 3 frames in 0.1 s\n"
    assert is_ours(place / "animated.glb") and not is_ours(place / "rig.glb")
    skeleton, told = CHARACTERS["from fbx"]()[0], film()
    moving = BodyMotion(
        bodies.load(), told["rotvec"], told["shape"], told["translation_m"], told["times_s"], 25.0
    )
    places = played(place / "animated.glb")[:, 1 : 1 + len(skeleton.names), :3, 3]
    for (start, end), wanted in limbs_of(moving).items():
        found = direction(places[:, skeleton.of(end)] - places[:, skeleton.of(start)])
        np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert main(["animate", "rig.glb", "--motion", "person0.npz", "--name", "walk"]) == 0  # it is replaced
    shutil.copy("animated.glb", "other.glb")
    assert main(["animate", "other.glb", "--motion", "person0.npz", "-o", "animated.glb"]) == 0
    assert "animation 'person0' of 3 frames in 0.1 s, beside 1 that it had" in capsys.readouterr().out


def test_motion_capture_is_performed_as_well(place):
    write_person_bvh(place / "walk.bvh", t_posed(random_rotvec(3, len(role_index()), size=0.2)))
    (place / "rig.vrm").write_bytes(CHARACTERS["vrm 1"]()[1].glb())
    assert main(["animate", "rig.vrm", "--motion", "walk.bvh"]) == 0
    skeleton, motion = CHARACTERS["vrm 1"]()[0], read(place / "walk.bvh")
    places = played(place / "animated.vrm")[:, 1 : 1 + len(skeleton.names), :3, 3]
    found = direction(places[:, skeleton.of("left_ankle")] - places[:, skeleton.of("left_knee")])
    at = motion.positions()
    knee, ankle = (motion.joints.index(name) for name in ("mixamorig:LeftLeg", "mixamorig:LeftFoot"))
    np.testing.assert_allclose(found, direction(at[:, ankle] - at[:, knee]), atol=1e-3)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["text.glb", "--motion", "person0.npz"], "text.glb: it is no glTF file, a rigged GLB, VRM or glTF"),
        (["none.glb", "--motion", "person0.npz"], "none.glb: it cannot be read (No such file or directory)"),
        (["rig.glb", "--motion", "none.npz"], "none.npz: it cannot be read (No such file or directory)"),
        (["rig.glb", "--motion", "rig.glb"], "rig.glb: '.glb' is no motion format known here"),
        (["rig.glb", "--motion", "person0.npz", "-o", "rig.glb"], "rig.glb is one of the inputs (rig.glb)"),
        (["rig.glb", "--motion", "person0.npz", "-o", "text.glb"], "text.glb is there already and is no ani"),
        (
            ["rig.glb", "--motion", "person0.npz", "-o", "a.gltf"],
            "--out a.gltf: a copy of rig.glb ends in .glb",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(place, capsys, args, sentence):
    (place / "text.glb").write_text("a character")
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    assert main(["animate", *args]) == 2
    assert capsys.readouterr().err.startswith(f"mpt: {sentence}")
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
