"""Picture files of more than 8 bits, byte by byte, as cameras write them and Pillow does not."""

import struct
import zlib

import numpy as np

PNG_KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> IHDR's colour type
FORMATS = {"u": 1, "i": 2, "f": 3}  # numpy's kind -> TIFF's SampleFormat


def png16(pixels: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits of (H, W) or (H, W, 1 to 4), with chunks (type, content) before the pixels."""
    pixels = np.atleast_3d(pixels).astype(">u2")
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, PNG_KINDS[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    content = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in content
    )


def tiff(pixels: np.ndarray, tags: dict[int, list[int]] | None = None, order: str = "<") -> bytes:
    """An uncompressed TIFF of (H, W) or (H, W, C), with other tags (of 16 bits), in either byte order."""
    pixels = np.atleast_3d(pixels)
    height, width, channels = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    entries = {
        256: [width],
        257: [height],
        258: [8 * pixels.itemsize] * channels,
        259: [1],
        262: [2 if channels > 2 else 1],
        273: [8],
        277: [channels],
        278: [height],
        279: [len(data)],
        339: [FORMATS[pixels.dtype.kind]] * channels,
        **(tags or {}),
    }
    place = 8 + len(data)
    directory, beyond = struct.pack(order + "H", len(entries)), b""
    after = place + 2 + 12 * len(entries) + 4
    for tag, values in sorted(entries.items()):
        kind, letter = (4, "I") if tag in (273, 279) else (3, "H")
        value = struct.pack(f"{order}{len(values)}{letter}", *values)
        directory += struct.pack(order + "HHI", tag, kind, len(values))
        if len(value) <= 4:
            directory += value.ljust(4, b"\0")
        else:
            directory += struct.pack(order + "I", after + len(beyond))
            beyond += value
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, place)
    return head + data + directory + bytes(4) + beyond
