"""GLB files, read by the format's own rules."""

import json
from pathlib import Path

import numpy as np


def glb_header(path: Path) -> dict:
    data = path.read_bytes()
    return json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])


def glb_attribute(path: Path, name: str, mesh: int = 0) -> np.ndarray:
    """(V, 3) vertex attribute of a mesh."""
    data, header = path.read_bytes(), glb_header(path)
    binary = data[28 + int.from_bytes(data[12:16], "little") :]
    accessor = header["accessors"][header["meshes"][mesh]["primitives"][0]["attributes"][name]]
    start = header["bufferViews"][accessor["bufferView"]].get("byteOffset", 0) + accessor.get("byteOffset", 0)
    return np.frombuffer(binary, np.float32, 3 * accessor["count"], start).reshape(-1, 3)
