"""A posed body seen by a virtual camera: the heatmaps that mesh pre-training learns from, and their truth.

python 02_mesh_to_heatmaps.py walk.bvh

Writes heatmaps.png: all joints' maps as one picture, perfect ones on the left, on the right as wide, faint
and wrong as a detector's. No photo is needed for either; millions of such pairs are what a model learns from.
"""

import sys

import numpy as np
import torch

from mpt import bodies, heatmaps, mocap
from mpt.bodies.retarget import laid_on
from mpt.cameras import RandomCameras
from mpt.crops import Crop, apply
from mpt.export import write_picture
from mpt.pose2d.base import CROP_FACTOR

SIZE = 224  # pixels of a crop's side

body = bodies.load("anny", skeleton="coco17")
first = laid_on(mocap.read(sys.argv[1]), body)[0].posed()
joints = torch.from_numpy(first.joints)  # (17, 3) metres, regressed from the mesh

camera = RandomCameras().draw(1, torch.Generator().manual_seed(0))
middle_of_hips = joints[list(body.skeleton.root)].mean(0)
seen = camera.world_to_camera((joints - middle_of_hips)[None])  # (1, 17, 3) x right, y down, z forward
pixels = camera.project(seen)[0].numpy()
crop = Crop.around(pixels, CROP_FACTOR)
points = torch.from_numpy(apply(crop.crop_from_image(SIZE), pixels)).float()[None]

perfect = heatmaps.render(heatmaps.blobs(points), SIZE)  # (1, 17, 224, 224) in [0, 1]
visible = torch.ones(1, len(body.skeleton), dtype=torch.bool)
blobs, floor = heatmaps.perturb(
    points,
    visible,
    body.skeleton,
    heatmaps.DETECTOR,
    SIZE,
    torch.Generator().manual_seed(0),
    depth=seen[..., 2],
)
detected = heatmaps.add_floor(heatmaps.render(blobs, SIZE), floor)

picture = torch.cat([perfect[0].amax(0), detected[0].amax(0)], 1).clamp(0, 1)  # the brightest of 17 maps
grey = np.uint8(255 * picture.numpy()[..., None].repeat(3, -1))
write_picture("heatmaps.png", grey)
off = (heatmaps.decode(detected)[0, :, :2] - points[0]).norm(dim=-1)
print(
    f"heatmaps.png: detector-like maps are off by {off.median():.1f} pixels of {SIZE} (median of 17 joints)"
)
