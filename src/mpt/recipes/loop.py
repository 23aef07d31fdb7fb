"""The training loop that pre-training and fine-tuning share, and the run folder it writes.

A run folder holds config.json, metrics.jsonl, state.safetensors (weights, optimiser, step: what resuming
needs) and model.safetensors (what inference needs). Every micro-batch seeds its own random numbers from
(seed, step, its number in the step), so nothing else has to be remembered: a resumed run draws what an
unbroken one would have drawn, and two processes draw what one would have drawn in two micro-batches.
"""

import json
import math
import os
import time
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from rich.console import Console
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from mpt.checkpoint import UNFIT, read_whole
from mpt.errors import InputError
from mpt.progress import Tell, counted
from mpt.recipes.pace import Pace, check_threads
from mpt.recipes.parallel import Moments, Parallel, Statistics, Team, learner
from mpt.threads import torch_threads
from mpt.writing import write_whole

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FORMAT = "mpt-state-1"
FED_BY = 100
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
    average: float = 0.0
    """Decay of the weights' moving average, which is what is then validated and saved for use; 0 keeps none.
    """

    def at(self, step: int, steps: int) -> float:
        """Learning rate of step 0 .. steps - 1."""
        rising = (step + 1) / max(1, round(self.warmup * steps))
        falling = (steps - step) / max(1, steps - round(self.warmup * steps))
        return self.learning_rate * min(1.0, rising, falling)

    def decay(self, step: int) -> float:
        """What the average keeps of itself in a step: little at first, when it has seen few weights."""
        return min(self.average, (1 + step) / (10 + step))


@dataclass(frozen=True)
class LoopConfig:
    steps: int
    batch_size: int
    """Samples of one micro-batch."""
    optim: OptimConfig
    seed: int = 0
    log_every: int = 50
    validate_every: int = 1000
    save_every_s: float = 300
    accumulate: int = 1
    """Micro-batches of one process in one step."""
    parallel: Parallel = "ddp"


@dataclass
class Run:
    """A run folder, which one process at a time may train in."""

    folder: Path
    _claim: weakref.finalize | None = field(default=None, init=False, repr=False, compare=False)

    @staticmethod
    def begin(folder: Path, config) -> "Run":
        check_new(folder, config)
        run = Run(folder)
        run.claim()
        write_whole(folder / "config.json", (json.dumps(asdict(config), indent=1) + "\n").encode())
        (folder / "metrics.jsonl").unlink(missing_ok=True)
        return run

    def claim(self) -> None:
        """Keep other processes out of the folder, where the system has locks, until ``close`` or the end of
        this process, however it ends. Raises InputError where another one trains here.
        """
        if fcntl is None or self._claim is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.folder, os.O_RDONLY)
        except OSError:  # which the first file to be written there will say
            return
        self._claim = weakref.finalize(self, os.close, folder)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise InputError(
                f"{self.folder}: another process is training in this folder; wait for it to end, or choose "
                "another --out"
            ) from None
        except OSError:  # a file system without locks
            self.close()

    def close(self) -> None:
        """Let others train in the folder again."""
        if self._claim is not None:
            self._claim()
            self._claim = None

    def log(self, **entry) -> None:
        with open(self.folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps(entry) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop metrics of steps that a resumed run will take again, and a last line that was cut short."""
        path = self.folder / "metrics.jsonl"
        if path.exists():
            lines = [line for line in path.read_text().splitlines(True) if line.endswith("\n")]
            try:
                kept = [line for line in lines if json.loads(line)["step"] <= step]
            except (ValueError, LookupError, TypeError):
                raise InputError(f"{path}: is no record of a run; move it away, and resume again") from None
            write_whole(path, "".join(kept).encode())

    def save_state(self, model: nn.Module, moments: Moments, **about: int) -> None:
        """``about``: step, its ``batch_size`` and ``micro_batches`` over all processes, and ``threads``."""
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for name, of_weight in moments.items():
            tensors |= {f"optimizer.{key}.{name}": tensor for key, tensor in of_weight.items()}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        header = json.dumps({"format": FORMAT, **about})
        write_whole(self.folder / "state.safetensors", save_tensors(tensors, metadata={"mpt": header}))

    @property
    def steps_taken(self) -> int:
        """Steps behind the saved state; raises InputError where there is none."""
        return self._read_state()[1]["step"]

    @property
    def threads(self) -> int:
        """Of torch, that the saved state's steps had settled on; 0 where they had not."""
        return self._read_state()[1].get("threads", 0)

    def _read_state(self) -> tuple[dict[str, Tensor], dict]:
        if not self._state.exists():
            raise InputError(
                f"{self.folder}: holds no run to resume (no {self._state.name}); give a run folder"
            )
        tensors, header = read_whole(self._state, FORMAT)
        for name, least in (("step", 0), ("batch_size", 1), ("micro_batches", 1), ("threads", 0)):
            number = header.get(name, least if name != "step" else None)  # older states tell the step alone
            if not isinstance(number, int) or number < least:
                raise InputError(
                    f"{self._state}: says {name} {number}, a number from {least} up was expected"
                )
        return tensors, header

    @property
    def _state(self) -> Path:
        return self.folder / "state.safetensors"

    def load_state(self, model: nn.Module) -> tuple[int, Moments]:
        """Put the weights back; the number of steps taken, and what Adam remembers."""
        tensors, header = self._read_state()
        moments: Moments = {}
        try:
            model.load_state_dict({k[6:]: t for k, t in tensors.items() if k.startswith("model.")})
            for place, tensor in tensors.items():
                if place.startswith("optimizer."):
                    _, key, name = place.split(".", 2)
                    moments.setdefault(name, {})[key] = tensor
            if len({frozenset(of_weight) for of_weight in moments.values()}) > 1:
                raise ValueError("moments of some weights are missing")
        except UNFIT as error:
            raise InputError(
                f"{self._state}: its weights do not fit this configuration; resume with the run's own"
            ) from error
        return header["step"], moments

    def shared_out(self, config: Any, processes: int) -> Any:
        """The configuration by which so many processes go on with this run: with as many samples a step as
        it began with, and in the same micro-batches where these can be shared out.
        """
        header = self._read_state()[1]
        size = header.get("batch_size", config.batch_size)
        count = header.get("micro_batches", config.accumulate * processes)
        if count % processes == 0:
            return replace(config, batch_size=size, accumulate=count // processes)
        if size * count % processes == 0:
            return replace(config, batch_size=size * count // processes, accumulate=1)
        raise InputError(
            f"{self.folder}: takes {size * count} samples a step, which {processes} processes cannot share "
            "evenly; resume it with a number of processes that divides them"
        )


def train(
    run: Run,
    config: LoopConfig,
    model: nn.Module,
    draw: Callable[[torch.Generator, int, int], Batch],
    losses_of: Callable[[nn.Module, Batch, torch.Generator], dict[str, Tensor]],
    validate: Callable[[nn.Module], dict[str, float]],
    save_model: Callable[[nn.Module], None],
    *,
    accelerator: Accelerator,
    resume: bool = False,
    compile_model: bool = False,
    lr_factor: Callable[[str], float] = lambda name: 1.0,
    fed: Collection[str] = (),
    threads: int | None = None,
) -> nn.Module:
    """Evaluate, save, step, log. Returns the trained model, with its average weights where these are kept.

    draw(generator, step, number): the samples of a micro-batch, by its number among all processes' of the
        step; made in full precision whatever the model runs in.
    losses_of(model, samples, generator): the weighted terms of the loss; their sum is stepped on.
    validate(model): called by all processes together; what the main one says is logged.
    lr_factor(name): of the learning rate of a parameter; those that need no gradient are left alone.
    fed: terms of the loss to which some sample of the first FED_BY steps must give something.
    threads: of torch, on a CPU; without it the first steps tell (``mpt.recipes.pace``), or as many as a
        resumed run has had. Another number adds up in another order: last digits differ.
    Raises InputError where none did; FloatingPointError at a non-finite loss, with the step;
    KeyboardInterrupt after saving.
    """
    team, main = Team(accelerator), accelerator.is_main_process
    micro_batches = config.accumulate * team.count
    model = model.to(accelerator.device)
    done, moments = run.load_state(model) if resume else (0, {})
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(lr_factor(name), []).append(parameter)
    learning = learner(
        config.parallel,
        model,
        [{"params": parameters, "factor": factor} for factor, parameters in groups.items()],
        accelerator,
        betas=config.optim.betas,
        clip_norm=config.optim.clip_norm,
        accumulate=config.accumulate,
        averages=config.optim.average > 0,
    )
    learning.put(moments)
    called = learning.compiled() if compile_model else learning.called
    statistics = Statistics(model, micro_batches)
    generator = torch.Generator(accelerator.device)
    sums: dict[str, Tensor] = {}
    hungry = set(fed) if done < FED_BY else set()
    pace = pace_of(threads, accelerator, run.threads if resume else 0)
    if main:
        run.claim()
        run.forget_after(done)

    def finite(model: nn.Module, step: int) -> nn.Module:
        largest = torch.stack([p.detach().abs().amax() for p in model.parameters()]).amax()
        _refuse_non_finite({"largest weight": float(largest)}, step)
        return model

    def save(step: int) -> None:
        whole, moments = finite(learning.whole(), step), learning.moments()  # never over a good state
        if main:
            run.save_state(
                whole,
                moments,
                step=step,
                batch_size=config.batch_size,
                micro_batches=micro_batches,
                threads=pace.settled,
            )
        useful = learning.averaged()
        if main:
            save_model(useful)

    def check(step: int, lr: float) -> None:
        with torch_threads(pace.settled or 1):
            errors = validate(finite(learning.averaged(), step))
        if main:
            run.log(step=step, samples=step * config.batch_size * micro_batches, lr=lr, **errors)
            shown = "  ".join(f"{name} {value:.1f}" for name, value in errors.items())
            console.print(f"[dim]step {step:>8,}[/dim]  {shown}", highlight=False)

    with closing(run), _progress(main, done, config.steps) as tell, team.interrupted_together():
        saved = logged = time.monotonic()
        shown = ""
        taken = summed_from = step = done
        try:
            for step in range(done, config.steps):
                lr = config.optim.at(step, config.steps)
                for group in learning.optimizer.param_groups:
                    group["lr"] = lr * group["factor"]
                with pace.step(step):
                    learning.called.train()
                    statistics.begin_step()
                    for i in range(config.accumulate):
                        number = team.rank * config.accumulate + i
                        seed_micro_batch(config.seed, step, number, generator)
                        with torch.no_grad():
                            batch = draw(generator, step, number)
                        last = i == config.accumulate - 1
                        with statistics.of_micro_batch(), learning.micro_batch(last):
                            with accelerator.autocast():
                                losses = losses_of(called, batch, generator)
                            loss = torch.stack(list(losses.values())).sum()
                            learning.backward(loss, last)
                        for name, value in (losses | {"loss": loss}).items():
                            sums[name] = sums.get(name, 0.0) + value.detach() / config.accumulate
                    statistics.end_step(team)
                    learning.step()
                    learning.follow(config.optim.decay(step))
                    taken = step + 1
                    learning.optimizer.zero_grad(set_to_none=True)

                if taken % config.log_every == 0 or taken == config.steps:
                    since, summed_from = taken - summed_from, taken
                    means = team.mean({name: float(value) / since for name, value in sums.items()})
                    sums.clear()
                    _refuse_non_finite(means, taken)
                    hungry -= {name for name, value in means.items() if value}
                    if taken >= FED_BY:
                        _refuse_unfed(hungry, taken)
                    now = time.monotonic()
                    rate = since * config.batch_size * micro_batches / (now - logged)
                    logged = now
                    if main:
                        run.log(step=taken, lr=lr, samples_per_s=round(rate, 1), **means)
                    shown = f"{rate:,.0f} samples/s, loss {means['loss']:.4f}"
                tell(taken, shown)
                if taken % config.validate_every == 0 or taken == config.steps:
                    check(taken, lr)
                    logged = time.monotonic()
                due, stop = team.any(time.monotonic() - saved > config.save_every_s, team.interrupted)
                if due:
                    save(taken)
                    saved = time.monotonic()
                if stop:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if taken == step:  # half a step has moved the statistics, which the whole one will move again
                statistics.undo_step()
            save(taken)
            if main:
                console.print(f"stopped at step {taken:,}; continue with --resume {run.folder}")
            accelerator.wait_for_everyone()  # torchrun ends all as soon as one has left
            raise
    save(config.steps)
    accelerator.wait_for_everyone()
    return learning.averaged()


def pace_of(threads: int | None, accelerator: Accelerator, begun_with: int) -> Pace:
    """Of one process on a CPU its steps are tried; others take what is asked for, or torch's own number.

    Raises InputError for a number of threads that cannot be.
    """
    check_threads(threads)
    most = torch.get_num_threads()
    if accelerator.device.type != "cpu" or accelerator.num_processes > 1:
        threads = threads or most
    return Pace(
        threads, most, begun_with=begun_with, tell=lambda words: console.print(words, highlight=False)
    )


def check_new(folder: Path, config: Any) -> None:
    """Refuse to begin a run where another one lies, or files of its names that are no run's.

    A run that ended before it was saved has left its configuration, perhaps some metrics, and no weights.
    """
    if (folder / "state.safetensors").exists():
        raise InputError(
            f"{folder}: already holds a run; continue it with --resume {folder}, or choose another --out"
        )
    try:
        ours = json.loads((folder / "config.json").read_bytes()).keys() == asdict(config).keys()
    except (OSError, ValueError, AttributeError, RecursionError):
        ours = False
    leftovers = ("config.json", "metrics.jsonl") if ours else ()
    for name in ("config.json", "metrics.jsonl", "model.safetensors", "pose2d.safetensors"):
        if os.path.lexists(folder / name) and name not in leftovers:
            raise InputError(
                f"{folder / name} is there already, and no run that has just begun: choose another --out"
            )


def seed_micro_batch(seed: int, step: int, number: int, generator: torch.Generator) -> None:
    """Give a micro-batch of a step its random numbers, whoever takes it and whenever."""
    mixed = micro_batch_seed(seed, step, number)
    generator.manual_seed(mixed)
    torch.manual_seed(mixed)  # dropout


def micro_batch_seed(seed: int, step: int, number: int) -> int:
    return (seed * 1_000_003 + step) * 1_009 + number


def new_folder(name: str, root: str | os.PathLike = "runs") -> Path:
    """runs/<name>-<time>"""
    return Path(root) / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _refuse_non_finite(means: dict[str, float], step: int) -> None:
    if not all(math.isfinite(value) for value in means.values()):
        shown = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        raise FloatingPointError(
            f"the loss stopped being finite by step {step} ({shown}); resume from the last saved state with "
            "a lower learning rate"
        )


def _refuse_unfed(hungry: Collection[str], step: int) -> None:
    if hungry:
        raise InputError(
            f"no sample of the first {step} steps knows what these losses ask for: "
            f"{', '.join(sorted(hungry))}; add a data set that tells it (`mpt prepare dataset` says what is "
            "missing of one), or give these losses the weight 0"
        )


def _progress(shown: bool, done: int, steps: int) -> AbstractContextManager[Tell]:
    if not shown:  # the first of several processes tells
        return nullcontext(lambda done, more="": None)
    return counted("training, step", steps, done=done, console=console, stays=True)


def batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
