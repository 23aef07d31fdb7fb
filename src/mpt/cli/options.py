"""What ``mpt reconstruct`` is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from mpt.cli.common import AsJson, Bare, Device, ModelName, Out

Formats = tuple[Literal["glb", "bvh", "fbx", "obj", "ply", "npz", "trc", "c3d", "csv"], ...]


@dataclass(frozen=True)
class ReconstructOptions:
    """Photos, films and folders of them, and how they are done."""

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
