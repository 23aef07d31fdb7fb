"""Hostile visitors of the page: what they give, and how the page is asked without a browser.

Used by ``page.py`` and by the tests.
"""

import io
import json
import socket
import struct
import zlib
from dataclasses import dataclass
from typing import Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image

PICTURES = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
TYPES = (
    b"", b"Dear reader", b"%PDF-1.7", b"<svg onload='alert(1)'/>", b"<html></html>", b"PK\3\4", b"\x7fELF",
    b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"#EXTM3U\n/etc/passwd",
    b"ffconcat version 1.0\nfile /etc/passwd", b"RIFF\0\0\0\0WEBP", b"II*\0\xff\xff\xff\xff", b"%!PS\nquit",
)  # fmt: skip
NAMES = (
    "../../../etc/passwd", "..\\\\..\\\\boot.ini", "/etc/shadow", "a/../../b", "CON", "x" * 300,
    "<img src=x onerror=alert(1)>",
    "\u202egnp.exe", "%2e%2e%2f", "-rf", "~", ".", "nul\x00l", "\U0001f600",
)  # fmt: skip
PATIENCE_S = 300
Kind = Literal["good", "mutated", "another type", "promising", "broken off", "path as name", "no film"]
KINDS: tuple[Kind, ...] = (
    "good", "mutated", "mutated", "another type", "promising", "broken off", "path as name", "no film",
)  # fmt: skip


@dataclass(frozen=True)
class Visit:
    """What somebody uploads; ``size_wh`` of a good picture, which nobody else's has."""

    kind: Kind
    name: str
    content: bytes
    size_wh: tuple[int, int] = (0, 0)


def visits(count: int, pixels: np.ndarray, film: bytes, seed: int = 0) -> list[Visit]:
    """So many, one of each kind after another, the same for the same seed: made of a picture (H, W, 3) uint8
    RGB and of a film.
    """
    rng = np.random.default_rng(seed)
    return [_visit(number, KINDS[number % len(KINDS)], pixels, film, rng) for number in range(count)]


def _visit(number: int, kind: Kind, pixels: np.ndarray, film: bytes, rng: np.random.Generator) -> Visit:
    picture = encoded(pixels, PICTURES[rng.integers(len(PICTURES))])
    name = f"{number}.{('png', 'jpg', 'mp4')[rng.integers(3)]}"
    match kind:
        case "good":
            own = pixels[: -1 - number % 16, : pixels.shape[1] - 1 - number // 16]
            return Visit(kind, f"visitor {number}.png", encoded(own, "PNG"), (own.shape[1], own.shape[0]))
        case "mutated":
            return Visit(kind, name, mutated(picture, rng))
        case "another type":
            return Visit(kind, name, TYPES[number // len(KINDS) % len(TYPES)])
        case "promising":
            return Visit(kind, name, promising(10_000, 10_000 + int(rng.integers(9)) * 6_000))
        case "broken off":
            return Visit(kind, name, picture[: rng.integers(len(picture))])
        case "path as name":
            return Visit(kind, NAMES[number // len(KINDS) % len(NAMES)] + ".png", b"Dear reader")
    end = rng.integers(len(film))
    return Visit(kind, "film.mp4", (b"Dear reader", film[:end], mutated(film, rng))[rng.integers(3)])


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    """A picture's file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """With up to twenty other bytes, a third of them cut short."""
    damaged = bytearray(content)
    for at in rng.integers(len(damaged), size=rng.integers(1, 20)):
        damaged[at] = rng.integers(256)
    return bytes(damaged[: rng.integers(1, len(damaged))] if rng.random() < 1 / 3 else damaged)


def promising(width: int, height: int) -> bytes:
    """A PNG's header, of so many pixels, and hardly anything behind it."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class Refused(Exception):
    """What the page says instead of an answer."""


def ask(address: str, visit: Visit) -> list:
    """What the page answers to an upload, as ``/reconstruct`` or ``/film`` of its API have it.

    Raises Refused, or OSError where nobody is there.
    """
    if visit.kind == "broken off":
        break_off(address, visit.content)
    path = upload(address, visit.name, visit.content)
    given = {"path": path, "orig_name": visit.name, "meta": {"_type": "gradio.FileData"}}
    return call(address, "film" if visit.kind == "no film" else "reconstruct", given)


def call(address: str, name: str, given: dict) -> list:
    """The same of a file that was uploaded already."""
    url, body = f"{address}gradio_api/call/{name}", json.dumps({"data": [given, 0, 0, 0]}).encode()
    event = json.loads(_read(Request(url, body, {"Content-Type": "application/json"})))["event_id"]
    said = _read(Request(f"{url}/{event}")).decode()
    last = said.strip().rsplit("event: ", 1)[-1]
    state, _, data = last.partition("\ndata: ")
    if state != "complete":
        raise Refused((json.loads(data) or {}).get("error"))
    return json.loads(data)


def upload(address: str, name: str, content: bytes) -> str:
    """Where the page keeps it."""
    name = name.replace('"', "").replace("\0", "")
    head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    body = head + content + b"\r\n--b--\r\n"
    return json.loads(_read(Request(f"{address}gradio_api/upload", body, kind)))[0]


def break_off(address: str, content: bytes) -> None:
    """An upload that ends in the middle."""
    host, port = address.removeprefix("http://").strip("/").split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as line:
        head = (
            "POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            'Content-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        )
        line.sendall(head.encode() + content)


def _read(request: Request) -> bytes:
    try:
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.read()
    except HTTPError as error:
        raise Refused(error.read().decode(errors="replace")) from None
