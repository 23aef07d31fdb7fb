"""The few public names, and what importing them costs."""

import subprocess
import sys

import pytest

import mpt


def test_the_public_names_are_these():
    assert mpt.__all__ == [
        "BatchReconstructor",
        "Body",
        "InputError",
        "MeshTransformer",
        "Reconstruction",
        "Reconstructor",
        "Result",
        "film",
        "load",
        "reconstruct",
    ]
    assert dir(mpt) == sorted([*mpt.__all__, "__version__"])


@pytest.mark.parametrize("name", mpt.__all__)
def test_each_public_name_is_there_and_documented(name):
    assert getattr(mpt, name).__doc__
    assert getattr(mpt, name) is getattr(mpt, name)


def test_any_other_name_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'reconstrct'"):
        mpt.reconstrct  # noqa: B018


@pytest.mark.parametrize("code", ["import mpt", "import mpt.cli", "import mpt, mpt.results, mpt.images"])
def test_importing_it_is_cheap(code):
    program = (
        f"import sys; {code}; print([m for m in ('torch', 'trimesh', 'accelerate') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
