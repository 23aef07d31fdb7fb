"""How errors are counted on bodies of SMPL's: Human3.6M's joints, and the meshes of 3DPW and EMDB."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import roma
import torch
from torch import Tensor

from mpt.bodies import Body
from mpt.bodies.smpl import Gender, h36m17_to_lsp14
from mpt.datasets.sample import Sample
from mpt.errors import InputError
from mpt.metrics import mpjpe
from mpt.recipes.counting import NO_REFLECTION, of_joints, stacked, vertices_of
from mpt.recipes.predicting import Predicted
from mpt.skeletons import H36M17, SMPL24

PELVIS = H36M17.index("pelvis")


@dataclass(frozen=True)
class Human36MJoints:
    """The set's own 3D joints against those that Human3.6M's regressor finds on the mesh."""

    body: Body
    name: str = "h36m-p2"
    says: str = (
        "Human3.6M's regressor on the whole mesh, 14 joints about the pelvis, against the motion capture's; "
        + NO_REFLECTION
    )

    def knows(self, sample: Sample) -> bool:
        if sample.joints is None:
            return False
        known = torch.from_numpy(sample.joints.on(H36M17).known)
        return bool(known[PELVIS]) and bool(h36m17_to_lsp14(known[:, None]).all())

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        truth = stacked([sample.joints.on(H36M17).xyz_m for sample in samples])
        return of_joints(*map(_reported, (self.body.regress(vertices_of(predicted), H36M17.name), truth)))


@dataclass(frozen=True)
class SmplMeshes:
    """The mesh of the set's SMPL parameters, and Human3.6M's 14 joints on it.

    ``people`` are the bodies by gender; the true mesh is the gendered one, or the neutral one given the
    gendered betas. ``body`` brings the regressor for both meshes.
    """

    body: Body
    people: dict[Gender, Body]
    neutral: bool

    @property
    def name(self) -> str:
        return "metro-neutral" if self.neutral else "spin-gendered"

    @property
    def says(self) -> str:
        whose = (
            "the neutral SMPL given the gendered betas, as in the METRO family"
            if self.neutral
            else "the gendered SMPL, as in the SPIN family"
        )
        return (
            f"truth is {whose}; Human3.6M's regressor on both meshes, 14 joints about the pelvis, vertices "
            f"about it too; {NO_REFLECTION}"
        )

    def knows(self, sample: Sample) -> bool:
        return sample.parameters is not None and sample.parameters.model == "smpl"

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        genders = ["neutral" if self.neutral else sample.parameters.gender for sample in samples]
        meshes = vertices_of(predicted), _posed(self.people, samples, genders)
        joints = [self.body.regress(mesh, H36M17.name) for mesh in meshes]
        rooted = [mesh - joint[:, PELVIS, None] for mesh, joint in zip(meshes, joints)]
        return of_joints(*map(_reported, joints)) | {"mpve_mm": mpjpe(*rooted)}


@dataclass(frozen=True)
class EmdbMeshes:
    """The mesh of the set's SMPL parameters on the gendered body, and SMPL's own 24 joints on it.

    ``people`` are the bodies by gender, which bring the joint regressors; ``own`` is the model's gender.
    Joints are found on each mesh by its own body's regressor, or on both by the neutral one's.
    """

    people: dict[Gender, Body]
    own: Gender
    neutral: bool

    @property
    def name(self) -> str:
        return "gvhmr-neutral-joints" if self.neutral else "wham-own-joints"

    @property
    def says(self) -> str:
        joints = (
            "found on both meshes by the neutral SMPL's regressor, as in GVHMR and TokenHMR"
            if self.neutral
            else "found on each mesh by its own body's regressor, as in WHAM"
        )
        return (
            f"truth is the gendered SMPL; SMPL's own 24 joints, {joints} (EMDB's own script takes them from "
            "the posed skeletons, of which a mesh does not tell), about the middle of the hips; vertices "
            f"about it too, which others call PVE or MVE; {NO_REFLECTION}"
        )

    def knows(self, sample: Sample) -> bool:
        return sample.parameters is not None and sample.parameters.model == "smpl"

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        genders = [sample.parameters.gender for sample in samples]
        meshes = vertices_of(predicted), _posed(self.people, samples, genders)
        whose: list[list[Gender]] = [[self.own] * len(samples), genders]
        if self.neutral:
            whose = [["neutral"] * len(samples)] * 2
        joints = [_regressed(self.people, *pair) for pair in zip(meshes, whose)]
        hips = [joint[:, SMPL24.root].mean(1, keepdim=True) for joint in joints]
        errors = of_joints(*(joint - hip for joint, hip in zip(joints, hips)))
        return errors | {"mpve_mm": mpjpe(*(mesh - hip for mesh, hip in zip(meshes, hips)))}


def _posed(people: dict[Gender, Body], samples: Sequence[Sample], genders: Sequence[Gender]) -> Tensor:
    """(N, V, 3) meshes of samples' parameters on the bodies of these genders, in camera axes."""
    pose = roma.rotvec_to_rotmat(stacked([sample.parameters.pose for sample in samples]))
    betas = stacked([sample.parameters.betas for sample in samples])
    vertices = pose.new_empty(len(samples), len(next(iter(people.values())).template), 3)
    for person, rows in _by_gender(people, genders):
        vertices[rows] = person.forward(pose[rows], betas[rows]).vertices
    return vertices


def _regressed(people: dict[Gender, Body], meshes: Tensor, genders: Sequence[Gender]) -> Tensor:
    """(N, 24, 3) SMPL's joints on meshes (N, V, 3), by the regressors of these genders."""
    joints = meshes.new_empty(len(meshes), len(SMPL24), 3)
    for person, rows in _by_gender(people, genders):
        joints[rows] = person.regress(meshes[rows], SMPL24.name)
    return joints


def _by_gender(people: dict[Gender, Body], genders: Sequence[Gender]) -> Iterator[tuple[Body, list[int]]]:
    """Each body that is asked for, and where."""
    for gender in sorted(set(genders)):
        if gender not in people:
            raise InputError(
                f"the set holds a {gender} person, but no {gender} SMPL was given: name its body, made "
                f"by `mpt prepare body smpl`, with --{gender} FILE"
            )
        yield people[gender], [row for row, other in enumerate(genders) if other == gender]


def _reported(joints: Tensor) -> Tensor:
    """(N, 17, 3) of Human3.6M -> the 14 reported ones about the pelvis."""
    return h36m17_to_lsp14(joints) - joints[:, PELVIS, None]
