"""One run on several processes: DDP, FSDP2, or DeepSpeed's ZeRO-1 and ZeRO-2, which the loop treats alike.

A step is made of micro-batches, numbered over all processes; process r takes those from r * accumulate on.
Whatever the way, what is saved is whole and the same: weights by name, Adam's moments by their weight's name.
So a run that one process began, others may continue in another way.

FSDP2 and ZeRO are called as torch and DeepSpeed offer them, not through accelerate, which has neither without
a GPU: what is tested on a CPU is what runs elsewhere.
"""

import copy
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from typing import Any, Literal

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mpt.errors import InputError
from mpt.modeling.attention import EncoderLayer

Parallel = Literal["ddp", "fsdp2", "zero1", "zero2"]
Moments = dict[str, dict[str, Tensor]]
"""What Adam remembers of each weight, by its name, and the weight's ``average`` where one is kept."""
OF_EACH = ("step", "exp_avg", "exp_avg_sq")
"""In this order on every process, or they would exchange one for another."""


def check_installed(parallel: Parallel) -> None:
    if parallel.startswith("zero") and importlib.util.find_spec("deepspeed") is None:
        raise InputError(
            f"--parallel {parallel} needs DeepSpeed, which is not installed: "
            "`pip install 'mesh-pretraining[deepspeed]'`, or choose ddp or fsdp2"
        )


def learner(
    parallel: Parallel, model: nn.Module, groups: list[dict], accelerator: Accelerator, **how
) -> "Learner":
    """The way asked for, or, where one process is alone, nothing of the kind."""
    kind = Learner if accelerator.num_processes == 1 else _WAYS[parallel]
    return kind(model, groups, accelerator, **how)


class Learner:
    """A model and its Adam, of which each process holds all: DDP, or one process alone."""

    in_shares = False  # whether no process holds all weights

    def __init__(
        self,
        model: nn.Module,
        groups: list[dict],
        accelerator: Accelerator,
        *,
        betas: tuple[float, float],
        clip_norm: float,
        accumulate: int,
        averages: bool = False,
    ) -> None:
        """``groups``: weights and their settings, as optimisers take them; ``averages``: whether a moving
        average of the weights is kept.
        """
        self.model, self.accelerator = model, accelerator
        self.clip_norm, self.accumulate = clip_norm, accumulate
        self.called = model  # what a step calls
        self.copy = self._copy() if averages or self.in_shares else model
        self.optimizer = self._prepare(groups, betas)
        trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        self.average = {name: p.clone() for name, p in trained.items()} if averages else {}

    def _copy(self) -> nn.Module:
        """A model for other weights than those trained, in the precision that these compute in."""
        copied = copy.deepcopy(self.model)
        self.accelerator.prepare_model(copied, evaluation_mode=True)
        return copied

    def _prepare(self, groups: list[dict], betas: tuple[float, float]) -> torch.optim.Optimizer:
        adam = torch.optim.Adam(groups, betas=betas, fused=True)
        self.called, _ = self.accelerator.prepare(self.model, adam)
        return adam

    def compiled(self) -> Any:
        return torch.compile(self.called)

    def micro_batch(self, last: bool) -> AbstractContextManager:
        """Around a forward and a backward pass; gradients are exchanged in the last of a step alone."""
        return nullcontext() if last else self.accelerator.no_sync(self.called)

    def backward(self, loss: Tensor, last: bool) -> None:
        self.accelerator.backward(loss / self.accumulate)

    def step(self) -> None:
        if self.clip_norm:
            self.accelerator.clip_grad_norm_(self.called.parameters(), self.clip_norm)
        self.optimizer.step()

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the average towards the weights, of itself keeping ``decay``."""
        if self.average:
            weights = dict(self.model.named_parameters())
            mine = [_own(average) for average in self.average.values()]
            get_ema_multi_avg_fn(decay)(mine, [_own(weights[name]) for name in self.average], 0)

    def whole(self) -> nn.Module:
        """The model with all of its weights as they are trained. Called by all processes together, as are the
        next three.
        """
        return self._filled(self.model.state_dict()) if self.in_shares else self.model

    def averaged(self) -> nn.Module:
        """The model to validate and to use: with its average weights where they are kept. It stands in the
        same place as :meth:`whole` does where weights are in shares, and lasts until either is called again.
        """
        return self._filled(self.model.state_dict() | self.average) if self.average else self.whole()

    @torch.no_grad()
    def _filled(self, state: dict[str, Tensor]) -> nn.Module:
        for name, copied in self.copy.state_dict().items():
            copied.copy_(_full(state[name]))
        return self.copy

    def moments(self) -> Moments:
        found = self._moments()
        for name, average in self.average.items():  # in the same order on every process
            if name in found:
                found[name]["average"] = _full(average)
        return found

    def put(self, moments: Moments) -> None:
        for name, average in self.average.items():
            if "average" in moments.get(name, {}):
                average.copy_(_like(moments[name]["average"], average))
        self._put(moments)

    def _moments(self) -> Moments:
        return {
            name: {key: _full(self.optimizer.state[parameter][key]) for key in OF_EACH}
            for name, parameter in self.model.named_parameters()
            if parameter in self.optimizer.state
        }

    def _put(self, moments: Moments) -> None:
        for name, parameter in self.model.named_parameters():
            if name in moments:
                self.optimizer.state[parameter] = {
                    key: _like(moments[name][key], parameter) for key in OF_EACH
                }


class Fsdp2(Learner):
    """Each process holds its share of every weight, gradient and moment, and a whole copy of the weights for
    validation and saving. Transformer layers and 2D networks are gathered one by one.
    """

    in_shares = True

    def _prepare(self, groups: list[dict], betas: tuple[float, float]) -> torch.optim.Optimizer:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        names = {parameter: name for name, parameter in self.model.named_parameters()}
        groups = [group | {"params": [names[p] for p in group["params"]]} for group in groups]
        self.accelerator.prepare_model(self.model, evaluation_mode=True)  # the precision that it computes in
        mesh = init_device_mesh(self.accelerator.device.type, (self.accelerator.num_processes,))
        units: list[Any] = [part for part in self.model.modules() if isinstance(part, EncoderLayer)]
        if hasattr(self.model, "network"):  # an ImageToMesh, which pre-training should not import OpenCV for
            units.append(self.model.network)
        for part in units:
            fully_shard(part, mesh=mesh)
        fully_shard(self.model, mesh=mesh)
        sharded = dict(self.model.named_parameters())
        groups = [group | {"params": [sharded[name] for name in group["params"]]} for group in groups]
        return torch.optim.Adam(groups, betas=betas, fused=True)

    def micro_batch(self, last: bool) -> AbstractContextManager:
        self.model.set_requires_gradient_sync(last)  # pyright: ignore[reportCallIssue] - fully_shard's own
        return nullcontext()


class Zero(Learner):
    """Each process holds all weights and its share of Adam's moments (stage 1), of the gradients too (2)."""

    stage = 1

    def _prepare(self, groups: list[dict], betas: tuple[float, float]) -> torch.optim.Optimizer:
        if self.accelerator.device.type == "cpu":
            os.environ.setdefault("DS_ACCELERATOR", "cpu")
        self.adam = torch.optim.Adam(groups, betas=betas, fused=True)
        with redirect_stdout(sys.stderr):
            import deepspeed
            from deepspeed.utils import lazy_init_hp_params_optimizer_state

            self.accelerator.prepare_model(self.model, evaluation_mode=True)  # the precision it computes in
            self.called, zero, _, _ = deepspeed.initialize(
                model=self.model,
                optimizer=self.adam,
                config={
                    "train_micro_batch_size_per_gpu": 1,  # counts nothing that we use
                    "gradient_accumulation_steps": self.accumulate,
                    "gradient_clipping": self.clip_norm,
                    "zero_optimization": {"stage": self.stage},
                    "zero_allow_untested_optimizer": True,
                    "steps_per_print": None,
                },
            )
        self.shares = list(zip(zero.bit16_groups, zero.single_partition_of_fp32_groups))
        for parameters, share in self.shares:  # DeepSpeed makes them in the first step, too late to resume
            self.adam.state[share] = {
                "step": torch.zeros((), device=share.device),
                "exp_avg": torch.zeros_like(share),
                "exp_avg_sq": torch.zeros_like(share),
            }
            lazy_init_hp_params_optimizer_state(parameters, share, self.adam.state)
        return zero

    def compiled(self) -> Any:
        return self.called  # as it is

    def micro_batch(self, last: bool) -> AbstractContextManager:
        return nullcontext()  # DeepSpeed counts them itself

    def backward(self, loss: Tensor, last: bool) -> None:
        self.called.backward(loss)
        if not last:
            self.called.step()

    def step(self) -> None:
        self.called.step()

    def _moments(self) -> Moments:
        from deepspeed.utils import safe_get_full_optimizer_state

        names = {parameter: name for name, parameter in self.model.named_parameters()}
        return {
            names[parameter]: {
                "step": self.adam.state[share]["step"].clone(),
                "exp_avg": safe_get_full_optimizer_state(parameter, "exp_avg"),
                "exp_avg_sq": safe_get_full_optimizer_state(parameter, "exp_avg_sq"),
            }
            for parameters, share in self.shares
            for parameter in parameters
        }

    def _put(self, moments: Moments) -> None:
        from deepspeed.utils import safe_set_full_optimizer_state

        names = {parameter: name for name, parameter in self.model.named_parameters()}
        for parameters, share in self.shares:
            for parameter in parameters:
                for key in OF_EACH if names[parameter] in moments else ():
                    value = moments[names[parameter]][key]
                    if key == "step":
                        self.adam.state[share]["step"].copy_(value)
                    else:
                        safe_set_full_optimizer_state(parameter, value.to(parameter.device), key)


class Zero2(Zero):
    stage = 2


_WAYS = {"ddp": Learner, "fsdp2": Fsdp2, "zero1": Zero, "zero2": Zero2}


def _full(tensor: Any) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _own(tensor: Any) -> Tensor:
    """This process's share."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _like(whole: Tensor, parameter: Any) -> Tensor:
    """A whole moment, shared out as its weight is."""
    whole = whole.to(parameter.device)
    if not hasattr(parameter, "placements") or not whole.ndim:
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, parameter.device_mesh, parameter.placements)


def leave() -> None:
    """Leave the other processes before this one ends: torch's threads that still listen to them abort it now
    and then, and torchrun calls a finished run a failed one.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


class Team:
    """The processes of a run; what they tell each other beside gradients goes over the CPU."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.rank, self.count = accelerator.process_index, accelerator.num_processes
        self.group = dist.new_group(backend="gloo") if self.count > 1 else None
        self.interrupted = False

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Whether any process says so."""
        if self.count == 1:
            return flags
        said = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(said, dist.ReduceOp.MAX, group=self.group)
        return tuple(map(bool, said))

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Over the processes, of numbers that each has."""
        if self.count == 1:
            return values
        sums = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(sums, group=self.group)
        return dict(zip(values, (sums / self.count).tolist()))

    @contextmanager
    def interrupted_together(self) -> Iterator[None]:
        """Ctrl-C only sets ``interrupted``, for all to stop after the same step: a process that left at once
        would leave the others waiting. One process alone is interrupted as ever.
        """
        if self.count == 1 or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, lambda *_: setattr(self, "interrupted", True))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


class Statistics:
    """The running statistics of batch normalisation: a step moves them by the mean over its micro-batches,
    each of which starts from where the step began. So they, too, depend on no process.
    """

    def __init__(self, model: nn.Module, micro_batches: int) -> None:
        self.buffers = [b for m in model.modules() if isinstance(m, _BatchNorm) for b in m.buffers()]
        self.before = [buffer.clone() for buffer in self.buffers]
        self.micro_batches = micro_batches
        self.moved: Tensor | None = None

    def begin_step(self) -> None:
        _copy(self.buffers, self.before)
        self.moved = None

    @contextmanager
    def of_micro_batch(self) -> Iterator[None]:
        self.undo_step()
        yield
        if self.micro_batches > 1 and self.buffers:
            moved = torch.cat([(now - then).flatten() for now, then in self._floats()])
            self.moved = moved if self.moved is None else self.moved + moved

    def end_step(self, team: Team) -> None:
        if self.moved is None:
            return
        if team.count > 1:
            dist.all_reduce(self.moved)
        parts = (self.moved / self.micro_batches).split([now.numel() for now, _ in self._floats()])
        for (now, then), moved in zip(self._floats(), parts):
            now.copy_(then + moved.view_as(now))

    def undo_step(self) -> None:
        _copy(self.before, self.buffers)

    def _floats(self) -> list[tuple[Tensor, Tensor]]:
        return [(now, then) for now, then in zip(self.buffers, self.before) if now.is_floating_point()]


def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    for one, other in zip(source, target):
        other.copy_(one)
