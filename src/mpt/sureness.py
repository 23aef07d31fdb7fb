"""How sure a model is, as colours of the skin.

Letters: V vertices, J joints.
"""

import cv2
import numpy as np
import torch

from mpt.modeling.mesh_transformer import MeshTransformer

MOST_M = 0.10  # the standard deviation from which on all have the last colour
SHARPNESS = 4  # a joint twice as far away has a sixteenth of the say
NEAREST_M = 0.02  # within which a joint has no more say


@torch.no_grad()
def skin_shares(transformer: MeshTransformer) -> np.ndarray:
    """(V, J) what each joint says of each vertex, rows sum to one: the more the nearer they are in the rest
    pose, where no hand lies on a hip.
    """
    rest = transformer.upsample(transformer.template_coarse[None])[0]
    nearness = torch.cdist(rest, transformer.template_joints).clamp(min=NEAREST_M) ** -SHARPNESS
    return (nearness / nearness.sum(1, keepdim=True)).cpu().numpy()


def colours(std_m: np.ndarray) -> np.ndarray:
    """Standard deviations (...,) in metres -> colours (..., 3), sRGB in [0, 1]: even steps of one are even
    steps of the other to the eye (viridis, from its light end where the model is sure).
    """
    scale = _VIRIDIS[::-1]
    place = np.clip(np.asarray(std_m, np.float64) / MOST_M, 0, 1) * (len(scale) - 1)
    return np.stack([np.interp(place, np.arange(len(scale)), channel) for channel in scale.T], -1)


_VIRIDIS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1] / 255
