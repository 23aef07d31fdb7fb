"""The few public names, and what importing them costs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

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


def test_type_checkers_are_told_the_same_names():
    tree = ast.parse(Path(mpt.__file__).read_text(encoding="utf-8"))
    [told] = [node for node in tree.body if isinstance(node, ast.If)]
    names = {
        (name.asname, node.module, name.name)
        for node in told.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert names == {(name, *home) for name, home in mpt._HOMES.items()}
    assert (Path(mpt.__file__).parent / "py.typed").is_file()


def test_the_version_is_the_package_s():
    assert re.fullmatch(r"\d+\.\d+.*", mpt.__version__) or mpt.__version__ == "0+unknown"


def test_what_python_users_read_first_names_what_there_is():
    root = Path(__file__).resolve().parents[1]
    pages = [root / "README.md", *(root / "docs").glob("*.md"), *(root / "examples").glob("*.py")]
    code = mpt.__doc__ + "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(re.findall(r"\bmpt\.([A-Za-z_]\w*)(?=\()", code))
    assert {"load", "reconstruct", "film"} <= named
    assert all(hasattr(mpt, name) for name in named), named
