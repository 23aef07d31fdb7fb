"""``mpt animate``: somebody's motion on a character of one's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from mpt.cli.common import OK


@dataclass(frozen=True)
class Animate:
    """Put a motion on your own character: a skinned GLB, VRM (0.x, 1.0) or glTF.

    A copy of the file is written that has one animation more, and else is the same byte for byte: mesh,
    materials, textures, other animations. Limbs point where the person's do, whatever pose the character
    rests in (T, A) and however its bones are turned; it keeps its proportions, and its feet their floor.
    Bones are known as Mixamo, VRM, Rigify, Unreal, Daz, Character Creator, MakeHuman, Maya and others call
    them, else by the shape of the skeleton. Fingers rest, unless the motion moves them.

    Example: mpt animate robot.glb --motion mpt-out/clip/person0.npz --out animated.glb
    """

    character: Annotated[Positional[Path], arg(metavar="FILE")]
    """The character: .glb, .vrm or .gltf."""
    motion: Annotated[Path, arg(metavar="FILE")]
    """The motion: person0.npz of `mpt reconstruct` (of a photo it is a pose), or motion capture: .bvh, .amc
    with its .asf, AMASS or other SMPL parameters as .npz."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE")] = None
    """The file to write. Default: animated.glb, .vrm or .gltf, as the character is."""
    name: str = ""
    """What the animation is called. Default: the motion's file, without its ending."""
    joint_map: Annotated[Path | None, arg(metavar="FILE")] = None
    """JSON that names the character's joints, as {"left_hip": "Bone.001"}, where mpt does not know them.
    Limbs: left_ and right_ hip, knee, ankle, toe, collar, shoulder, elbow, wrist, finger; neck, head."""
    motion_joint_map: Annotated[Path | None, arg(metavar="FILE")] = None
    """The same of the joints of motion capture."""
    scale: float | None = None
    """Metres of a unit of BVH and ASF files, 0.01 for centimetres. Default: told by the height."""
    up: Literal["y", "z", "y-down"] | None = None
    """The axis of the motion capture that points up. Default: told by rest pose and motion."""

    def __call__(self) -> int:
        from mpt.mocap import read_joint_map
        from mpt.rigs.characters import read_character
        from mpt.rigs.glb_file import is_ours
        from mpt.rigs.performances import read_performance
        from mpt.rigs.performing import animated
        from mpt.writing import check_output, check_place, write_whole

        advice = "choose another --out"
        out = self.out or Path(f"animated{self.character.suffix.lower() or '.glb'}")
        maps = [read_joint_map(path) if path else None for path in (self.joint_map, self.motion_joint_map)]
        given = [self.character, self.motion, *filter(None, (self.joint_map, self.motion_joint_map))]
        check_output(out, "animated character", is_ours, inputs=given)
        character = read_character(self.character, maps[0])
        character.file.check_copy(out)
        check_place(out, advice)
        performance = read_performance(self.motion, scale=self.scale, joint_map=maps[1], up=self.up)
        name, content = animated(character, performance, self.name or None)
        write_whole(out, content, advice)
        times = performance.times_s
        frames = "1 frame" if len(times) == 1 else f"{len(times):,} frames in {times[-1] - times[0]:.1f} s"
        others = len(character.file.objects("animations"))
        print(f"{out}: animation {name!r} of {frames}" + (f", beside {others} that it had" if others else ""))
        return OK
