"""What trainings do before their first step: the body, the processes, and the weights to begin with."""

import atexit
import os

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from mpt import bodies, checkpoint
from mpt.bodies import Body
from mpt.errors import InputError
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.recipes.parallel import Parallel, check_installed, leave


def body_for(body: str, skeleton: str = "", start_from: str | os.PathLike | None = None) -> Body:
    """The body of a configuration with the joints that it names, or else those of the model that it starts
    from, or else all its own.
    """
    if start_from and not skeleton:
        return bodies.load(body).with_joints(checkpoint.load(start_from).skeleton)
    return bodies.load(body, skeleton)


def take_weights(model: MeshTransformer, source: str | os.PathLike) -> None:
    """Put a trained model's weights into ``model``, which keeps its own body."""
    trained = checkpoint.load(source).transformer
    if trained.joint_count != model.joint_count:
        raise InputError(
            f"{source}: its transformer reads {trained.joint_count} joints, this experiment's "
            f"{model.joint_count}; start from one alike"
        )
    if trained.config != model.config:
        raise InputError(
            f"{source}: its transformer is built otherwise than this experiment's; start from one alike"
        )
    fixed = {name for name, _ in model.named_buffers()}
    weights = {name: tensor for name, tensor in trained.state_dict().items() if name not in fixed}
    model.load_state_dict(weights, strict=False)


def freeze_unused(model: MeshTransformer, masked: float) -> None:
    """Where queries are never masked, what stands for masked ones gets no gradient; DDP would wait for it."""
    if model.config.vertex_queries and not masked:
        model.masked_query.requires_grad_(False)


def start(precision: str, device: str, parallel: Parallel = "ddp") -> Accelerator:
    """One process by default; ``torchrun`` for more."""
    check_installed(parallel)
    cuda = device_for(device).type == "cuda"
    if precision == "auto":
        precision = "bfloat16" if cuda else "float32"
    AcceleratorState._reset_state()  # accelerate keeps the first precision of a process for all later ones
    accelerator = Accelerator(cpu=not cuda, mixed_precision="bf16" if precision == "bfloat16" else "no")
    if accelerator.num_processes > 1:
        atexit.register(leave)
    return accelerator


def device_for(name: str) -> torch.device:
    """auto, cpu or cuda. Raises InputError where there is no CUDA device, and one was asked for."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda: this torch sees no CUDA device; use --device cpu, or install torch for CUDA"
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
