"""A film's folder by its contract, and what stays of films that end early."""

import errno
import json
from pathlib import Path

import av
import numpy as np
import pygltflib
import pytest
from little_model import write_little_model
from made_up import character
from made_up import person as skeleton
from small_films import write_film
from walkers import FOCAL, SIZE, Walkers, across, frames

import mpt
from mpt import checkpoint
from mpt.cli import loading, main
from mpt.errors import InputError
from mpt.films import store
from mpt.films.encoding import Writer
from mpt.films.people import people_in
from mpt.films.store import Records
from mpt.mocap import read as read_motion
from mpt.reconstructor import Reconstructor
from mpt.skeletons import COCO17

COUNT = 20
CROSSING = across(-0.9, 0.09, 4.0), across(0.9, -0.09, 5.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> checkpoint.Model:
    return checkpoint.load(
        write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors", sure=True)
    )


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in, with clip.mp4."""
    monkeypatch.chdir(tmp_path)
    write_film(Path("clip.mp4"), frames(COUNT))
    return tmp_path


@pytest.fixture
def film(place, model, monkeypatch):
    """Reconstructs clip.mp4, or others, with these walkers by the command line; the exit code."""

    def reconstruct(
        *people, args: tuple[str, ...] = ("clip.mp4",), smooth: str = "filter", format: str = "npz", **options
    ) -> int:
        lifter = Reconstructor(model, Walkers(*people, **options))
        monkeypatch.setattr(loading, "reconstructor", lambda *_, **__: lifter)
        args = args if "--format" in args else (*args, "--format", *format.split())
        return main(["reconstruct", *args, "--smooth", smooth, "--focal", str(FOCAL)])

    return reconstruct


def result(folder: str = "mpt-out/clip") -> dict:
    return json.loads((Path(folder) / "result.json").read_text())


def arrays(person: int, folder: str = "mpt-out/clip") -> dict[str, np.ndarray]:
    with np.load(Path(folder) / f"person{person}.npz") as file:
        return dict(file)


def overlay_frames(folder: str = "mpt-out/clip") -> int:
    with av.open(str(Path(folder) / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        return sum(1 for _ in container.decode(video=0))


def test_a_film_gets_a_folder_with_all_results(film, capsys):
    assert film(*CROSSING, format="glb bvh") == 0
    assert sorted(path.name for path in Path("mpt-out/clip").iterdir()) == [
        "everybody.glb", "overlay.mp4", "person0.bvh", "person0.glb", "person0.npz", "person1.bvh",
        "person1.glb", "person1.npz", "result.json",
    ]  # fmt: skip
    told = result()
    assert (told["fps"], told["frames"], told["size"], told["complete"]) == (10, COUNT, list(SIZE), True)
    assert (told["camera"]["focal_px"], told["camera"]["focal_from"]) == (FOCAL, "given")
    for number, person in enumerate(told["people"]):
        assert (person["id"], person["first_frame"], person["last_frame"]) == (number, 0, COUNT - 1)
        assert person["files"] == {end: f"person{number}.{end}" for end in ("npz", "glb", "bvh")}
    assert overlay_frames() == told["overlay_frames"] == COUNT
    assert "clip.mp4: 2 people -> mpt-out/clip/overlay.mp4 (20 frames," in capsys.readouterr().out


def test_a_film_need_not_be_drawn(film, capsys):
    assert film(*CROSSING, args=("clip.mp4", "--no-overlay")) == 0
    written = sorted(path.name for path in Path("mpt-out/clip").iterdir())
    assert written == ["person0.npz", "person1.npz", "result.json"]
    assert "overlay" not in result() and result()["complete"]
    assert "clip.mp4: 2 people -> mpt-out/clip/result.json (20 frames," in capsys.readouterr().out


def test_a_persons_arrays_are_those_of_the_contract(film):
    film(*CROSSING)
    person = arrays(0)
    assert person["joints"].tolist() == list(COCO17.joints)
    assert person["frames"].tolist() == list(range(COUNT))
    np.testing.assert_allclose(person["times_s"], np.arange(COUNT) / 10, atol=1e-3)
    bones = len(person["bones"])
    shapes = {
        "joints3d_m": (COUNT, 17, 3), "joints3d_std_m": (COUNT, 17), "joints2d_px": (COUNT, 17, 3),
        "translation_m": (COUNT, 3), "rotvec": (COUNT, bones, 3), "world_rotation": (3, 3),
        "world_shift": (3,),
    }  # fmt: skip
    assert {name: person[name].shape for name in shapes} == shapes
    assert person["fps"] == 10 and np.isfinite(person["shape"]).all()
    np.testing.assert_allclose(person["joints3d_m"][:, COCO17.root].mean(1), 0, atol=1e-3)
    rotation = person["world_rotation"]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)


def test_two_who_cross_stay_who_they_are(film):
    film(*CROSSING)
    ways = [np.sign(np.diff(arrays(k)["joints2d_px"][:, :, 0].mean(1))) for k in (0, 1)]
    assert sorted(set(way.tolist()) == {1.0} for way in ways) == [False, True]
    assert all(len(set(way.tolist())) == 1 for way in ways)


def test_a_short_absence_is_bridged_and_marked(film):
    film(across(-0.5, 0.05, 4.0, away=(7, 8, 9)))
    person = arrays(0)
    assert person["frames"].tolist() == list(range(COUNT))
    assert np.flatnonzero(person["score"] == 0).tolist() == [7, 8, 9]
    assert not person["joints2d_px"][7:10, :, 2].any()
    steps = np.diff(person["joints2d_px"][:, :, 0].mean(1))
    np.testing.assert_allclose(steps, steps.mean(), atol=0.2)
    assert result()["people"][0]["frames_carried_across"] == 3


def test_a_long_absence_is_a_gap(film):
    film(across(-0.5, 0.05, 4.0, away=range(4, 14)))
    assert arrays(0)["frames"].tolist() == [*range(4), *range(14, COUNT)]


def test_everybody_is_read_again(film):
    film(*CROSSING)
    first, second = people_in("mpt-out/clip")
    assert (first.id, second.id, len(first)) == (0, 1, COUNT)
    np.testing.assert_array_equal(first.joints3d_m, arrays(0)["joints3d_m"])
    motion = first.motion
    assert (len(motion), motion.fps) == (COUNT, 10)
    with pytest.raises(InputError, match="holds no film's results that can be read"):
        people_in("nowhere")


def test_python_has_the_same(place, model):
    told = []
    [person] = mpt.film(
        "clip.mp4", "out", model=Reconstructor(model, Walkers(CROSSING[0])), smooth="none", format=(),
        progress=lambda doing, done, total: told.append(doing),
    )  # fmt: skip
    assert len(person) == COUNT
    assert sorted(path.name for path in Path("out/clip").iterdir()) == [
        "overlay.mp4",
        "person0.npz",
        "result.json",
    ]
    assert list(dict.fromkeys(told)) == ["watching", "bodies", "drawing"]


def test_the_bvh_moves_as_long_as_the_film(film):
    film(CROSSING[0], format="bvh")
    motion = read_motion(Path("mpt-out/clip/person0.bvh"))
    assert (len(motion.rotvec), motion.fps) == (COUNT, pytest.approx(10))


def test_a_character_of_ones_own_moves_as_each_person_does(film, capsys):
    Path("robot.glb").write_bytes(character(skeleton()).glb())
    assert film(*CROSSING, args=("clip.mp4", "--character", "robot.glb")) == 0
    for number, told in enumerate(result()["people"]):
        assert told["files"]["character"] == f"person{number}-character.glb"
        moved = pygltflib.GLTF2().load(f"mpt-out/clip/person{number}-character.glb")
        assert [animation.name for animation in moved.animations] == [f"person{number}"]
    assert film(CROSSING[0]) == 0  # and its files are the result's own
    assert not list(Path("mpt-out/clip").glob("*character*"))
    capsys.readouterr()
    assert film(CROSSING[0], args=("clip.mp4", "--character", "clip.mp4")) == 2
    assert "clip.mp4" in capsys.readouterr().err


def test_a_film_of_nobody_is_no_error(film, capsys):
    assert film() == 0
    assert result()["people"] == [] and overlay_frames() == COUNT
    assert "clip.mp4: nobody was found -> mpt-out/clip/overlay.mp4" in capsys.readouterr().out


def test_photos_and_films_of_one_name_do_not_meet(film):
    from PIL import Image

    Image.fromarray(frames(1)[0]).save("clip.png")
    assert film(CROSSING[0], args=("clip.mp4", "clip.png"), format="glb") == 0
    assert sorted(path.name for path in Path("mpt-out").iterdir()) == ["clip.mp4", "clip.png"]


def test_an_earlier_result_is_replaced_and_other_files_stay(film):
    film(*CROSSING, format="bvh")
    Path("mpt-out/clip/notes.txt").write_text("mine")
    assert film(CROSSING[0]) == 0
    assert sorted(path.name for path in Path("mpt-out/clip").iterdir()) == [
        "notes.txt", "overlay.mp4", "person0.npz", "result.json",
    ]  # fmt: skip


def test_ctrl_c_keeps_what_is_done(film, capsys):
    assert film(CROSSING[0], interrupt_at=12) == 130
    told = result()
    assert (told["complete"], told["ended"], told["frames"]) == (False, "interrupted", 12)
    assert arrays(0)["frames"].tolist() == list(range(12))
    assert overlay_frames() == 12
    assert "clip.mp4: interrupted after 12 frames; what was seen until then is finished and kept" in (
        capsys.readouterr().err
    )
    assert not list(Path("mpt-out/clip").glob(".*"))


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_while_a_film_is_watched_keeps_what_was_seen(film, monkeypatch, capsys):
    add = Records.add

    def until_full(self, id_, records):
        if len(records) and "coarse" in self.kind.names and records["frames"].max() > 15:
            full()
        add(self, id_, records)

    monkeypatch.setattr(Records, "add", until_full)
    assert film(CROSSING[0]) == 1
    assert (result()["complete"], result()["ended"]) == (False, "No space left on device")
    assert arrays(0)["frames"].tolist() == list(range(16))
    assert "No space left on device after 20 frames" in capsys.readouterr().err


def test_a_disk_that_is_full_while_pictures_are_drawn_leaves_a_film_that_plays(film, monkeypatch, capsys):
    write = Writer.__call__

    def until_full(self, pixels, number, time_s):
        if number == 14:
            full()
        write(self, pixels, number, time_s)

    monkeypatch.setattr(Writer, "__call__", until_full)
    assert film(CROSSING[0]) == 1
    assert result()["people"][0]["files"] == {"npz": "person0.npz"}
    assert result()["overlay_frames"] == overlay_frames() == 14
    assert "overlay.mp4 ends after 14 frames: it cannot be written (No space left on device)" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("story.mp4", b"once upon a time " * 50, "story.mp4 is no film that can be read"),
        ("empty.mov", b"", "empty.mov is an empty file, not a film: copy or download it again"),
        (
            "cut.mp4",
            b"\0\0\0\x18ftypisom\0\0\2\0isomiso2mp41" + bytes(99),
            "cut.mp4 is a broken film, or one",
        ),
    ],
)
def test_what_is_no_film_is_refused_and_leaves_nothing(film, capsys, name, content, said):
    Path(name).write_bytes(content)
    assert film(args=(name,)) == 2
    assert capsys.readouterr().err.startswith(f"mpt: {said}")
    assert not Path("mpt-out").exists()
    assert film(CROSSING[0], args=(name, "clip.mp4")) == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ("clip.mp4", "--format", "obj"),
            "'obj' holds a mesh at one moment, and no motion: of films take glb",
        ),
        (("clip.mp4", "--seconds", "0"), "the first 0 seconds were asked for: give a number above 0"),
        (("clip.mp4", "--fps", "-3"), "the frame rate is -3: give frames a second, between 0.01 and 1000"),
        (("clip.mp4", "--out", "clip.mp4"), "--out clip.mp4: clip.mp4 is a file, and a folder was expected"),
        (("--camera", "99"), "--camera 99: no camera of this number gives pictures"),
    ],
)
def test_a_wrong_option_is_said_before_work(film, capfd, args, said):
    assert film(CROSSING[0], args=args) == 2
    assert said in capfd.readouterr().err
    assert not Path("mpt-out").exists()


class FakeDevice:
    """Frames of :func:`walkers.frames`, then nothing."""

    def __init__(self, number: int) -> None:
        self.pictures = iter(frames(COUNT))

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        picture = next(self.pictures, None)
        return picture is not None, picture

    def get(self, what: int) -> float:
        return 10.0

    def release(self) -> None:
        pass


def test_a_webcam_is_a_film_that_comes_once(film, monkeypatch):
    import time

    read = FakeDevice.read

    def slowly(self):
        time.sleep(0.05)
        return read(self)

    monkeypatch.setattr(FakeDevice, "read", slowly)
    monkeypatch.setattr("mpt.films.webcam.cv2.VideoCapture", FakeDevice)
    assert film(CROSSING[0], args=("--camera", "0")) == 0
    told = result("mpt-out/camera0")
    assert told["complete"] and 5 < told["frames"] < COUNT
    assert overlay_frames("mpt-out/camera0") == told["frames"]
    assert not list(Path("mpt-out/camera0").glob("recorded*"))


def test_windows_say_what_the_whole_says(film, monkeypatch):
    film(CROSSING[0], smooth="none")
    whole = arrays(0)
    monkeypatch.setattr(store, "AT_ONCE", 6)
    film(across(-0.9, 0.09, 4.0, away=(5, 6, 12)), smooth="none")
    parts = arrays(0)
    assert parts["frames"].tolist() == list(range(COUNT))
    seen = parts["score"] > 0
    np.testing.assert_allclose(parts["joints3d_m"][seen], whole["joints3d_m"][seen], atol=1e-6)
    assert seen.sum() == COUNT - 3
