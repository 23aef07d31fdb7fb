"""Motion capture laid on a body: a mesh that moves, in a file that Blender, game engines and browsers play.

python 01_mocap_to_mesh.py walk.bvh

Writes walk.glb (the motion, skinned) and walk.obj (the mesh of its first frame). Any skeleton will do, as
BVH, ASF/AMC, AMASS or npz: which joint is which is found out.
"""

import sys
from pathlib import Path

import numpy as np

from mpt import bodies, mocap
from mpt.bodies.retarget import laid_on
from mpt.export import write_mesh
from mpt.floor import World
from mpt.saving import Saving, save_motion

AS_CAPTURED = World(np.eye(3), np.zeros(3), up_from="model", above_floor_m=None)  # motion is y up already

path = Path(sys.argv[1])
motion = mocap.read(path)  # metres, y up
body = bodies.load("anny")
moving = laid_on(motion, body)  # rotations of the body's bones in each frame, of a person of average build
save_motion(path.with_suffix(".glb"), moving, Saving(), world=AS_CAPTURED)

mesh = moving[0].posed()
write_mesh(path.with_suffix(".obj"), mesh.vertices, body.faces.numpy())
print(f"{len(motion)} frames, {len(motion) / motion.fps:.1f} s; a mesh of {len(mesh.vertices):,} vertices")
