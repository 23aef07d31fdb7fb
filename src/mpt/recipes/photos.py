"""Photos of data sets, batch by batch: who has them, which of them a step takes, and who reads them."""

import os
import signal
from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from torch.utils.data import DataLoader

from mpt.bodies import Body
from mpt.datasets import check, coco, human36m, muco3dhp, rendered
from mpt.datasets.loading import Example, PhotoDataset
from mpt.datasets.mixture import Mixture
from mpt.datasets.sample import Samples
from mpt.errors import InputError


def read_set(name: str, split: str, data: Mapping[str, str | os.PathLike], body: Body) -> Samples:
    """A split of a data set, whose meshes, if it gives any, are this body's."""
    if name not in data:
        raise InputError(
            f"this experiment reads {name}, and no folder of it was given: add --data {name}=DIR"
        )
    if name == rendered.NAME:
        return rendered.read(data[name], split, body=body)
    fitted = {human36m.NAME: human36m, muco3dhp.NAME: muco3dhp, coco.NAME: coco}
    if name in fitted:
        return fitted[name].read(data[name], split, body=body)
    samples = check.read(name, data[name], split)
    vertices = samples[0].vertices_m
    if vertices is not None and len(vertices) != len(body.template):
        raise InputError(
            f"{name} gives meshes of {len(vertices):,} vertices, the body {body.name} has "
            f"{len(body.template):,}: choose the body of this data set"
        )
    return samples


def step_order(
    mixture: Mixture,
    batch_size: int,
    steps: range,
    *,
    rank: int = 0,
    processes: int = 1,
    accumulate: int = 1,
) -> Iterator[list[tuple[int, int]]]:
    """The (sample, draw) pairs of one process's micro-batches, one after another: they follow from the step's
    number and the micro-batch's number in it, whoever takes it.
    """
    together = batch_size * accumulate * processes
    stream = _from(mixture, steps.start * together)
    for _ in steps:
        step = list(islice(stream, together))
        for number in range(rank * accumulate, (rank + 1) * accumulate):
            yield step[number * batch_size : (number + 1) * batch_size]


def _from(mixture: Mixture, place: int) -> Iterator[tuple[int, int]]:
    """The epochs one after another, from a place in them on."""
    epoch, at = divmod(place, mixture.epoch_size)
    while True:
        yield from mixture.epoch(epoch)[at:]
        epoch, at = epoch + 1, 0


def loader(photos: PhotoDataset, workers: int, **order) -> DataLoader:
    own = torch.Generator().manual_seed(0)  # or it would draw from the step's random numbers
    how = {"pin_memory": torch.cuda.is_available(), "worker_init_fn": _outlive_ctrl_c}
    return DataLoader(photos, num_workers=workers, generator=own, **how, **order)


def _outlive_ctrl_c(worker: int) -> None:
    """A worker ends when its process does, which may have a step to finish first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def next_batch(loaded: Iterator[Example]) -> Example:
    """The next batch; a worker's refusal is said as it was meant, without the worker's traceback."""
    try:
        return next(loaded)
    except InputError as error:
        raise InputError(
            str(error).strip().splitlines()[-1].removeprefix("mpt.errors.InputError: ")
        ) from None
