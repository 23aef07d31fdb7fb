"""Made-up photographs for visitors who have none at hand."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Condition, Thread

from mpt import assets, demo, scenes
from mpt.errors import InputError
from mpt.export import write_picture
from mpt.skeletons import Skeleton


class Gallery:
    """The demo's photographs as files of a folder. They take some seconds to draw, the first time on this
    computer; that is done beside, and they are kept in the cache for the next time.
    """

    def __init__(self, folder: Path, skeleton: Skeleton) -> None:
        self._folder, self._skeleton = folder, skeleton
        self._pictures: list[tuple[Path, str]] = []
        self._changed, self._whole = Condition(), False
        folder.mkdir()
        Thread(target=self._fill, daemon=True).start()

    def __getitem__(self, number: int) -> tuple[Path, str]:
        """One that is ready, and its name."""
        return self._pictures[number]

    def growing(self) -> Iterator[list[tuple[Path, str]]]:
        """Those that are ready, again whenever there are more, until all are."""
        count, whole = 0, False
        while not whole:
            with self._changed:
                self._changed.wait_for(partial(self._has_more_than, count))
                ready, whole = list(self._pictures), self._whole
            if len(ready) > count:
                count = len(ready)
                yield ready

    def _has_more_than(self, count: int) -> bool:
        return self._whole or len(self._pictures) > count

    def _fill(self) -> None:
        with suppress(OSError, InputError):  # of joints that the demo does not know: there are none
            for name, content in self._kept() or self._drawn():
                path = self._folder / name.partition("-")[2]
                path.write_bytes(content)
                with self._changed:
                    self._pictures.append((path, path.stem.replace("-", " ")))
                    self._changed.notify_all()
        with self._changed:
            self._whole = True
            self._changed.notify_all()

    def _kept(self) -> list[tuple[str, bytes]]:
        """Their names, each behind a number, and contents, as they were drawn once; none before."""
        with suppress(OSError, InputError):
            return [(path.name, path.read_bytes()) for path in sorted(self._cache.iterdir())]
        return []

    def _drawn(self) -> Iterator[tuple[str, bytes]]:
        contents = []
        for number, scene in enumerate(demo.scenes(self._skeleton)):
            path = self._folder / f"{scene.name}.png"
            write_picture(path, scene.image)
            contents.append((f"{number}-{path.name}", path.read_bytes()))
            yield contents[-1]
        with suppress(OSError, InputError):  # they are drawn again the next time
            cache = self._cache
            cache.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=cache.parent, ignore_cleanup_errors=True) as unfinished:
                for name, content in contents:
                    (Path(unfinished) / name).write_bytes(content)
                Path(unfinished).rename(cache)

    @property
    def _cache(self) -> Path:
        """Named after the joints and what draws them. Raises InputError as ``assets.cache_dir`` does."""
        drawing = hashlib.sha256()
        for path in sorted(Path(scenes.__file__).parent.glob("*.py")):
            drawing.update(path.read_bytes())
        return assets.cache_dir() / f"examples-{len(self._skeleton)}-{drawing.hexdigest()[:12]}"
