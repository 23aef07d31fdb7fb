"""A rigged GLB as FBX, by Blender's own importer and exporter, where the user has the ``bpy`` package."""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from mpt.errors import InputError

SCRIPT = """
import sys, bpy
source, target, fps = sys.argv[1], sys.argv[2], float(sys.argv[3])
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps = round(fps)
scene.render.fps_base = round(fps) / fps
bpy.ops.import_scene.gltf(filepath=source, disable_bone_shape=True, bone_heuristic="BLENDER")
ranges = [action.frame_range for action in bpy.data.actions]
if ranges:
    scene.frame_start, scene.frame_end = round(min(r[0] for r in ranges)), round(max(r[1] for r in ranges))
bpy.ops.export_scene.fbx(
    filepath=target,
    object_types={"ARMATURE", "MESH"},
    apply_scale_options="FBX_SCALE_ALL",
    add_leaf_bones=False,
    bake_anim=bool(ranges),
    bake_anim_use_nla_strips=False,
    bake_anim_use_all_actions=False,
    bake_anim_simplify_factor=0,
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


def fbx(glb: bytes, fps: float) -> bytes:
    """FBX of a rigged GLB: armature, skin and pose, and its animation baked at so many frames a second.

    Raises InputError where ``bpy`` is missing or fails.
    """
    check_bpy()
    with tempfile.TemporaryDirectory(prefix="mpt-") as folder:
        source, target = Path(folder) / "rig.glb", Path(folder) / "rig.fbx"
        source.write_bytes(glb)
        command = [sys.executable, "-c", SCRIPT, str(source), str(target), repr(fps)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise InputError(f"Blender wrote no fbx in {SECONDS} s: write glb instead") from None
        if not target.is_file() or not target.stat().st_size:
            reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1][:200]
            raise InputError(f"Blender wrote no fbx ({reason}): write glb instead")
        return target.read_bytes()
