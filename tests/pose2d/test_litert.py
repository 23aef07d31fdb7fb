"""Networks that LiteRT runs."""

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
