"""A body that comes with mpt, made again: the same people by the same numbers, known by the same hash.

Another machine's linear algebra finds the same principal components, some of them with the other sign, and
says everything else to within rounding.
"""

import warnings

import torch
from torch import Tensor

from mpt.bodies.body import Body
from mpt.bodies.body_files import assemble

SAME_M = 1e-4  # how far skin and bones may lie apart, and by a deviation of any component
SAME_SKIN = 1e-3  # ... and weights


def as_packaged(tensors: dict[str, Tensor], metadata: dict, packaged: Body) -> tuple[dict[str, Tensor], dict]:
    """A new body file's content with the packaged body's signs of its components, and marked as that surface,
    so that models and stores of the one know the other. Warns, and leaves it as it is, where it is another
    body: of another release of its source, say.
    """
    if _alike(tensors, metadata, packaged):
        turned = _with_signs(tensors, _signs(tensors, packaged))
        if _same(assemble(turned, metadata), packaged):
            return turned, metadata | {"surface": packaged.hash}
    warnings.warn(
        f"made from {metadata['source']}, this is another body than the {packaged.name} that comes with mpt: "
        "models and stores of that one refuse it",
        stacklevel=3,
    )
    return tensors, metadata


def _alike(tensors: dict[str, Tensor], metadata: dict, packaged: Body) -> bool:
    """Whether there are as many vertices, faces and components, and the same bones."""
    return (
        tensors["shape_basis"].shape == packaged.shape_basis.shape
        and tensors["faces"].shape == packaged.faces.shape
        and tuple(metadata["bones"]) == packaged.bones
        and tuple(metadata["parents"]) == packaged.parents
    )


def _signs(tensors: dict[str, Tensor], packaged: Body) -> Tensor:
    """(S,) -1 for components that are the packaged ones turned round, else 1."""
    along = (tensors["shape_basis"].float() * packaged.shape_basis).sum((1, 2))
    return torch.where(along < 0, -1, 1)


def _with_signs(tensors: dict[str, Tensor], signs: Tensor) -> dict[str, Tensor]:
    """The same people by components some of which are turned round."""
    across = {
        "shape_basis": signs[:, None, None],
        "heads_basis": signs[:, None, None],
        "phenotype_grid": signs,
        "people": signs,
        "stature": torch.cat([signs.new_ones(1), signs]),
    }
    return {
        name: tensor * across[name].to(tensor.dtype) if name in across else tensor
        for name, tensor in tensors.items()
    }


def _same(body: Body, packaged: Body) -> bool:
    lengths = ("template", "shape_basis", "heads", "heads_basis")
    apart_m = max(float((getattr(body, name) - getattr(packaged, name)).abs().max()) for name in lengths)
    return apart_m < SAME_M and float((body._dense_skin - packaged._dense_skin).abs().max()) < SAME_SKIN
