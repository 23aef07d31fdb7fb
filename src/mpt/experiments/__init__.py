"""Named experiments: functions that return complete typed configurations. The command line only names them."""

import difflib

from mpt.errors import InputError
from mpt.experiments import finetuning, pretraining

REGISTRY = {
    function.__name__.replace("_", "-"): function
    for function in (
        pretraining.mpt_small,
        pretraining.paper,
        pretraining.paper_random_views,
        pretraining.tiny,
        finetuning.rendered_pose2d,
        finetuning.rendered_pretrained,
        finetuning.rendered_scratch,
    )
}


def names() -> dict[str, str]:
    """Name -> what it is, in one line."""
    return {name: (function.__doc__ or "").splitlines()[0] for name, function in REGISTRY.items()}


def get(name: str):
    """The configuration of that name. Raises InputError with the nearest name for one that is unknown."""
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(REGISTRY)}"
        raise InputError(f"no experiment is called {name!r}; {hint} (`mpt experiments list` shows all)")
    return REGISTRY[name]()
