"""Networks that find people, or hands, in a photo by themselves, by name; each draws one set of joints."""

from mpt.errors import InputError
from mpt.pose2d.blazepalm import BlazePalm
from mpt.pose2d.blazepose import BlazePose, BlazePoseHeavy
from mpt.pose2d.rtmlib import RtmLib
from mpt.skeletons import Skeleton, begin_alike

FINDERS = {
    "blazepose": BlazePose,
    "blazepose-heavy": BlazePoseHeavy,
    "blazepalm": BlazePalm,
    "rtmlib": RtmLib,
}


def finder_for(skeleton: Skeleton, model: str = "given") -> str:
    """The name of what finds those who have these joints, of that model; InputError where nothing does.

    COCO's 17 and those with feet and hands are the same people's, whichever of them a network draws.
    """
    for name, finder in FINDERS.items():
        if begin_alike(finder.skeleton, skeleton):
            return name
    found = dict.fromkeys(finder.skeleton.name for finder in FINDERS.values())
    raise InputError(
        f"the model {model} was made for the joints of {skeleton.name}, but photos give those of "
        f"{' or '.join(found)}: give another model, or a 2D network of these joints"
    )
