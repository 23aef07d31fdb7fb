"""A film -> its people with bodies that move.

First the film is watched once: who is where, and what the lift says of each frame, kept on disk. Then each
person is smoothed and given a body of one shape, in windows of some hundred frames. Whoever wants pictures
reads the film a second time (``mpt.films.showing``). Memory does not grow with the length.
"""

import os
import warnings
from array import array
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from mpt.bodies import motion as motions
from mpt.bodies.fitting import BodyFitter
from mpt.bodies.motion import BodyMotion
from mpt.errors import InputError
from mpt.films.feet import joints_of, planted
from mpt.films.frames import Film
from mpt.films.people import FilmPerson, person_record, turns_of
from mpt.films.pipes import ahead
from mpt.films.refining import check_refines, refined, temporal_model
from mpt.films.steady import Steady
from mpt.films.store import KeptTrack, Records, track_record
from mpt.films.track import Track, bridged, filtered, turned
from mpt.films.tracking import Sighting, Tracker
from mpt.films.webcam import Recorded, is_live
from mpt.focal_lengths import FocalFrom
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.modeling.upsampling import SparseUpsampler
from mpt.reconstructor import Reconstructor
from mpt.views import Pinhole

BATCH = 8  # people in frames that are lifted together; each has a megabyte of maps
LEAST_FRAMES = 5  # fewer sightings, and shorter, are mistakes of the 2D network's
LEAST_S = 0.25
LEAST_SCORE = 0.3  # the median of somebody's

Smooth = Literal["auto", "model", "causal", "filter", "none"]
Feet = Literal["planted", "free"]
Refine = Callable[[Track], Track]
"""A track -> the same track, smoother."""

Progress = Callable[[str, int, int | None], None]
"""What is being done, how many frames of it are, and of how many, where somebody knows."""


def silent(doing: str, done: int, total: int | None) -> None:
    """No progress is told."""


@dataclass
class Watched:
    """What was seen of a film.

    Attributes:
        film: what was watched.
        camera: its camera, and who says its focal length.
        times_s: of each frame that was seen, by number.
        turns: by how its camera is turned from the first one's, three numbers each, axis-angle in radians.
        tracks: of each person, in the order in which they came.
        ended: why it ended early, if it did; interrupt: the Ctrl-C that ended it.
    """

    film: Film
    camera: Pinhole
    focal_from: FocalFrom
    times_s: array = field(default_factory=lambda: array("d"))
    turns: array = field(default_factory=lambda: array("f"))
    tracks: list[KeptTrack] = field(default_factory=list)
    ended: str | None = None
    interrupt: KeyboardInterrupt | None = None

    @property
    def frame_count(self) -> int:
        return len(self.times_s)

    def rotations(self, frames: np.ndarray) -> np.ndarray:
        """(F, 3, 3) of some frames: ``x_now = this @ x_first``, in camera axes."""
        return turns_of(np.frombuffer(self.turns, np.float32).reshape(-1, 3)[frames])


def watch(
    film: Film,
    reconstructor: Reconstructor,
    folder: Path,
    *,
    focal_px: float | None = None,
    focal_mm: float | None = None,
    fov_deg: float | None = None,
    progress: Progress = silent,
) -> Watched:
    """Everybody in a film, as tracks in files of an empty folder.

    Ctrl-C and a full disk end it early: what was seen until then is kept, and a note says so. What a webcam
    sees is recorded in the folder, too.

    Raises InputError for models whose meshes cannot be followed over time, a focal length that no camera has.
    """
    transformer, skeleton = reconstructor.model.transformer, reconstructor.model.skeleton
    if not isinstance(transformer.upsample, SparseUpsampler) or not skeleton.two_sided:
        raise InputError(
            f"films are of people, by models like mpt-small; {reconstructor.model.name} is none of these"
        )
    camera, focal_from = reconstructor.camera(
        film.size_wh, focal_px=focal_px, focal_mm=focal_mm, fov_deg=fov_deg, exif_mm=film.focal_mm
    )
    config = transformer.config
    kind = track_record(len(skeleton), config.coarse_vertices, sure=config.spread, gravity=config.gravity)
    kept, watched = Records(folder, kind), Watched(film, camera, focal_from)
    seen = Recorded(film, folder / "recorded.mp4") if is_live(film) else film
    watched.film = seen
    tracker = Tracker(reconstructor.pose2d, film.fps, reconstructor.heatmap_size)
    steady, turn = Steady(camera, film.size_wh), [0.0, 0.0, 0.0]
    with _Lifting(reconstructor, camera, kept) as lifting:
        try:
            for frame in ahead(seen):
                sightings = list(tracker(frame))
                if frame.pixels is not None:
                    boxes = np.array([sighting.person.bbox_xywh for sighting in sightings]).reshape(-1, 4)
                    turn = motions.rotvec_of(steady(frame.pixels, boxes)).tolist()
                if frame.number >= len(watched.times_s):
                    watched.times_s.append(frame.time_s)
                    watched.turns.extend(turn)
                for sighting in sightings:
                    lifting.add(sighting)
                progress("watching", len(watched.times_s), film.length)
        except KeyboardInterrupt as interrupt:
            if not is_live(film):  # which is ended so
                watched.ended, watched.interrupt = "interrupted", interrupt
        except OSError as error:
            watched.ended = f"{error.strerror or error}"
        lifting.finish()
        watched.ended = watched.ended or lifting.failed
    if not watched.frame_count:
        raise InputError(f"{film.name}: no frame of it was seen")
    if watched.ended:
        warnings.warn(
            f"{film.name}: {watched.ended} after {watched.frame_count:,} frames; what was seen until then is "
            "finished and kept",
            stacklevel=2,
        )
    tracks = [KeptTrack.of(id_, kept.of(id_)) for id_ in sorted(kept.counts)]
    watched.tracks = [track for track in tracks if _is_somebody(track, watched)]
    return watched


def _is_somebody(track: KeptTrack, watched: Watched) -> bool:
    """Seen for long enough, and surely enough, of as much as there is."""
    least = min(LEAST_FRAMES, -(-watched.frame_count // 2))
    times = track.column("times_s")
    shown = times[-1] - times[0] >= min(LEAST_S, 0.5 * (watched.times_s[-1] - watched.times_s[0])) - 1e-6
    return len(track) >= least and shown and float(np.median(track.column("score"))) >= LEAST_SCORE


class _Lifting:
    """Sightings are lifted in batches beside the watching, and appended to the records."""

    def __init__(self, reconstructor: Reconstructor, camera: Pinhole, kept: Records) -> None:
        self._reconstructor, self._camera, self._kept = reconstructor, camera, kept
        self._waiting: list[Sighting] = []
        self._begun: Future | None = None
        self._pool = ThreadPoolExecutor(1)
        self.failed: str | None = None

    def __enter__(self) -> "_Lifting":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, sighting: Sighting) -> None:
        self._waiting.append(sighting)
        if len(self._waiting) >= BATCH:
            self._begin()

    def finish(self) -> None:
        """Until all is lifted; a full disk is noted."""
        with suppress(OSError):
            self._begin()
        with suppress(OSError):
            self._await()

    def _begin(self) -> None:
        self._await()
        some, self._waiting = self._waiting, []
        if some:
            self._begun = self._pool.submit(self._lift, some)

    def _await(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            try:
                begun.result()
            except OSError as error:
                self.failed = error.strerror or str(error)
                raise

    def _lift(self, some: list[Sighting]) -> None:
        placed = self._reconstructor.lift_coarsely([sighting.person for sighting in some], self._camera)
        records = np.zeros(len(some), self._kept.kind)
        skeleton = self._reconstructor.model.skeleton
        for row, sighting, found in zip(records, some, placed):
            person = sighting.person
            row["frames"], row["times_s"], row["score"] = sighting.frame, sighting.time_s, person.score
            row["joints2d_px"] = person.on(skeleton).joints2d_px
            row["crop_center_px"], row["crop_side_px"] = person.crop.center_px, person.crop.side_px
            row["joints3d_m"], row["coarse"] = found.joints3d, found.points
            row["translation_m"] = found.translation_m
            if found.joints3d_std_m is not None:
                row["joints3d_std_m"] = found.joints3d_std_m
            if found.up is not None:
                row["up"], row["up_std_deg"] = found.up, found.up_std_deg
        ids = np.array([sighting.id for sighting in some])
        for id_ in np.unique(ids):
            self._kept.add(int(id_), records[ids == id_])


def embodied(
    watched: Watched,
    reconstructor: Reconstructor,
    folder: Path,
    smooth: Smooth = "model",
    feet: Feet = "planted",
    temporal: str | os.PathLike = "mpt-video",
    progress: Progress = silent,
) -> list[FilmPerson]:
    """Tracks smoothed, with gaps bridged, and a body laid on each, in files of an empty folder; where the
    model that smooths them says that feet rest, they do.

    Ctrl-C and a full disk end it early: what is done is kept, and a note says so.
    """
    fitter, transformer = reconstructor.fitter, reconstructor.model.transformer
    if fitter is None:
        raise InputError(
            f"the body {reconstructor.model.body} that the model {reconstructor.model.name} was trained on "
            "is not here, and people of films are given it: take a model of a body that comes with mpt"
        )
    body, config, skeleton = fitter.bodies[False], transformer.config, reconstructor.model.skeleton
    kind = person_record(len(skeleton), len(body.bones), sure=config.spread, gravity=config.gravity)
    kept, shapes, fps = Records(folder, kind), [], watched.film.fps
    total, done = sum(map(len, watched.tracks)), 0
    refine = smoother(smooth, temporal, watched)
    try:
        for number, track in enumerate(watched.tracks):
            shapes.append(_shape_of(track, fitter, transformer))
            for rows, around in track.windows():
                known = track.rows(around)
                whole = bridged(known, watched.times_s)
                turns = watched.rotations(whole.frames)
                steadied = turns[len(turns) // 2] @ turns.swapaxes(1, 2)  # to the axes of the middle frame
                found = refine(turned(whole, steadied, watched.camera))
                found, motion = _with_body(found, fitter, transformer, shapes[number], fps, feet)
                back = steadied.swapaxes(1, 2)
                found = replace(turned(found, back, watched.camera), joints2d_px=whole.joints2d_px)
                motion = motions.turned(motion, back)
                wanted = _wanted(found, known, rows, around)
                kept.add(
                    number,
                    _records(
                        found[wanted], motion.rotvec[wanted], motion.translation_m[wanted],
                        motions.rotvec_of(turns[wanted]), kind,
                    ),
                )  # fmt: skip
                done += rows.stop - rows.start
                progress("bodies", done, total)
    except (KeyboardInterrupt, OSError) as error:
        by_hand = isinstance(error, KeyboardInterrupt)
        watched.ended = "interrupted" if by_hand else error.strerror or f"{error}"
        watched.interrupt = error if by_hand else watched.interrupt
        warnings.warn(
            f"{watched.film.name}: {watched.ended} when {done:,} of {total:,} poses had been given bodies; "
            "these are kept",
            stacklevel=2,
        )
    return [
        FilmPerson(number, skeleton, kept.of(number), body, shapes[number], fps) for number in kept.counts
    ]


def _wanted(found: Track, known: Track, rows: slice, around: slice) -> np.ndarray:
    """(F,) bool: which frames are ``rows`` of a track, and what was bridged between them and the next."""
    first = known.frames[rows.start - around.start]
    behind = rows.stop - around.start
    beyond = known.frames[behind] if behind < len(known) else np.inf
    return (found.frames >= first) & (found.frames < beyond)


def _shape_of(track: KeptTrack, fitter: BodyFitter, transformer: MeshTransformer) -> np.ndarray:
    """(S,) from the surer half of some frames."""
    score = track.column("score")
    sure = np.flatnonzero(score >= np.median(score))
    rows = sure[np.unique(np.linspace(0, len(sure) - 1, min(len(sure), 64)).round().astype(int))]
    return fitter.shape_of(_skin(track.rows(rows).coarse, fitter, transformer))


def _skin(coarse: np.ndarray, fitter: BodyFitter, transformer: MeshTransformer) -> np.ndarray:
    """(F, V', 3) those vertices of the full meshes that bodies are laid on."""
    device = transformer.template_joints.device
    with torch.inference_mode():
        found = transformer.upsample(
            torch.from_numpy(np.float32(coarse)).to(device), torch.from_numpy(fitter.seen).to(device)
        )
    return found.cpu().numpy()


def _with_body(
    track: Track,
    fitter: BodyFitter,
    transformer: MeshTransformer,
    shape: np.ndarray,
    fps: float,
    feet: Feet,
) -> tuple[Track, BodyMotion]:
    """The motion of a track's body about the mid-hip; where its feet are put to rest, the track follows."""
    motion = fitter.motion(_skin(track.coarse, fitter, transformer), track.times_s, fps, shape=shape)
    if feet == "free" or track.contact is None:
        return track, motion
    placed = replace(motion, translation_m=np.float32(motion.translation_m + track.translation_m))
    resting = planted(placed, track.contact)
    shift = resting.translation_m - placed.translation_m
    bent = joints_of(resting) - joints_of(placed) - shift[:, None]
    track = replace(
        track, joints3d_m=np.float32(track.joints3d_m + bent), translation_m=track.translation_m + shift
    )
    return track, replace(motion, rotvec=resting.rotvec)


def _records(
    track: Track, rotvec: np.ndarray, translation_m: np.ndarray, turns: np.ndarray, kind: np.dtype
) -> np.ndarray:
    """(F,) of a track, its body's poses, and how the camera was turned."""
    records = np.zeros(len(track), kind)
    for name in kind.names or ():
        part = getattr(track, name, None)
        if part is not None:
            records[name] = part
    records["rotvec"], records["pose_translation_m"] = rotvec, translation_m
    records["camera_rotvec"] = turns
    return records


def smooth_for(smooth: Smooth, temporal: str | os.PathLike, reconstructor: Reconstructor) -> Smooth:
    """How a film is smoothed: "auto" is the model that refines over time, where it does so for this model's
    meshes, else the filter, and a note says so.

    Raises InputError for an unknown way of smoothing, and where the model that was asked for is not there, or
    not one for these meshes.
    """
    if smooth not in get_args(Smooth):
        raise InputError(f"films are smoothed by {', '.join(get_args(Smooth))}, not by {smooth!r}: take one")
    if smooth in ("auto", "model", "causal"):
        model = temporal_model(os.fspath(temporal))
        try:
            check_refines(model, reconstructor.model.transformer, reconstructor.model.name)
        except InputError as error:
            if smooth != "auto":
                raise
            warnings.warn(f"{error}; what trembles is filtered instead", stacklevel=2)
            return "filter"
    return "model" if smooth == "auto" else smooth


def smoother(smooth: Smooth, temporal: str | os.PathLike, watched: Watched) -> Refine:
    """What a way of smoothing does to the tracks of a film; see :func:`smooth_for`."""
    if smooth in ("model", "causal"):
        model = temporal_model(os.fspath(temporal))
        return lambda track: refined(track, watched.camera, model, causal=smooth == "causal")
    if smooth == "filter":
        return lambda track: filtered(track, watched.film.fps)
    return lambda track: track
