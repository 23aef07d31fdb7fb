"""Every snippet of the README and the documentation: Python runs, commands are understood."""

import ast
import re
import shlex
import sys
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from little_model import standing_joints
from PIL import Image
from small_films import write_film
from stand_ins import capture, finds

from mpt import bodies, cli, mocap
from mpt.bodies.retarget import laid_on
from mpt.rigs.rig import Place
from mpt.skeletons import COCO29

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SIZE = (400, 300)
STARTS = re.compile(
    r"(?:PYTHONPATH=\S+ )?(?:python -m mpt|torchrun .*-m mpt|deepspeed .*--module mpt|mpt)(?= )"
)
OF_OTHERS = {
    "--no-deps",
    "--index-url",
    "--strict",
    "--nproc-per-node",
    "--num_gpus",
    "--no_local_rank",
    "--module",
    "--check",
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, content) of each fenced block."""
    return re.findall(
        r"^```(\w*)[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def lines_of(content: str) -> list[str]:
    """Commands of a shell's block, whole, without comments."""
    whole = content.replace("\\\n", " ")
    return [re.split(r"\s+#", line)[0].strip() for line in whole.splitlines()]


COMMANDS = sorted(
    {
        line
        for page in PAGES
        for language, content in blocks(page)
        if language in ("", "sh", "bash")
        for part in lines_of(content)
        for line in part.split(" && ")
        if line
    }
)
PYTHON = [
    (page, content)
    for page in PAGES
    for language, content in blocks(page)
    if language == "python" and "--8<--" not in content
]


def test_there_are_snippets():
    assert len(COMMANDS) > 60 and len(PYTHON) >= 5


@pytest.mark.parametrize("command", [line for line in COMMANDS if STARTS.match(line)])
def test_a_command_is_understood(command, tmp_path, monkeypatch):
    """Parsed as the command line parses it: no option is unknown, none is missing."""
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(STARTS.sub("", command))
    if "--help" in arguments:
        with pytest.raises(SystemExit) as leaving:
            cli._parsed(arguments)
        assert leaving.value.code == 0
    else:
        assert callable(cli._parsed(arguments))


def options_of(script: Path) -> set[str]:
    """Of argparse, or of tyro, to which a script gives its function main."""
    source = script.read_text(encoding="utf-8")
    mains = [node for node in ast.walk(ast.parse(source)) if getattr(node, "name", "") == "main"]
    given = [arg.arg for main in mains for arg in (*main.args.args, *main.args.kwonlyargs)]
    return {f"--{name.replace('_', '-')}" for name in given} | set(re.findall(r'"(--[\w-]+)"', source))


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("python ")])
def test_a_script_has_the_options_that_it_is_given(command):
    script, *arguments = shlex.split(command)[1:]
    if script != "-m":
        assert {word for word in arguments if word.startswith("--")} <= options_of(ROOT / script)


@pytest.mark.parametrize("command", [line for line in COMMANDS if not STARTS.match(line)])
def test_other_commands_are_known_ones(command):
    known = ("pip", "python", "git", "ruff", "pyright", "pytest", "mkdocs", ".", "cd")
    assert shlex.split(command)[0] in known


@cache
def options() -> set[str]:
    """Of all commands and of all scripts."""
    found, left = {*OF_OTHERS, "--help", "--version", "--debug"}, [*cli.COMMANDS.values()]
    while left:
        one = left.pop()
        if isinstance(one, tuple):
            left += get_args(one[1])
        elif get_origin(one) is Annotated:
            left += [mark.constructor_factory() for mark in one.__metadata__ if hasattr(mark, "default")]
        elif is_dataclass(one):
            hints = get_type_hints(one, include_extras=True)
            for field in fields(one):
                renamed = [
                    getattr(mark, "name", None) for mark in getattr(hints[field.name], "__metadata__", ())
                ]
                name = next(filter(None, renamed), field.name).replace("_", "-")
                found |= {f"--{name}", f"--no-{name}"} if field.type in (bool, "bool") else {f"--{name}"}
    for script in (*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "docs").glob("*.py")):
        found |= options_of(script)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_is_named_is_one(page):
    code = re.findall(r"`([^`]+)`", page.read_text(encoding="utf-8"))
    named = {option for part in code for option in re.findall(r"(?<![\w-])--[a-z][\w-]+", part)}
    assert named - options() == set()


class Photos:
    """Stands in for a data set of Ray's: one batch, mapped here and now."""

    def __init__(self, columns: dict[str, np.ndarray]):
        self.columns = columns

    def map_batches(self, engine, *, fn_constructor_kwargs, batch_size, concurrency):
        return Photos(engine(**fn_constructor_kwargs)(self.columns))

    def write_parquet(self, folder: str) -> None:
        assert self.columns["count"].tolist() == [2]


def read_binary_files(folder: str, *, include_paths: bool) -> Photos:
    paths = sorted(Path(folder).iterdir())
    contents = np.array([path.read_bytes() for path in paths], object)
    return Photos({"bytes": contents, "path": np.array(list(map(str, paths)), object)})


@pytest.mark.parametrize("page,content", PYTHON, ids=lambda value: getattr(value, "name", "snippet"))
def test_python_runs(page, content, tmp_path, monkeypatch):
    ray = SimpleNamespace(data=SimpleNamespace(read_binary_files=read_binary_files))
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.chdir(tmp_path)
    joints = np.stack([standing_joints((x, 0, 4), 400, SIZE, "coco29") for x in (-0.7, 0.7)])
    finds(monkeypatch, "blazepose", COCO29, joints)
    Path("photos").mkdir()
    for photo in ("photo.jpg", "photos/photo.jpg"):
        Image.new("RGB", SIZE, "grey").save(photo)
    write_film(Path("dance.mp4"), [np.full((SIZE[1], SIZE[0], 3), 90 + i, np.uint8) for i in range(5)])
    capture(Path(), "ann")
    body = bodies.load()
    motion = laid_on(mocap.read("ann/walk.bvh"), body)
    given = {
        "motion": motion,
        "place": Place(np.eye(3), np.zeros(3)),
        "joints_std_m": np.full((len(motion), len(body.skeleton)), 0.02),
    }
    exec(compile(content, page.name, "exec"), given)
