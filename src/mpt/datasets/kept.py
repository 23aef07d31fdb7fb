"""What a 2D network saw, kept in one safetensors file with whose body it was."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mpt.bodies import Body
from mpt.errors import InputError
from mpt.writing import check_output, check_place, write_whole

ADVICE = "choose another --out"


def write(
    path: str | os.PathLike, form: str, tensors: Mapping[str, Tensor], body: Body, about: Mapping[str, str]
) -> None:
    """``about``: what else the file should say of itself, in words."""
    own = {"format": form, "body": body.name, "body_hash": body.hash, "skeleton": body.skeleton.name}
    whole = {name: value.cpu().contiguous() for name, value in tensors.items()}
    write_whole(path, save(whole, {**about, **own}), ADVICE)


def read(
    path: str | os.PathLike, form: str, names: Iterable[str], what: str, how: str, body: Body
) -> list[Tensor]:
    """The tensors of these names. ``what`` the file holds, and ``how`` that is made, in words.

    Raises InputError for a file that holds none, or those of another body.
    """
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            if about.get("format") != form:
                raise ValueError(f"its format is {about.get('format', 'none')}, expected {form}")
            tensors = [file.get_tensor(name) for name in names]
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{path}: holds no {what} ({error}); make them with `{how}`") from None
    if about.get("body_hash") != body.hash or about.get("skeleton") != body.skeleton.name:
        raise InputError(
            f"{path}: its {what} are of the body {about.get('body')} with the joints of "
            f"{about.get('skeleton')}, not of {body.name} with those of {body.skeleton.name}; make them "
            f"again with `{how}`"
        )
    return tensors


def check_maps(path: str | os.PathLike, size: int, wanted: int, what: str, how: str) -> None:
    """Raises InputError where maps of another size were seen than a model reads."""
    if size != wanted:
        raise InputError(
            f"{path}: its {what} are of maps of {size} pixels, the model reads {wanted}; make them again "
            f"with `{how}`"
        )


def check_kept_output(path: str | os.PathLike, form: str, what: str, store: str | os.PathLike) -> None:
    """Refuse to write over anything but an earlier file of this form, or where nothing can be written."""

    def is_ours(found: Path) -> bool:
        try:
            with safe_open(found, "pt") as file:
                return (file.metadata() or {}).get("format") == form
        except (OSError, SafetensorError):
            return False

    check_output(path, what, is_ours, inputs=[store])
    check_place(path, ADVICE)
