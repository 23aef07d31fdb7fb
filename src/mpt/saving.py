"""A person as a file of any kind: the mesh as it stands, or the body's rig in its pose."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from mpt.biomechanics.c3d import c3d, check_ezc3d
from mpt.biomechanics.table import csv
from mpt.biomechanics.trc import trc
from mpt.bodies.motion import BodyMotion
from mpt.bodies.pose import BodyPose
from mpt.errors import InputError
from mpt.export import ADVICE, WRITERS, write_mesh
from mpt.floor import World
from mpt.rigs.bvh import FRAME_S, UNITS, Scale, bvh
from mpt.rigs.fbx import check_bpy, fbx
from mpt.rigs.gltf import FACING, Lens, rigged
from mpt.rigs.names import Names
from mpt.rigs.rig import Place, Rest, Rig, rig_of
from mpt.writing import write_whole

TABLES = ("trc", "c3d", "csv")
PLACED = ("glb", "bvh", "fbx", *TABLES)
"""Formats that stand in the world and need the body's pose, but for a GLB without bones."""
FORMATS = (*WRITERS, "bvh", "fbx", *TABLES)


@dataclass(frozen=True)
class Saving:
    """How files are written.

    Attributes:
        static: GLB as a mesh without bones, as it stands.
        rest: the rest pose of rigs; without it a T-pose in BVH, and the body's own in GLB and FBX.
        names: what bones are called.
        scale: the unit of BVH.
        world: whether meshes without bones stand in the world, too: GLB, OBJ and PLY; rigs always do.
    """

    static: bool = False
    rest: Rest | None = None
    names: Names = "anny"
    scale: Scale = "m"
    world: bool = False


class Person(Protocol):
    """What is saved, as ``mpt.Reconstruction`` has it."""

    @property
    def vertices(self) -> np.ndarray: ...
    @property
    def faces(self) -> np.ndarray: ...
    @property
    def joints3d(self) -> np.ndarray: ...
    @property
    def translation_m(self) -> np.ndarray: ...
    @property
    def joints3d_std_m(self) -> np.ndarray | None: ...
    @property
    def pose(self) -> BodyPose | None: ...


def standing_mesh(person: Person) -> np.ndarray:
    """(V, 3) where somebody was photographed, in camera axes: the body of their rig, else the mesh."""
    vertices = person.vertices if person.pose is None else person.pose.posed().vertices
    return vertices + person.translation_m


def check_format(ending: str, how: Saving) -> None:
    """Raises InputError where a format is unknown, or cannot be written here, or so."""
    if ending not in FORMATS:
        raise InputError(f"'{ending}' is no format that can be written; use {', '.join(FORMATS)}")
    if how.scale not in UNITS:
        raise InputError(f"the scale is {how.scale!r}: take m or cm")
    if ending == "fbx":
        check_bpy()
    if ending == "c3d":
        check_ezc3d()


def save(
    path: Path,
    person: Person,
    how: Saving,
    *,
    world: World | None,
    level: np.ndarray | None = None,
    lens: Lens | None = None,
) -> None:
    """Write somebody in the format that the file's ending names, whole or not at all.

    world: in which rigs and tables stand, and where ``how`` says so meshes; without it (None) all are about
        the root, in camera axes.
    level: (3, 3) turns camera axes to a level camera's, for a static GLB.
    lens: the photo's camera, which a rigged GLB then holds.

    Raises InputError for an unknown ending, what the person's body cannot give, and a folder that cannot be
    written.
    """
    ending = path.suffix.lower().lstrip(".")
    check_format(ending, how)
    if ending in PLACED and not _is_baked(ending, person, how):
        place = _place(person, world)
        if ending in TABLES:
            content = _table(path, person, place)
        elif ending == "bvh":
            content = bvh(_rig(person, place, how, ending), how.scale)
        else:
            camera = Place(world.rotation, world.shift) if world and ending == "glb" else None
            content = rigged({path.stem: _rig(person, place, how, ending)}, camera, lens)
            content = fbx(content) if ending == "fbx" else content
        write_whole(path, content, ADVICE)
        return
    vertices = person.vertices
    if how.world and world is not None and ending != "npz":
        vertices = world(vertices + person.translation_m)
        vertices = vertices * FACING if ending == "glb" else vertices  # which its writer turns back
    elif level is not None and ending == "glb":
        vertices = vertices @ level.T
    pose = person.pose and person.pose.arrays()
    write_mesh(path, vertices, person.faces, joints=person.joints3d, pose=pose)


def save_together(
    path: Path, people: Sequence[Person], how: Saving, world: World, lens: Lens | None = None
) -> None:
    """Write everybody as one GLB, in the world: rigs by the names person0, person1, ..., or one mesh.

    Raises InputError where the folder cannot be written.
    """
    if any(_is_baked("glb", person, how) for person in people):
        vertices, faces = one_mesh(people, world)
        write_mesh(path, vertices * FACING, faces)
        return
    rigs = {
        f"person{number}": _rig(person, _place(person, world), how, "glb")
        for number, person in enumerate(people)
    }
    write_whole(path, rigged(rigs, Place(world.rotation, world.shift), lens), ADVICE)


def one_mesh(people: Sequence[Person], world: World) -> tuple[np.ndarray, np.ndarray]:
    """Everybody's meshes as one, in the world: vertices (V, 3), faces (F, 3)."""
    before = np.cumsum([0, *(len(person.vertices) for person in people[:-1])])
    vertices = np.concatenate([world(person.vertices + person.translation_m) for person in people])
    return vertices, np.concatenate([person.faces + first for person, first in zip(people, before)])


def _is_baked(ending: str, person: Person, how: Saving) -> bool:
    """Whether a GLB has no bones: none are wanted, or the model's body is not known here."""
    if ending == "glb" and (how.static or person.pose is None):
        return True
    if person.pose is None:
        raise InputError(
            f"{ending} needs the body's pose, which is not known, for the model's body is not here: write "
            "obj, ply or npz, or a model of the body that comes with mpt"
        )
    return False


def _rig(person: Person, place: Place, how: Saving, ending: str) -> Rig:
    assert person.pose is not None
    is_bvh, of_people = ending == "bvh", "left_hip" in person.pose.body.roles
    rest = how.rest or ("t-pose" if is_bvh and of_people else "a-pose")
    return rig_of(person.pose, place, names=how.names, rest=rest, all_bones=not is_bvh)


def _table(path: Path, person: Person, place: Place) -> bytes:
    """Markers or angles of a photo, which is a film of one frame."""
    assert person.pose is not None
    pose, std = person.pose, person.joints3d_std_m
    still = BodyMotion(
        pose.body, pose.rotvec[None], pose.shape, pose.translation_m[None], np.zeros(1), 1 / FRAME_S
    )
    match path.suffix.lower():
        case ".trc":
            return trc(still, place, path.name)
        case ".c3d":
            return c3d(still, place)
    return csv(still, place, None if std is None else std[None])


def _place(person: Person, world: World | None) -> Place:
    if world is None:
        return Place(np.diag(FACING).astype(float), np.zeros(3))
    return Place(world.rotation, world(np.asarray(person.translation_m, float)))
