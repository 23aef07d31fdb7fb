"""All photos and films that ``mpt reconstruct`` was given: one after another, counted and summed up."""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mpt.cli.common import FAULTY, OK, REFUSED, SOME_REFUSED, say, sentence_of, to_stderr
from mpt.cli.options import ReconstructOptions
from mpt.cli.progress import film_progress, tracked
from mpt.errors import InputError

if TYPE_CHECKING:
    from mpt.batches.folders import Item
    from mpt.films.frames import Film
    from mpt.images import Picture
    from mpt.pose2d.keypoints import KeypointFile
    from mpt.reconstructor import Reconstructor
    from mpt.writing import Identities

STDIN = Path("stdin")
"""What the photo that comes through standard input is called."""
CAMERA = "camera"
"""What a webcam's results are called, with its number behind."""
NOT_OF_RESULTS = {"photos", "out", "as_json", "device", "recursive", "folders", "resume", "summary", "camera"}
OF_PHOTOS = {"keypoints"}
OF_FILMS = {"smooth", "temporal", "feet", "character", "seconds", "fps"}
"""Options that change nothing in a result, and those that change photos' or films' alone."""


def reconstruct_all(
    options: ReconstructOptions,
    points: "KeypointFile | None",
    load: "Callable[[ReconstructOptions, bool], Reconstructor]",
) -> int:
    """Every photo and film; the exit code. One that is refused stops nobody else's.

    points: what is known of the people beforehand. load: makes the reconstructor, before the first photo that
    needs one, and is told whether it is to find people itself.
    """
    with _json_array(options.as_json) as entry:
        tally = _Tally(entry)
        roots = _roots(options, tally)
        batch = _Batch(options, points, load, roots, tally)
        try:
            for item in tracked(roots.items(), lambda: sum(1 for _ in roots.items())):
                batch.one(item)
        except KeyboardInterrupt:
            if batch.summary is not None:
                to_stderr(
                    f"mpt: broken off after {tally.done + tally.refused:,}; the same command with --resume "
                    "goes on"
                )
            raise
    if batch.summary is not None:
        tally.tell()
    return tally.code


@dataclass
class _Tally:
    """What was done, and what was refused."""

    entry: Callable[[dict], None]
    done: int = 0
    kept: int = 0
    empty: int = 0
    people: int = 0
    refused: int = 0
    cut_short: int = 0
    faulty: bool = False
    since: float = field(default_factory=time.perf_counter)

    def add(self, result: dict, *, kept: bool = False) -> None:
        self.entry(result)
        self.done += 1
        self.kept += kept
        self.people += len(result["people"])
        self.empty += not result["people"]

    def refuse(self, error: Exception, about: object, kind: str = "image") -> None:
        self.refused += 1
        self.faulty |= say(error, about) == FAULTY
        self.entry({kind: str(about), "error": sentence_of(error, about)})

    @property
    def code(self) -> int:
        if not self.refused:
            return SOME_REFUSED if self.cut_short else OK
        return FAULTY if self.faulty else SOME_REFUSED if self.done else REFUSED

    def tell(self) -> None:
        """A small table on stderr."""
        seconds, made = time.perf_counter() - self.since, self.done - self.kept
        rows = {
            "photos and films": f"{self.done + self.refused:,}",
            "with somebody": f"{self.done - self.empty:,} ({self.people:,} in all)",
            "with nobody": f"{self.empty:,}",
            "refused": f"{self.refused:,}",
            "kept from before": f"{self.kept:,}",
            "seconds": f"{seconds:,.1f}" + (f" ({seconds / made:.2f} for each one made)" if made else ""),
        }
        for name, value in rows.items():
            to_stderr(f"{name:<18}{value}")


@contextmanager
def _json_array(wanted: bool) -> Iterator[Callable[[dict], None]]:
    """What takes the entries of one JSON array on stdout, each printed as it comes."""
    if not wanted:
        yield lambda entry: None
        return
    begun = False

    def entry(result: dict) -> None:
        nonlocal begun
        print((", " if begun else "[") + json.dumps(result), end="", flush=True)
        begun = True

    try:
        yield entry
    except BaseException:
        if begun:
            print("]")
        raise
    print("]" if begun else "[]")


# -------------------------------------------------------------------------------------- what was asked for


@dataclass(frozen=True)
class _Roots:
    """What was named: photos, films, and folders of them.

    Attributes:
        parts: of each, what iterates over its photos and films.
        named: files that were named.
        folders: folders of photos.
    """

    parts: "list[Iterable[Item]]"
    named: list[Path]
    folders: list[Path]

    def items(self) -> "Iterator[Item]":
        return chain.from_iterable(self.parts)


def _roots(options: ReconstructOptions, tally: _Tally) -> _Roots:
    from mpt.batches.folders import SUMMARY, Item, PhotoFolder, numbered_as
    from mpt.result_folders import folder_names

    paths = _named(options.photos, tally)
    if options.camera is not None:
        paths.append(Path(f"{CAMERA}{options.camera}"))
    films = {path: numbered_as(path, options.folders)[0] for path in paths if path.is_dir()}
    alone = len(paths) == 1
    parts, named, folders = [], [], []
    for path, name in zip(paths, folder_names([_called(path) for path in paths], [SUMMARY])):
        if path not in films or films[path]:
            named.append(path)
            parts.append([Item(path, Path(name), films.get(path))])
            if path in films and options.folders == "auto":
                warnings.warn(
                    f"{path}: its numbered pictures follow one another, and are taken for a film; --folders "
                    "photos takes each for a photo",
                    stacklevel=2,
                )
            continue
        place = Path() if alone else Path(name)
        folder = PhotoFolder(path, place, options.recursive, options.folders)
        try:
            folder.check()
        except InputError as error:
            tally.refuse(error, path)
            continue
        parts.append(folder)
        folders.append(path)
    return _Roots(parts, named, folders)


def _called(path: Path) -> Path:
    """A path that ends in a name, of folders as well that are called ``.`` or ``..``."""
    return Path(os.path.abspath(path)) if path.is_dir() else path


def _named(names: tuple[str, ...], tally: _Tally) -> list[Path]:
    """The paths of these names."""
    from mpt.images import matching

    paths = []
    for name in names:
        try:
            if name == "-" and STDIN in paths:
                raise InputError("- was given twice: standard input holds one photo, and is read once")
            paths += [STDIN] if name == "-" else matching(name)
        except InputError as error:
            tally.refuse(error, name)
    return paths


# ------------------------------------------------------------------------------------------ one by one


class _Batch:
    """Makes each photo's and film's results, or finds them made."""

    def __init__(
        self,
        options: ReconstructOptions,
        points: "KeypointFile | None",
        load: "Callable[[ReconstructOptions, bool], Reconstructor]",
        roots: _Roots,
        tally: _Tally,
    ) -> None:
        from mpt.batches.folders import SUMMARY
        from mpt.batches.resuming import options_hash
        from mpt.batches.summary import Summary
        from mpt.result_folders import sweep_unmoved

        self.options, self.points, self.tally, self._load = options, points, tally, load
        self.alone = len(roots.named) == 1 and not roots.folders
        self.inputs = _inputs(options, roots)
        if options.resume:
            sweep_unmoved(options.out)
        summed = bool(roots.folders) or options.resume or options.summary
        self.summary: Summary | None = Summary(options.out / SUMMARY) if summed else None
        told = {one.name: getattr(options, one.name) for one in fields(options)}
        told = {name: value for name, value in told.items() if name not in NOT_OF_RESULTS}
        told |= {"model": Path(options.model), "temporal": Path(options.temporal)}
        self._hashes = {
            film: options_hash({k: v for k, v in told.items() if k not in (OF_PHOTOS if film else OF_FILMS)})
            for film in (False, True)
        }
        self.reconstructor: Reconstructor | None = None

    def one(self, item: "Item") -> None:
        """One that is refused is said, and counted."""
        from mpt.films.opening import is_film

        options, path, folder = self.options, item.path, self.options.out / item.place
        webcam = options.camera is not None and path == Path(f"{CAMERA}{options.camera}")
        film = webcam or (is_film(path) if item.film is None else item.film)
        interrupt, kind = None, "film" if film else "image"
        try:
            if item.refused is not None:
                raise item.refused
            made = self._made_of(path, film, webcam)
            if options.resume and (result := self._kept(folder, made)) is not None:
                self._done(item, folder, result, kept=True)
                return
            source = self._source(path, film, webcam)
        except Exception as error:
            self._refuse(error, path, kind)
            return
        if self.reconstructor is None:  # not before a photo could be read; what is wrong with it stops all
            self.reconstructor = self._load(options, self.points is None)
        try:
            if film:
                result, interrupt = self._film(source, self.reconstructor, folder, made)
            else:
                result = self._photo(path, source, self.reconstructor, folder, made)
        except Exception as error:
            self._refuse(error, path, kind)
            return
        self._done(item, folder, result)
        if interrupt is not None:
            raise interrupt
        if not result.get("complete", True):  # the disk was full
            self.tally.cut_short += 1

    def _made_of(self, path: Path, film: bool, webcam: bool) -> dict[str, str] | None:
        from mpt.batches.resuming import made_of

        return None if webcam or path is STDIN else made_of(path, self._hashes[film])

    def _kept(self, folder: Path, made: dict[str, str] | None) -> dict | None:
        from mpt.batches.resuming import kept
        from mpt.result_folders import sweep_unmoved

        result = kept(folder, made)
        sweep_unmoved(folder)
        return result

    def _source(self, path: Path, film: bool, webcam: bool) -> "Picture | Film":
        from mpt.films import opening
        from mpt.images import read_picture

        options = self.options
        if webcam and options.camera is not None:
            return opening.open_camera(options.camera, seconds=options.seconds)
        if film:
            return opening.open_film(path, fps=options.fps, seconds=options.seconds)
        return read_picture(_standard_input() if path is STDIN else path)

    def _photo(
        self,
        path: Path,
        picture: "Any",
        reconstructor: "Reconstructor",
        folder: Path,
        made: dict[str, str] | None,
    ) -> dict:
        from mpt.batches.photo import Written, reconstruct_photo

        options, finder = self.options, None
        if self.points is not None:
            finder = self.points.of(path, heatmap_size=reconstructor.heatmap_size, alone=self.alone)
        result, _ = reconstruct_photo(
            path,
            picture,
            reconstructor,
            folder,
            Written(options.format or ("glb",), _saving(options), options.overlay),
            finder=finder,
            focal_px=options.focal,
            focal_mm=options.focal_mm,
            fov_deg=options.fov,
            inputs=self.inputs,
            made_of=made,
        )
        return result

    def _film(
        self, film: "Any", reconstructor: "Reconstructor", folder: Path, made: dict[str, str] | None
    ) -> tuple[dict, KeyboardInterrupt | None]:
        """What result.json holds, and what ended the film early."""
        from mpt.films.folder import reconstruct_film
        from mpt.result_folders import RESULT
        from mpt.results import json_text
        from mpt.writing import write_whole

        options = self.options
        if options.keypoints is not None:
            raise InputError(
                f"{film.name} is a film, and --keypoints are known for photos: give its frames as photos, or "
                "leave --keypoints out"
            )
        with film_progress(film.name, alone=self.alone) as progress:
            result, interrupt = reconstruct_film(
                film,
                folder,
                reconstructor,
                formats=options.format or ("glb", "bvh"),
                how=_saving(options),
                smooth=options.smooth,
                feet=options.feet,
                temporal=options.temporal,
                character=options.character,
                overlay=options.overlay,
                focal_px=options.focal,
                focal_mm=options.focal_mm,
                fov_deg=options.fov,
                inputs=self.inputs,
                progress=progress,
            )
        if made is not None:
            result["made_of"] = made
            write_whole(folder / RESULT, json_text(result).encode(), "choose another --out")
        return result, interrupt

    def _done(self, item: "Item", folder: Path, result: dict, *, kept: bool = False) -> None:
        self.tally.add(result, kept=kept)
        if self.summary is not None:
            self.summary.done(item.path, item.place, result)
        of = ("person", "people") if self.reconstructor is None else self.reconstructor.model.skeleton.of
        line = summary_of(result, folder, of) + (" (kept)" if kept else "")
        print(line, file=sys.stderr if self.options.as_json else sys.stdout, flush=True)

    def _refuse(self, error: Exception, path: Path, kind: str) -> None:
        self.tally.refuse(error, path, kind)
        if self.summary is not None:
            self.summary.refused(path, sentence_of(error, path))


def _inputs(options: ReconstructOptions, roots: _Roots) -> "Identities":
    """The files that must not be written over. Folders of photos are not gone through for them: results lie
    in folders of their own, which are passed over, unless one was named itself.
    """
    from mpt.result_folders import is_result
    from mpt.writing import identities

    given = (options.keypoints, options.weights, options.character, Path(options.model))
    results = (path for folder in roots.folders if is_result(folder) for path in folder.iterdir())
    return identities([*roots.named, *filter(None, given), *results])


def _saving(options: ReconstructOptions) -> "Any":
    from mpt.saving import Saving

    o = options
    return Saving(o.static, o.rest, o.names, o.scale, o.world, bare=o.bare, up=o.up, origin=o.origin)


def _standard_input() -> BinaryIO:
    if (file := getattr(sys.stdin, "buffer", None)) is None:
        raise InputError("- reads a photo from standard input, which is closed: name a file, or pipe one in")
    return file


def summary_of(result: dict, folder: Path, of: tuple[str, str] = ("person", "people")) -> str:
    """A line about a result."""
    count, name = len(result["people"]), "image" if "image" in result else "film"
    nobody = "nobody" if of[0] == "person" else f"no {of[0]}"
    who = {0: f"{nobody} was found", 1: f"1 {of[0]}"}.get(count, f"{count} {of[1]}")
    seconds = result["seconds"]["total"]
    if name == "film":
        frames = result["frames"]
        rate = f"{frames:,} frames, {seconds:.1f} s, {frames / max(seconds, 1e-3):.1f} a second"
        return f"{result[name]}: {who} -> {folder / result.get('overlay', 'result.json')} ({rate})"
    shown = result.get("overlay", "overlay.png") or "result.json"
    return f"{result[name]}: {who} -> {folder / shown} ({seconds:.2f} s)"
