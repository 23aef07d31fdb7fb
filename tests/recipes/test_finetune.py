"""Fine-tuning counts what is known and nothing else, resumes bit for bit, and freezes what it should."""

import io
import json
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import layouts
import numpy as np
import official
import pytest
import roma
import torch
from oracles import Knowing
from rich.console import Console
from safetensors.torch import load as load_tensors
from tolerance import assert_close
from torch.utils.data import DataLoader

import mpt
from mpt import bodies, checkpoint, cli, losses
from mpt.bodies import smpl
from mpt.crops import Crop, apply
from mpt.datasets import coco, human36m, rendered
from mpt.datasets.augment import BODY, Augmentation, AugmentationConfig
from mpt.datasets.loading import Example
from mpt.datasets.mixture import Mixture
from mpt.datasets.sample import BodyParameters, Joints3D, Keypoints, Sample, project
from mpt.errors import InputError
from mpt.modeling.mesh_transformer import SMALL
from mpt.recipes import finetune as recipe
from mpt.recipes import loop, networks
from mpt.recipes.configs import read_config
from mpt.recipes.conventions import convention_of
from mpt.recipes.finetune import FinetuneConfig, FinetuneWeights, PhotoBatch, finetune
from mpt.recipes.loop import OptimConfig, Run
from mpt.recipes.networks import NetworkConfig
from mpt.recipes.truth import Truth, by_source, says_of_joints, truth_of
from mpt.skeletons import COCO17, H36M17

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


@pytest.fixture(scope="module")
def body():
    return bodies.load()


@pytest.fixture(scope="module")
def pictures(body, tmp_path_factory):
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


# ------------------------------------------------------------------------------------------------ the truth


def known_of(n: int, body, *, vertices, joints, points) -> Truth:
    """Random truth of ``n`` samples, NaN where it is unknown: the arguments are what is known of each."""
    generator = torch.Generator().manual_seed(2)
    k = len(body.skeleton)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    full, of_joints, of_points = normal(n, len(body.template), 3), normal(n, k, 3), normal(n, k, 2)
    vertices, joints, points = torch.tensor(vertices), torch.tensor(joints), torch.tensor(points) * 1.0
    nan = float("nan")
    return Truth(
        torch.where(vertices[:, None, None], full, nan), vertices,
        torch.where(joints[:, None, None], of_joints, nan), joints[:, None].expand(n, k),
        torch.where(points[:, None, None] > 0, of_points, nan), points[:, None].expand(n, k),
        torch.full((n, 17, 3), nan), torch.zeros(n, 17).bool(),
    )  # fmt: skip


def stepped(body, truth: Truth, config=TINY) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The terms and the gradients of a step without dropout."""
    torch.manual_seed(0)
    model = recipe.build(config, body).eval()
    n = len(truth.joints)
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(3))[:n]
    batch = PhotoBatch(images, truth, torch.arange(20))
    output = model(images, rows=batch.rows)
    terms = recipe.objective(output, batch, body.coarsened(431).index, FinetuneWeights(), 2.0, slice(17))
    torch.stack(list(terms.values())).sum().backward()
    return terms, {name: p.grad for name, p in model.named_parameters()}


def test_what_is_unknown_adds_exactly_nothing(body):
    two = [True, True, False, False]
    half = known_of(4, body, vertices=two, joints=two, points=two)
    first = Truth(*(part[:2] for part in half))
    (terms, gradients), (alone, of_alone) = stepped(body, half), stepped(body, first)
    for name, value in terms.items():
        assert value > 0
        assert_close(value, alone[name])
    for name, gradient in gradients.items():
        assert gradient.isfinite().all(), name
        torch.testing.assert_close(gradient, of_alone[name], atol=1e-5, rtol=1e-3)


def test_photos_with_2d_truth_alone_train_the_network_and_the_camera(body):
    truth = known_of(2, body, vertices=[False] * 2, joints=[False] * 2, points=[True] * 2)
    terms, gradients = stepped(body, truth)
    for name in ("vertices", "joints", "regressed"):
        assert terms[name] == 0
    assert terms["projected"] > 0 and terms["heatmaps"] > 0
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients.values())
    assert gradients["network.down.0.0.0.weight"].any() and gradients["transformer.to_camera.weight"].any()
    assert not gradients["transformer.read_vertices.weight"].any()


def test_a_batch_that_knows_nothing_leaves_everything_as_it_is(body):
    truth = known_of(2, body, vertices=[False] * 2, joints=[False] * 2, points=[False] * 2)
    terms, gradients = stepped(body, truth)
    assert all(value == 0 for value in terms.values())
    assert not any(gradient is not None and gradient.any() for gradient in gradients.values())


def test_joints_count_by_their_confidence():
    predicted, truth = torch.tensor([[[1.0, 0], [0, 3]]]), torch.zeros(1, 2, 2)
    assert losses.l1_where_known(predicted, truth, torch.tensor([[1.0, 1.0]])) == 2
    assert losses.l1_where_known(predicted, truth, torch.tensor([[1.0, 0.0]])) == 1
    assert losses.l1_where_known(predicted, truth, torch.tensor([[0.5, 0.25]])) == pytest.approx(5 / 3)


def test_perfect_maps_have_no_heatmap_loss():
    points = torch.tensor([[[0.2, -0.4], [-0.9, 0.1]]])
    truth = mpt.heatmaps.render(mpt.heatmaps.blobs((points + 1) * 8 - 0.5, 2.0), 16)
    known = torch.ones(1, 2)
    assert losses.heatmap_loss(truth, points, known, 2.0) == 0
    worse = truth.clone()
    worse[:, 1] += 0.5
    assert losses.heatmap_loss(worse, points, known, 2.0) == pytest.approx(0.125)
    assert losses.heatmap_loss(worse, points, torch.tensor([[1.0, 0.0]]), 2.0) == 0


@pytest.fixture(scope="module")
def smpl_body(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smpl")
    official.write_pickle(folder / "SMPL_NEUTRAL.pkl", official.as_published(official.smpl()))
    return smpl.read(folder / "SMPL_NEUTRAL.pkl")


def example(body, *, pose, betas, parameters_known, joints_known) -> Example:
    n, k = len(pose), len(body.skeleton)
    zeros = torch.zeros
    return Example(
        zeros(n, 3, 8, 8), zeros(n, k, 2), zeros(n, k), torch.full((n, k, 3), 7.0), joints_known, pose, betas,
        zeros(n).long(), parameters_known, zeros(n, len(body.template), 3), zeros(n).bool(),
        zeros(n, 17, 2), zeros(n, 17), zeros(n, 17, 3), zeros(n, 17).bool(),
        zeros(n, 2, 3), zeros(n, 3, 3), torch.arange(n),
    )  # fmt: skip


def test_smpl_parameters_are_the_body_in_camera_axes_about_its_mid_hip(smpl_body):
    generator = torch.Generator().manual_seed(0)
    pose, betas = torch.randn(2, 24, 3, generator=generator), torch.randn(2, 10, generator=generator)
    known = torch.tensor([True, False])
    joints_known = torch.tensor([[False], [True]]).expand(2, 17)
    given = example(smpl_body, pose=pose, betas=betas, parameters_known=known, joints_known=joints_known)
    truth = truth_of(given, smpl_body)
    posed = smpl_body(roma.rotvec_to_rotmat(pose), betas).vertices
    joints = smpl_body.regress(posed)
    root = joints[:, smpl_body.skeleton.indices("left_hip", "right_hip")].mean(1, keepdim=True)
    assert_close(truth.vertices[0], (posed - root)[0])
    assert_close(truth.joints[0], (joints - root)[0])
    assert truth.vertices_known.tolist() == [True, False] and truth.joints_known.all()
    assert (truth.joints[1] == 7).all()  # the data set's own, where there is no mesh


def test_smpl_parameters_say_nothing_of_another_body(body):
    pose, betas = torch.zeros(1, 24, 3), torch.zeros(1, 10)
    nothing = torch.zeros(1, 17).bool()
    given = example(body, pose=pose, betas=betas, parameters_known=torch.tensor([True]), joints_known=nothing)
    truth = truth_of(given, body)
    assert not truth.vertices_known.any() and not truth.joints_known.any()


# ------------------------------------------------------------------------------------ joints by their source


HIPS_OUT = 0.06
K = np.array([[1145.0, 0, 512.5], [0, 1145, 515.5], [0, 0, 1]])


@pytest.fixture(scope="module")
def two_regressors(tmp_path_factory):
    """SMPL whose Human3.6M has its hips 6 cm farther out than COCO; without COCO's regressor, and with it."""
    folder, model = tmp_path_factory.mktemp("regressors"), official.smpl()
    np.savez(folder / "SMPL_NEUTRAL.npz", **model)
    np.save(folder / "h36m.npy", official.h36m_regressor(model, "right", HIPS_OUT))
    np.save(folder / "coco.npy", official.coco_regressor(model))
    read = {"h36m_regressor": folder / "h36m.npy"}
    whole = smpl.read(folder / "SMPL_NEUTRAL.npz", coco_regressor=folder / "coco.npy", **read)
    return smpl.read(folder / "SMPL_NEUTRAL.npz", **read), whole


def photographed(body, *, mesh: bool, absolute: bool = True) -> tuple[Sample, torch.Tensor]:
    """Somebody of Human3.6M, beside the optical axis, and the true mesh in camera axes."""
    pose, betas, _ = official.random_people(1, 24)
    turns = torch.from_numpy(np.stack([official._rodrigues(v) for v in pose[0]]))[None].float()
    vertices = body(turns, torch.from_numpy(betas).float()).vertices.double() + torch.tensor([0.9, -0.3, 5.0])
    joints = body.to(dtype=torch.float64).regress(vertices, "h36m17")[0].numpy()
    xy = project(joints, K)
    known = np.ones(17, bool)
    return Sample(
        "human36m", np.zeros((1002, 1000, 3), np.uint8), Crop.around(xy, 1.4),
        keypoints=Keypoints(H36M17, xy, known * 1.0),
        joints=Joints3D(H36M17, joints - (0 if absolute else joints[0]), known),
        parameters=BodyParameters("smpl", pose[0], betas[0]) if mesh else None,
        intrinsics=K,
    ), vertices  # fmt: skip


def truth_on(body, sample: Sample) -> Truth:
    photos = recipe.photo_dataset([sample], TINY, body)
    example = Example(*(torch.as_tensor(part)[None] for part in photos.example(sample, Augmentation())))
    return truth_of(example, body)


def terms_of_the_truth(body, truth: Truth) -> dict[str, float]:
    """What a model loses that answers the true mesh, its joints, and their 2D joints."""
    regressor = body.regressors["h36m17"].to_dense() if by_source(body) else None
    further = truth.vertices[:, :0] if regressor is None else regressor @ truth.vertices
    own = body.regress(truth.vertices)
    prediction = SimpleNamespace(
        coarse=truth.vertices[:, :5], vertices=truth.vertices[:, 5:9], joints=own, regressed=own,
        further=further, camera=torch.tensor([[1.0, 0, 0]]),
    )  # fmt: skip
    batch = PhotoBatch(torch.zeros(1, 3, 8, 8), truth, torch.arange(5, 9))
    output = SimpleNamespace(prediction=prediction, heatmaps=(torch.zeros(1, 17, 8, 8),))
    terms = recipe.objective(output, batch, torch.arange(5), FinetuneWeights(), 2.0)
    return {name: float(value) for name, value in terms.items()}


@pytest.mark.parametrize("absolute", [True, False], ids=["before the camera", "about the pelvis"])
def test_a_true_mesh_loses_nothing_where_joints_are_those_of_their_source(two_regressors, absolute):
    _, body = two_regressors
    sample, vertices = photographed(body, mesh=True, absolute=absolute)
    truth = truth_on(body, sample)
    terms = terms_of_the_truth(body, truth)
    assert terms["joints"] < 1e-5 and terms["regressed"] < 1e-5 and terms["vertices"] < 1e-5
    assert truth.h36m_known.sum() == 14 and (truth.points_known == 1).all()
    xy = project(body.to(dtype=torch.float64).regress(vertices)[0].numpy(), K)
    np.testing.assert_allclose(truth.points[0], apply(sample.crop.ndc_from_image, xy), atol=1e-4)
    hips = COCO17.indices("left_hip", "right_hip")
    labelled = apply(sample.crop.ndc_from_image, sample.keypoints.on(COCO17).xy_px)
    apart = np.linalg.norm(truth.points[0].numpy()[hips] - labelled[hips], axis=-1) * sample.crop.side_px / 2
    assert (apart > 5).all()  # pixels between COCO's hips and Human3.6M's labels


def test_by_name_the_hips_of_human36m_are_laid_on_smpls_own(two_regressors):
    body, _ = two_regressors
    assert not by_source(body) and "--coco-regressor" in says_of_joints(body)
    without = truth_on(body, photographed(body, mesh=False)[0])
    mesh = truth_on(body, photographed(body, mesh=True)[0])
    off = (without.joints - mesh.joints).norm(dim=-1)[0, COCO17.indices("left_hip", "right_hip")]
    assert off.tolist() == pytest.approx([HIPS_OUT] * 2, abs=0.02)  # the skin about them bends a little


def test_without_a_mesh_other_sets_hips_stay_unknown_and_their_joints_train_by_their_own_regressor(
    two_regressors,
):
    _, body = two_regressors
    truth = truth_on(body, photographed(body, mesh=False)[0])
    assert not truth.vertices_known.any() and not truth.joints_known.any() and truth.h36m_known.sum() == 14
    unknown = {joint for joint, known in zip(COCO17.joints, truth.points_known[0] > 0) if not known}
    assert unknown == {"left_hip", "right_hip", "nose", "left_eye", "right_eye", "left_ear", "right_ear"}
    wrong = truth._replace(vertices=truth.vertices + torch.randn(1, 6890, 3))
    assert terms_of_the_truth(body, wrong)["regressed"] > 0.01


def test_labels_of_coco_are_coco_s(two_regressors):
    _, body = two_regressors
    xy = np.random.default_rng(0).uniform(50, 150, (17, 2))
    sample = Sample("coco", np.zeros((200, 200, 3), np.uint8), Crop((100.0, 100.0), 180.0),
                    keypoints=Keypoints(COCO17, xy, np.ones(17)))  # fmt: skip
    truth = truth_on(body, sample)
    np.testing.assert_allclose(truth.points[0], apply(sample.crop.ndc_from_image, xy), atol=1e-6)
    assert not truth.h36m_known.any()


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
    alone = list(recipe.step_order(mixture, 6, range(9)))
    epochs = [pair for number in range(3) for pair in mixture.epoch(number)]
    assert list(chain(*alone[:5])) == epochs[:30]
    assert list(recipe.step_order(mixture, 6, range(4, 9))) == alone[4:]
    ranks = [list(recipe.step_order(mixture, 2, range(9), rank=r, processes=3)) for r in range(3)]
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
    held_out = recipe.read_set("rendered", "validation", {"rendered": pictures}, body)
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
    photos = recipe.photo_dataset(samples, TINY, body)
    for workers in (0, 1):
        loaded = iter(recipe._loader(photos, workers, batch_size=1))
        message = refusal(lambda loaded=loaded: recipe._next(loaded))
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
    drawn = list(chain(*recipe.step_order(mixture, 6, range(2))))
    assert len(set(drawn)) == 12 and sorted(index for index, _ in drawn) == sorted([*range(6)] * 2)


# ----------------------------------------------------------------------------------- what feeds which loss


def printed(table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


def test_it_is_said_which_losses_each_set_feeds(two_regressors, tmp_path):
    """Human3.6M in SPIN's form has no mesh; with SMPL beside it has one; COCO has 2D joints alone."""
    body = two_regressors[0]
    people = [layouts.People(seed) for seed in range(2)]
    layouts.coco(tmp_path / "coco", people)
    names = [f"S1_Walking.60457274_{frame:06d}.jpg" for frame in range(2)]
    for kind, more in (("bare", {}), ("fitted", layouts.smpl_fields(2))):
        for name in names:
            layouts.photo(tmp_path / kind / name)
        layouts.spin_npz(tmp_path / kind / "h36m_train.npz", names, layouts.H36M, people, **more)
    sets = [
        human36m.read(tmp_path / "bare"),
        human36m.read(tmp_path / "fitted"),
        coco.read(tmp_path / "coco"),
    ]
    config = replace(TINY, weights=FinetuneWeights(projected=0.0))
    said = printed(recipe.feeding_table(sets, config, body))
    rows = [row.split("│")[1:-1] for row in said.splitlines() if row.startswith(("│ human36m", "│ coco"))]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["human36m", "2", "–", "yes", "yes", "yes"],
        ["human36m", "2", "yes", "yes", "yes", "yes"],
        ["coco", "2", "–", "–", "–", "yes"],
    ]
    assert "No mesh of smpl-neutral is told by human36m nor by coco" in said


def test_a_loss_that_nothing_feeds_stops_the_run(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(loop, "FED_BY", 3)
    layouts.coco(tmp_path / "coco", [layouts.People(seed) for seed in range(3)])
    config = replace(TINY, data=("coco",), samples=40)
    data = {"rendered": pictures, "coco": tmp_path / "coco"}
    message = refusal(lambda: finetune(config, data, tmp_path / "run", workers=0, device="cpu"))
    assert "first 3 steps knows what these losses ask for: joints, regressed, vertices;" in message
    weights = FinetuneWeights(vertices=0, joints=0, regressed=0)
    finetune(replace(config, weights=weights, samples=16), data, tmp_path / "fed", workers=0, device="cpu")
