"""What a network saw of drawn people is kept with their truth, and models learn from it."""

import json
from dataclasses import replace

import pytest
import roma
import torch
from test_pretrain import TINY, body, store, write_store  # noqa: F401

from mpt import assets, bodies, checkpoint
from mpt.cli import main
from mpt.datasets import sightings as files
from mpt.datasets.sightings import Sightings
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.errors import InputError
from mpt.experiments.pretraining import mpt_small
from mpt.heatmaps import PERFECT, blobs, render_marginals
from mpt.metrics import pa_mpjpe
from mpt.recipes import sightings as recipe
from mpt.recipes.pretrain import pretrain
from mpt.recipes.sightings import prepare_sightings
from mpt.scenes.poses import POSES, rotations

SIZE = 32


def made_up(body, store, count=6, **changes) -> Sightings:  # noqa: F811
    """Sightings that were never seen: perfect maps of a store's poses from random cameras."""
    synthesize = synthesizer(body, store)
    generator = torch.Generator().manual_seed(0)
    rotvec = torch.from_numpy(PoseStore(store, body=body).rotvec(slice(0, count)))
    people = synthesize.people(rotvec, generator)
    n, k = count, len(body.skeleton)
    points = torch.rand(n, k, 2, generator=generator) * 1.6 - 0.8
    seen = render_marginals(blobs((points + 1) * SIZE / 2 - 0.5, 1.0), SIZE)
    turn = torch.linalg.qr(torch.randn(n, 3, 3, generator=generator))[0]
    rotvec = rotvec[:, synthesize.column]
    return replace(Sightings(seen.half(), rotvec, people.shape, turn, points, people.up), **changes)


def synthesizer(body, store):  # noqa: F811
    config = SyntheticConfig(widening=NO_WIDENING, noise=PERFECT, truncation=0.0, fine_vertices=30)
    bones = PoseStore(store, body=body).bones
    return Synthesizer(body, bones, config, inputs="joints", coarse_vertices=431, heatmap_size=SIZE)


def test_a_file_gives_back_what_was_written(tmp_path, body, store):  # noqa: F811
    sightings = made_up(body, store)
    files.write(tmp_path / "a.sightings", sightings, body, {"networks": "blazepose"})
    again = files.read(tmp_path / "a.sightings", body, SIZE)
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(sightings).items())
    assert len(again[:4]) == 4 and len(Sightings.joined([again[:4], again[4:]])) == 6


def test_files_of_other_bodies_maps_or_kinds_are_refused(tmp_path, body, store):  # noqa: F811
    path = tmp_path / "a.sightings"
    files.write(path, made_up(body, store), body, {})
    with pytest.raises(InputError, match="maps of 32 pixels, the model reads 112; make them again"):
        files.read(path, body, 112)
    other = bodies.load(skeleton="coco17")
    with pytest.raises(
        InputError, match="of the body anny with the joints of coco29, not of anny with those of coco17"
    ):
        files.read(path, other, SIZE)
    path.write_bytes(b"poses")
    with pytest.raises(
        InputError, match=r"holds no sightings \(.*\); make them with `mpt prepare sightings`"
    ):
        files.read(path, body, SIZE)
    with pytest.raises(InputError, match="format is none"):
        checkpoint_like = tmp_path / "m.safetensors"
        checkpoint_like.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
        files.read(checkpoint_like, body, SIZE)
    with pytest.raises(InputError, match="choose another --out"):
        files.check_sightings_output(path, store)


def test_recalled_people_are_those_who_were_seen(body, store):  # noqa: F811
    sightings, synthesize = made_up(body, store), synthesizer(body, store)
    rows = torch.arange(0, 13000, 500)
    batch = synthesize.recalled(sightings, rows)
    posed = synthesize.body(roma.rotvec_to_rotmat(sightings.rotvec), sightings.shape)
    root = posed.joints[:, body.skeleton.root].mean(1, keepdim=True)
    torch.testing.assert_close(batch.joints, (posed.joints - root) @ sightings.turn, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        batch.vertices, (posed.vertices[:, rows] - root) @ sightings.turn, atol=1e-5, rtol=0
    )
    assert batch.seen.dtype == torch.float32 and torch.equal(batch.points, sightings.points)


def test_mixing_keeps_each_sample_whole(body, store):  # noqa: F811
    synthesize, rows = synthesizer(body, store), torch.arange(30)
    one = synthesize.recalled(made_up(body, store)[:2], rows)
    other = synthesize.recalled(made_up(body, store)[2:], rows)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    mixed = one.mixed_with(other, order)
    whole = synthesize.recalled(made_up(body, store)[order], rows)
    for name in ("seen", "joints", "coarse", "vertices", "points", "up"):
        torch.testing.assert_close(getattr(mixed, name), getattr(whole, name), atol=1e-5, rtol=0)


def test_a_run_learns_from_sightings_resumes_with_them_and_says_so(tmp_path, body, store, capsys):  # noqa: F811
    path = tmp_path / "a.sightings"
    files.write(path, made_up(body, store), body, {})
    config = replace(TINY, sightings_share=0.5, ahead=2)
    pretrain(config, store, tmp_path / "with", sightings_path=path)
    pretrain(replace(config, sightings_share=0.0), store, tmp_path / "without")
    first, other = (checkpoint.load(tmp_path / name).transformer for name in ("with", "without"))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters()))
    shares = [
        json.loads((tmp_path / name / "config.json").read_text())["sightings_share"]
        for name in ("with", "without")
    ]
    assert shares == [0.5, 0.0]
    with pytest.raises(InputError, match="tiny learns from sightings as well: give --sightings FILE"):
        pretrain(config, store, tmp_path / "with", resume=True)
    resumed = [
        "pretrain",
        "--store",
        str(store),
        "--sightings",
        str(path),
        "--resume",
        str(tmp_path / "without"),
    ]
    assert main(resumed) == 2
    assert "this run began without sightings; leave --sightings out" in capsys.readouterr().err
    queries = replace(config, model=replace(config.model, inputs="coordinates"))
    with pytest.raises(InputError, match="holds marginals of maps, and tiny reads coordinates"):
        pretrain(queries, store, tmp_path / "other", sightings_path=path)


@pytest.fixture(scope="module")
def blazepose():
    try:
        return assets.get("blazepose")
    except InputError as offline:
        pytest.skip(str(offline))


def test_the_command_keeps_what_blazepose_saw_of_standing_people(tmp_path, body, blazepose, capsys):  # noqa: F811
    """The model that ships finds the drawn people again, in what was kept of them."""
    moving = [body.bones.index(bone) for bone in body.moving_bones]
    poses = [rotations(body, POSES[pose])[moving] for pose in ("standing", "waving", "lunging", "squatting")]
    rotvec = roma.rotmat_to_rotvec(torch.stack(poses)).numpy()
    with PoseStore.create(tmp_path / "s.store", body=body) as writer:
        for split in ("train", "validation"):
            about = Sequence(split, split, "a.bvh", 30.0, 4, 0, split)
            writer.add(about, rotvec=rotvec, frame=range(4), kind=Kind(rotvec[:, 0, 0], rotvec[:, 0, 0]))
    out = tmp_path / "s.sightings"
    assert main(["prepare", "sightings", str(tmp_path / "s.store"), "--out", str(out), "--count", "12"]) == 0
    assert "12 sightings" in capsys.readouterr().out
    kept = files.read(out, body, mpt_small().model.heatmap_size)
    assert len(kept) == 12
    config = mpt_small()
    synthesize = Synthesizer(
        body, body.moving_bones, config.data, inputs="joints", coarse_vertices=431, heatmap_size=112
    )
    batch = synthesize.recalled(kept, torch.arange(10))
    with torch.inference_mode():
        found = checkpoint.load("mpt-small").transformer.eval()(batch.seen, rows=batch.rows)
    error = pa_mpjpe(found.regressed[:, :17], batch.joints[:, :17])
    assert error.median() < 80  # a mean pose instead is off by more than twice as much
    # What was seen lies where the truth is: peaks of the marginals are near the true points.
    peaks = kept.seen.float().argmax(-1)  # (N, K, 2)
    true = (kept.points + 1) * 112 / 2 - 0.5
    limbs = slice(5, 17)
    off = (peaks[:, limbs] - true[:, limbs]).norm(dim=-1)
    assert off.median() < 6


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--count", "0"], "--count is 0: give a number above 0"),
        (["--experiment", "paper"], "its model reads patches, and sightings are kept for models that"),
        (["--experiment", "mpt-hand"], "only the Anny body can be dressed for pictures"),
        (["--device", "cuda"], "this torch sees no CUDA device"),
    ],
)
def test_what_cannot_be_shown_is_said(tmp_path, store, arguments, sentence, capsys):  # noqa: F811
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    code = main(["prepare", "sightings", str(store), "--out", str(tmp_path / "s"), *arguments])
    assert code == 2 and sentence in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("command", [["sightings", "STORE", "--count", "1"], ["body", "anny-hand"]])
def test_a_place_where_nothing_can_be_written_is_said_before_the_work(command, tmp_path, store, capsys):  # noqa: F811
    (tmp_path / "file").write_text("no folder")
    given = [str(store) if word == "STORE" else word for word in command]
    assert main(["prepare", *given, "--out", str(tmp_path / "file" / "out")]) == 2
    said = capsys.readouterr().err
    assert "file/out: cannot be written (Not a directory); choose another --out" in said
    assert "building" not in said and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_people_whom_nobody_finds_are_not_drawn_for_ever(tmp_path, store, blazepose, monkeypatch):  # noqa: F811
    monkeypatch.setattr(recipe, "MIN_LIKENESS", 2.0)
    monkeypatch.setattr(recipe, "PATIENCE", 4)
    with pytest.raises(InputError, match="of 4 people in its poses blazepose found 0: give a store"):
        list(prepare_sightings(mpt_small(), store, tmp_path / "s", 2, batch_size=4))
    assert not (tmp_path / "s").exists()
