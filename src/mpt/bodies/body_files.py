"""Body files: a body's tensors and what is known of it, as safetensors."""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from mpt.bodies.body import Body, make_body
from mpt.bodies.coarsening import Coarse
from mpt.bodies.phenotypes import Phenotypes
from mpt.errors import InputError
from mpt.skeletons import SKELETONS
from mpt.writing import check_output, check_place, write_whole

FORMAT = "mpt-body-1"


def read_body(path: str | os.PathLike) -> Body:
    """Read a body file (safetensors, made by ``mpt prepare body``) in float32 on the CPU."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot read the body file ({error.strerror}); make one with `mpt prepare body`"
        ) from error
    try:
        tensors = load_tensors(content)
        metadata = _metadata(content)
        if metadata["format"] != FORMAT:
            raise KeyError("format")
        return assemble(tensors, metadata, metadata.get("surface") or hashlib.sha256(content).hexdigest())
    except Exception as error:  # a damaged header can name anything at all
        raise InputError(
            f"{path}: not a whole {FORMAT} file; make it again with `mpt prepare body`"
        ) from error


def assemble(tensors: dict[str, Tensor], metadata: dict, hash: str = "") -> Body:
    """The body that a file's tensors and metadata describe."""
    skeleton = SKELETONS[metadata["skeleton"]]
    weight = tensors["skin_weight"].float()
    grid = tensors.get("phenotype_grid")
    return make_body(
        name=metadata["name"],
        hash=hash,
        bones=tuple(metadata["bones"]),
        parents=tuple(metadata["parents"]),
        roles=metadata["roles"],
        skeleton=skeleton,
        template=tensors["template"],
        faces=tensors["faces"].long(),
        shape_basis=tensors["shape_basis"] * tensors["shape_scale"][:, None, None],
        heads=tensors["heads"],
        heads_basis=tensors["heads_basis"],
        skin_index=tensors["skin_index"].long(),
        skin_weight=weight / weight.sum(1, keepdim=True),
        regressor=_regressor(tensors, "regressor", len(skeleton)),
        regressors={
            name: _regressor(tensors, name, len(SKELETONS[name])) for name in metadata.get("regressors", [])
        },
        pose_basis=tensors.get("pose_basis"),
        phenotypes=None if grid is None else Phenotypes(grid, tensors["stature"]),
        people=tensors.get("people"),
        coarse=tuple(_coarse(tensors, count) for count in metadata["coarse"]),
        parts={part: (tensors["part"] == i).nonzero()[:, 0] for i, part in enumerate(metadata["parts"])},
        metadata=metadata,
    )


def _regressor(tensors: dict[str, Tensor], name: str, joints: int) -> Tensor:
    return torch.sparse_coo_tensor(
        tensors[f"{name}_index"].long(),
        tensors[f"{name}_weight"],
        (joints, len(tensors["template"])),
        check_invariants=True,
    ).coalesce()


def _coarse(tensors: dict[str, Tensor], count: int) -> Coarse:
    index, faces, near = (tensors[f"coarse{count}_{part}"].long() for part in ("index", "faces", "near"))
    weight = tensors[f"coarse{count}_weight"].float()
    return Coarse(index, faces, near, weight / weight.sum(1, keepdim=True))


def check_body_output(path: str | os.PathLike) -> None:
    """Refuse to write a body where another file lies, or where nothing can be. Raises InputError."""
    check_output(path, "body file", _is_body)
    check_place(path, "choose another --out")


def _is_body(path: Path) -> bool:
    with path.open("rb") as file:
        return f'"mpt":"{{\\"format\\": \\"{FORMAT}'.encode() in file.read(200)


def write_body(path: str | os.PathLike, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Write a body file whole or not at all, and over nothing but an earlier one. ``read_body`` says what it
    holds.
    """
    path = Path(path)
    check_body_output(path)
    content = save_tensors(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        metadata={"mpt": json.dumps({"format": FORMAT} | metadata)},
    )
    write_whole(path, content, "choose another --out")


def _metadata(content: bytes) -> dict:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["mpt"])
