"""Which training poses a step sees, whose shape each has, and which camera looks at it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mpt.bodies import Body
from mpt.datasets.store import PoseStore
from mpt.recipes.rarity import shares_alike


@dataclass(frozen=True)
class PosesConfig:
    """Which poses are drawn, and how often."""

    share: float = 1.0
    """Share of the training poses that is used (Figure of the mocap share)."""
    evenness: float = 0.0
    """How evenly kinds of pose are drawn: each pose by its share of like ones to the power of minus this.
    0 draws recordings as they are, every pose equally often; 1 would draw all kinds equally often."""


class Drawn(NamedTuple):
    rotvec: Tensor  # (N, bones, 3) float32 local rotations, radians
    shape: Tensor  # (N, S) of the pose's own person, NaN where it is unknown
    view: Tensor | None = None  # (N,) the rig's camera that looks at it; None: any may


def joined(draws: Sequence[Drawn]) -> Drawn:
    """Those draws as one, in their order."""
    rotvec, shape, view = (None if field[0] is None else torch.cat(field) for field in zip(*draws))
    return Drawn(rotvec, shape, view)


class Poses:
    """The training poses of a store, on the device, each with the shape of its own sequence's person."""

    def __init__(
        self, store: PoseStore, body: Body, config: PosesConfig, seed: int, device: torch.device
    ) -> None:
        index = store.train
        if config.share < 1:
            chosen = np.random.default_rng(seed).permutation(len(index))[
                : max(1, round(config.share * len(index)))
            ]
            index = np.sort(index[chosen])
        self.rotvec = torch.from_numpy(store.rotvec(index).astype(np.float16)).to(device)
        self.sequence = torch.from_numpy(store.sequence(index)).to(device)
        self.shapes = own_shapes(body, store).to(device)

    def __len__(self) -> int:
        return len(self.rotvec)

    def taken(self, at: Tensor, view: Tensor | None = None) -> Drawn:
        """The poses in those places (N,)."""
        return Drawn(self.rotvec[at].float(), self.shapes[self.sequence[at].long()], view)


class PoseDraw(Poses):
    """Draws training poses, rare kinds more often where it is asked to, with replacement."""

    def __init__(
        self, store: PoseStore, body: Body, config: PosesConfig, seed: int, device: torch.device
    ) -> None:
        super().__init__(store, body, config, seed, device)
        weight = torch.ones(len(self), dtype=torch.float64)
        if config.evenness:
            weight = shares_alike(body, self.rotvec.float()).cpu().double() ** -config.evenness
        self.cumulative = (weight.cumsum(0) / weight.sum()).to(device)

    def __call__(self, count: int, generator: torch.Generator, first: int) -> Drawn:
        """So many poses, by the generator alone."""
        at = torch.rand(count, generator=generator, device=self.rotvec.device, dtype=torch.float64)
        return self.taken(torch.searchsorted(self.cumulative, at).clamp_max(len(self) - 1))


class PairDraw(Poses):
    """Draws every training pose from every view of the rig once an epoch, shuffled, as the paper does.

    What stands at a place of the run follows from the seed and the place, so training resumes at any step,
    and processes share the places out. An epoch's order is numpy's shuffle of the pairs' numbers: of the
    paper's 8 million it takes 32 MB, and half a second once an epoch.
    """

    def __init__(
        self,
        store: PoseStore,
        body: Body,
        config: PosesConfig,
        seed: int,
        device: torch.device,
        *,
        views: int,
    ) -> None:
        super().__init__(store, body, config, seed, device)
        self.seed, self.views = seed, views
        self._order = -1, np.empty(0, np.int32)

    def __call__(self, count: int, generator: torch.Generator, first: int) -> Drawn:
        """The pairs at places ``first`` ... of the endless shuffled epochs, by their place alone."""
        epoch, place = np.divmod(np.arange(first, first + count), len(self) * self.views)
        pairs = np.concatenate([self._epoch(number)[place[epoch == number]] for number in np.unique(epoch)])
        pose, view = (torch.from_numpy(part).to(self.rotvec.device) for part in np.divmod(pairs, self.views))
        return self.taken(pose.long(), view.long())

    def _epoch(self, number: int) -> np.ndarray:
        """The order of an epoch's pairs; pair p is of pose p // views, seen from view p % views."""
        if self._order[0] != number:
            pairs = np.arange(len(self) * self.views, dtype=np.int32)
            self._order = number, np.random.default_rng([self.seed, int(number)]).permutation(pairs)
        return self._order[1]


def with_people(body: Body, store: PoseStore) -> Body:
    """The body with the shapes of the training sequences' people, where it is SMPL and AMASS tells them."""
    train = torch.tensor([sequence.split == "train" for sequence in store.sequences], dtype=torch.bool)
    shapes = own_shapes(body, store)
    people = shapes[train & shapes.isfinite().all(1)]
    return replace(body, people=people) if len(people) else body


def own_shapes(body: Body, store: PoseStore) -> Tensor:
    """(sequences, S) float32 shape of each sequence's person on an SMPL body; NaN where it is unknown.

    A neutral body takes the betas of women and men alike, as METRO's lineage does, a gendered one its own.
    Other bodies' shapes are told by no betas.
    """
    shapes = torch.full((len(store.sequences), body.shape_count), torch.nan)
    if body.metadata.get("shape_space") == "smpl":
        own = body.metadata["gender"]
        takes = np.array([own == "neutral" or s.gender in (None, own) for s in store.sequences], dtype=bool)
        betas = store.betas[:, : body.shape_count]
        known = takes & np.isfinite(betas).all(1)
        shapes[torch.from_numpy(known)] = torch.from_numpy(betas[known])
    return shapes
