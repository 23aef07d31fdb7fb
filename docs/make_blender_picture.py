"""What Blender makes of the demo's everybody.glb, drawn by Blender: python docs/make_blender_picture.py

Left as it is imported, with its bones; in the middle some joints turned further there; right at rest. Needs a
Python with both mpt and the package bpy, and draws on a CPU.
"""

import tempfile
from pathlib import Path

import bpy
import cv2
import numpy as np
from mathutils import Matrix, Vector

import mpt
from mpt.export import write_picture
from mpt.results import world_of_people
from mpt.saving import Saving, save_together
from mpt.scenes import demo_scenes

PICTURE = Path(__file__).parent / "pictures" / "blender.png"
SIZE = (400, 400)
SAMPLES = 32
TURNS = {
    "lowerarm01.L": ("X", 70),
    "lowerarm01.R": ("X", 70),
    "upperarm01.L": ("Z", 40),
    "upperarm01.R": ("Z", -40),
    "lowerleg01.L": ("X", -60),
    "head": ("Y", 50),
}
"""Bones, the axes of their own about which they are turned further, and degrees."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "everybody.glb"
        scene = next(scene for scene in demo_scenes() if scene.name == "family")
        people = mpt.load()(scene.image)
        save_together(path, people, Saving(), world_of_people(people))
        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.ops.import_scene.gltf(filepath=str(path), disable_bone_shape=True)
        stage()
        armatures = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]
        for skin in (thing for thing in bpy.data.objects if thing.type == "MESH" and thing.modifiers):
            make_glassy(skin.data.materials[0])
        panels = [drawn(armatures, Path(folder) / "imported.png")]
        for armature in armatures:
            for name, (axis, degrees) in TURNS.items():
                bone = armature.pose.bones[name]
                bone.matrix_basis = bone.matrix_basis @ Matrix.Rotation(np.radians(degrees), 4, axis)
        panels.append(drawn(armatures, Path(folder) / "turned.png"))
        for armature in armatures:
            armature.data.pose_position = "REST"
        panels.append(drawn(armatures, Path(folder) / "rest.png"))
    write_picture(PICTURE, np.concatenate(panels, 1))


def stage() -> None:
    """A floor at z = 0 with lines every half metre, a light, a camera, and Cycles on the CPU."""
    for x in np.arange(-3, 3.1, 0.5):
        for size, place in (((0.012, 6, 0.002), (x, 0, 0)), ((6, 0.012, 0.002), (0, x, 0))):
            bpy.ops.mesh.primitive_cube_add(size=1, location=place)
            bpy.context.object.scale = size
            bpy.context.object.data.materials.append(plain("line", (0.25, 0.25, 0.25)))
    bpy.ops.mesh.primitive_plane_add(size=200, location=(0, 0, -0.002))
    bpy.context.object.data.materials.append(plain("floor", (0.75, 0.75, 0.72)))
    bpy.ops.object.light_add(type="SUN", rotation=(0.7, 0.3, 0.4))
    bpy.context.object.data.energy = 2.5
    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = (0.8, 0.85, 0.95, 1)
    scene.world.node_tree.nodes["Background"].inputs[1].default_value = 0.7
    eye, aim = Vector((1.6, -6.0, 2.3)), Vector((0.1, 0, 0.72))
    bpy.ops.object.camera_add(location=eye, rotation=(aim - eye).to_track_quat("-Z", "Y").to_euler())
    bpy.context.object.data.lens = 60
    scene.camera = bpy.context.object
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", SAMPLES
    scene.cycles.transparent_max_bounces = 16
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.view_settings.view_transform = "Standard"


def drawn(armatures: list, path: Path) -> np.ndarray:
    """The scene (H, W, 3), RGB, and each bone as Blender shows it: an octahedron from head to tail."""
    scene, bones = bpy.context.scene, bpy.data.meshes.new("bones")
    bpy.context.view_layer.update()
    corners, faces = [], []
    for armature in armatures:
        rest = armature.data.pose_position == "REST"
        for bone in armature.pose.bones:
            matrix = armature.matrix_world @ (bone.bone.matrix_local if rest else bone.matrix)
            length = bone.bone.length
            wide, first = min(0.1 * length, 0.02), len(corners)
            ring = [(wide, 0.1, 0), (0, 0.1, wide), (-wide, 0.1, 0), (0, 0.1, -wide)]
            shape = [(0, 0, 0), *((x, y * length, z) for x, y, z in ring), (0, length, 0)]
            corners += [matrix @ Vector(corner) for corner in shape]
            for k in range(4):
                after = (k + 1) % 4
                faces += [
                    (first, first + 1 + after, first + 1 + k),
                    (first + 5, first + 1 + k, first + 1 + after),
                ]
    bones.from_pydata(corners, [], faces)
    bones.materials.append(plain("bone", (0.8, 0.2, 0.0)))
    thing = bpy.data.objects.new("bones", bones)
    scene.collection.objects.link(thing)
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    bpy.data.objects.remove(thing)
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def plain(name: str, colour: tuple[float, float, float]):
    """A matt material."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Roughness"].default_value = 0.8
    return material


def make_glassy(material) -> None:
    """Let bones be seen through skin and clothes, in the colours in which they came."""
    material.node_tree.nodes["Principled BSDF"].inputs["Alpha"].default_value = 0.5


if __name__ == "__main__":
    main()
