"""``mpt demo``: made-up photographs, reconstructed and measured."""

import sys
from dataclasses import dataclass
from pathlib import Path

from mpt.cli import loading
from mpt.cli.batches import summary_of
from mpt.cli.common import OK, Bare, ModelName, Out, check_folder
from mpt.errors import InputError


@dataclass(frozen=True)
class Demo:
    """See the whole chain work, on made-up photographs.

    Draws pictures of people whose bodies are known exactly, reconstructs them as it would any photo, and
    prints how far off each body is.

    Example: mpt demo -o mpt-demo
    """

    out: Out = Path("mpt-demo")
    """Where the pictures and the results go."""
    model: ModelName = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder."""
    bare: Bare = False

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        from mpt.batches.photo import Written, reconstruct_photo
        from mpt.demo import compare, scenes
        from mpt.export import is_our_png, write_picture
        from mpt.images import read_picture
        from mpt.saving import Saving
        from mpt.writing import check_output

        check_folder(self.out)
        reconstructor = loading.reconstructor(self.model)
        skeleton = reconstructor.model.skeleton
        (one, several), root = skeleton.of, "mid-hip" if skeleton.two_sided else "wrist"
        table = Table("picture", one, title=f"Millimetres off the truth, about the {root}")
        for heading in ("MPJPE", "PA-MPJPE", "MPVE"):
            table.add_column(heading, justify="right")
        _make_folder(self.out)
        print(f"drawing made-up photographs and reconstructing the {several} in them ...", file=sys.stderr)
        written = Written(how=Saving(bare=self.bare))
        for scene in scenes(skeleton):
            photo = self.out / f"{scene.name}.png"
            check_output(photo, "picture", is_our_png)
            write_picture(photo, scene.image)
            folder = self.out / scene.name
            result, people = reconstruct_photo(photo, read_picture(photo), reconstructor, folder, written)
            print(summary_of(result, folder, skeleton.of))
            for number, errors in enumerate(compare(people, scene.people)):
                cells = ["not found"] if errors is None else [f"{mm:.0f}" for mm in vars(errors).values()]
                table.add_row(scene.name, str(number + 1), *cells)
        Console().print(table)
        print(f"Pictures, meshes and joints are in {self.out}; open a person0.glb in Blender or a browser.")
        return OK


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: nothing can be written there ({error.strerror}); choose another --out"
        ) from error
