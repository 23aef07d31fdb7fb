"""A photo's folder of results: overlay.png, result.json and the mesh files.

An earlier result is replaced file by file; whatever else lies in its folder is the user's, and stays.
"""

import json
import os
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mpt.errors import InputError
from mpt.export import write_picture
from mpt.render import PALETTE, Figure, Perspective, draw_joints, overlay, side_view
from mpt.writing import HIDDEN, Identities, hidden_in, same_as

if TYPE_CHECKING:
    from mpt.floor import World
    from mpt.reconstruct import Reconstruction  # with it comes torch, which no refused photo should wait for
    from mpt.saving import Saving

OVERLAY_PX = 1600  # the longer side of the drawn photo, at most
NAME_BYTES = 255  # of a file or folder, at most
MESH = re.compile(r"person\d+\.(glb|obj|ply|npz|bvh|fbx|trc|c3d|csv)")
OVERLAY_FILM = "overlay.mp4"
OF_FILM = re.compile(r"person\d+(-\d+)?\.(npz|glb|bvh|fbx|trc|c3d|csv)")
EVERYBODY = "everybody.glb"
OVERLAY = "overlay.png"
RESULT = "result.json"


@dataclass(frozen=True)
class Seconds:
    """What a photo took: finding the people, lifting them, and both with drawing and writing the results."""

    pose2d: float
    mesh: float
    total: float


def folder_names(photos: Sequence[Path], taken: Iterable[str] = ()) -> list[str]:
    """Each photo's folder, no two the same, nor one that is ``taken``: its stem, or its whole name where two
    stems are equal, with its folder's name before it where two names are.
    """
    spellings = [(photo.stem, photo.name, f"{photo.absolute().parent.name}-{photo.name}") for photo in photos]
    counts = [Counter(name.casefold() for name in names) for names in zip(*spellings)]
    others = {name.casefold() for name in taken}

    def fits(name: str) -> bool:
        short = len(os.fsencode(name)) <= NAME_BYTES
        return bool(name.strip(".")) and short and name.casefold() not in others  # "..": of "...jpg"

    names, used = [], set(others)
    for own in spellings:
        alone = (name for name, count in zip(own, counts) if count[name.casefold()] == 1 and fits(name))
        wanted = name = next(alone, own[1])
        number = 1
        while name.casefold() in used:  # a photo that is named twice
            number += 1
            name = _ending_in(wanted, f"-{number}")
        used.add(name.casefold())
        names.append(name)
    return names


def _ending_in(name: str, end: str) -> str:
    """The name with something behind it, and its last letters left out where it would be too long."""
    while len(os.fsencode(name + end)) > NAME_BYTES:
        name = name[:-1]
    return name + end


@contextmanager
def replacing(folder: Path, inputs: Identities | None = None) -> Iterator[Path]:
    """An empty folder to fill, whose files take the place of an earlier result's in ``folder`` when the block
    ends without an error, result.json last; else nothing changes there. What a program that was killed while
    files took their places has left is known by the result.json that it had still to move.

    Only what the earlier result.json names is written over or removed, and none of the ``inputs``. The folder
    itself is never moved, so that it may be a link.

    Raises:
        InputError: nothing can be written there, what lies there is not an earlier result, or a file that is
            no part of it lies where a new one should.
    """
    try:
        place = Path(os.path.realpath(folder))
        missing = [above for above in (place, *place.parents) if not above.exists()]
        earlier, halfway = ([], []) if missing else (_files_of(place), _halfway(place))
        unfinished, moving = hidden_in(place), False
        try:
            unfinished.mkdir(parents=True)
            yield unfinished
            new = os.listdir(unfinished)
            _check_free(folder, new, earlier, inputs or {})
            old = [name for name in set(earlier) - set(new) if not same_as(place / name, inputs or {})]
            moving = True
            try:
                _move(unfinished, place, old)
            except KeyboardInterrupt:
                _move(unfinished, place, old)
                raise
            finally:
                moving = (unfinished / RESULT).exists()
            for left in halfway:
                shutil.rmtree(left, ignore_errors=True)
        finally:
            if not moving:
                shutil.rmtree(unfinished, ignore_errors=True)
            for above in missing:  # that were made here, and have stayed empty
                with suppress(OSError):
                    above.rmdir()
    except _NoResultError:
        raise InputError(
            f"{folder} is there already and is no result of mpt's: move it away, or choose another --out"
        ) from None
    except OSError as error:
        raise InputError(
            f"{folder}: nothing can be written there ({error.strerror or error}); choose another --out"
        ) from error


def _move(unfinished: Path, place: Path, old: Sequence[str]) -> None:
    """What is left to move, then away with the old files, result.json last. Killed at any moment, it leaves
    a result.json that names every file there.
    """
    for name in sorted(os.listdir(unfinished), key=lambda name: name == RESULT):
        if name == RESULT:
            _remove(place, old)
        os.replace(unfinished / name, place / name)
    _remove(place, old)


def _remove(place: Path, old: Sequence[str]) -> None:
    for name in old:
        (place / name).unlink(missing_ok=True)


def is_result(folder: Path) -> bool:
    """Whether a folder holds a result of mpt's, or what a program that was killed has left of one."""
    try:
        return bool(_halfway(folder) or _files_of(folder))
    except (_NoResultError, OSError):
        return False


def whole(folder: Path) -> dict | None:
    """What result.json says where every file that it names is there and none was being replaced, of a film
    to its end; else None.
    """
    try:
        result, names = _read(folder / RESULT)
        complete = result.get("complete", True) and not _halfway(folder)
        return result if complete and all((folder / name).stat().st_size for name in names) else None
    except (_NoResultError, OSError):
        return None


def sweep_unmoved(folder: Path) -> None:
    """Remove what programs that were killed while they wrote have left in a folder of results; what they were
    moving is the next one's to replace.
    """
    with suppress(OSError):
        for name in set(os.listdir(folder)) - {left.name for left in _halfway(folder)}:
            if name.startswith(HIDDEN):
                if _is_plain_file(folder / name):
                    (folder / name).unlink()
                shutil.rmtree(folder / name, ignore_errors=True)


class _NoResultError(Exception):
    pass


def _files_of(folder: Path) -> list[str]:
    """The files that a folder's result.json names, and are there; none in an empty folder.

    Raises _NoResultError where it holds other things, and no result.json of ours.
    """
    if not folder.is_dir():
        raise _NoResultError
    if all(name.startswith(HIDDEN) for name in os.listdir(folder)):
        return []
    halfway = [left / RESULT for left in _halfway(folder)]
    own = [folder / RESULT] if (folder / RESULT).exists() or not halfway else []
    names = dict.fromkeys(name for result in (*own, *halfway) for name in _read(result)[1])
    return [name for name in names if _is_plain_file(folder / name)]


def _halfway(folder: Path) -> list[Path]:
    """What was left by programs that were killed while files took their places."""
    hidden = (folder / name for name in os.listdir(folder) if name.startswith(HIDDEN))
    return [left for left in hidden if _is_ours(left / RESULT)]


def _is_ours(path: Path) -> bool:
    try:
        return bool(_read(path))
    except _NoResultError:  # nothing was moved before it was whole
        return False


def _read(path: Path) -> tuple[dict, list[str]]:
    """A result.json of ours, and the names of all files that belong to it. Raises _NoResultError."""
    try:
        result = json.loads(path.read_bytes())
        if "film" in result:
            return result, _files_of_film(result)
        meshes = [name for person in result["people"] for name in person["meshes"].values()]
        if not {"image", "model", "seconds"} <= result.keys() or not all(map(MESH.fullmatch, meshes)):
            raise _NoResultError
        meshes += [EVERYBODY] * (result.get("everybody") == EVERYBODY)
        drawn = [OVERLAY] if result.get("overlay", OVERLAY) == OVERLAY else []
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _NoResultError from None
    return result, list(dict.fromkeys([*drawn, RESULT, *meshes]))


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _files_of_film(result: dict) -> list[str]:
    """The same of a film's result.json. Raises as that does where it is none of ours."""
    files = [person["files"] for person in result["people"]]
    names = [name for one in files for kind, name in one.items() if kind != "further"]
    names += [name for one in files for name in one.get("further", ())]
    if not {"model", "fps", "frames"} <= result.keys() or not all(map(OF_FILM.fullmatch, names)):
        raise _NoResultError
    names += [EVERYBODY] * (result.get("everybody") == EVERYBODY)
    drawn = [OVERLAY_FILM] if result.get("overlay") == OVERLAY_FILM else []
    return list(dict.fromkeys([*drawn, RESULT, *names]))


def _check_free(folder: Path, new: Sequence[str], earlier: Sequence[str], inputs: Identities) -> None:
    for path in (folder / name for name in new):
        if source := same_as(path, inputs):
            raise InputError(
                f"{path} is one of the inputs ({source}), which would be lost: choose another --out"
            )
        if os.path.lexists(path) and path.name not in earlier:
            raise InputError(
                f"{path} is there already and is no part of an earlier result: move it away, or choose "
                "another --out"
            )


def write_files(
    folder: Path,
    image: np.ndarray,
    people: "Sequence[Reconstruction]",
    formats: Sequence[str],
    how: "Saving | None" = None,
    overlay: bool = True,
) -> list[dict[str, str]]:
    """Write overlay.png, unless it is not wanted, each person's meshes, and of several people a GLB of all
    where one of each is asked for; each person's files by format.
    """
    from mpt.rigs.gltf import Lens
    from mpt.saving import PLACED, Saving, save, save_together  # with it comes torch

    how, size_wh = how or Saving(), (image.shape[1], image.shape[0])
    standing = set(formats) & set(PLACED) - ({"glb"} if how.static else set())
    placed = bool(standing) and any(person.pose for person in people)
    if overlay:
        write_picture(folder / OVERLAY, draw(image, people, placed))
    if not people:
        return []
    world, turn = world_of_people(people), level_of(people)
    centred = np.allclose(people[0].principal_px, [(side - 1) / 2 for side in size_wh])
    lens = Lens(people[0].focal_px, size_wh) if centred else None
    if placed and "glb" in standing and not centred:
        warnings.warn(
            "the optical axis meets the photo at ({:g}, {:g}), and not in its middle: glTF knows no such "
            "camera, so that the GLB files have none; result.json has it".format(*people[0].principal_px),
            stacklevel=2,
        )
    if world.above_floor_m is not None and world.up_from == "assumed" and (placed or how.world):
        warnings.warn(
            "the model does not say which way is up: the camera is taken to have been held level, and the "
            "floor to lie so",
            stacklevel=2,
        )
    meshes = []
    for number, person in enumerate(people):
        names = {ending: f"person{number}.{ending}" for ending in formats}
        for name in names.values():
            save(folder / name, person, how, world=world, level=turn, lens=lens)
        meshes.append(names)
    if _together(meshes):
        save_together(folder / EVERYBODY, people, how, world, lens)
    return meshes


def _together(meshes: Sequence[dict[str, str]]) -> bool:
    """Whether there is a file of everybody besides."""
    return len(meshes) > 1 and all("glb" in names for names in meshes)


def world_of_people(people: "Sequence[Reconstruction]") -> "World":
    """The world in which the people of a photo stand on its floor, apart as they were photographed."""
    from mpt.floor import world_of  # with it comes torch
    from mpt.saving import standing_mesh

    placed = [standing_mesh(person) for person in people]
    standing = all(person.skeleton.two_sided for person in people)
    return world_of(placed, *_up_of(people), standing=standing)


def draw(
    image: np.ndarray,
    people: "Sequence[Reconstruction]",
    as_rigs: bool = True,
    *,
    shown: Collection[int] | None = None,
    joints: bool = False,
    beside: bool = True,
) -> np.ndarray:
    """The people over the photo, made smaller where it is large, and a view from the side.

    as_rigs: the bodies that are laid on their meshes, which rigged files hold; else the meshes, as others do.
    shown: only these, by their numbers. joints: with what the 2D network saw. beside: with the view from the
    side.
    """
    from mpt.saving import standing_mesh  # with it comes torch

    small = _shrunk(image, OVERLAY_PX)
    some = [(n, person) for n, person in enumerate(people) if shown is None or n in shown]
    if not some:
        return small
    factor = small.shape[1] / image.shape[1]
    centre = tuple((side + 0.5) * factor - 0.5 for side in people[0].principal_px)
    view = Perspective(people[0].focal_px * factor, centre)
    figures = []
    for number, person in some:
        placed = standing_mesh(person) if as_rigs else person.vertices + person.translation_m
        figures.append(Figure(placed, person.faces, PALETTE[number % len(PALETTE)]))
    picture = overlay(small, figures, view)
    for _, person in some if joints else ():
        points = person.joints2d_px.copy()
        points[:, :2] = (points[:, :2] + 0.5) * factor - 0.5
        picture = draw_joints(picture, points, person.skeleton)
    if not beside:
        return picture
    height, width = small.shape[:2]
    side = side_view(figures, height, max(width, height // 2), level_of(people))
    return np.concatenate([picture, side], 1)


def level_of(people: "Sequence[Reconstruction]") -> np.ndarray | None:
    """(3, 3) from camera axes to a level camera's, by where the people's model says that up is, the surer the
    more; None where it says nothing, is too unsure, or says opposite things of different people.
    """
    from mpt.views import level  # with it comes torch

    up, _ = _up_of(people)
    return None if up is None else level(up)


def _up_of(people: "Sequence[Reconstruction]") -> tuple[np.ndarray | None, float | None]:
    """(3,) unit vector against gravity as the people's model tells it, and its standard deviation in degrees;
    None where nothing is known.
    """
    from mpt.floor import UNSURE_DEG  # with it comes torch

    ups, stds = [], []
    for person in people:
        if person.up is not None and person.up_std_deg is not None and person.up_std_deg < UNSURE_DEG:
            ups.append(person.up)
            stds.append(max(person.up_std_deg, 1.0))
    if not ups:
        return None, None
    up = np.average(ups, axis=0, weights=1 / np.square(stds))
    agreed = float(np.linalg.norm(up))
    # Of one photo all are wrong alike, so that several are no surer than the surest.
    return (up / agreed, min(stds)) if agreed > 0.5 else (None, None)


def _shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    height, width = image.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return image
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def as_json(
    photo: Path | str,
    model: str,
    seconds: Seconds,
    people: "Sequence[Reconstruction]",
    meshes: Sequence[dict[str, str]],
    *,
    size_wh: tuple[int, int],
    overlay: bool = True,
    made_of: dict[str, str] | None = None,
) -> dict:
    """What result.json holds.

    size_wh: of the upright photo, in pixels. overlay: whether overlay.png was drawn.
    made_of: what the photo and the options are known by, where a batch may be taken up again.
    """
    return {
        "image": str(photo),
        "width": size_wh[0],
        "height": size_wh[1],
        "model": model,
        "seconds": {name: round(value, 4) for name, value in vars(seconds).items()},
        "people": [_person(person, files) for person, files in zip(people, meshes, strict=True)],
        **({"everybody": EVERYBODY} if _together(meshes) else {}),
        **({"world": world_as_json(world_of_people(people))} if people else {}),
        **({} if overlay else {"overlay": None}),
        **({} if made_of is None else {"made_of": made_of}),
    }


def world_as_json(world: "World") -> dict:
    """Of a world: x_world = rotation @ x_camera + translation_m."""
    above = world.above_floor_m
    return {
        "rotation": [rounded(row, 6) for row in world.rotation],
        "translation_m": rounded(world.shift, 5),
        "up_from": world.up_from,
        **({} if above is None else {"above_floor_m": rounded(above, 3)}),
    }


def _person(person: "Reconstruction", files: dict[str, str]) -> dict:
    s, tx, ty = rounded(person.camera, 6)
    joints = person.skeleton.joints
    side = {} if person.skeleton.two_sided else {"side": "left" if person.mirrored else "right"}
    return side | {
        "bbox_xywh": rounded(person.bbox_xywh, 2),
        "score": round(float(person.score), 4),
        "joints2d_px": {
            joint: [*rounded(xy, 2), round(float(score), 4)]
            for joint, (*xy, score) in zip(joints, person.joints2d_px)
        },
        "joints3d_m": {joint: rounded(xyz, 5) for joint, xyz in zip(joints, person.joints3d)},
        **_sureness(person),
        "camera": {
            "weak_perspective": {"s": s, "tx": tx, "ty": ty},
            "crop_to_image": [rounded(row, 4) for row in person.crop.image_from_ndc],
            "translation_m": rounded(person.translation_m, 5),
            "focal_px": round(person.focal_px, 3),
            "focal_assumed": person.focal_assumed,
            "focal_from": person.focal_from,
            "principal_px": rounded(person.principal_px, 3),
        },
        **_pose(person),
        "meshes": files,
        "vertex_count": len(person.vertices),
    }


def _pose(person: "Reconstruction") -> dict:
    """The body that is laid on the mesh: the bones that move, by name; the others rest."""
    pose = person.pose
    if pose is None:
        return {}
    bones = {bone: turn for bone, turn in zip(pose.body.bones, pose.rotvec) if bone in pose.body.moving_bones}
    return {
        "pose": {
            "body": pose.body.name,
            "rotations_rad": {bone: rounded(turn, 4) for bone, turn in bones.items()},
            "shape": rounded(pose.shape, 3),
            "translation_m": rounded(pose.translation_m, 5),
        },
        **({"build": plain(pose.build())} if person.skeleton.two_sided else {}),
    }


def plain(told: dict) -> dict:
    """Numbers in dictionaries of any depth, rounded."""
    return {
        name: plain(value)
        if isinstance(value, dict)
        else value
        if isinstance(value, str)
        else round(value, 3)
        for name, value in told.items()
    }


def _sureness(person: "Reconstruction") -> dict:
    """What a model says of that which it cannot see; nothing, where it says nothing."""
    said = {}
    if person.joints3d_std_m is not None:
        said["joints3d_std_m"] = dict(zip(person.skeleton.joints, rounded(person.joints3d_std_m, 4)))
    if person.up is not None and person.up_std_deg is not None:
        said["up"] = {"direction": rounded(person.up, 4), "std_deg": round(person.up_std_deg, 2)}
    return said


def rounded(values, digits: int) -> list[float]:
    """Numbers as they stand in result.json."""
    return [round(float(value), digits) + 0.0 for value in values]  # + 0.0: no -0.0


def write_json(folder: Path, result: dict) -> None:
    """result.json, with each point on a line of its own."""
    (folder / RESULT).write_text(json_text(result), encoding="utf-8")


def json_text(result: dict) -> str:
    text = json.dumps(result, indent=1, allow_nan=False)
    text = re.sub(r"\[\n([^\[\]{}\"]*)\]", lambda numbers: f"[{' '.join(numbers[1].split())}]", text)
    return text + "\n"
