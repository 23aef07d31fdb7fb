"""Whatever goes wrong leaves the command as one sentence, and with a code that says whose fault it is."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from little_model import standing_joints, write_little_model
from PIL import Image

from mpt import assets
from mpt.cli import main
from mpt.cli.assets import AssetsStatus
from mpt.datasets import files
from mpt.errors import InputError

SIZE = (320, 240)
posix = pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors"))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failing(error: BaseException):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            OSError(28, "No space left on device", "a/file"),
            2,
            r"a/file: cannot be used or written \(No space left",
        ),
        (OSError(5, "Input/output error"), 2, r"what was asked for cannot be done \(Input/output error\)"),
        (
            ValueError("no number\nbut a word"),
            2,
            r"what was asked for cannot be done \(ValueError: no number\)",
        ),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), 2, ".*UnicodeDecodeError: 'utf-8' codec"),
        (MemoryError(), 2, r"the memory of this computer is not enough for it \(MemoryError\)"),
        (RuntimeError("CUDA out of memory. Tried"), 2, "the memory of this computer is not enough"),
        (RuntimeError(), 2, r"what was asked for cannot be done \(RuntimeError\)"),
        (EOFError(), 2, ".*EOFError"),
        (
            TypeError("unsupported operand"),
            70,
            r"this is a fault of mpt \(TypeError: unsupported operand\), please",
        ),
        (KeyError("name"), 70, r"this is a fault of mpt \(KeyError: 'name'\)"),
        (AssertionError(), 70, r"this is a fault of mpt \(AssertionError\)"),
        (InputError("it is said"), 2, "it is said$"),
    ],
)
def test_an_error_is_a_sentence(error, code, sentence, monkeypatch, capsys):
    monkeypatch.setattr(AssetsStatus, "__call__", failing(error))
    assert main(["assets", "status"]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"mpt: {sentence}", line)
    assert isinstance(error, InputError) or line.endswith("; run again with --debug to see where")
    for args in (
        ["--debug", "assets", "status"],
        ["assets", "--debug", "status"],
        ["assets", "status", "--debug"],
    ):
        assert main(args) == code
        printed = capsys.readouterr().err.splitlines()
        assert printed[0] == line and printed[1] == "Traceback (most recent call last):"
    assert main(["assets", "status"]) == code  # and it is forgotten
    assert "Traceback" not in capsys.readouterr().err


def test_the_file_that_was_being_read_is_named(monkeypatch, capsys):
    monkeypatch.setattr(json, "loads", failing(RuntimeError("too deep")))
    Path("data").mkdir()
    Path("data/some.json").write_text("{}")
    monkeypatch.setattr(AssetsStatus, "__call__", lambda _: files.read_json(Path("data/some.json")))
    assert main(["assets", "status"]) == 2
    assert capsys.readouterr().err.startswith(
        "mpt: data/some.json: cannot be used or written (RuntimeError: too deep)"
    )


def test_a_full_disk_behind_stdout_is_said():
    if not os.path.exists("/dev/full"):
        pytest.skip("a device of Linux")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "mpt", "assets", "status"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "No space left on device" in line


@posix
def test_closed_streams_take_nothing_and_give_nothing_to_files():
    """A file would get the number of a stream that is closed, and with it what libraries print."""
    program = "from mpt.cli import main; main(['assets', 'status']); print(open('file', 'w').fileno() > 2)"
    shell = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(program)} <&- 2>&-"
    done = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


@posix
def test_what_is_said_where_stderr_is_closed_does_not_reach_stdout():
    shell = f"exec {shlex.quote(sys.executable)} -m mpt reconstruct none.png --json 2>&-"
    done = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, text=True, check=False)
    (refused,) = json.loads(done.stdout)
    assert done.returncode == 2 and refused["error"].startswith("none.png does not exist")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk_behind_stderr_changes_no_exit_code():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "mpt", "reconstruct", "none.png"]
        assert subprocess.run(command, stderr=full, check=False).returncode == 2


@posix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_that_comes_while_a_module_is_imported_is_not_lost(name, code, place):
    """Some libraries take any exception in an import for a part that is not installed."""
    signalled = f"import os, signal, time\nos.kill(os.getpid(), signal.{name})\ntime.sleep(0.01)\n"
    (place / "part.py").write_text(signalled)
    (place / "library.py").write_text("try:\n    import part\nexcept BaseException:\n    part = None\n")
    program = (
        "import signal, sys, time\nfrom mpt.cli import assets, main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "def run(self):\n    import library\n    assert library.part\n    time.sleep(60)\n    return 0\n"
        "assets.AssetsStatus.__call__ = run\nsys.exit(main(['assets', 'status']))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (code, "")


@posix
def test_a_working_folder_that_was_removed_is_said():
    shell = f"mkdir gone; cd gone; rmdir ../gone; exec {shlex.quote(sys.executable)} -m mpt experiments list"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "mpt: the folder that mpt was called in is no longer there: go to another\n"


def test_numbers_that_nobody_can_count_to_are_refused(capsys):
    assert main(["prepare", "hands", "--out", "hands.store", "--samples", "9" * 20]) == 2
    said = f"mpt: --samples is {'9' * 20}: give a number that is no larger than 4294967295\n"
    assert capsys.readouterr().err == said


def test_without_a_home_directory_the_sentence_says_what_to_set(monkeypatch, capsys):
    monkeypatch.delenv("MPT_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", failing(RuntimeError("Could not determine home directory.")))
    assert main(["assets", "status"]) == 2
    sentence = "there is no home directory to keep the networks in: set MPT_CACHE to a folder"
    assert capsys.readouterr().err == f"mpt: {sentence}\n"
    Path("a.json").write_text("[1]")
    monkeypatch.setattr(files, "SLOW_BYTES", 0)
    assert files.parsed(lambda: {}, Path("a.json")) == {}  # only kept nowhere
    monkeypatch.undo()
    monkeypatch.setenv("MPT_CACHE", "~/networks")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert assets.cache_dir() == Path("/home/somebody/networks")


@pytest.mark.parametrize(
    "args",
    [
        ["reconstruct", "photo.png", "--format"],
        ["reconstruct", "--format", "--out", "out", "--", "photo.png"],
        ["prepare", "mocap", "clips", "--out", "my.store", "--validation"],
        ["finetune", "--data"],
        ["experiments", "run", "table7", "--seed"],
        ["experiments", "run", "table7", "--data"],
    ],
)
def test_an_option_without_its_word_is_refused(args, capsys):
    assert main(args) == 2
    option = next(arg for arg in args if arg in ("--format", "--validation", "--data", "--seed"))
    assert capsys.readouterr().err == (
        f"mpt: {option} was given without a word behind it: name one or more, or leave it out\n"
    )


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["experiments", "run"], "no table or cell was named"),
        (["prepare", "mocap", "--out", "my.store"], "no motion was given"),
        (["prepare", "meshes", "--body", "anny-hand", "--out", "my.store"], "no meshes were given"),
        (["reconstruct"], "no photo or film was named"),
    ],
)
def test_nothing_named_is_refused(args, sentence, capsys):
    assert main(args) == 2
    assert sentence in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------- photos


def keypoints_of(*names: str) -> None:
    joints = (standing_joints((0, 0, 4), 400, SIZE) * [1, 1, 2]).ravel().tolist()
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    annotations = [{"image_id": i, "category_id": 1, "keypoints": joints} for i in range(len(names))]
    Path("joints.json").write_text(json.dumps({"images": images, "annotations": annotations}))


def reconstruct(*args: str, model: str) -> int:
    return main(["reconstruct", *args, "--keypoints", "joints.json", "--model", model, "--device", "cpu"])


def test_stars_that_no_shell_has_expanded_are(model, capsys):
    for name in ("b.png", "a.png"):
        Image.new("RGB", SIZE).save(name)
    keypoints_of("a.png", "b.png")
    assert reconstruct("*.png", model=model) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["a.png", "b.png"]
    assert reconstruct("*.gif", "a.png", model=model) == 1
    assert reconstruct("*.gif", model=model) == 2
    assert "mpt: *.gif: no file is called so, or matches it" in capsys.readouterr().err


def test_a_photo_comes_through_standard_input(model, monkeypatch, capsys):
    Image.new("RGB", SIZE).save(buffer := io.BytesIO(), "PNG")
    keypoints_of("stdin")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(buffer.getvalue())))
    assert reconstruct("-", "--json", model=model) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["image"] == "stdin" and Path("mpt-out/stdin/person0.glb").is_file()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert reconstruct("-", "-", model=model) == 2
    twice, empty = capsys.readouterr().err.splitlines()
    assert "- was given twice" in twice and "is an empty file" in empty


def test_addresses_stop_no_other_photo(model, capsys):
    Image.new("RGB", SIZE).save("a.png")
    keypoints_of("a.png")
    assert reconstruct("https://example.org/a.jpg", "a.png", "", model=model) == 1
    refused = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mpt: ")]
    assert refused == [
        "mpt: https://example.org/a.jpg is an address: download it first, and give the file's path",
        "mpt: the photo's name is empty: give the path of a picture",
    ]


def test_a_name_that_breaks_lines_does_not_break_the_sentence(model, capsys):
    keypoints_of("a.png")
    assert reconstruct("a\nb\x1bm.png", model=model) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"mpt: a\nb\x1bm.png does not exist")


def test_a_fault_at_one_photo_stops_no_other_and_has_its_own_code(model, capsys, monkeypatch):
    from mpt import results

    for name in ("a.png", "b.png"):
        Image.new("RGB", SIZE).save(name)
    keypoints_of("a.png", "b.png")
    draw = results.draw
    faults = iter([True, False])
    monkeypatch.setattr(results, "draw", lambda *args: {}["fault"] if next(faults) else draw(*args))
    assert reconstruct("a.png", "b.png", model=model) == 70
    assert "mpt: a.png: this is a fault of mpt (KeyError: 'fault')" in capsys.readouterr().err
    assert os.listdir("mpt-out") == ["b"]


@pytest.mark.parametrize("option", ["--out", "-o", "--start-from", "--store"])
def test_an_empty_word_behind_an_option_is_a_variable_that_is_not_set(option, capsys):
    assert main(["pretrain", "tiny", option, ""]) == 2
    assert capsys.readouterr().err == (
        f"mpt: {option} was given an empty word, perhaps of a variable that is not set: give a value, or "
        "leave it out\n"
    )
