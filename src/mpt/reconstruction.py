"""What was found in a photo: people, or hands, each with a mesh, that can be saved, posed and drawn."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mpt.bodies.pose import BodyPose
from mpt.crops import Crop
from mpt.errors import InputError
from mpt.floor import UNSURE_DEG, world_of
from mpt.focal_lengths import FocalFrom
from mpt.images import read_image
from mpt.result_folders import replacing
from mpt.results import Seconds, as_json, draw, write_files, write_json
from mpt.rigs.bvh import Scale
from mpt.rigs.names import Names
from mpt.rigs.rig import Rest
from mpt.saving import Origin, Saving, Up, check_format, save, standing_mesh
from mpt.skeletons import Skeleton
from mpt.values import Values
from mpt.views import Pinhole, level
from mpt.writing import identities

if TYPE_CHECKING:
    from mpt.images import Photo


@dataclass(frozen=True, eq=False, repr=False)
class Reconstruction(Values):
    """One person, or hand. Camera axes (x right, y down, z forward), metres about the root: the middle of the
    hips, or the wrist. Pixels of the photo. J joints.

    Attributes:
        skeleton: the names of the joints.
        vertices: (V, 3) float32.
        faces: (F, 3) int64 vertex indices, counter-clockwise seen from outside.
        joints3d: (J, 3) float32, regressed from the mesh.
        translation_m: (3,) to add to joints and vertices: where the root is.
        focal_px: focal length in pixels, and whether it was assumed.
        principal_px: (x, y) where the optical axis meets the picture: its middle, if nobody said otherwise.
        camera: (s, tx, ty), the weak-perspective camera ``s * (xy + t)`` into the crop's [-1, 1] that comes
            nearest to the perspective one.
        crop: the upright square that the transformer saw.
        joints2d_px: (J, 3) what the 2D network found: x, y, score; score 0 for joints that it does not draw.
        score: how surely this is a person, 0-1.
        bbox_xywh: (x, y, width, height) of the box around the 2D joints.
        mirrored: a left hand: the mirror image of what the model knows, a right one.
        joints3d_std_m: (J,) how sure ``joints3d`` are, where the model says it: the standard deviation along
            any axis. 68 % of joints lie within 1.87 times this of the true ones.
        up: (3,) unit vector against gravity, in camera axes, where the model says it; (0, -1, 0) in a photo
            taken level.
        up_std_deg: how sure that is: the standard deviation along either horizontal direction.
        focal_from: who says the focal length: the caller, the photo's EXIF, or nobody ("assumed").
        pose: the body that is laid on the mesh, in the same axes, about the same root; None where the model's
            body is not here.
        guessed_joints: those that the 2D network did not see: hardly sure, or beside the photo; of people
            those of COCO's 17.
    """

    skeleton: Skeleton
    vertices: np.ndarray
    faces: np.ndarray
    joints3d: np.ndarray
    translation_m: np.ndarray
    focal_px: float
    focal_assumed: bool
    principal_px: tuple[float, float]
    camera: tuple[float, float, float]
    crop: Crop
    joints2d_px: np.ndarray
    score: float
    bbox_xywh: tuple[float, float, float, float]
    mirrored: bool = False
    joints3d_std_m: np.ndarray | None = None
    up: np.ndarray | None = None
    up_std_deg: float | None = None
    focal_from: FocalFrom = "given"
    pose: BodyPose | None = None
    guessed_joints: tuple[str, ...] = ()

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in the axes of ``vertices`` -> pixels (..., 2) of the photo."""
        return Pinhole((self.focal_px, self.focal_px), self.principal_px).project(points + self.translation_m)

    def save(
        self,
        path: str | os.PathLike,
        *,
        static: bool = False,
        rest: Rest | None = None,
        names: Names = "anny",
        scale: Scale = "m",
        world: bool | None = None,
        up: Up | None = None,
        origin: Origin | None = None,
        bare: bool = False,
    ) -> None:
        """Write this person in the format that the file's ending names: .glb, .bvh, .fbx, .obj, .ply, .npz;
        .trc and .c3d (markers), .csv (joints and joint angles).

        static: GLB without bones.
        rest: the rest pose of bones, "t-pose" (in BVH where nothing is said) or "a-pose", the body's own.
        names: of bones, the body's own ("anny") or "mixamo".
        scale: the unit of BVH, "m" or "cm".
        world: whether it stands on the floor y = 0 of a world that is y up, or is about the root; rigs,
            markers and joints do where nothing is said, other meshes do not.
        up: the axis of OBJ and PLY that points up, "y" or "z"; they stand on the floor then. Blender's
            importers take OBJ as y up and PLY as z up where nothing is said.
        origin: "feet" puts it on the floor between the feet, of other meshes than rigs as well; else it is
            below the person's middle.
        bare: without the top and shorts that people wear in GLB and PLY.

        Raises InputError for an unknown ending or option, what this body cannot give, no Blender for FBX, no
        ``ezc3d`` for C3D, and a folder that cannot be written. A file appears whole or not at all.
        """
        path = Path(path)
        how = Saving(static, rest, names, scale, world is True, bare=bare, up=up, origin=origin)
        if world is False and (up or origin):
            told = "up" if up else "origin"
            raise InputError(
                f"{told}={up or origin!r} stands in the world, and world=False was given: leave one out"
            )
        sure = self.up is not None and self.up_std_deg is not None and self.up_std_deg < UNSURE_DEG
        against, std = (self.up, self.up_std_deg) if sure else (None, None)
        own = world_of([standing_mesh(self)], against, std, standing=self.skeleton.two_sided)
        turn = None if against is None else level(against)
        save(path, self, how, world=None if world is False else own, level=turn)

    def overlay(self, image: "Photo", *, beside: bool = False, bare: bool = False) -> Image.Image:
        """A picture of this person over the photo in which they were found, made smaller where that is large.

        image: the photo, in any way that ``Reconstructor`` takes it, in the size in which it was given there.
        beside: with a view from the side. bare: without clothes.

        Raises InputError for no picture, and for one whose middle is not where this person's photo has it.
        """
        pixels = read_image(image)
        check_is_photo_of(self, pixels)
        return Image.fromarray(draw(pixels, [self], beside=beside, bare=bare))

    def posed(self, rotations: Mapping[str, np.ndarray] | np.ndarray) -> "Reconstruction":
        """The same person in another pose: the body's own mesh, where its root is.

        rotations: axis-angle in radians, of all bones (B, 3), or of some by name ("left_elbow", or as
            ``pose.body.bones`` has it), the others as they are; ``{}`` gives the body as it was fitted.

        Raises InputError for an unknown bone, what are no rotations, or where the model's body is not here.
        """
        if self.pose is None:
            raise InputError(
                "this person has no pose: the model's body is not here, or `pose=False` was asked for"
            )
        pose = self.pose.turned(rotations)
        found = pose.posed()
        return replace(self, pose=pose, vertices=found.vertices, joints3d=found.joints)

    def __repr__(self) -> str:
        one, _ = self.skeleton.of
        side = "" if self.skeleton.two_sided else "left " if self.mirrored else "right "
        x, y, z = self.translation_m
        return (
            f"<a {side}{one}: score {self.score:.2f}, at ({x:.2f}, {y:.2f}, {z:.2f}) m, "
            f"{len(self.vertices):,} vertices, {len(self.joints3d)} joints>"
        )


class Result(list[Reconstruction]):
    """Everybody in a photo, the surest first: a list of :class:`Reconstruction` that can be drawn and saved.

    It is equal to any list of equal people. The photo is not held but read again where it is drawn, so keep
    the file, or array, as it was.

    Attributes:
        photo: the photo as it was given; of an open file its content.
        name: what it is called: its path, or "photo".
        size_wh: of the upright photo, in pixels.
        model: the name of the model.
        seconds: what it took.
        error: of a photo among many, why it was refused; "" where it was not.
    """

    def __init__(
        self,
        people: Iterable[Reconstruction] = (),
        *,
        photo: "Photo",
        size_wh: tuple[int, int] = (0, 0),
        model: str = "",
        seconds: Seconds | None = None,
        error: str = "",
    ) -> None:
        super().__init__(people)
        self.photo, self.size_wh, self.model, self.error = photo, size_wh, model, error
        self.seconds = seconds or Seconds(0.0, 0.0, 0.0)

    @property
    def name(self) -> str:
        return os.fsdecode(self.photo) if isinstance(self.photo, str | os.PathLike) else "photo"

    def overlay(self, *, beside: bool = True, bare: bool = False) -> Image.Image:
        """The people over their photo, made smaller where that is large; ``beside``: and from the side;
        ``bare``: without clothes.

        Raises InputError where the photo cannot be read again.
        """
        return Image.fromarray(draw(read_image(self.photo), self, beside=beside, bare=bare))

    def save(
        self,
        folder: str | os.PathLike,
        *,
        format: Sequence[str] = ("glb",),
        overlay: bool = True,
        static: bool = False,
        rest: Rest | None = None,
        names: Names = "anny",
        scale: Scale = "m",
        world: bool = False,
        up: Up | None = None,
        origin: Origin | None = None,
        bare: bool = False,
    ) -> None:
        """Write what ``mpt reconstruct`` writes of a photo: overlay.png, result.json, a file of each person.

        format: of each person's files, ("glb", "bvh") for example. The rest is as in
        :meth:`Reconstruction.save`. The folder is new, or holds an earlier result, whose files are replaced;
        what else lies there stays.

        Raises InputError for an unknown format or option, for a photo that was refused or cannot be read
        again, and for a folder that cannot be written.
        """
        if self.error:
            raise InputError(f"there is nothing to save: {self.error}")
        how = Saving(static, rest, names, scale, world, bare=bare, up=up, origin=origin)
        formats = [format] if isinstance(format, str) else format
        for ending in formats:
            check_format(ending, how)
        photo = [self.photo] if isinstance(self.photo, str | os.PathLike) else []
        pixels = read_image(self.photo)
        with replacing(Path(folder), identities(photo)) as unfinished:
            meshes = write_files(unfinished, pixels, self, formats, how, overlay)
            told = as_json(
                self.name, self.model, self.seconds, self, meshes, size_wh=self.size_wh, overlay=overlay
            )
            write_json(unfinished, told)

    def __repr__(self) -> str:
        if self.error:
            return f"<{self.name}: refused: {self.error}>"
        of = self[0].skeleton.of if self else ("person", "people")
        return f"<{self.name}: {len(self)} {of[len(self) != 1]}>"


def check_is_photo_of(person: Reconstruction, pixels: np.ndarray) -> None:
    """Raises InputError for a picture that is larger, smaller, or another than the one a person was found in:
    one that the optical axis misses, or that shows nothing of them.
    """
    height, width = pixels.shape[:2]
    (x, y), (left, top, wide, high) = person.principal_px, person.bbox_xywh
    inside = 0 <= x < width and 0 <= y < height
    if not inside or left >= width or top >= height or left + wide < 0 or top + high < 0:
        raise InputError(
            f"the picture is {width} x {height} pixels, and this person was found in one whose optical axis "
            f"is at ({x:g}, {y:g}): give the photo in the size in which it was given to the model"
        )
