"""Bodies in poses that are known, and what independent readers make of their files."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import roma
import torch

from mpt import bodies
from mpt.bodies.anny import random_pose
from mpt.bodies.pose import BodyPose


def posed_person(seed: int = 0, body: str = "anny") -> BodyPose:
    """Somebody in a drawn pose, as a camera sees people: upside down in its axes, about the mid-hip."""
    generator = torch.Generator().manual_seed(seed)
    whole = bodies.load(body)
    rotvec = 0.6 * roma.rotmat_to_rotvec(random_pose(whole, 1, generator))[0].numpy()
    rotvec[0] = roma.rotvec_composition(
        [torch.tensor([np.pi, 0.0, 0.0]), torch.tensor([0.2, 0.4 * seed, 0.1])]
    ).numpy()
    shape = whole.sample_shapes(1, generator)[0].numpy()
    placeless = BodyPose(whole, rotvec.astype(np.float32), shape, np.zeros(3, np.float32))
    middle = placeless.posed().joints[whole.skeleton.root].mean(0)
    return BodyPose(whole, placeless.rotvec, shape, -middle.astype(np.float32))


def gltf_arrays(file: pygltflib.GLTF2, accessor: int) -> np.ndarray:
    kinds = {5126: np.float32, 5125: np.uint32, 5123: np.uint16}
    widths = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
    told = file.accessors[accessor]
    view = file.bufferViews[told.bufferView]
    start = (view.byteOffset or 0) + (told.byteOffset or 0)
    width = widths[told.type]
    data = np.frombuffer(file.binary_blob(), kinds[told.componentType], told.count * width, start)
    return data.reshape(told.count, width)


def gltf_globals(file: pygltflib.GLTF2) -> np.ndarray:
    """(nodes, 4, 4) of every node, from the scene's roots down."""
    globals_ = np.zeros((len(file.nodes), 4, 4))

    def visit(number: int, above: np.ndarray) -> None:
        node = file.nodes[number]
        local = np.eye(4)
        local[:3, 3] = node.translation or [0, 0, 0]
        local[:3, :3] = roma.unitquat_to_rotmat(
            torch.tensor(node.rotation or [0, 0, 0, 1.0]).double()
        ).numpy()
        globals_[number] = above @ local
        for child in node.children or []:
            visit(child, globals_[number])

    for root in file.scenes[file.scene].nodes:
        visit(root, np.eye(4))
    return globals_


def skinned_by_hand(path: Path | pygltflib.GLTF2) -> list[np.ndarray]:
    """(V, 3) of each skinned mesh of a GLB, by glTF's own equation."""
    file = path if isinstance(path, pygltflib.GLTF2) else pygltflib.GLTF2().load(str(path))
    world, found = gltf_globals(file), []
    for node in file.nodes:
        if node.skin is None:
            continue
        skin = file.skins[node.skin]
        inverse_bind = gltf_arrays(file, skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
        matrices = world[skin.joints] @ inverse_bind
        attributes = file.meshes[node.mesh].primitives[0].attributes
        rest = gltf_arrays(file, attributes.POSITION)
        joints, weights = gltf_arrays(file, attributes.JOINTS_0), gltf_arrays(file, attributes.WEIGHTS_0)
        assert joints.max() < len(skin.joints) and (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
        blend = np.einsum("vk,vkij->vij", weights, matrices[joints])
        found.append(np.einsum("vij,vj->vi", blend[:, :3, :3], rest) + blend[:, :3, 3])
    return found


def validator_says(path: Path) -> list[dict]:
    """What gltf-validator finds in a file; skips where it is not installed."""
    node = shutil.which("node")
    script = "const v = require('gltf-validator');"
    if node is None or subprocess.run([node, "-e", script], capture_output=True, check=False).returncode:
        pytest.skip("node and its gltf-validator are not here (npm install gltf-validator, NODE_PATH)")
    script += (
        "v.validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[1])))"
        ".then(r => console.log(JSON.stringify(r.issues.messages)))"
    )
    said = subprocess.run([node, "-e", script, str(path)], capture_output=True, check=True, text=True)
    return json.loads(said.stdout)
