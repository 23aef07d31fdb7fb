"""What a batch of photos knows on a body: meshes, joints, where they are seen.

A true mesh comes from the data set, or from its SMPL parameters on the body; where there is one, the true
joints are regressed from it, else they are the data set's own.

What Human3.6M calls a hip is not what COCO's annotators call one, nor SMPL's. On an SMPL body that has both
regressors (:func:`by_source`) the joints of Human3.6M and of sets like it are compared with what its own
regressor finds on the predicted mesh, and the 2D joints of their photos are COCO's on the true mesh. Without
them every set's joints are taken by name.

Letters: N samples, K joints, V vertices.
"""

from typing import NamedTuple

import roma
import torch
from torch import Tensor

from mpt.bodies import Body
from mpt.cameras import fit_translation
from mpt.datasets.loading import Example
from mpt.skeletons import H36M17

ENOUGH_POINTS = 6  # to place a mesh by


class Truth(NamedTuple):
    """What is known of N samples: the network's axes (``mpt.views``), metres about the root; the crop's
    [-1, 1]. Weights are 0 where nothing is known; what stands there then may be anything.
    """

    vertices: Tensor  # (N, V, 3)
    vertices_known: Tensor  # (N,) bool
    joints: Tensor  # (N, K, 3)
    joints_known: Tensor  # (N, K) bool
    points: Tensor  # (N, K, 2)
    points_known: Tensor  # (N, K) confidence in [0, 1]
    h36m_joints: Tensor  # (N, 17, 3) about the middle of Human3.6M's own hips
    h36m_known: Tensor  # (N, 17) bool


def truth_of(example: Example, body: Body) -> Truth:
    """What a batch of examples knows, on a body. SMPL parameters count where the body is SMPL (or MANO).

    A body of one gender, or a neutral one, takes the betas of all, as METRO's lineage does.
    """
    vertices, known = example.vertices, example.vertices_known
    posable = example.parameters_known & ~known
    if body.metadata.get("shape_space") in ("smpl", "mano") and posable.any():
        shape = example.betas.new_zeros(len(known), body.shape_count)
        count = min(body.shape_count, example.betas.shape[1])
        shape[:, :count] = example.betas[:, :count]
        rotations = roma.rotvec_to_rotmat(torch.where(posable[:, None, None], example.pose, 0.0))
        posed = body(rotations, torch.where(posable[:, None], shape, 0.0)).vertices
        vertices = torch.where(posable[:, None, None], posed, vertices)
        known = known | posable
    regressed = body.regress(torch.where(known[:, None, None], vertices, 0.0))
    root = regressed[:, body.skeleton.root].mean(1, keepdim=True)
    points, points_known = example.points, example.points_known
    placed = known & ((example.h36m_points_known > 0).sum(1) >= ENOUGH_POINTS)
    if placed.any():
        points, points_known = points.clone(), points_known.clone()
        points[placed] = _seen_points(vertices[placed], regressed[placed], body, example, placed)
        points_known[placed] = 1
    return Truth(
        vertices - root,
        known,
        torch.where(known[:, None, None], regressed - root, example.joints),
        example.joints_known | known[:, None],
        points,
        points_known,
        example.h36m_joints,
        example.h36m_joints_known,
    )


def _seen_points(vertices: Tensor, joints: Tensor, body: Body, example: Example, rows: Tensor) -> Tensor:
    """(n, K, 2) where the joints of true meshes (n, V, 3) are seen in the crop, when each mesh is placed so
    that its joints of Human3.6M are seen where those ``rows`` of the batch tell.
    """
    projection = example.ndc_from_network[rows].double()
    told = example.h36m_points[rows].double(), example.h36m_points_known[rows].double()
    shift = fit_translation(body.regress(vertices, H36M17.name).double(), *told, projection)
    seen = (joints.double() + shift[:, None]) @ projection.mT
    return (seen[..., :2] / seen[..., 2:]).float()


def by_source(body: Body) -> bool:
    """Whether a body tells Human3.6M's joints from COCO's."""
    return bool(body.metadata.get("coco_regressor")) and H36M17.name in body.regressors


def says_of_joints(body: Body) -> str:
    """In words, for the run's header."""
    if by_source(body):
        return "2D by COCO's regressor, 3D by the regressor of the set that tells them"
    if body.metadata.get("shape_space") != "smpl":
        return "of every set by name"
    return (
        "of every set by name, on SMPL's own; bodies made with --coco-regressor and --h36m-regressor tell "
        "Human3.6M's hips, 6 cm farther out, from COCO's"
    )
