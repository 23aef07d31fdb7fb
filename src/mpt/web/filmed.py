"""A visitor's film -> an answer: the film with bodies, the bodies in motion, and words."""

from array import array
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpt import results, sureness
from mpt.films.filming import Progress, silent
from mpt.films.folder import reconstruct_film
from mpt.films.opening import open_film
from mpt.films.people import read_person, turns_of
from mpt.films.showing import Look, write_overlay
from mpt.floor import World
from mpt.reconstructor import Reconstructor
from mpt.result_folders import EVERYBODY, OVERLAY_FILM
from mpt.saving import Saving
from mpt.views import Pinhole
from mpt.web.framing import distance_m
from mpt.web.uploads import (
    USUAL,
    Limits,
    Upload,
    check_film,
    check_pixels,
    kept_copy,
    named_after,
    some_of,
    variant,
)


@dataclass(frozen=True)
class FilmAnswer:
    """A film's people, and the files of them.

    Attributes:
        overlay: the film with the bodies, and from the side; None where it could not be written.
        people: each one's animated GLB.
        motions: each one's motion as NPZ.
        together: one of everybody, where there are several, and it is not too long.
        files: all that can be downloaded.
        words: a sentence or two.
        places: (F, J, 3) of each person's joints, in the world of the GLB files.
        source: a copy of the film.
        frames: how many of it were seen.
        camera: its camera.
        bare: whether bodies wear nothing.
    """

    overlay: Path | None
    people: tuple[Path, ...]
    motions: tuple[Path, ...]
    together: Path | None
    files: tuple[Path, ...]
    words: str
    places: list[np.ndarray] = field(repr=False)
    source: Path
    frames: int
    camera: Pinhole
    bare: bool = False

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
    bare: bool = False,
    progress: Progress = silent,
) -> FilmAnswer:
    """Reconstruct the beginning of a film into a new folder, as ``mpt reconstruct`` does, under names that
    begin with its own.

    bare: bodies without clothes.

    Raises InputError for what is no film or more than is taken, a focal length that no camera has, or two.
    """
    check_film(upload, limits)
    film = open_film(upload.path, seconds=limits.seconds)
    check_pixels(upload, film.size_wh, limits)
    whole = open_film(upload.path)
    told, _ = reconstruct_film(
        film, folder, reconstructor, how=Saving(bare=bare), focal_px=focal_px, focal_mm=focal_mm,
        fov_deg=fov_deg, progress=progress,
    )  # fmt: skip
    told["film"] = upload.name
    results.write_json(folder, told)
    files = named_after(folder, upload.stem)
    by_name = {path.name.removeprefix(f"{upload.stem}-"): path for path in files}
    written = [person["files"] for person in told["people"] if {"glb", "npz"} <= person["files"].keys()]
    people, motions = (tuple(by_name[names[kind]] for names in written) for kind in ("glb", "npz"))
    words = _words(told)
    if whole.length is not None and film.length is not None and whole.length > film.length:
        words += f" Of longer films this page takes the first {limits.seconds:g} seconds, and so it was here."
    camera = told["camera"]
    return FilmAnswer(
        overlay=by_name.get(OVERLAY_FILM),
        people=people,
        motions=motions,
        together=by_name.get(EVERYBODY),
        files=tuple(files),
        words=words,
        places=[_places(path) for path in motions],
        source=kept_copy(upload.path, folder / f"source{upload.path.suffix}"),
        frames=told["frames"],
        camera=Pinhole((camera["focal_px"],) * 2, tuple(camera["principal_px"]), camera["focal_assumed"]),
        bare=bare,
    )


def drawn(
    reconstructor: Reconstructor,
    found: FilmAnswer,
    shown: Collection[int],
    *,
    joints: bool = False,
    beside: bool = True,
    how_sure: bool = False,
    progress: Progress = silent,
) -> Path | None:
    """The film with some of its people; ``joints`` draws what the 2D network saw, ``beside`` the view from
    the side, ``how_sure`` colours bodies by how sure the model is.

    None where the answer has no film.
    """
    if found.overlay is None or not found.motions:
        return found.overlay
    shown = sorted(set(shown) & set(range(len(found.people))))
    if len(shown) == len(found.people) and beside and not joints and not how_sure:
        return found.overlay
    marks = [*map(str, shown), *["joints"] * joints, *["beside"] * beside, *["sure"] * how_sure]
    path = variant(found.overlay, marks)
    if not path.exists():
        people = [read_person(found.motions[number], number) for number in shown]
        film = open_film(found.source)
        shares = sureness.skin_shares(reconstructor.model.transformer) if how_sure else None
        times = np.arange(found.frames) / film.fps
        for person in people:
            times[person.frames] = person.times_s
        world = _world(found.motions[0])
        unfinished = path.with_stem(f"{path.stem}-unfinished")
        write_overlay(
            unfinished, film, people, found.camera, world, array("d", times), progress,
            Look(bare=found.bare, joints=joints, beside=beside, shares=shares),
        )  # fmt: skip
        unfinished.replace(path)
    return path


def _world(path: Path) -> World:
    with np.load(path) as arrays:
        return World(arrays["world_rotation"], arrays["world_shift"], "assumed", None)


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
