"""Pre-training learns, resumes bit for bit, writes what it promises and refuses what it cannot use."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from tolerance import assert_close

from mpt import bodies, checkpoint
from mpt.cameras import weak_perspective
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.datasets.synthetic import SyntheticBatch, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.errors import InputError
from mpt.heatmaps import PERFECT
from mpt.metrics import ErrorSums, mpjpe
from mpt.modeling.mesh_transformer import PAPER, SMALL, MeshPrediction, MeshTransformer
from mpt.recipes import pretrain as recipe
from mpt.recipes.draws import PoseDraw, Poses, PosesConfig
from mpt.recipes.evaluate import evaluate_poses, spread
from mpt.recipes.loop import OptimConfig
from mpt.recipes.pretrain import Ahead, LossWeights, PretrainConfig, objective, pretrain

EASY = SyntheticConfig(widening=NO_WIDENING, noise=PERFECT, truncation=0.0, fine_vertices=30)
TINY = PretrainConfig(
    name="tiny",
    model=replace(SMALL, hidden=(16,), layers=1, heads=2, heatmap_size=32, dropout=0.2),
    data=SyntheticConfig(fine_vertices=30),
    optim=OptimConfig(learning_rate=2e-3),
    samples=48,
    batch_size=8,
    validation_samples=4,
    validate_every=3,
    log_every=1,
)
QUERYING = replace(
    TINY,
    model=replace(
        PAPER, inputs="coordinates", hidden=(8,), layers=1, heads=2, upsampler="sparse", heatmap_size=32
    ),
)
PAIRS = replace(
    TINY, data=replace(TINY.data, cameras="h36m_s1"), epochs=0.3, every_pair=True
)  # of 40 poses from 4 views
METRICS = {"mpjpe", "pa_mpjpe", "mpve", "noisy_mpjpe", "noisy_pa_mpjpe", "noisy_mpve"}


@pytest.fixture(scope="module")
def body():
    return bodies.load("anny")


def write_store(path, body, splits=("train", "train", "validation"), poses=20):
    generator = np.random.default_rng(0)
    with PoseStore.create(path, body=body) as writer:
        for i, split in enumerate(splits):
            rotvec = generator.normal(0, 0.2, (poses, len(body.moving_bones), 3))
            rotvec[:, 0] += [0, i, 0]
            kind = Kind(np.linspace(0.1, 1.0, poses), np.zeros(poses))
            about = Sequence(f"0{i}_01", f"0{i}", f"0{i}_01.bvh", 30.0, poses, 0, split)
            writer.add(about, rotvec=rotvec, frame=np.arange(poses), kind=kind)
    return path


@pytest.fixture(scope="module")
def store(body, tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("mocap") / "tiny.store", body)


def metrics(run) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def refusal(action) -> str:
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_few_steps_lower_the_loss(store, tmp_path):
    config = replace(
        TINY, data=EASY, samples=16 * 30, batch_size=16, model=replace(TINY.model, dropout=0.0),
        validate_every=30, optim=OptimConfig(learning_rate=5e-3),
    )  # fmt: skip
    run = pretrain(config, store, tmp_path / "run", device="cpu")
    losses = [entry["loss"] for entry in metrics(run) if "loss" in entry]
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    return pretrain(TINY, store, tmp_path_factory.mktemp("runs") / "whole", device="cpu")


def test_a_run_folder_holds_all_that_it_promises(finished, body):
    assert sorted(path.name for path in finished.iterdir()) == [
        "config.json", "metrics.jsonl", "model.safetensors", "state.safetensors"
    ]  # fmt: skip
    written = json.loads((finished / "config.json").read_text())
    assert written["name"] == "tiny" and written["model"]["hidden"] == [16]

    steps = [entry for entry in metrics(finished) if "loss" in entry]
    assert [entry["step"] for entry in steps] == [1, 2, 3, 4, 5, 6]
    for entry in steps:
        terms = [entry[name] for name in ("vertices", "joints", "regressed", "projected")]
        assert entry["loss"] == pytest.approx(sum(terms)) and min(terms) > 0
    checks = [entry for entry in metrics(finished) if "mpjpe" in entry]
    assert [(entry["step"], entry["samples"]) for entry in checks] == [(3, 24), (6, 48)]
    assert all(entry.keys() >= METRICS for entry in checks)

    model = checkpoint.load(finished)
    assert model.transformer.config == TINY.model
    assert (model.body, model.body_hash, model.skeleton) == ("anny", body.hash, body.skeleton)
    assert torch.equal(model.faces, body.faces)
    assert model.info["poses"] == 40 and model.info["recipe"]["samples"] == 48


def test_the_model_file_holds_the_state_s_weights(finished):
    state = load_tensors((finished / "state.safetensors").read_bytes())
    for name, tensor in checkpoint.load(finished).transformer.state_dict().items():
        exact = state[f"model.{name}"]
        torch.testing.assert_close(tensor, exact, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "config", [TINY, QUERYING, PAIRS], ids=["joints, dropout", "masked vertex queries", "every pair once"]
)
def test_a_run_broken_off_and_resumed_is_the_unbroken_one_bit_for_bit(config, store, tmp_path, monkeypatch):
    pretrain(config, store, tmp_path / "whole", device="cpu")
    taken, draws = Poses.taken, []

    def break_off(self, *drawn):
        draws.append(drawn)
        if len(draws) == 5:
            raise KeyboardInterrupt
        return taken(self, *drawn)

    monkeypatch.setattr(Poses, "taken", break_off)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, store, tmp_path / "broken", device="cpu")
    monkeypatch.undo()
    torch.rand(17)  # whatever else the process does with its random numbers
    pretrain(config, store, tmp_path / "broken", resume=True, device="cpu")

    for name in ("state.safetensors", "model.safetensors"):
        whole, broken = ((tmp_path / run / name).read_bytes() for run in ("whole", "broken"))
        assert whole == broken, name
    quick = {"samples_per_s"}
    whole, broken = (
        [{k: v for k, v in entry.items() if k not in quick} for entry in metrics(tmp_path / run)]
        for run in ("whole", "broken")
    )
    assert whole == broken


def test_validation_is_short_beside_the_training_before_it_but_where_a_number_is_asked(
    store, tmp_path, monkeypatch
):
    assert [recipe.validation_samples(learned) for learned in (1, 40, 1280, 10**6)] == [1, 4, 128, 512]
    poses = []
    evaluate = lambda model, body, bones, rotvec, **_: poses.append(len(rotvec)) or ErrorSums()  # noqa: E731
    monkeypatch.setattr(recipe, "evaluate_poses", evaluate)
    for name, change in (("few", {}), ("every", {"validate_every": 2}), ("asked", {"validation_samples": 7})):
        config = replace(TINY, **{"validation_samples": 0, "validate_every": 100} | change)
        pretrain(config, store, tmp_path / name, device="cpu")
    assert poses == [4] * 2 + [1] * 6 + [7] * 2  # perfect and noisy maps


def test_seeds_differ(finished, store, tmp_path):
    other = pretrain(replace(TINY, seed=1), store, tmp_path / "other", device="cpu")
    assert (other / "state.safetensors").read_bytes() != (finished / "state.safetensors").read_bytes()


def test_a_run_may_start_from_a_model_s_weights(finished, store, tmp_path, monkeypatch):
    taken = {}
    monkeypatch.setattr(recipe, "train", lambda run, loop, model, *_, **__: taken.update(model=model))
    pretrain(TINY, store, tmp_path / "next", start_from=finished, device="cpu")
    trained = checkpoint.load(finished).transformer.state_dict()
    assert all(torch.equal(tensor, trained[name]) for name, tensor in taken["model"].state_dict().items())
    wider = replace(TINY, model=replace(TINY.model, hidden=(24,)))
    message = refusal(lambda: pretrain(wider, store, tmp_path / "wider", start_from=finished, device="cpu"))
    assert "built otherwise" in message
    assert not (tmp_path / "wider").exists()


def test_what_cannot_be_trained_on_is_refused_and_leaves_no_run(body, tmp_path):
    other = replace(body, hash="0" * 64)
    for path, said in (
        (write_store(tmp_path / "other.store", other), "not for 'anny'"),
        (write_store(tmp_path / "validation.store", body, ["validation"]), "no training poses"),
        (tmp_path / "missing.store", "cannot read the store"),
    ):
        message = refusal(lambda path=path: pretrain(TINY, path, tmp_path / "run", device="cpu"))
        assert message.startswith(str(path)) and said in message
    assert not (tmp_path / "run").exists()


def test_a_cuda_device_that_is_not_there_is_refused(store, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = refusal(lambda: pretrain(TINY, store, tmp_path / "run", device="cuda"))
    assert "sees no CUDA device" in message
    assert not (tmp_path / "run").exists()


def test_a_second_run_does_not_overwrite_the_first(finished, store):
    before = (finished / "state.safetensors").read_bytes()
    message = refusal(lambda: pretrain(TINY, store, finished, device="cpu"))
    assert "already holds a run" in message
    assert (finished / "state.safetensors").read_bytes() == before


def test_another_configuration_s_state_is_not_resumed(finished, store):
    wider = replace(TINY, model=replace(TINY.model, hidden=(24,)))
    message = refusal(lambda: pretrain(wider, store, finished, resume=True, device="cpu"))
    assert "do not fit this configuration" in message


def test_a_loss_that_is_not_finite_stops_with_its_step(store, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "l1", lambda predicted, truth: (predicted - truth).flatten(1).sum(1) / 0)
    with pytest.raises(FloatingPointError, match="stopped being finite by step 1 "):
        pretrain(TINY, store, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_training_leaves_torch_s_precision_alone(finished):
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_objective_is_equation_6():
    def normal(*size):
        return torch.randn(*size, dtype=torch.float64)

    torch.manual_seed(0)
    truth = SyntheticBatch(
        seen=torch.empty(2), joints=normal(2, 17, 3), coarse=normal(2, 9, 3), vertices=normal(2, 5, 3),
        rows=torch.arange(5), points=normal(2, 17, 2), up=normal(2, 3),
    )  # fmt: skip
    shapes = (2, 17, 3), (2, 9, 3), (2, 5, 3), (2, 17, 3), (2, 3), (2, 0, 3)
    said = MeshPrediction(*(normal(*shape) for shape in shapes))

    def mean_l1(a, b):
        return (a - b).abs().sum(-1).mean()

    terms = objective(said, truth, LossWeights(vertices=2.0, joints=3.0, regressed=5.0, projected=7.0))
    meshes = mean_l1(said.coarse, truth.coarse) + mean_l1(said.vertices, truth.vertices)
    assert_close(terms["vertices"], 2.0 * meshes / 2)
    assert_close(terms["joints"], 3.0 * mean_l1(said.joints, truth.joints))
    assert_close(terms["regressed"], 5.0 * mean_l1(said.regressed, truth.joints))
    projected = weak_perspective(said.joints, said.camera)
    assert_close(terms["projected"], 7.0 * mean_l1(projected, truth.points))
    assert terms.keys() == {"vertices", "joints", "regressed", "projected"}

    sure = said._replace(joints_std=normal(2, 17).exp(), up=normal(2, 3), up_std=normal(2).exp())
    for tensor in sure.parts:
        tensor.requires_grad_()
    terms = objective(sure, truth, LossWeights(up=2.0))
    assert_close(terms["up"], 2.0 * mean_l1(sure.up, truth.up))
    terms["spread"].backward()  # no error is made smaller by saying that it may be large
    assert sure.joints_std.grad.all() and sure.up_std.grad.all()
    assert sure.regressed.grad is None and sure.up.grad is None


def test_samples_made_ahead_are_each_step_s_own_wherever_a_run_begins():
    made = []

    def make(generator, steps, number):
        made.append((steps, number))
        draw = torch.rand(len(steps) * 2, generator=generator)
        fields = dict.fromkeys(("seen", "joints", "coarse", "vertices", "points", "up"), draw)
        return SyntheticBatch(rows=torch.arange(3), **fields)

    def drawn(steps, ahead=4):
        draw, generator = Ahead(make, ahead, seed=1), torch.Generator().manual_seed(0)
        return [draw(generator, step, number).seen for step in steps for number in (0, 1)]

    whole = drawn(range(8))
    assert made == [(range(0, 4), 0), (range(0, 4), 1), (range(4, 8), 0), (range(4, 8), 1)]
    assert len({float(value) for part in whole for value in part}) == 32
    assert all(torch.equal(a, b) for a, b in zip(drawn(range(6, 8)), whole[12:]))
    made.clear()
    drawn(range(2), ahead=1)
    assert made == [(range(0, 1), 0), (range(0, 1), 1), (range(1, 2), 0), (range(1, 2), 1)]


def test_training_poses_are_drawn_equally_often_and_no_others(store, body):
    opened = PoseStore(store)
    seeded = torch.Generator().manual_seed(0)

    def share(config: PosesConfig, of: np.ndarray) -> float:
        drawn = PoseDraw(opened, body, config, 0, torch.device("cpu"))(4000, seeded, 0).rotvec
        known = {pose.tobytes() for pose in opened.rotvec(of)}
        return np.mean([pose.numpy().tobytes() in known for pose in drawn])

    train = opened.train
    low = train[opened.kind(train).pelvis_height < 0.6]
    assert share(PosesConfig(), train) == 1.0  # and none of the validation's
    assert share(PosesConfig(), low) == pytest.approx(len(low) / 40, abs=0.03)
    assert len(PoseDraw(opened, body, PosesConfig(share=0.25), 0, torch.device("cpu"))) == 10


def test_held_out_poses_are_spread_over_all():
    assert spread(np.arange(100), 3).tolist() == [0, 50, 99]
    assert spread(np.arange(5), 10).tolist() == [0, 1, 2, 3, 4]
    assert spread(np.arange(0), 10).tolist() == []


class Knowing(MeshTransformer):
    """A model whose answers are given to it."""

    def forward(self, seen, *, rows=None, **_):
        joints, vertices = self.answer(seen, rows)
        return MeshPrediction(joints, joints, vertices, joints, joints[:, 0], joints[:, :0])


def test_errors_are_about_the_mid_hip_and_counted_once_for_each_pose(body, store, monkeypatch):
    opened = PoseStore(store)
    rotvec = opened.rotvec(opened.validation)[:7]
    model = Knowing.for_body(body, TINY.model)
    truth = []
    look = recipe.Synthesizer.look

    def remember(self, *arguments, **named):
        truth.append(look(self, *arguments, **named))
        return truth[-1]

    monkeypatch.setattr(recipe.Synthesizer, "look", remember)
    off = torch.tensor([0.4, -2.0, 3.0])
    model.answer = lambda *_: (truth[-1].joints + off, truth[-1].vertices + off)
    perfect = evaluate_poses(model, body, opened.bones, rotvec, batch_size=3)
    assert perfect.counts == {"mpjpe": 7, "pa_mpjpe": 7, "mpve": 7}
    assert max(perfect.means().values()) < 1e-2  # mm

    model.answer = lambda *_: (1.1 * truth[-1].joints, 1.1 * truth[-1].vertices)
    larger = evaluate_poses(model, body, opened.bones, rotvec, batch_size=3)
    assert larger.means()["pa_mpjpe"] < 1e-2
    joints = torch.cat([batch.joints for batch in truth[-3:]])[:, :17]  # COCO's
    assert_close(torch.from_numpy(larger.column("mpjpe")), mpjpe(1.1 * joints, joints))
    assert larger.means()["mpjpe"] > 10


def test_validation_repeats_itself_and_leaves_training_mode_as_it_was(body, store):
    opened = PoseStore(store)
    model = MeshTransformer.for_body(body, TINY.model).train()
    rotvec = opened.rotvec(opened.validation)[:4]
    first, second = (evaluate_poses(model, body, opened.bones, rotvec).means() for _ in range(2))
    assert first == second and model.training
    assert evaluate_poses(model.eval(), body, opened.bones, rotvec).means() == first
    assert not model.training
