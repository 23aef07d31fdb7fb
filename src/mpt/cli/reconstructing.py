"""``mpt reconstruct``: photos and films -> folders of bodies."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpt.cli import loading
from mpt.cli.batches import reconstruct_all
from mpt.cli.common import check_folder
from mpt.cli.options import ReconstructOptions
from mpt.errors import InputError

if TYPE_CHECKING:
    from mpt.pose2d.keypoints import KeypointFile
    from mpt.reconstructor import Reconstructor


@dataclass(frozen=True)
class Reconstruct(ReconstructOptions):
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


def _keypoint_file(options: ReconstructOptions) -> "KeypointFile | None":
    if options.keypoints is None:
        if options.pose2d == "keypoints":
            raise InputError("--pose2d keypoints takes 2D joints from a file: name it with --keypoints FILE")
        return None
    from mpt import checkpoint
    from mpt.pose2d import keypoints

    return keypoints.read(options.keypoints, checkpoint.load(options.model).skeleton)


def _check_pose2d(options: ReconstructOptions) -> None:
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


def _loaded(options: ReconstructOptions, search: bool) -> "Reconstructor":
    """As the options ask for; search: whether it is to find people itself."""
    from mpt.rigs.names import check_names
    from mpt.saving import check_feet

    reconstructor = loading.reconstructor(
        options.model, options.device, search=search, pose2d=options.pose2d, weights=options.weights
    )
    model = reconstructor.model
    check_names(options.names, two_sided=model.skeleton.two_sided, model=model.name)
    check_feet(options.origin, model.skeleton)
    return reconstructor
