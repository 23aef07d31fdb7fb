"""A skeleton as a tree: ways through it, and the limbs that its shape alone shows."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np

SAME = 0.03  # by which the bones of two sides may differ, of a chain's length
LONG = 0.2  # of the skeleton's extent: arms and legs are longer, hands shorter
MOST = 8  # chains that hang on one joint are compared, the longest
LEVEL = 0.05  # of the trunk's length: feet that reach less far ahead do not show where ahead is
LEG = ("hip", "knee", "ankle", "toe")
ARM = ("shoulder", "elbow", "wrist", "finger")


def rest_positions(parents: Sequence[int], offsets: np.ndarray) -> np.ndarray:
    """(J, 3) joints of the rest pose, the root at the origin, in the unit of ``offsets``."""
    positions = np.zeros_like(offsets)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            positions[joint] = positions[parent] + offsets[joint]
    return positions


def way_to(joint: int, parents: Sequence[int]) -> list[int]:
    """From the root down to a joint."""
    way = [joint]
    while parents[way[-1]] >= 0:
        way.append(parents[way[-1]])
    return way[::-1]


def below(joint: int, parents: Sequence[int]) -> list[int]:
    """The joints that hang on one."""
    return [child for child, parent in enumerate(parents) if parent == joint]


def only_way(joint: int, parents: Sequence[int]) -> list[int]:
    """A joint and those below it, to where they branch or end."""
    way = [joint]
    while len(following := below(way[-1], parents)) == 1:
        way += following
    return way


def fork(first: int, second: int, parents: Sequence[int]) -> int:
    """The last joint from which ways lead down to both."""
    ways = zip(way_to(first, parents), way_to(second, parents))
    return [one for one, other in ways if one == other][-1]


def is_end(name: str) -> bool:
    """Whether a joint is only where a bone ends, by its name."""
    return name.lower().endswith(("end", "nub", "site"))


def neck_and_head(joint: int, joints: Sequence[str], parents: Sequence[int]) -> dict[str, int]:
    """Of a joint above the arms: it is the neck, and the head is the last before the way branches or ends."""
    way = only_way(joint, parents)
    turning = way[:-1] if len(way) > 1 and is_end(joints[way[-1]]) else way
    return {"neck": turning[0], "head": turning[-1]}


def limbs_by_tree(joints: Sequence[str], parents: Sequence[int], offsets: np.ndarray) -> dict[str, int]:
    """The joint of each limb (``left_knee``), or nothing where the rest skeleton does not show them all.

    The two longest pairs of equal chains are legs and arms, those of the longest bones the legs. A limb is
    the two longest bones of its chain that follow each other. Left is where up, from hips to shoulders, and
    ahead, from ankles to toes, have it in right-handed axes. Neck and head are what else hangs on the joint
    that carries the arms, and reaches highest.
    """
    places = rest_positions(parents, offsets)
    pairs = [[_limb(chain, places) for chain in pair] for pair in _equal_chains(parents, offsets)[:2]]
    arms, legs = sorted(pairs, key=lambda pair: _length(places[pair[0][:3]])) if len(pairs) == 2 else ([], [])
    if not arms or any(len(limb) < 4 for limb in legs) or any(len(limb) < 3 for limb in arms):
        return {}
    up = np.sum([places[arm[0]] - places[leg[0]] for arm, leg in zip(arms, legs)], axis=0) / 2
    ahead = np.sum([places[leg[3]] - places[leg[2]] for leg in legs], axis=0) / 2
    left = np.cross(up, ahead)
    chest = fork(arms[0][0], arms[1][0], parents)
    carrying = {joint for limb in legs + arms for joint in way_to(limb[0], parents)}
    free = [joint for joint in below(chest, parents) if joint not in carrying]
    if np.linalg.norm(left) < LEVEL * (up @ up) or not free:
        return {}
    limbs: dict[str, int] = {}
    for pair, names in ((legs, LEG), (arms, ARM)):
        for side, limb in zip(("left", "right"), sorted(pair, key=lambda limb: -places[limb[0]] @ left)):
            if is_end(joints[limb[-1]]) and names is ARM:  # as by name, where a hand ends is no finger
                limb = limb[:3]
            limbs |= {f"{side}_{name}": joint for name, joint in zip(names, limb)}
    for side in ("left", "right"):
        if (collar := parents[limbs[f"{side}_shoulder"]]) not in way_to(chest, parents):
            limbs[f"{side}_collar"] = collar
    highest = max(free, key=lambda joint: max(places[only_way(joint, parents)] @ up))
    return limbs | neck_and_head(highest, joints, parents)


def _equal_chains(parents: Sequence[int], offsets: np.ndarray) -> list[tuple[list[int], list[int]]]:
    """Pairs of chains that hang on one joint and have the same bones, the longest first."""
    lengths = np.linalg.norm(offsets, axis=1)
    reach = np.zeros(len(parents))  # the longest way down from each joint
    for joint in range(len(parents) - 1, 0, -1):
        reach[parents[joint]] = max(reach[parents[joint]], lengths[joint] + reach[joint])

    hanging: list[list[int]] = [[] for _ in parents]
    for joint, parent in enumerate(parents):
        if parent >= 0:
            hanging[parent].append(joint)

    def chain(joint: int) -> list[int]:
        way = [joint]
        while hanging[way[-1]]:
            way.append(max(hanging[way[-1]], key=lambda child: lengths[child] + reach[child]))
        return way

    extent = np.ptp(rest_positions(parents, offsets), axis=0).max()
    far = lengths + reach
    found = []
    for children in hanging:
        long = sorted((child for child in children if far[child] > LONG * extent), key=lambda c: -far[c])
        chains = [chain(child) for child in long[:MOST]] if len(long) > 1 else []
        for one, other in combinations(chains, 2):
            bones = [lengths[way] for way in (one, other)]
            if len(one) == len(other) and np.abs(bones[0] - bones[1]).max() < SAME * bones[0].sum():
                found.append((float(bones[0].sum()), (one, other)))
    return [pair for _, pair in sorted(found, key=lambda item: -item[0])]


def _limb(chain: Sequence[int], places: np.ndarray) -> list[int]:
    """The joints of a chain from where its two longest bones that follow each other begin; of joints in one
    place the last.
    """
    apart = [one for one, following in pairwise(chain) if _length(places[[one, following]]) > 0] + [chain[-1]]
    bones = np.linalg.norm(np.diff(places[apart], axis=0), axis=1)
    return apart[int(np.argmax(bones[:-1] + bones[1:])) :] if len(bones) > 1 else apart


def _length(way: np.ndarray) -> float:
    """Of a way through points (n, 3)."""
    return float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum())
