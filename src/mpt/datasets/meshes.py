"""Files of posed meshes whose vertices are numbered as a body's: Complement's, FreiHAND's, or any OBJ.

    .../model_mano/NUMBER.obj     Complement's left hands, mirrored to right ones as its reader has them
    ANY.obj                       one mesh
    training_verts.json           FreiHAND's, one hand for each of its entries

All in metres and camera axes (x right, y down, z forward), and read into the world's: y up.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mpt.datasets import complement
from mpt.datasets.files import read_json
from mpt.errors import InputError

Y_UP = np.array([1, -1, -1], np.float32)
PAIRS = 64  # of vertices, by whose distances a shape in a pose is known from any side
SAME_M = 2e-4  # by which they may differ, through rounding


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The files of meshes that were named, and those below folders, in order of folders and of numbers."""
    found: dict[Path, None] = {}
    paths = list(paths)
    if not paths:
        raise InputError("no meshes were given, files or folders of .obj were expected; name at least one")
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder; name meshes or a folder of them")
        below = [*path.rglob("*.obj"), *path.rglob("training_verts.json")] if path.is_dir() else [path]
        if not below:
            raise InputError(f"{path}: no .obj and no training_verts.json lie below it; name their folder")
        found |= dict.fromkeys(sorted(below, key=_order))
    return list(found)


def _order(path: Path) -> tuple[Path, int, str]:
    return path.parent, int(path.stem) if path.stem.isdigit() else -1, path.name


def read(path: Path, vertices: int) -> np.ndarray:
    """(n, vertices, 3) float32 of a file's meshes. Raises InputError where they have other than so many."""
    if path.suffix == ".json":
        meshes = _array(path, read_json(path))
    elif path.parent.name == "model_mano":
        meshes = complement.read_vertices(path)[None]
    else:
        meshes = _array(path, [_obj(path)])
    if meshes.shape[1:] != (vertices, 3) or not np.isfinite(meshes).all():
        raise InputError(
            f"{path}: it holds {' x '.join(map(str, meshes.shape))} numbers, meshes of {vertices} vertices "
            "with finite x, y and z were expected; name the body that they were made of"
        )
    return meshes * Y_UP


def _obj(path: Path) -> list[list[str]]:
    try:
        return [line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an OBJ mesh ({error}); name a file of text") from None


def _array(path: Path, numbers: list) -> np.ndarray:
    try:
        return np.array(numbers, np.float32)
    except (ValueError, TypeError):
        raise InputError(f"{path}: it holds no meshes of equal numbers; copy it again") from None


def signature(meshes: np.ndarray) -> np.ndarray:
    """(n, V, 3) -> (n, PAIRS) distances within each mesh, the same from every side."""
    ends = np.random.default_rng(0).integers(meshes.shape[1], size=(2, PAIRS))
    return np.linalg.norm(meshes[:, ends[0]] - meshes[:, ends[1]], axis=-1)


def distinct(signatures: np.ndarray) -> np.ndarray:
    """(N, PAIRS) -> (N,) bool: False where an earlier mesh has the same signature."""
    along = signatures.astype(np.float64).sum(1)
    order = np.argsort(along, kind="stable")
    kept = np.ones(len(signatures), bool)
    start = 0
    for place, mesh in enumerate(order):
        while along[order[start]] < along[mesh] - PAIRS * SAME_M:
            start += 1
        near = order[start:place]
        near = near[kept[near]]
        same = near[(np.abs(signatures[near] - signatures[mesh]) < SAME_M).all(1)]
        if len(same):
            kept[[mesh, *same]] = False
            kept[min(mesh, same.min())] = True
    return kept


def batches(
    rows_of: dict[Path, np.ndarray], vertices: int, size: int
) -> Iterator[tuple[np.ndarray, list[Path]]]:
    """Some rows of files, at most ``size`` meshes (n, vertices, 3) at once, and the file of each."""
    waiting: list[tuple[np.ndarray, Path]] = []
    for path, rows in rows_of.items():
        waiting += [(mesh, path) for mesh in read(path, vertices)[rows]]
        while len(waiting) >= size:
            yield np.stack([mesh for mesh, _ in waiting[:size]]), [source for _, source in waiting[:size]]
            waiting = waiting[size:]
    if waiting:
        yield np.stack([mesh for mesh, _ in waiting]), [source for _, source in waiting]
