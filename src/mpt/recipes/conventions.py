"""The field's conventions: how errors are counted on Human3.6M, 3DPW, EMDB, FreiHAND, and on labelled photos.

Figures are comparable only under one convention, so each has a name and says in words what it does. All of
them count in the axes of the photo's camera, to which a network's answer is brought by the ray through the
person's root (``mpt.views``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import roma
import torch
from torch import Tensor

from mpt.alignment import procrustes
from mpt.bodies import Body
from mpt.bodies.smpl import Gender, h36m17_to_lsp14
from mpt.datasets import freihand, human36m, tdpw
from mpt.datasets.sample import BOX_FACTOR, Joints3D, Sample, Samples
from mpt.errors import InputError
from mpt.metrics import auc, f_score, mpjpe, pa_mpjpe, pck
from mpt.recipes.predicting import Predicted
from mpt.skeletons import COCO17, H36M17, HAND21, SMPL24, begin_alike, core, remap

Name = Literal["h36m", "3dpw", "emdb", "freihand", "folder", "rendered"]
TITLES = {
    "h36m": "Human3.6M, protocol 2: S9 and S11, frontal camera",
    "3dpw": "3DPW, test set",
    "emdb": "EMDB-1",
    "freihand": "FreiHAND, evaluation set",
    "folder": "photos with COCO keypoints",
    "rendered": "rendered pictures, held out",
}
BENCHMARK_OF_SET: dict[str, Name] = {human36m.NAME: "h36m", tdpw.NAME: "3dpw", freihand.NAME: "freihand"}
NO_REFLECTION = "PA by a similarity of each sample, no reflection"
PELVIS = H36M17.index("pelvis")
LIMBS = [COCO17.index(joint) for joint in COCO17.joints[5:]]
HIPS_OF_LIMBS = [LIMBS.index(hip) for hip in COCO17.root]


class Convention(Protocol):
    """How errors are counted."""

    @property
    def name(self) -> str:
        """Short and without spaces."""
        ...

    @property
    def says(self) -> str:
        """The convention in words."""
        ...

    def knows(self, sample: Sample) -> bool:
        """Whether the data set tells the truth that is asked."""
        ...

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        """(N,) of each error, the most telling first."""
        ...


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
        truth = _stack([sample.joints.on(H36M17).xyz_m for sample in samples])
        return _of_joints(*map(_reported, (self.body.regress(_vertices(predicted), H36M17.name), truth)))


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
        meshes = _vertices(predicted), _posed(self.people, samples, genders)
        joints = [self.body.regress(mesh, H36M17.name) for mesh in meshes]
        rooted = [mesh - joint[:, PELVIS, None] for mesh, joint in zip(meshes, joints)]
        return _of_joints(*map(_reported, joints)) | {"mpve_mm": mpjpe(*rooted)}


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
        meshes = _vertices(predicted), _posed(self.people, samples, genders)
        whose: list[list[Gender]] = [[self.own] * len(samples), genders]
        if self.neutral:
            whose = [["neutral"] * len(samples)] * 2
        joints = [_regressed(self.people, *pair) for pair in zip(meshes, whose)]
        hips = [joint[:, SMPL24.root].mean(1, keepdim=True) for joint in joints]
        errors = _of_joints(*(joint - hip for joint, hip in zip(joints, hips)))
        return errors | {"mpve_mm": mpjpe(*(mesh - hip for mesh, hip in zip(meshes, hips)))}


def _posed(people: dict[Gender, Body], samples: Sequence[Sample], genders: Sequence[Gender]) -> Tensor:
    """(N, V, 3) meshes of samples' parameters on the bodies of these genders, in camera axes."""
    pose = roma.rotvec_to_rotmat(_stack([sample.parameters.pose for sample in samples]))
    betas = _stack([sample.parameters.betas for sample in samples])
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


@dataclass(frozen=True)
class OwnMeshes:
    """The set's own meshes of the model's body, and the joints beside them."""

    body: Body
    name: str = "own-mesh"

    @property
    def says(self) -> str:
        return (
            f"the joints of {core(self.body.skeleton).name} by the body's regressor on the predicted mesh, "
            f"about the root, against the set's own; vertices about it too; {NO_REFLECTION}"
        )

    def knows(self, sample: Sample) -> bool:
        if sample.vertices_m is None or sample.joints is None:
            return False
        return bool(sample.joints.on(core(self.body.skeleton)).known.all())

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        skeleton = core(self.body.skeleton)
        mesh, truth = _vertices(predicted), _stack([sample.vertices_m for sample in samples])
        joints = self.body.regress(mesh)[:, : len(skeleton)]
        true = _stack([sample.joints.on(skeleton).xyz_m for sample in samples])
        roots = [x[:, skeleton.root].mean(1, keepdim=True) for x in (joints, true)]
        errors = _of_joints(joints - roots[0], true - roots[1])
        return errors | {"mpve_mm": mpjpe(mesh - roots[0], truth - roots[1])}


@dataclass(frozen=True)
class LimbJoints:
    """Joints of the limbs, which every set and every body has somehow; for bodies that are not SMPL."""

    body: Body
    name: str = "coco-limbs"
    says: str = (
        "the 12 COCO joints of the limbs by the model's own body, about the middle of the hips, against the "
        "set's joints of the same names, which lie up to some centimetres elsewhere: not comparable with "
        "figures of SMPL; " + NO_REFLECTION
    )

    def knows(self, sample: Sample) -> bool:
        return sample.joints is not None and bool(_named(sample.joints)[1].all())

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        truth = _stack([_named(sample.joints)[0] for sample in samples])
        mine = self.body.regress(_vertices(predicted))[:, LIMBS]
        return _of_joints(*(x - x[:, HIPS_OF_LIMBS].mean(1, keepdim=True) for x in (mine, truth)))


@dataclass(frozen=True)
class Hands:
    """FreiHAND's evaluation; vertices only of meshes of MANO's."""

    body: Body
    name: str = "freihand"

    @property
    def says(self) -> str:
        lacking = "" if self._mano else "; vertices are not compared, the mesh is not MANO's"
        return (
            "FreiHAND's own alignment, joints by joints and vertices by vertices: a similarity of each "
            f"sample that may reflect; AUC up to 50 mm{lacking}"
        )

    @property
    def _mano(self) -> bool:
        return len(self.body.template) == freihand.VERTICES

    def knows(self, sample: Sample) -> bool:
        joints = sample.joints is not None and bool(sample.joints.known.all())
        return joints and (sample.vertices_m is not None or not self._mano)

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        mesh = _vertices(predicted)
        truth = _stack([sample.joints.xyz_m for sample in samples])
        joints = procrustes(self.body.regress(mesh), truth, reflection=True)
        errors = {"pa_mpjpe_mm": mpjpe(joints, truth), "auc_joints": auc(joints, truth)}
        if not self._mano:
            return errors
        surface = _stack([sample.vertices_m for sample in samples])
        mesh = procrustes(mesh, surface, reflection=True)
        return {
            "pa_mpvpe_mm": mpjpe(mesh, surface),
            **errors,
            "f_5": f_score(mesh, surface, 5),
            "f_15": f_score(mesh, surface, 15),
            "auc_vertices": auc(mesh, surface),
        }


@dataclass(frozen=True)
class Reprojection:
    """Where the model's own camera puts its joints, against labelled 2D joints."""

    name: str = "reprojection"
    says: str = (
        "the mesh's COCO joints through the model's own camera against the labelled ones; px, percent of the "
        "person's box (its longer side), and the share of labelled joints within 5 and 10 percent of it, "
        "each the mean over people"
    )

    def knows(self, sample: Sample) -> bool:
        return sample.keypoints is not None and bool((sample.keypoints.on(COCO17).confidence > 0).any())

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        keypoints = [sample.keypoints.on(COCO17) for sample in samples]
        truth = _stack([k.xy_px for k in keypoints])
        mine = _stack([p.points_px[: len(COCO17)] for p in predicted])
        known = _stack([k.confidence for k in keypoints]) > 0
        box = _stack([np.array(sample.crop.side_px / BOX_FACTOR) for sample in samples])
        off = (torch.where(known, (mine - truth).norm(dim=-1), 0)).sum(-1) / known.sum(-1)
        return {
            "error_percent": 100 * off / box,
            "error_px": off,
            "pck_5": pck(mine, truth, 0.05 * box, known),
            "pck_10": pck(mine, truth, 0.10 * box, known),
        }


def _of_joints(predicted: Tensor, truth: Tensor) -> dict[str, Tensor]:
    return {"mpjpe_mm": mpjpe(predicted, truth), "pa_mpjpe_mm": pa_mpjpe(predicted, truth)}


def _reported(joints: Tensor) -> Tensor:
    """(N, 17, 3) of Human3.6M -> the 14 reported ones about the pelvis."""
    return h36m17_to_lsp14(joints) - joints[:, PELVIS, None]


def _named(joints: Joints3D) -> tuple[np.ndarray, np.ndarray]:
    """The limbs' joints (12, 3) and whether they are known; of SMPL's own, the centres of rotation."""
    if joints.skeleton is SMPL24:
        index = remap(SMPL24, COCO17)[LIMBS]
        return joints.xyz_m[index], joints.known[index]
    joints = joints.on(COCO17)
    return joints.xyz_m[LIMBS], joints.known[LIMBS]


def _vertices(predicted: Sequence[Predicted]) -> Tensor:
    return _stack([p.vertices_m for p in predicted])


def _stack(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).double()


def conventions(
    name: Name, body: Body, people: dict[Gender, Body] | None = None
) -> tuple[list[Convention], list[str]]:
    """The conventions by which a model of this body can be measured, and why others cannot, in sentences.

    people: SMPL bodies by gender, for 3DPW and EMDB; the model's own is added where its gender has none.

    Raises:
        InputError: the benchmark shows hands and the body is whole, or the other way round; an SMPL body
            without Human3.6M's regressor, or for EMDB without that of SMPL's joints; no body for any of
            3DPW's conventions, or for EMDB's women or men; a body for EMDB that is no SMPL.
    """
    wanted = HAND21 if name == "freihand" else COCO17
    if not begin_alike(body.skeleton, wanted):
        raise InputError(
            f"the model was made for the joints of {body.skeleton.name}, but {TITLES[name]} asks for those "
            f"of {wanted.name}: give another model"
        )
    body = body.to(dtype=torch.float64)
    if name == "freihand":
        return [Hands(body)], []
    if name == "rendered":
        return [OwnMeshes(body)], []
    if name == "folder":
        return [Reprojection()], []
    if name == "emdb" and body.metadata.get("shape_space") != "smpl":
        raise InputError(
            f"EMDB's truth is a mesh of SMPL, and the model's body is {body.name}: give a model that was "
            "trained on SMPL"
        )
    if body.metadata.get("shape_space") != "smpl":
        return [LimbJoints(body)], [f"{body.name} has no regressor of Human3.6M's joints."]
    everybody: dict[Gender, Body] = {body.metadata["gender"]: body}
    for gender, person in (people or {}).items():
        everybody[gender] = person.to(dtype=torch.float64)
    _check_people(everybody)
    if name == "emdb":
        return _on_emdb(everybody, body.metadata["gender"])
    if H36M17.name not in body.regressors:
        raise InputError(
            f"{body.name}: has no regressor of Human3.6M's joints; make the body file again with "
            "`mpt prepare body smpl FILE --h36m-regressor J_regressor_h36m.npy`"
        )
    if name == "h36m":
        return [Human36MJoints(body)], []
    found: list[Convention] = []
    notes = []
    if "neutral" in everybody:
        found.append(SmplMeshes(body, everybody, neutral=True))
    else:
        notes.append("metro-neutral is left out: it needs --neutral FILE.")
    if {"female", "male"} <= everybody.keys():
        found.append(SmplMeshes(body, everybody, neutral=False))
    else:
        notes.append("spin-gendered is left out: it needs --female FILE and --male FILE.")
    if not found:
        raise InputError(
            "3DPW's truth is a mesh of SMPL: name --neutral FILE, or --female FILE and --male FILE, bodies "
            "made by `mpt prepare body smpl`"
        )
    return found, notes


def _on_emdb(people: dict[Gender, Body], own: Gender) -> tuple[list[Convention], list[str]]:
    """EMDB's, and why one is missing. Refuses at once what would fail at the first woman or man."""
    if missing := sorted({"female", "male"} - people.keys()):
        raise InputError(
            f"EMDB's truth is the gendered SMPL: name {' and '.join(f'--{g} FILE' for g in missing)}, bodies "
            "made by `mpt prepare body smpl`"
        )
    for gender, person in people.items():
        if SMPL24.name not in person.regressors:
            # Not with --body: a model knows its own body by the very file.
            raise InputError(
                f"{person.name}: has no regressor of SMPL's own joints, as body files made before had none; "
                f"make it again with `mpt prepare body smpl` and name it with --{gender} FILE"
            )
    found: list[Convention] = [EmdbMeshes(people, own, neutral=False)]
    if "neutral" in people:
        return [*found, EmdbMeshes(people, own, neutral=True)], []
    return found, ["gvhmr-neutral-joints is left out: it needs --neutral FILE."]


def convention_of(samples: Samples, body: Body) -> Convention:
    """By which a model of this body is validated on a data set: the first that `mpt evaluate` has for it,
    else what the first sample allows. Raises InputError as :func:`conventions` does, or where it allows none.
    """
    if name := BENCHMARK_OF_SET.get(samples.dataset):
        return conventions(name, body)[0][0]
    body = body.to(dtype=torch.float64)
    candidates: list[Convention] = [OwnMeshes(body)]
    if begin_alike(body.skeleton, COCO17):
        neutral = body.metadata.get("gender") == "neutral" and H36M17.name in body.regressors
        candidates += [SmplMeshes(body, {"neutral": body}, neutral=True)] if neutral else []
        candidates += [LimbJoints(body)]
    else:
        candidates += [Hands(body)]
    found = next((rule for rule in candidates if rule.knows(samples[0])), None)
    if found is None:
        raise InputError(
            f"{samples.dataset} tells too few joints in 3D to validate by: choose a data set with 3D truth"
        )
    return found


def _check_people(people: dict[Gender, Body]) -> None:
    for gender, person in people.items():
        if person.metadata.get("gender") != gender:
            raise InputError(
                f"--{gender} names the body {person.name}: give the {gender} SMPL, made by "
                f"`mpt prepare body smpl FILE --gender {gender}`"
            )
