"""Shared fixtures. The development data is optional: tests that need it are skipped where it is absent."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of programs that tests start, beside each other

import torch

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
LONGEST = (
    "recipes/test_distributed.py",
    "experiments/test_running.py",
    "films/test_film_results.py",
    "experiments/test_full_scale.py",
    "rigs/test_blender.py",
)
"""Files of tests that take longest: of several processes one begins each early, and none ends with it."""
MOST_WORKERS = 8


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The whole suite is shared out among as many processes as there are cores, file by file, for what a file
    makes once serves all of its tests. In one process run the files that are named, a debugger, and all where
    pytest-xdist is not installed; -n says otherwise.
    """
    whole, option = config.args_source is pytest.Config.ArgsSource.TESTPATHS, config.option
    if not (whole and config.pluginmanager.hasplugin("xdist")) or option.usepdb or _is_worker(config):
        return
    if option.numprocesses is None:
        option.numprocesses = min(_cores(), MOST_WORKERS) if _cores() > 1 else 0
    if option.dist == "no":
        option.dist, option.loadscopereorder = "loadfile", False


def _is_worker(config: pytest.Config) -> bool:
    """Whether this is one of the processes that a run is shared out among."""
    return hasattr(config, "workerinput")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _is_worker(config):
        first = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: first.get(item.path, len(first)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real motion capture and photos beside the checkout (or where MPT_SHARED_DATA points)."""
    folder = Path(os.environ.get("MPT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"development data not found at {folder} (set MPT_SHARED_DATA)")
    return folder
