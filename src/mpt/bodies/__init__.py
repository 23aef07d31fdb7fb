"""Bodies: pose and shape -> vertices and joints."""

import copyreg
import os
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from importlib import resources
from pathlib import Path

from mpt.bodies.body import Body, BodyOutput
from mpt.bodies.body_files import read_body
from mpt.errors import InputError
from mpt.skeletons import SKELETONS

__all__ = ["Body", "BodyOutput", "load", "located"]


def load(body: str | os.PathLike = "anny", skeleton: str = "") -> Body:
    """The body of that name in the package, or of that file.

    skeleton: which of its joints it has, by the name of a skeleton (``coco17``); all that are in its file
        where empty. Raises InputError for an unknown one, or joints that the file has not.
    """
    packaged = _packaged(body)
    found = read_body(packaged if packaged.is_file() else body)
    if skeleton and skeleton not in SKELETONS:
        raise InputError(f"no skeleton is called {skeleton!r}: there are {', '.join(SKELETONS)}")
    return found.with_joints(SKELETONS[skeleton]) if skeleton else found


def located(body: str) -> str:
    """What to call that body in any folder: its name in the package, or the whole path of its file."""
    file = Path(body)
    return str(file.resolve()) if file.is_file() and not _packaged(body).is_file() else body


def _reduced(body: Body) -> tuple[Callable[..., Body], tuple]:
    """What makes a body again in any process, and of what: one of the package, as it was read or in a mirror,
    is found by its name, for people are sent about by the thousand; of another all is told but what follows
    from the rest.
    """
    name, skeleton = body.name, body.skeleton.name
    if skeleton in SKELETONS and _packaged(name).is_file():
        for mirrored in (False, True):
            if _in_package(name, skeleton, mirrored) == body:
                return _found_again, (name, body.hash, skeleton, mirrored)
    return _copied, ({field.name: getattr(body, field.name) for field in fields(body)},)


def _copied(told: dict) -> Body:
    return Body(**told)


def _found_again(name: str, known: str, skeleton: str, mirrored: bool) -> Body:
    found = _in_package(name, skeleton, mirrored)
    if found.hash != known:
        raise InputError(f"the body {name} of this mpt is another than that of the mpt that wrote this")
    return found


@lru_cache(8)
def _in_package(name: str, skeleton: str, mirrored: bool) -> Body:
    body = load(name, skeleton)
    return body.mirrored() if mirrored else body


def _packaged(body: str | os.PathLike) -> Path:
    return Path(str(resources.files("mpt") / "data" / f"{body}.safetensors"))


copyreg.pickle(Body, _reduced)  # by copies, too
