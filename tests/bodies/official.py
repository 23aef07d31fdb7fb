"""Made-up SMPL and MANO models in the layout of the official files, and the Python 2 pickles that these are.

The numbers are random but valid: a closed ellipsoid with SMPL's 6890 vertices and 13776 faces, an open one
with MANO's 778 vertices, joints regressed from vertices around where a person has them, smooth shape bases.
"""

import pickle
import struct
import types
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import sparse

from mpt.bodies.mano import BONES
from mpt.mocap.amass import REST_CM
from mpt.skeletons import COCO17, SMPL24, mirror_name

MIRROR = np.array([-1.0, 1, 1])
PLACES = {name: np.array(at) / 100 for name, at in (REST_CM | {"left_hand": (76, 21.5, -5.5)}).items()}
PLACES |= {mirror_name(name): at * MIRROR for name, at in PLACES.items() if "left" in name}
PLACES |= {"nose": np.array([0, 0.42, 0.1]), "head_top": np.array([0, 0.55, 0])}


def smpl(seed: int = 0) -> dict:
    """The dictionary of a T-posed SMPL model, about its own origin near the chest."""
    template, faces = _ellipsoid(82, 84)
    template = template * [0.95, 0.9, 0.3] - [0, 0.3, 0]
    joints = np.array([PLACES[name] for name in SMPL24.joints])
    return _model(template, faces, joints, SMPL24.parents, np.random.default_rng(seed))


def mano(seed: int = 0, side: str = "right") -> dict:
    """The dictionary of a flat MANO hand, the right one's fingers at -x."""
    rng = np.random.default_rng(seed)
    template, faces = _ellipsoid(21, 37, open_end=True)
    template = template @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]) * [0.1, 0.012, 0.05]
    rows = {"index": 0.025, "middle": 0.005, "ring": -0.015, "pinky": -0.03, "thumb": 0.04}
    joints = [[0.02 - 0.03 * int(bone[-1]), 0, rows[bone[:-1]]] for bone in BONES.joints[1:]]
    model = _model(template, faces, np.array([[0.09, 0, 0], *joints]), BONES.parents, rng)
    model |= {"hands_mean": rng.normal(0, 0.2, 45), "hands_components": rng.normal(0, 1, (45, 45))}
    if side == "left":
        model |= {key: model[key] * MIRROR[:, None] for key in ("shapedirs", "posedirs")}
        model |= {"v_template": model["v_template"] * MIRROR, "f": model["f"][:, ::-1].copy()}
    return model


def h36m_regressor(model: dict, first_leg: str, hips_out: float = 0.0) -> np.ndarray:
    """(17, V) of Human3.6M's joints: METRO's file begins with the right leg, SPIN's with the left.

    hips_out: metres by which its hips are farther out than SMPL's.
    """
    legs = [
        f"{side}_{joint}"
        for side in (first_leg, mirror_name(first_leg))
        for joint in ("hip", "knee", "ankle")
    ]
    arms = [f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")]
    names = ["pelvis", *legs, "spine1", "neck", "nose", "head_top", *arms]
    out = {"left_hip": np.array([hips_out, 0, 0]), "right_hip": np.array([-hips_out, 0, 0])}
    return np.array([_around(model["v_template"], PLACES[name] + out.get(name, 0)) for name in names])


def coco_regressor(model: dict) -> np.ndarray:
    """(17, V) of COCO's joints, as Pose2Mesh's file has them."""
    face = {"left_eye": np.array([0.03, 0.45, 0.08]), "left_ear": np.array([0.07, 0.43, 0.0])}
    face |= {mirror_name(name): MIRROR * at for name, at in face.items()}
    return np.array([_around(model["v_template"], (PLACES | face)[name]) for name in COCO17.joints])


def as_published(model: dict) -> dict:
    """The dictionary with the objects that the official files hold in place of some arrays."""
    shapedirs = model["shapedirs"]
    more = np.concatenate([shapedirs, shapedirs], 2)
    picked = np.arange(more.size).reshape(more.shape)[:, :, : shapedirs.shape[2]]
    return model | {
        "shapedirs": Select(Ch(more), picked.ravel(), shapedirs.shape),
        "posedirs": Ch(model["posedirs"]),
        "J_regressor": CscMatrix(model["J_regressor"]),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
    }


def write_pickle(path: Path, value, cut: int = 0) -> Path:
    """Pickle as Python 2 did, less the last ``cut`` bytes."""
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump(value)
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path


class Python2Pickler(pickle._Pickler):
    """Text and bytes as Python 2's strings, and numpy by its old names."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, value) -> None:
        content = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string

    def save_global(self, value, name=None) -> None:
        module = value.__module__.replace("numpy._core", "numpy.core")
        module = {"builtins": "__builtin__", "copyreg": "copy_reg"}.get(module, module)
        self.write(pickle.GLOBAL + f"{module}\n{value.__qualname__}\n".encode())
        self.memoize(value)

    dispatch[type] = dispatch[types.FunctionType] = dispatch[types.BuiltinFunctionType] = save_global


class Ch:
    """chumpy's constant."""

    def __init__(self, x) -> None:
        self.__dict__ |= {"x": x, "_dirty_vars": set(), "_itr": None, "_depends_on_deps": {}}


class Select:
    """chumpy's pick of entries out of another of its objects."""

    def __init__(self, a, idxs, shape) -> None:
        self.__dict__ |= {"a": a, "idxs": idxs, "preferred_shape": shape, "_dirty_vars": {"a"}}


class CscMatrix:
    """scipy's matrix as old versions pickled it."""

    def __init__(self, dense) -> None:
        column, row = np.nonzero(dense.T)
        counts = np.bincount(column, minlength=dense.shape[1])
        self.__dict__ |= {
            "format": "csc",
            "_shape": dense.shape,
            "maxprint": 50,
            "data": dense[row, column],
            "indices": row.astype(np.int32),
            "indptr": np.concatenate([[0], counts.cumsum()]).astype(np.int32),
        }


Ch.__module__ = "chumpy.ch"  # under these names they are pickled
Select.__module__ = "chumpy.reordering"
CscMatrix.__module__, CscMatrix.__qualname__ = "scipy.sparse.csc", "csc_matrix"


def _model(template, faces, joints, parents, rng) -> dict:
    count, size, shapes = len(joints), np.ptp(template, axis=0).max(), 10
    regressor = np.array([_around(template, joint) for joint in joints])
    distance = np.linalg.norm(template[:, None] - joints, axis=2)
    weights = np.exp(-distance / size * 30)
    weights[weights < np.sort(weights, 1)[:, -4:-3]] = 0
    waves = rng.normal(0, 3 / size, (3, 3 * shapes))
    shapedirs = 0.01 * size * np.sin(template @ waves + rng.uniform(0, 6, 3 * shapes))
    return {
        "v_template": template,
        "f": faces.astype(np.uint32),
        "shapedirs": shapedirs.reshape(-1, 3, shapes),
        "posedirs": rng.normal(0, 0.002 * size, (len(template), 3, 9 * (count - 1))),
        "J_regressor": regressor,
        "J": regressor @ template,
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, *parents[1:]], range(count)], np.uint32),
    }


def _around(template: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(V,) weights of the 24 vertices about a joint, on both sides of the body, that regress it."""
    thin = np.ptp(template, axis=0).argmin()
    near = np.argsort((np.delete(template - place, thin, axis=1) ** 2).sum(1))[:24]
    system = np.concatenate([template[near].T, np.ones((1, len(near)))])
    weights = np.zeros(len(template))
    weights[near] = np.linalg.lstsq(system, np.append(place, 1), rcond=None)[0]
    return weights


def _ellipsoid(around: int, rings: int, open_end: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The unit sphere as around * rings vertices and its poles at +y and, unless it is open there, -y."""
    polar = np.pi * (np.arange(rings) + 1) / (rings + 1)
    turn = 2 * np.pi * np.arange(around) / around
    circle = np.stack([np.cos(turn), np.zeros(around), -np.sin(turn)], 1)
    grid = (np.sin(polar)[:, None, None] * circle).reshape(-1, 3)
    grid[:, 1] = np.cos(polar).repeat(around)
    ring = np.arange(around)
    after = (ring + 1) % around
    first, last = len(grid), around * (rings - 1)
    faces = [np.stack([np.full(around, first), ring, after], 1)]
    for upper in range(0, last, around):
        a, b, c, d = upper + ring, upper + after, upper + around + ring, upper + around + after
        faces += [np.stack([a, c, b], 1), np.stack([b, c, d], 1)]
    if not open_end:
        faces.append(np.stack([np.full(around, first + 1), last + after, last + ring], 1))
    poles = [[0, 1, 0]] if open_end else [[0, 1, 0], [0, -1, 0]]
    return np.concatenate([grid, poles]), np.concatenate(faces)


def random_people(count: int, joints: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axis-angle (count, joints, 3), betas (count, 10) and translations (count, 3)."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.5, (count, joints, 3)), rng.normal(size=(count, 10)), rng.normal(size=(count, 3))


def posed_slowly(model: dict, rotvec, betas, trans) -> tuple[np.ndarray, np.ndarray]:
    """One person's vertices (V, 3) and joints (J, 3) by the equations of Loper et al., section 3."""
    turns = [_rodrigues(vector) for vector in rotvec]
    shaped = model["v_template"] + model["shapedirs"] @ betas
    joints = model["J_regressor"] @ shaped
    rest = shaped + model["posedirs"] @ np.concatenate([(turn - np.eye(3)).ravel() for turn in turns[1:]])
    world = []
    for joint, turn in enumerate(turns):
        parent = int(model["kintree_table"][0, joint])
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = turn, joints[joint] - (joints[parent] if joint else 0)
        world.append(world[parent] @ local if joint else local)
    vertices = np.zeros_like(rest)
    for joint, transform in enumerate(world):
        moved = (rest - joints[joint]) @ transform[:3, :3].T + transform[:3, 3]
        vertices += model["weights"][:, joint, None] * moved
    return vertices + trans, np.array([transform[:3, 3] for transform in world]) + trans


def _rodrigues(rotvec: np.ndarray) -> np.ndarray:
    angle = np.linalg.norm(rotvec)
    x, y, z = rotvec / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def write_downsampling(path: Path, counts: tuple[int, ...], seed: int = 0) -> Path:
    """METRO's file: each level picks from the one above (D) and comes back by three weights a vertex (U)."""
    rng = np.random.default_rng(seed)
    down, up, faces = [], [], [np.zeros((1, 3), np.uint32)]
    for many, few in pairwise(counts):
        kept = np.sort(rng.permutation(many)[:few])
        back = np.zeros((many, few))
        for vertex in range(many):
            weight = rng.uniform(size=3)
            back[vertex, rng.permutation(few)[:3]] = weight / weight.sum()
        back[kept] = np.eye(few)
        down.append(sparse.csc_matrix((np.ones(few), (np.arange(few), kept)), shape=(few, many)))
        up.append(sparse.coo_matrix(back))
        faces.append(np.sort(rng.integers(few, size=(2 * few - 4, 3)), axis=1).astype(np.uint32))
    members = {"A": [sparse.csr_matrix(np.eye(few)) for few in counts[1:]], "D": down, "U": up, "F": faces}
    with path.open("wb") as file:
        np.savez(file, **{key: _objects(value) for key, value in members.items()})
    return path


def _objects(values: list) -> np.ndarray:
    array = np.empty(len(values), object)
    for place, value in enumerate(values):
        array[place] = value
    return array
