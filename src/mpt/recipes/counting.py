"""How errors are counted on one sample after another: of the set's own meshes, of limbs, of hands, in 2D."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mpt.alignment import procrustes
from mpt.bodies import Body
from mpt.datasets import freihand
from mpt.datasets.sample import BOX_FACTOR, Joints3D, Sample
from mpt.metrics import auc, f_score, mpjpe, pa_mpjpe, pck
from mpt.recipes.predicting import Predicted
from mpt.skeletons import COCO17, SMPL24, core, remap

NO_REFLECTION = "PA by a similarity of each sample, no reflection"
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
        mesh, truth = vertices_of(predicted), stacked([sample.vertices_m for sample in samples])
        joints = self.body.regress(mesh)[:, : len(skeleton)]
        true = stacked([sample.joints.on(skeleton).xyz_m for sample in samples])
        roots = [x[:, skeleton.root].mean(1, keepdim=True) for x in (joints, true)]
        errors = of_joints(joints - roots[0], true - roots[1])
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
        truth = stacked([_named(sample.joints)[0] for sample in samples])
        mine = self.body.regress(vertices_of(predicted))[:, LIMBS]
        return of_joints(*(x - x[:, HIPS_OF_LIMBS].mean(1, keepdim=True) for x in (mine, truth)))


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
        mesh = vertices_of(predicted)
        truth = stacked([sample.joints.xyz_m for sample in samples])
        joints = procrustes(self.body.regress(mesh), truth, reflection=True)
        errors = {"pa_mpjpe_mm": mpjpe(joints, truth), "auc_joints": auc(joints, truth)}
        if not self._mano:
            return errors
        surface = stacked([sample.vertices_m for sample in samples])
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
        truth = stacked([k.xy_px for k in keypoints])
        mine = stacked([p.points_px[: len(COCO17)] for p in predicted])
        known = stacked([k.confidence for k in keypoints]) > 0
        box = stacked([np.array(sample.crop.side_px / BOX_FACTOR) for sample in samples])
        off = (torch.where(known, (mine - truth).norm(dim=-1), 0)).sum(-1) / known.sum(-1)
        return {
            "error_percent": 100 * off / box,
            "error_px": off,
            "pck_5": pck(mine, truth, 0.05 * box, known),
            "pck_10": pck(mine, truth, 0.10 * box, known),
        }


def _named(joints: Joints3D) -> tuple[np.ndarray, np.ndarray]:
    """The limbs' joints (12, 3) and whether they are known; of SMPL's own, the centres of rotation."""
    if joints.skeleton is SMPL24:
        index = remap(SMPL24, COCO17)[LIMBS]
        return joints.xyz_m[index], joints.known[index]
    joints = joints.on(COCO17)
    return joints.xyz_m[LIMBS], joints.known[LIMBS]


def of_joints(predicted: Tensor, truth: Tensor) -> dict[str, Tensor]:
    return {"mpjpe_mm": mpjpe(predicted, truth), "pa_mpjpe_mm": pa_mpjpe(predicted, truth)}


def vertices_of(predicted: Sequence[Predicted]) -> Tensor:
    return stacked([p.vertices_m for p in predicted])


def stacked(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).double()
