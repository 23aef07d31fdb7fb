"""How many poses of a set are like each of them: recordings hold hours of walking for a minute on the floor.

Letters: N poses, B moving bones, K joints.
"""

import roma
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mpt.bodies import Body
from mpt.recipes.loop import batches

REFERENCES = 2048
ALIKE = 0.15
"""Distance of joints up to which poses are alike, as a share of the body's size: 8 cm of people."""
AT_ONCE = 4096


def shares_alike(body: Body, rotvec: Tensor) -> Tensor:
    """(N,) float32, which share of the poses is like each: from 1 down to that of one of the REFERENCES.

    rotvec: (N, B, 3) local rotations of the body's moving bones, radians.

    Each pose is compared with at most REFERENCES of them, spread evenly over all, by a Gaussian of the root
    mean square distance of their joints. What none of these is like is as rare as if one were.
    """
    points = facing_joints(body, rotvec).flatten(1)
    rest = facing_joints(body, torch.zeros_like(rotvec[:1]))
    alike = ALIKE**2 * rest.square().sum()  # of squared distances, summed over the joints
    count = min(REFERENCES, len(points))
    spread = torch.linspace(0, len(points) - 1, count, dtype=torch.float64).round().long()
    references = points[spread.to(points.device)]
    shares = []
    for some in batches(len(points), AT_ONCE):
        squared = torch.cdist(points[some], references).square_()
        shares.append(squared.div_(-2 * alike).exp_().mean(1))
    return torch.cat(shares).clamp_min(1 / count)


def facing_joints(body: Body, rotvec: Tensor) -> Tensor:
    """(N, K, 3) joints of poses (N, B, 3) on the mean shape, about their root; people, wherever they face,
    are turned about the vertical until the pelvis has its left at +x, and hands rest in the wrist.
    """
    posable = body.with_bones(body.moving_bones).subset(torch.empty(0, dtype=torch.long)).to(rotvec.device)
    mean = rotvec.new_zeros(1, body.shape_count)
    found = []
    for some in batches(len(rotvec), AT_ONCE):
        rotations = roma.rotvec_to_rotmat(rotvec[some])
        if not body.skeleton.two_sided:
            rotations[:, 0] = torch.eye(3, device=rotvec.device)
        joints = posable(rotations, mean).joints
        x, y, z = (joints - joints[:, body.skeleton.root].mean(1, keepdim=True)).unbind(-1)
        left_x, left_z = normalize(rotations[:, 0, ::2, 0], dim=-1)[:, None].unbind(-1)
        found.append(torch.stack([left_x * x + left_z * z, y, left_x * z - left_z * x], -1))
    return torch.cat(found)
