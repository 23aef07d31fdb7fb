"""``mpt assets``: files that mpt needs and may not carry."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from mpt.cli.common import OK


@dataclass(frozen=True)
class AssetsStatus:
    """Show the files that mpt needs and may not carry, and whether they are there.

    Example: mpt assets status
    """

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        from mpt import assets

        table = Table("asset", "what for", "licence", "", box=None, pad_edge=False)
        for status in assets.status():
            where = str(status.folder) if status.present else "not there; fetched when it is needed"
            table.add_row(status.asset.name, status.asset.what, status.asset.licence, where)
        Console().print(table)
        return OK


@dataclass(frozen=True)
class AssetsAdd:
    """Take the 2D networks out of a package that you got by hand: mediapipe's wheel, or npm's tarball of its
    pose solution.

    Example: mpt assets add mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """The wheel or tarball."""

    def __call__(self) -> int:
        from mpt import assets

        print(f"added {', '.join(assets.add(self.file))} to {assets.cache_dir()}")
        return OK


@dataclass(frozen=True)
class AssetsFetch:
    """Fetch the 2D networks now instead of at the first photo.

    Example: mpt assets fetch
    """

    def __call__(self) -> int:
        from mpt import assets

        for name in assets.ASSETS:
            print(f"{name}: {assets.get(name)}")
        return OK
