"""A loss counts what is known and nothing else, joints by the regressor of their source."""

import io
from dataclasses import replace
from types import SimpleNamespace

import layouts
import numpy as np
import official
import pytest
import roma
import torch
from rich.console import Console
from test_finetune import TINY, UPRIGHT, given_body, given_pictures, refusal, tune  # noqa: F401
from tolerance import assert_close

import mpt
from mpt import losses
from mpt.bodies import smpl
from mpt.crops import Crop, apply
from mpt.datasets import coco, human36m
from mpt.datasets.augment import Augmentation
from mpt.datasets.loading import Example
from mpt.datasets.sample import BodyParameters, Joints3D, Keypoints, Sample, project
from mpt.recipes import finetune as recipe
from mpt.recipes import loop
from mpt.recipes.finetune import FinetuneWeights, PhotoBatch, finetune
from mpt.recipes.truth import Truth, by_source, says_of_joints, truth_of
from mpt.skeletons import COCO17, H36M17

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
