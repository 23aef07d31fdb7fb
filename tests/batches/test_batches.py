"""Batches on the command line: folders, summary.csv, and going on where one was broken off."""

import csv
import json
import os
import re
import shutil
import signal
from functools import cache
from pathlib import Path

import pytest
from little_model import standing_joints, write_little_model
from PIL import Image

from mpt import result_folders, results
from mpt.batches import summary
from mpt.cli import main
from mpt.errors import InputError

SIZE = (160, 120)
NAMES = ("a.png", "b.png", "sub/a.png")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors"))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """Three photos in a folder of two, and the keypoints of each."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, (90 * number, 50, 50)).save(Path("in", name))
    images = [{"id": i, "file_name": f"in/{name}"} for i, name in enumerate(NAMES)]
    people = [{"image_id": i, "category_id": 1, "keypoints": somebody()} for i in (0, 0, 2)]
    people[1] = people[1] | {"keypoints": somebody(0.7)}
    Path("joints.json").write_text(json.dumps({"images": images, "annotations": people}))
    return tmp_path


@cache
def somebody(aside_m: float = -0.7) -> list[float]:
    return (standing_joints((aside_m, 0, 4), 200, SIZE) * [1, 1, 2]).ravel().tolist()


def reconstruct(*args: str, model: str) -> int:
    own = ("--keypoints", "joints.json", "--model", model, "--device", "cpu", "--no-overlay")
    return main(["reconstruct", *args, *own, "--format", "npz"])


def batch(*args: str, model: str, out: str = "out") -> int:
    return reconstruct("in", "--recursive", "-o", out, *args, model=model)


def rows(path: str = "out/summary.csv") -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def everything(folder: str) -> dict[str, bytes]:
    """All files, but for what was measured with a clock, and guesses whose last digit may differ by where
    in memory arrays lie.
    """
    found = {}
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.name == "result.json":
            content = re.sub(rb'"(seconds|guessed)": \{[^}]*\}', b"", content)
        if path.name == "summary.csv":
            content = re.sub(rb",\d+\.\d{3},", b",,", content)
        found[str(path.relative_to(folder))] = content
    return found


def test_a_folder_becomes_folders_of_results_and_a_summary(model, capsys):
    Path("in/broken.jpg").write_bytes(b"no picture")
    assert batch("--json", model=model) == 1
    printed = capsys.readouterr()
    first, second, broken, third = json.loads(printed.out)
    assert [len(one["people"]) for one in (first, second, third)] == [2, 0, 1]
    assert broken["image"] == "in/broken.jpg" and "in/broken.jpg is no picture" in broken["error"]
    assert sorted(everything("out")) == [
        *("a/person0.npz", "a/person1.npz", "a/result.json", "b/result.json"),
        *("sub/a/person0.npz", "sub/a/result.json", "summary.csv"),
    ]
    assert [(row["file"], row["status"], row["person"], row["folder"]) for row in rows()] == [
        ("in/a.png", "ok", "0", "a"),
        ("in/a.png", "ok", "1", "a"),
        ("in/b.png", "nobody", "", "b"),
        ("in/broken.jpg", "refused", "", ""),
        ("in/sub/a.png", "ok", "0", "sub/a"),
    ]
    told = json.loads(Path("out/a/result.json").read_text())["people"][0]
    assert float(rows()[0]["stature_m"]) == told["build"]["stature_m"]
    assert float(rows()[0]["distance_m"]) == pytest.approx(4, abs=0.5)
    assert rows()[3]["error"] == broken["error"]
    table = dict(re.findall(r"^(\S.*?)  +(\S.*)$", printed.err, re.M))
    assert table["photos and films"] == "4" and table["with somebody"] == "2 (3 in all)"
    assert table["with nobody"] == "1" and table["refused"] == "1"


def test_several_folders_have_folders_of_their_own(model):
    assert reconstruct("in", "in/sub", "in/b.png", "-o", "out", model=model) == 0
    assert {path for path in everything("out") if path.endswith(".json")} == {
        *("in/a/result.json", "in/b/result.json", "sub/a/result.json", "b/result.json"),
    }


def test_photos_named_one_by_one_have_no_summary_unless_asked(model):
    assert reconstruct("in/a.png", "in/b.png", "-o", "out", model=model) == 0
    assert sorted(os.listdir("out")) == ["a", "b"]
    assert reconstruct("in/a.png", "in/b.png", "-o", "out", "--summary", model=model) == 0
    assert len(rows()) == 3


def test_results_are_no_photos_where_they_lie_among_them(model):
    Path("joints.json").write_text(Path("joints.json").read_text().replace("in/", ""))
    assert batch(model=model, out="in") == 0
    before = everything("in")
    assert batch("--resume", model=model, out="in") == 0
    assert everything("in") == before


# ---------------------------------------------------------------------------------------------- going on


def made_since(before: dict[str, int]) -> set[str]:
    return {name for name, at in times().items() if before.get(name) != at}


def times() -> dict[str, int]:
    return {str(path.parent): path.stat().st_mtime_ns for path in Path("out").rglob("result.json")}


def test_what_is_whole_and_of_the_same_stays(model, capsys):
    batch(model=model)
    before, files = times(), everything("out")
    os.utime("in/a.png")  # time tells nothing
    capsys.readouterr()
    assert batch("--resume", model=model) == 0
    assert capsys.readouterr().err.count("kept from before  3") == 1
    assert not made_since(before) and everything("out") == files
    Image.new("RGB", SIZE, "white").save("in/b.png")
    assert batch("--resume", model=model) == 0
    assert made_since(before) == {"out/b"}
    os.unlink("out/a/person1.npz")
    before = times()
    assert batch("--resume", model=model) == 0
    assert made_since(before) == {"out/a"}
    assert batch("--resume", "--fps", "10", model=model) == 0  # of films
    assert made_since(before) == {"out/a"}
    assert batch("--resume", "--focal", "300", model=model) == 0
    assert made_since(before) == {"out/a", "out/b", "out/sub/a"}
    before = times()
    assert batch("--focal", "300", model=model) == 0
    assert made_since(before) == before.keys()


def test_what_was_refused_is_tried_again(model):
    Path("in/b.png").write_bytes(b"no picture")
    assert batch(model=model) == 1
    assert [row["status"] for row in rows()] == ["ok", "ok", "refused", "ok"]
    before = times()
    Image.new("RGB", SIZE).save("in/b.png")
    assert batch("--resume", model=model) == 0
    assert made_since(before) == {"out/b"}
    assert [row["status"] for row in rows()] == ["ok", "ok", "nobody", "ok"]


def killed(monkeypatch, model: str, after: int) -> bool:
    """Run a batch in a process that kills itself where a file is moved for the n-th time; whether it did."""
    child = os.fork()
    if child == 0:
        move, moved = os.replace, 0

        def replace(*names) -> None:
            nonlocal moved
            if moved == after:
                os.kill(os.getpid(), signal.SIGKILL)
            moved += 1
            move(*names)

        os.replace = replace
        os._exit(batch(model=model))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of POSIX")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_kill_9_at_any_file_a_batch_goes_on_as_if_nothing_had_been(model, monkeypatch):
    batch(model=model)
    unbroken = everything("out")
    shutil.rmtree("out")
    moments = 0
    while killed(monkeypatch, model, moments):
        lines = Path("out/summary.csv").read_text() if Path("out/summary.csv").exists() else ""
        assert not lines or lines.endswith("\n")
        assert all(None not in row and None not in row.values() for row in rows()) if lines else True
        assert batch("--resume", model=model) == 0
        assert everything("out") == unbroken
        if moments % 2:  # the next one in the place of earlier results
            shutil.rmtree("out")
        moments += 1
    assert moments == 10  # three, one and two files of photos; three of these written whole before; a summary


@pytest.mark.parametrize(("room", "moment"), [(results, "write_json"), (result_folders, "_move")])
def test_after_ctrl_c_a_batch_goes_on_and_says_how(room, moment, model, monkeypatch, capsys):
    batch(model=model)
    unbroken = everything("out")
    shutil.rmtree("out")
    run, calls = getattr(room, moment), 0

    def interrupted(*args):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return run(*args)

    monkeypatch.setattr(room, moment, interrupted)
    assert batch("--json", model=model) == 130
    printed = capsys.readouterr()
    assert len(json.loads(printed.out.splitlines()[-1])) == 1
    assert "broken off after 1; the same command with --resume goes on" in printed.err
    assert not list(Path("out").rglob(".mpt-*"))
    assert batch("--resume", model=model) == 0
    assert everything("out") == unbroken


# --------------------------------------------------------------------------------------------- summary.csv


def test_a_summary_of_others_is_not_written_over(model, capsys):
    Path("out").mkdir()
    Path("out/summary.csv").write_text("mine")
    assert batch(model=model) == 2
    assert "out/summary.csv is there already and is no summary of mpt's" in capsys.readouterr().err
    assert os.listdir("out") == ["summary.csv"] and Path("out/summary.csv").read_text() == "mine"


def test_a_line_for_which_there_is_no_room_is_not_written_in_part(monkeypatch):
    one = summary.Summary(Path("summary.csv"))
    one.refused("a.png", 'of "several"\nlines, and \udce9')
    before = Path("summary.csv").read_bytes()
    monkeypatch.setattr(summary, "_write", lambda file, lines: file.write(lines[:5]))
    with pytest.raises(InputError, match=r"summary.csv: cannot be written \(No space left on device\)"):
        one.refused("b.png", "unlucky")
    assert Path("summary.csv").read_bytes() == before
    assert rows("summary.csv")[0]["error"] == 'of "several"\nlines, and \\udce9'
