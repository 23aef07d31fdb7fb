"""A film's people drawn over its frames, read a second time."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import roma
import torch

from mpt import sureness
from mpt.clothes import clothes_of
from mpt.films.drawing import MOST_BESIDE, TALLEST_M, Body, Stage
from mpt.films.encoding import written
from mpt.films.filming import Progress, silent
from mpt.films.frames import Film
from mpt.films.people import FilmPerson, turns_of
from mpt.films.pipes import ahead, mapped
from mpt.floor import World
from mpt.quiet import all_quiet
from mpt.threads import torch_threads
from mpt.views import Pinhole

LONGEST_PX = 1280  # the longer side of the drawn film, at most
DRAWN_VERTICES = 1723
AT_ONCE = 8  # frames whose bodies are posed together
THREADS = 2
EVEN = 0.25  # of a frame, by which times may be off even ones


@dataclass(frozen=True, eq=False)
class Look:
    """How a film's people are drawn.

    Attributes:
        bare: without clothes, where bodies have some.
        joints: with what the 2D network saw.
        beside: with the view from the side.
        shares: (V, J) what each joint says of each vertex (``sureness.skin_shares``), if bodies are coloured
            by how sure the model is.
    """

    bare: bool = False
    joints: bool = False
    beside: bool = True
    shares: np.ndarray | None = None


PLAIN = Look()


class _Picture(NamedTuple):
    pixels: np.ndarray
    bodies: list[Body]
    number: int
    time_s: float


def write_overlay(
    path: Path,
    film: Film,
    people: Sequence[FilmPerson],
    camera: Pinhole,
    world: World,
    times_s: array,
    progress: Progress = silent,
    look: Look = PLAIN,
) -> int:
    """The film with its people's bodies, and beside it from the side, as H.264; how many frames were drawn.

    times_s: of the frames that are wanted. Ctrl-C, and a full disk, end it: what is drawn stays.

    Raises KeyboardInterrupt and OSError then.
    """
    stage, count = _stage(film, people, camera, world, look), len(times_s)
    even = all(abs(at - number / film.fps) < EVEN / film.fps for number, at in enumerate(times_s))

    def drawn(picture: _Picture) -> tuple[np.ndarray, int, float]:
        return stage.draw(picture.pixels, picture.bodies), picture.number, picture.time_s

    with written(path, stage.picture_wh, film.fps, even=even) as write:
        for pixels, number, time_s in mapped(drawn, _pictures(film, people, count, look), THREADS):
            write(pixels, number, time_s)
            progress("drawing", write.count, count)
        return write.count


def _pictures(film: Film, people: Sequence[FilmPerson], count: int, look: Look) -> Iterator[_Picture]:
    """Frames with those who are in them; of a broken one the picture before it."""
    poser, pixels, posed = _Poser(people, look), None, {}
    with all_quiet():  # what is to be said of the film was said when it was watched
        for frame in ahead(film):
            if frame.number >= count:
                return
            pixels = pixels if frame.pixels is None else frame.pixels
            if frame.number % AT_ONCE == 0:
                posed = poser(frame.number, frame.number + AT_ONCE)
            if pixels is not None:
                yield _Picture(pixels, posed.get(frame.number, []), frame.number, frame.time_s)


class _Poser:
    """Bodies of some frames, each person's in one batch."""

    def __init__(self, people: Sequence[FilmPerson], look: Look) -> None:
        self._people, self._look, self._shares = people, look, look.shares
        self._frames = [person.records["frames"] for person in people]
        if people:
            coarse = people[0].body.coarsened(DRAWN_VERTICES) if _has_coarse(people[0]) else None
            whole = people[0].body
            self._body = whole if coarse is None else whole.subset(coarse.index)
            self._faces = (whole.faces if coarse is None else coarse.faces).numpy()
            clothes = None if look.bare or look.shares is not None else clothes_of(whole)
            drawn = slice(None) if coarse is None else coarse.index.numpy()
            self._inside_m = None if clothes is None else clothes.inside_m[drawn]
            if coarse is not None and look.shares is not None:
                self._shares = look.shares[coarse.index]

    @torch_threads(1)
    @torch.no_grad()
    def __call__(self, first: int, beyond: int) -> dict[int, list[Body]]:
        """By the number of the frame."""
        found: dict[int, list[Body]] = {}
        for person, frames in zip(self._people, self._frames):
            rows = slice(*np.searchsorted(frames, [first, beyond]))
            if rows.stop > rows.start:
                motion = person.motion_of(rows)
                turns = roma.rotvec_to_rotmat(torch.from_numpy(motion.rotvec))
                places = torch.from_numpy(motion.translation_m)
                posed = self._body(turns, torch.from_numpy(motion.shape)[None], places).vertices.numpy()
                records = person.records[rows]
                cameras = turns_of(records["camera_rotvec"]).astype(np.float32)
                for number, vertices, camera, record in zip(frames[rows].tolist(), posed, cameras, records):
                    found.setdefault(number, []).append(
                        Body(
                            person.id,
                            vertices,
                            self._faces,
                            camera,
                            self._inside_m,
                            self._colours(person, record),
                            person.skeleton,
                            record["joints2d_px"] if self._look.joints else None,
                        )
                    )
        return found

    def _colours(self, person: FilmPerson, record: np.ndarray) -> np.ndarray | None:
        """(V, 3) by how sure the model is there, where that is wanted and it says so."""
        if self._shares is None or "joints3d_std_m" not in person.names:
            return None
        return sureness.colours(self._shares @ record["joints3d_std_m"])


def _has_coarse(person: FilmPerson) -> bool:
    return any(len(coarse) == DRAWN_VERTICES for coarse in person.body.coarse)


def _stage(film: Film, people: Sequence[FilmPerson], camera: Pinhole, world: World, look: Look) -> Stage:
    width, height = film.size_wh
    factor = min(LONGEST_PX / max(width, height), 1.0)
    drawn = max(2 * round(width * factor / 2), 2), max(2 * round(height * factor / 2), 2)
    longest = sorted(people, key=len, reverse=True)[: MOST_BESIDE if look.beside else 0]
    heads = [_highest(person, world) for person in longest]
    return Stage(
        film.size_wh,
        drawn,
        camera.mean_focal_px,
        camera.principal_px,
        world.rotation,
        world.shift,
        tuple(sorted(person.id for person in longest)),
        max([TALLEST_M, *(1.03 * head for head in heads)]),
    )


def _highest(person: FilmPerson, world: World) -> float:
    """How high above the floor somebody's joints mostly are at most."""
    rows = person.records[:: max(len(person) // 200, 1)]
    points = world((rows["joints3d_m"] + rows["translation_m"][:, None]) @ turns_of(rows["camera_rotvec"]))
    return min(float(np.quantile(points[..., 1].max(1), 0.95)) + 0.15, 2 * TALLEST_M)
