"""Meshes -> GLB, OBJ, PLY and NPZ files, in metres; pictures -> PNG and JPEG.

GLB is y up and faces the viewer, as glTF viewers expect: camera axes (x, y, z) become (x, -y, -z).
OBJ, PLY and NPZ keep camera axes (x right, y down, z forward).
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mpt.clothes import Clothes
from mpt.errors import InputError
from mpt.render import PALETTE, vertex_normals
from mpt.rigs.gltf import FACING, Mesh, baked
from mpt.writing import write_whole

ADVICE = "choose another folder"


def _glb(mesh: Mesh, further: Mapping[str, Any]) -> bytes:
    turned = mesh._replace(vertices=mesh.vertices * FACING)  # a half turn: triangles keep their outward side
    return baked({"person": turned})


def _obj(mesh: Mesh, further: Mapping[str, Any]) -> bytes:
    text = _trimesh(mesh).export(file_type="obj", include_normals=True, digits=6, header=None)
    return text.encode()


def _ply(mesh: Mesh, further: Mapping[str, Any]) -> bytes:
    made = _trimesh(mesh)
    if mesh.clothes is not None:
        made.visual.vertex_colors = np.rint(255 * mesh.clothes.colours(PALETTE[0])).astype(np.uint8)
    return made.export(file_type="ply", vertex_normal=True)


def _npz(mesh: Mesh, further: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, vertices=mesh.vertices, faces=mesh.faces, **further)
    return file.getvalue()


def _trimesh(mesh: Mesh):
    import trimesh  # half a second, not spent on those who want a GLB

    vertices, faces, _ = mesh
    return trimesh.Trimesh(
        vertices, faces, vertex_normals=vertex_normals(vertices, faces), process=False, validate=False
    )


WRITERS: dict[str, Callable[[Mesh, Mapping[str, Any]], bytes]] = {
    "glb": _glb,
    "obj": _obj,
    "ply": _ply,
    "npz": _npz,
}


def write_mesh(
    path: str | Path,
    vertices: np.ndarray,
    faces: np.ndarray,
    *,
    joints: np.ndarray | None = None,
    pose: Mapping[str, Any] | None = None,
    clothes: Clothes | None = None,
) -> None:
    """Write a mesh in the format that the file's ending names; the file appears whole or not at all.

    Args:
        path: ends with .glb, .obj, .ply or .npz.
        vertices: (V, 3) camera axes, metres, about the mid-hip.
        faces: (F, 3) vertex indices, counter-clockwise seen from outside.
        joints: (J, 3) in the same axes; kept by .npz only.
        pose: further arrays, of the body that is laid on the mesh (``BodyPose.arrays``); alike.
        clothes: what is worn, as colours of the vertices in .glb and .ply.

    Raises:
        InputError: the ending is no known format, or the folder cannot be written.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower().lstrip("."))
    if writer is None:
        raise InputError(
            f"{path.name}: '{path.suffix}' is no mesh format that can be written; use {known_formats()}."
        )
    vertices, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    further = ({} if joints is None else {"joints": np.asarray(joints, np.float32)}) | dict(pose or {})
    write_whole(path, writer(Mesh(vertices, faces, clothes), further), ADVICE)


def known_formats() -> str:
    """The formats as words: "glb, obj, ply, npz"."""
    return ", ".join(WRITERS)


_PICTURES = {
    ".png": [cv2.IMWRITE_PNG_COMPRESSION, 1],  # half the time of the default, a tenth more bytes
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 93],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 93],
}


def _chunk(name: bytes, content: bytes) -> bytes:
    """A part of a PNG file."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


AFTER_HEADER = 33
"""Bytes before a PNG's second chunk."""
SIGNATURE = _chunk(b"tEXt", b"Software\0mpt")


def write_picture(path: str | Path, image: np.ndarray) -> None:
    """Write a picture (HWC uint8 RGB) as the PNG or JPEG that its ending names, whole or not at all.

    Raises:
        InputError: another ending, or the folder cannot be written.
    """
    path = Path(path)
    options = _PICTURES.get(path.suffix.lower())
    if options is None:
        raise InputError(
            f"{path.name}: '{path.suffix}' is no picture format that can be written; use .png or .jpg."
        )
    _, data = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]), options)
    content = data.tobytes()
    if path.suffix.lower() == ".png":
        content = content[:AFTER_HEADER] + SIGNATURE + content[AFTER_HEADER:]
    write_whole(path, content, ADVICE)


def is_our_png(path: Path) -> bool:
    """Whether a file is a PNG that this program has drawn, and nobody has changed with another."""
    with path.open("rb") as file:
        return SIGNATURE in file.read(1000)
