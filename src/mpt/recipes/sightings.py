"""Poses -> people -> small pictures -> a 2D network: what it sees of them, to learn from beside drawn maps.

Drawn noise strays from joint to joint as it likes. A 2D network errs in ways of its own: what it shows is
mostly somebody, if not the one before it. That no formula draws; the network itself can say it of as many
made-up people as one likes, for nothing in it needs a photo (ours; the paper draws all maps).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import roma
import torch
from torch import Tensor
from torch.nn import functional as F

from mpt.cameras import aim
from mpt.crops import applied, inverse
from mpt.datasets import sightings as files
from mpt.datasets.sightings import Sightings
from mpt.datasets.store import PoseStore
from mpt.datasets.synthetic import Synthesizer
from mpt.errors import InputError
from mpt.heatmaps import marginals
from mpt.pose2d.landmarks import Landmarker, first_squares, found, maps_in, next_squares
from mpt.recipes.draws import PoseDraw
from mpt.recipes.pretrain import PretrainConfig
from mpt.recipes.setting_up import body_for, device_for
from mpt.scenes.sketches import Sketchbook
from mpt.threads import torch_threads

PICTURE = 256  # pixels that the networks look at
RESOLUTIONS = (256, 256, 256, 176, 112)  # pixels of a person's square in the photo, by turns
CROP_FACTORS = (1.15, 1.35)  # about the 1.25 of use
MIN_LIKENESS = 0.5  # below which nobody is found
PATIENCE, FEWEST = 100, 0.05  # after so many people it is over where fewer than this share are found
MAX_OFF = 0.25  # median distance of found joints from the true ones, over the person's size, likewise


class Witness:
    """Draws people of poses, lets a 2D network look at them, and keeps what it saw."""

    def __init__(
        self, synthesize: Synthesizer, book: Sketchbook, networks: Sequence[Landmarker], scout: Landmarker
    ) -> None:
        """``scout`` looks first, then one of ``networks``, by turns."""
        self.synthesize, self.book, self.networks, self.scout = synthesize, book, networks, scout

    @torch_threads(1)
    @torch.inference_mode()
    def __call__(self, rotvec: Tensor, generator: torch.Generator, turn: int) -> Sightings:
        """(N, B, 3) stored poses -> those of them whom the network found."""
        synthesize, body = self.synthesize, self.synthesize.body
        n = len(rotvec)
        people = synthesize.people(rotvec, generator)
        posed = body(people.rotations, people.shape)
        root = posed.joints[:, body.skeleton.root].mean(1, keepdim=True)
        cameras = synthesize.cameras(n, generator)
        vertices = cameras.world_to_camera(posed.vertices - root)
        shown, joints = (
            cameras.project(vertices),
            cameras.project(cameras.world_to_camera(posed.joints - root)),
        )
        boxes = torch.cat([shown.amin(1), shown.amax(1)], 1)
        looks = self.book.looks(boxes, generator)

        def look(network, squares):
            size = RESOLUTIONS[turn % len(RESOLUTIONS)]
            picture = self.book.draw(vertices, shown, looks, squares.pixels(size), size, generator)
            return network(F.interpolate(picture, (PICTURE, PICTURE), mode="bilinear"))

        squares = first_squares(joints, generator)
        squares = next_squares(look(self.scout, squares), squares)
        seen = look(self.networks[turn % len(self.networks)], squares)
        least, most = CROP_FACTORS
        factor = least + (most - least) * torch.rand(n, generator=generator, device=shown.device)
        person = found(seen, squares, factor)
        maps = maps_in(seen, squares, person.crop, synthesize.size)

        framed = slice(synthesize.framed)
        size = (joints[:, framed].amax(1) - joints[:, framed].amin(1)).amax(-1)
        off = (person.joints[:, framed, :2] - joints[:, framed]).norm(dim=-1).median(1).values / size
        kept = (person.likeness >= MIN_LIKENESS) & (off < MAX_OFF)
        to_answer = cameras.rotation.mT @ aim(cameras.translation)
        return Sightings(
            marginals(maps).half(),
            roma.rotmat_to_rotvec(people.rotations),
            people.shape,
            to_answer,
            applied(inverse(person.crop.picture_from_ndc), joints),
            (people.up[:, None] @ to_answer)[:, 0],
        )[kept]


def prepare_sightings(
    config: PretrainConfig,
    store_path: str | Path,
    out: str | Path,
    count: int,
    *,
    networks: Sequence[str] = ("blazepose",),
    batch_size: int = 0,
    seed: int = 0,
    device: str = "auto",
) -> Iterator[int]:
    """Write what 2D networks see of ``count`` people in a store's training poses; yields how many are there.

    Poses, shapes and cameras are drawn as ``config`` says. Raises InputError for a body that cannot be
    dressed, a model that does not read marginals, or a store without poses to train on.
    """
    if config.model.inputs != "joints":
        raise InputError(
            f"{config.name}: its model reads {config.model.inputs}, and sightings are kept for models that "
            "read one token for each joint; choose one of these, as mpt-small"
        )
    body = body_for(config.body, config.skeleton)
    if body.phenotypes is None:
        raise InputError(f"{body.name}: only the Anny body can be dressed for pictures; leave --body out")
    files.check_sightings_output(out, store_path)
    store = PoseStore(store_path, body=body)
    if not len(store.train):
        raise InputError(
            f"{store_path}: has no training poses; prepare it with some subjects left for training"
        )
    at = device_for(device)
    batch_size = batch_size or (256 if at.type == "cuda" else 16)
    witness = Witness(
        Synthesizer(
            body, store.bones, config.data, inputs="joints", coarse_vertices=config.model.coarse_vertices,
            heatmap_size=config.model.heatmap_size, device=at,
        ),
        Sketchbook.of(
            body, outfits=min(192, 8 + count // 100), places=min(96, 4 + count // 200), seed=seed, device=at
        ),
        [Landmarker(name, mirrored_look=name == "blazepose-heavy").to(at) for name in networks],
        Landmarker("blazepose").to(at),
    )  # fmt: skip
    poses = PoseDraw(store, body, config.poses, seed, at)
    generator = torch.Generator(at).manual_seed(seed)
    parts: list[Sightings] = []
    made = 0
    while made < count:
        part = witness(poses(batch_size, generator, 0).rotvec, generator, len(parts))
        parts.append(part)
        made += len(part)
        looked = len(parts) * batch_size
        if looked >= PATIENCE and made < looked * FEWEST:
            raise InputError(
                f"{store_path}: of {looked} people in its poses {' and '.join(networks)} found {made}: "
                "give a store of people whom it can find"
            )
        yield min(made, count)
    about = {"networks": " ".join(networks), "experiment": config.name, "seed": str(seed)}
    files.write(out, Sightings.joined(parts)[:count], body, about)
