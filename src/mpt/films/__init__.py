"""Films: a phone's video, a numbered folder or a webcam -> people who move, each a body of one shape."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # with them comes torch
    from mpt.films.filming import Progress
    from mpt.films.people import FilmPerson
    from mpt.reconstructor import Reconstructor


def film(
    source: str | os.PathLike,
    out: str | os.PathLike = "mpt-out",
    *,
    model: "str | os.PathLike | Reconstructor" = "mpt-small",
    format: Sequence[str] = ("glb", "bvh"),
    smooth: Literal["auto", "model", "causal", "filter", "none"] = "auto",
    feet: Literal["planted", "free"] = "planted",
    temporal: str | os.PathLike = "mpt-video",
    bare: bool = False,
    origin: Literal["feet"] | None = None,
    character: str | os.PathLike | None = None,
    overlay: bool = True,
    focal_px: float | None = None,
    focal_mm: float | None = None,
    fov_deg: float | None = None,
    seconds: float | None = None,
    fps: float | None = None,
    progress: "Progress | None" = None,
) -> "list[FilmPerson]":
    """Everybody in a film, over time; files as of ``mpt reconstruct FILM`` are written to ``out/<its stem>``.

    source: a film's file, or a folder of numbered pictures.
    model: a model by name, its file or its run folder; or what ``mpt.load`` gives.
    format: of each person's further files: glb, bvh, fbx, trc, c3d, csv. An npz is always written.
    smooth: "model" lets a network that was pre-trained on motion take together what all frames say, "causal"
        only those before each; "filter" takes out what trembles faster than 6 Hz; "none" leaves each frame as
        it is. "auto" is the model, or the filter where that is not one for these meshes.
    feet: "planted": feet that the network takes to rest stay where they are; "free": they may slide.
    temporal: that network, by name, its file or its run folder.
    bare: bodies without clothes.
    origin: "feet" puts the origin of each person's rigged files between their feet in their first frame.
    character: a skinned GLB, VRM or glTF of your own, of which each person gets a copy that moves as they do.
    overlay: whether overlay.mp4 is drawn, which takes a third of the time.
    focal_px, focal_mm, fov_deg: as ``Reconstructor`` takes them; else what the file tells, else assumed.
    seconds: take only the first ones. fps: frames a second, of folders, or in place of what the file says.
    progress: is called with what is being done, how many frames of it are, and of how many (None: unknown).

    Raises InputError for no film, a broken one, an unknown option, and a folder that cannot be written.
    """
    from mpt.films import opening
    from mpt.films.filming import silent
    from mpt.films.folder import reconstruct_film
    from mpt.films.people import people_in
    from mpt.recipes.networks import reconstructor
    from mpt.reconstructor import Reconstructor
    from mpt.result_folders import folder_names
    from mpt.saving import Saving

    opened = opening.open_film(source, fps=fps, seconds=seconds)
    lifter = model if isinstance(model, Reconstructor) else reconstructor(model)
    folder = Path(out) / folder_names([Path(source)])[0]
    _, interrupt = reconstruct_film(
        opened, folder, lifter, formats=format, how=Saving(bare=bare, origin=origin), smooth=smooth,
        feet=feet, temporal=temporal,
        character=character, overlay=overlay, focal_px=focal_px, focal_mm=focal_mm, fov_deg=fov_deg,
        progress=progress or silent,
    )  # fmt: skip
    if interrupt is not None:
        raise interrupt
    return people_in(folder)
