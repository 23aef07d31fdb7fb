"""Small films that tests write, and people who need no network to be found."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from mpt.crops import Crop
from mpt.pose2d.base import CROP_FACTOR, Person2D
from mpt.skeletons import COCO17, COCO29

SIZE = (64, 48)


def write_film(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    fps: int = 10,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    metadata: dict[str, str] | None = None,
    rotation: int = 0,
    pts: Sequence[int] | None = None,
    full_range: bool = False,
    **container: str,
) -> Path:
    """Pictures (H, W, 3) uint8 RGB as a film; ``pts`` in ticks of 1 / fps."""
    tags = {"movflags": "use_metadata_tags"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=tags, **container) as out:
        out.metadata.update(metadata or {})
        stream = out.add_stream(codec, rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if codec == "libx264":
            stream.options = {"crf": "10", "g": "5"}
        if full_range:
            stream.codec_context.color_range = 2
        if rotation:
            stream.set_display_rotation(rotation)
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if full_range:
                frame = frame.reformat(format=pix_fmt, dst_color_range="JPEG")
            frame.pts = number if pts is None else pts[number]
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def grey(number: int, size_wh: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture whose brightness tells its number."""
    return np.full((size_wh[1], size_wh[0], 3), 20 + 8 * number, np.uint8)


def numbers_of(pictures: Sequence[np.ndarray | None]) -> list[int | None]:
    """What :func:`grey` was given."""
    return [None if p is None else round((float(p.mean()) - 20) / 8) for p in pictures]


def person(joints_px: np.ndarray, score: float = 0.9, size: int = 56) -> Person2D:
    """Somebody whose COCO joints (17, 2) or (29, 2) are seen, as a 2D network says it: a blob for each."""
    skeleton = COCO29 if len(joints_px) == len(COCO29) else COCO17
    crop = Crop.around(joints_px[:17], CROP_FACTOR)
    low, high = joints_px[:17].min(0), joints_px[:17].max(0)
    at = (joints_px - crop.center_px) / crop.side_px * size + (size - 1) / 2
    y, x = np.mgrid[:size, :size]
    off = (x - at[:, :1, None]) ** 2 + (y - at[:, 1:, None]) ** 2
    maps = np.exp(-off / 4).astype(np.float32)
    points = np.column_stack([joints_px, np.full(len(joints_px), score)])
    return Person2D((*map(float, low), *map(float, high - low)), score, points, crop, maps, skeleton=skeleton)
