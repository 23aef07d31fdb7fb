"""Which joint of a skeleton begins which limb: told by a joint map, by its name, or by the tree itself."""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.errors import InputError
from mpt.json_files import read_given_json
from mpt.mocap.tree import below, fork, is_end, limbs_by_tree, neck_and_head, only_way, way_to

# Names of the joint that begins a limb, without side and separators. The first that a rig has is taken, and
# each joint once: "shoulder" is the collar where another joint begins the arm, "foot" the toes of an "ankle",
# "leg" the thigh of a "shin".
NAMES = {
    "knee": "lowerleg01 lowerleg lowleg loleg leglower legstretch shin shank tibia calf knee leg",
    "hip": "upperleg01 upperleg upleg legupper thighbend thighstretch thigh femur hip leg",
    "ankle": "ankle foot",
    "toe": "toe31 toebase toes toe0 toe toes01 toe11 ball foot footend bigtoe",
    "elbow": "lowerarm01 lowerarm lowarm loarm armlower forearmbend forearmstretch forearm farm radius ulna "
    "elbow",
    "shoulder": "upperarm01 upperarm uparm uarm armupper armstretch humerus shldrbend shldr arm shoulder",
    "wrist": "fingerbase hand wrist",
    "collar": "clavicle collar collarbone armcollarbone scapula thorax shoulder",
    "finger": "finger31 fingers middle1 handmiddle1 middle01 fmiddle01 mid1 middleproximal middlefinger1 "
    "finger3proximal finger2 index1 handindex1 hand",
}
MIDLINE = {"neck": "neck lowerneck neck01 neck1 necklower", "head": "head face skull nose"}
OPTIONAL = ("toe", "collar", "finger")
SIDES = {"left": ("left{}", "l{}", "{}left", "{}l"), "right": ("right{}", "r{}", "{}right", "{}r")}

SPELLED = {
    f"{side}_{limb}": [form.format(name) for name in names.split() for form in forms]
    for limb, names in NAMES.items()
    for side, forms in SIDES.items()
}

ALONG_A_SIDE = ("hip", "knee", "ankle", "toe", "collar", "shoulder", "elbow", "wrist", "finger")
LIMBS = (*(f"{side}_{limb}" for limb in ALONG_A_SIDE for side in SIDES), *MIDLINE)
WANTED = tuple(limb for limb in LIMBS if not limb.endswith(OPTIONAL))
HANGS_ON = {"knee": "hip", "ankle": "knee", "elbow": "shoulder", "wrist": "elbow"}

HALF = 0.7  # of the upper arm: a collar bone is shorter, the half of an arm that has a twist joint longer
PALM = 0.4  # of the forearm: a palm's middle is closer behind its wrist
MOST = 0.6  # of a rig's names share what says nothing; those of one side are fewer
AFFIXES = {"jnt", "joint", "jt", "bone", "bn", "bind", "skin", "def", "org", "bip", "b", "c", "m", "j"}


@dataclass(frozen=True)
class Limbs:
    """The joint that begins each limb (``left_knee``), and the limbs that the tree alone told."""

    joints: dict[str, int]
    by_tree: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Limbs without which nobody can be posed."""
        return [limb for limb in WANTED if limb not in self.joints]


def find_limbs(
    joints: Sequence[str], parents: Sequence[int], offsets: np.ndarray, told: Mapping[str, str] | None = None
) -> Limbs:
    """Know the limbs of any rig, as far as it shows them.

    ``told`` names joints of some limbs; the others are known by their names and, where these leave a limb
    without a joint, by the tree (see ``limbs_by_tree``). offsets: (J, 3) rest vectors from each joint's
    parent, in any axes and unit. Raises InputError where ``told`` names a limb or a joint that there is not.
    """
    given = _told(joints, told or {})
    named = _behind_collars(limbs_by_name(joints, parents, given), parents, offsets)
    named = _above_palms(named, joints, parents, offsets) | given
    if Limbs(named).missing:
        shown = limbs_by_tree(joints, parents, offsets)
        free = {limb: joint for limb, joint in shown.items() if joint not in named.values()}
        beside = _behind_collars(free | named, parents, offsets) | given
        for joined in (beside, shown | given):
            if not Limbs(joined).missing and not hangs_wrong(joined, parents):
                return Limbs(joined, tuple(limb for limb in joined if joined[limb] != named.get(limb)))
    return Limbs(named)


def limbs_by_name(
    joints: Sequence[str], parents: Sequence[int], given: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The joint of each limb that a name tells, or of which another limb is only the end or the beginning."""
    limbs = dict(given or {})
    for spelled in _spellings(joints):
        plain = {name: joint for joint, name in reversed(list(enumerate(spelled)))}
        limbs = _named(plain, parents, limbs)
    return limbs | _stand_ins(joints, parents, limbs)


def hangs_wrong(limbs: Mapping[str, int], parents: Sequence[int]) -> tuple[str, str] | None:
    """The first limb that does not hang on the one above it, and that one; a head may be its own neck."""
    sided = [(f"{side}_{limb}", f"{side}_{above}") for side in SIDES for limb, above in HANGS_ON.items()]
    for limb, above in sided:
        if limbs[above] not in way_to(limbs[limb], parents)[:-1]:
            return limb, above
    return None if limbs["neck"] in way_to(limbs["head"], parents) else ("head", "neck")


def read_joint_map(path: str | Path) -> dict[str, str]:
    """Limb -> joint of a JSON file, as ``{"left_hip": "Bone.001"}``; limbs that it leaves out are found.

    Raises InputError, one sentence that begins with the path.
    """
    wanted = 'limbs and their joints as {"left_hip": "Bone.001"}'
    told = read_given_json(Path(path), f"a JSON file with {wanted}")
    if not isinstance(told, dict) or not all(isinstance(joint, str) for joint in told.values()):
        raise InputError(f"{path}: {wanted} were expected, write it so")
    for limb in told:
        if limb not in LIMBS:
            raise InputError(f"{path}: no limb is called '{limb}', {_near(limb, LIMBS)}")
    return told


def _behind_collars(limbs: dict[str, int], parents: Sequence[int], offsets: np.ndarray) -> dict[str, int]:
    """A "shoulder" is a collar where the joint behind it, of whatever name, begins the longer bone."""
    found = dict(limbs)
    for side in SIDES:
        collar, shoulder, elbow = (f"{side}_{limb}" for limb in ("collar", "shoulder", "elbow"))
        if collar not in limbs and {shoulder, elbow} <= limbs.keys():
            way = way_to(limbs[elbow], parents)
            between = way[way.index(limbs[shoulder]) + 1 :] if limbs[shoulder] in way else []
            bones = [float(np.linalg.norm(offsets[joint])) for joint in between]
            if len(bones) > 1 and bones[0] < HALF * sum(bones[1:]):
                found |= {collar: limbs[shoulder], shoulder: between[0]}
    return found


def _above_palms(
    limbs: dict[str, int], joints: Sequence[str], parents: Sequence[int], offsets: np.ndarray
) -> dict[str, int]:
    """A "hand" close behind a "wrist" is only its palm (Kinect); CMU's halves of a forearm are no such."""
    found = dict(limbs)
    for side in SIDES:
        hand = limbs.get(f"{side}_wrist", 0)
        wrist = parents[hand]
        short, long = (float(np.linalg.norm(offsets[joint])) for joint in (hand, wrist))
        is_wrist = re.search("wrist(?!.*twist)", joints[wrist], re.IGNORECASE) if hand else None
        if is_wrist and 0 < short < PALM * long:
            found[f"{side}_wrist"] = wrist
            found.setdefault(f"{side}_finger", hand)
    return found


def _told(joints: Sequence[str], told: Mapping[str, str]) -> dict[str, int]:
    for limb, joint in told.items():
        if limb not in LIMBS:
            raise InputError(f"no limb is called '{limb}', as the joint map has it, {_near(limb, LIMBS)}")
        if joint not in joints:
            raise InputError(f"it has no joint '{joint}', the joint map's {limb}, {_near(joint, joints)}")
    return {limb: joints.index(joint) for limb, joint in told.items()}


def _near(name: str, names: Sequence[str]) -> str:
    lower = {other.lower(): other for other in reversed(names)}
    near = [lower[other] for other in difflib.get_close_matches(name.lower(), lower, 3)]
    return f"did you mean {' or '.join(near)}?" if near else f"give one of {', '.join(names)}"


def _spellings(joints: Sequence[str]) -> Iterator[list[str]]:
    """Names in lower case without separators and name space: whole; less the prefix that most share, and the
    suffix ("Left" and "Right" share one, too); less what exporters write around them; less numbers.
    """
    own = [re.split("[:|]", joint)[-1] for joint in joints]
    whole = [re.sub("[^a-z0-9]", "", name.lower()) for name in own]
    yield whole
    before, after = _shared(whole), _shared([name[::-1] for name in whole])[::-1]
    yield [name.removeprefix(before) for name in whole]
    bare = [name.removeprefix(before).removesuffix(after) for name in whole]
    yield bare
    words = [re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name) for name in own]
    kept = ["".join(word.lower() for word in some if word.lower() not in AFFIXES) for some in words]
    yield [name.removeprefix(before).removesuffix(after) for name in kept]
    yield [re.sub("^[0-9]+|[0-9]+$", "", name) for name in bare]


def _shared(names: Sequence[str]) -> str:
    """The longest prefix of most names."""
    prefix = ""
    while len(names) > 2:
        following = Counter(name[len(prefix)] for name in names if name.startswith(prefix) and name != prefix)
        letter, count = max(following.items(), key=lambda item: item[1], default=("", 0))
        if count < MOST * len(names):
            break
        prefix += letter
    return prefix


def _named(plain: Mapping[str, int], parents: Sequence[int], known: Mapping[str, int]) -> dict[str, int]:
    """What is known, and what these names tell."""
    limbs = dict(known)
    for limb, names in SPELLED.items():
        free = [plain[name] for name in names if name in plain and plain[name] not in limbs.values()]
        # A "hand" without fingers ends a hand that begins at the "wrist" (SMPL); elsewhere it begins it.
        inner = [joint for joint in free if joint in parents] if limb.endswith("wrist") else []
        if free:
            limbs.setdefault(limb, (inner or free)[0])
    for limb, names in MIDLINE.items():
        if found := [plain[name] for name in names.split() if name in plain]:
            limbs.setdefault(limb, found[0])
    if necks := [joint for name, joint in plain.items() if name.startswith("neck") and not is_end(name)]:
        limbs.setdefault("neck", min(necks))
    return limbs


def _stand_ins(joints: Sequence[str], parents: Sequence[int], limbs: Mapping[str, int]) -> dict[str, int]:
    """A hand that only ends its forearm; a neck or a head by the way up from between the shoulders."""
    found: dict[str, int] = {}
    for side in SIDES:
        ends = below(limbs.get(f"{side}_elbow", len(joints)), parents)
        if f"{side}_wrist" not in limbs and len(ends) == 1 and ends[0] not in parents:
            found[f"{side}_wrist"] = ends[0]
    shoulders = [limbs[f"{side}_shoulder"] for side in SIDES if f"{side}_shoulder" in limbs]
    if len(shoulders) < 2:
        return found
    chest = fork(shoulders[0], shoulders[1], parents)
    match "neck" in limbs, "head" in limbs:
        case False, True:
            way = way_to(limbs["head"], parents)
            above = way[way.index(chest) + 1 :] if chest in way else []
            found["neck"] = (above or [limbs["head"]])[0]
        case True, False:
            way = only_way(limbs["neck"], parents)
            found["head"] = way[-2 if len(way) > 2 and is_end(joints[way[-1]]) else -1]
        case False, False:
            arms = {joint for shoulder in shoulders for joint in way_to(shoulder, parents)}
            free = [joint for joint in below(chest, parents) if joint not in arms | set(limbs.values())]
            found |= neck_and_head(free[0], joints, parents) if len(free) == 1 else {}
    return found
