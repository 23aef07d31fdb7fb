"""What single-shot detectors share: anchors, boxes relative to them, merged where they overlap."""

import numpy as np

from mpt.pose2d.single_shot import anchor_centers, decode_boxes, merge_overlapping


def test_anchors_stand_in_the_middle_of_their_cells_row_by_row():
    anchors = anchor_centers([(4, 2), (2, 3)])
    assert anchors.shape == (4 * 4 * 2 + 2 * 2 * 3, 2)
    np.testing.assert_allclose(
        anchors[[0, 1, 2, 8]], [[1 / 8] * 2, [1 / 8] * 2, [3 / 8, 1 / 8], [1 / 8, 3 / 8]]
    )
    np.testing.assert_allclose(anchors[[32, 34, 35, -1]], [[0.25] * 2, [0.25] * 2, [0.75, 0.25], [0.75] * 2])


def test_boxes_and_points_are_relative_to_their_anchors():
    raw = np.array([[10, -20, 40, 60, 5, 0], [0, 0, 20, 20, -10, 10.0]])
    points = decode_boxes(raw, np.array([[0.5, 0.5], [0.1, 0.2]]), 100)
    np.testing.assert_allclose(points[0], [[0.4, 0], [0.8, 0.6], [0.55, 0.5]])
    np.testing.assert_allclose(points[1], [[0, 0.1], [0.2, 0.3], [0, 0.3]])
    assert decode_boxes(raw[:0], np.zeros((0, 2)), 100).shape == (0, 3, 2)


def test_overlapping_boxes_merge_and_distant_ones_stay():
    near = np.array([[0, 0], [10, 10], [5, 5.0]])
    boxes = np.stack([near + 100, near, near + 1])
    merged = list(merge_overlapping(np.array([0.6, 0.9, 0.3]), boxes))
    assert [score for score, _ in merged] == [0.9, 0.6]
    np.testing.assert_allclose(merged[0][1], near + 0.25)
    np.testing.assert_allclose(merged[1][1], near + 100)
    assert list(merge_overlapping(np.zeros(0), np.zeros((0, 3, 2)))) == []
