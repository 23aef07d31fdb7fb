"""A rigged GLB as FBX, by Blender's own importer and exporter, where the user has the ``bpy`` package."""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from mpt.errors import InputError

SCRIPT = """
import sys, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=sys.argv[1])
bpy.ops.export_scene.fbx(
    filepath=sys.argv[2], object_types={"ARMATURE", "MESH"}, add_leaf_bones=False, bake_anim=False
)
"""
SECONDS = 300


def check_bpy() -> None:
    """Raises InputError where FBX cannot be written, for want of ``bpy``."""
    if find_spec("bpy") is None:
        raise InputError(
            "fbx is written by Blender's own exporter, whose package bpy is not installed: run `pip install "
            "bpy` (it has wheels for some versions of Python), or write glb and export it from Blender"
        )


def fbx(glb: bytes) -> bytes:
    """FBX of a rigged GLB: armature, skin and pose. Raises InputError where ``bpy`` is missing or fails."""
    check_bpy()
    with tempfile.TemporaryDirectory(prefix="mpt-") as folder:
        source, target = Path(folder) / "rig.glb", Path(folder) / "rig.fbx"
        source.write_bytes(glb)
        command = [sys.executable, "-c", SCRIPT, str(source), str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise InputError(f"Blender wrote no fbx in {SECONDS} s: write glb instead") from None
        if not target.is_file() or not target.stat().st_size:
            reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1][:200]
            raise InputError(f"Blender wrote no fbx ({reason}): write glb instead")
        return target.read_bytes()
