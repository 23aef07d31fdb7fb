"""The npz layout of Motion's own fields: a round trip, and what is refused."""

import io
import zipfile

import numpy as np
import pytest
from mutants import limits
from people import moving_person

from mpt.errors import InputError
from mpt.mocap import read


def fields() -> dict[str, np.ndarray]:
    person = moving_person()
    return {
        "names": np.array(person.joints),
        "parents": person.parents.astype(np.int16),
        "offsets": person.offsets,
        "rotvec": person.rotvec,
        "trans": person.trans,
        "fps": np.float32(30),
        "skeleton": np.array("asf"),
    }


def test_what_is_saved_is_read(tmp_path):
    (tmp_path / "dancer").mkdir()
    np.savez(tmp_path / "dancer" / "02_turn.npz", **fields())
    motion, person = read(tmp_path / "dancer" / "02_turn.npz"), moving_person()
    assert (motion.name, motion.subject, motion.fps) == ("02_turn", "dancer", 30)
    assert motion.joints == person.joints
    np.testing.assert_allclose(motion.positions(), person.positions(), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": None}, "lacks offsets, a motion needs names, parents"),
        ({"rotvec": None, "fps": None}, "lacks rotvec, fps"),
        ({"rotvec": np.array([{"x": 1}], dtype=object)}, "'rotvec' holds Python objects"),
        ({"names": np.array(["a", 1], dtype=object)}, "'names' holds Python objects"),
        ({"trans": np.array(["a", "b"])}, "'trans' holds <U1 where numbers"),
        ({"trans": np.zeros((2, 3))}, "'trans' has shape"),
        ({"rotvec": np.full((5, 16, 3), np.nan)}, "not finite"),
        ({"rotvec": np.zeros((5, 48))}, r"rotvec \(T, J, 3\)"),
        ({"fps": np.array([30.0, 30.0])}, "one fps"),
        ({"rotvec": np.zeros((0, 16, 3)), "trans": np.zeros((0, 3))}, "no frames"),
    ],
)
def test_fields_that_are_no_motion_are_refused_by_name(tmp_path, change, message):
    path = tmp_path / "walk.npz"
    np.savez(path, **{key: value for key, value in (fields() | change).items() if value is not None})
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_an_object_array_that_nobody_needs_is_left_alone(tmp_path):
    np.savez(tmp_path / "walk.npz", **fields(), notes=np.array([{"x": 1}], dtype=object))
    assert len(read(tmp_path / "walk.npz")) == 5


def saved() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **fields())
    return buffer.getvalue()


def damaged() -> bytes:
    whole = saved()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        start = archive.getinfo("rotvec.npy").header_offset + 200
    return whole[:start] + bytes(50) + whole[start + 50 :]


def single_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no .npz file or is cut short"),
        (b"no motion here", "no .npz file or is cut short"),
        (saved()[:-100], "no .npz file or is cut short"),
        (damaged(), "'rotvec' is cut short or damaged"),
        (single_array(), "single array"),
    ],
)
def test_a_file_that_is_no_whole_npz_is_refused(tmp_path, content, message):
    path = tmp_path / "walk.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")


def with_member(path, key: str, content: bytes) -> None:
    """The person's file with one array's bytes replaced."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in fields().items():
            buffer = io.BytesIO()
            np.save(buffer, value)
            archive.writestr(f"{name}.npy", content if name == key else buffer.getvalue())


def header(shape: str, descr: str = "<f8") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "content",
    [
        header("(100000000000, 16, 3)"),
        header("(99999999999999999999999, 16, 3)"),
        header("(-5, 16, 3)"),
        header("(5, 16, 3)") + bytes(100),
        header("(5, 16"),
        header("(5, 16, 3)", "nonsense"),
        b"\x93NUMPY\x09\x00",
    ],
)
def test_a_header_that_lies_takes_no_memory(tmp_path, content):
    path = tmp_path / "walk.npz"
    with_member(path, "rotvec", content)
    with limits(), pytest.raises(InputError, match="'rotvec' is cut short or damaged"):
        read(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "walk.npz"
    size = 70_000_000
    with_member(path, "rotvec", header(f"({size},)", "|i1") + bytes(size))
    assert path.stat().st_size < size / 100
    with pytest.raises(InputError, match="'rotvec' is cut short or damaged"):
        read(path)


def test_names_of_letters_that_there_are_not_are_refused(tmp_path):
    path = tmp_path / "walk.npz"
    names = np.array(["Hips"]).view("<u4").copy()
    names[0] = 0x110000
    with_member(path, "names", header("(1,)", "<U4") + names.tobytes())
    with pytest.raises(InputError, match="'names' is cut short or damaged"):
        read(path)


def test_names_may_be_bytes(tmp_path):
    np.savez(tmp_path / "walk.npz", **(fields() | {"names": np.array(moving_person().joints, "S")}))
    assert read(tmp_path / "walk.npz").joints == moving_person().joints


def test_every_clip_of_the_development_data_is_of_its_subject(shared_data):
    for folder in ("02", "60", "exp"):
        path = min((shared_data / "mocap" / "cmu" / folder).glob("*.npz"))
        assert read(path).subject == folder
