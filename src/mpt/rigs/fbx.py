"""A rigged GLB as FBX, by Blender's own importer and exporter: the package ``bpy``, or the program."""

import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from mpt.errors import InputError

SCRIPT = """
import sys, bpy
source, target, fps = sys.argv[-3], sys.argv[-2], float(sys.argv[-1])
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps = round(fps)
scene.render.fps_base = round(fps) / fps
bpy.ops.import_scene.gltf(filepath=source, bone_heuristic="BLENDER")
for thing in list(bpy.data.objects):
    if thing.type == "MESH" and not thing.modifiers:  # by which the importer draws bones
        bpy.data.objects.remove(thing)
spans = [action.frame_range for action in bpy.data.actions]
if spans:
    scene.frame_start = round(min(first for first, last in spans))
    scene.frame_end = round(max(last for first, last in spans))
bpy.ops.export_scene.fbx(
    filepath=target,
    object_types={"ARMATURE", "MESH"},
    apply_scale_options="FBX_SCALE_ALL",
    add_leaf_bones=False,
    bake_anim=bool(spans),
    bake_anim_use_nla_strips=False,
    bake_anim_use_all_actions=False,
    bake_anim_simplify_factor=0,
)
"""
SECONDS = 300


def check_bpy() -> None:
    """Raises InputError where FBX cannot be written, for want of Blender."""
    if _blender() is None:
        raise InputError(
            "fbx is written by Blender's own exporter, whose package bpy is not installed: run `pip install "
            "bpy` (it has wheels for some versions of Python), or install Blender and have its command "
            "`blender` on the PATH, or write glb and export it from Blender"
        )


def fbx(glb: bytes, fps: float) -> bytes:
    """FBX of a rigged GLB: armature, skin and pose, and its animation at so many frames a second.

    Raises InputError where Blender is missing or fails.
    """
    check_bpy()
    with tempfile.TemporaryDirectory(prefix="mpt-") as folder:
        script, source, target = (Path(folder) / name for name in ("script.py", "rig.glb", "rig.fbx"))
        script.write_text(SCRIPT)
        source.write_bytes(glb)
        command = [*(_blender() or []), str(script), "--", str(source), str(target), repr(fps)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise InputError(f"Blender wrote no fbx in {SECONDS} s: write glb instead") from None
        if not target.is_file() or not target.stat().st_size:
            reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1][:200]
            raise InputError(f"Blender wrote no fbx ({reason}): write glb instead")
        return target.read_bytes()


def _blender() -> list[str] | None:
    """The command that runs a script in Blender; None where there is none."""
    if find_spec("bpy") is not None:
        return [sys.executable]
    program = shutil.which("blender")
    return [program, "--background", "--factory-startup", "--python"] if program else None
