"""What a stranger reads and installs from is true: the README, the package's metadata, the documentation."""

import ast
import re
import shutil
import subprocess
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import mpt

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HOME = PROJECT["urls"]["Repository"]
FILES = f"{HOME}/blob/main/"
PICTURES = HOME.replace("https://github.com/", "https://raw.githubusercontent.com/") + "/main/"
PAGES = sorted((ROOT / "docs").glob("*.md"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def links(page: str) -> list[str]:
    return re.findall(r"\]\((?!#)([^)\s]+)\)", re.sub(r"```.*?```", "", page, flags=re.DOTALL))


def test_the_readme_links_by_whole_addresses_to_files_that_are_there():
    found = links(text("README.md"))
    assert all(link.startswith("https://") for link in found)
    own = [link for link in found if link.startswith(FILES) or link.startswith(PICTURES)]
    assert len(own) > 20
    for link in own:
        path = link.removeprefix(FILES).removeprefix(PICTURES).partition("#")[0]
        assert (ROOT / path).is_file(), link


def test_other_pages_link_to_files_that_are_there():
    for page in (*PAGES, ROOT / "CONTRIBUTING.md"):
        for link in links(page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link.partition("#")[0]).exists(), f"{page.name}: {link}"


def test_badges_are_true():
    readme = text("README.md")
    versions = [c.split(" :: ")[-1] for c in PROJECT["classifiers"] if c.startswith("Programming Language")][
        1:
    ]
    assert f"Python {' | '.join(versions)}" in readme
    assert "python-" + "%20%7C%20".join(versions) in readme
    assert f"licence: {PROJECT['license']}" in readme
    assert PROJECT["requires-python"] == f">={versions[0]}"


def test_versions_agree():
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in text("CITATION.cff")
    assert f"{{{version}}}" in text("README.md")
    assert f"## [{version}]" in text("CHANGELOG.md")


def test_the_tests_command_of_the_readme_is_what_is_run_on_a_fresh_machine():
    (command,) = re.findall(r"^pip install .*pytest$", text("README.md"), re.MULTILINE)
    assert command in text(".ci/run").splitlines()


def test_the_first_command_gets_the_torch_that_is_pinned():
    (pinned,) = re.findall(r"^torch==.*$", text("constraints.txt"), re.MULTILINE)
    for page in ("README.md", "CONTRIBUTING.md", "docs/index.md", "docs/troubleshooting.md"):
        assert set(re.findall(r"torch==[\d.]+\d", text(page))) <= {pinned}, page
    readme = text("README.md")
    assert readme.index(f"pip install {pinned}") < readme.index("mpt demo") < readme.index("## ")


def test_what_is_installed_is_pinned():
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["test"], *extras["docs"]]
    names = {re.split(r"[\[><=]", one)[0] for one in wanted}
    pinned = {line.partition("==")[0] for line in text("constraints.txt").splitlines()}
    assert names <= pinned


def test_every_extra_that_is_advised_is_one():
    pages = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml"]
    sources = [*(ROOT / "src" / "mpt").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    advised = [
        (path.name, extra)
        for path in (*pages, *sources, *(ROOT / "tests").rglob("*.py"))
        for extras in re.findall(r"mesh-pretraining\[([\w,]+)\]", path.read_text(encoding="utf-8"))
        for extra in extras.split(",")
    ]
    assert len(advised) > 15
    assert [one for one in advised if one[1] not in PROJECT["optional-dependencies"]] == []


def test_extras_are_advised_in_quotes():
    """zsh takes square brackets for a pattern."""
    for path in (ROOT / "src" / "mpt").rglob("*.py"):
        for before in re.findall(r"(.)mesh-pretraining\[", path.read_text(encoding="utf-8")):
            assert before == "'", path.name


def test_a_source_archive_is_told_to_hold_every_folder():
    try:
        done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the files of a checkout are known through git")
    manifest = text("MANIFEST.in").split()
    for name in done.stdout.splitlines():
        top = name.split("/")[0]
        known = top in (*manifest, "src", "LICENSE", "README.md", "pyproject.toml", "MANIFEST.in")
        assert known or name.endswith(".md") or top in (".github", ".gitignore"), name


@cache
def sentences() -> tuple[str, ...]:
    """All strings of the program, with ... where values are put in."""
    found = []
    for path in (ROOT / "src" / "mpt").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


QUOTES = [line[2:] for line in text("docs/troubleshooting.md").splitlines() if line.startswith("> ")]


@pytest.mark.parametrize("quote", QUOTES)
def test_every_error_that_is_explained_is_one_that_the_program_says(quote):
    pattern = re.compile(".*".join(map(re.escape, quote.split("..."))), re.DOTALL)
    assert any(pattern.fullmatch(sentence) for sentence in sentences())


def test_a_sentence_that_nobody_says_is_missed():
    assert len(QUOTES) > 25
    assert not any("the kettle is not here" in sentence for sentence in sentences())


def test_every_page_is_in_the_site_s_menu():
    listed = set(re.findall(r"(\w+\.md)$", text("mkdocs.yml"), re.MULTILINE))
    assert listed == {page.name for page in PAGES}


def test_the_site_is_built_strictly(tmp_path):
    if shutil.which("mkdocs") is None:
        pytest.skip("mkdocs is not here: pip install 'mesh-pretraining[docs]'")
    build = ["mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    html = "".join(page.read_text(encoding="utf-8") for page in (tmp_path / "site").rglob("*.html"))
    assert "mpt.Reconstructor" in html
    assert "fonts.googleapis" not in html  # nor is anything else asked of other hosts


REFERENCE = re.findall(r"^::: ([\w.]+)$", text("docs/reference.md"), re.MULTILINE)


@pytest.mark.parametrize("name", REFERENCE)
def test_what_the_reference_shows_is_where_it_says(name):
    module, _, own = name.rpartition(".")
    assert getattr(import_module(module), own).__doc__


def test_every_public_name_is_in_the_reference():
    shown = text("docs/reference.md")
    assert [name for name in mpt.__all__ if f'heading: "mpt.{name}"' not in shown] == []
