"""Weights with all that inference needs: config, skeleton, template, faces, regressor, heatmap settings.

One safetensors file; its JSON header is the model's card in brief. Never pickle. Weights are in half
precision, what they are applied to (faces, template, regressor) is exact.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from mpt.errors import InputError
from mpt.modeling.mesh_transformer import MeshTransformer, MeshTransformerConfig
from mpt.modeling.temporal import TemporalConfig, TemporalTransformer
from mpt.modeling.upsampling import middle_sizes
from mpt.skeletons import SKELETONS, Skeleton
from mpt.writing import write_whole

FORMAT = "mpt-model-1"
TEMPORAL_FORMAT = "mpt-temporal-1"
TEMPORAL = ("mpt-video",)  # of the names that come with mpt


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A transformer ready for use, and what its outputs are."""

    name: str
    transformer: MeshTransformer
    skeleton: Skeleton
    faces: Tensor  # (F, 3)
    body: str
    body_hash: str
    info: dict  # how it was trained and how good it is

    def __repr__(self) -> str:
        millions = sum(weights.numel() for weights in self.transformer.parameters()) / 1e6
        return f"<model {self.name}: {millions:.1f} M weights, {self.skeleton.name} -> meshes of {self.body}>"


def save(
    path: str | os.PathLike,
    transformer: MeshTransformer,
    *,
    faces: Tensor,
    skeleton: Skeleton,
    body: str,
    body_hash: str,
    info: dict | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a model file whole or not at all."""
    tensors = _stored(transformer, dtype) | {"faces": faces.int().cpu().contiguous()}
    _write(path, FORMAT, tensors, transformer.config, skeleton, body, body_hash, info)


def load(model: str | os.PathLike = "mpt-small", device: torch.device | str = "cpu") -> Model:
    """The model of that name in the package, or of that file (or run folder), ready for inference.

    Raises InputError for a file that is missing, cut short, no model, or of another version.
    """
    path = find(model)
    tensors, header = read_whole(path, FORMAT)
    try:
        skeleton = SKELETONS[header["skeleton"]]
        faces = tensors.pop("faces").long()
        transformer = _built(_config(header["config"], len(tensors)), tensors)
        if len(skeleton) != transformer.joint_count:
            raise ValueError(f"{transformer.joint_count} joints on a skeleton of {len(skeleton)}")
        _check_indices("faces", faces, tensors["regressor"].shape[1])
        body, body_hash = (typed(header[name], str, name) for name in ("body", "body_hash"))
        info = dict(header["info"])
    except UNFIT as error:
        raise unfit(path, error, "pre-train") from error
    return Model(
        name=path.stem if path.parent.name == "data" else str(model),
        transformer=transformer.to(device).eval().requires_grad_(False),
        skeleton=skeleton,
        faces=faces,
        body=body,
        body_hash=body_hash,
        info=info,
    )


@dataclass(frozen=True)
class TemporalModel:
    """A temporal transformer ready for use; the rest as in Model."""

    name: str
    transformer: TemporalTransformer
    skeleton: Skeleton
    body: str
    body_hash: str
    info: dict


def save_temporal(
    path: str | os.PathLike,
    transformer: TemporalTransformer,
    *,
    skeleton: Skeleton,
    body: str,
    body_hash: str,
    info: dict | None = None,
) -> None:
    """Write a temporal model file whole or not at all."""
    tensors = _stored(transformer, torch.float16)
    _write(path, TEMPORAL_FORMAT, tensors, transformer.config, skeleton, body, body_hash, info)


def _stored(transformer: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Its tensors for a file: weights in ``dtype``, what they are applied to exactly."""
    exact = dict(transformer.named_buffers())
    return {
        name: (tensor if name in exact else tensor.to(dtype)).cpu().contiguous()
        for name, tensor in transformer.state_dict().items()
    }


def _write(
    path: str | os.PathLike,
    form: str,
    tensors: dict[str, Tensor],
    config: MeshTransformerConfig | TemporalConfig,
    skeleton: Skeleton,
    body: str,
    body_hash: str,
    info: dict | None,
) -> None:
    header = {
        "format": form,
        "config": asdict(config),
        "skeleton": skeleton.name,
        "body": body,
        "body_hash": body_hash,
        "info": info or {},
    }
    write_whole(path, save_tensors(tensors, metadata={"mpt": json.dumps(header)}))


def load_temporal(
    model: str | os.PathLike = "mpt-video", device: torch.device | str = "cpu"
) -> TemporalModel:
    """The temporal model of that name in the package, or of that file (or run folder). Raises as ``load``."""
    path = find(model, temporal=True)
    tensors, header = read_whole(path, TEMPORAL_FORMAT)
    try:
        skeleton = SKELETONS[header["skeleton"]]
        config = typed(header["config"], TemporalConfig)
        if not all(0 < size <= LARGEST for size in (config.width, config.layers, config.heads)):
            raise ValueError(f"sizes of {config.width}, {config.layers}, {config.heads}")
        if config.layers > len(tensors):
            raise ValueError(f"{config.layers} layers in a file of {len(tensors)} tensors")
        sizes = tensors["regressor"], tuple(skeleton.root), len(tensors["to_shape.bias"])
        with torch.device("meta"):
            outline = TemporalTransformer(config, sizes[0].to("meta"), *sizes[1:]).state_dict()
        _check_sizes(outline, tensors)
        transformer = TemporalTransformer(config, *sizes)
        transformer.load_state_dict(tensors)
        body, body_hash = (typed(header[name], str, name) for name in ("body", "body_hash"))
        info = dict(header["info"])
    except UNFIT as error:
        raise unfit(path, error, "pre-train") from error
    name = path.stem if path.parent.name == "data" else str(model)
    transformer = transformer.to(device).eval().requires_grad_(False)
    return TemporalModel(name, transformer, skeleton, body, body_hash, info)


UNFIT = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What building a network raises where a header or tensors are not what they should be."""


def unfit(path: Path, error: Exception, how: str) -> InputError:
    """The sentence for one of :data:`UNFIT`."""
    reason = (str(error).splitlines() or [type(error).__name__])[0][:90]
    return InputError(
        f"{path}: its weights do not fit its own header ({reason}); "
        f"it was made by another version: {how} again, or get the file again"
    )


def _config(sizes: Any, tensors: int) -> MeshTransformerConfig:
    """The configuration in a header. ``tensors``: how many the file holds."""
    config = typed(sizes, MeshTransformerConfig)
    for size in (*config.hidden, config.layers, config.heads, config.heatmap_size, config.patch_size):
        if not 0 < size <= LARGEST:
            raise ValueError(f"a size of {size}")
    if config.layers * len(config.hidden) > tensors:
        raise ValueError(f"{config.layers} layers in a file of {tensors} tensors")
    if config.inputs == "patches" and config.heatmap_size % config.patch_size:
        raise ValueError(f"maps of {config.heatmap_size} in patches of {config.patch_size}")
    return config


LARGEST = 65536  # of widths, layers, heads and sides


def typed(value: Any, kind: Any, name: str = "it") -> Any:
    """JSON -> what ``asdict`` and ``json.dumps`` made it from: dataclasses, tuples and plain values.

    Raises TypeError, with the ``name``, for a value of another kind; ValueError for none of the choices.
    """
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        known = {field.name for field in fields(kind)}
        if unknown := set(value) - known:
            raise TypeError(f"unexpected keyword argument {sorted(unknown)[0]!r}")
        return kind(**{part: typed(value[part], hints[part], part) for part in value})
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or (arguments[-1] is not ... and len(value) != len(arguments)):
            raise TypeError(f"{name} is {value!r}, {kind} was expected")
        return tuple(typed(part, arguments[0], name) for part in value)
    if get_origin(kind) is Literal:
        if value not in arguments:
            raise ValueError(f"{name} is {value!r}, one of {', '.join(arguments)} was expected")
        return value
    plain = (int, float) if kind is float else kind
    if not isinstance(value, plain) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} is {value!r}, {kind.__name__} was expected")
    return value


def _built(config: MeshTransformerConfig, tensors: dict[str, Tensor]) -> MeshTransformer:
    """The transformer of a file's tensors, whose sizes are compared before they take any memory."""
    with torch.device("meta"):
        outline = _made(config, {name: tensor.to("meta") for name, tensor in tensors.items()}).state_dict()
    _check_sizes(outline, tensors)
    if config.upsampler == "sparse":
        _check_indices("upsample.near", tensors["upsample.near"], len(tensors["template_coarse"]))
    transformer = _made(config, tensors)
    transformer.load_state_dict(tensors)
    return transformer


def _check_sizes(outline: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    for name in dict.fromkeys([*outline, *tensors]):
        expected, found = (tuple(of[name].shape) if name in of else "none" for of in (outline, tensors))
        if expected != found:
            raise ValueError(f"{name} is {found}, not {expected}")


def _made(config: MeshTransformerConfig, tensors: dict[str, Tensor]) -> MeshTransformer:
    """A transformer about the body in a file's tensors; its weights are random yet."""
    sparse = config.upsampler == "sparse"
    full = torch.zeros(tensors["regressor"].shape[1], 1)
    return MeshTransformer(
        config,
        tensors["template_joints"],
        tensors["template_coarse"],
        tensors["upsample.near"] if sparse else full,
        tensors["upsample.start"] if sparse else full,
        tensors["regressor"],
        middle_sizes(tensors),
    )


def _check_indices(name: str, indices: Tensor, count: int) -> None:
    if indices.numel() and not (indices.min() >= 0 and indices.max() < count):
        raise ValueError(f"{name} are from {indices.min()} to {indices.max()} of {count}")


def find(model: str | os.PathLike, *, temporal: bool = False) -> Path:
    """The file behind a model's name, a model file, or a run folder; ``temporal``: one that refines films."""
    data = Path(str(resources.files("mpt") / "data"))
    packaged = data / f"{model}.safetensors"
    if packaged.is_file() and str(model).startswith("mpt-"):
        return packaged
    path = Path(model)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        known = sorted(p.stem for p in data.glob("mpt-*.safetensors"))
        names = ", ".join(name for name in known if (name in TEMPORAL) == temporal) or "none"
        raise InputError(
            f"{model}: no such model; give a model file, a run folder, or a name that comes with mpt "
            f"({names})"
        )
    return path


def digest(path: Path) -> str:
    """What tells a file of weights from others of its name. Raises InputError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def read_whole(path: Path, expected: str) -> tuple[dict[str, Tensor], dict]:
    """Tensors and JSON header of one of our safetensors files; refuses a cut one or one of another kind."""
    try:
        content = path.read_bytes()
        tensors = load_tensors(content)
        header = json.loads(
            json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["mpt"]
        )
        form = header.get("format")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    except (SafetensorError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not a whole file of mpt (damaged, cut short, or something else); expected one that "
            "`mpt pretrain` wrote: get or make it again"
        ) from error
    if (form, expected) == (TEMPORAL_FORMAT, FORMAT):
        raise InputError(
            f"{path}: is a model that refines films over time, and one that reads heatmaps was expected: "
            "give it as --temporal, and --model another"
        )
    if form != expected:
        raise InputError(
            f"{path}: its format is {form!r}, expected {expected!r}; "
            "use the version of mpt that wrote it, or make it again"
        )
    return tensors, header
