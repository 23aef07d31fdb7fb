"""Named experiments: functions that return whole typed configurations; the command line only names them."""

import difflib
from importlib import import_module

from mpt.errors import InputError

REGISTRY = {
    "mpt-small": "pretraining",
    "mpt-hand": "pretraining",
    "paper": "pretraining",
    "paper-random-views": "pretraining",
    "tiny": "pretraining",
    "rendered-pose2d": "finetuning",
    "rendered-pretrained": "finetuning",
    "rendered-scratch": "finetuning",
}
"""Experiment -> its module, imported when asked for: pre-training must run where no image library is."""


def names() -> dict[str, str]:
    """Name -> what it is, in one line."""
    return {name: (_function(name).__doc__ or "").splitlines()[0] for name in REGISTRY}


def get(name: str):
    """The configuration of that name. Raises InputError with the nearest name for one that is unknown."""
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(REGISTRY)}"
        raise InputError(f"no experiment is called {name!r}; {hint} (`mpt experiments list` shows all)")
    return _function(name)()


def _function(name: str):
    return getattr(import_module(f"mpt.experiments.{REGISTRY[name]}"), name.replace("-", "_"))
