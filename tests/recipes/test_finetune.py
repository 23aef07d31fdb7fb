"""Fine-tuning counts what is known and nothing else, resumes bit for bit, and freezes what it should."""

import json
import pickle
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import layouts
import numpy as np
import pytest
import roma
import torch
from oracles import Knowing
from safetensors.torch import load as load_tensors
from torch.utils.data import DataLoader

import mpt
from mpt import bodies, checkpoint, cli
from mpt.crops import Crop
from mpt.datasets import rendered
from mpt.datasets.augment import BODY, AugmentationConfig
from mpt.datasets.mixture import Mixture
from mpt.errors import InputError
from mpt.modeling.mesh_transformer import SMALL
from mpt.recipes import finetune as recipe
from mpt.recipes import networks, photos
from mpt.recipes.configs import read_config
from mpt.recipes.conventions import convention_of
from mpt.recipes.finetune import FinetuneConfig, finetune
from mpt.recipes.loop import OptimConfig, Run
from mpt.recipes.networks import NetworkConfig
from mpt.recipes.truth import truth_of

UPRIGHT = AugmentationConfig(flip=0)
TINY = FinetuneConfig(
    name="tiny",
    skeleton="coco29",
    model=replace(SMALL, hidden=(16,), layers=1, heads=2, heatmap_size=32, dropout=0.2),
    network=NetworkConfig("small", width=4, input_size=64),
    data=("rendered",),
    validation="rendered",
    validation_split="validation",
    augment=UPRIGHT,
    optim=OptimConfig(learning_rate=2e-3),
    samples=24,
    batch_size=4,
    fine_vertices=30,
    validation_samples=2,
    validate_every=3,
    log_every=1,
)
PARTS = ("network", "transformer")


@pytest.fixture(scope="module", name="body")
def given_body():
    return bodies.load()


@pytest.fixture(scope="module", name="pictures")
def given_pictures(body, tmp_path_factory):
    """A folder as `mpt prepare rendered` writes, of true bodies before plain noise."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    about = {"format": rendered.FORMAT, "body": body.name, "body_hash": body.hash, "poses": "", "seed": 0}
    (folder / "rendered.json").write_text(json.dumps(about))
    for split, count in (("train", 6), ("validation", 2)):
        for k in range(count):
            rotations = torch.eye(3).repeat(1, len(body.bones), 1, 1)
            rotations[:, 0] = roma.rotvec_to_rotmat(torch.randn(1, 3, generator=generator))
            posed = body(rotations, body.sample_shapes(1, generator))
            root = posed.joints[0, body.skeleton.root].mean(0)
            joints, vertices = (posed.joints[0] - root).numpy(), (posed.vertices[0] - root).numpy()
            noise = np.random.default_rng(k).integers(0, 256, (256, 256, 3), dtype=np.uint8)
            K = np.array([[400.0, 0, 127.5], [0, 400, 127.5], [0, 0, 1]])
            truth = {"vertices": vertices.astype(np.float16), "joints": joints, "K": K}
            truth["points"] = (joints[:, :2] * 100 + [140.0, 120.0]).astype(np.float32)
            rendered._write_picture(folder / split / f"{k:06d}.jpg", noise, truth)
    return folder


def tune(config, pictures, out, **how):
    return finetune(config, {"rendered": pictures}, out, workers=how.pop("workers", 0), device="cpu", **how)


@pytest.fixture(scope="module")
def finished(pictures, tmp_path_factory):
    return tune(TINY, pictures, tmp_path_factory.mktemp("runs") / "whole")


def metrics(run) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run, part) -> dict[str, torch.Tensor]:
    state = load_tensors((run / "state.safetensors").read_bytes())
    return {name: tensor for name, tensor in state.items() if name.startswith(f"model.{part}.")}


def refusal(action) -> str:
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


# -------------------------------------------------------------------------------------------------- the run


def test_a_run_folder_holds_both_networks_ready_for_use(finished, body):
    assert sorted(path.name for path in finished.iterdir()) == [
        "config.json", "metrics.jsonl", "model.safetensors", "pose2d.safetensors", "state.safetensors"
    ]  # fmt: skip
    assert read_config(finished, FinetuneConfig) == TINY
    model = checkpoint.load(finished)
    assert (model.transformer.config, model.body_hash) == (TINY.model, body.hash)
    assert model.info["photos"] == {"rendered": 6}
    network, config = networks.load(finished)
    assert config == TINY.network
    kept = weights(finished, "network")
    assert all(torch.equal(t, kept[f"model.network.{name}"]) for name, t in network.state_dict().items())
    entries = metrics(finished)
    assert [e["step"] for e in entries if "loss" in e] == [1, 2, 3, 4, 5, 6]
    terms = {"vertices", "joints", "regressed", "projected", "heatmaps"}
    for entry in entries:
        if "loss" in entry:
            assert entry["loss"] == pytest.approx(sum(entry[name] for name in terms), rel=1e-5)
        else:
            assert entry.keys() >= {"mpjpe_mm", "pa_mpjpe_mm", "mpve_mm", "points_px"}


def test_the_validation_finds_what_mpt_evaluate_finds(finished, pictures, tmp_path, capsys):
    assert cli.main(["evaluate", "rendered", str(pictures), "--model", str(finished), "--json", "--worst",
                     "0", "--out", str(tmp_path), "--device", "cpu"]) == 0  # fmt: skip
    [table] = json.loads(capsys.readouterr().out)["tables"]
    last = metrics(finished)[-1]
    for name in ("mpjpe_mm", "pa_mpjpe_mm", "mpve_mm"):
        assert table[name] == pytest.approx(last[name], abs=0.01)


def test_a_photo_is_reconstructed_by_the_network_that_was_tuned(finished):
    detector = lambda image: [SimpleNamespace(crop=Crop((60.0, 50.0), 80.0), mirrored=False)]  # noqa: E731
    pose2d = networks.tuned_pose2d(finished, 32, detector=detector)
    reconstructor = mpt.Reconstructor(checkpoint.load(finished), pose2d)
    image = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    (found,) = pose2d(image)
    assert found.heatmaps.shape == (17, 32, 32)
    pose2d.detector = None  # a function of this test, which cannot be sent anywhere
    (same,) = pickle.loads(pickle.dumps(pose2d)).look(image, detector(image))
    assert same == found
    pose2d.detector = detector
    (person,) = reconstructor(image)
    assert person.vertices.shape == (13718, 3) and np.isfinite(person.vertices).all()


@pytest.mark.parametrize("stop", [2, 5])
def test_a_run_broken_off_and_resumed_is_the_unbroken_one_bit_for_bit(
    stop, finished, pictures, tmp_path, monkeypatch
):
    original, steps = recipe.objective, []

    def break_off(*args):
        steps.append(args)
        if len(steps) == stop:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(recipe, "objective", break_off)
    with pytest.raises(KeyboardInterrupt):
        tune(TINY, pictures, tmp_path / "broken")
    monkeypatch.undo()
    torch.rand(17)
    assert Run(tmp_path / "broken").steps_taken == stop - 1
    tune(TINY, pictures, tmp_path / "broken", resume=True, workers=1)  # workers change no number
    for name in ("state.safetensors", "model.safetensors", "pose2d.safetensors"):
        assert (tmp_path / "broken" / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.parametrize("frozen", PARTS)
def test_a_frozen_part_stays_and_the_other_learns(frozen, finished, pictures, tmp_path):
    config = replace(TINY, samples=8, start_from=str(finished), **{f"{frozen}_lr": 0.0})
    before = weights(finished, "network"), checkpoint.load(finished).transformer.state_dict()
    run = tune(config, pictures, tmp_path / "run")
    after = weights(run, "network"), weights(run, "transformer")
    same = [
        all(torch.equal(tensor, before[0][name]) for name, tensor in after[0].items()),
        all(torch.equal(after[1][f"model.transformer.{name}"], tensor) for name, tensor in before[1].items()),
    ]
    assert same == [part == frozen for part in PARTS]


def test_each_part_has_its_own_learning_rate(finished, pictures, tmp_path):
    config = replace(TINY, samples=4, start_from=str(finished), network_lr=0.5, transformer_lr=0.01)
    run = tune(config, pictures, tmp_path / "run")
    trained = checkpoint.load(finished).transformer.state_dict()
    learned = {
        "network": weights(finished, "network"),
        "transformer": {f"model.transformer.{name}": tensor for name, tensor in trained.items()},
    }
    for part, factor in (("network", 0.5), ("transformer", 0.01)):
        moved = max(
            float((tensor - learned[part][name]).abs().max())
            for name, tensor in weights(run, part).items()
            if "running" not in name and "tracked" not in name
        )
        assert moved == pytest.approx(2e-3 * factor, rel=0.02)  # Adam's first step


def test_a_few_steps_lower_the_loss(pictures, tmp_path):
    config = replace(
        TINY, samples=6 * 25, batch_size=6, augment=AugmentationConfig(0, (1, 1), 1, 0, 0), validate_every=25,
        optim=OptimConfig(learning_rate=5e-3), model=replace(TINY.model, dropout=0.0),
    )  # fmt: skip
    losses = [entry["loss"] for entry in metrics(tune(config, pictures, tmp_path / "run")) if "loss" in entry]
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


# ------------------------------------------------------------------------------------------------- the data


class Numbers:
    """So many samples."""

    def __init__(self, dataset: str, count: int) -> None:
        self.dataset, self.count = dataset, count

    def __len__(self) -> int:
        return self.count


@pytest.mark.parametrize("mixed", [None, (3.0, 1.0)])
def test_a_step_s_samples_follow_from_its_number_whoever_takes_it(mixed):
    mixture = Mixture([Numbers("a", 7), Numbers("b", 4)], mixed, seed=5)
    alone = list(photos.step_order(mixture, 6, range(9)))
    epochs = [pair for number in range(3) for pair in mixture.epoch(number)]
    assert list(chain(*alone[:5])) == epochs[:30]
    assert list(photos.step_order(mixture, 6, range(4, 9))) == alone[4:]
    ranks = [list(photos.step_order(mixture, 2, range(9), rank=r, processes=3)) for r in range(3)]
    assert [list(chain(*parts)) for parts in zip(*ranks)] == alone


def test_a_mixture_of_3d_and_2d_data_trains(pictures, tmp_path):
    layouts.coco(tmp_path / "coco", [layouts.People(seed) for seed in range(3)])
    config = replace(TINY, data=("rendered", "coco"), mixture=(1.0, 3.0), samples=8)
    data = {"rendered": pictures, "coco": tmp_path / "coco"}
    run = finetune(config, data, tmp_path / "run", workers=0, device="cpu")
    assert checkpoint.load(run).info["photos"] == {"rendered": 6, "coco": 3}
    assert all(np.isfinite(entry["loss"]) for entry in metrics(run) if "loss" in entry)


def test_a_share_of_the_samples_is_the_same_one_in_every_run(pictures, body):
    samples = recipe.read_sets(TINY, {"rendered": pictures}, body)[0]
    chosen = [recipe._part(samples, replace(TINY, share=0.5)).rows.tolist() for _ in range(2)]
    assert chosen[0] == chosen[1] and len(chosen[0]) == 3
    assert len(recipe._part(samples, replace(TINY, share=0.001))) == 1


def test_perfect_predictions_have_no_error(pictures, body):
    held_out = photos.read_set("rendered", "validation", {"rendered": pictures}, body)
    examples = recipe.photo_dataset(held_out, TINY, body)
    truth = truth_of(next(iter(DataLoader(examples, batch_size=2))), body)
    model = recipe.build(TINY, body)
    maps = mpt.heatmaps.render(mpt.heatmaps.blobs((truth.points + 1) * 16 - 0.5, 1.5), 32)
    model.network.forward = lambda images: [maps]
    model.transformer.forward = lambda seen: Knowing(held_out, examples, body).answer(range(2))
    means = recipe.evaluate_photos(model, held_out, convention_of(held_out, body), body, TINY.network).means()
    assert means.keys() == {"mpjpe_mm", "pa_mpjpe_mm", "mpve_mm", "points_px"}
    points = means.pop("points_px")
    assert points < 0.5 and all(value < 0.3 for value in means.values())  # half precision of the truth


# ------------------------------------------------------------------------------------------------- refusals


def test_what_cannot_be_trained_on_is_refused_and_leaves_no_run(pictures, finished, tmp_path):
    out = tmp_path / "run"

    def refused(change: dict, data=None, **how) -> str:
        data = {"rendered": pictures} if data is None else data
        config = replace(TINY, **change)
        return refusal(lambda: finetune(config, data, out, workers=0, device="cpu", **how))

    assert "add --data rendered=DIR" in refused({}, {})
    assert "mpt prepare rendered" in refused({}, {"rendered": tmp_path})
    assert "set augment.flip to 0" in refused({"augment": BODY})
    assert "share is 0" in refused({"share": 0.0})
    assert "weights [1.0, 1.0] for 1 data sets" in refused({"mixture": (1.0, 1.0)})
    assert "both parts are frozen" in refused({"network_lr": 0.0, "transformer_lr": 0.0})
    wider = replace(TINY.model, hidden=(24,))
    assert "built otherwise" in refused({"start_from": str(finished), "model": wider})
    other = replace(TINY.network, width=8)
    assert "small of width 4" in refused({"start_from": str(finished), "network": other})
    assert "holds no small 2D network" in refused({}, pose2d_weights=tmp_path / "pose_higher_hrnet.pth")
    assert "holds no run to resume" in refused({}, resume=True)
    assert not out.exists()
    assert "already holds a run" in refusal(lambda: tune(TINY, pictures, finished))


def test_a_photo_that_is_missing_is_said_in_a_sentence_by_workers_too(pictures, body, tmp_path):
    samples = rendered.RenderedSamples(tmp_path, ["000000"])
    whole = (pictures / "train" / "000000.npz").read_bytes()
    (tmp_path / "000000.npz").write_bytes(whole)
    shown = recipe.photo_dataset(samples, TINY, body)
    for workers in (0, 1):
        loaded = iter(photos.loader(shown, workers, batch_size=1))
        message = refusal(lambda loaded=loaded: photos.next_batch(loaded))
        assert message == f"{tmp_path / '000000.jpg'}: this photo is missing; put it there"


def test_samples_without_3d_truth_are_no_validation(tmp_path, pictures):
    layouts.coco(tmp_path / "coco", [layouts.People(seed) for seed in range(3)], "val2017")
    layouts.coco(tmp_path / "coco", [layouts.People(seed) for seed in range(3)])
    config = replace(TINY, data=("coco",), validation="coco", samples=4)
    data = {"coco": tmp_path / "coco"}
    message = refusal(lambda: finetune(config, data, tmp_path / "run", workers=0, device="cpu"))
    assert "too few joints in 3D" in message


def test_a_broken_network_file_is_refused(finished, tmp_path):
    whole = (finished / networks.FILE).read_bytes()
    (tmp_path / networks.FILE).write_bytes(whole[: len(whole) // 2])
    assert "not a whole file of mpt" in refusal(lambda: networks.load(tmp_path))
    (tmp_path / networks.FILE).write_bytes(whole.replace(b'\\"width\\": 4', b'\\"width\\": 8'))
    assert "do not fit its own header" in refusal(lambda: networks.load(tmp_path))
    assert not networks.tuned_here("mpt-small") and networks.tuned_here(tmp_path)


def test_the_first_samples_of_an_epoch_differ_from_the_next(pictures, body):
    mixture = Mixture(recipe.read_sets(TINY, {"rendered": pictures}, body))
    drawn = list(chain(*photos.step_order(mixture, 6, range(2))))
    assert len(set(drawn)) == 12 and sorted(index for index, _ in drawn) == sorted([*range(6)] * 2)
