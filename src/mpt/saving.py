"""A person as a file of any kind: the mesh as it stands, or the body's rig in its pose or motion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from mpt.biomechanics.c3d import c3d, check_ezc3d
from mpt.biomechanics.table import csv
from mpt.biomechanics.trc import trc
from mpt.bodies.motion import BodyMotion, still
from mpt.bodies.pose import BodyPose
from mpt.clothes import Clothes, clothes_of
from mpt.crops import Crop
from mpt.errors import InputError
from mpt.export import ADVICE, WRITERS, write_mesh
from mpt.floor import World
from mpt.focal_lengths import FocalFrom
from mpt.rigs.bvh import UNITS, Scale, bvh
from mpt.rigs.fbx import check_bpy, fbx
from mpt.rigs.gltf import FACING, Lens, Mesh, baked, rigged
from mpt.rigs.names import Names
from mpt.rigs.rig import Place, Rest, Rig, rig_of
from mpt.skeletons import Skeleton
from mpt.threads import torch_threads
from mpt.writing import write_whole

Up = Literal["y", "z"]
Origin = Literal["feet"]
Z_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From y up, z towards the viewer, to z up, y away from the viewer, as Blender has it."""
TABLES = ("trc", "c3d", "csv")
PLACED = ("glb", "bvh", "fbx", *TABLES)
"""Formats that stand in the world and need the body's pose, but for a GLB without bones."""
UPRIGHT = ("obj", "ply")
"""Formats whose axis up can be chosen."""
FEET = ("ankle", "heel", "toe")
FORMATS = (*WRITERS, "bvh", "fbx", *TABLES)


@dataclass(frozen=True)
class Saving:
    """How files are written.

    Attributes:
        static: GLB as a mesh without bones, as it stands.
        rest: the rest pose of rigs; without it a T-pose in BVH, and the body's own in GLB and FBX.
        names: what bones are called.
        scale: the unit of BVH.
        bare: without clothes, where the body has some: the top and shorts of GLB and PLY.
        world: whether meshes without bones stand in the world, too: GLB, OBJ and PLY; rigs always do.
        up: the axis of OBJ and PLY that points up; they stand in the world then.
        origin: "feet": what stands in the world has its origin between each person's own feet; meshes without
            bones stand there, too.
    """

    static: bool = False
    rest: Rest | None = None
    names: Names = "anny"
    scale: Scale = "m"
    world: bool = False
    bare: bool = False
    up: Up | None = None
    origin: Origin | None = None

    def stands(self, ending: str) -> bool:
        """Whether a mesh without bones stands in the world in a file of this ending."""
        turned = self.up is not None and ending in UPRIGHT
        return ending != "npz" and (self.world or self.origin == "feet" or turned)


class Person(Protocol):
    """What is saved, as ``mpt.Reconstruction`` has it."""

    @property
    def skeleton(self) -> Skeleton: ...
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


class Found(Person, Protocol):
    """What is drawn, and told in result.json, as ``mpt.Reconstruction`` has it."""

    @property
    def skeleton(self) -> Skeleton: ...
    @property
    def mirrored(self) -> bool: ...
    @property
    def score(self) -> float: ...
    @property
    def bbox_xywh(self) -> tuple[float, float, float, float]: ...
    @property
    def joints2d_px(self) -> np.ndarray: ...
    @property
    def crop(self) -> Crop: ...
    @property
    def camera(self) -> tuple[float, float, float]: ...
    @property
    def focal_px(self) -> float: ...
    @property
    def focal_assumed(self) -> bool: ...
    @property
    def focal_from(self) -> FocalFrom: ...
    @property
    def principal_px(self) -> tuple[float, float]: ...
    @property
    def up(self) -> np.ndarray | None: ...
    @property
    def up_std_deg(self) -> float | None: ...


def standing_mesh(person: Person) -> np.ndarray:
    """(V, 3) where somebody was photographed, in camera axes: the body of their rig, else the mesh."""
    vertices = person.vertices if person.pose is None else person.pose.posed().vertices
    return vertices + person.translation_m


def clothes_on(person: Person) -> Clothes | None:
    """What somebody's mesh wears; None where its body has no clothes, or is not known here."""
    return None if person.pose is None else clothes_of(person.pose.body)


def check_format(ending: str, how: Saving) -> None:
    """Raises InputError where a format is unknown, or cannot be written here, or so."""
    if ending not in FORMATS:
        raise InputError(f"'{ending}' is no format that can be written; use {', '.join(FORMATS)}")
    if how.scale not in UNITS:
        raise InputError(f"the scale is {how.scale!r}: take m or cm")
    if how.up not in (None, "y", "z"):
        raise InputError(f"up is {how.up!r}: take y or z, or leave it out for camera axes, y down")
    if how.origin not in (None, "feet"):
        raise InputError(f"the origin is {how.origin!r}: take feet, or leave it out")
    if ending == "fbx":
        check_bpy()
    if ending == "c3d":
        check_ezc3d()


@torch_threads(1)
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
        the root, in camera axes. Its origin is moved where ``how`` wants another one.
    level: (3, 3) turns camera axes to a level camera's, for a static GLB.
    lens: the photo's camera, which a rigged GLB then holds.

    Raises InputError for an unknown ending, what the person's body cannot give, and a folder that cannot be
    written.
    """
    ending = path.suffix.lower().lstrip(".")
    check_format(ending, how)
    if ending in PLACED and not _is_baked(ending, person, how):
        assert person.pose is not None
        world = world and _from(how, world, person, standing_mesh(person))
        place = _place(person, world)
        if ending in TABLES:
            std = None if person.joints3d_std_m is None else person.joints3d_std_m[None]
            write_whole(path, _table(path, still(person.pose), place, std), ADVICE)
        else:
            _write_rig(path, _rig(person.pose, place, how, ending), how, world, lens)
        return
    vertices = person.vertices
    if how.stands(ending) and world is not None:
        vertices = vertices + person.translation_m
        vertices = _from(how, world, person, vertices)(vertices)
        if ending == "glb":
            vertices = vertices * FACING  # which its writer turns back
        elif how.up == "z":
            vertices = vertices @ Z_UP.T
    elif level is not None and ending == "glb":
        vertices = vertices @ level.T
    pose = person.pose and person.pose.arrays()
    clothes = None if how.bare else clothes_on(person)
    write_mesh(path, vertices, person.faces, joints=person.joints3d, pose=pose, clothes=clothes)


@torch_threads(1)
def save_together(
    path: Path, people: Sequence[Person], how: Saving, world: World, lens: Lens | None = None
) -> None:
    """Write everybody as one GLB, in the world: rigs by the names person0, person1, ..., or their meshes.

    Raises InputError where the folder cannot be written.
    """
    if any(_is_baked("glb", person, how) for person in people):
        meshes = {
            f"person{number}": Mesh(
                world(person.vertices + person.translation_m).astype(np.float32),
                person.faces,
                None if how.bare else clothes_on(person),
            )
            for number, person in enumerate(people)
        }
        write_whole(path, baked(meshes), ADVICE)
        return
    rigs = {
        f"person{number}": _rig(person.pose, _place(person, world), how, "glb")
        for number, person in enumerate(people)
        if person.pose is not None
    }
    write_whole(path, rigged(rigs, Place(world.rotation, world.shift), lens), ADVICE)


@torch_threads(1)
def save_motion(
    path: Path,
    motion: BodyMotion,
    how: Saving,
    *,
    world: World | None,
    lens: Lens | None = None,
    joints3d_std_m: np.ndarray | None = None,
) -> None:
    """Write a body's motion in the format that the file's ending names, whole or not at all: GLB at the
    frames' own times, BVH and FBX at so many frames a second. Absences are bridged, or held where they are
    long (``mpt.rigs.timing``).

    motion: in camera axes, where it was filmed.
    world: in which it stands; without it (None) it stays before the camera, but y up, facing it.
    lens: the film's camera, which a GLB in a world then holds.
    joints3d_std_m: (F, J) how sure the joints are, for CSV.

    Raises InputError as ``save`` does, and for a format that holds no motion.
    """
    ending = path.suffix.lower().lstrip(".")
    check_format(ending, how)
    if ending not in PLACED:
        raise InputError(f"'{ending}' is no format for motion; use {', '.join(PLACED)}")
    if ending in TABLES:
        write_whole(path, _table(path, motion, _axes(world), joints3d_std_m), ADVICE)
        return
    _write_rig(path, _rig(motion, _axes(world), how, ending), how, world, lens)


@torch_threads(1)
def save_motions_together(
    path: Path, motions: Mapping[str, BodyMotion], how: Saving, world: World, lens: Lens | None = None
) -> None:
    """Write the motions of several people, by their names, as one GLB with one animation, in the world.

    Raises InputError where the folder cannot be written.
    """
    rigs = {name: _rig(motion, _axes(world), how, "glb") for name, motion in motions.items()}
    write_whole(path, rigged(rigs, _axes(world), lens), ADVICE)


def _from(how: Saving, world: World, person: Person, skin: np.ndarray) -> World:
    """The world with the origin that is wanted of it; ``skin`` (V, 3) in camera axes."""
    if how.origin is None:
        return world
    return at_feet(world, person.skeleton, person.joints3d + person.translation_m, skin)


def at_feet(world: World, skeleton: Skeleton, joints: np.ndarray, skin: np.ndarray) -> World:
    """The world with its origin between somebody's feet: joints (J, 3) and skin (V, 3) in camera axes."""
    check_feet("feet", skeleton)
    return world.between(joints[[joint.endswith(FEET) for joint in skeleton.joints]], skin)


def check_feet(origin: Origin | None, skeleton: Skeleton) -> None:
    """Raises InputError where those of a skeleton have no feet between which an origin can be."""
    if origin == "feet" and not skeleton.two_sided:
        raise InputError("the origin is to be between the feet, and hands have none: leave the origin out")


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


def _rig(moving: BodyPose | BodyMotion, place: Place, how: Saving, ending: str) -> Rig:
    is_bvh, of_people = ending == "bvh", "left_hip" in moving.body.roles
    rest = how.rest or ("t-pose" if is_bvh and of_people else "a-pose")
    return rig_of(moving, place, names=how.names, rest=rest, all_bones=not is_bvh, bare=how.bare)


def _write_rig(path: Path, rig: Rig, how: Saving, world: World | None, lens: Lens | None) -> None:
    """A rig as the GLB, BVH or FBX that the file's ending names."""
    ending = path.suffix.lower()
    if ending == ".bvh":
        content = bvh(rig, how.scale)
    elif ending == ".fbx":
        content = fbx(rigged({path.stem: rig}), rig.fps)
    else:
        content = rigged({path.stem: rig}, _axes(world) if world else None, lens)
    write_whole(path, content, ADVICE)


def _table(path: Path, motion: BodyMotion, place: Place, std_m: np.ndarray | None) -> bytes:
    """Markers or angles; ``std_m`` (F, J): how sure the joints are."""
    match path.suffix.lower():
        case ".trc":
            return trc(motion, place, path.name)
        case ".c3d":
            return c3d(motion, place)
    return csv(motion, place, std_m)


def _place(person: Person, world: World | None) -> Place:
    """From the axes of somebody's pose, about their root, to those of their file."""
    axes = _axes(world)
    return axes if world is None else Place(axes.rotation, axes(np.asarray(person.translation_m, float)))


def _axes(world: World | None) -> Place:
    """From camera axes to the world's; without one a half turn: y up, facing the viewer."""
    return (
        Place(np.diag(FACING).astype(float), np.zeros(3))
        if world is None
        else Place(world.rotation, world.shift)
    )
