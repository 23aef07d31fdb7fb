"""Imports go down the storeys, and no file knows on whose machine it was written."""

import ast
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import ROOT

SOURCE = ROOT / "src" / "mpt"

STOREYS = (
    (
        "errors",
        "writing",
        "json_files",
        "progress",
        "skeletons",
        "alignment",
        "assets",
        "quiet",
        "threads",
        "values",
    ),
    ("mocap",),
    ("bodies",),
    ("cameras", "draws", "clothes"),
    ("heatmaps", "bit_depth", "focal_lengths", "crops", "images", "views", "render", "scenes"),
    ("datasets", "export", "rigs", "biomechanics", "floor", "saving"),
    ("pose2d", "modeling", "guessed"),
    ("losses", "metrics"),
    ("checkpoint",),
    (
        "recipes",
        "result_folders",
        "results",
        "reconstruction",
        "reconstructor",
        "films",
        "batches",
        "portable",
        "sureness",
    ),
    ("experiments",),
    ("demo", "cli", "web"),
    ("__init__", "__main__"),
)
"""Rooms from the ground up: a room imports from its own storey and from those before it."""

STOREY = {room: storey for storey, rooms in enumerate(STOREYS) for room in rooms}
MODULES = sorted(SOURCE.rglob("*.py"))
NAMES = {
    ".".join(("mpt", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in MODULES
}
"""Each file by the name by which others import it."""


def room_of(module: str) -> str:
    """ "mpt.bodies.body" -> "bodies"; "mpt" -> "__init__"."""
    return [*module.split("."), "__init__"][1]


def imports_of(path: Path) -> set[str]:
    """Rooms of this package that a file imports anywhere in it, inside functions as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                modules = [name.name for name in names]
            case ast.ImportFrom(module=module, names=names, level=0):
                rooms = [f"mpt.{name.name}" for name in names if name.name in STOREY]
                modules = rooms if module == "mpt" and rooms else [module]
            case ast.ImportFrom():
                pytest.fail(f"{path}: imports within the package are written out, from mpt...")
            case _:
                continue
        found |= {room_of(module) for module in modules if module.split(".")[0] == "mpt"}
    return found


def test_every_room_has_its_storey():
    rooms = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in MODULES}
    assert rooms <= STOREY.keys(), f"give {rooms - STOREY.keys()} a storey, here and in docs/architecture.md"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_module_imports_only_from_its_own_storey_or_lower_ones(path):
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    upward = {room for room in imports_of(path) if STOREY[room] > STOREY[own]}
    assert not upward, f"{own} (storey {STOREY[own]}) imports from {upward}"


def test_rooms_of_one_storey_import_each_other_one_way_at_most():
    below = {room: set() for room in STOREY}
    for path in MODULES:
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        below[own] |= imports_of(path) - {own}
    circles = {(a, b) for a in below for b in below[a] if a in below[b]}
    assert not circles


def rows_of_the_architecture() -> list[tuple[int, list[str], str]]:
    """Storey, rooms and what they do, as docs/architecture.md tells them."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    return [(int(storey), re.findall(r"`(\w+)(?:\.py|/)`", rooms), does) for storey, rooms, does in rows]


def test_the_architecture_tells_every_room_on_its_storey():
    told = {room: storey for storey, rooms, _ in rows_of_the_architecture() for room in rooms}
    assert told == {room: storey for room, storey in STOREY.items() if not room.startswith("__")}


def test_files_that_the_architecture_names_are_in_their_rooms():
    for _, rooms, does in rows_of_the_architecture():
        inside = {path.name for room in rooms for path in SOURCE.glob(f"{room}/**/*.py")}
        named = set(re.findall(r"`(\w+\.py)`", does))
        assert named <= inside, f"{rooms}: {named - inside}"


def modules_of(path: Path) -> set[str]:
    """Files of this package that a file imports anywhere in it, for types alone as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = {f"{node.module}.{name.name}" for name in node.names}
            found |= inside & NAMES.keys()
            found |= set() if inside <= NAMES.keys() else {node.module}
    return found & NAMES.keys()


def test_no_files_import_each_other_in_a_circle():
    imported = {name: modules_of(path) for name, path in NAMES.items()}
    while free := {name for name, others in imported.items() if not others & imported.keys()}:
        imported = {name: others for name, others in imported.items() if name not in free}
    while free := imported.keys() - set().union(*imported.values()):  # what only stands above a circle
        imported = {name: others for name, others in imported.items() if name not in free}
    assert not imported, " and ".join(sorted(imported))


def tracked_texts() -> dict[str, str]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the files of a checkout are known through git")
    texts = {}
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            texts[name] = content.decode("utf-8", errors="replace")
    return texts


def test_no_file_mentions_a_place_on_the_machine_it_was_written_on():
    parent = ROOT.parent
    here = {str(place) for place in (ROOT, parent, Path.home(), tempfile.gettempdir()) if len(str(place)) > 1}
    mentions = re.compile("|".join(rf"(?<![\w./~}}-]){re.escape(place)}(?![\w-])" for place in sorted(here)))
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in tracked_texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if mentions.search(line)
    ]
    assert not found, "\n".join(found)
