"""Arrays out of other people's pickles, without running anything of theirs.

Unpickling calls whatever a file names. Here every name that is admitted stands for a record of what it would
have been called with, and the records are read afterwards: numpy's arrays, scipy's sparse matrices, chumpy's
constants and picks (which official SMPL and MANO files hold), Python's plain containers. A file that names
anything else is refused by that name.
"""

import io
import os
import pickle
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpt.errors import InputError

SPARSE = {
    f"scipy.sparse.{kind}.{kind}_{made}" for kind in ("csc", "csr", "coo") for made in ("matrix", "array")
}
ADMITTED = SPARSE | {
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy.ndarray",
    "numpy.dtype",
    "chumpy.ch.Ch",
    "chumpy.ch.MatVecMult",
    "chumpy.reordering.Select",
    "collections.OrderedDict",
    "copyreg._reconstructor",
    "builtins.bytes",
    "builtins.object",
    "builtins.set",
    "_codecs.encode",
}
# The same things by the names of Python 2, numpy 2 and newer scipy.
RENAMED = {
    "numpy._core.": "numpy.core.",
    "scipy.sparse._": "scipy.sparse.",
    "__builtin__.": "builtins.",
    "copy_reg.": "copyreg.",
}
MAX_DENSE = 3 * 10**7  # entries of a sparse matrix that may be asked for whole
DTYPE = re.compile(r"[biufcSUO]\d+|\?")


@dataclass(frozen=True, eq=False)
class Sparse:
    """A sparse matrix: the entries that are stored, and ``numpy.asarray`` for all of them."""

    shape: tuple[int, int]
    row: np.ndarray
    column: np.ndarray
    data: np.ndarray

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        dense = np.zeros(self.shape, dtype or self.data.dtype)
        np.add.at(dense, (self.row, self.column), self.data)
        return dense


def read(path: str | os.PathLike) -> dict[str, Any]:
    """What an .npz file or a pickled dictionary holds, by key.

    Text and bytes of Python 2 are read as Latin-1; scipy's matrices come as :class:`Sparse`, constants and
    picks of chumpy's as arrays, its other expressions as None. Raises InputError for a file that is neither,
    is cut short, or names a class that is not admitted.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror}); name a file that is there") from error
    if content.startswith(b"PK"):
        return _npz(content, path)
    value = loads(content, path)
    if not isinstance(value, dict):
        raise InputError(
            f"{path}: it holds one {type(value).__name__}, a dictionary of arrays was expected; "
            "name the file as it was downloaded"
        )
    return value


def loads(content: bytes, path: str | os.PathLike) -> Any:
    """The plain value of a pickle, as :func:`read` has it; ``path`` names it in the messages."""
    try:
        return _Reader().value(_Recorder(io.BytesIO(content), path).load())
    except InputError:
        raise
    except Exception as error:  # a damaged pickle can raise anything at all
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise InputError(
            f"{path}: it is no whole pickle of arrays ({reason}); download or copy it again"
        ) from error


def _npz(content: bytes, path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
        return {key: _npy(member, path) for key, member in members.items()}
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path}: it is no whole .npz file of arrays ({error}); download or copy it again"
        ) from error


def _npy(content: bytes, path: Path) -> Any:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = header(file)
    if dtype.hasobject:
        value = loads(file.read(), path)
        return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


class _Record:
    """What a pickle would have made: its name, what it was called with, the state and items it was given."""

    called = ""
    state: Any = None

    def __new__(cls, *args):
        record = super().__new__(cls)
        record.args, record.items = args, []
        return record

    def __setstate__(self, state):
        self.state = state

    def __setitem__(self, key, value):
        self.items.append((key, value))


class _Recorder(pickle._Unpickler):
    """Makes records of what a pickle names, and nothing else.

    In Python, for the one in C makes room for as many memos as a number in the file asks for.
    """

    def __init__(self, file: io.BytesIO, path: str | os.PathLike) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> type[_Record]:
        called = f"{module}.{name}"
        for new, old in RENAMED.items():
            if called.startswith(new):
                called = old + called.removeprefix(new)
        if called not in ADMITTED:
            raise InputError(
                f"{self._path}: it wants to import {module}.{name}, which arrays do not need, "
                "and was not read; download the file from where it was published"
            )
        # A type of its own for each file: a pickle that sets attributes of it reaches no other one.
        return type(name, (_Record,), {"called": called})


class _Reader:
    """Records -> plain values; what a file shares stays shared."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def value(self, source: Any) -> Any:
        if not isinstance(source, _Record | dict | list | tuple | set):
            return source
        if id(source) not in self._done:
            self._done[id(source)] = source, None  # what something that holds itself finds
            read = self._record if isinstance(source, _Record) else self._plain
            self._done[id(source)] = source, read(source)  # the source is kept: its id must stay its own
        return self._done[id(source)][1]

    def _plain(self, source: dict | list | tuple | set) -> Any:
        if isinstance(source, dict):
            return {self.value(key): self.value(value) for key, value in source.items()}
        return type(source)(self.value(value) for value in source)

    def _record(self, record: _Record) -> Any:
        match record.called:
            case "numpy.core.multiarray._reconstruct":
                *_, shape, dtype, fortran, raw = record.state
                return self._array(shape, dtype, "F" if fortran else "C", raw)
            case "numpy.core.numeric._frombuffer":
                raw, dtype, shape, order = record.args
                return self._array(shape, dtype, order, raw)
            case "numpy.core.multiarray.scalar":
                dtype, raw = record.args
                return self._array((), dtype, "C", raw)[()]
            case "copyreg._reconstructor":
                record.called = record.args[0].called
                return self._record(record)
            case "_codecs.encode":
                text, encoding = record.args
                if encoding != "latin1":
                    raise ValueError(f"bytes in {encoding}")
                return text.encode("latin1")
            case "builtins.bytes" if not record.args:
                return b""
            case "builtins.set":
                return set(self.value(record.args[0])) if record.args else set()
            case "collections.OrderedDict":
                pairs = [*self.value(record.args[0])] if record.args else []
                return dict([*pairs, *((self.value(key), self.value(value)) for key, value in record.items)])
            case "chumpy.ch.Ch":
                return self.value(record.state["x"])
            case "chumpy.reordering.Select":
                picked = self.value(record.state["a"]).ravel()[self.value(record.state["idxs"])]
                return picked.reshape(self.value(record.state.get("preferred_shape", picked.shape)))
            case called if called in SPARSE:
                return self._sparse(called.rpartition(".")[2][:3], self.value(record.state))
        return None

    def _array(self, shape: tuple, dtype: Any, order: str, raw: Any) -> np.ndarray:
        kind = self._dtype(dtype)
        if kind.hasobject:
            flat = np.empty(len(raw), object)
            for place, value in enumerate(raw):
                flat[place] = self.value(value)
        else:
            raw = self.value(raw)
            if not isinstance(raw, str | bytes | bytearray):
                raise ValueError(f"numbers in a {type(raw).__name__}")
            content = raw.encode("latin1") if isinstance(raw, str) else raw
            flat = np.frombuffer(content, kind).astype(kind.newbyteorder("="))
        return flat.reshape(shape, order=order)

    def _dtype(self, record: Any) -> np.dtype:
        name = record.args[0]
        if not (isinstance(name, str) and DTYPE.fullmatch(name)):
            raise ValueError(f"numbers of type {name}")
        order = record.state[1] if record.state else "="
        return np.dtype(name).newbyteorder(order)

    def _sparse(self, kind: str, state: dict) -> Sparse:
        shape = state["_shape"] if "_shape" in state else state["shape"]
        if kind == "coo":
            row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
        else:
            counts = np.diff(state["indptr"])
            if (counts < 0).any() or counts.sum() != len(state["indices"]):
                raise ValueError("a sparse matrix whose rows do not add up")
            major = np.repeat(np.arange(len(counts)), counts)
            row, column = (state["indices"], major) if kind == "csc" else (major, state["indices"])
        places = np.stack([row, column])
        if int(shape[0]) * int(shape[1]) > MAX_DENSE or places.shape[1] != len(state["data"]):
            raise ValueError(f"a sparse matrix of {shape} with {len(state['data'])} entries")
        if (places < 0).any() or (places >= np.reshape(shape, (2, 1))).any():
            raise ValueError(f"a sparse matrix of {shape} with entries outside it")
        return Sparse(shape, row, column, state["data"])
