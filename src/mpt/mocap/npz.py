"""Motion from .npz files that already hold it in this package's axes: the layout of the CMU clips."""

import lzma
import math
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from mpt.errors import InputError
from mpt.mocap.motion import Motion, folder_name

MAGIC = b"\x93NUMPY"
BROKEN = (
    ValueError, EOFError, OSError, KeyError, NotImplementedError, RuntimeError, OverflowError, TypeError,
    SyntaxError, tokenize.TokenError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
BOMB_BYTES, BOMB_RATIO = 64 * 2**20, 100  # nobody's motion is so large and packed so small
KEYS = ("names", "parents", "offsets", "rotvec", "trans", "fps")


class Arrays(Mapping):
    """The arrays of an .npz file, each read when asked for and never unpickled.

    A file that is not an .npz, a key that is missing and an array of Python objects raise InputError; so does
    an array whose header asks for another size than the file has, before any memory is taken for it.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                raise InputError(
                    "it is a single array, an .npz of named arrays was expected, save it by numpy.savez"
                )
        try:
            self._file = zipfile.ZipFile(path)
        except BROKEN as error:
            raise InputError("it is no .npz file or is cut short, save or download it again") from error
        names = [name for name in self._file.namelist() if name.endswith(".npy")]
        self._names = {name.removesuffix(".npy"): name for name in names}

    def __getitem__(self, key: str) -> np.ndarray:
        member = self._file.getinfo(self._names[key])
        try:
            with self._file.open(member) as file:
                return _array(file, member)
        except _ObjectsError as error:
            raise InputError(
                f"'{key}' holds Python objects, which are never unpickled, save it as an array of numbers"
            ) from error
        except BROKEN as error:
            raise InputError(f"'{key}' is cut short or damaged, save or download it again") from error

    def __contains__(self, key: object) -> bool:
        return key in self._names  # Mapping's own would read the array

    def __iter__(self):
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __enter__(self) -> "Arrays":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


class _ObjectsError(Exception):
    """An array of Python objects."""


def _array(file: IO[bytes], member: zipfile.ZipInfo) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, in_columns, dtype = read_header(file)
    if dtype.hasobject:
        raise _ObjectsError
    size = math.prod(shape) * dtype.itemsize
    is_bomb = size > max(BOMB_BYTES, BOMB_RATIO * member.compress_size)
    if is_bomb or size != member.file_size - file.tell():
        raise EOFError("the header lies")
    content = bytearray(file.read())
    if dtype.kind == "U" and (np.frombuffer(content, dtype.byteorder + "u4") > sys.maxunicode).any():
        raise ValueError("it holds letters that there are not")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if in_columns else "C")


def read_npz(
    path: Path, arrays: Mapping[str, np.ndarray], *, joint_map: Mapping[str, str] | None = None
) -> Motion:
    """Read Motion's own fields, in its axes and units; the folder is the subject.

    ``names`` (J), ``parents`` (J), ``offsets`` (J, 3), ``rotvec`` (T, J, 3), ``trans`` (T, 3), ``fps`` ().
    """
    missing = [key for key in KEYS if key not in arrays]
    if missing:
        raise InputError(
            f"it lacks {', '.join(missing)}, a motion needs {', '.join(KEYS)}, or SMPL's parameters as poses "
            f"(or global_orient and body_pose), trans and fps; it holds {', '.join(arrays) or 'nothing'}, "
            "save it with them"
        )
    value = {key: arrays[key] for key in KEYS}
    for key in KEYS[1:]:
        if value[key].dtype.kind not in "iuf":
            raise InputError(f"'{key}' holds {value[key].dtype} where numbers were expected, save it again")
    if value["fps"].size != 1 or value["names"].ndim != 1 or value["rotvec"].ndim != 3:
        raise InputError("names (J), rotvec (T, J, 3) and one fps were expected, save it with these shapes")
    names = value["names"]
    names = np.char.decode(names, errors="replace") if names.dtype.kind == "S" else names
    return Motion(
        path.stem, folder_name(path), value["fps"].item(), tuple(names.tolist()),
        value["parents"], value["offsets"], value["rotvec"], value["trans"], joint_map=joint_map or {},
    )  # fmt: skip
