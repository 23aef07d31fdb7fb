"""A film's folder of results: overlay.mp4, result.json, and files of each person's motion."""

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from mpt.errors import InputError
from mpt.films.filming import Feet, Progress, Smooth, Watched, embodied, silent, smooth_for, watch
from mpt.films.frames import Film
from mpt.films.people import FilmPerson, world_of_film
from mpt.films.pipes import give_back
from mpt.films.showing import Look, write_overlay
from mpt.floor import World
from mpt.reconstructor import Reconstructor
from mpt.result_folders import EVERYBODY, OVERLAY_FILM, replacing
from mpt.results import plain, rounded, world_as_json, write_json
from mpt.rigs.characters import Character, read_character
from mpt.rigs.gltf import Lens
from mpt.rigs.names import check_names
from mpt.rigs.performances import read_performance
from mpt.rigs.performing import animated
from mpt.saving import PLACED, Saving, at_feet, check_format, save_motion, save_motions_together
from mpt.threads import torch_threads
from mpt.writing import Identities, write_whole

CHARACTER = "-character"
LONGEST_RIG = 18_000  # frames of a rigged file; longer motions are written as several
MOST_TOGETHER = 40_000  # poses in everybody.glb
LAST = 65_536  # bytes that result.json may take
BALLAST = 16_000_000  # bytes that are kept free for finishing when the disk is full


@torch_threads(1)
def reconstruct_film(
    film: Film,
    folder: Path,
    reconstructor: Reconstructor,
    *,
    formats: Sequence[str] = ("glb", "bvh"),
    how: Saving | None = None,
    smooth: Smooth = "auto",
    feet: Feet = "planted",
    temporal: str | os.PathLike = "mpt-video",
    character: str | os.PathLike | None = None,
    overlay: bool = True,
    focal_px: float | None = None,
    focal_mm: float | None = None,
    fov_deg: float | None = None,
    inputs: Identities | None = None,
    progress: Progress = silent,
) -> tuple[dict[str, Any], KeyboardInterrupt | None]:
    """A film's people as files of a folder: what its result.json holds, and the interrupt that ended it
    early, if one did.

    character: a skinned GLB, VRM or glTF, of which each person gets a copy that moves as they do.
    overlay: whether the film is drawn with the bodies.

    Ctrl-C, or a full disk, end what is being done; what was done until then is finished and kept. A second
    Ctrl-C while pictures are drawn ends these.

    Raises InputError where nothing can be written, for a character that cannot be read, and as ``watch``
    does.
    """
    start = time.perf_counter()
    performer = None if character is None else _performer(Path(character), folder)
    smooth = smooth_for(smooth, temporal, reconstructor)
    _check_formats(formats, how or Saving(), reconstructor)
    with replacing(folder, inputs) as unfinished, _scratch(unfinished) as (scratch, drop_ballast):
        for name in ("tracks", "people"):
            (scratch / name).mkdir()
        watched = watch(
            film, reconstructor, scratch / "tracks", focal_px=focal_px, focal_mm=focal_mm, fov_deg=fov_deg,
            progress=progress,
        )  # fmt: skip
        watched_at = time.perf_counter()
        drop_ballast("ballast")
        give_back()
        people = embodied(watched, reconstructor, scratch / "people", smooth, feet, temporal, progress)
        watched.tracks.clear()
        for records in (scratch / "tracks").glob("*.records"):  # which take most of the room
            records.unlink()
        give_back()
        world = world_of_film(people)
        writing = _Writing(unfinished, watched, people, world, how or Saving(), formats, performer, progress)
        writing.all(overlay)
        seconds = {
            "watching": watched_at - start,
            "total": time.perf_counter() - start,
        }
        result = writing.as_json(reconstructor.model.name, smooth, feet, seconds)
        drop_ballast("last")
        write_json(unfinished, result)
        del writing, people
    return result, watched.interrupt


def _check_formats(formats: Sequence[str], how: Saving, reconstructor: Reconstructor) -> None:
    """Raises InputError, before long work, for what cannot be written of people over time."""
    for ending in formats:
        check_format(ending, how)
        if ending not in PLACED and ending != "npz":
            raise InputError(
                f"'{ending}' holds a mesh at one moment, and no motion: of films take {', '.join(PLACED)}; "
                "an npz is always written"
            )
    check_names(how.names, two_sided=True, model=reconstructor.model.name)


def _at_first_feet(world: World, person: FilmPerson) -> World:
    """The world with its origin between somebody's feet in their first frame."""
    first = person.motion_of(slice(1))[0].posed()
    return at_feet(world, person.body.skeleton, first.joints, first.vertices)


def _performer(path: Path, folder: Path) -> Character:
    """Somebody's own character, of which a copy can lie in a film's folder. Raises InputError."""
    performer = read_character(path)
    performer.file.check_copy(folder / f"person0{CHARACTER}{path.suffix}")
    return performer


@contextmanager
def _scratch(unfinished: Path) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A folder that is gone afterwards, and what frees some room beside it."""
    with tempfile.TemporaryDirectory(dir=unfinished, ignore_cleanup_errors=True) as name:
        scratch, free = Path(name), shutil.disk_usage(name).free
        for ballast, size in (("last", LAST), ("ballast", min(BALLAST, free * 2 // 5))):
            with (scratch / ballast).open("wb") as file, suppress(OSError):
                file.write(bytes(size))
        yield scratch, lambda ballast: (scratch / ballast).unlink(missing_ok=True)


class _Writing:
    """Writes what it can: what finds no room on the disk is left out, and said."""

    def __init__(
        self,
        folder: Path,
        watched: Watched,
        people: Sequence[FilmPerson],
        world: World,
        how: Saving,
        formats: Sequence[str],
        performer: Character | None,
        progress: Progress,
    ) -> None:
        self.folder, self.watched, self.people, self.world = folder, watched, people, world
        self.how, self.formats, self.performer, self.progress = how, formats, performer, progress
        self.files: list[dict[str, Any]] = [{} for _ in people]
        self.together: str | None = None
        self.drawn = 0
        film, camera = watched.film, watched.camera
        centre = [(side - 1) / 2 for side in film.size_wh]
        centred = np.allclose(camera.principal_px, centre)
        self.lens = Lens(camera.mean_focal_px, film.size_wh) if centred else None

    def all(self, overlay: bool) -> None:
        try:
            for person, files in zip(self.people, self.files):
                self._try(f"person{person.id}.npz", self._arrays, person, files)
            for person, files in zip(self.people, self.files):
                for ending in self.formats:
                    if ending in PLACED:
                        self._motion(person, ending, files)
                if self.performer is not None and "npz" in files:
                    name = f"person{person.id}{CHARACTER}{self.performer.file.path.suffix.lower()}"
                    self._try(name, self._character, files)
            rigs = "glb" in self.formats and len(self.people) > 1
            if rigs and sum(map(len, self.people)) <= MOST_TOGETHER:
                self._try(EVERYBODY, self._together)
            give_back()
            if overlay:
                self._try(OVERLAY_FILM, self._overlay)
        except KeyboardInterrupt as interrupt:
            self.watched.ended, self.watched.interrupt = "interrupted", interrupt
            warnings.warn(
                f"{self.watched.film.name}: interrupted while its files were written; those that are whole "
                "are kept",
                stacklevel=2,
            )

    def _try(self, name: str, write: Callable[..., None], *what: Any) -> None:
        try:
            write(self.folder / name, *what)
        except OSError as error:
            reason = error.strerror or str(error)
            self.watched.ended = self.watched.ended or reason
            if name != OVERLAY_FILM:
                (self.folder / name).unlink(missing_ok=True)
            end = f"ends after {self.drawn:,} frames" if name == OVERLAY_FILM else "is left out"
            warnings.warn(f"{name} {end}: it cannot be written ({reason})", stacklevel=2)

    def _arrays(self, path: Path, person: FilmPerson, files: dict[str, Any]) -> None:
        names = (
            "frames", "times_s", "joints2d_px", "joints3d_m", "joints3d_std_m", "translation_m", "rotvec",
            "pose_translation_m", "camera_rotvec", "score",
        )  # fmt: skip
        arrays: dict[str, Any] = {name: person.records[name] for name in names if name in person.names}
        np.savez_compressed(
            path,
            **arrays,
            joints=np.array(person.skeleton.joints),
            bones=np.array(person.body.bones),
            body=np.array(person.body.name),
            shape=person.shape,
            fps=np.float64(person.fps),
            world_rotation=self.world.rotation,
            world_shift=self.world.shift,
        )
        files["npz"] = path.name

    def _motion(self, person: FilmPerson, ending: str, files: dict[str, Any]) -> None:
        """As one file, or as several where it is long."""
        for part, first in enumerate(range(0, len(person), LONGEST_RIG)):
            rows = slice(first, first + LONGEST_RIG)
            name = f"person{person.id}{f'-{part + 1}' if part else ''}.{ending}"
            self.progress(f"writing {name}", 0, None)
            self._try(name, self._one_motion, person, rows, files)

    def _one_motion(self, path: Path, person: FilmPerson, rows: slice, files: dict[str, Any]) -> None:
        world = self.world if self.how.origin is None else _at_first_feet(self.world, person)
        std = person.records["joints3d_std_m"][rows] if "joints3d_std_m" in person.names else None
        save_motion(path, person.motion_of(rows), self.how, world=world, lens=self.lens, joints3d_std_m=std)
        ending = path.suffix[1:]
        if ending in files:
            files.setdefault("further", []).append(path.name)
        else:
            files[ending] = path.name

    def _character(self, path: Path, files: dict[str, Any]) -> None:
        assert self.performer is not None
        performance = read_performance(self.folder / files["npz"])
        write_whole(path, animated(self.performer, performance)[1])
        files["character"] = path.name

    def _together(self, path: Path) -> None:
        motions = {f"person{person.id}": person.motion for person in self.people}
        save_motions_together(path, motions, self.how, self.world, self.lens)
        self.together = path.name

    def _overlay(self, path: Path) -> None:
        def told(doing: str, done: int, total: int | None) -> None:
            self.drawn = done
            self.progress(doing, done, total)

        watched = self.watched
        write_overlay(
            path, watched.film, self.people, watched.camera, self.world, watched.times_s, told,
            Look(bare=self.how.bare),
        )  # fmt: skip

    def as_json(self, model: str, smooth: Smooth, feet: Feet, seconds: dict[str, float]) -> dict[str, Any]:
        watched, film = self.watched, self.watched.film
        camera = watched.camera
        overlay = (self.folder / OVERLAY_FILM).exists()
        return {
            "film": film.name,
            "model": model,
            "smooth": smooth,
            "feet": feet if smooth in ("model", "causal") else "free",
            "fps": round(film.fps, 6),
            "frames": watched.frame_count,
            "size": list(film.size_wh),
            "width": film.size_wh[0],
            "height": film.size_wh[1],
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "complete": watched.ended is None,
            **({} if watched.ended is None else {"ended": watched.ended}),
            "camera": {
                "focal_px": round(camera.mean_focal_px, 3),
                "focal_assumed": camera.assumed,
                "focal_from": watched.focal_from,
                "principal_px": rounded(camera.principal_px, 3),
            },
            "people": [self._person(person, files) for person, files in zip(self.people, self.files)],
            **({"everybody": self.together} if self.together else {}),
            **({"overlay": OVERLAY_FILM, "overlay_frames": self.drawn} if overlay else {}),
            **({"world": world_as_json(self.world)} if self.people else {}),
        }

    def _person(self, person: FilmPerson, files: dict[str, Any]) -> dict[str, Any]:
        score = person.score
        build = person.motion_of(np.array([0]))[0].build() if person.skeleton.two_sided else None
        return {
            "id": person.id,
            "first_frame": int(person.frames[0]),
            "last_frame": int(person.frames[-1]),
            "frames": len(person),
            "frames_carried_across": int((score == 0).sum()),
            "score": round(float(np.median(score)), 4),
            **({} if build is None else {"build": plain(build)}),
            "files": files,
        }
