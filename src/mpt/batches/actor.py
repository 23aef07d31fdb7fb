"""A callable for engines that map batches, as Ray Data does: photos in, people out, a row for each photo."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from mpt.errors import InputError
from mpt.result_folders import sweep_unmoved

SOURCES = ("image", "bytes", "path")
"""Columns that hold photos; the first of them that is there is read."""


class BatchReconstructor:
    """Reconstructs the photos of a batch; to be mapped over a data set of any size.

    A batch is columns of one length N. One of them holds the photos: ``image`` (arrays (H, W, 3), uint8,
    RGB), ``bytes`` (files' contents) or ``path``. Beside the first two, ``path`` tells what each is
    called. Where there is a column ``focal_px``, it tells focal lengths; NaN is one that is not known.

    Out come the same columns without ``image`` and ``bytes``, and

    - ``people`` (N,) str: JSON, the list ``people`` of result.json, "[]" where nobody is;
    - ``count`` (N,) int64: how many they are;
    - ``error`` (N,) str: why a photo was refused, "" where none was. Nothing about a photo is raised;
    - ``seconds`` (N,) float64: what it took;
    - ``folder`` (N,) str, with ``out``: where its results are, "" where it was refused.

    The model is loaded at the first batch, once for each process; the object is pickled without it, and
    threads may share it: they take turns. Results with ``out`` are those of ``mpt reconstruct``. They are
    idempotent: a photo's folder follows from its path alone (of its content, where it has none), a whole
    result of the same photo and options is read instead of made, and a half one is made again.

    model: a model by name, its file or its run folder.
    out: a folder for results, which all processes see; without it nothing is written.
    root: the folder that paths are below; the results' folders keep what follows it.
    format, overlay: of each person's files; whether the photo is drawn with the bodies.
    bare: bodies without clothes.
    device: as ``mpt.load`` takes it.
    """

    def __init__(
        self,
        model: str | os.PathLike = "mpt-small",
        *,
        out: str | os.PathLike | None = None,
        root: str | os.PathLike | None = None,
        format: Sequence[str] = ("glb",),
        overlay: bool = False,
        bare: bool = False,
        device: str = "auto",
    ) -> None:
        self.model, self.device = os.fspath(model), device
        self.out = None if out is None else Path(out)
        self.root = None if root is None else Path(os.path.abspath(root))
        self.format, self.overlay, self.bare = tuple(format), overlay, bare
        self._forget()

    def _forget(self) -> None:
        self._reconstructor = self._options_hash = None
        self._alone = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Raises InputError where no column holds photos, and for a model or a device that cannot be used."""
        source = next((name for name in SOURCES if name in batch), None)
        if source is None:
            raise InputError(
                f"the batch has the columns {', '.join(batch) or '(none)'}: one of {', '.join(SOURCES)} was "
                "expected, with a photo in each row"
            )
        photos = batch[source]
        names = batch.get("path", [None] * len(photos))
        focals = batch.get("focal_px", [None] * len(photos))
        with self._alone:
            rows = [self._one(*row) for row in zip(photos, names, focals)]
        kept = {name: column for name, column in batch.items() if name not in ("image", "bytes")}
        columns = {
            "people": np.array([row["people"] for row in rows], object),
            "count": np.array([row["count"] for row in rows], np.int64),
            "error": np.array([row["error"] for row in rows], object),
            "seconds": np.array([row["seconds"] for row in rows], np.float64),
        }
        if self.out is not None:
            columns["folder"] = np.array([row["folder"] for row in rows], object)
        return kept | columns

    def _one(self, photo: Any, name: Any, focal_px: float | None) -> dict[str, Any]:
        start = time.perf_counter()
        row = {"people": "[]", "count": 0, "error": "", "folder": ""}
        self._load()  # what is wrong with the model is no photo's fault
        try:
            focal = None if focal_px is None or np.isnan(focal_px) else float(focal_px)
            result, folder = self._result(photo, None if name is None else str(name), focal)
            people = result["people"]
            row |= {"people": json.dumps(people), "count": len(people), "folder": str(folder or "")}
        except InputError as error:
            row["error"] = str(error)
        except Exception as error:  # one photo of a million stops no other
            row["error"] = f"this is a fault of mpt ({type(error).__name__}: {error}), please report it"
        return row | {"seconds": time.perf_counter() - start}

    def _result(self, photo: Any, name: str | None, focal_px: float | None) -> tuple[dict, Path | None]:
        """What result.json holds, and where it lies."""
        from mpt.batches.photo import Written, reconstruct_photo
        from mpt.batches.resuming import kept, made_of
        from mpt.images import read_picture
        from mpt.saving import Saving

        content = _content(photo)
        made = folder = None
        if self.out is not None:
            made = made_of(content, f"{self._options_hash}-{focal_px}")
            folder = self.out / self._place(name, content)
            result = kept(folder, made)
            sweep_unmoved(folder)
            if result is not None:
                return result, folder
        picture = read_picture(photo)
        written = Written(self.format, Saving(bare=self.bare), self.overlay)
        result, _ = reconstruct_photo(
            name or "", picture, self._load(), folder, written, focal_px=focal_px, made_of=made
        )
        return result, folder

    def _load(self) -> Any:
        if self._reconstructor is None:
            from mpt.batches.resuming import options_hash
            from mpt.recipes.networks import reconstructor

            options = {"model": Path(self.model), "format": self.format, "overlay": self.overlay}
            options |= {"bare": self.bare}
            self._options_hash = options_hash(options)
            self._reconstructor = reconstructor(self.model, device=self.device)
        return self._reconstructor

    def _place(self, name: str | None, content: Path | bytes) -> PurePath:
        """A photo's folder: its path below the root, with its ending, so that no two are the same."""
        if name:
            path = Path(os.path.normpath(name))
            if path.is_absolute():
                root = self.root
                path = path.relative_to(root if root and path.is_relative_to(root) else path.anchor)
            if ".." not in path.parts and path.parts:
                return path
        if isinstance(content, Path):
            raise InputError(f"{name!r} names no photo: give its path")
        digest = hashlib.sha256(content).hexdigest()
        return PurePath(digest[:2], digest)


def _content(photo: Any) -> Path | bytes:
    """What a photo is known by."""
    if isinstance(photo, str):
        return Path(photo)
    if isinstance(photo, bytes | bytearray | memoryview):
        return bytes(photo)
    array = np.asarray(photo)
    return f"{array.shape} {array.dtype} ".encode() + array.tobytes()
