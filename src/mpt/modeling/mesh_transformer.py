"""The mesh regression transformer: heatmaps -> 3D joints, mesh, weak-perspective camera (Section 3.1, 3.4).

Tokens are joint queries, coarse vertex queries and what is seen. What is seen may be the paper's 8 x 8
patches of the stacked heatmaps, or one token for each joint's map, or 2D coordinates, or image features (the
paper's alternatives, Table 3). With one token for each joint, seen and query are one, and the vertices are
read out of the joints: 17 tokens instead of 1,232.

Letters: N samples, J heatmap joints, K output joints, C coarse vertices, V full vertices, T tokens, D width,
S heatmap size.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpt.bodies import Body
from mpt.heatmaps import decode, marginals
from mpt.modeling.attention import EncoderLayer, Norm
from mpt.modeling.once import Once, settled
from mpt.modeling.upsampling import DenseUpsampler, SparseUpsampler

Inputs = Literal["patches", "joints", "coordinates", "features"]


@dataclass(frozen=True)
class MeshTransformerConfig:
    """The paper's sizes by default; a skeleton's heatmap joints are its output joints too."""

    inputs: Inputs = "patches"
    """What a token is: a patch of all maps (paper), one joint's map or its (x, y, score), image features."""
    hidden: tuple[int, ...] = (1024, 256, 64)
    """Width of each encoder block."""
    layers: int = 4
    """Transformer layers in each block."""
    heads: int = 4
    ffn_ratio: float = 2.0
    dropout: float = 0.1
    norm: Norm = "post"
    coarse_vertices: int = 431
    upsampler: Literal["dense", "sparse"] = "dense"
    vertex_queries: bool = True
    """Vertices as tokens of the encoder (paper), or read out of the joint tokens by one matrix product."""
    heatmap_size: int = 224
    patch_size: int = 8
    feature_channels: int = 0
    """Channels of the image features, for ``inputs="features"``."""
    feature_tokens: int = 0
    """Grid cells of the image features."""
    feature_global: bool = False
    """As in METRO and Mesh Graphormer: the features of all the 2D network's resolutions, and their mean over
    the grid joined to every query. Otherwise those that its first head reads, in the grid's tokens alone.
    """
    readout: int = 0
    """Without vertex queries: how narrow the joint tokens are made before vertices are read out of them all;
    0: as wide as they are."""
    gravity: bool = False
    """Which way is up is said too, and how sure that is."""
    spread: bool = False
    """How far each joint may be off is said too."""
    skip_below: float = 0.0
    """Patches: values of heatmaps under this read as zero, and patches that then hold nothing are left out,
    in training as in use; 0 reads all."""


PAPER = MeshTransformerConfig(skip_below=0.02)
"""The paper's sizes. That empty patches, most of 784, are left out is ours; ``skip_below=0`` reads all."""

SIZES = 16
"""To how many counts of tokens those that are kept are rounded up."""

SMALL = MeshTransformerConfig(
    inputs="joints",
    hidden=(192,),
    layers=4,
    dropout=0.0,
    norm="pre",
    upsampler="sparse",
    vertex_queries=False,
    heatmap_size=112,
)


class MeshPrediction(NamedTuple):
    """Metres in the camera's axes, about the mid-hip; the camera as in ``cameras.weak_perspective``."""

    joints: Tensor  # (N, K, 3)
    coarse: Tensor  # (N, C, 3)
    vertices: Tensor  # (N, V, 3), or those rows that were asked for
    regressed: Tensor  # (N, K, 3) joints of the full mesh, by the body's regressor
    camera: Tensor  # (N, 3): s, tx, ty
    further: Tensor  # (N, R, 3) joints of the full mesh by another regressor; R is 0 where none was given
    joints_std: Tensor | None = None  # (N, K) of ``regressed`` along an axis: BALL of it holds 68 % of errors
    up: Tensor | None = None  # (N, 3) unit vector
    up_std: Tensor | None = None  # (N,) radians, about an axis across it: DISC of it holds 68 % of errors

    @property
    def parts(self) -> list[Tensor]:
        """All that the model says."""
        return [part for part in self if part is not None]


class Heads(NamedTuple):
    """What is read out of the tokens. A spread becomes a standard deviation by :func:`_spread`."""

    joints: Tensor  # (N, K, 3)
    coarse: Tensor  # (N, C, 3)
    camera: Tensor  # (N, 3)
    spread: Tensor | None  # (N, K)
    up: Tensor | None  # (N, 3) a vector of any length
    up_spread: Tensor | None  # (N,)


BALL = 1.873
"""Standard deviations along an axis within which 68 % of a Gaussian's points in space lie."""

DISC = 1.510
"""... and of its points in a plane."""


class MeshTransformer(nn.Module):
    """See the module's docstring. Made for a body by :meth:`for_body`, or from a checkpoint.

    The camera is read out of the joints' tokens. METRO's lineage reads it out of the predicted coarse
    vertices, which stay the same when the crop is shifted or scaled and the camera does not.
    """

    template_joints: Tensor
    template_coarse: Tensor
    regressor: Tensor
    spread_scale: Tensor  # (K,) by how much ``joints_std`` is corrected, and
    up_scale: Tensor  # () ``up_std``: measured on poses kept apart (mpt.recipes.calibration)

    def __init__(
        self,
        config: MeshTransformerConfig,
        template_joints: Tensor,
        template_coarse: Tensor,
        near: Tensor,
        weight: Tensor,
        regressor: Tensor,
        middle_vertices: tuple[int, ...] = (),
    ) -> None:
        """``template_joints`` (K, 3) and ``template_coarse`` (C, 3): the rest pose, y down, about the
        mid-hip, metres; ``near`` and ``weight`` (V, k): each full vertex from its nearest coarse ones;
        ``regressor`` (K, V): the paper's G; ``middle_vertices``: of the meshes between coarse and full, which
        the dense upsampler goes by.
        """
        super().__init__()
        self.config = config
        self.skipping = True  # a graph of fixed size hides empty patches from attention instead
        self.joint_count, self.coarse_count = len(template_joints), len(template_coarse)
        self.register_buffer("template_joints", template_joints.float())
        self.register_buffer("template_coarse", template_coarse.float())
        self.register_buffer("regressor", regressor.float())
        joints, size = self.joint_count, config.heatmap_size

        match config.inputs:
            case "patches":
                self.seen_count = (size // config.patch_size) ** 2
                seen_width = joints * config.patch_size**2
            case "joints":
                self.seen_count, seen_width = joints, 2 * size + _SUMMARY
            case "coordinates":
                self.seen_count, seen_width = joints, 3
            case "features":
                self.seen_count, seen_width = config.feature_tokens, config.feature_channels

        first, last = config.hidden[0], config.hidden[-1]
        self.see = nn.Sequential(nn.Linear(seen_width, first), nn.GELU(), nn.Linear(first, first))
        self.merged = config.inputs in ("joints", "coordinates")  # query and what is seen of it: one token
        self.joint_query = nn.Linear(3, first)
        self.whole_image = config.inputs == "features" and config.feature_global
        if self.whole_image:  # a Linear over xyz and the image's vector joined is the sum of one over each
            self.image_query = nn.Linear(config.feature_channels, first, bias=False)
        tokens = joints if self.merged else joints + self.seen_count
        if config.vertex_queries:
            self.vertex_query = nn.Linear(3, first)
            self.masked_query = nn.Parameter(0.02 * torch.randn(first))
            tokens += self.coarse_count
        self.blocks = nn.ModuleList()
        width = first
        for hidden in config.hidden:
            self.blocks.append(_Block(width, hidden, tokens, config))
            width = hidden
        self.final_norm = nn.LayerNorm(last) if config.norm == "pre" else nn.Identity()

        self.to_joint = nn.Linear(last, 3)
        self.to_camera = nn.Linear(joints * last, 3)
        if config.vertex_queries:
            self.to_vertex = nn.Linear(last, 3)
        else:
            width = config.readout or last
            self.narrow = (
                nn.Sequential(nn.Linear(last, width), nn.GELU()) if config.readout else nn.Identity()
            )
            self.read_vertices = nn.Linear(joints * width, self.coarse_count * 3)
        if config.spread:
            self.to_spread = nn.Linear(last, 1)
            self.register_buffer("spread_scale", torch.ones(joints))
        if config.gravity:
            self.to_up, self.to_up_spread = nn.Linear(joints * last, 3), nn.Linear(joints * last, 1)
            self.register_buffer("up_scale", torch.ones(()))
        self.upsample = (
            SparseUpsampler(near, weight)
            if config.upsampler == "sparse"
            else DenseUpsampler(self.coarse_count, middle_vertices, len(near))
        )
        self._joints_of_coarse = Once()
        self._start_at_the_template()

    @classmethod
    def for_body(cls, body: Body, config: MeshTransformerConfig) -> "MeshTransformer":
        """A fresh transformer for a body's joints, template and vertices."""
        rest = body.rest(body.template.new_zeros(1, body.shape_count))
        down = torch.tensor([1.0, -1.0, -1.0])  # from the body's axes to those of a camera in front of it
        joints = rest.joints[0]
        root = joints[body.skeleton.root].mean(0)
        coarse = body.coarsened(config.coarse_vertices)
        vertices = rest.vertices[0, coarse.index]
        return cls(
            config,
            (joints - root) * down,
            (vertices - root) * down,
            coarse.near,
            coarse.weight,
            body.regressor.to_dense(),
            tuple(len(finer) for finer in body.coarse if len(finer) > len(coarse)),
        )

    def prepare(self, maps: Tensor) -> Tensor:
        """Heatmaps (N, J, S, S) -> what :meth:`forward` reads. Differentiable for patches and joints."""
        match self.config.inputs:
            case "joints":
                return marginals(maps)
            case "coordinates":
                x, y, score = decode(maps).unbind(-1)
                size = self.config.heatmap_size
                return torch.stack([(2 * x + 1) / size - 1, (2 * y + 1) / size - 1, score], -1)
        return maps

    def forward(
        self,
        seen: Tensor,
        *,
        rows: Tensor | None = None,
        mask_queries: float = 0.0,
        further: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> MeshPrediction:
        """Predict.

        seen: patches: heatmaps (N, J, S, S); joints: marginals (N, J, 2, S); coordinates: (N, J, 3) x and y
        in the crop's [-1, 1] and the score; features: (N, channels, h, w).
        rows: full vertices to predict, all where None.
        mask_queries: masked vertex modelling (training): int(U(0, 1) * this * count) of the joint queries and
        of the vertex queries are replaced by one learned vector.
        further: (R, V) regressor of other joints, wanted too.
        """
        heads = self._heads(self._encode(seen, mask_queries, generator))
        return self._mesh(heads, rows, further)

    def joints_of_coarse(self) -> Tensor:
        """(K, C): the joints of the full mesh that a coarse one becomes."""
        assert isinstance(self.upsample, SparseUpsampler)
        return self._folded(self.upsample).detach().clone()

    def look_twice(self, maps: Tensor, rows: Tensor | None = None) -> MeshPrediction:
        """Heatmaps (N, J, S, S), as they are and mirrored -> the average of the two predictions.

        What has no two sides (a hand) is looked at once. ``rows``: full vertices to predict, all where None.
        """
        if self._mirrors is None:
            return self(self.prepare(maps), rows=rows)
        joint_mirror, coarse_mirror = self._mirrors
        seen = self.prepare(maps)
        tokens = self._encode(torch.cat([seen, self._mirrored(seen)[:, joint_mirror]]))
        heads = self._heads(tokens)
        one, other = (Heads(*(h if h is None else h.unflatten(0, (2, -1))[i] for h in heads)) for i in (0, 1))
        back = one.joints.new_tensor([-1.0, 1.0, 1.0])
        mirror = Heads(
            back * other.joints[:, joint_mirror],
            back * other.coarse[:, coarse_mirror],
            back.roll(1) * other.camera,
            None if other.spread is None else other.spread[:, joint_mirror],
            None if other.up is None else back * other.up,
            other.up_spread,
        )
        return self._mesh(Heads(*(a if a is None else (a + b) / 2 for a, b in zip(one, mirror))), rows)

    def _mirrored(self, seen: Tensor) -> Tensor:
        """What :meth:`prepare` would make of mirrored maps; the joints stand in the order that they had."""
        match self.config.inputs:
            case "joints":
                return torch.stack([seen[:, :, 0].flip(-1), seen[:, :, 1]], 2)
            case "coordinates":
                return seen * seen.new_tensor([-1.0, 1.0, 1.0])
        return seen.flip(-1)

    @property
    def taught_by_mocap_alone(self) -> list[nn.Module]:
        """What says where up is and how sure the rest is: photos' truths tell neither."""
        names = ("to_spread", "to_up", "to_up_spread")
        return [getattr(self, name) for name in names if hasattr(self, name)]

    @cached_property
    def _mirrors(self) -> tuple[Tensor, Tensor] | None:
        """For each joint, and each coarse vertex, the one across the template's plane of symmetry, if any."""
        templates = (self.template_joints, self.template_coarse)
        apart, across = zip(*(torch.cdist(t * t.new_tensor([-1.0, 1.0, 1.0]), t).min(1) for t in templates))
        size = self.template_joints.std(0).norm()
        return across if all(gap.mean() < 0.1 * size for gap in apart) else None

    def _encode(
        self,
        seen: Tensor,
        mask_queries: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """What is seen -> tokens (N, T, D) of the last block: joints, then vertices, then what is seen."""
        config = self.config
        seen_tokens, place, real = self._seen_tokens(seen)
        n = seen_tokens.shape[0]
        parts = [self.joint_query(self.template_joints)]
        if config.vertex_queries:
            parts.append(self.vertex_query(self.template_coarse))
        parts = [part.expand(n, -1, -1) for part in parts]
        if self.whole_image:
            image = self.image_query(seen.mean((-2, -1)))[:, None]
            parts = [part + image for part in parts]
        if config.vertex_queries and mask_queries:
            parts = [self._mask(part, mask_queries, generator) for part in parts]
        queries = torch.cat(parts, 1)
        if self.merged:
            joints = self.joint_count
            tokens = torch.cat([queries[:, :joints] + seen_tokens, queries[:, joints:]], 1)
        else:
            tokens = torch.cat([queries, seen_tokens], 1)
        positions = keep = None
        if place is not None:
            of_queries = torch.arange(queries.shape[1], device=place.device).expand(n, -1)
            positions = torch.cat([of_queries, queries.shape[1] + place], 1)
        if real is not None:
            keep = torch.cat([real.new_ones(queries.shape[:2]), real], 1)

        for block in self.blocks:
            tokens = block(tokens, positions, keep)
        return self.final_norm(tokens)

    def _heads(self, tokens: Tensor) -> Heads:
        """What tokens (N, T, D) of the last block say. Spreads learn from the tokens, not these from them."""
        config = self.config
        with torch.autocast(tokens.device.type, enabled=False):  # bfloat16 would round metres by millimetres
            tokens = tokens.to(self.to_joint.weight.dtype)
            of_joints = tokens[:, : self.joint_count]
            flat = of_joints.flatten(1)
            if config.vertex_queries:
                coarse = self.to_vertex(tokens[:, self.joint_count : self.joint_count + self.coarse_count])
            else:
                coarse = self.read_vertices(self.narrow(of_joints).flatten(1)).unflatten(1, (-1, 3))
            spread = self.to_spread(of_joints.detach())[..., 0] if config.spread else None
            up = self.to_up(flat) if config.gravity else None
            up_spread = self.to_up_spread(flat.detach())[:, 0] if config.gravity else None
            return Heads(self.to_joint(of_joints), coarse, self.to_camera(flat), spread, up, up_spread)

    def _mesh(
        self, heads: Heads, rows: Tensor | None = None, further: Tensor | None = None
    ) -> MeshPrediction:
        """The coarse mesh made full, or those rows of it, and the joints that the full mesh has."""
        joints, coarse, camera, spread, up, up_spread = heads
        with torch.autocast(coarse.device.type, enabled=False):
            vertices = self.upsample(coarse, rows)
            regressed = self._regressed(coarse, vertices if rows is None else None)
            others = coarse[:, :0] if further is None else self.upsample.regressed(coarse, further)
        said = MeshPrediction(*(p.float() for p in (joints, coarse, vertices, regressed, camera, others)))
        if spread is not None:
            said = said._replace(joints_std=_spread(spread.float(), TYPICAL_M) * self.spread_scale)
        if up is not None and up_spread is not None:
            up_std = _spread(up_spread.float(), TYPICAL_RAD) * self.up_scale
            said = said._replace(up=F.normalize(up.float(), dim=-1), up_std=up_std)
        return said

    def _regressed(self, coarse: Tensor, vertices: Tensor | None) -> Tensor:
        """(N, K, 3) joints of the full mesh, of which all ``vertices`` (N, V, 3) are there, or only some."""
        upsample = self.upsample
        if isinstance(upsample, SparseUpsampler) and settled((upsample.change, self.regressor)):
            sources = upsample.start, upsample.change, self.regressor
            return self._joints_of_coarse(lambda: self._folded(upsample), sources) @ coarse
        if vertices is None:
            return upsample.regressed(coarse, self.regressor)
        return torch.einsum("kv,nvc->nkc", self.regressor, vertices)

    def _folded(self, upsample: SparseUpsampler) -> Tensor:
        """(K, C); summed in double precision, for thousands of vertices make a joint."""
        return upsample.folded(self.regressor.double(), self.coarse_count).to(self.regressor.dtype)

    def kept_tokens(self, maps: Tensor) -> int:
        """How many patch tokens a batch of heatmaps (N, J, S, S) takes: as many as its fullest sample keeps,
        rounded up to a sixteenth of all, so that a compiled graph meets few sizes.
        """
        if not self.config.skip_below:
            return self.seen_count
        return self._rounded_up(self._patches(maps).amax(-1) >= self.config.skip_below)

    @torch.compiler.disable  # it waits for the device
    def _rounded_up(self, real: Tensor) -> int:
        step = math.ceil(self.seen_count / SIZES)
        return min(step * max(math.ceil(int(real.sum(1).max()) / step), 1), self.seen_count)

    def _patches(self, maps: Tensor) -> Tensor:
        """(N, J, S, S) -> (N, T, J * p * p), rows of patches one after another."""
        p = self.config.patch_size
        n, joints, height, width = maps.shape
        cut = maps.reshape(n, joints, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
        return cut.flatten(3).flatten(1, 2)

    def _seen_tokens(self, seen: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Tokens (N, T, D) of what is seen; where empty patches are skipped, the place of each token (N, T),
        None where all are there, and which of them are real (N, T), None where all are.
        """
        match self.config.inputs:
            case "joints":
                return self.see(_describe(seen)), None, None
            case "coordinates":
                return self.see(seen), None, None
            case "features":
                return self.see(seen.flatten(2).mT), None, None
        if not self.config.skip_below:
            return self.see(self._patches(seen)), None, None
        patches = self._patches(torch.where(seen >= self.config.skip_below, seen, 0.0))
        real = patches.amax(-1) > 0  # (N, T)
        if not self.skipping:
            return self.see(patches), None, real
        count = self._rounded_up(real)
        place = real.int().sort(dim=1, descending=True, stable=True).indices[:, :count]  # in their order
        patches = patches.gather(1, place[..., None].expand(-1, -1, patches.shape[-1]))
        return self.see(patches), place, real.gather(1, place)

    def _mask(self, queries: Tensor, ratio: float, generator: torch.Generator | None) -> Tensor:
        n, count, _ = queries.shape
        u = torch.rand(n, 1 + count, generator=generator, device=queries.device)
        masked = u[:, 1:].argsort(1).argsort(1) < (u[:, :1] * ratio * count).floor()
        return torch.where(masked[..., None], self.masked_query.to(queries.dtype), queries)

    @torch.no_grad()
    def _start_at_the_template(self) -> None:
        """Start near the mean: vertices that are read out at the rest pose, a camera that frames it."""
        if not self.config.vertex_queries:
            self.read_vertices.bias.copy_(self.template_coarse.flatten())
            self.read_vertices.weight.mul_(0.1)
        self.to_camera.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
        self.to_camera.weight.mul_(0.1)
        if self.config.gravity:
            self.to_up.bias.copy_(torch.tensor([0.0, -1.0, 0.0]))


TYPICAL_M, TYPICAL_RAD = 0.05, 0.2
"""Standard deviations before anything is learned."""


def _spread(raw: Tensor, typical: float) -> Tensor:
    """Any numbers -> standard deviations within a factor of twelve of a typical one."""
    return typical * (2.5 * (raw / 2.5).tanh()).exp()


class _Block(nn.Module):
    """Encoder layers of one width: Linear in, learned positions, layers, a Linear residual over them all."""

    def __init__(self, width_in: int, width: int, tokens: int, config: MeshTransformerConfig) -> None:
        super().__init__()
        self.into = nn.Linear(width_in, width)
        self.residual = nn.Linear(width_in, width)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.layers = nn.ModuleList(
            EncoderLayer(width, config.heads, config.ffn_ratio, config.dropout, config.norm)
            for _ in range(config.layers)
        )

    def forward(self, x: Tensor, positions: Tensor | None, keep: Tensor | None) -> Tensor:
        """(N, T, width in) -> (N, T, width). ``positions`` (N, T): places in the table, all in order where
        None; ``keep`` (N, T): tokens that may be looked at, all where None.
        """
        y = self.into(x) + (self.position if positions is None else F.embedding(positions, self.position))
        for layer in self.layers:
            y = layer(y, keep)
        return y + self.residual(x)


_SUMMARY = 6


def _describe(marginals: Tensor) -> Tensor:
    """Marginals (N, J, 2, S) -> (N, J, 2 S + 6): each as a distribution, with its centre, spread and mass.

    The centre is that of the squared marginal, which a low floor or a weak second peak hardly moves.
    """
    size = marginals.shape[-1]
    at = (2 * torch.arange(size, device=marginals.device, dtype=marginals.dtype) + 1) / size - 1
    mass = marginals.sum(-1, keepdim=True)
    sharp = marginals.square()
    sharp = sharp / (sharp.sum(-1, keepdim=True) + 1e-6)
    center = (sharp * at).sum(-1, keepdim=True)
    spread = ((sharp * at.square()).sum(-1, keepdim=True) - center.square()).clamp_min(1e-12).sqrt()
    distribution = marginals * (size / 16) / (mass + 1e-3 * size)
    height = marginals.amax(-1) / size * 32
    summary = torch.cat([center, 16 * spread], -1).flatten(2)
    return torch.cat([distribution.flatten(2), summary, height], -1)
