"""Motion from .npz files that already hold it in this package's axes: the layout of the CMU clips."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mpt.errors import InputError
from mpt.mocap.motion import Motion, folder_name

KEYS = ("names", "parents", "offsets", "rotvec", "trans", "fps")


class Arrays(Mapping):
    """The arrays of an .npz file, each read when asked for and never unpickled.

    A file that is not an .npz, a key that is missing and an array of Python objects raise InputError.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError("it is no .npz file or is cut short, save or download it again") from error
        if not isinstance(self._file, np.lib.npyio.NpzFile):
            raise InputError(
                "it is a single array, an .npz of named arrays was expected, save it by numpy.savez"
            )

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self._file.files:
            raise KeyError(key)
        try:
            return self._file[key]
        except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            if "Object arrays" in str(error):
                raise InputError(
                    f"'{key}' holds Python objects, which are never unpickled, save it as an array of numbers"
                ) from error
            raise InputError(f"'{key}' is cut short or damaged, save or download it again") from error

    def __contains__(self, key: object) -> bool:
        return key in self._file.files  # Mapping's own would read the array

    def __iter__(self):
        return iter(self._file.files)

    def __len__(self) -> int:
        return len(self._file.files)

    def __enter__(self) -> "Arrays":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


def read_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> Motion:
    """Read Motion's own fields, in its axes and units; the folder is the subject.

    ``names`` (J), ``parents`` (J), ``offsets`` (J, 3), ``rotvec`` (T, J, 3), ``trans`` (T, 3), ``fps`` ().
    """
    missing = [key for key in KEYS if key not in arrays]
    if missing:
        raise InputError(
            f"it lacks {', '.join(missing)}, a motion needs {', '.join(KEYS)} (or AMASS's poses and trans), "
            "save it with them"
        )
    value = {key: arrays[key] for key in KEYS}
    for key in KEYS[1:]:
        if value[key].dtype.kind not in "iuf":
            raise InputError(f"'{key}' holds {value[key].dtype} where numbers were expected, save it again")
    if value["fps"].size != 1 or value["names"].ndim != 1 or value["rotvec"].ndim != 3:
        raise InputError("names (J), rotvec (T, J, 3) and one fps were expected, save it with these shapes")
    names = tuple(value["names"].tolist())
    return Motion(
        path.stem, folder_name(path), value["fps"].item(), names,
        value["parents"], value["offsets"], value["rotvec"], value["trans"],
    )  # fmt: skip
