"""2D network and mesh transformer as one module: image -> heatmaps -> mesh, trained end to end (Section 3.3).

With ``inputs="patches"`` or ``"joints"`` gradients of the mesh flow through the heatmaps into the 2D network.
The paper's alternatives (Table 3): ``"features"`` hands the transformer the network's image features instead
of its heatmaps, those of all resolutions or those that its first head reads; ``"coordinates"`` hands it the
peaks' (x, y, score), through which no gradient is let: a detector's post-processing has none, so the network
learns from its own loss L_S alone.

Letters: N images, S their side, J heatmap joints of the transformer, J' those of them that the network draws.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpt.errors import InputError
from mpt.modeling.mesh_transformer import MeshPrediction, MeshTransformer
from mpt.pose2d.adapters import resize


class ImageToMeshOutput(NamedTuple):
    prediction: MeshPrediction
    heatmaps: tuple[Tensor, ...]  # (N, J', h, w) of each branch, coarse to fine, at its own resolution


class ImageToMesh(nn.Module):
    """A heatmap network followed by a mesh transformer.

    network: images (N, 3, S, S) -> maps (N, J+, h, w) of one or more branches, coarse to fine, of which the
    first channels are joints (further ones, such as HigherHRNet's tags, are left aside). Its
    ``final_layers[0]`` turns image features into the first maps; its ``levels`` end with those of all
    resolutions. HigherHRNet and SmallHeatmapNet are so.
    """

    places: Tensor
    channels: Tensor

    def __init__(
        self, network: nn.Module, transformer: MeshTransformer, drawn: Sequence[int] | None = None
    ) -> None:
        """drawn: for each joint that the transformer reads, which of the network's maps shows it, -1 for none
        (``mpt.skeletons.remap``): what nobody draws is an empty map. In the same order where not given.

        Raises InputError for image features of another width than the transformer's, or no square grid.
        """
        super().__init__()
        self.network, self.transformer = network, transformer
        shown = torch.as_tensor(range(transformer.joint_count) if drawn is None else drawn)
        self.register_buffer("places", (shown >= 0).nonzero()[:, 0], persistent=False)
        self.register_buffer("channels", shown[shown >= 0], persistent=False)
        config = transformer.config
        self.grid = math.isqrt(config.feature_tokens)
        if config.feature_global:
            width = sum(channels for _, channels in network.levels)
        else:
            width = network.final_layers[0].in_channels
        if config.inputs == "features" and (
            config.feature_channels != width or self.grid**2 != config.feature_tokens or not self.grid
        ):
            raise InputError(
                f"the transformer reads {config.feature_tokens} image features of {config.feature_channels} "
                f"channels, but this 2D network has {width} channels: set feature_channels={width} and "
                "feature_tokens to a square number"
            )

    def forward(
        self,
        images: Tensor,
        *,
        rows: Tensor | None = None,
        mask_queries: float = 0.0,
        further: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ImageToMeshOutput:
        """(N, 3, S, S) normalised images -> mesh and heatmaps; options as in :class:`MeshTransformer`."""
        seen, maps = self.see(images)
        prediction = self.transformer(
            seen, rows=rows, mask_queries=mask_queries, further=further, generator=generator
        )
        return ImageToMeshOutput(prediction, maps)

    def see(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the transformer reads of images, and each branch's maps of its joints."""
        features, maps = self._look(images)
        match self.transformer.config.inputs:
            case "features":
                return torch.cat([F.adaptive_avg_pool2d(part, self.grid) for part in features], 1), maps
            case "coordinates":
                return self.transformer.prepare(self._shown(maps).detach()), maps
            case _:
                return self.transformer.prepare(self._shown(maps)), maps

    def train(self, mode: bool = True) -> "ImageToMesh":
        """A frozen part stays as in use: no dropout, and its batch statistics do not move."""
        super().train(mode)
        for part in (self.network, self.transformer):
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def _look(self, images: Tensor) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Image features, of each resolution or what the first head reads, and the joints' maps by branch."""
        read: list[Tensor] = []
        if self.transformer.config.feature_global:
            ends = [level for level, _ in self.network.levels]
            taps = [end.register_forward_hook(lambda *called: read.append(called[-1])) for end in ends]
        else:
            head = self.network.final_layers[0]
            taps = [head.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))]
        try:
            branches = self.network(images)
        finally:
            for tap in taps:
                tap.remove()
        return read, tuple(maps[:, self.channels].float() for maps in branches)

    def _shown(self, maps: Sequence[Tensor]) -> Tensor:
        """What the transformer reads: as at test time, where a ``Pose2D`` gives maps in [0, 1]."""
        drawn = resize(merge(maps), self.transformer.config.heatmap_size).clamp(0, 1)
        if len(self.places) == self.transformer.joint_count:
            return drawn
        shown = drawn.new_zeros(len(drawn), self.transformer.joint_count, *drawn.shape[2:])
        return shown.index_copy(1, self.places, drawn)


def merge(branches: Sequence[Tensor]) -> Tensor:
    """Maps (N, J, h, w) of several resolutions -> their mean at the finest, the last one's."""
    size = branches[-1].shape[-1]
    return torch.stack([resize(maps, size) for maps in branches]).mean(0)
