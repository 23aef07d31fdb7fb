"""Error of the packaged Anny body against the `anny` library, in mm.

python benchmarks/body_parity.py [count]
"""

import sys
import time

import roma
import torch

from mpt.bodies import anny, load

torch.set_num_threads(1)
count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
body = load("anny")
generator = torch.Generator().manual_seed(11)
people = body.phenotypes.sample_phenotypes(20 * count, generator)
adult = people[:, 1] > 0.7699
low, high = (torch.tensor([ends[i] for ends in anny.ANCHORS.values()]) for i in (0, -1))
groups = {
    "adults": people[adult][:count],
    "children, 3 to 17": people[~adult][:count],
    "any phenotypes, newborns too": low + torch.rand(count, 6, generator=generator) * (high - low),
}
print(f"{'':30}{'vertices: mean':>15}{'p99':>8}{'max':>8}{'joints: mean':>15}{'max':>8}")
for name, some in groups.items():
    rotations = anny.random_pose(body, len(some), generator)
    rotations[:, [body.bones.index(f"toe1-1.{side}") for side in "LR"]] = torch.eye(3)
    truth = anny.library_output(body, some, rotations)
    ours = body(rotations, body.phenotypes.shape(some))
    vertices = ((ours.vertices - truth.vertices).norm(dim=-1) * 1000).flatten()
    joints = ((ours.joints - truth.joints).norm(dim=-1) * 1000).flatten()
    p99 = vertices.kthvalue(int(0.99 * len(vertices)))[0]
    row = (vertices.mean(), p99, vertices.max(), joints.mean(), joints.max())
    print(f"{name:30}" + "".join(f"{value:{width}.3f}" for value, width in zip(row, (15, 8, 8, 15, 8))))

for coarse in body.coarse:
    posed = body(anny.random_pose(body, 40, generator), body.sample_shapes(40, generator)).vertices
    error = ((coarse.upsample(posed[:, coarse.index]) - posed).norm(dim=-1) * 1000).flatten()
    p99 = error.kthvalue(int(0.99 * len(error)))[0]
    print(f"upsampled from {len(coarse)}: mean {error.mean():.2f}, p99 {p99:.2f}, max {error.max():.1f}")

few = body.with_bones(body.moving_bones)
some = few.subset(torch.randperm(len(body.template), generator=generator)[:1000])
shape = body.sample_shapes(64, generator)
for name, part in (("13,718 vertices, 104 bones", body), ("13,718, 22", few), ("1,000, 22", some)):
    rotations = roma.random_rotmat(64 * len(part.bones)).view(64, -1, 3, 3)
    seconds = []
    with torch.no_grad():
        for _ in range(12):
            start = time.perf_counter()
            part(rotations, shape)
            seconds.append(time.perf_counter() - start)
    print(f"{name}: {sorted(seconds)[5] / 64 * 1000:.3f} ms per body at batch 64 on one core")
