"""The command ``mpt``: each command parses, calls, prints.

Whatever is slow to import is imported when a command runs, so that ``--help`` answers at once.
"""

import difflib
import json
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import tyro
from tyro.conf import Positional, arg, subcommand

from mpt.errors import InputError

if TYPE_CHECKING:
    from mpt.pose2d.keypoints import KeypointFile
    from mpt.reconstruct import Reconstructor

OK, SOME_REFUSED, REFUSED, INTERRUPTED = 0, 1, 2, 130

Out = Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
OutFile = Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
AsJson = Annotated[bool, arg(name="json")]
Formats = tuple[Literal["glb", "obj", "ply", "npz"], ...]
ModelName = Annotated[str, arg(metavar="NAME|FILE")]
Device = Annotated[str, arg(metavar="auto|cpu|cuda")]


@dataclass(frozen=True)
class Reconstruct:
    """Put a 3D body on everybody in a photo.

    Each photo gets a folder of results: overlay.png (the bodies over the photo, and from the side),
    result.json (joints, cameras, scores) and a mesh file for each person. An earlier result is replaced whole.

    Example: mpt reconstruct holiday.jpg -o results
    """

    photos: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...")]
    """The photos: JPEG, PNG, WebP, GIF, BMP or TIFF."""
    out: Out = Path("mpt-out")
    """Where the results go: DIR/<photo's name>/."""
    format: Formats = ("glb",)
    """Mesh formats: glb (y up, for Blender and browsers), obj, ply, npz (camera axes)."""
    as_json: AsJson = False
    """Print one JSON array of the results on stdout, and nothing else there."""
    model: ModelName = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder of `mpt pretrain`."""
    pose2d: Literal["blazepose", "keypoints"] = "blazepose"
    """What finds the people and their 2D joints."""
    keypoints: Annotated[Path | None, arg(metavar="FILE")] = None
    """2D joints of any detector, COCO or OpenPose JSON, matched to the photos by file name."""
    focal: Annotated[float | None, arg(metavar="PX")] = None
    """The camera's focal length in pixels. Default: the picture's diagonal, a view of 53 degrees."""
    device: Device = "auto"
    """Where the transformer runs; auto takes CUDA where there is one."""

    def __call__(self) -> int:
        if not self.photos:
            raise InputError("no photo was named: give one or more, as in `mpt reconstruct photo.jpg`")
        points = _keypoint_file(self)
        _check_folder(self.out)
        _show_notes()
        results, refused = _reconstruct_all(self, points)
        if self.as_json:
            print(json.dumps(results))
        if not refused:
            return OK
        return SOME_REFUSED if results else REFUSED


def _reconstruct_all(options: Reconstruct, points: "KeypointFile | None") -> tuple[list[dict], int]:
    """Every photo's result, and how many were refused; a refused one stops nobody else's."""
    from mpt.images import read_image
    from mpt.results import folder_names

    reconstructor: Reconstructor | None = None
    results, refused = [], 0
    for photo, name in _tracked(list(zip(options.photos, folder_names(options.photos)))):
        start = time.perf_counter()
        try:
            image = read_image(photo)
        except InputError as error:
            refused += 1
            _say(error)
            continue
        if (
            reconstructor is None
        ):  # not before a photo could be read, and outside the try: it stops everything
            reconstructor = _load(options, search=points is None)
            start = time.perf_counter()
        try:
            finder = reconstructor.pose2d
            if points is not None:
                finder = points.of(photo, heatmap_size=reconstructor.heatmap_size)
            result = _reconstruct(photo, image, reconstructor, finder, options, options.out / name, start)
        except InputError as error:
            refused += 1
            _say(error)
            continue
        results.append(result)
        print(_summary(result, options.out / name), file=sys.stderr if options.as_json else sys.stdout)
    return results, refused


def _reconstruct(photo, image, reconstructor, finder, options, folder: Path, start: float) -> dict:
    """Reconstruct a photo and write its folder; what result.json holds."""
    from mpt import results

    found_at = time.perf_counter()
    people = finder(image)
    lifted_at = time.perf_counter()
    people = reconstructor.lift(people, (image.shape[1], image.shape[0]), focal_px=options.focal)
    done_at = time.perf_counter()
    with results.replacing(folder) as unfinished:
        meshes = results.write_files(unfinished, image, people, options.format)
        seconds = results.Seconds(lifted_at - found_at, done_at - lifted_at, time.perf_counter() - start)
        result = results.as_json(photo, reconstructor.model.name, seconds, people, meshes)
        results.write_json(unfinished, result)
    return result


def _summary(result: dict, folder: Path) -> str:
    count = len(result["people"])
    who = {0: "nobody was found", 1: "1 person"}.get(count, f"{count} people")
    return f"{result['image']}: {who} -> {folder / 'overlay.png'} ({result['seconds']['total']:.2f} s)"


def _keypoint_file(options: Reconstruct) -> "KeypointFile | None":
    if options.keypoints is None:
        if options.pose2d == "keypoints":
            raise InputError("--pose2d keypoints takes 2D joints from a file: name it with --keypoints FILE")
        return None
    from mpt.pose2d import keypoints

    return keypoints.read(options.keypoints)


def _load(options: Reconstruct, *, search: bool) -> "Reconstructor":
    from mpt import assets, reconstruct

    if search:
        assets.get("blazepose")  # once for all photos, and before the first
    return reconstruct.load(options.model, device=options.device)


# -------------------------------------------------------------------------------------------------- shared


def _check_folder(out: Path) -> None:
    """Refuse at once what could not become a folder of results."""
    for place in (out, *out.parents):
        if place.is_dir():
            return
        if place.exists():
            raise InputError(f"--out {out}: {place} is a file, and a folder was expected; choose another")


def _show_notes() -> None:
    """Our own warnings as a line each; other libraries' not at all."""
    warnings.simplefilter("ignore")
    warnings.filterwarnings("always", category=UserWarning, module=r"mpt\.")
    warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)


def _tracked(items: list) -> Any:
    """The items, with a progress bar on a terminal's stderr where there are several."""
    if len(items) < 2 or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, "photos", console=Console(stderr=True), transient=True)


def _say(error: InputError) -> None:
    print(f"mpt: {error}", file=sys.stderr)


# ------------------------------------------------------------------------------------------------ commands


def _group(about: str, **commands: type) -> tuple[str, Any]:
    return about, _one_of(commands)


def _one_of(commands: dict[str, type | tuple[str, Any]]) -> Any:
    """The type that tyro parses into one of these commands, by name."""
    options = []
    for name, command in commands.items():
        if isinstance(command, tuple):
            about, union = command
            marker = subcommand(name, constructor_factory=lambda union=union: union, description=about)
        else:
            marker = subcommand(name, constructor=command)
        options.append(Annotated[Any, marker])
    return Union[tuple(options)]  # noqa: UP007 - made of as many as there are


COMMANDS = {
    "reconstruct": Reconstruct,
}


def main(args: list[str] | None = None) -> int:
    """Run the command line; its exit code: 0, 1 where some photos were refused, 2 for wrong use."""
    args = sys.argv[1:] if args is None else args
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # file names may hold anything
    try:
        return _parsed(args)()
    except InputError as error:
        _say(error)
        return REFUSED
    except FloatingPointError as error:
        print(f"mpt: {error}", file=sys.stderr)
        return SOME_REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parsed(args: list[str]) -> Any:
    """The command that the arguments ask for. Leaves by SystemExit after --help, --version, wrong options."""
    if args[:1] == ["--version"]:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"mpt {version('mesh-pretraining')}")
        except PackageNotFoundError:
            print("mpt, run from a copied folder")
        raise SystemExit(OK)
    if args and not args[0].startswith("-") and args[0] not in COMMANDS:
        near = difflib.get_close_matches(args[0], COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise InputError(f"no command is called {args[0]!r}; {hint} (`mpt --help` shows them)")
    return tyro.cli(
        _one_of(COMMANDS),
        prog="mpt",
        description="A posed 3D human mesh from a photo, learned from motion capture alone.",
        args=args or ["--help"],
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )
