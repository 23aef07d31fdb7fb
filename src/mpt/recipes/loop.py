"""The training loop that pre-training and fine-tuning share, and the run folder it writes.

A run folder holds config.json, metrics.jsonl, state.safetensors (weights, optimiser, step: what resuming
needs) and model.safetensors (what inference needs). Every step seeds its own random numbers from (seed, step,
rank), so nothing else has to be remembered: a resumed run draws what an unbroken one would have drawn.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpt.checkpoint import read_whole
from mpt.errors import InputError
from mpt.writing import write_whole

FORMAT = "mpt-state-1"
console = Console(stderr=True)
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class OptimConfig:
    """Adam with linear warm-up and linear decay to zero (supplement D)."""

    learning_rate: float = 2e-4
    warmup: float = 0.1
    """Share of the steps."""
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = 1.0
    """Largest norm of the gradient; 0 never clips."""

    def at(self, step: int, steps: int) -> float:
        """Learning rate of step 0 .. steps - 1."""
        rising = (step + 1) / max(1, round(self.warmup * steps))
        falling = (steps - step) / max(1, steps - round(self.warmup * steps))
        return self.learning_rate * min(1.0, rising, falling)


@dataclass(frozen=True)
class LoopConfig:
    steps: int
    batch_size: int
    """Samples of one process in one step."""
    optim: OptimConfig
    seed: int = 0
    log_every: int = 50
    validate_every: int = 1000
    save_every_s: float = 300


@dataclass
class Run:
    """A run folder."""

    folder: Path

    @staticmethod
    def begin(folder: Path, config) -> "Run":
        if (folder / "state.safetensors").exists():
            raise InputError(
                f"{folder}: already holds a run; continue it with --resume {folder}, or choose another --out"
            )
        write_whole(folder / "config.json", (json.dumps(asdict(config), indent=1) + "\n").encode())
        (folder / "metrics.jsonl").unlink(missing_ok=True)
        return Run(folder)

    def log(self, **entry) -> None:
        with open(self.folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps(entry) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop metrics of steps that a resumed run will take again, and a last line that was cut short."""
        path = self.folder / "metrics.jsonl"
        if path.exists():
            lines = [line for line in path.read_text().splitlines(True) if line.endswith("\n")]
            write_whole(path, "".join(line for line in lines if json.loads(line)["step"] <= step).encode())

    def save_state(self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
        tensors = {f"model.{name}": t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
        for name, parameter in model.named_parameters():
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
        header = json.dumps({"format": FORMAT, "step": step})
        write_whole(self.folder / "state.safetensors", save_tensors(tensors, metadata={"mpt": header}))

    @property
    def steps_taken(self) -> int:
        """Steps behind the saved state; raises InputError where there is none."""
        return read_whole(self._state_to_resume(), FORMAT)[1]["step"]

    def _state_to_resume(self) -> Path:
        path = self.folder / "state.safetensors"
        if not path.exists():
            raise InputError(f"{self.folder}: holds no run to resume (no {path.name}); give a run folder")
        return path

    def load_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Put weights and optimiser back; the number of steps taken."""
        path = self._state_to_resume()
        tensors, header = read_whole(path, FORMAT)
        try:
            model.load_state_dict({k[6:]: t for k, t in tensors.items() if k.startswith("model.")})
        except RuntimeError as error:
            raise InputError(
                f"{path}: its weights do not fit this configuration; resume with the run's own"
            ) from error
        for name, parameter in model.named_parameters():
            state = {
                key: tensors[f"optimizer.{key}.{name}"].to(parameter.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"optimizer.{key}.{name}" in tensors
            }
            if state:
                optimizer.state[parameter] = state
        return header["step"]


def train(
    run: Run,
    config: LoopConfig,
    model: nn.Module,
    draw: Callable[[torch.Generator], Batch],
    losses_of: Callable[[nn.Module, Batch, torch.Generator], dict[str, Tensor]],
    validate: Callable[[nn.Module], dict[str, float]],
    save_model: Callable[[nn.Module], None],
    *,
    accelerator: Accelerator,
    resume: bool = False,
    compile_model: bool = False,
    lr_factor: Callable[[str], float] = lambda name: 1.0,
) -> nn.Module:
    """Evaluate, save, step, log. Returns the trained model.

    draw(generator): a step's samples, made in full precision whatever the model runs in.
    losses_of(model, samples, generator): the weighted terms of the loss; their sum is stepped on.
    lr_factor(name): of the learning rate of a parameter; those that need no gradient are left alone.
    Raises FloatingPointError at a non-finite loss, with the step; KeyboardInterrupt after saving.
    """
    device = accelerator.device
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(lr_factor(name), []).append(parameter)
    optimizer = torch.optim.Adam(
        [{"params": parameters, "factor": factor} for factor, parameters in groups.items()],
        lr=config.optim.learning_rate,
        betas=config.optim.betas,
        fused=True,
    )
    model = model.to(device)
    done = run.load_state(model, optimizer) if resume else 0
    run.forget_after(done)
    parallel, optimizer = accelerator.prepare(model, optimizer)
    stepped = torch.compile(parallel) if compile_model else parallel
    generator = torch.Generator(device)
    main = accelerator.is_main_process
    sums: dict[str, Tensor] = {}
    statistics = [b for m in model.modules() if isinstance(m, _BatchNorm) for b in m.buffers()]
    before_step = [buffer.clone() for buffer in statistics]

    def save(step: int) -> None:
        largest = torch.stack([p.detach().abs().amax() for p in model.parameters()]).amax()
        _refuse_non_finite({"largest weight": float(largest)}, step)  # never over a good state
        if main:
            run.save_state(model, optimizer.optimizer, step)
            save_model(model)

    def check(step: int, lr: float) -> None:
        errors = validate(model)
        if main:
            run.log(step=step, samples=step * config.batch_size * accelerator.num_processes, lr=lr, **errors)
            shown = "  ".join(f"{name} {value:.1f}" for name, value in errors.items())
            console.print(f"[dim]step {step:>8,}[/dim]  {shown}", highlight=False)

    with _progress(main) as progress:
        task = progress.add_task("training", total=config.steps, completed=done, rate="", loss="")
        saved = logged = time.monotonic()
        taken = summed_from = step = done
        try:
            for step in range(done, config.steps):
                _copy(statistics, before_step)
                lr = config.optim.at(step, config.steps)
                for group in optimizer.param_groups:
                    group["lr"] = lr * group["factor"]
                seed_step(config.seed, step, accelerator.process_index, generator)
                parallel.train()
                with torch.no_grad():
                    batch = draw(generator)
                with accelerator.autocast():
                    losses = losses_of(stepped, batch, generator)
                loss = torch.stack(list(losses.values())).sum()
                accelerator.backward(loss)
                if config.optim.clip_norm:
                    accelerator.clip_grad_norm_(parallel.parameters(), config.optim.clip_norm)
                optimizer.step()
                taken = step + 1
                optimizer.zero_grad(set_to_none=True)

                for name, value in (losses | {"loss": loss}).items():
                    sums[name] = sums.get(name, 0.0) + value.detach()
                if taken % config.log_every == 0 or taken == config.steps:
                    since, summed_from = taken - summed_from, taken
                    means = {name: float(value) / since for name, value in sums.items()}
                    sums.clear()
                    _refuse_non_finite(means, taken)
                    now = time.monotonic()
                    rate = since * config.batch_size * accelerator.num_processes / (now - logged)
                    logged = now
                    if main:
                        run.log(step=taken, lr=lr, samples_per_s=round(rate, 1), **means)
                    progress.update(task, rate=f"{rate:,.0f} samples/s", loss=f"loss {means['loss']:.4f}")
                progress.update(task, completed=taken)
                if taken % config.validate_every == 0 or taken == config.steps:
                    check(taken, lr)
                    logged = time.monotonic()
                if time.monotonic() - saved > config.save_every_s:
                    save(taken)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            if taken == step:  # half a step has moved the statistics, which the whole one will move again
                _copy(before_step, statistics)
            save(taken)
            if main:
                console.print(f"stopped at step {taken:,}; continue with --resume {run.folder}")
            raise
    save(config.steps)
    return model


def seed_step(seed: int, step: int, rank: int, generator: torch.Generator) -> None:
    """Give a step its random numbers, whoever takes it and whenever."""
    mixed = (seed * 1_000_003 + step) * 1_009 + rank
    generator.manual_seed(mixed)
    torch.manual_seed(mixed)  # dropout


def new_folder(name: str, root: str | os.PathLike = "runs") -> Path:
    """runs/<name>-<time>"""
    return Path(root) / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    for one, other in zip(source, target):
        other.copy_(one)


def _refuse_non_finite(means: dict[str, float], step: int) -> None:
    if not all(math.isfinite(value) for value in means.values()):
        shown = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        raise FloatingPointError(
            f"the loss stopped being finite by step {step} ({shown}); resume from the last saved state with "
            "a lower learning rate"
        )


def _progress(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}  {task.fields[loss]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not shown,
        refresh_per_second=2,
    )


def batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
