"""The whole chain on made-up photographs: nobody's picture is needed, and the truth is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mpt.errors import InputError
from mpt.metrics import mpjpe, pa_mpjpe
from mpt.reconstruction import Reconstruction
from mpt.scenes import Scene, Subject, demo_hands, demo_scenes
from mpt.skeletons import COCO17, HAND21, Skeleton, begin_alike, core

FAR = 0.5  # 2D joints off by more than this share of a person's size belong to somebody else


SCENES = {COCO17: demo_scenes, HAND21: demo_hands}


def scenes(skeleton: Skeleton) -> Iterator[Scene]:
    """The photographs that show what a model of these joints does."""
    for known, make in SCENES.items():
        if begin_alike(known, skeleton):
            yield from make()
            return
    raise InputError(f"the demo has no pictures for models of {skeleton.name}; give another model")


@dataclass(frozen=True)
class Errors:
    """Somebody's errors in millimetres, about mid-hip or wrist: joints (of people COCO's 17), joints best
    aligned, vertices.
    """

    mpjpe_mm: float
    pa_mpjpe_mm: float
    mpve_mm: float


def compare(people: Sequence[Reconstruction], truth: Sequence[Subject]) -> list[Errors | None]:
    """Errors for each true person; None for one who was not found."""
    found = match(people, truth)
    return [None if i is None else _errors(people[i], subject) for i, subject in zip(found, truth)]


def match(people: Sequence[Reconstruction], truth: Sequence[Subject]) -> list[int | None]:
    """For each true person the one found nearest in the picture; nobody is taken twice."""
    taken: dict[int, int] = {}
    distances = [
        (_distance(person, subject), t, p)
        for t, subject in enumerate(truth)
        for p, person in enumerate(people)
    ]
    for distance, t, p in sorted(distances):
        if distance < FAR and t not in taken and p not in taken.values():
            taken[t] = p
    return [taken.get(t) for t in range(len(truth))]


def _distance(person: Reconstruction, subject: Subject) -> float:
    """Mean distance of the 2D joints, as a share of the true person's size."""
    count = len(core(person.skeleton))
    found, truth = person.joints2d_px[:count, :2], subject.joints2d_px[:count]
    return float(np.linalg.norm(found - truth, axis=1).mean() / np.ptp(truth, axis=0).max())


def _errors(person: Reconstruction, subject: Subject) -> Errors:
    root = subject.joints[person.skeleton.root].mean(0)
    count = len(core(person.skeleton))
    joints, vertices = torch.from_numpy(person.joints3d[:count]), torch.from_numpy(person.vertices)
    true_joints = torch.from_numpy((subject.joints - root)[:count])
    return Errors(
        float(mpjpe(joints, true_joints)),
        float(pa_mpjpe(joints, true_joints)),
        float(mpjpe(vertices, torch.from_numpy(subject.vertices - root))),
    )
