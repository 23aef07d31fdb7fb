"""A motion on a character of other proportions, bones and rest pose: an animation of its file.

Limbs point where the person's do (``mpt.bodies.retarget.lay``), in the file's world, whatever way the
character faces at rest. The hips go as far as legs of its own length would carry them; how high they are
follows from the lowest of its joints, which is as far above its floor as the person's above his, times that
length.
"""

from typing import NamedTuple

import numpy as np
import roma
import torch

from mpt.bodies.retarget import Rig, lay, rig_of_motion
from mpt.errors import InputError
from mpt.mocap.motion import Motion
from mpt.rigs.characters import SIDES, Character, Skeleton, feet_of, leg_of
from mpt.rigs.fingers import lay_fingers, twisted, twists_of
from mpt.rigs.glb_file import AGAIN, Channel, polar
from mpt.rigs.timing import keys

STANDING = ("ankle", "toe")  # whose joints carry the sole below them
LOW = 0.01  # of all frames, in which somebody is lower than the floor: noise
ON_FLOOR_M = 0.2  # above the world's zero: somebody whose lowest frames are lower stands on the floor


class Performance(NamedTuple):
    """A motion and when its frames are shown.

    ``in_world``: whether its zero is the origin of a world that others share, with the floor at y = 0; else
    it begins where the character stands, and its lowest frames are on the floor.
    """

    motion: Motion
    times_s: np.ndarray
    in_world: bool = False


def animated(character: Character, performance: Performance, name: str | None = None) -> tuple[str, bytes]:
    """The character's file with one animation more, and what that is called.

    name: without it the motion's; one that the file has already gets a number.
    Raises InputError where the motion shows no limbs.
    """
    motion = performance.motion
    try:
        source = rig_of_motion(motion)
    except InputError as error:
        said = str(error).replace("--joint-map", "--motion-joint-map")  # the other is the character's
        raise InputError(f"{motion.name}: {said}") from error
    turned = motion.global_rotations()
    channels = []
    for skeleton in character.skeletons:
        moving, turns = _turns(skeleton, source, turned)
        hips = _hips(character, skeleton, source, performance, turned, turns)
        channels += _channels(character, skeleton, moving, turns, hips)
    when, frame = keys(performance.times_s, motion.fps)
    channels = [channel._replace(values=channel.values[frame]) for channel in channels]
    called = _free_name(character, name or motion.name)
    try:
        return called, character.file.with_animation(called, when, channels)
    except InputError as error:
        raise InputError(f"{character.file.path}: {error}") from error


def _turns(skeleton: Skeleton, source: Rig, turned: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The character's joints that turn, and (T, J, 3, 3) world rotations of all since rest."""
    rig = skeleton.rig
    world = lay(turned, source, rig, skeleton.between, rig.roles)
    world[skeleton.carrier] = world[rig.trunk[0]]
    world |= lay_fingers(turned, source, rig, world)
    for joint, start, end, part in twists_of(rig):
        world[joint] = twisted(rig, start, end, world, part)
    turns: list[np.ndarray] = []
    for joint, parent in enumerate(rig.parents):
        above = turns[parent] if parent >= 0 else np.broadcast_to(np.eye(3), (len(turned), 3, 3))
        turns.append(world.get(joint, above))
    return sorted({*world, *skeleton.between}), np.stack(turns, 1)


def _hips(
    character: Character,
    skeleton: Skeleton,
    source: Rig,
    performance: Performance,
    turned: np.ndarray,
    turns: np.ndarray,
) -> np.ndarray:
    """(T, 3) the middle of the hips in the file's world.

    turned, turns: world rotations of the person's joints since rest, and of the character's.
    """
    stride = character.unit * leg_of(skeleton.rig) / leg_of(source)
    places = performance.motion.positions()
    theirs = _middle(source, places)
    begin = np.zeros(3) if performance.in_world else theirs[0]
    hips = (theirs - begin) * stride

    roles = [role for role in skeleton.rig.roles if role in source.roles]
    heights = _lowest(source, places, turned, roles)
    floor = np.quantile(heights, LOW)
    if performance.in_world and floor > ON_FLOOR_M:
        floor = 0.0  # the person stands on something
    above = np.maximum(heights - floor, 0) * stride
    chained = _chained(skeleton.rig, turns)
    low = _lowest(skeleton.rig, chained - _middle(skeleton.rig, chained)[:, None], turns, roles)
    hips[:, 1] = above - low * character.unit
    return hips + character.place


def _lowest(rig: Rig, places: np.ndarray, turned: np.ndarray, roles: list[str]) -> np.ndarray:
    """(T,) the height of the lowest of these roles' joints, of feet that of the sole below them.

    places: (T, J, 3). turned: (T, J, 3, 3) world rotations since rest.
    """
    sole = rig.rest[feet_of(rig), 1].min()
    heights = []
    for role in roles:
        joint = rig.roles[role]
        down = np.array([0, sole - rig.rest[joint, 1] if role.endswith(STANDING) else 0.0, 0])
        heights.append(places[:, joint, 1] + (turned[:, joint] @ down)[:, 1])
    return np.min(heights, 0)


def _middle(rig: Rig, places: np.ndarray) -> np.ndarray:
    """(T, 3) between the hips, of joints (T, J, 3)."""
    return np.mean([places[:, rig.roles[f"{side}_hip"]] for side in SIDES], axis=0)


def _chained(rig: Rig, turns: np.ndarray) -> np.ndarray:
    """(T, J, 3) joints about the root, of their world rotations since rest (T, J, 3, 3)."""
    places = np.zeros(turns.shape[:3])
    for joint, parent in enumerate(rig.parents):
        if parent >= 0:
            bone = rig.rest[joint] - rig.rest[parent]
            places[:, joint] = places[:, parent] + turns[:, parent] @ bone
    return places


def _channels(
    character: Character, skeleton: Skeleton, moving: list[int], turns: np.ndarray, hips: np.ndarray
) -> list[Channel]:
    """How the nodes of the moving joints turn, and the one of the carrier goes."""
    rig, nodes, world = skeleton.rig, skeleton.nodes, character.nodes.world
    index = {node: joint for joint, node in enumerate(nodes)}
    frames = turns @ skeleton.turns  # (T, J, 3, 3)
    channels = []
    for joint in moving:
        above = character.nodes.parents[nodes[joint]]
        parent = rig.parents[joint]
        if joint == skeleton.carrier:
            outer = polar(world[above, :3, :3]) if above >= 0 else np.eye(3)
        elif index.get(above) == parent:
            outer = frames[:, parent]
        else:  # nodes between the two, which are no joints, stay as they are
            outer = frames[:, parent] @ polar(world[nodes[parent], :3, :3]).T @ polar(world[above, :3, :3])
        local = np.swapaxes(outer, -1, -2) @ frames[:, joint] * character.nodes.signs[nodes[joint]]
        channels.append(Channel(nodes[joint], "rotation", _quaternions(local)))

    places = _chained(rig, turns)
    places = (places[:, skeleton.carrier] - _middle(rig, places)) * character.unit + hips
    above = character.nodes.parents[nodes[skeleton.carrier]]
    if above >= 0:
        inverse = _inverse(world[above])
        places = places @ inverse[:3, :3].T + inverse[:3, 3]
    return [Channel(nodes[skeleton.carrier], "translation", places), *channels]


def _inverse(matrix: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        raise InputError(f"a node above its bones is scaled to nothing; {AGAIN}") from None


def _quaternions(turns: np.ndarray) -> np.ndarray:
    """(T, 3, 3) -> (T, 4) unit quaternions x, y, z, w, each on the side of the one before it."""
    found = roma.rotmat_to_unitquat(torch.from_numpy(np.ascontiguousarray(turns))).numpy()
    flips = np.where((found[1:] * found[:-1]).sum(1) < 0, -1, 1)
    found[1:] *= np.cumprod(flips)[:, None]
    return found


def _free_name(character: Character, name: str) -> str:
    taken = [animation.get("name") for animation in character.file.objects("animations")]
    other, number = name, 2
    while other in taken:
        other, number = f"{name} {number}", number + 1
    return other
