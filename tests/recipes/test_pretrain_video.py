"""Pre-training of the temporal model: it learns, it resumes bit for bit, and what cannot be is refused."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from mpt import bodies, checkpoint
from mpt.cli import main
from mpt.datasets import clip_files
from mpt.datasets.clips import ClipConfig
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.modeling.temporal import TemporalConfig
from mpt.recipes.clip_sightings import prepare_clips
from mpt.recipes.loop import OptimConfig
from mpt.recipes.pretrain_video import VideoConfig, pretrain_video

CONFIG = VideoConfig(
    name="mpt-video",
    model=TemporalConfig(width=32, layers=1, heads=2),
    clips=ClipConfig(frames=(6, 8)),
    optim=OptimConfig(learning_rate=3e-3),
    samples=24,
    batch_size=2,
    ahead=3,
    looks=2,
    validate_every=6,
    validation_clips=4,
    log_every=3,
)


@pytest.fixture(scope="module")
def body():
    return bodies.load("anny", "coco29")


@pytest.fixture(scope="module")
def store(body, tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "a.store"
    bones, rng = body.moving_bones, np.random.default_rng(0)
    with PoseStore.create(path, body=body) as writer:
        for name, split in (("a", "train"), ("b", "train"), ("c", "validation")):
            swing = 0.4 * np.sin(0.2 * np.arange(40)[:, None, None] + rng.uniform(0, 6, (1, len(bones), 3)))
            way = np.linspace([0, 0.9, 0], [0.5, 0.9, 1], 40)
            writer.add(
                Sequence(name, name, f"{name}.npz", 30.0, 40, 0, split), rotvec=swing * [1, 0.2, 0.2],
                frame=np.arange(40), kind=Kind(np.ones(40), np.zeros(40)), hips=way,
            )  # fmt: skip
    return path


def logged(run) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_and_writes_a_model(store, tmp_path):
    pretrain_video(replace(CONFIG, samples=60), store, tmp_path / "run")
    losses = [entry["loss"] for entry in logged(tmp_path / "run") if "loss" in entry]
    assert losses[-1] < losses[0]
    checks = [entry for entry in logged(tmp_path / "run") if "mpjpe" in entry]
    assert {"mpjpe", "pa_mpjpe", "acceleration", "resting", "depth", "contact", "causal_mpjpe"} <= checks[
        -1
    ].keys()
    found = checkpoint.load_temporal(tmp_path / "run")
    assert found.info["lift"] == "mpt-small" and found.skeleton.name == "coco29"
    assert found.transformer.config == CONFIG.model


def test_a_run_that_is_resumed_is_the_unbroken_one_bit_for_bit(store, tmp_path, monkeypatch):
    whole = pretrain_video(CONFIG, store, tmp_path / "whole")
    import mpt.recipes.pretrain_video as recipe

    calls = []

    def stop_after_seven(*given, **named):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return objective(*given, **named)

    objective = recipe.objective
    monkeypatch.setattr(recipe, "objective", stop_after_seven)
    with pytest.raises(KeyboardInterrupt):
        pretrain_video(CONFIG, store, tmp_path / "broken")
    monkeypatch.setattr(recipe, "objective", objective)
    broken = pretrain_video(CONFIG, store, tmp_path / "broken", resume=True)
    for name in ("state.safetensors", "model.safetensors"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes()


def test_clips_that_a_network_followed_are_learned_from(store, body, tmp_path):
    path = tmp_path / "seen.clips"
    made = list(prepare_clips(CONFIG, store, path, 3, 4, seed=1))
    assert made[-1] == 3
    clips = clip_files.read(path, body, 112)
    assert clips.seen.shape[:2] == (3, 4) and (clips.present.float().mean(1) > 0.5).all()
    there = clips.joints.float() + clips.translation[:, :, None]
    off = (clips.points[..., :2] - there[..., :2] / there[..., 2:]) * clips.translation[..., None, 2:]
    assert float(off[clips.present][:, :17].norm(dim=-1).median()) < 0.06  # metres
    config = replace(CONFIG, samples=8, sightings_share=0.9)
    pretrain_video(config, store, tmp_path / "run", sightings_path=path)
    assert logged(tmp_path / "run")[-1]["step"] == 4


def test_the_command_line_trains_resumes_and_refuses(store, tmp_path, capsys):
    run = str(tmp_path / "run")
    start = ["pretrain", "mpt-video", "--store", str(store)]
    refusals = (
        ([*start, "--skeleton", "coco17"], "--skeleton: mpt-video has no such setting; leave it out"),
        ([*start, "--skip-below", "0.1"], "the model reads meshes over time"),
        ([*start, "--samples", "0"], "--samples is 0: give a number above 0"),
        ([*start, "--sightings", str(store)], "holds no clips"),
        (
            ["prepare", "sightings", str(store), "--out", run, "--frames", "1"],
            "--frames is 1: give 3 to 1000",
        ),
        (["prepare", "sightings", str(store), "--out", run, "--experiment", "mpt-video"], "trains on clips"),
        (
            ["prepare", "sightings", str(store), "--out", run, "--frames", "9", "--experiment", "tiny"],
            "--experiment tiny trains on single poses, not on clips of --frames",
        ),
        ([*start, "--lift", "mpt-hand"], "films are refined above a model that reads one token"),
        (
            ["pretrain", "tiny", "--store", str(store), "--lift", "mpt-small"],
            "--lift: tiny has no such setting",
        ),
        ([*start, "--start-from", "mpt-small"], "expected 'mpt-temporal-1'"),
        ([*start, "--start-from", "none"], "a name that comes with mpt (mpt-video)"),
    )
    for command, sentence in refusals:
        assert main(command) == 2
        assert re.search(re.escape(sentence), " ".join(capsys.readouterr().err.split()))
    assert not (tmp_path / "run").exists()


def test_stores_without_ways_and_models_that_say_too_little_are_refused(body, store, tmp_path):
    from mpt.errors import InputError
    from mpt.recipes.pretrain_video import check_can_lift

    with PoseStore.create(tmp_path / "old.store", body=body) as writer:
        writer.add(
            Sequence("a", "a", "a.npz", 30.0, 9, 0, "train"), rotvec=np.zeros((9, len(body.moving_bones), 3)),
            frame=np.arange(9), kind=Kind(np.ones(9), np.zeros(9)),
        )  # fmt: skip
    with pytest.raises(InputError, match="does not say where people go"):
        pretrain_video(CONFIG, tmp_path / "old.store", tmp_path / "run")
    with pytest.raises(InputError, match="films are refined above a model that reads one token"):
        check_can_lift(checkpoint.load("mpt-hand"))
    assert not (tmp_path / "run").exists()
