"""Arrays come out of pickles of any Python, numpy and scipy; nothing that a file names is ever run."""

import collections
import os
import pickle
import pickletools

import numpy as np
import pytest
from mutants import survive
from official import Ch, Select, as_published, mano, write_pickle
from scipy import sparse

from mpt.bodies import pickles
from mpt.errors import InputError

ARRAYS = {
    "float": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">i4"),
    "half": np.ones((2, 2), np.float16),
    "flags": np.array([True, False]),
    "unsigned": np.array([[2**32 - 1, 0]], np.uint32),
    "text": np.array(["male", "é"]),
    "bytes": np.array([b"male"]),
    "empty": np.empty((0, 3)),
    "number": np.float64(0.25),
    "objects": np.array([np.arange(2), "a", None], dtype=object),
}


def assert_same(came, expected) -> None:
    assert type(came) is type(expected)
    if isinstance(expected, np.ndarray):
        assert came.shape == expected.shape and came.dtype == expected.dtype.newbyteorder("=")
        for one, other in zip(came.ravel(), expected.ravel()):
            assert_same(one, other) if expected.dtype.hasobject else np.testing.assert_equal(one, other)
    else:
        assert came == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_come_out_of_every_protocol(kind, protocol, tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps({kind: ARRAYS[kind]}, protocol))
    assert_same(pickles.read(path)[kind], ARRAYS[kind])


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_come_out_of_python_2(kind, tmp_path):
    content = write_pickle(tmp_path / "file.pkl", {kind: ARRAYS[kind]}).read_bytes()
    assert b"copy_reg" in content or b"numpy.core.multiarray" in content
    assert_same(pickles.read(tmp_path / "file.pkl")[kind], ARRAYS[kind])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_come_out_as_they_went_in(protocol):
    value = {"a": [1, 2.5, (True, None)], "set": {1, 2}, "bytes": b"\xff", 3: {"text": "é"}}
    assert pickles.loads(pickle.dumps(value, protocol), "file") == value
    ordered = collections.OrderedDict(one=1, two=np.arange(2).tolist())
    assert pickles.loads(pickle.dumps(ordered, protocol), "file") == dict(ordered)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("made", ["csc_matrix", "csr_matrix", "coo_matrix", "csc_array", "coo_array"])
def test_sparse_matrices_come_out_whole(made, protocol):
    dense = np.array([[0, 1.5, 0], [2, 0, -3]])
    came = pickles.loads(pickle.dumps(getattr(sparse, made)(dense), protocol), "file")
    assert came.shape == (2, 3)
    np.testing.assert_array_equal(np.asarray(came), dense)


def test_official_models_come_out_as_they_went_in(tmp_path):
    model = mano()
    path = write_pickle(tmp_path / "MANO_RIGHT.pkl", as_published(model))
    named = {
        argument for _, argument, _ in pickletools.genops(path.read_bytes()) if isinstance(argument, str)
    }
    assert {"chumpy.ch Ch", "chumpy.reordering Select", "scipy.sparse.csc csc_matrix"} <= named
    assert {"numpy.core.multiarray _reconstruct", "numpy ndarray", "__builtin__ set"} <= named
    came = pickles.read(path)
    for key, expected in model.items():
        np.testing.assert_array_equal(np.asarray(came[key]), expected)


def test_a_chumpy_pick_is_of_any_of_its_objects(tmp_path):
    inner = Select(Ch(np.arange(6.0)), np.array([5, 3, 1, 0]), (2, 2))
    path = write_pickle(tmp_path / "file.pkl", {"picked": Select(inner, np.array([2, 0]), (2,))})
    np.testing.assert_array_equal(pickles.read(path)["picked"], [1, 5])


def test_npz_files_come_out_with_their_pickled_members(tmp_path):
    levels = np.empty(2, object)
    levels[:] = [sparse.csr_matrix(np.eye(3)), sparse.coo_matrix(np.eye(2))]
    np.savez(tmp_path / "file.npz", D=levels, plain=np.arange(3), one=np.array({"a": 1}, dtype=object))
    came = pickles.read(tmp_path / "file.npz")
    assert [np.asarray(level).tolist() for level in came["D"]] == [np.eye(3).tolist(), np.eye(2).tolist()]
    assert came["plain"].tolist() == [0, 1, 2] and came["one"] == {"a": 1}


class Named:
    """Pickled as a call of any function there is."""

    def __init__(self, function, *args) -> None:
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (Named(os.system, "echo run > ran"), f"{os.system.__module__}.system"),
        (Named(eval, "open('ran', 'w')"), "__builtin__.eval"),
        (Named(getattr, "", "format"), "__builtin__.getattr"),
        (Named(np.load, "ran"), "numpy.load"),
        (Named(pickle.loads, b""), "_pickle.loads"),
    ],
)
@pytest.mark.parametrize("wrap", ["pickle", "python 2", "npz"])
def test_what_a_file_wants_to_import_is_refused_by_name_and_not_run(call, name, wrap, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pkl"
    match wrap:
        case "pickle":
            path.write_bytes(pickle.dumps({"v_template": call}, protocol=4))
            name = name.replace("__builtin__", "builtins")
        case "python 2":
            write_pickle(path, {"v_template": call})
        case "npz":
            with path.open("wb") as file:
                np.savez(file, v_template=np.array([call], dtype=object))
            name = name.replace("__builtin__", "builtins")
    with pytest.raises(InputError, match=rf"evil.pkl: it wants to import {name}, .*; download"):
        pickles.read(path)
    assert os.listdir(tmp_path) == ["evil.pkl"]


def test_classes_that_a_file_alters_are_its_own(tmp_path):
    first = b"\x80\x02cchumpy.ch\nCh\n}U\x08__hash__K\x01sb."  # sets an attribute of the class itself
    with pytest.raises(InputError, match="no whole pickle"):
        pickles.loads(first, "first.pkl")
    path = write_pickle(tmp_path / "second.pkl", {"x": Ch(np.arange(2))})
    assert pickles.read(path)["x"].tolist() == [0, 1]


def test_what_holds_itself_does_not_hang():
    endless: list = []
    endless.append(endless)
    assert pickles.loads(pickle.dumps(endless), "file") == [None]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "EOFError"),
        (b"SMPL", "no whole pickle"),
        (b"PK\x03\x04 not a zip", "no whole .npz file"),
        (pickle.dumps(np.ma.MaskedArray([1.0])), "wants to import numpy.ma"),
        (pickle.dumps({"a": np.zeros(2, dtype=[("x", "f8")])}), "numbers of type V8"),
        (pickle.dumps([1, 2]), "it holds one list"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I9\ntNI0\nS'ab'\ntb.", "no whole pickle"),
    ],
)
def test_a_file_that_holds_no_arrays_is_refused_in_a_sentence(content, reason, tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"file.pkl: .*{reason}.*; (download|name)"):
        pickles.read(path)


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    whole = write_pickle(tmp_path / "file.pkl", as_published(mano())).read_bytes()
    for share in (0.01, 0.3, 0.7, 0.999):
        (tmp_path / "file.pkl").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=r"file.pkl: it is no whole pickle of arrays"):
            pickles.read(tmp_path / "file.pkl")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nothing.pkl: cannot read it"):
        pickles.read(tmp_path / "nothing.pkl")


def test_a_damaged_file_is_read_or_refused(tmp_path):
    small = {"v_template": np.eye(3), "f": np.zeros((2, 3), np.uint32), "shapedirs": np.ones((3, 3, 2))}
    small |= {"posedirs": np.ones((2, 2)), "J_regressor": np.eye(3)}

    def read(path):
        return [np.asarray(value) for value in pickles.read(path).values()]

    published = write_pickle(tmp_path / "small.pkl", as_published(small)).read_bytes()
    newer = pickle.dumps(small | {"sparse": sparse.csr_matrix(np.eye(3))})
    np.savez(tmp_path / "small.npz", **small, objects=np.array([sparse.coo_matrix(np.eye(2))], dtype=object))
    for content in (published, newer, (tmp_path / "small.npz").read_bytes()):
        assert survive(read, tmp_path / "a", content, 2000)
