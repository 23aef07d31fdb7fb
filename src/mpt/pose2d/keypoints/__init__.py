"""Points from any detector's file, drawn as heatmaps.

People's joints are COCO's 17, or those with feet and knuckles. Of hands, each left or right, the 21
of ``HAND21``.
"""

from mpt.pose2d.keypoints.drawing import Extent, Keypoints, draw
from mpt.pose2d.keypoints.files import KeypointFile, read
from mpt.pose2d.keypoints.orders import OPENPOSE18, OPENPOSE25, ORDERS

__all__ = ["OPENPOSE18", "OPENPOSE25", "ORDERS", "Extent", "KeypointFile", "Keypoints", "draw", "read"]
