"""Motion capture files -> Motion."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mpt.errors import InputError
from mpt.mocap.amass import holds_smpl, read_amass
from mpt.mocap.asfamc import read_amc
from mpt.mocap.bvh import read_bvh
from mpt.mocap.limbs import read_joint_map
from mpt.mocap.motion import Motion
from mpt.mocap.npz import Arrays, read_npz
from mpt.mocap.upright import Up

__all__ = ["EXTENSIONS", "Motion", "Up", "find", "read", "read_joint_map"]

EXTENSIONS = (".bvh", ".amc", ".npz")


def read(
    path: str | Path,
    *,
    scale: float | None = None,
    joint_map: Mapping[str, str] | None = None,
    up: Up | None = None,
) -> Motion:
    """Read one file of motion: .bvh, .amc (with its .asf beside it) or .npz (AMASS and other SMPL parameters,
    or Motion's own fields).

    ``scale`` is the length of a unit of a BVH or ASF file in metres, instead of a guess from the person's
    height; an .npz is in metres. ``joint_map`` names the joints of some limbs (see ``read_joint_map``) where
    their names and the tree tell otherwise. ``up`` is the file's axis that points up in the world, instead of
    a guess from its rest pose and motion; Motion's own fields are y up. Raises InputError, one sentence that
    begins with the path.
    """
    path = Path(path)
    try:
        if scale is not None and not 0 < scale < float("inf"):
            raise InputError(f"its scale cannot be {scale}, give the length of its unit in metres, above 0")
        return _read(path, scale, joint_map, up)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{path}: it cannot be read ({reason}), check the path and its permissions"
        ) from error


def find(paths: Iterable[str | Path]) -> list[Path]:
    """Motion files: files as given, folders walked down in sorted order, none twice.

    Left out of folders: hidden files and folders, and what AMASS lays beside its motion, a subject's shape
    (``shape.npz``, ``*_stagei.npz``). Raises InputError for a path that does not exist and for a folder
    without any motion.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder, give motion capture files or folders of them")
        files = _walk(path) if path.is_dir() else [path]
        if not files:
            raise InputError(
                f"{path}: there is no motion in this folder, files that end in "
                f"{', '.join(EXTENSIONS)} were expected, give another"
            )
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _read(path: Path, scale: float | None, joint_map: Mapping[str, str] | None, up: Up | None) -> Motion:
    match path.suffix.lower():
        case _ if path.is_dir():
            raise InputError("it is a folder, one file of motion was expected, give a file in it")
        case ".bvh":
            return read_bvh(path, scale=scale, joint_map=joint_map, up=up)
        case ".amc":
            return read_amc(path, scale=scale, joint_map=joint_map, up=up)
        case ".npz":
            with Arrays(path) as arrays:
                if holds_smpl(arrays):
                    return read_amass(path, arrays, up=up)
                return read_npz(path, arrays, joint_map=joint_map)
        case ".asf":
            raise InputError("it is a skeleton without motion, an .amc was expected, give the .amc beside it")
        case ".pkl" | ".pickle" | ".pt" | ".pth":
            raise InputError(
                "it is a pickle, which is never opened as it can run anything, save its poses and trans by "
                "numpy.savez as an .npz"
            )
        case suffix:
            raise InputError(
                f"'{suffix}' is no motion format known here, {', '.join(EXTENSIONS)} were expected, "
                "export it as BVH"
            )


def _walk(folder: Path) -> Sequence[Path]:
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(parent, name) for name in sorted(names) if _is_motion(name)]
    return files


def _is_motion(name: str) -> bool:
    path = Path(name.lower())
    is_amass_shape = path.suffix == ".npz" and (path.stem == "shape" or path.stem.endswith("_stagei"))
    return path.suffix in EXTENSIONS and not name.startswith(".") and not is_amass_shape
