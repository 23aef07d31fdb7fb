"""Motion -> people in small drawn films -> a 2D network that follows them: what it sees, frame after frame.

As ``sightings.py`` does of single moments. The network looks as it does in films: where to look in a frame,
what it saw in the frame before tells; whoever is lost is looked for anew.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mpt.crops import Squares
from mpt.datasets.clips import Clips, Filming, Paths
from mpt.heatmaps import marginals
from mpt.pose2d.landmarks import Landmarker, Look, first_squares, found, maps_in, next_squares
from mpt.recipes.sightings import CROP_FACTORS, MIN_LIKENESS, PICTURE, RESOLUTIONS
from mpt.scenes.sketches import Sketchbook


class FilmWitness:
    """Draws people on their ways, lets a 2D network follow them, and keeps what it saw."""

    def __init__(self, filming: Filming, book: Sketchbook, network: Landmarker) -> None:
        self.filming, self.book, self.network = filming, book, network

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


def _like(mask: Tensor, other: Tensor) -> Tensor:
    return mask.view(-1, *[1] * (other.ndim - 1))
