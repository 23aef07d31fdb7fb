"""A film's people: who they are, what they do, and the world in which they stand."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import roma
import torch

from mpt import bodies
from mpt.bodies.body import Body
from mpt.bodies.motion import BodyMotion, turned
from mpt.errors import InputError
from mpt.films.store import record
from mpt.floor import UNSURE_DEG, World, world_of
from mpt.skeletons import SKELETONS, Skeleton

SAMPLES = 240  # moments of a film's people that tell its floor
UPS = 2000  # and which way is up
AGREES_DEG = 30.0  # from the others, beyond which somebody's up is not believed


@dataclass(frozen=True, eq=False)
class FilmPerson:
    """One person over a film; F frames, J joints, B bones. Camera axes (x right, y down, z forward), metres.

    Attributes:
        id: from 0, in the order in which people came.
        skeleton: the names of the joints.
        records: (F,) all that is known of each frame, on disk; read through the properties.
        body: whose pose and shape these are.
        shape: (S,) one for the whole film.
        fps: frames a second of the film.
    """

    id: int
    skeleton: Skeleton
    records: np.ndarray = field(repr=False)
    body: Body = field(repr=False)
    shape: np.ndarray = field(repr=False)
    fps: float

    def __len__(self) -> int:
        return len(self.records)

    @property
    def frames(self) -> np.ndarray:
        """(F,) int64 numbers from 0, ascending."""
        return self._column("frames")

    @property
    def times_s(self) -> np.ndarray:
        """(F,) since the film's first frame."""
        return self._column("times_s")

    @property
    def joints2d_px(self) -> np.ndarray:
        """(F, J, 3) x, y, score of what the 2D network found; scores 0 where somebody was carried across."""
        return self._column("joints2d_px")

    @property
    def joints3d_m(self) -> np.ndarray:
        """(F, J, 3) about the mid-hip."""
        return self._column("joints3d_m")

    @property
    def joints3d_std_m(self) -> np.ndarray | None:
        """(F, J) how sure ``joints3d_m`` are, where the model says it; as ``Reconstruction`` has it."""
        return self._column("joints3d_std_m") if "joints3d_std_m" in self.names else None

    @property
    def translation_m(self) -> np.ndarray:
        """(F, 3) where the mid-hip is."""
        return self._column("translation_m")

    @property
    def rotvec(self) -> np.ndarray:
        """(F, B, 3) local rotations of the body's bones, as ``BodyPose`` has them, about the mid-hip."""
        return self._column("rotvec")

    @property
    def camera_rotvec(self) -> np.ndarray:
        """(F, 3) how the camera is turned from the first frame's, axis-angle: ``x_now = R x_first``."""
        return self._column("camera_rotvec")

    @property
    def score(self) -> np.ndarray:
        """(F,) how surely this is a person, 0-1; 0 where they were carried across."""
        return self._column("score")

    @property
    def names(self) -> tuple[str, ...]:
        return self.records.dtype.names or ()

    @property
    def motion(self) -> BodyMotion:
        """The body's motion where it was filmed, in the axes of the first frame's camera, from which all
        others are turned by ``camera_rotvec``: those of any frame's, where the camera stands.
        """
        return self.motion_of(slice(None))

    def motion_of(self, rows: slice | np.ndarray) -> BodyMotion:
        """The same of some frames."""
        some = self.records[rows]
        place = some["pose_translation_m"] + some["translation_m"]
        motion = BodyMotion(
            self.body,
            np.array(some["rotvec"]),
            self.shape,
            place.astype(np.float32),
            np.array(some["times_s"]),
            self.fps,
        )
        return (
            turned(motion, turns_of(some["camera_rotvec"]).swapaxes(1, 2))
            if some["camera_rotvec"].any()
            else motion
        )

    def _column(self, name: str) -> np.ndarray:
        return np.array(self.records[name])


def people_in(folder: str | os.PathLike) -> list[FilmPerson]:
    """The people of a film's folder of results, by their numbers, each read whole.

    Raises InputError where there is no such result, or its body is not here.
    """
    folder = Path(folder)
    try:
        told = json.loads((folder / "result.json").read_bytes())["people"]
        paths = [folder / person["files"]["npz"] for person in told if "npz" in person["files"]]
        return [read_person(path, person["id"]) for path, person in zip(paths, told)]
    except (OSError, ValueError, LookupError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{folder} holds no film's results that can be read ({error}): give the folder that `mpt "
            "reconstruct FILM` or mpt.film has written"
        ) from None


def read_person(path: Path, id_: int) -> FilmPerson:
    """The person whose motion an npz of a film's results holds. Raises InputError where the body is not here,
    OSError, ValueError or LookupError for other files.
    """
    with np.load(path) as arrays:
        names, bones = arrays["joints"].tolist(), arrays["bones"].tolist()
        sure = "joints3d_std_m" in arrays
        records = np.zeros(
            len(arrays["frames"]), person_record(len(names), len(bones), sure=sure, gravity=False)
        )
        for name in records.dtype.names or ():
            records[name] = arrays[name]
        skeleton = next(known for known in SKELETONS.values() if list(known.joints) == names)
        body = bodies.load(str(arrays["body"])).with_joints(skeleton)
        return FilmPerson(id_, skeleton, records, body, arrays["shape"], float(arrays["fps"]))


def turns_of(camera_rotvec: np.ndarray) -> np.ndarray:
    """(F, 3) -> (F, 3, 3) how frames' cameras are turned from the first one's: ``x_now = this @ x_first``."""
    return roma.rotvec_to_rotmat(torch.from_numpy(camera_rotvec.astype(float))).numpy()


def person_record(joints: int, bones: int, *, sure: bool, gravity: bool) -> np.dtype:
    """What is known of somebody in a frame."""
    return record(
        frames=(np.int64, ()),
        times_s=(np.float64, ()),
        joints2d_px=(np.float32, (joints, 3)),
        joints3d_m=(np.float32, (joints, 3)),
        translation_m=(np.float64, (3,)),
        rotvec=(np.float32, (bones, 3)),
        pose_translation_m=(np.float32, (3,)),
        camera_rotvec=(np.float32, (3,)),
        score=(np.float32, ()),
        **({"joints3d_std_m": (np.float32, (joints,))} if sure else {}),
        **({"up": (np.float32, (3,)), "up_std_deg": (np.float32, ())} if gravity else {}),
    )


def world_of_film(people: Sequence[FilmPerson]) -> World:
    """One up and one floor for a film whose camera stands still: up is what the model says on the whole, the
    floor the plane that everybody's lowest skin mostly shares. ``above_floor_m`` is each person's, mostly.
    """
    up, std = up_of_film(people)
    if not people:
        return world_of([], up, std)
    meshes, whose = [], []
    for person in people:
        count = min(max(SAMPLES // len(people), 4), len(person))
        rows = np.unique(np.linspace(0, len(person) - 1, count).round().astype(int))
        for row in rows:
            meshes.append(person.motion_of(np.array([row]))[0].posed().vertices)
            whose.append(person.id)
    world = world_of(meshes, up, std, standing=all(person.skeleton.two_sided for person in people))
    if world.above_floor_m is None:
        return world
    above = np.array(world.above_floor_m)
    mostly = (float(np.median(above[np.array(whose) == person.id])) for person in people)
    return World(world.rotation, world.shift, world.up_from, tuple(mostly))


def up_of_film(people: Sequence[FilmPerson]) -> tuple[np.ndarray | None, float | None]:
    """(3,) unit vector against gravity, on the whole, and its standard deviation in degrees; None where the
    model says nothing, or nothing sure.
    """
    ups, stds = [], []
    for person in people:
        if "up" in person.names:
            rows = person.records[:: max(len(person) * len(people) // UPS, 1)]
            sure = (rows["up_std_deg"] < UNSURE_DEG) & (rows["score"] > 0)
            first = rows["up"][:, None] @ turns_of(
                rows["camera_rotvec"]
            )  # of rows: back to the first frame's axes
            ups.append(first[:, 0][sure])
            stds.append(np.maximum(rows["up_std_deg"][sure], 1.0))
    if not ups or not sum(map(len, ups)):
        return None, None
    said, std = np.concatenate(ups).astype(float), np.concatenate(stds).astype(float)
    weight, up = std**-2, np.zeros(3)
    for _ in range(5):
        up = weight @ said
        if np.linalg.norm(up) < 0.5 * weight.sum():
            return None, None
        up /= np.linalg.norm(up)
        off = np.degrees(np.arccos(np.clip(said @ up, -1, 1)))
        weight = std**-2 / (1 + (off / AGREES_DEG * 3) ** 2) ** 2
    return up, float(std.min())  # of one camera all may be wrong alike: several are no surer than the surest
