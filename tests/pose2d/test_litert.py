"""Networks that LiteRT runs."""

import copy
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mpt import assets
from mpt.pose2d.litert import Network, sigmoid


def test_the_sigmoid_bears_any_logit():
    np.testing.assert_allclose(
        sigmoid(np.array([-1e9, -2, 0, 2, 1e9])), [0, 0.119203, 0.5, 0.880797, 1], atol=1e-6
    )


def test_threads_share_a_network():
    path = assets.get("blazepose") / "pose_landmark_full.tflite"
    network = Network(path, 1)
    pictures = [np.full((256, 256, 3), shade, np.float32) for shade in (0.1, 0.9)]
    alone = [network(picture) for picture in pictures]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(network, pictures * 8))
    for found, expected in zip(together, alone * 8, strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_copy_reads_the_file_again_and_sees_the_same():
    network = Network(assets.get("blazepose") / "pose_landmark_full.tflite", 1)
    picture = np.full((256, 256, 3), 0.4, np.float32)
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        for one, same in zip(network(picture), other(picture), strict=True):
            np.testing.assert_array_equal(one, same)


def test_networks_that_are_loaded_at_once_leave_stderr_as_it_was(capfd):
    path = assets.get("blazepose") / "pose_detection.tflite"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: Network(path, 1), range(16)))
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"
