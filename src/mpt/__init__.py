"""MPT: a posed 3D human mesh from a photo, learned from motion capture alone.

>>> import mpt
>>> people = mpt.reconstruct("photo.jpg")  # or bytes, an open file, a PIL image, an RGB array, a tensor
>>> people[0].vertices, people[0].joints3d, people[0].pose  # metres, camera axes; see mpt.Reconstruction
>>> people[0].save("person.glb")  # or .bvh, .fbx, .obj, .ply, .npz, .trc, .c3d, .csv
>>> people.overlay().show()  # a PIL image: the bodies over the photo, and from the side
>>> people.save("results")  # all that `mpt reconstruct photo.jpg` writes

Many photos, and a model that stays loaded, which threads may share and other processes be sent:

>>> results = mpt.reconstruct("my_photos")  # a folder, or a list: a mpt.Result for each photo
>>> model = mpt.load("mpt-small", device="cpu")
>>> people = model("photo.jpg", focal_mm=26)

A film, a person over time:

>>> people = mpt.film("clip.mp4", "results")

What cannot be used raises ``mpt.InputError``, a sentence that says what to do. OpenCV's pictures are BGR:
give ``image[..., ::-1]``. Each call computes in one thread; call from several, or in several processes, to
use more cores.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpt.batches.actor import BatchReconstructor as BatchReconstructor
    from mpt.batches.many import reconstruct as reconstruct
    from mpt.bodies import Body as Body
    from mpt.errors import InputError as InputError
    from mpt.films import film as film
    from mpt.modeling.mesh_transformer import MeshTransformer as MeshTransformer
    from mpt.recipes.networks import reconstructor as load
    from mpt.reconstruction import Reconstruction as Reconstruction
    from mpt.reconstruction import Result as Result
    from mpt.reconstructor import Reconstructor as Reconstructor

    __version__: str

_HOMES = {
    "BatchReconstructor": ("mpt.batches.actor", "BatchReconstructor"),
    "Body": ("mpt.bodies", "Body"),
    "InputError": ("mpt.errors", "InputError"),
    "MeshTransformer": ("mpt.modeling.mesh_transformer", "MeshTransformer"),
    "Reconstruction": ("mpt.reconstruction", "Reconstruction"),
    "Reconstructor": ("mpt.reconstructor", "Reconstructor"),
    "Result": ("mpt.reconstruction", "Result"),
    "film": ("mpt.films", "film"),
    "load": ("mpt.recipes.networks", "reconstructor"),
    "reconstruct": ("mpt.batches.many", "reconstruct"),
}
__all__ = [
    "BatchReconstructor",
    "Body",
    "InputError",
    "MeshTransformer",
    "Reconstruction",
    "Reconstructor",
    "Result",
    "film",
    "load",
    "reconstruct",
]


def __getattr__(name: str):
    """Names are imported when they are first used: torch alone takes a second."""
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'mpt' has no attribute {name!r}")
    room, own_name = _HOMES[name]
    value = getattr(import_module(room), own_name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mesh-pretraining")
    except PackageNotFoundError:  # run from a copied folder
        return "0+unknown"
