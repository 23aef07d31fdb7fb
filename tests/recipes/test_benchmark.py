"""Benchmarks say 0 of the truth and exactly so many millimetres of a known error, under each convention."""

import json
from dataclasses import replace
from pathlib import Path

import layouts
import numpy as np
import official
import pytest
import torch
from little_model import LITTLE, write_little_model
from PIL import Image

from mpt import bodies, checkpoint, cli, reconstruct
from mpt.bodies import mano, smpl
from mpt.bodies.body import write_body
from mpt.datasets.sample import Sample, Samples
from mpt.errors import InputError
from mpt.images import Crop, apply
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.pose2d.adapters import TopDown
from mpt.pose2d.base import Person2D
from mpt.recipes import networks
from mpt.recipes import predictions as keeping
from mpt.recipes.benchmark import benchmark, conventions, measure, read_samples
from mpt.recipes.predictions import CropEye, DrawnEye, FinderEye, Network, Predicted, Predictions
from mpt.skeletons import COCO17, H36M17, HAND21


@pytest.fixture(scope="session")
def smpl_files(tmp_path_factory):
    """Official-looking SMPL files of three genders, and the regressor's."""
    folder = tmp_path_factory.mktemp("smpl")
    neutral = official.smpl(0)
    np.save(folder / "J_regressor_h36m.npy", official.h36m_regressor(neutral, "left"))
    for gender, scale in (("neutral", 1.0), ("female", 0.9), ("male", 1.1)):
        np.savez(
            folder / f"SMPL_{gender.upper()}.npz", **neutral | {"shapedirs": scale * neutral["shapedirs"]}
        )
    return folder


@pytest.fixture(scope="session")
def people(smpl_files):
    regressor = smpl_files / "J_regressor_h36m.npy"
    return {
        gender: smpl.read(smpl_files / f"SMPL_{gender.upper()}.npz", gender=gender, h36m_regressor=regressor)
        for gender in ("neutral", "female", "male")
    }


@pytest.fixture(scope="session")
def hand(tmp_path_factory):
    path = tmp_path_factory.mktemp("mano") / "MANO_RIGHT.npz"
    np.savez(path, **official.mano())
    return mano.read(path)


@pytest.fixture
def tdpw_folder(tmp_path):
    layouts.tdpw(tmp_path / "3dpw")
    return tmp_path / "3dpw"


def predicted(vertices) -> Predicted:
    joints = np.zeros((17, 2))
    return Predicted(np.asarray(vertices, np.float64), np.array([0, 0, 3.0]), joints, 500.0, (160.0, 120.0))


def kept(folder: Path, samples: Samples, predict, **how) -> Predictions:
    predictions = Predictions(folder, samples)
    predictions.begin({"model": "oracle"})
    predictions.predict(lambda: predict, **how)
    return predictions


def smpl_truth(people, sample: Sample, gender: str) -> torch.Tensor:
    """By the equations, independently of the benchmark's batches."""
    parameters, body = sample.parameters, people[gender].to(dtype=torch.float64)
    turns = [official._rodrigues(vector) for vector in parameters.pose.astype(float)]
    shape = torch.from_numpy(parameters.betas).double()[None]
    return body.forward(torch.from_numpy(np.stack(turns))[None], shape).vertices[0]


def oracle(people, gender=None, shift=(0, 0, 0), scale=1.0):
    def predict(samples):
        return [
            predicted(scale * smpl_truth(people, s, gender or s.parameters.gender) + torch.tensor(shift))
            for s in samples
        ]

    return predict


# ---------------------------------------------------------------------------------------------------- 3DPW


def test_the_truth_is_without_error_under_its_own_convention_alone(tdpw_folder, people, tmp_path):
    samples = read_samples("3dpw", tdpw_folder)
    assert len(samples) == 6
    neutral, gendered = conventions("3dpw", people["neutral"], people)[0]
    assert (neutral.name, gendered.name) == ("metro-neutral", "spin-gendered")
    as_neutral = kept(tmp_path / "a", samples, oracle(people, "neutral", shift=(0.4, -1, 2)))
    as_gendered = kept(tmp_path / "b", samples, oracle(people))
    for predictions, own, other in ((as_neutral, neutral, gendered), (as_gendered, gendered, neutral)):
        right, wrong = measure(predictions, own)[0].means, measure(predictions, other)[0].means
        assert all(mm < 1e-3 for mm in right.values()), right
        assert all(mm > 0.1 for mm in wrong.values()), wrong


def test_known_errors_are_so_many_millimetres(tdpw_folder, people, tmp_path):
    samples = read_samples("3dpw", tdpw_folder)
    rule = conventions("3dpw", people["neutral"], people)[0][0]
    # A mesh twice as large is off by each vertex's distance from the pelvis, and right after alignment.
    means = measure(kept(tmp_path, samples, oracle(people, "neutral", scale=2.0)), rule)[0].means
    regress = people["neutral"].to(dtype=torch.float64).regress
    joint_mm, vertex_mm = [], []
    for sample in samples:
        mesh = smpl_truth(people, sample, "neutral")
        joints = regress(mesh[None], "h36m17")[0]
        fourteen = joints[H36M17.indices(*(j for j in H36M17.joints if j not in ("pelvis", "spine", "nose")))]
        joint_mm.append(1000 * (fourteen - joints[0]).norm(dim=1).mean())
        vertex_mm.append(1000 * (mesh - joints[0]).norm(dim=1).mean())
    assert means["mpjpe_mm"] == pytest.approx(np.mean(joint_mm), rel=1e-5)
    assert means["mpve_mm"] == pytest.approx(np.mean(vertex_mm), rel=1e-5)
    assert means["pa_mpjpe_mm"] < 1e-3


def test_conventions_whose_bodies_are_missing_are_named(people):
    rules, notes = conventions("3dpw", people["neutral"])
    assert [rule.name for rule in rules] == ["metro-neutral"]
    assert notes == ["spin-gendered is left out: it needs --female FILE and --male FILE."]
    rules, notes = conventions("3dpw", people["male"], {"female": people["female"]})
    assert [rule.name for rule in rules] == ["spin-gendered"] and "--neutral" in notes[0]
    with pytest.raises(InputError, match="3DPW's truth is a mesh of SMPL"):
        conventions("3dpw", people["male"])
    with pytest.raises(InputError, match="--male names the body smpl-female"):
        conventions("3dpw", people["neutral"], {"male": people["female"]})


# ----------------------------------------------------------------------------------------------- Human3.6M


@pytest.fixture
def h36m(tmp_path, people):
    """Three photos of the frontal camera whose 3D joints are those of posed SMPL bodies."""
    folder = tmp_path / "h36m"
    names = [f"S9_Directions_1.60457274_{frame:06d}.jpg" for frame in (1, 6, 11)]
    body = people["neutral"].to(dtype=torch.float64)
    pose, betas, _ = official.random_people(3, 24)
    turns = torch.from_numpy(np.stack([[official._rodrigues(v) for v in person] for person in pose]))
    meshes = body.forward(turns, torch.from_numpy(betas)).vertices
    joints = body.regress(meshes, "h36m17")
    crowd = []
    for name, xyz in zip(names, joints):
        layouts.photo(folder / "images" / name)
        person = layouts.People()
        person.places = dict(zip(H36M17.joints, xyz.numpy() + np.array([0, 0, 3])))
        crowd.append(person)
    layouts.spin_npz(folder / "h36m_valid_protocol2.npz", names, layouts.H36M, crowd)
    return folder, meshes


def test_human36m_is_measured_on_its_own_joints(h36m, people, tmp_path):
    folder, meshes = h36m
    samples = read_samples("h36m", folder)
    [rule], notes = conventions("h36m", people["neutral"])
    assert rule.name == "h36m-p2" and not notes

    def shown(mirror):
        return lambda group: [predicted(meshes[(s.frame - 1) // 5] * torch.tensor(mirror)) for s in group]

    right = measure(kept(tmp_path / "a", samples, shown([1, 1, 1])), rule)[0].means
    assert right["mpjpe_mm"] < 1e-2 and right["pa_mpjpe_mm"] < 1e-2
    mirrored = measure(kept(tmp_path / "b", samples, shown([-1, 1, 1])), rule)[0].means
    assert mirrored["pa_mpjpe_mm"] > 10  # no reflection


def test_an_smpl_body_without_the_regressor_is_refused(smpl_files):
    with pytest.raises(InputError, match=r"smpl-male: has no regressor of Human3\.6M's joints; make"):
        conventions("h36m", smpl.read(smpl_files / "SMPL_MALE.npz"))


def test_other_bodies_are_measured_on_the_limbs_and_say_so(h36m, tdpw_folder, tmp_path):
    body = bodies.load()
    [rule], [note] = conventions("h36m", body)
    assert rule.name == "coco-limbs" and "not comparable" in rule.says
    assert note == f"{body.name} has no regressor of Human3.6M's joints."
    rest = body.rest(torch.zeros(1, body.shape_count))
    limbs = body.regress(rest.vertices)[0, 5:].numpy()
    person = layouts.People()
    person.places = dict(zip(COCO17.joints[5:], limbs)) | {
        j: np.ones(3) for j in ("pelvis", "spine", "thorax", "nose", "head_top")
    }
    folder = h36m[0]
    names = ["S9_Directions_1.60457274_000001.jpg"]
    layouts.spin_npz(folder / "h36m_valid_protocol2.npz", names, layouts.H36M, [person])
    sight = kept(tmp_path / "a", read_samples("h36m", folder), lambda s: [predicted(rest.vertices[0])])
    assert measure(sight, rule)[0].means["mpjpe_mm"] < 1e-2
    assert rule.knows(read_samples("3dpw", tdpw_folder)[0])  # SMPL's 24 have these joints, too


# ------------------------------------------------------------------------------------------------ FreiHAND


@pytest.fixture
def freihand_folder(tmp_path, hand):
    folder = tmp_path / "freihand"
    generator = np.random.default_rng(2)
    meshes = hand.template.double() + 0.01 * torch.from_numpy(generator.normal(size=(3, 778, 3)))
    meshes[..., 2] += 0.6
    joints = hand.to(dtype=torch.float64).regress(meshes)
    intrinsics = [[[470.0, 0, 112], [0, 470, 112], [0, 0, 1]]] * 3
    for key, value in (("K", intrinsics), ("xyz", joints.tolist()), ("verts", meshes.tolist())):
        layouts._json(folder / f"evaluation_{key}.json", value)
    for row in range(3):
        layouts.photo(folder / "evaluation" / "rgb" / f"{row:08d}.jpg", (224, 224), row)
    return folder, meshes


def test_freihand_aligns_with_reflections(freihand_folder, hand, tmp_path):
    folder, meshes = freihand_folder
    samples = read_samples("freihand", folder)
    [rule], _ = conventions("freihand", hand)
    mirror = torch.tensor([-1.0, 1, 1])
    mirrored = kept(tmp_path, samples, lambda group: [predicted(meshes[s.frame] * mirror) for s in group])
    means = measure(mirrored, rule)[0].means
    assert list(means) == ["pa_mpvpe_mm", "pa_mpjpe_mm", "auc_joints", "f_5", "f_15", "auc_vertices"]
    assert means["pa_mpvpe_mm"] < 1e-2 and means["pa_mpjpe_mm"] < 1e-2
    assert means["f_5"] == 1 and means["auc_vertices"] > 0.99


def write_ignorant_model(body, path: Path) -> Path:
    """A transformer for any body that knows nothing."""
    torch.manual_seed(0)
    template = body.template
    coarse = torch.arange(0, len(template), len(template) // 195)
    near = torch.cdist(template, template[coarse]).topk(3, largest=False).indices
    config = replace(LITTLE, coarse_vertices=len(coarse))
    joints, weight = body.regress(template[None])[0], torch.full(near.shape, 1 / 3)
    model = MeshTransformer(config, joints, template[coarse], near, weight, body.regressor.to_dense())
    about = {"faces": body.faces, "skeleton": body.skeleton, "body": body.name, "body_hash": body.hash}
    checkpoint.save(path, model, **about)
    return path


def test_freihand_with_and_without_averaging_and_for_the_server(freihand_folder, hand, tmp_path, monkeypatch):
    samples = read_samples("freihand", freihand_folder[0])
    model = checkpoint.load(write_ignorant_model(hand, tmp_path / "hand.safetensors"))
    monkeypatch.setattr(keeping, "AVERAGED_TURNS_DEG", (-90, 0, 90))
    out = tmp_path / "out"
    eye = DrawnEye(HAND21, 56)
    [rule], _ = conventions("freihand", hand)
    how = {"pose2d": "truth", "averaged": True}
    report = benchmark("freihand", [rule], samples, out, model, hand, lambda: eye, **how)
    assert [(table.views, table.samples) for table in report.tables] == [(1, 3), (95, 3)]
    assert report.tables[0].means != report.tables[1].means
    xyz, vertices = json.loads((out / "pred.json").read_text())
    assert np.shape(xyz) == (3, 21, 3) and np.shape(vertices) == (3, 778, 3)
    joints = hand.regress(torch.tensor(vertices))
    np.testing.assert_allclose(xyz, joints.numpy(), atol=1e-5)
    [mesh] = Predictions(out, samples, "averaged").read(range(3))[:1]
    np.testing.assert_allclose(vertices[0], mesh.vertices_m + mesh.translation_m, atol=1e-5)
    few = read_samples("freihand", freihand_folder[0], count=2)
    report = benchmark("freihand", [rule], few, tmp_path / "few", model, hand, lambda: eye, pose2d="truth")
    assert report.notes == ("pred.json is left out: it is of the whole set.",) and not report.files


def test_a_turned_crop_gives_the_same_mesh_before_the_camera(freihand_folder, hand, tmp_path, monkeypatch):
    """What sees a fixed mesh in every crop sees it turned back by the crop's turn; four quarters cancel."""
    samples = read_samples("freihand", freihand_folder[0])
    model = checkpoint.load(write_ignorant_model(hand, tmp_path / "hand.safetensors"))
    network = Network(model, DrawnEye(HAND21, 56))
    crop = samples[0].crop
    seen = DrawnEye(HAND21, 56)([(samples[0], crop)])[0].heatmaps
    network.eye = lambda looks: [keeping.Seen(own, seen) for _, own in looks]
    [upright] = network([samples[0]])
    [turned] = network([replace(samples[0], crop=replace(crop, rotation=np.pi / 2))])
    x, y, z = upright.vertices_m.T
    np.testing.assert_allclose(turned.vertices_m, np.stack([-y, x, z], 1), atol=2e-3)


# ----------------------------------------------------------------------------------- predictions and files


def test_kept_predictions_give_the_same_table_without_a_network(tdpw_folder, people, tmp_path):
    samples = read_samples("3dpw", tdpw_folder)
    rule = conventions("3dpw", people["neutral"], people)[0][1]
    first = measure(kept(tmp_path, samples, oracle(people, "neutral")), rule)

    def nobody(_):
        raise AssertionError("predicted again")

    assert measure(kept(tmp_path, samples, nobody), rule) == first


def test_unequal_shares_of_two_processes_give_the_means_of_all(tdpw_folder, people, tmp_path, monkeypatch):
    samples = read_samples("3dpw", tdpw_folder)
    rule = conventions("3dpw", people["neutral"], people)[0][1]
    monkeypatch.setattr(keeping, "SHARD", 5)  # one process has 5 samples, the other 1
    for rank in (1, 0):
        both = kept(tmp_path / "two", samples, oracle(people, "neutral"), rank=rank, ranks=2)
    table, each = measure(both, rule)
    assert sorted(row for row, _ in each) == list(range(6))
    assert table.means["mpjpe_mm"] == pytest.approx(np.mean([mm for _, mm in each]), rel=1e-12)
    monkeypatch.setattr(keeping, "SHARD", 256)
    one = measure(kept(tmp_path / "one", samples, oracle(people, "neutral")), rule)[0]
    assert one.means == pytest.approx(table.means, rel=1e-9)


def test_predictions_of_another_model_or_other_samples_are_refused(tdpw_folder, people, tmp_path):
    samples = read_samples("3dpw", tdpw_folder)
    kept(tmp_path, samples, oracle(people))
    with pytest.raises(InputError, match=r"predictions of another model \(oracle, now other\)"):
        Predictions(tmp_path, samples).begin({"model": "other"})
    with pytest.raises(InputError, match="another samples"):
        Predictions(tmp_path, read_samples("3dpw", tdpw_folder, count=2)).begin({"model": "oracle"})
    file = tmp_path / "predictions" / "00000.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="no whole file of predictions"):
        Predictions(tmp_path, samples).read(range(6))


def test_people_who_are_not_found_are_counted_and_not_averaged(tdpw_folder, people, tmp_path):
    samples = read_samples("3dpw", tdpw_folder)
    rule = conventions("3dpw", people["neutral"], people)[0][1]

    def half_blind(group):
        return [p if s.subject == "0" else None for p, s in zip(oracle(people)(group), group)]

    table = measure(kept(tmp_path / "a", samples, half_blind), rule)[0]
    assert (table.samples, table.not_found, table.without_truth) == (3, 3, 0)
    assert table.means["mpjpe_mm"] < 1e-2
    with pytest.raises(InputError, match="6 were not found"):
        measure(kept(tmp_path / "b", samples, lambda group: [None] * len(group)), rule)


def test_models_of_other_joints_and_empty_sets_are_refused(hand, tmp_path):
    with pytest.raises(InputError, match="made for the joints of hand21, but 3DPW, test set asks"):
        conventions("3dpw", hand)
    with pytest.raises(InputError, match="coco17, but FreiHAND"):
        conventions("freihand", bodies.load())
    with pytest.raises(InputError, match=r"has no \.json files"):
        read_samples("folder", tmp_path)
    layouts.coco(tmp_path, [layouts.People()])
    layouts._json(tmp_path / "truth.json", {"images": [], "annotations": []})
    with pytest.raises(InputError, match="holds no samples"):
        read_samples("folder", tmp_path)


# ------------------------------------------------------------------------------------------- seeing a crop


def test_a_found_person_is_matched_by_overlap(tmp_path):
    crop = Crop((100.0, 80.0), 60.0)
    sample = Sample("x", np.zeros((200, 300, 3), np.uint8), crop)
    window = Crop(crop.center_px, keeping.WINDOW * crop.side_px)

    def person(center, side):
        x, y = apply(window.crop_from_image(keeping.WINDOW_PX), np.array(center))
        own = Crop((x, y), side * keeping.WINDOW_PX / window.side_px)
        return Person2D((0, 0, 1, 1), 1.0, np.zeros((17, 3)), own, np.zeros((17, 8, 8), np.float32))

    others = [person((125.0, 80.0), 30.0), person((98.0, 82.0), 55.0), person((70.0, 80.0), 20.0)]
    [seen] = FinderEye((lambda _: others[2:], lambda _: others))([(sample, crop)])
    np.testing.assert_allclose(seen.crop.center_px, (98, 82), atol=1e-6)
    assert seen.crop.side_px == pytest.approx(55)
    assert FinderEye((lambda _: others[2:],))([(sample, crop)]) == [None]
    assert FinderEye((lambda _: [],))([(sample, crop)]) == [None]


def test_a_network_sees_the_very_crop_and_must_have_the_models_joints():
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:30, 40:50] = 255
    sample = Sample("x", image, Crop((44.5, 24.5), 20.0))

    def brightness(images):
        return images.mean(1, keepdim=True).expand(-1, 17, -1, -1)

    net = TopDown(brightness, input_size=20, heatmap_size=20, mean=(0, 0, 0), std=(1, 1, 1))
    [seen] = CropEye(net, COCO17)([(sample, sample.crop)])
    expected = np.zeros((20, 20))
    expected[5:15, 5:15] = 1
    np.testing.assert_allclose(seen.heatmaps[3], expected, atol=1e-2)
    with pytest.raises(InputError, match="the joints of hand21"):
        CropEye(net, HAND21)([(sample, sample.crop)])


def test_a_benchmark_places_people_as_a_reconstruction_does(photos):
    folder, model = photos
    sample = read_samples("folder", folder)[0]
    reconstructor = reconstruct.load(model, device="cpu")
    transformer = reconstructor.model.transformer
    transformer.look_twice = lambda maps: transformer(transformer.prepare(maps))
    points = np.column_stack([sample.keypoints.xy_px, sample.keypoints.confidence])
    [person] = reconstructor(sample.image, keypoints=points[None])
    network = Network(reconstructor.model, DrawnEye(COCO17, 56))
    [mesh] = network([replace(sample, crop=person.crop)])
    np.testing.assert_allclose(mesh.vertices_m, person.vertices, atol=1e-5)
    assert mesh.focal_px == pytest.approx(person.focal_px)
    pixels = mesh.translation_m[:2] / mesh.translation_m[2] * mesh.focal_px + mesh.principal_px
    hips = mesh.points_px[COCO17.indices("left_hip", "right_hip")].mean(0)
    np.testing.assert_allclose(pixels, hips, atol=1e-3)


# ------------------------------------------------------------------------------------------------- command


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of photos with COCO keypoints, and a little model."""
    folder = tmp_path_factory.mktemp("photos")
    layouts.coco(folder, [layouts.People(seed) for seed in range(2)])
    for photo in (folder / "train2017").iterdir():
        photo.rename(folder / photo.name)
    (folder / "annotations" / "person_keypoints_train2017.json").rename(folder / "keypoints.json")
    return folder, write_little_model(folder.parent / "little" / "model.safetensors")


def test_the_command_measures_a_folder_and_draws_the_worst(photos, tmp_path, capsys):
    folder, model = photos
    command = ["evaluate", "folder", str(folder), "--model", str(model), "--pose2d", "truth", "--worst", "1"]
    command += ["--out", str(tmp_path / "out")]
    assert cli.main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    [table] = report["tables"]
    assert table["samples"] == 2 and table["convention"] == "reprojection" and table["error_px"] > 0
    assert 0 <= table["pck_5"] <= table["pck_10"] <= 1
    [picture] = report["files"]
    assert Image.open(picture).height == 512
    assert cli.main(command) == 0
    assert "through the model's own camera" in " ".join(capsys.readouterr().out.split())


def test_the_command_prints_both_conventions_of_3dpw(people, smpl_files, tdpw_folder, tmp_path, capsys):
    files = {gender: tmp_path / f"{gender}.safetensors" for gender in people}
    for gender, file in files.items():
        source = smpl_files / f"SMPL_{gender.upper()}.npz"
        write_body(file, *smpl._describe(source, gender, smpl_files / "J_regressor_h36m.npy"))
    model = write_ignorant_model(bodies.load(files["neutral"]), tmp_path / "model.safetensors")
    command = ["evaluate", "3dpw", str(tdpw_folder), "--model", str(model), "--pose2d", "truth"]
    command += ["--worst", "0", "--out", str(tmp_path / "out"), "--json"]
    assert cli.main(command) == 2
    assert "the body smpl-neutral, which does not come with mpt: name its file" in capsys.readouterr().err
    command += ["--body", str(files["neutral"])]
    command += ["--female", str(files["female"]), "--male", str(files["male"])]
    assert cli.main(command) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [table["convention"] for table in tables] == ["metro-neutral", "spin-gendered"]
    assert all(table["samples"] == 4 and table["not_found"] == 2 for table in tables)
    assert all(table["mpve_mm"] > table["pa_mpjpe_mm"] > 0 for table in tables)
    assert tables[0]["mpve_mm"] != tables[1]["mpve_mm"]


def test_a_fine_tuned_network_is_the_model_s_own_eye(photos, tmp_path, capsys):
    folder, model = photos
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.safetensors").write_bytes(model.read_bytes())
    config = networks.NetworkConfig("small", width=24, input_size=64)
    networks.save(run / networks.FILE, networks.build(config), config)
    command = ["evaluate", "folder", str(folder), "--model", str(run), "--worst", "0", "--json"]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pose2d"] == "tuned" and report["tables"][0]["not_found"] == 0


def test_reprojection_is_what_the_points_are_off(photos, tmp_path):
    samples = read_samples("folder", photos[0])

    def off(pixels):
        return lambda group: [
            replace(predicted(np.zeros((1, 3))), points_px=s.keypoints.xy_px + np.array([pixels, 0]))
            for s in group
        ]

    [rule], _ = conventions("folder", bodies.load())
    means = measure(kept(tmp_path / "a", samples, off(3)), rule)[0].means
    boxes = [sample.crop.side_px / 1.2 for sample in samples]
    assert means["error_px"] == pytest.approx(3)
    assert means["error_percent"] == pytest.approx(np.mean([300 / box for box in boxes]))
    half = measure(kept(tmp_path / "b", samples, off(0.07 * boxes[0])), rule)[0].means
    assert (half["pck_5"], half["pck_10"]) == (
        pytest.approx(np.mean([0.07 * boxes[0] <= 0.05 * box for box in boxes])),
        pytest.approx(np.mean([0.07 * boxes[0] <= 0.10 * box for box in boxes])),
    )


def test_the_command_refuses_in_a_sentence(photos, tdpw_folder, freihand_folder, tmp_path, capsys):
    folder, model = photos
    for arguments, said in (
        (["h36m", str(tmp_path)], "h36m_valid_protocol2.npz"),
        (["3dpw", str(tdpw_folder), "--pose2d", "higher-hrnet"], "needs its weights: name them"),
        (["freihand", str(freihand_folder[0])], "made for the joints of coco17"),
        (["folder", str(folder), "--body", str(model)], "not a whole mpt-body-1 file"),
        (["folder", str(folder), "--samples", "0"], "--samples is 0"),
    ):
        out = ["--out", str(tmp_path / arguments[0])]
        assert cli.main(["evaluate", *arguments, "--model", str(model), *out]) == 2
        assert said in capsys.readouterr().err
