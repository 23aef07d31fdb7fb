"""What is said of a photo: overlay.png, result.json and the mesh files."""

import json
import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mpt.export import write_picture
from mpt.render import PALETTE, Figure, Perspective, draw_joints, overlay, side_view
from mpt.result_folders import EVERYBODY, OVERLAY, RESULT

if TYPE_CHECKING:
    from mpt.floor import World
    from mpt.saving import Found, Saving  # with it comes torch, which no refused photo should wait for

OVERLAY_PX = 1600  # the longer side of the drawn photo, at most


@dataclass(frozen=True)
class Seconds:
    """What a photo took: finding the people, lifting them, and both with drawing and writing the results."""

    pose2d: float
    mesh: float
    total: float


def write_files(
    folder: Path,
    image: np.ndarray,
    people: "Sequence[Found]",
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
        write_picture(folder / OVERLAY, draw(image, people, placed, how.bare))
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
    if (
        world.above_floor_m is not None
        and world.up_from == "assumed"
        and (placed or how.world or how.up or how.origin)
    ):
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


def world_of_people(people: "Sequence[Found]") -> "World":
    """The world in which the people of a photo stand on its floor, apart as they were photographed."""
    from mpt.floor import world_of  # with it comes torch
    from mpt.saving import standing_mesh

    placed = [standing_mesh(person) for person in people]
    standing = all(person.skeleton.two_sided for person in people)
    return world_of(placed, *_up_of(people), standing=standing)


def draw(
    image: np.ndarray,
    people: "Sequence[Found]",
    as_rigs: bool = True,
    bare: bool = False,
    *,
    shown: Collection[int] | None = None,
    joints: bool = False,
    beside: bool = True,
) -> np.ndarray:
    """The people over the photo, made smaller where it is large, and a view from the side.

    as_rigs: the bodies that are laid on their meshes, which rigged files hold; else the meshes, as others do.
    bare: without clothes. shown: only these, by their numbers. joints: with what the 2D network saw. beside:
    with the view from the side.
    """
    from mpt.saving import clothes_on, standing_mesh  # with it comes torch

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
        clothes = None if bare else clothes_on(person)
        figures.append(Figure(placed, person.faces, PALETTE[number % len(PALETTE)], clothes))
    picture = overlay(small, figures, view)
    for _, person in some if joints else ():
        points = person.joints2d_px.copy()
        points[:, :2] = (points[:, :2] + 0.5) * factor - 0.5
        picture = draw_joints(picture, points, person.skeleton)
    if not beside:
        return picture
    height, width = small.shape[:2]
    standing = people[0].skeleton.two_sided
    side = side_view(figures, height, max(width, height // 2), level_of(people), standing)
    return np.concatenate([picture, side], 1)


def level_of(people: "Sequence[Found]") -> np.ndarray | None:
    """(3, 3) from camera axes to a level camera's, by where the people's model says that up is, the surer the
    more; None where it says nothing, is too unsure, or says opposite things of different people.
    """
    from mpt.views import level  # with it comes torch

    up, _ = _up_of(people)
    return None if up is None else level(up)


def _up_of(people: "Sequence[Found]") -> tuple[np.ndarray | None, float | None]:
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
    people: "Sequence[Found]",
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


def _person(person: "Found", files: dict[str, str]) -> dict:
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
        "guessed_joints": list(person.guessed_joints),
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


def _pose(person: "Found") -> dict:
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


def _sureness(person: "Found") -> dict:
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
