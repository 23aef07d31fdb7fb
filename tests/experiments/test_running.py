"""Every cell runs: eight steps at the scale tiny, its stages once, its result beside the paper's numbers.

At this scale all fine-tuning is on rendered pictures. The way to the field's benchmarks is tried with made-up
files in their official layout.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import layouts
import numpy as np
import official
import pytest

from mpt import bodies, experiments
from mpt.bodies import smpl
from mpt.cli import main
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.errors import InputError
from mpt.experiments import measuring, report, running
from mpt.experiments.cells import Cell, Evaluation, Stage, paper
from mpt.experiments.given import Given
from mpt.experiments.running import run_cell, run_stage
from mpt.recipes.prepare import prepare_hands

HANDS = ("table5",)
BODIES = tuple(table for table in experiments.TABLES if table not in HANDS)
CELLS = [cell for table in BODIES for cell in experiments.cells(table, "tiny")]


def refusal(action) -> str:
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Given:
    """Some poses of two people, and pictures of them."""
    folder, body = tmp_path_factory.mktemp("given"), bodies.load()
    rng = np.random.default_rng(0)
    with PoseStore.create(folder / "poses.store", body=body) as writer:
        for subject, split, count in (("01", "train", 20), ("02", "validation", 4)):
            rotvec = rng.normal(scale=0.2, size=(count, len(body.moving_bones), 3))
            about = Sequence(f"{subject}_01", subject, "clip.bvh", 30, count, count, split)
            kind = Kind(np.full(count, 0.9), np.zeros(count))
            writer.add(about, rotvec=rotvec, frame=np.arange(count), kind=kind)
    made = ["--out", str(folder / "rendered"), "--count", "2", "--validation", "2"]
    assert main(["prepare", "rendered", str(folder / "poses.store"), *made]) == 0
    data = {"rendered": folder / "rendered"}
    return Given(folder / "poses.store", data=data, workers=0, device="cpu")


def run(given: Given, root: Path, *names: str) -> int:
    files = ["--store", str(given.store), "--rendered", str(given.data["rendered"]), "--out", str(root)]
    return main(
        ["experiments", "run", *names, "--scale", "tiny", *files, "--device", "cpu", "--workers", "0"]
    )


@pytest.fixture(scope="module")
def root(given, tmp_path_factory) -> Path:
    """Where every cell of bodies has been run."""
    root = tmp_path_factory.mktemp("experiments") / "root"
    assert run(given, root, *BODIES) == 0
    return root


def result(root: Path, cell: str) -> dict:
    return json.loads((root / "cells" / f"{cell}-tiny-seed0.json").read_text())


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_every_cell_runs_and_is_measured(cell, root):
    found = result(root, cell.name)
    assert (found["cell"], found["scale"], found["seed"], found["label"]) == (
        cell.name,
        "tiny",
        0,
        cell.label,
    )
    assert list(found["stages"]) == [stage.name for stage in cell.stages]
    assert all(about["steps"] == 8 for about in found["stages"].values())
    assert found["measured"]["rendered"]["samples"] == 2
    for numbers in found["measured"].values():
        assert 0 < numbers["pa_mpjpe_mm"] <= numbers["mpjpe_mm"] < 1000
    pretrained = cell.stage.config.name.startswith("tiny-pretrain")
    assert len(found["measured"]) == (5 if pretrained else 1)  # poses are no measure of a 2D network
    assert bool(found["curve"]) == cell.evaluation.curve


def test_stages_are_run_once_and_cells_that_end_alike_measured_once(root, given):
    names = {f"{stage.name}-seed0" for cell in CELLS for stage in cell.stages}
    assert {folder.name for folder in (root / "stages").iterdir()} == names
    assert result(root, "table4-100")["measured"] == result(root, "table3c-masking")["measured"]
    before = {path: path.stat().st_mtime_ns for path in root.glob("stages/*/*")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "measure", lambda *_: pytest.fail("measured again"))
        assert run(given, root, "table4", "figure4a") == 0
    assert before == {path: path.stat().st_mtime_ns for path in root.glob("stages/*/*")}


def test_other_pictures_are_measured_anew(root, given, tmp_path):
    fewer = tmp_path / "rendered"
    (fewer / "validation").mkdir(parents=True)
    for name in ("rendered.json", "validation/000000.jpg", "validation/000000.npz"):
        (fewer / name).write_bytes((given.data["rendered"] / name).read_bytes())
    [cell] = experiments.cells("table6-views-2", "tiny")
    found = run_cell(cell, "tiny", 0, root, replace(given, data={"rendered": fewer}))
    assert found["measured"]["rendered"]["samples"] == 1
    again = run_cell(cell, "tiny", 0, root, given)
    assert again["measured"]["rendered"]["samples"] == 2


def test_a_broken_off_stage_goes_on_and_another_configuration_is_refused(given, tmp_path, monkeypatch):
    from mpt.recipes import pretrain

    original, steps = pretrain.objective, []

    def break_off(*args):
        steps.append(args)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return original(*args)

    [cell] = experiments.cells("table7-views-8", "tiny")
    monkeypatch.setattr(pretrain, "objective", break_off)
    with pytest.raises(KeyboardInterrupt):
        run_stage(cell.stage, 0, tmp_path, given)
    run_stage(cell.stage, 0, tmp_path, given)
    assert len(steps) == 4 + 8 - 3
    folder = tmp_path / "stages" / "tiny-pretrain-views-8-seed0"
    whole = run_stage(cell.stage, 0, tmp_path / "whole", given)
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    message = refusal(lambda: run_stage(cell.stage, 0, tmp_path, replace(given, samples=32)))
    assert "holds a run with another samples (64, now 32); choose another --out" in message
    other = run_stage(cell.stage, 1, tmp_path, given)
    assert (
        other != folder
        and (other / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()
    )


def test_a_stage_remembers_where_its_body_is(given, tmp_path, monkeypatch):
    anny = Path(bodies.__file__).parents[1] / "data" / "anny.safetensors"
    (tmp_path / "own.safetensors").write_bytes(anny.read_bytes())
    monkeypatch.chdir(tmp_path)
    [cell] = experiments.cells("table7-views-8", "tiny")
    folder = run_stage(cell.stage, 0, tmp_path / "root", replace(given, body="own.safetensors"))
    assert json.loads((folder / "config.json").read_text())["body"] == str(tmp_path / "own.safetensors")


def test_a_stage_is_refused_where_what_it_began_with_was_trained_anew(root, given, tmp_path):
    [cell] = experiments.cells("table2-zero-shot", "tiny")
    shutil.copytree(root / "stages", tmp_path / "stages")
    run_stage(cell.stage, 0, tmp_path, given)
    shutil.rmtree(tmp_path / "stages" / "tiny-pretrain-seed0")
    run_stage(cell.stage.start_from, 0, tmp_path, replace(given, samples=32))
    message = refusal(lambda: run_stage(cell.stage, 0, tmp_path, given))
    assert "was begun with the weights of another tiny-pretrain; remove it" in message


def test_hands_are_pre_trained_on_drawn_poses(tmp_path):
    prepare_hands(tmp_path / "hands.store", samples=40)
    [cell] = experiments.cells("table5", "tiny")
    found = run_cell(cell, "tiny", 0, tmp_path, Given(tmp_path / "hands.store", workers=0, device="cpu"))
    assert list(found["measured"]) == ["poses-random-perfect", "poses-random-detector"]
    assert found["measured"]["poses-random-perfect"]["pa_mpjpe_mm"] < 100


def test_what_is_missing_is_said_before_anything_runs(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    body = tmp_path / "smpl.safetensors"
    one, hands = {"human36m": tmp_path}, {"freihand": tmp_path}
    everything = {name: tmp_path for name in ("human36m", "muco3dhp", "up3d", "coco", "mpii")}
    for name, scale, have, said in (
        ("table4-20", "full", Given(), "mpt prepare body smpl FILE"),
        ("table5", "full", Given(), "mpt prepare body mano FILE"),
        ("table4-20", "small", Given(), "give --store STORE"),
        ("table4-20", "small", Given(given.store), "--rendered DIR"),
        ("table4-20", "full", Given(given.store, str(body)), "--data human36m=DIR (get it from the Human"),
        ("table4-20", "full", Given(given.store, str(body), everything), "--weights FILE"),
        ("table2-mixed-scratch", "full", Given(body=str(body), data=one), "--data muco3dhp=DIR"),
        ("table2-mixed-scratch", "full", Given(body=str(body), data=everything), "as trained on COCO: give"),
        ("table1-3dpw", "full", Given(given.store, str(body), everything, tmp_path), "--data 3dpw=DIR"),
        ("table5", "full", Given(given.store, str(body), hands, tmp_path), "has no evaluation_xyz.json and"),
    ):  # fmt: skip
        if have.body:
            body.touch()
        assert said in refusal(lambda n=name, s=scale, h=have: running.check(experiments.cells(n, s), h))
    whole = Given(given.store, str(body), everything | {"3dpw": tmp_path}, tmp_path)
    running.check(experiments.cells("table1", "full"), whole)
    for name in ("evaluation_xyz.json", "evaluation_verts.json"):
        (tmp_path / name).touch()
    running.check(experiments.cells("table5", "full"), replace(whole, data=hands))


def test_wrong_use_of_the_command_is_one_sentence(tmp_path, capsys):
    for args, said in (
        (["run", "tabel4-20"], "did you mean table4-20?"),
        (["run", "table4", "--data", "somewhere"], "name the data set too, as in --data human36m=DIR"),
        (["run", "table4", "--samples", "0"], "--samples is 0"),
        (["report", str(tmp_path)], "holds no results of experiments"),
    ):
        assert main(["experiments", *args]) == 2
        error = capsys.readouterr().err
        assert error.startswith("mpt: ") and said in error and error.count("\n") == 1


def test_several_processes_are_sent_to_the_stage_itself(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["experiments", "run", "table4"]) == 2
    assert "torchrun -m mpt pretrain pretrain --out ROOT/stages/pretrain-seed0" in capsys.readouterr().err


def test_the_list_shows_every_cell(capsys):
    assert main(["experiments", "list"]) == 0
    printed = capsys.readouterr().out
    for name in [*(cell.name for cell in CELLS), *experiments.TABLES, *experiments.CONFIGURATIONS]:
        assert name in printed


def test_the_report_prints_both_numbers_and_draws_the_figure(root, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["experiments", "report", str(root), "--out", str(tmp_path / "report.md")]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "report.md").read_text() in printed
    assert "Eight steps, which show that everything runs and nothing else" in printed
    ours = result(root, "table6-views-2")["measured"]["rendered"]
    assert f"| 2 views | 89.5 / 61.4 | {ours['mpjpe_mm']:.1f} / {ours['pa_mpjpe_mm']:.1f} |" in printed
    assert "Measured on 2 rendered pictures and 4 poses, after runs of 64 samples." in printed
    for half in "ab":
        assert (tmp_path / f"figure4{half}-tiny.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_tables_are_still_printed(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert main(["experiments", "report", str(root), "--out", str(tmp_path / "report.md")]) == 2
    said = capsys.readouterr()
    assert "Table 7" in said.out and "pip install 'mesh-pretraining[plots]'" in said.err


def test_means_and_ranges_are_over_seeds():
    [cell] = experiments.cells("table6-views-1", "small")
    each = [
        {"measured": {"rendered": {"pa_mpjpe_mm": value, "samples": 3}}, "run": {"samples": 8}}
        for value in (70.0, 73.0)
    ]
    text = report._table(experiments.table("table6"), [report.Results(cell, each)])
    assert "| 1 view | 92.5 / 61.7 | – / 71.5 ± 1.5 | 2 |" in text


def test_a_benchmark_is_measured_by_the_convention_of_the_cell(tmp_path):
    """A made-up SMPL body and Human3.6M: fine-tuned in two steps, measured by protocol 2."""
    people = [layouts.People(seed) for seed in range(2)]
    for split, subject in (("train", "S1"), ("valid_protocol2", "S9")):
        names = [f"{subject}_Directions_1.60457274_{frame:06d}.jpg" for frame in (1, 6)]
        for name in names:
            layouts.photo(tmp_path / "h36m" / "images" / name)
        layouts.spin_npz(tmp_path / "h36m" / f"h36m_{split}.npz", names, layouts.H36M, people)
    model = official.smpl(0)
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **model)
    np.save(tmp_path / "regressor.npy", official.h36m_regressor(model, "left"))
    body = tmp_path / "smpl.safetensors"
    smpl.build(tmp_path / "SMPL_NEUTRAL.npz", body, h36m_regressor=tmp_path / "regressor.npy")
    [tiny] = experiments.cells("table2-h36m-scratch", "tiny")
    config = replace(
        tiny.stage.config, name="h36m", body=str(body), data=("human36m",), validation="human36m",
        validation_split="test", samples=4,
    )  # fmt: skip
    cell = Cell("table2-x", "x", Stage(config), Evaluation("h36m", "tuned", "h36m-p2"), paper(59.1, 39.2))
    given = Given(data={"human36m": tmp_path / "h36m"}, workers=0, device="cpu")
    [(on, numbers)] = run_cell(cell, "tiny", 0, tmp_path / "root", given)["measured"].items()
    assert on == "h36m h36m-p2" and numbers["samples"] == 2
    assert 0 < numbers["pa_mpjpe_mm"] <= numbers["mpjpe_mm"]
