"""A visitor's photo -> an answer: pictures, bodies and words."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpt import results, sureness
from mpt.batches.photo import Written, reconstruct_photo
from mpt.export import ADVICE, write_picture
from mpt.images import read_picture
from mpt.reconstruction import Reconstruction
from mpt.reconstructor import Reconstructor
from mpt.result_folders import EVERYBODY, OVERLAY
from mpt.rigs.gltf import Painted, painted
from mpt.saving import Saving, standing_mesh
from mpt.web.framing import distance_m
from mpt.web.uploads import USUAL, Limits, Upload, check_photo, kept_copy, named_after, some_of, variant
from mpt.writing import write_whole

HOW_SURE = "how-sure.glb"


@dataclass(frozen=True)
class PhotoAnswer:
    """A photo's people, and the files of them.

    Attributes:
        source: a copy of the photo.
        overlay: the bodies over the photo, and from the side.
        together: a GLB of everybody where they stand, on the floor; None where nobody was found.
        how_sure: the same, coloured by how sure the model is; None where it does not say.
        files: all that can be downloaded.
        words: a sentence or two.
        standing: (V, 3) of each person, in the world of the GLB files.
        bare: whether bodies wear nothing.
    """

    source: Path
    people: list[Reconstruction] = field(repr=False)
    overlay: Path
    together: Path | None
    how_sure: Path | None
    files: tuple[Path, ...]
    words: str
    standing: list[np.ndarray] = field(repr=False)
    bare: bool = False

    def drawn(self, shown: Collection[int], *, joints: bool = False, beside: bool = True) -> Path:
        """The overlay of some of the people, as a picture; ``joints`` and ``beside`` as ``results.draw`` has
        them.
        """
        shown = sorted(set(shown) & set(range(len(self.people))))
        if len(shown) == len(self.people) and beside and not joints:
            return self.overlay
        marks = [*map(str, shown), *["joints"] * joints, *["beside"] * beside]
        path = variant(self.overlay, marks)
        if not path.exists():
            placed = any(person.pose for person in self.people)
            photo = read_picture(self.source).pixels
            picture = results.draw(
                photo, self.people, placed, bare=self.bare, shown=shown, joints=joints, beside=beside
            )
            write_picture(path, picture)
        return path

    def body(self, shown: Collection[int], *, how_sure: bool = False) -> Path | None:
        """A GLB of some of the people."""
        whole = self.how_sure if how_sure and self.how_sure else self.together
        return None if whole is None else some_of(whole, shown, len(self.people))

    def distance_m(self, shown: Collection[int]) -> float | None:
        """From which some of the people are all seen."""
        return distance_m([one for number, one in enumerate(self.standing) if number in shown])


def answer(
    reconstructor: Reconstructor,
    upload: Upload,
    folder: Path,
    *,
    focal_px: float | None = None,
    focal_mm: float | None = None,
    fov_deg: float | None = None,
    limits: Limits = USUAL,
    bare: bool = False,
) -> PhotoAnswer:
    """Reconstruct a photo into a new folder, as ``mpt reconstruct`` does, under names that begin with its.

    bare: bodies without clothes.

    Raises InputError for what is no picture or more than is taken, a focal length that no camera has, or two.
    """
    check_photo(upload, limits)
    picture = read_picture(upload.path)
    told, people = reconstruct_photo(
        upload.name, picture, reconstructor, folder, Written(how=Saving(bare=bare)), focal_px=focal_px,
        focal_mm=focal_mm, fov_deg=fov_deg,
    )  # fmt: skip
    if people and says_how_sure(reconstructor):
        _write_coloured(folder / HOW_SURE, reconstructor, people)
    files = named_after(folder, upload.stem)
    by_name = {path.name.removeprefix(f"{upload.stem}-"): path for path in files}
    together = by_name.get(EVERYBODY, by_name.get("person0.glb"))
    words = _words(len(people), told["seconds"], *reconstructor.model.skeleton.of)
    world = results.world_of_people(people) if people else None
    standing = [world(standing_mesh(person)) for person in people] if world else []
    overlay, how_sure = by_name[OVERLAY], by_name.get(HOW_SURE)
    source = kept_copy(upload.path, folder / f"source{upload.path.suffix}")
    return PhotoAnswer(source, people, overlay, together, how_sure, tuple(files), words, standing, bare)


def says_how_sure(reconstructor: Reconstructor) -> bool:
    return reconstructor.model.transformer.config.spread


def _write_coloured(path: Path, reconstructor: Reconstructor, people: list[Reconstruction]) -> None:
    """A GLB of everybody in the world, each vertex coloured by how sure the model is there."""
    world, shares = results.world_of_people(people), sureness.skin_shares(reconstructor.model.transformer)
    meshes = {
        f"person{number}": Painted(
            world(person.vertices + person.translation_m),
            person.faces,
            sureness.colours(shares @ person.joints3d_std_m),
        )
        for number, person in enumerate(people)
        if person.joints3d_std_m is not None
    }
    write_whole(path, painted(meshes), ADVICE)


def _words(count: int, seconds: dict[str, float], one: str, more: str) -> str:
    if not count:
        nobody = "Nobody" if one == "person" else f"No {one}"
        return f"{nobody} was found. Give a photo that shows more, from nearer."
    who = f"One {one}" if count == 1 else f"{count} {more}"
    return (
        f"{who} in {seconds['total']:.1f} s: found in {seconds['pose2d']:.2f}, lifted in "
        f"{seconds['mesh']:.2f}, the rest is drawing. Drag the body to turn it."
    )
