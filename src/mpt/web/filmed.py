"""A visitor's film -> an answer: the film with bodies, the bodies in motion, and words."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpt import results
from mpt.films.filming import Progress, silent
from mpt.films.folder import reconstruct_film
from mpt.films.opening import open_film
from mpt.films.people import turns_of
from mpt.reconstructor import Reconstructor
from mpt.result_folders import EVERYBODY, OVERLAY_FILM
from mpt.web.framing import distance_m
from mpt.web.uploads import USUAL, Limits, Upload, check_film, check_pixels, named_after, some_of


@dataclass(frozen=True)
class FilmAnswer:
    """A film's people, and the files of them.

    Attributes:
        overlay: the film with the bodies, and from the side; None where it could not be written.
        people: each one's animated GLB.
        together: one of everybody, where there are several, and it is not too long.
        files: all that can be downloaded.
        words: a sentence or two.
        places: (F, J, 3) of each person's joints, in the world of the GLB files.
    """

    overlay: Path | None
    people: tuple[Path, ...]
    together: Path | None
    files: tuple[Path, ...]
    words: str
    places: list[np.ndarray] = field(repr=False)

    def body(self, shown: Collection[int]) -> Path | None:
        """An animated GLB of some of the people; of the first of them where there is none of everybody."""
        if self.together is not None:
            return some_of(self.together, shown, len(self.people))
        return next((path for number, path in enumerate(self.people) if number in shown), None)

    def distance_m(self, shown: Collection[int]) -> float | None:
        """From which some of the people are seen all the time."""
        return distance_m([one for number, one in enumerate(self.places) if number in shown])


def answer(
    reconstructor: Reconstructor,
    upload: Upload,
    folder: Path,
    *,
    focal_px: float | None = None,
    focal_mm: float | None = None,
    fov_deg: float | None = None,
    limits: Limits = USUAL,
    progress: Progress = silent,
) -> FilmAnswer:
    """Reconstruct the beginning of a film into a new folder, as ``mpt reconstruct`` does, under names that
    begin with its own.

    Raises InputError for what is no film or more than is taken, a focal length that no camera has, or two.
    """
    check_film(upload, limits)
    film = open_film(upload.path, seconds=limits.seconds)
    check_pixels(upload, film.size_wh, limits)
    whole = open_film(upload.path)
    told, _ = reconstruct_film(
        film, folder, reconstructor, focal_px=focal_px, focal_mm=focal_mm, fov_deg=fov_deg, progress=progress
    )  # fmt: skip
    told["film"] = upload.name
    results.write_json(folder, told)
    files = named_after(folder, upload.stem)
    by_name = {path.name.removeprefix(f"{upload.stem}-"): path for path in files}
    people = [by_name[person["files"]["glb"]] for person in told["people"] if "glb" in person["files"]]
    places = [
        _places(by_name[person["files"]["npz"]]) for person in told["people"] if "npz" in person["files"]
    ]
    words = _words(told)
    if whole.length is not None and film.length is not None and whole.length > film.length:
        words += f" Of longer films this page takes the first {limits.seconds:g} seconds, and so it was here."
    return FilmAnswer(
        by_name.get(OVERLAY_FILM),
        tuple(people),
        by_name.get(EVERYBODY),
        tuple(files),
        words,
        places,
    )


def _places(path: Path) -> np.ndarray:
    """(F, J, 3) somebody's joints in the world, which is told about the first frame's camera."""
    with np.load(path) as arrays:
        seen = arrays["joints3d_m"] + arrays["translation_m"][:, None]
        first = seen @ turns_of(arrays["camera_rotvec"])
        return first @ arrays["world_rotation"].T + arrays["world_shift"]


def _words(told: dict[str, Any]) -> str:
    count, frames, seconds = len(told["people"]), told["frames"], told["seconds"]["total"]
    if not count:
        return "Nobody was found. Give a film that shows somebody for longer, or from nearer."
    who = "One person" if count == 1 else f"{count} people"
    rate = frames / max(seconds, 1e-3)
    return f"{who} in {frames:,} frames, {rate:.1f} of them a second. Drag the body to turn it."
