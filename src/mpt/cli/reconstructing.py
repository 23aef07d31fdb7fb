"""``mpt reconstruct`` and ``mpt demo``: photos -> folders of bodies."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from mpt.cli.batches import reconstruct_all, summary_of
from mpt.cli.common import OK, AsJson, Bare, Device, ModelName, Out, check_folder
from mpt.errors import InputError

if TYPE_CHECKING:
    from mpt.pose2d.keypoints import KeypointFile
    from mpt.reconstructor import Reconstructor

Formats = tuple[Literal["glb", "bvh", "fbx", "obj", "ply", "npz", "trc", "c3d", "csv"], ...]


@dataclass(frozen=True)
class Reconstruct:
    """Put a 3D body on everybody in photos and films, or folders of them; with --model mpt-hand, a 3D hand on
    each hand.

    Each photo gets a folder of results: overlay.png (the bodies over the photo, and from the side),
    result.json (joints, cameras, scores) and a mesh file for each person. Of an earlier result
    the files are replaced; what else lies in its folder stays. Joints and vertices plus translation_m
    are in the photo at focal_px * xy / z + principal_px.

    Each film gets overlay.mp4, result.json, and of each person over time person0.npz (joints, the body's
    pose and shape), person0.glb and person0.bvh (animated). Ctrl-C ends a film early, and keeps what is done.

    Of a folder summary.csv comes as well, with a line for each person, and for each photo that was refused.
    A batch that was broken off, in whatever way, goes on with --resume.

    Example: mpt reconstruct holiday.jpg dance.mp4 -o results
    Example: mpt reconstruct my_photos --recursive --resume -o results
    Example: mpt reconstruct --camera 0 --seconds 20
    """

    photos: Annotated[Positional[tuple[str, ...]], arg(metavar="PHOTO|FILM|FOLDER...")] = ()
    """The photos: JPEG, PNG, WebP, GIF, BMP or TIFF; - reads one from standard input. The films: MP4, MOV,
    MKV, WebM, AVI and others. A folder: all photos and films in it, or one film, of which it holds the frames
    (--folders)."""
    out: Out = Path("mpt-out")
    """Where the results go: DIR/<photo's or film's name>/, of a folder with its subfolders between; where
    more is named, DIR/<folder's name>/ holds them."""
    recursive: Annotated[bool, FlagCreatePairsOff] = False
    """Folders with all their subfolders, but for hidden ones and those that hold results."""
    folders: Literal["auto", "photos", "film"] = "auto"
    """What a folder is whose pictures are called alike but for their numbers. auto: a film's frames, where
    the numbers have no gaps and the pictures one size, no camera's EXIF, and each is like the next, but not
    the same; else photos, as of other folders."""
    resume: Annotated[bool, FlagCreatePairsOff] = False
    """Keep the results that are whole, and of the same photos (by their content) and options; do what is
    missing, half done or was refused."""
    summary: Annotated[bool, FlagCreatePairsOff] = False
    """Write DIR/summary.csv of photos that are named one by one as well; of folders, and with --resume, it
    always comes. It is of the last batch, and grows by whole lines."""
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
    up: Annotated[Literal["y", "z"] | None, arg(metavar="y|z")] = None
    """The axis of OBJ and PLY that points up; they stand on the floor then, as with --world, else they are in
    camera axes, y down. Blender's importers take OBJ as y up and PLY as z up where nothing is said. All
    other files are y up."""
    origin: Annotated[Literal["feet"] | None, arg(metavar="feet")] = None
    """feet: in each person's files the origin is on the floor between their own feet (of a film, of their
    first frame), in static GLB, OBJ and PLY as well; else it is below the middle of all people. They are no
    longer apart as they were photographed, but for everybody.glb."""
    bare: Bare = False
    names: Literal["anny", "mixamo"] = "anny"
    """What bones are called: the body's own names, or Mixamo's (with the bones that Mixamo has)."""
    scale: Literal["m", "cm"] = "m"
    """The unit of BVH. C3D is in millimetres, all else in metres."""
    overlay: bool = True
    """Do not draw the bodies over photos and films, which takes half of a photo's time and a third of a
    film's."""
    as_json: AsJson = False
    """Print one JSON array of the results on stdout, and nothing else there; what was refused is an entry
    with its error."""
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
    character: Annotated[Path | None, arg(metavar="FILE")] = None
    """Your own rigged character, .glb, .vrm or .gltf: each person of a film gets a copy that moves as they
    do, person0-character.glb; `mpt animate` has more options."""
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
        if self.up and not {"obj", "ply"} & set(self.format):
            raise InputError(
                f"--up {self.up} is of OBJ and PLY, and none is written: name one, as in --format glb "
                f"{'obj' if self.up == 'y' else 'ply'}, or leave --up out (GLB is always y up)"
            )
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
        return reconstruct_all(self, points, _loaded)


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


def _loaded(options: Reconstruct, search: bool) -> "Reconstructor":
    """As the options ask for; search: whether it is to find people itself."""
    from mpt.rigs.names import check_names
    from mpt.saving import check_feet

    reconstructor = _load(
        options.model, options.device, search=search, pose2d=options.pose2d, weights=options.weights
    )
    model = reconstructor.model
    check_names(options.names, two_sided=model.skeleton.two_sided, model=model.name)
    check_feet(options.origin, model.skeleton)
    return reconstructor


def _load(
    model: str,
    device: str = "auto",
    *,
    search: bool = True,
    pose2d: str = "auto",
    weights: Path | None = None,
) -> "Reconstructor":
    from mpt import assets
    from mpt.pose2d.finders import FINDERS, finder_for
    from mpt.recipes import networks
    from mpt.reconstructor import load
    from mpt.skeletons import begin_alike

    reconstructor = (networks.reconstructor if search and pose2d == "auto" else load)(model, device=device)
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
    bare: Bare = False

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        from mpt.batches.photo import Written, reconstruct_photo
        from mpt.demo import compare, scenes
        from mpt.export import is_our_png, write_picture
        from mpt.images import read_picture
        from mpt.saving import Saving
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
        written = Written(how=Saving(bare=self.bare))
        for scene in scenes(skeleton):
            photo = self.out / f"{scene.name}.png"
            check_output(photo, "picture", is_our_png)
            write_picture(photo, scene.image)
            folder = self.out / scene.name
            result, people = reconstruct_photo(photo, read_picture(photo), reconstructor, folder, written)
            print(summary_of(result, folder, skeleton.of))
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
