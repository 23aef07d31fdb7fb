"""Other people's glTF 2.0 files, of which an animation more is all that changes.

The text of their JSON stays as it was written, members and numbers alike; so do the bytes of their buffers
and whatever chunks a GLB has besides. Compressed meshes, textures and extensions are never looked into.
"""

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np

from mpt.errors import InputError
from mpt.json_files import HEADS

MAGIC = b"glTF"
JSON_CHUNK, BINARY_CHUNK = b"JSON", b"BIN\0"
FLOAT = 5126
LARGEST = 2**32 - 1  # bytes that a GLB can count
AGAIN = "export or download it again"
SPACE = re.compile(r"[ \t\n\r]*")
KINDS = {
    b"Kaydara FBX": "an FBX file",
    b"; FBX": "an FBX file",
    b"BLENDER": "a Blender file",
    b"(\xb5/\xfd": "a compressed file",
} | HEADS
OURS = {"generator": "mpt"}
"""The ``extras`` of animations that mpt has added."""


class Channel(NamedTuple):
    """How one property of a node moves: "rotation" as unit quaternions x, y, z, w (T, 4), "translation"
    (T, 3).
    """

    node: int
    path: str
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class GltfFile:
    """A .glb, .vrm or .gltf file.

    Attributes:
        path: where it lies.
        text: its JSON as written, and ``header`` what that says.
        binary: the chunk of a GLB that holds its buffer, if it has one.
        tail: chunks behind it, as they are.
        is_binary: whether it is a GLB.
    """

    path: Path
    text: str
    header: dict[str, Any]
    binary: bytes | None
    tail: bytes
    is_binary: bool

    def objects(self, name: str) -> list[dict[str, Any]]:
        """One of the header's lists, as "nodes"; empty where it has none. Raises InputError for another
        thing.
        """
        found = self.header.get(name, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise InputError(f"its {name} are no list of objects, as glTF has them; {AGAIN}")
        return found

    def check_copy(self, out: Path) -> None:
        """Refuse a place where a changed copy could not be read: under another kind of name, or away from
        the buffers and textures that the file does not hold itself. Raises InputError.
        """
        text = out.suffix.lower() == ".gltf"
        if text == self.is_binary:
            ending = ".glb or .vrm" if self.is_binary else ".gltf"
            raise InputError(f"--out {out}: a copy of {self.path} ends in {ending}: choose another --out")
        named = [one.get("uri") for name in ("buffers", "images") for one in self.objects(name)]
        beside = [name for name in named if isinstance(name, str) and not name.startswith("data:")]
        if beside and out.resolve().parent != self.path.resolve().parent:
            raise InputError(
                f"{self.path} needs files that lie beside it ({beside[0][:60]}): choose an --out in the same "
                "folder, or export it as GLB"
            )

    def matrices(self, accessor: object, count: int) -> np.ndarray | None:
        """(count, 4, 4) float64 matrices, or None where they are not there, compressed or damaged."""
        try:
            told = self.objects("accessors")[_index(accessor)]
            view = self.objects("bufferViews")[_index(told.get("bufferView"))]
            start = _index(view.get("byteOffset", 0)) + _index(told.get("byteOffset", 0))
            kind = (told.get("componentType"), told.get("type"), view.get("byteStride", 64))
            fits = kind == (FLOAT, "MAT4", 64) and _index(told.get("count")) >= count
            if not fits or "sparse" in told or "extensions" in view:
                return None
            content = self._read(_index(view.get("buffer")), start, 64 * count)
            matrices = np.frombuffer(content, "<f4", 16 * count).astype(float)
        except (LookupError, ValueError, OSError):
            return None
        return matrices.reshape(count, 4, 4).swapaxes(1, 2)

    def with_animation(self, name: str, times_s: np.ndarray, channels: Sequence[Channel]) -> bytes:
        """The file's bytes with one animation more, of linear interpolation between keys.

        times_s: (T,) ascending, not negative. Nodes that are moved and told as a matrix are told as
        translation, rotation and scale, for glTF demands it. Raises InputError where there is no room.
        """
        arrays = [times_s.astype("<f4"), *(channel.values.astype("<f4") for channel in channels)]
        data = b"".join(array.tobytes() for array in arrays)
        buffers, views, accessors = map(self.objects, ("buffers", "bufferViews", "accessors"))
        edits, binary, buffer, start = self._with_data(data, buffers)

        edits += self._added("bufferViews", {"buffer": buffer, "byteOffset": start, "byteLength": len(data)})
        offsets = np.cumsum([0, *(array.nbytes for array in arrays[:-1])]).tolist()
        ours = []
        for array, offset in zip(arrays, offsets):
            width = "SCALAR" if array.ndim == 1 else f"VEC{array.shape[1]}"
            own = {"bufferView": len(views), "byteOffset": offset, "componentType": FLOAT}
            ours.append(own | {"count": len(array), "type": width})
        ours[0] |= {"min": [float(arrays[0][0])], "max": [float(arrays[0][-1])]}
        edits += self._added("accessors", *ours)

        first = len(accessors)
        samplers = [
            {"input": first, "output": first + 1 + k, "interpolation": "LINEAR"} for k in range(len(channels))
        ]
        moves = [
            {"sampler": k, "target": {"node": channel.node, "path": channel.path}}
            for k, channel in enumerate(channels)
        ]
        edits += self._added(
            "animations", {"name": name, "channels": moves, "samplers": samplers, "extras": OURS}
        )
        edits += self._without_matrices({channel.node for channel in channels})
        return self._content(_edited(self.text, edits), binary)

    def _read(self, buffer: int, start: int, size: int) -> bytes:
        """Bytes of a buffer, fewer where it is short."""
        told = self.objects("buffers")[buffer]
        uri = told.get("uri")
        if uri is None:
            return (self.binary or b"")[start : start + size] if buffer == 0 else b""
        if not isinstance(uri, str):
            raise ValueError
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2])[start : start + size]
            except binascii.Error as error:
                raise ValueError from error
        beside = self.path.parent / unquote(uri)
        if not beside.is_file():
            raise FileNotFoundError
        with beside.open("rb") as file:
            file.seek(start)
            return file.read(size)

    def _with_data(self, data: bytes, buffers: list[dict]) -> tuple[list["_Edit"], bytes | None, int, int]:
        """Where data goes: what changes of the JSON, the binary chunk, the buffer's number, and the place in
        it.
        """
        if self.binary is None or not buffers or "uri" in buffers[0]:
            uri = f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
            return self._added("buffers", {"byteLength": len(data), "uri": uri}), self.binary, len(buffers), 0
        told = buffers[0].get("byteLength")
        if not isinstance(told, int) or told > len(self.binary):
            raise InputError(
                f"its buffer is told to hold {told!r} bytes and holds {len(self.binary)}; {AGAIN}"
            )
        padded = self.binary + b"\0" * (-len(self.binary) % 4)
        at = dict(_spans(self.text, self._at("buffers", 0)))["byteLength"]
        edit = _Edit(*at, str(len(padded) + len(data)))
        return [edit], padded + data, 0, len(padded)

    def _added(self, name: str, *new: dict) -> list["_Edit"]:
        """What adds objects to one of the header's lists."""
        text = ",".join(json.dumps(one, separators=(",", ":"), allow_nan=False) for one in new)
        if name not in self.header:
            end = _end(self.text, _start(self.text)) - 1
            return [_Edit(end, end, f'{"," if self.header else ""}"{name}":[{text}]')]
        end = self._at(name)[1] - 1
        return [_Edit(end, end, f"{',' if self.header[name] else ''}{text}")]

    def _without_matrices(self, moved: set[int]) -> list["_Edit"]:
        edits = []
        for number in moved:
            node = self.objects("nodes")[number]
            if "matrix" in node:
                parts = decomposed(np.reshape(node["matrix"], (4, 4)).T)
                kept = {key: value for key, value in node.items() if key != "matrix"} | parts
                edits.append(_Edit(*self._at("nodes", number), json.dumps(kept, separators=(",", ":"))))
        return edits

    def _at(self, name: str, number: int | None = None) -> tuple[int, int]:
        """Where one of the header's lists stands in the text, or an object of it."""
        at = dict(_spans(self.text, (_start(self.text), len(self.text))))[name]
        return at if number is None else dict(_spans(self.text, at))[number]

    def _content(self, text: str, binary: bytes | None) -> bytes:
        try:
            content = text.encode()
        except UnicodeEncodeError:
            raise InputError(f"its JSON holds letters that there are not; {AGAIN}") from None
        if not self.is_binary:
            return content
        content = content.rstrip(b" ")
        chunks = _chunk(JSON_CHUNK, content + b" " * (-len(content) % 4))
        if binary is not None:
            chunks += _chunk(BINARY_CHUNK, binary + b"\0" * (-len(binary) % 4))
        size = 12 + len(chunks) + len(self.tail)
        if size > LARGEST:
            raise InputError("with the motion it has over 4 GiB, which no GLB can have: give fewer frames")
        return struct.pack("<4sII", MAGIC, 2, size) + chunks + self.tail


def read_gltf(path: Path) -> GltfFile:
    """Read a GLB (VRM is one) or a .gltf file. Raises InputError, and OSError where it cannot be read."""
    content = path.read_bytes()
    if content.startswith(MAGIC):
        text, binary, tail = _chunks(content)
        return GltfFile(path, text, _header(text), binary, tail, True)
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        what = next((f"it is {what}" for head, what in KINDS.items() if content.startswith(head)), "")
        what = what or ("it is no glTF file" if content else "it is empty")
        raise InputError(f"{what}, a rigged GLB, VRM or glTF was expected; Blender exports one")
    text = _text(content)
    return GltfFile(path, text, _header(text.lstrip("\ufeff")), None, b"", False)


def is_ours(path: Path) -> bool:
    """Whether a file's last animation was added by mpt."""
    try:
        animations = read_gltf(path).objects("animations")
    except InputError:
        return False
    return bool(animations) and animations[-1].get("extras") == OURS


def decomposed(matrix: np.ndarray) -> dict[str, list[float]]:
    """Translation, rotation and scale of a (4, 4) matrix; of a mirroring one x is scaled by less than 0."""
    import roma
    import torch

    turn = polar(matrix[:3, :3])
    turn = turn * np.array([np.sign(np.linalg.det(turn)), 1, 1])
    return {
        "translation": matrix[:3, 3].tolist(),
        "rotation": roma.rotmat_to_unitquat(torch.from_numpy(turn)).tolist(),
        "scale": np.diag(turn.T @ matrix[:3, :3]).tolist(),
    }


def polar(matrices: np.ndarray) -> np.ndarray:
    """(..., 3, 3) the nearest orthogonal matrices: what is left of transforms without scale and shear."""
    left, _, right = np.linalg.svd(matrices)
    return left @ right


# ------------------------------------------------------------------------------------------------- chunks


def _chunks(content: bytes) -> tuple[str, bytes | None, bytes]:
    """The JSON's text, the binary chunk, and what follows it."""
    if len(content) < 20:
        raise InputError(f"it is cut short in its header; {AGAIN}")
    version, length = struct.unpack_from("<II", content, 4)
    if version != 2:
        raise InputError(f"it is a GLB of version {version}, 2 was expected: export it as glTF 2.0")
    if length != len(content):
        short = "it is cut short, or its header is wrong" if length > len(content) else "its header is wrong"
        raise InputError(f"{short}: {length} bytes are told and {len(content)} are there; {AGAIN}")
    found, at = [], 12
    while at < length:
        if at + 8 > length:
            raise InputError(f"its last chunk is cut short; {AGAIN}")
        size, kind = struct.unpack_from("<I4s", content, at)
        if at + 8 + size > length:
            raise InputError(f"its chunk {len(found) + 1} is longer than the file; {AGAIN}")
        found.append((kind, at + 8, at + 8 + size))
        at += 8 + size
    if found[0][0] != JSON_CHUNK:
        raise InputError(f"its first chunk is no JSON, as a GLB's is; {AGAIN}")
    text, rest = _text(content[found[0][1] : found[0][2]]), found[0][2]
    if len(found) > 1 and found[1][0] == BINARY_CHUNK:
        return text, content[found[1][1] : found[1][2]], content[found[1][2] :]
    return text, None, content[rest:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<I4s", len(content), kind) + content


# ------------------------------------------------------------------------------------------------- JSON


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InputError(f"its JSON is no UTF-8; {AGAIN}") from None


def _header(text: str) -> dict[str, Any]:
    try:
        header = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InputError(f"its JSON is damaged or cut short; {AGAIN}") from None
    asset = header.get("asset") if isinstance(header, dict) else None
    version = asset.get("version") if isinstance(asset, dict) else None
    if not isinstance(version, str) or version.split(".")[0] != "2":
        came = f"version {version}" if isinstance(version, str) else "no version"
        raise InputError(f"its JSON tells {came} of glTF, 2.0 was expected: export it as glTF 2.0")
    return header


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


class _Edit(NamedTuple):
    """Of a text: from here to there, this instead."""

    start: int
    end: int
    text: str


def _edited(text: str, edits: Sequence[_Edit]) -> str:
    parts, at = [], 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


def _start(text: str) -> int:
    return text.index("{")


def _end(text: str, start: int) -> int:
    return json.JSONDecoder().raw_decode(text, start)[1]


def _spans(text: str, within: tuple[int, int]) -> Iterator[tuple[Any, tuple[int, int]]]:
    """Keys or numbers, and where their values stand, of the object or list that stands there in JSON."""
    decoder = json.JSONDecoder()
    is_object, number = text[within[0]] == "{", 0
    at = _skip(text, within[0] + 1)
    while text[at] not in "}]":
        key: Any = number
        if is_object:
            key, at = decoder.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        _, end = decoder.raw_decode(text, at)
        yield key, (at, end)
        number += 1
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at


def _index(value: object) -> int:
    """A number that counts from 0. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
        raise ValueError(f"{value!r} is no index")
    if math.floor(value) != value:
        raise ValueError(f"{value!r} is no index")
    return int(value)
