"""``mpt reconstruct`` and ``mpt demo``: photos -> folders of bodies."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from mpt.cli.common import (
    FAULTY,
    OK,
    REFUSED,
    SOME_REFUSED,
    AsJson,
    Device,
    ModelName,
    Out,
    check_folder,
    say,
    to_stderr,
)
from mpt.errors import InputError

if TYPE_CHECKING:
    from mpt.films.filming import Progress
    from mpt.films.frames import Film
    from mpt.images import Picture
    from mpt.pose2d.base import Pose2D
    from mpt.pose2d.keypoints import KeypointFile
    from mpt.reconstruct import Reconstruction, Reconstructor
    from mpt.writing import Identities

Formats = tuple[Literal["glb", "bvh", "fbx", "obj", "ply", "npz", "trc", "c3d", "csv"], ...]


@dataclass(frozen=True)
class Reconstruct:
    """Put a 3D body on everybody in a photo or a film; with --model mpt-hand, a 3D hand on each hand.

    Each photo gets a folder of results: overlay.png (the bodies over the photo, and from the side),
    result.json (joints, cameras, scores) and a mesh file for each person. Of an earlier result
    the files are replaced; what else lies in its folder stays. Joints and vertices plus translation_m
    are in the photo at focal_px * xy / z + principal_px.

    Each film gets overlay.mp4, result.json, and of each person over time person0.npz (joints, the body's
    pose and shape), person0.glb and person0.bvh (animated). Ctrl-C ends a film early, and keeps what is done.

    Example: mpt reconstruct holiday.jpg dance.mp4 -o results
    Example: mpt reconstruct --camera 0 --seconds 20
    """

    photos: Annotated[Positional[tuple[str, ...]], arg(metavar="PHOTO|FILM...")] = ()
    """The photos: JPEG, PNG, WebP, GIF, BMP or TIFF; - reads one from standard input. The films: MP4, MOV,
    MKV, WebM, AVI and others, or a folder of pictures that are called alike but for their numbers."""
    out: Out = Path("mpt-out")
    """Where the results go: DIR/<photo's or film's name>/."""
    format: Formats = ()
    """Default: glb, of films glb and bvh. glb: a body with bones in its pose, y up, its feet on the floor,
    with the photo's camera, for Blender and browsers; of several people everybody.glb, too. bvh: the bones
    alone. fbx: as glb, by the exporter of Blender, if it is installed (or pip install bpy). obj, ply, npz:
    the mesh as it stands, in camera axes about the mid-hip. trc: joints and points of the skin as OpenSim's
    markers; c3d: the same (pip install 'mesh-pretraining[c3d]'). csv: joints, and people's joint angles by
    OpenSim's names."""
    static: Annotated[bool, FlagCreatePairsOff] = False
    """GLB without bones: the mesh as it stands, about the mid-hip."""
    world: Annotated[bool, FlagCreatePairsOff] = False
    """Static GLB, OBJ and PLY stand on the floor as well, y up, people apart as they were photographed. The
    floor is the plane that their feet share."""
    rest: Annotated[Literal["t-pose", "a-pose"] | None, arg(metavar="t-pose|a-pose")] = None
    """The rest pose of bones: a T-pose, or the body's own. Default: t-pose in BVH, a-pose in GLB and FBX."""
    names: Literal["anny", "mixamo"] = "anny"
    """What bones are called: the body's own names, or Mixamo's (with the bones that Mixamo has)."""
    scale: Literal["m", "cm"] = "m"
    """The unit of BVH. C3D is in millimetres, all else in metres."""
    as_json: AsJson = False
    """Print one JSON array of the results on stdout, and nothing else there."""
    model: ModelName = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder of `mpt pretrain` or `mpt finetune`."""
    pose2d: Literal[
        "auto", "blazepose", "blazepose-heavy", "blazepalm", "rtmlib", "higher-hrnet", "keypoints"
    ] = "auto"
    """What draws the people's 2D joints. auto: the network that was fine-tuned with the model, where its run
    folder holds one, else BlazePose, which also finds the people for the others; of hands BlazePalm.
    blazepose-heavy has BlazePose's largest landmark network, fetched once (41 MB): surer, and slower.
    rtmlib: RTMPose's whole-body network through the package of that name (pip install
    'mesh-pretraining[rtmlib]'), which fetches weights itself, under their own terms."""
    weights: Annotated[Path | None, arg(metavar="FILE")] = None
    """HigherHRNet's official COCO weights, for --pose2d higher-hrnet."""
    keypoints: Annotated[Path | None, arg(metavar="FILE")] = None
    """2D joints of any detector, a JSON file or a folder of them, matched to the photos by path, name, stem
    or number. COCO (annotations or results), COCO-WholeBody, Halpe, OpenPose, AlphaPose, MMPose, MediaPipe,
    tf.js, ultralytics, lists of x, y, score, and mpt's own result.json are known; doubtful people and doubles
    are left out."""
    focal: Annotated[float | None, arg(metavar="PX")] = None
    """The camera's focal length in pixels. Default: what the photo's EXIF says, else the picture's diagonal,
    a view of 53 degrees."""
    focal_mm: Annotated[float | None, arg(metavar="MM")] = None
    """The same as 35 mm equivalent, in millimetres: 26 for many a phone. Of uncropped photos."""
    fov: Annotated[float | None, arg(metavar="DEG")] = None
    """The same as the view that it makes, in degrees from corner to corner."""
    device: Device = "auto"
    """Where the transformer runs; auto takes CUDA where there is one."""
    smooth: Literal["auto", "model", "causal", "filter", "none"] = "auto"
    """What is done to a film's bodies over time. model: a network that was pre-trained on motion takes
    together what the frames before and after say. causal: only those before, as for a live picture. filter:
    what trembles faster than 6 Hz is taken out, without delay. none: each frame as it is. auto: the model,
    where it was trained above --model's meshes, else the filter."""
    temporal: Annotated[str, arg(metavar="NAME|FILE|RUN")] = "mpt-video"
    """The network that --smooth model and causal use: the one in the package, or one that `mpt pretrain
    mpt-video` made."""
    feet: Literal["planted", "free"] = "planted"
    """planted: a film's feet that the network takes to rest stay where they are. free: they may slide."""
    camera: Annotated[int | None, arg(metavar="NUMBER")] = None
    """Film with a webcam, 0 for the first, until Ctrl-C or for --seconds; results go to DIR/camera0/."""
    seconds: Annotated[float | None, arg(metavar="S")] = None
    """Take the first seconds of films only."""
    fps: Annotated[float | None, arg(metavar="N")] = None
    """Frames a second of a folder of pictures (30 without it), or instead of what a film's file says."""

    def __call__(self) -> int:
        if not self.photos and self.camera is None:
            raise InputError(
                "no photo or film was named: give one or more, as in `mpt reconstruct photo.jpg`, or "
                "--camera 0"
            )
        _check_pose2d(self)
        lenses = {"--focal": self.focal, "--focal-mm": self.focal_mm, "--fov": self.fov}
        given = [f"{name} {value:g}" for name, value in lenses.items() if value is not None]
        if len(given) > 1:
            raise InputError(
                f"{' and '.join(given)} were given: leave {'one' if len(given) == 2 else 'two'} out"
            )
        if "fbx" in self.format:
            from mpt.rigs.fbx import check_bpy

            check_bpy()
        if "c3d" in self.format:
            from mpt.biomechanics.c3d import check_ezc3d

            check_ezc3d()
        points = _keypoint_file(self)
        check_folder(self.out)
        results, codes = _reconstruct_all(self, points)
        if self.as_json:
            print(json.dumps(results))
        if not codes:
            return OK
        return FAULTY if FAULTY in codes else SOME_REFUSED if results else REFUSED


def _reconstruct_all(options: Reconstruct, points: "KeypointFile | None") -> tuple[list[dict], list[int]]:
    """Every photo's result, and the exit code of each that was refused; such a one stops nobody else's."""
    from mpt.films.opening import is_film
    from mpt.images import Picture
    from mpt.results import folder_names
    from mpt.rigs.names import check_names
    from mpt.writing import identities

    reconstructor: Reconstructor | None = None
    photos, codes = _named(options.photos)
    if options.camera is not None:
        photos.append(Path(f"{CAMERA}{options.camera}"))
    given = (options.keypoints, options.weights, Path(options.model))
    inputs = identities([*photos, *filter(None, given)])
    results = []
    named = list(zip(photos, folder_names(photos)))
    some_film = any(is_film(photo) for photo in photos)  # which has a progress of its own
    for photo, name in named if some_film else _tracked(named):
        try:
            source = _film_or_picture(photo, options)
        except Exception as error:
            codes.append(say(error, photo))
            continue
        if (
            reconstructor is None
        ):  # not before a photo could be read, and outside the try: it stops everything
            reconstructor = _load(
                options.model,
                options.device,
                search=points is None,
                pose2d=options.pose2d,
                weights=options.weights,
            )
            skeleton, name_of_model = reconstructor.model.skeleton, reconstructor.model.name
            check_names(options.names, two_sided=skeleton.two_sided, model=name_of_model)
        interrupt = None
        try:
            finder = reconstructor.pose2d
            if points is not None and isinstance(source, Picture):
                alone = len(photos) == 1
                finder = points.of(photo, heatmap_size=reconstructor.heatmap_size, alone=alone)
            folder = options.out / name
            if isinstance(source, Picture):
                result, _ = _reconstruct(photo, source, reconstructor, finder, options, folder, inputs)
            else:
                result, interrupt = _reconstruct_film(source, reconstructor, options, folder, inputs)
        except Exception as error:
            codes.append(say(error, photo))
            continue
        results.append(result)
        summary = _summary(result, options.out / name, reconstructor.model.skeleton.of)
        print(summary, file=sys.stderr if options.as_json else sys.stdout, flush=True)
        if interrupt is not None:
            raise interrupt
        if not result.get("complete", True):  # the disk was full
            codes.append(SOME_REFUSED)
    return results, codes


CAMERA = "camera"
"""What a webcam's results are called, with its number behind."""


def _film_or_picture(photo: Path, options: Reconstruct) -> "Picture | Film":
    from mpt.images import read_picture

    if photo is STDIN:
        return read_picture(_standard_input())
    from mpt.films import opening

    if options.camera is not None and photo == Path(f"{CAMERA}{options.camera}"):
        return opening.open_camera(options.camera, seconds=options.seconds)
    if opening.is_film(photo):
        return opening.open_film(photo, fps=options.fps, seconds=options.seconds)
    return read_picture(photo)


STDIN = Path("stdin")
"""What the photo that comes through standard input is called."""


def _standard_input() -> BinaryIO:
    if (file := getattr(sys.stdin, "buffer", None)) is None:
        raise InputError("- reads a photo from standard input, which is closed: name a file, or pipe one in")
    return file


def _named(names: tuple[str, ...]) -> tuple[list[Path], list[int]]:
    """The photos of these names, and the exit code of each name that was refused."""
    from mpt.images import matching

    photos, codes = [], []
    for name in names:
        try:
            if name == "-" and STDIN in photos:
                raise InputError("- was given twice: standard input holds one photo, and is read once")
            photos += [STDIN] if name == "-" else matching(name)
        except InputError as error:
            codes.append(say(error))
    return photos, codes


def _reconstruct(
    photo: Path,
    picture: "Picture",
    reconstructor: "Reconstructor",
    finder: "Pose2D",
    options: Reconstruct,
    folder: Path,
    inputs: "Identities | None" = None,
) -> tuple[dict, list["Reconstruction"]]:
    """Reconstruct a photo and write its folder: what result.json holds, and the people."""
    from mpt import results
    from mpt.saving import Saving

    image = picture.pixels
    start = time.perf_counter()
    found = finder(image)
    found_at = time.perf_counter()
    size_wh = image.shape[1], image.shape[0]
    people = reconstructor.lift(
        found,
        size_wh,
        focal_px=options.focal,
        focal_mm=options.focal_mm,
        fov_deg=options.fov,
        exif_mm=picture.focal_mm,
    )
    lifted_at = time.perf_counter()
    with results.replacing(folder, inputs) as unfinished:
        how = Saving(options.static, options.rest, options.names, options.scale, options.world)
        formats = options.format or ("glb",)
        meshes = results.write_files(unfinished, image, people, formats, how)
        seconds = results.Seconds(found_at - start, lifted_at - found_at, time.perf_counter() - start)
        size_wh = image.shape[1], image.shape[0]
        name = reconstructor.model.name
        result = results.as_json(photo, name, seconds, people, meshes, size_wh=size_wh)
        results.write_json(unfinished, result)
    return result, people


def _reconstruct_film(
    film: "Film",
    reconstructor: "Reconstructor",
    options: Reconstruct,
    folder: Path,
    inputs: "Identities | None",
) -> tuple[dict, KeyboardInterrupt | None]:
    """Reconstruct a film and write its folder: what result.json holds, and what ended it early."""
    from mpt.films.folder import reconstruct_film
    from mpt.saving import Saving

    if options.keypoints is not None:
        raise InputError(
            f"{film.name} is a film, and --keypoints are known for photos: give its frames as photos, or "
            "leave --keypoints out"
        )
    with _film_progress(film.name) as progress:
        return reconstruct_film(
            film,
            folder,
            reconstructor,
            formats=options.format or ("glb", "bvh"),
            how=Saving(options.static, options.rest, options.names, options.scale, options.world),
            smooth=options.smooth,
            feet=options.feet,
            temporal=options.temporal,
            focal_px=options.focal,
            focal_mm=options.focal_mm,
            fov_deg=options.fov,
            inputs=inputs,
            progress=progress,
        )


@contextmanager
def _film_progress(name: str) -> Iterator["Progress"]:
    """Tells on stderr how far a film is, how many frames go in a second, and how long it still takes: as a
    bar on a terminal, else as a line now and then.
    """
    if not sys.stderr.isatty():
        yield _Lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.fields[of]} frames, {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    redirected = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=redirected) as bars:
        tasks: dict[str, tuple[Any, float]] = {}

        def tell(doing: str, done: int, total: int | None) -> None:
            if doing not in tasks:
                for before, _ in tasks.values():
                    bars.update(before, visible=False)
                tasks[doing] = bars.add_task(doing, total=total, of="?", rate=""), time.perf_counter()
            task, since = tasks[doing]
            rate = done / max(time.perf_counter() - since, 1e-3)
            of = "?" if total is None else f"{total:,}"
            bars.update(task, completed=done, total=total, of=of, rate=f"{rate:.1f} a second")

        yield tell


class _Lines:
    """Progress as lines, the first after some seconds."""

    def __init__(self, name: str) -> None:
        self._name, self._told = name, time.perf_counter()
        self._doing, self._since = "", self._told

    def __call__(self, doing: str, done: int, total: int | None) -> None:
        now = time.perf_counter()
        if doing != self._doing:
            self._doing, self._since = doing, now
        if now - self._told < LINE_S or not done:
            return
        self._told = now
        rate = done / max(now - self._since, 1e-3)
        of, left = "", ""
        if total is not None:
            of = f" of {total:,}"
            left = f", {max(total - done, 0) / rate:.0f} s left"
        to_stderr(f"{self._name}: {doing}, {done:,}{of} frames, {rate:.1f} a second{left}")


LINE_S = 5.0
"""Between two lines of progress."""


def _summary(result: dict, folder: Path, of: tuple[str, str] = ("person", "people")) -> str:
    count, name = len(result["people"]), "image" if "image" in result else "film"
    nobody = "nobody" if of[0] == "person" else f"no {of[0]}"
    who = {0: f"{nobody} was found", 1: f"1 {of[0]}"}.get(count, f"{count} {of[1]}")
    seconds = result["seconds"]["total"]
    if name == "film":
        frames = result["frames"]
        rate = f"{frames:,} frames, {seconds:.1f} s, {frames / max(seconds, 1e-3):.1f} a second"
        return f"{result[name]}: {who} -> {folder / result.get('overlay', 'result.json')} ({rate})"
    return f"{result[name]}: {who} -> {folder / 'overlay.png'} ({seconds:.2f} s)"


def _keypoint_file(options: Reconstruct) -> "KeypointFile | None":
    if options.keypoints is None:
        if options.pose2d == "keypoints":
            raise InputError("--pose2d keypoints takes 2D joints from a file: name it with --keypoints FILE")
        return None
    from mpt import checkpoint
    from mpt.pose2d import keypoints

    return keypoints.read(options.keypoints, checkpoint.load(options.model).skeleton)


def _check_pose2d(options: Reconstruct) -> None:
    hrnet = options.pose2d == "higher-hrnet"
    if hrnet and options.weights is None:
        raise InputError(
            "--pose2d higher-hrnet needs HigherHRNet's official COCO weights: name them with --weights FILE"
        )
    if options.weights is not None and not hrnet:
        raise InputError(
            f"--weights {options.weights} goes with --pose2d higher-hrnet: give both, or neither"
        )
    if options.keypoints is not None and options.pose2d not in ("auto", "keypoints"):
        raise InputError(
            f"--keypoints {options.keypoints} was given beside --pose2d {options.pose2d}: leave one out"
        )


def _load(
    model: str,
    device: str = "auto",
    *,
    search: bool = True,
    pose2d: str = "auto",
    weights: Path | None = None,
) -> "Reconstructor":
    from mpt import assets, reconstruct
    from mpt.pose2d.finders import FINDERS, finder_for
    from mpt.recipes import networks
    from mpt.skeletons import begin_alike

    load = networks.reconstructor if search and pose2d == "auto" else reconstruct.load
    reconstructor = load(model, device=device)
    finder = finder_for(reconstructor.model.skeleton, reconstructor.model.name)
    if pose2d in FINDERS and not begin_alike(FINDERS[pose2d].skeleton, FINDERS[finder].skeleton):
        raise InputError(
            f"--pose2d {pose2d} finds those with the joints of {FINDERS[pose2d].skeleton.name}, the model "
            f"{reconstructor.model.name} reads {reconstructor.model.skeleton.name}: take {finder}, or auto"
        )
    finder = pose2d if pose2d in FINDERS else finder
    if search:
        for asset in FINDERS[finder].assets:
            assets.get(asset)  # once for all photos, and before the first
    if weights is not None:
        from mpt.pose2d.higher_hrnet import HigherHRNetPose

        size, where = reconstructor.heatmap_size, reconstructor.model.transformer.template_joints.device
        reconstructor.pose2d = HigherHRNetPose(weights, heatmap_size=size, device=where)
    elif pose2d in FINDERS:
        reconstructor.pose2d = FINDERS[finder](heatmap_size=reconstructor.heatmap_size)
    return reconstructor


def _tracked(items: list) -> Iterator[Any]:
    """The items, with a progress bar on a terminal's stderr where there are several."""
    if len(items) < 2 or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    # What is printed meanwhile passes above the bar, but only where it goes to the terminal as well.
    redirected = sys.stdout.isatty()
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=redirected) as progress:
        yield from progress.track(items, description="photos")


@dataclass(frozen=True)
class Demo:
    """See the whole chain work, on made-up photographs.

    Draws pictures of people whose bodies are known exactly, reconstructs them as it would any photo, and
    prints how far off each body is.

    Example: mpt demo -o mpt-demo
    """

    out: Out = Path("mpt-demo")
    """Where the pictures and the results go."""
    model: ModelName = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder."""

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        from mpt.demo import compare, scenes
        from mpt.export import is_our_png, write_picture
        from mpt.images import read_picture
        from mpt.writing import check_output

        check_folder(self.out)
        reconstructor = _load(self.model)
        skeleton = reconstructor.model.skeleton
        (one, several), root = skeleton.of, "mid-hip" if skeleton.two_sided else "wrist"
        table = Table("picture", one, title=f"Millimetres off the truth, about the {root}")
        for heading in ("MPJPE", "PA-MPJPE", "MPVE"):
            table.add_column(heading, justify="right")
        _make_folder(self.out)
        print(f"drawing made-up photographs and reconstructing the {several} in them ...", file=sys.stderr)
        for scene in scenes(skeleton):
            photo = self.out / f"{scene.name}.png"
            check_output(photo, "picture", is_our_png)
            write_picture(photo, scene.image)
            options = Reconstruct((str(photo),), self.out, model=self.model)
            result, people = _reconstruct(
                photo,
                read_picture(photo),
                reconstructor,
                reconstructor.pose2d,
                options,
                self.out / scene.name,
            )
            print(_summary(result, self.out / scene.name, skeleton.of))
            for number, errors in enumerate(compare(people, scene.people)):
                cells = ["not found"] if errors is None else [f"{mm:.0f}" for mm in vars(errors).values()]
                table.add_row(scene.name, str(number + 1), *cells)
        Console().print(table)
        print(f"Pictures, meshes and joints are in {self.out}; open a person0.glb in Blender or a browser.")
        return OK


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: nothing can be written there ({error.strerror}); choose another --out"
        ) from error
