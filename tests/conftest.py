"""Shared fixtures. The development data is optional: tests that need it are skipped where it is absent."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real motion capture and photos beside the checkout (or where MPT_SHARED_DATA points)."""
    folder = Path(os.environ.get("MPT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"development data not found at {folder} (set MPT_SHARED_DATA)")
    return folder
