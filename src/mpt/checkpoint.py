"""Weights with all that inference needs: config, skeleton, template, faces, regressor, heatmap settings.

One safetensors file; its JSON header is the model's card in brief. Never pickle. Weights are in half
precision, what they are applied to (faces, template, regressor) is exact.
"""

import json
import os
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from mpt.errors import InputError
from mpt.modeling.mesh_transformer import MeshTransformer, MeshTransformerConfig
from mpt.modeling.upsampling import middle_sizes
from mpt.skeletons import SKELETONS, Skeleton
from mpt.writing import write_whole

FORMAT = "mpt-model-1"


@dataclass(frozen=True)
class Model:
    """A transformer ready for use, and what its outputs are."""

    name: str
    transformer: MeshTransformer
    skeleton: Skeleton
    faces: Tensor  # (F, 3)
    body: str
    body_hash: str
    info: dict  # how it was trained and how good it is


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
    exact = dict(transformer.named_buffers())
    tensors = {
        name: (tensor if name in exact else tensor.to(dtype)).cpu().contiguous()
        for name, tensor in transformer.state_dict().items()
    }
    tensors["faces"] = faces.int().cpu().contiguous()
    header = {
        "format": FORMAT,
        "config": asdict(transformer.config),
        "skeleton": skeleton.name,
        "body": body,
        "body_hash": body_hash,
        "info": info or {},
    }
    write_whole(path, save_tensors(tensors, metadata={"mpt": json.dumps(header)}))


def load(model: str | os.PathLike = "mpt-small", device: torch.device | str = "cpu") -> Model:
    """The model of that name in the package, or of that file (or run folder), ready for inference.

    Raises InputError for a file that is missing, cut short, no model, or of another version.
    """
    path = find(model)
    tensors, header = read_whole(path, FORMAT)
    try:
        config = MeshTransformerConfig(**header["config"] | {"hidden": tuple(header["config"]["hidden"])})
        skeleton = SKELETONS[header["skeleton"]]
        faces = tensors.pop("faces").long()
        near = tensors["upsample.near"] if config.upsampler == "sparse" else None
        full = tensors["regressor"].shape[1]
        transformer = MeshTransformer(
            config,
            tensors["template_joints"],
            tensors["template_coarse"],
            near if near is not None else torch.zeros(full, 1),
            tensors["upsample.start"] if near is not None else torch.zeros(full, 1),
            tensors["regressor"],
            middle_sizes(tensors),
        )
        transformer.load_state_dict(tensors)
        if len(skeleton) != transformer.joint_count:
            raise KeyError(f"{transformer.joint_count} joints on a skeleton of {len(skeleton)}")
    except Exception as error:  # a damaged header can name anything at all
        reason = (str(error) or type(error).__name__).splitlines()[0][:90]
        raise InputError(
            f"{path}: its weights do not fit its own header ({reason}); "
            "it was made by another version: pre-train again, or get the file again"
        ) from error
    return Model(
        name=path.stem if path.parent.name == "data" else str(model),
        transformer=transformer.to(device).eval().requires_grad_(False),
        skeleton=skeleton,
        faces=faces,
        body=header["body"],
        body_hash=header["body_hash"],
        info=header["info"],
    )


def find(model: str | os.PathLike) -> Path:
    """The file behind a model's name, a model file, or a run folder."""
    data = Path(str(resources.files("mpt") / "data"))
    packaged = data / f"{model}.safetensors"
    if packaged.is_file() and str(model).startswith("mpt-"):
        return packaged
    path = Path(model)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in data.glob("mpt-*.safetensors"))) or "none"
        raise InputError(
            f"{model}: no such model; give a model file, a run folder, or a name that comes with mpt "
            f"({names})"
        )
    return path


def read_whole(path: Path, expected: str) -> tuple[dict[str, Tensor], dict]:
    """Tensors and JSON header of one of our safetensors files; refuses a cut one or one of another kind."""
    try:
        content = path.read_bytes()
        tensors = load_tensors(content)
        header = json.loads(
            json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["mpt"]
        )
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    except (SafetensorError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not a whole file of mpt (damaged, cut short, or something else); expected one that "
            "`mpt pretrain` wrote: get or make it again"
        ) from error
    if not isinstance(header, dict) or header.get("format") != expected:
        said = header.get("format") if isinstance(header, dict) else header
        raise InputError(
            f"{path}: its format is {said!r:.60}, expected {expected!r}; "
            "use the version of mpt that wrote it, or make it again"
        )
    return tensors, header
