"""Motion -> people in small drawn films -> a 2D network that follows them: what it sees, frame after frame.

As ``sightings.py`` does of single moments. The network looks as it does in films: where to look in a frame,
what it saw in the frame before tells; whoever is lost is looked for anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mpt import checkpoint
from mpt.crops import Squares
from mpt.datasets import clip_files
from mpt.datasets.clips import Clips, Filming, PathDraw, Paths
from mpt.datasets.store import PoseStore
from mpt.errors import InputError
from mpt.heatmaps import marginals
from mpt.pose2d.landmarks import Landmarker, Look, first_squares, found, maps_in, next_squares
from mpt.recipes.pretrain_video import VideoConfig, check_can_lift, filming_for
from mpt.recipes.setting_up import body_for, device_for
from mpt.recipes.sightings import CROP_FACTORS, FEWEST, MIN_LIKENESS, PATIENCE, PICTURE, RESOLUTIONS
from mpt.scenes.sketches import Sketchbook
from mpt.threads import torch_threads

FOUND = 0.5  # the least share of a clip's frames in which somebody is found


class FilmWitness:
    """Draws people on their ways, lets a 2D network follow them, and keeps what it saw."""

    def __init__(self, filming: Filming, book: Sketchbook, network: Landmarker) -> None:
        self.filming, self.book, self.network = filming, book, network

    @torch_threads(1)
    @torch.inference_mode()
    def __call__(self, paths: Paths, generator: torch.Generator, turn: int) -> Clips:
        """Clips of N ways, as the network saw them."""
        filming, whole = self.filming, self.filming.synthesize.body
        people = filming.people(paths, generator)
        truth = filming.truth(people, filming.body)
        n, frames = truth.times_s.shape
        joints = truth.joints + truth.translation[:, :, None]
        plane = joints[..., :2] / joints[..., 2:]
        boxes = torch.cat([plane.flatten(1, 2).amin(1), plane.flatten(1, 2).amax(1)], 1)
        looks = self.book.looks(boxes, generator)
        size = RESOLUTIONS[turn % len(RESOLUTIONS)]
        least, most = CROP_FACTORS
        factor = least + (most - least) * torch.rand(n, generator=generator, device=plane.device)

        def look(t: int, squares: Squares) -> Look:
            at = torch.arange(n, device=plane.device) * frames + t
            posed = whole(people.rotations[at], people.shape[at], people.place[at])
            vertices = people.cameras[at].world_to_camera(posed.vertices)
            shown = vertices[..., :2] / vertices[..., 2:].clamp_min(0.05)
            picture = self.book.draw(vertices, shown, looks, squares.pixels(size), size, generator)
            return self.network(F.interpolate(picture, (PICTURE, PICTURE), mode="bilinear"))

        squares = first_squares(plane[:, 0], generator)
        squares = next_squares(look(0, squares), squares)
        parts: list[tuple[Tensor, ...]] = []
        for t in range(frames):
            saw = look(t, squares)
            person = found(saw, squares, factor)
            present = person.likeness >= MIN_LIKENESS
            maps = maps_in(saw, squares, person.crop, filming.synthesize.size)
            crop = torch.cat([person.crop.center, person.crop.side[:, None] / 2], 1)
            parts.append((marginals(maps).half(), person.joints, crop, present))
            anew, on = first_squares(plane[:, min(t + 1, frames - 1)], generator), next_squares(saw, squares)
            squares = Squares(*(torch.where(_like(present, a), a, b) for a, b in zip(on, anew)))
        seen, points, crop, present = (torch.stack(part, 1) for part in zip(*parts))
        return truth._replace(seen=seen, points=points, crop=crop, present=present)


def prepare_clips(
    config: VideoConfig,
    store_path: str | Path,
    out: str | Path,
    count: int,
    frames: int,
    *,
    networks: Sequence[str] = ("blazepose",),
    seed: int = 0,
    device: str = "auto",
) -> Iterator[int]:
    """Write what 2D networks see of ``count`` people who move as a store's training motion does, each over so
    many frames; yields how many are there. Whoever is not found in half of the frames is left out.

    Raises InputError for a body that cannot be dressed, or a store that does not know where people go.
    """
    model = checkpoint.load(config.lift)
    check_can_lift(model)
    body = body_for(model.body, model.skeleton.name)
    if body.phenotypes is None:
        raise InputError(f"{body.name}: only the Anny body can be dressed for pictures; use a model of it")
    clip_files.check_clips_output(out, store_path)
    store, at = PoseStore(store_path, body=body), device_for(device)
    of_length = replace(config, clips=replace(config.clips, frames=(frames, frames)))
    filming = filming_for(of_length, model, body, store, at)
    paths = PathDraw(store, store.train, at)
    book = Sketchbook.of(
        body, outfits=min(192, 8 + count), places=min(96, 4 + count // 2), seed=seed, device=at
    )
    witnesses = [FilmWitness(filming, book, Landmarker(name).to(at)) for name in networks]
    generator = torch.Generator(at).manual_seed(seed)
    batch = 128 if at.type == "cuda" else 8
    parts: list[Clips] = []
    made = turn = 0
    while made < count:
        clips = witnesses[turn % len(witnesses)](filming.stretches(paths, batch, generator), generator, turn)
        found = clips.present.float().mean(1) > FOUND
        parts.append(Clips(*(part[found] for part in clips)))
        made, turn = made + len(parts[-1].shape), turn + 1
        if turn * batch >= PATIENCE and made < turn * batch * FEWEST:
            raise InputError(
                f"{store_path}: of {turn * batch} people who move as in it {' and '.join(networks)} found "
                f"{made}: give a store of people whom it can find"
            )
        yield min(made, count)
    joined = Clips(*(torch.cat(part)[:count] for part in zip(*parts)))
    clip_files.write(out, joined, body, {"networks": " ".join(networks), "seed": str(seed)})


def _like(mask: Tensor, other: Tensor) -> Tensor:
    return mask.view(-1, *[1] * (other.ndim - 1))
