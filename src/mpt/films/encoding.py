"""Pictures -> an MP4 file of H.264 that plays in browsers.

It is written in fragments, each whole in itself, so that a film whose writing ends too early plays as far as
it goes; at the end it is put in order: one index, at the front.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mpt.errors import InputError
from mpt.films.containers import import_av

CODECS = (
    ("libx264", {"preset": "veryfast", "crf": "23"}),
    ("libopenh264", {}),
    ("h264", {}),
)
TICKS = 90_000  # a second, where frames do not come evenly


class Writer:
    """Takes pictures one after another; see :func:`written`."""

    def __init__(self, container: Any, size_wh: tuple[int, int], fps: float, even: bool) -> None:
        self._av, self._container = import_av(), container
        rate = Fraction(fps).limit_denominator(1001)
        name, options = _codec(self._av)
        stream = container.add_stream(name, rate=rate, options=options)
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuv420p"
        stream.codec_context.max_b_frames = 0  # or fragments would begin late
        stream.codec_context.gop_size = max(round(fps), 1)
        self._tick = 1 / rate if even else Fraction(1, TICKS)
        stream.codec_context.time_base = self._tick
        self._stream, self._even, self._last = stream, even, -1
        self._rate = rate
        self.count = 0

    def __call__(self, pixels: np.ndarray, number: int, time_s: float) -> None:
        """(H, W, 3) uint8 RGB, frame ``number`` of the film, at ``time_s``. Raises OSError: a full disk."""
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        at = number if self._even else round(time_s * TICKS)
        self._last = frame.pts = max(at, self._last + 1)
        frame.time_base = self._tick
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        self.count += 1

    def finish(self) -> None:
        for packet in self._stream.encode():
            self._container.mux(packet)


def _codec(av: Any) -> tuple[str, dict[str, str]]:
    for name, options in CODECS:
        try:
            av.codec.Codec(name, "w")
        except (ValueError, av.error.FFmpegError):
            continue
        return name, options
    raise InputError("the package av has no encoder of H.264 here: pip install --force-reinstall av")


@contextmanager
def written(path: Path, size_wh: tuple[int, int], fps: float, *, even: bool) -> Iterator[Writer]:
    """A film of pictures that are even numbers of pixels wide and high, into a file that is not there.

    even: whether frames come evenly, by their numbers, or at their own times.

    What was written stays readable whatever happens; errors of the block, and of a full disk, pass.
    """
    av, parts = import_av(), path.with_suffix(".parts.mp4")
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    try:
        container = av.open(os.fspath(parts), "w", format="mp4", options=fragments)
        try:
            writer = Writer(container, size_wh, fps, even)
            try:
                yield writer
            except BaseException:
                with suppress(OSError, ValueError):  # what it has taken is still written
                    writer.finish()
                raise
            writer.finish()
        finally:
            with suppress(OSError, ValueError):
                container.close()
        _put_in_order(av, parts, path)
    finally:
        if parts.exists():
            if path.exists():
                parts.unlink()
            else:
                parts.rename(path)


def _put_in_order(av: Any, parts: Path, path: Path) -> None:
    """The same film with its index at the front; where there is no room for it, it stays as it is."""
    try:
        with (
            av.open(os.fspath(parts)) as source,
            av.open(os.fspath(path), "w", format="mp4", options={"movflags": "faststart"}) as target,
        ):
            [stream] = source.streams.video
            out = target.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.dts is not None:
                    packet.stream = out
                    target.mux(packet)
    except (OSError, ValueError):
        path.unlink(missing_ok=True)
