"""``mpt experiments``: the paper's tables."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from mpt.cli.common import OK
from mpt.errors import InputError


@dataclass(frozen=True)
class ExperimentsList:
    """List the paper's tables with their cells, and the named configurations.

    Example: mpt experiments list
    """

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        from mpt import experiments
        from mpt.experiments.running import needs

        table = Table("experiment", "what it is", box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        for key in experiments.TABLES:
            found = experiments.table(key)
            cells = found.cells("full")
            needed = ", ".join(dict.fromkeys(need for cell in cells for need in needs(cell)))
            table.add_row(f"[bold]{found.name}[/bold]", f"[bold]{found.title}[/bold]; needs {needed}")
            for cell in cells:
                table.add_row(f"  {cell.name}", cell.label)
        table.add_row("[bold]configurations[/bold]", "for `mpt pretrain` and `mpt finetune`")
        for name, about in experiments.names().items():
            table.add_row(f"  {name}", about)
        Console().print(table)
        print(
            "The runs of all cells are configurations too: pretrain-views-2, small-pretrain-views-2, ...\n"
            "At the scales small and tiny cells need --store STORE and --rendered DIR, and table5 a store of "
            "hands."
        )
        return OK


@dataclass(frozen=True)
class ExperimentsRun:
    """Run cells of the paper's tables: what is missing of their stages, and the measuring at the end.

    What has been run in the same --out is not run again, and what was broken off goes on.

    Example: mpt experiments run table6 --scale small --store cmu.store --rendered rendered
    """

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME...")]
    """Tables or single cells; see `mpt experiments list`."""
    scale: Literal["full", "small", "tiny"] = "full"
    """full: the paper's, with the licensed files. small: the same on what is free, hours of one core.
    tiny: eight steps, to see that it runs."""
    seed: Annotated[tuple[int, ...], arg(metavar="N...")] = (0,)
    """Of weights and draws; several run one after another."""
    store: Annotated[Path | None, arg(metavar="STORE")] = None
    """The poses: a store that `mpt prepare mocap` wrote."""
    rendered: Annotated[Path | None, arg(metavar="DIR")] = None
    """Pictures that `mpt prepare rendered` made, for the scales that need no licensed data."""
    data: Annotated[tuple[str, ...], arg(metavar="NAME=DIR...")] = ()
    """The folder of each data set, as human36m=data/h36m."""
    body: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """The body, instead of the experiment's: a file that `mpt prepare body` wrote."""
    weights: Annotated[Path | None, arg(metavar="FILE")] = None
    """HigherHRNet's official COCO weights."""
    samples: Annotated[int | None, arg(metavar="N")] = None
    """Of every stage, instead of the experiment's."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="ROOT")] = Path("runs/experiments")
    """Where runs and results go."""
    workers: Annotated[int, arg(metavar="N")] = 2
    """Processes that read photos."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it trains."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """Of torch in training on a CPU. Default: one, or all where a run's first steps show that these are
    faster."""

    def __call__(self) -> int:
        from mpt import experiments
        from mpt.experiments.given import Given
        from mpt.experiments.running import check, run_cell

        for name in ("samples", "workers"):
            if (value := getattr(self, name)) is not None and value < (name == "samples"):
                raise InputError(f"--{name} is {value}: give a number above 0")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise InputError(
                "`mpt experiments run` is one process; with several, train a stage by itself, as in "
                "`torchrun -m mpt pretrain pretrain --out ROOT/stages/pretrain-seed0`, then run its cells"
            )
        if not self.names:
            raise InputError("no table or cell was named: `mpt experiments list` shows them")
        cells = [cell for name in self.names for cell in experiments.cells(name, self.scale)]
        given = Given(
            self.store,
            self.body,
            self._folders(),
            self.weights,
            self.samples,
            self.workers,
            self.device,
            self.threads,
        )
        check(cells, given)
        for seed in self.seed:
            for cell in cells:
                found = run_cell(cell, self.scale, seed, self.out, given)
                for on, numbers in found["measured"].items():
                    shown = "  ".join(f"{name} {value:,.1f}" for name, value in numbers.items())
                    print(f"{cell.name} ({self.scale}, seed {seed}) {on}: {shown}", flush=True)
        return OK

    def _folders(self) -> dict[str, Path]:
        folders = {} if self.rendered is None else {"rendered": self.rendered}
        for given in self.data:
            name, equals, folder = given.partition("=")
            if not equals or not folder:
                raise InputError(f"--data {given}: name the data set too, as in --data human36m=DIR")
            folders[name] = Path(folder)
        return folders


@dataclass(frozen=True)
class ExperimentsReport:
    """Print our tables beside the paper's, and draw Figure 4.

    Example: mpt experiments report runs/experiments --out report.md
    """

    root: Annotated[Positional[Path], arg(metavar="ROOT")]
    """What `mpt experiments run` was given as --out."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE.md")] = None
    """Also write the tables to this file, and the pictures beside it. Default: pictures into ROOT."""

    def __call__(self) -> int:
        from mpt.experiments import report

        if self.out is not None:
            report.write(self.root, self.out)
        print(report.written(self.root))
        for path in report.drawn(self.root, self.root if self.out is None else self.out.parent):
            print(path)
        return OK
