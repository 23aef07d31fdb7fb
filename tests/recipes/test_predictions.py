"""Predictions are kept and read as they were, and made from the very crop that the data set tells."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import kept, oracle, write_ignorant_model

from mpt import checkpoint
from mpt.crops import Crop, apply
from mpt.datasets.sample import Sample
from mpt.errors import InputError
from mpt.heatmaps import decode
from mpt.pose2d.adapters import TopDown
from mpt.pose2d.base import Person2D
from mpt.pose2d.keypoints import Keypoints
from mpt.recipes import eyes
from mpt.recipes import predictions as keeping
from mpt.recipes.benchmark import measure, read_samples
from mpt.recipes.conventions import conventions
from mpt.recipes.eyes import CropEye, DrawnEye, FinderEye
from mpt.recipes.predicting import Network
from mpt.recipes.predictions import Predictions
from mpt.reconstructor import load
from mpt.skeletons import COCO17, HAND21

pytest_plugins = ["benchmark_sets"]


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


def test_a_found_person_is_matched_by_overlap(tmp_path):
    crop = Crop((100.0, 80.0), 60.0)
    sample = Sample("x", np.zeros((200, 300, 3), np.uint8), crop)
    window = Crop(crop.center_px, eyes.WINDOW * crop.side_px)

    def person(center, side):
        x, y = apply(window.crop_from_image(eyes.WINDOW_PX), np.array(center))
        own = Crop((x, y), side * eyes.WINDOW_PX / window.side_px)
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


def test_a_turned_crop_gives_the_same_mesh_before_the_camera(freihand_folder, hand, tmp_path, monkeypatch):
    """What sees a fixed mesh in every crop sees it turned back by the crop's turn; four quarters cancel."""
    samples = read_samples("freihand", freihand_folder[0])
    model = checkpoint.load(write_ignorant_model(hand, tmp_path / "hand.safetensors"))
    network = Network(model, DrawnEye(HAND21, 56))
    crop = samples[0].crop
    seen = DrawnEye(HAND21, 56)([(samples[0], crop)])[0].heatmaps
    network.eye = lambda looks: [eyes.Seen(own, seen) for _, own in looks]
    [upright] = network([samples[0]])
    [turned] = network([replace(samples[0], crop=replace(crop, rotation=np.pi / 2))])
    x, y, z = upright.vertices_m.T
    np.testing.assert_allclose(turned.vertices_m, np.stack([-y, x, z], 1), atol=2e-3)


def test_a_benchmark_places_people_as_a_reconstruction_does(photos):
    folder, model = photos
    sample = read_samples("folder", folder)[0]
    reconstructor = load(model, device="cpu")
    points = np.column_stack([sample.keypoints.xy_px, sample.keypoints.confidence])
    [person] = reconstructor(sample.image, keypoints=points[None])
    network = Network(reconstructor.model, DrawnEye(COCO17, 56), looks=2)
    [mesh] = network([replace(sample, crop=person.crop)])
    np.testing.assert_allclose(mesh.vertices_m, person.vertices, atol=1e-5)
    assert mesh.focal_px == pytest.approx(person.focal_px)
    pixels = mesh.translation_m[:2] / mesh.translation_m[2] * mesh.focal_px + mesh.principal_px
    hips = mesh.points_px[COCO17.indices("left_hip", "right_hip")].mean(0)
    np.testing.assert_allclose(pixels, hips, atol=1e-3)


@pytest.mark.parametrize("left", [False, True])
def test_a_hand_of_a_data_set_is_shown_as_a_right_one_whatever_it_is_taken_for(
    freihand_folder, left, monkeypatch
):
    """A finder that knows the joints takes the hand for a left one: its maps are turned back."""
    samples = read_samples("freihand", freihand_folder[0])
    truth = [sample.keypoints for sample in samples]

    class Finder:
        skeleton = HAND21

        def __init__(self, search, heatmap_size):
            self.size, self.looked = heatmap_size, 0

        def __call__(self, image):
            window = Crop(
                samples[self.looked].crop.center_px, eyes.WINDOW * samples[self.looked].crop.side_px
            )
            points = apply(window.crop_from_image(eyes.WINDOW_PX), truth[self.looked].xy_px)
            self.looked += 1
            points = np.column_stack([points, np.ones(21)])
            return Keypoints(points, skeleton=HAND21, mirrored=left, heatmap_size=self.size)(image)

    monkeypatch.setitem(eyes.FINDERS, "blazepalm", Finder)
    eye = eyes.eye_of("blazepalm", HAND21, 56)
    for sample, seen in zip(samples, eye([(sample, sample.crop) for sample in samples])):
        points = apply(seen.crop.crop_from_image(56), sample.keypoints.xy_px)
        np.testing.assert_allclose(decode(seen.heatmaps[None], step_px=1)[0, :, :2], points, atol=0.3)


def test_eyes_of_other_joints_are_refused():
    with pytest.raises(
        InputError, match="blazepalm sees the joints of hand21, but the model was made for coco17"
    ):
        eyes.eye_of("blazepalm", COCO17, 56)
    with pytest.raises(
        InputError, match="blazepose sees the joints of coco29, but the model was made for hand21"
    ):
        eyes.eye_of("blazepose", HAND21, 56)
