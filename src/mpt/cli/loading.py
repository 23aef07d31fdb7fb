"""A reconstructor as options ask for it."""

from pathlib import Path
from typing import TYPE_CHECKING

from mpt.errors import InputError

if TYPE_CHECKING:
    from mpt.reconstructor import Reconstructor


def reconstructor(
    model: str,
    device: str = "auto",
    *,
    search: bool = True,
    pose2d: str = "auto",
    weights: Path | None = None,
) -> "Reconstructor":
    """As the command line asks for; ``search``: whether it is to find people itself."""
    from mpt import assets
    from mpt.pose2d.finders import FINDERS, finder_for
    from mpt.recipes import networks
    from mpt.reconstructor import load
    from mpt.skeletons import begin_alike

    made = (networks.reconstructor if search and pose2d == "auto" else load)(model, device=device)
    finder = finder_for(made.model.skeleton, made.model.name)
    if pose2d in FINDERS and not begin_alike(FINDERS[pose2d].skeleton, FINDERS[finder].skeleton):
        raise InputError(
            f"--pose2d {pose2d} finds those with the joints of {FINDERS[pose2d].skeleton.name}, the model "
            f"{made.model.name} reads {made.model.skeleton.name}: take {finder}, or auto"
        )
    finder = pose2d if pose2d in FINDERS else finder
    if search:
        for asset in FINDERS[finder].assets:
            assets.get(asset)  # once for all photos, and before the first
    if weights is not None:
        from mpt.pose2d.higher_hrnet import HigherHRNetPose

        size, where = made.heatmap_size, made.model.transformer.template_joints.device
        made.pose2d = HigherHRNetPose(weights, heatmap_size=size, device=where)
    elif pose2d in FINDERS:
        made.pose2d = FINDERS[finder](heatmap_size=made.heatmap_size)
    return made
