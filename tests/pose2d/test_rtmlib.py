"""What rtmlib gives is drawn by name: of its own code on made-up ONNX networks, and of a stand-in for it."""

import sys
import types

import numpy as np
import pytest

from mpt.errors import InputError
from mpt.pose2d.finders import FINDERS
from mpt.pose2d.keypoints.orders import ORDERS
from mpt.pose2d.rtmlib import RtmLib
from mpt.skeletons import COCO17, COCO29

PHOTO = np.random.default_rng(0).integers(0, 255, (256, 192, 3)).astype(np.uint8)
BOX = [16.0, 28.0, 176.0, 228.0, 0.9]  # left, top, right, bottom, score in the detector's picture


def scattered(count: int, people: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, K, 2) on the photo and their scores, all different."""
    rng = np.random.default_rng(count)
    return rng.uniform(20, 170, (people, count, 2)), rng.uniform(0.3, 0.9, (people, count))


class Solution:
    """As rtmlib's: what finds boxes, what finds points in them, and the colours that both were shown."""

    def __init__(self, points, scores, boxes=1):
        self.answer, self.boxes, self.colours = (points, scores), boxes, []

    def det_model(self, image):
        self.colours.append(image[0, 0].tolist())
        return np.array([[0, 0, 100, 100.0]] * self.boxes)

    def pose_model(self, image, bboxes):
        self.colours.append(image[0, 0].tolist())
        assert len(bboxes) == self.boxes
        return self.answer


@pytest.mark.parametrize("count, seen", [(17, 17), (26, 23), (133, 29)])
def test_joints_go_by_name_and_what_is_not_seen_is_missing(count, seen):
    points, scores = scattered(count)
    [person] = RtmLib(Solution(points, scores), heatmap_size=56)(PHOTO)
    names = ORDERS[count].joints
    assert person.skeleton == COCO29 and person.heatmaps.shape == (29, 56, 56)
    assert (person.joints2d_px[:, 2] > 0).sum() == seen == (person.heatmaps.max((1, 2)) > 0).sum()
    for joint in ("nose", "left_knee", *(("right_heel", "left_big_toe") if count > 17 else ())):
        expected = [*points[0, names.index(joint)], scores[0, names.index(joint)]]
        np.testing.assert_allclose(person.joints2d_px[COCO29.joints.index(joint)], expected)


def test_knuckles_are_those_of_the_whole_body_s_hands():
    points, scores = scattered(133)
    [person] = RtmLib(Solution(points, scores))(PHOTO)
    for first, side in ((91, "left"), (112, "right")):
        for place, knuckle in ((2, "thumb"), (5, "index"), (17, "pinky")):
            joint = person.joints2d_px[COCO29.joints.index(f"{side}_{knuckle}_knuckle")]
            np.testing.assert_allclose(joint[:2], points[0, first + place])


def test_the_networks_see_the_photo_as_opencv_reads_it():
    solution = Solution(*scattered(17))
    RtmLib(solution)(PHOTO)
    assert solution.colours == [PHOTO[0, 0, ::-1].tolist()] * 2


def test_a_photo_in_which_no_box_is_found_has_nobody():
    assert RtmLib(Solution(*scattered(17), boxes=0))(PHOTO) == []


def test_a_solution_of_one_network_is_called_at_once():
    points, scores = scattered(17, people=2)
    people = RtmLib(lambda image: (points, scores))(PHOTO)
    assert len(people) == 2 and people[0].score > people[1].score


def test_who_is_nobody_costs_no_other():
    points, scores = scattered(17, people=4)
    points[1] = 50  # of no size
    points[2, :, 0] += 5000  # outside
    scores[3, 1:] = 0  # one joint
    [person] = RtmLib(Solution(points, scores))(PHOTO)
    np.testing.assert_allclose(person.joints2d_px[: len(COCO17), :2], points[0])


def test_scores_above_one_and_numbers_that_are_none_are_borne():
    points, scores = scattered(17)
    points[0, 3], scores[0, 4], scores[0, 5] = np.nan, 1.7, -0.2
    [person] = RtmLib(Solution(points, scores))(PHOTO)
    assert person.joints2d_px[[3, 4, 5], 2].tolist() == [0, 1, 0]
    assert np.isfinite(person.heatmaps).all()


def test_other_joints_are_refused():
    with pytest.raises(InputError) as refused:
        RtmLib(Solution(*scattered(21)))(PHOTO)
    assert str(refused.value) == (
        "Solution of rtmlib gave 21 points, expected 17, 26 or 133: take Body, BodyWithFeet or "
        "Wholebody, with to_openpose=False"
    )


def test_without_the_package_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(
        InputError, match=r"rtmlib package .*: run `pip install 'mesh-pretraining\[rtmlib\]'`$"
    ):
        FINDERS["rtmlib"](heatmap_size=56)


def test_weights_that_cannot_be_fetched_are_one_sentence_and_stdout_stays_clean(monkeypatch, capsys):
    def offline():
        print("load weights")
        raise OSError("Network is unreachable")

    monkeypatch.setitem(sys.modules, "rtmlib", types.SimpleNamespace(Wholebody=offline))
    with pytest.raises(InputError) as refused:
        RtmLib()
    assert str(refused.value) == (
        "rtmlib could neither fetch nor find its weights (OSError: Network is unreachable): connect to the "
        "network once, or put them where rtmlib keeps them (~/.cache/rtmlib/hub/checkpoints)"
    )
    assert capsys.readouterr().out == ""


@pytest.fixture
def networks(tmp_path):
    """A detector that always sees BOX, and a pose network of 133 points whose peaks are always the same."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(1)
    cells = np.stack([rng.integers(40, 340, 133), rng.integers(60, 450, 133)], 1)  # of 384 x 512: half pixels
    heights = rng.uniform(0.4, 0.9, 133).astype(np.float32)
    simcc = [np.zeros((1, 133, length), np.float32) for length in (384, 512)]
    for axis, rows in enumerate(simcc):
        rows[0, np.arange(133), cells[:, axis]] = heights
    saved = {
        "detector": ((1, 3, 416, 416), {"dets": np.array([[BOX]], np.float32)}),
        "pose": ((1, 3, 256, 192), {"simcc_x": simcc[0], "simcc_y": simcc[1]}),
    }
    for name, (shape, outputs) in saved.items():
        numbers = onnx.TensorProto.FLOAT
        given = onnx.helper.make_tensor_value_info("input", numbers, shape)
        gives = [
            onnx.helper.make_tensor_value_info(key, numbers, value.shape) for key, value in outputs.items()
        ]
        nodes = [
            onnx.helper.make_node("Constant", [], [key], value=onnx.numpy_helper.from_array(value))
            for key, value in outputs.items()
        ]
        graph = onnx.helper.make_graph(nodes, name, [given], gives)
        opset = [onnx.helper.make_opsetid("", 17)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / f"{name}.onnx")
    return tmp_path, cells, heights


def test_rtmlib_s_own_code_runs_the_networks(networks):
    rtmlib = pytest.importorskip("rtmlib")
    folder, cells, heights = networks
    solution = rtmlib.Wholebody(
        str(folder / "detector.onnx"), (416, 416), str(folder / "pose.onnx"), (192, 256)
    )
    [person] = RtmLib(solution)(PHOTO)
    ratio = 416 / 256
    low, high = np.array(BOX[:2]) / ratio, np.array(BOX[2:4]) / ratio
    width = (high - low)[0] * 1.25  # its region: the box in the network's proportions, and a quarter more
    region = np.array([width, width * 256 / 192])
    expected = cells / 2 / [192, 256] * region + (low + high) / 2 - region / 2
    body = person.joints2d_px[: len(COCO17)]
    np.testing.assert_allclose(body[:, :2], expected[:17], atol=1e-3)
    np.testing.assert_allclose(body[:, 2], heights[:17], atol=1e-6)
    toes = person.joints2d_px[COCO29.indices("left_big_toe", "right_heel"), :2]
    np.testing.assert_allclose(toes, expected[[17, 22]], atol=1e-3)
