"""A photo -> its people and its folder of results."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpt import results
from mpt.guessed import in_words
from mpt.images import Picture
from mpt.pose2d.base import Pose2D
from mpt.reconstruction import Reconstruction
from mpt.reconstructor import Reconstructor
from mpt.result_folders import replacing
from mpt.saving import Saving
from mpt.writing import Identities


@dataclass(frozen=True)
class Written:
    """What is written of a photo.

    Attributes:
        formats: of each person's files.
        how: what stands in them.
        overlay: whether the people are drawn over the photo.
    """

    formats: Sequence[str] = ("glb",)
    how: Saving = field(default_factory=Saving)
    overlay: bool = True


def reconstruct_photo(
    photo: Path | str,
    picture: Picture,
    reconstructor: Reconstructor,
    folder: Path | None,
    written: Written,
    *,
    finder: Pose2D | None = None,
    focal_px: float | None = None,
    focal_mm: float | None = None,
    fov_deg: float | None = None,
    inputs: Identities | None = None,
    made_of: Mapping[str, str] | None = None,
) -> tuple[dict, list[Reconstruction]]:
    """What result.json holds, and the people; written to ``folder``, if there is one.

    photo: what it is called. finder: what finds the people, if not the reconstructor's own. inputs: files
    that are not written over. made_of: see ``mpt.batches.resuming``.

    Raises InputError as ``Reconstructor.lift`` and ``mpt.result_folders.replacing`` do.
    """
    image = picture.pixels
    size_wh = image.shape[1], image.shape[0]
    start = time.perf_counter()
    found = (finder or reconstructor.pose2d)(image)
    found_at = time.perf_counter()
    people = reconstructor.lift(
        found, size_wh, focal_px=focal_px, focal_mm=focal_mm, fov_deg=fov_deg, exif_mm=picture.focal_mm
    )
    lifted_at = time.perf_counter()
    for number, person in enumerate(people):
        if said := in_words(f"person {number}", person.guessed_joints, person.skeleton):
            warnings.warn(f"{photo}: {said}", stacklevel=2)

    def result_of(meshes: Sequence[dict[str, str]], overlay: bool) -> dict:
        seconds = results.Seconds(found_at - start, lifted_at - found_at, time.perf_counter() - start)
        made = None if made_of is None else dict(made_of)
        return results.as_json(
            photo, reconstructor.model.name, seconds, people, meshes,
            size_wh=size_wh, overlay=overlay, made_of=made,
        )  # fmt: skip

    if folder is None:
        return result_of([{}] * len(people), False), people
    with replacing(folder, inputs) as unfinished:
        meshes = results.write_files(unfinished, image, people, written.formats, written.how, written.overlay)
        result = result_of(meshes, written.overlay)
        results.write_json(unfinished, result)
    return result, people
