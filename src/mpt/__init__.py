"""MPT: a posed 3D human mesh from a photo, learned from motion capture alone.

>>> import mpt
>>> people = mpt.load("mpt-small")("photo.jpg")
>>> people = mpt.film("clip.mp4", "results")
"""

from importlib import import_module

_HOMES = {
    "BatchReconstructor": ("mpt.batches.actor", "BatchReconstructor"),
    "Body": ("mpt.bodies", "Body"),
    "MeshTransformer": ("mpt.modeling.mesh_transformer", "MeshTransformer"),
    "Reconstruction": ("mpt.reconstruction", "Reconstruction"),
    "Reconstructor": ("mpt.reconstructor", "Reconstructor"),
    "film": ("mpt.films", "film"),
    "load": ("mpt.recipes.networks", "reconstructor"),
}
__all__ = [
    "BatchReconstructor",
    "Body",
    "MeshTransformer",
    "Reconstruction",
    "Reconstructor",
    "film",
    "load",
]


def __getattr__(name: str):
    """Names are imported when they are first used: torch alone takes a second."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mpt' has no attribute {name!r}")
    room, own_name = _HOMES[name]
    value = getattr(import_module(room), own_name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
