"""``mpt experiments``: named training configurations."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from mpt.cli.common import OK
from mpt.cli.training import new_run, run_finetuning, run_pretraining
from mpt.errors import InputError


@dataclass(frozen=True)
class ExperimentsList:
    """List the named configurations.

    Example: mpt experiments list
    """

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        from mpt import experiments

        table = Table("experiment", "what it is", box=None, pad_edge=False)
        for name, about in experiments.names().items():
            table.add_row(name, about)
        Console().print(table)
        return OK


@dataclass(frozen=True)
class ExperimentsRun:
    """Run a named configuration as it stands, or a tiny one like it.

    Example: mpt experiments run paper --scale tiny --store my.store
    """

    experiment: Annotated[Positional[str], arg(metavar="EXPERIMENT")]
    """Which one; see `mpt experiments list`."""
    store: Annotated[Path | None, arg(metavar="STORE")] = None
    """Pre-training's poses: a store that `mpt prepare mocap` wrote."""
    data: Annotated[tuple[str, ...], arg(metavar="DIR|NAME=DIR...")] = ()
    """Fine-tuning's data sets, as for `mpt finetune`."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="RUN")] = None
    """The run folder. Default: runs/EXPERIMENT-TIME."""
    scale: Literal["full", "tiny"] = "full"
    """tiny: narrow layers and twenty steps, to see that it runs."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it trains."""

    def __call__(self) -> int:
        from mpt import experiments
        from mpt.recipes.pretrain import PretrainConfig

        config = experiments.get(self.experiment)
        if self.scale == "tiny":
            config = _tiny(config)
        out = self.out or new_run(config.name)
        if not isinstance(config, PretrainConfig):
            return run_finetuning(config, self.data, out, device=self.device)
        if self.store is None:
            raise InputError("no poses were named: give --store STORE, which `mpt prepare mocap` makes")
        return run_pretraining(config, self.store, out, device=self.device)


def _tiny(config: Any) -> Any:
    """The same kind of model and data, a hundred times smaller, from random weights."""
    model = replace(
        config.model, hidden=tuple(max(width // 16, 16) for width in config.model.hidden), layers=1
    )
    small = {"name": f"{config.name}-tiny", "model": model, "samples": 20 * 8, "batch_size": 8}
    if hasattr(config, "network"):
        network = replace(config.network, kind="small", width=8, input_size=64)
        small |= {"network": network, "start_from": ""}
    return replace(config, **small, validation_samples=8, log_every=5)
