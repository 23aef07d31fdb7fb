"""2D networks that are trained here: built, and kept beside the transformer that reads their maps."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from mpt.checkpoint import UNFIT, read_whole, unfit
from mpt.errors import InputError
from mpt.modeling.image_to_mesh import merge
from mpt.pose2d import higher_hrnet
from mpt.pose2d.adapters import Detector, TopDown
from mpt.pose2d.base import Pose2D
from mpt.pose2d.higher_hrnet import HigherHRNet
from mpt.pose2d.small import SmallHeatmapNet
from mpt.reconstructor import Reconstructor
from mpt.reconstructor import load as load_reconstructor
from mpt.skeletons import COCO17, COCO29, HAND21, Skeleton
from mpt.writing import write_whole

FORMAT = "mpt-pose2d-1"
FILE = "pose2d.safetensors"


@dataclass(frozen=True)
class NetworkConfig:
    """Which 2D network; the paper's by default."""

    kind: Literal["higher-hrnet", "small"] = "higher-hrnet"
    width: int = 48
    """Channels of its finest branch: HigherHRNet 32 or 48, the small network 24."""
    input_size: int = 224
    """Side of the picture that it sees, pixels; a multiple of 32."""
    joints: int = 17
    """Maps that it draws: COCO's 17; 29 with feet and hands, or a hand's 21, whose heads are then of random
    weights. A transformer of more joints finds the other maps empty."""
    std_cells: float = 2.0
    """Standard deviation of the blobs that it learns to draw, in cells of its own maps."""

    @property
    def skeleton(self) -> Skeleton:
        """Whose joints the maps show."""
        return next((known for known in (COCO29, HAND21) if len(known) == self.joints), COCO17)


def build(config: NetworkConfig, weights: str | os.PathLike | None = None) -> nn.Module:
    """The network: of random weights, a run of fine-tuning's, or those of an official HigherHRNet file.

    Raises InputError for weights that are none of this network.
    """
    if weights is not None and tuned_here(weights):
        network, found = load(weights)
        theirs, ours = (f"{c.kind} of width {c.width} and {c.joints} joints" for c in (found, config))
        if theirs != ours:
            raise InputError(
                f"{weights}: its 2D network is {theirs}, this experiment's {ours}; give one alike"
            )
        return network
    if config.kind == "higher-hrnet":
        if weights is None:
            return HigherHRNet(config.width, config.joints)
        return higher_hrnet.load(weights, width=config.width, joints=config.joints)
    if weights is not None:
        raise InputError(
            f"{weights}: holds no small 2D network, which this experiment has; give a run folder of "
            "`mpt finetune` with one"
        )
    return SmallHeatmapNet(config.width, config.joints)


def save(path: str | os.PathLike, network: nn.Module, config: NetworkConfig) -> None:
    """Write a network's file whole or not at all, in full precision: batch statistics bear no less."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    header = {"format": FORMAT, "network": asdict(config)}
    write_whole(path, save_tensors(tensors, metadata={"mpt": json.dumps(header)}))


def load(run: str | os.PathLike) -> tuple[nn.Module, NetworkConfig]:
    """The 2D network of a run folder. Raises InputError where there is none, or a broken one."""
    path = Path(run) / FILE
    tensors, header = read_whole(path, FORMAT)
    try:
        config = NetworkConfig(**header["network"])
        network = build(config)
        network.load_state_dict(tensors)
    except UNFIT as error:
        raise unfit(path, error, "fine-tune") from error
    return network, config


def tuned_here(model: str | os.PathLike) -> bool:
    """Whether a model is a run folder that holds its own 2D network."""
    return (Path(model) / FILE).is_file()


def tuned_pose2d(
    run: str | os.PathLike,
    heatmap_size: int,
    *,
    detector: Detector | None = None,
    device: torch.device | str = "cpu",
) -> TopDown:
    """The fine-tuned 2D network of a run folder as a ``Pose2D``, on those whom a detector finds."""
    network, config = load(run)
    network = network.to(device).eval().requires_grad_(False)
    return as_pose2d(network, config, heatmap_size, detector=detector, device=device)


def as_pose2d(
    network: nn.Module,
    config: NetworkConfig,
    heatmap_size: int,
    *,
    detector: Detector | None = None,
    device: torch.device | str = "cpu",
) -> TopDown:
    """A network as it is now, on ``device``, as a ``Pose2D``."""
    return TopDown(
        _Maps(network, config.joints),
        detector=detector,
        skeleton=config.skeleton,
        input_size=config.input_size,
        heatmap_size=heatmap_size,
        device=device,
    )


@dataclass(frozen=True, eq=False)
class _Maps:
    """The maps of the first joints, of all of a network's branches."""

    network: nn.Module
    joints: int

    def __call__(self, images: Tensor) -> Tensor:
        return merge([branch[:, : self.joints] for branch in self.network(images)])


def reconstructor(
    model: str | os.PathLike = "mpt-small", *, device: str = "auto", pose2d: Pose2D | None = None
) -> Reconstructor:
    """A reconstructor, by the name of a model that comes with mpt, a model file, or a run folder.

    device: "auto" is CUDA where there is one; else as torch names it.
    pose2d: finds people and draws their heatmaps. Without it, the 2D network that was fine-tuned with the
        model, where its run folder holds one, on the people that BlazePose finds; else BlazePose itself.

    Raises:
        InputError: no such model, a broken one, one of image features, no such device.
    """
    made = load_reconstructor(model, device=device, pose2d=pose2d)
    if pose2d is None and tuned_here(model):
        where = made.model.transformer.template_joints.device
        made.pose2d = tuned_pose2d(model, made.heatmap_size, device=where)
    return made
