"""``mpt export``: a model as a file for other programs."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from mpt.cli.common import OK, OutFile


@dataclass(frozen=True)
class Export:
    """Write a model as ONNX (.onnx) or as torch's exported program (.pt2), for programs without mpt.

    It takes heatmaps (N, J, S, S) of the model's J joints, N free, and gives joints, vertices, camera and
    faces; what each of them is stands in the file's own metadata. The file is run and compared before it is
    left there.

    Example: mpt export mpt-small --out mpt-small.onnx
    """

    out: OutFile
    """The file to write; its ending says which kind."""
    model: Annotated[Positional[str], arg(metavar="NAME|FILE")] = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder."""
    looks: Literal[1, 2] = 2
    """2 reads the maps as they are and mirrored and averages, as `mpt reconstruct` does; 1 is
    quicker."""

    def __call__(self) -> int:
        from mpt import checkpoint, portable

        written = portable.write(self.out, checkpoint.load(self.model), looks=self.looks)
        print(
            f"{self.out}: {written.megabytes:.1f} MB; differs from the model by "
            f"{written.difference_mm:.4f} mm at most"
        )
        return OK
