"""What a CUDA device does: whether it gives the numbers of the CPU, and how many samples a second it takes.

    python benchmarks/gpu.py [--seconds 3] [--only parity small paper] [--compiled]

Parity: one step of pre-training in float32 on both, from equal weights and samples. Throughput: samples a
second and the share of what the card's own bfloat16 products reach on large matrices (products of the
transformer alone are counted, by torch's counter of floating-point operations). A step is `mpt pretrain`'s:
for mpt-small with the making of its samples, for the paper's transformer on samples made before. Each row is
printed as soon as it is measured; compiling (--compiled) takes a minute or more of each.
"""

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from measuring import table
from torch.utils.flop_counter import FlopCounterMode

from mpt import bodies
from mpt.bodies import Body
from mpt.datasets.synthetic import Synthesizer, SyntheticBatch, SyntheticConfig
from mpt.experiments.pretraining import PAPER_DATA
from mpt.modeling.mesh_transformer import PAPER, SMALL, MeshTransformer, MeshTransformerConfig
from mpt.recipes.pretrain import LossWeights, objective

PRODUCTS = 8192  # side of the matrices whose product is the card's peak


def synthesizer(body: Body, model: MeshTransformerConfig, data: SyntheticConfig, device: str) -> Synthesizer:
    return Synthesizer(
        body,
        body.moving_bones,
        data,
        inputs=model.inputs,
        coarse_vertices=model.coarse_vertices,
        heatmap_size=model.heatmap_size,
        device=device,
    )


def poses(body: Body, count: int, device: str = "cpu") -> torch.Tensor:
    seeded = torch.Generator().manual_seed(1)
    return (0.2 * torch.randn(count, len(body.moving_bones), 3, generator=seeded)).to(device)


def loss_of(model: torch.nn.Module, batch: SyntheticBatch, mask_queries: float = 0.0) -> torch.Tensor:
    prediction = model(batch.seen, rows=batch.rows, mask_queries=mask_queries)
    return torch.stack(list(objective(prediction, batch, LossWeights()).values())).sum()


def parity(body: Body) -> list[list]:
    """Relative differences of the loss, its gradient, and the loss after a step."""
    rows = []
    for name, config, data in (("mpt-small", SMALL, SyntheticConfig()), ("paper", PAPER, PAPER_DATA)):
        torch.manual_seed(0)
        model = MeshTransformer.for_body(body, replace(config, dropout=0.0))
        batch = synthesizer(body, config, data, "cpu")(poses(body, 4), torch.Generator().manual_seed(2))
        found = []
        for device in ("cpu", "cuda"):
            moved = SyntheticBatch(**{name: value.to(device) for name, value in vars(batch).items()})
            learner = copy.deepcopy(model).to(device)
            optimizer = torch.optim.Adam(learner.parameters(), lr=1e-5)
            loss = loss_of(learner, moved)
            loss.backward()
            gradients = [p.grad.flatten().double().cpu() for p in learner.parameters() if p.grad is not None]
            torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                found.append((loss.item(), torch.cat(gradients), loss_of(learner, moved).item()))
        (loss, gradient, after), (other_loss, other_gradient, other_after) = found
        shares = (
            abs(other_loss - loss) / loss,
            float((other_gradient - gradient).norm() / gradient.norm()),
            abs(other_after - after) / after,
        )
        rows.append([name, *(f"{share:.1e}" for share in shares)])
    return rows


def per_second(job: Callable[[], object], seconds: float, warm_up: int = 3) -> float:
    """How often a job is done in a second, once it has been compiled and is warm."""
    for _ in range(warm_up):
        job()
    torch.cuda.synchronize()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        job()
        done += 1
        if done % 8 == 0:
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    return done / (time.perf_counter() - start)


def peak(seconds: float) -> float:
    """Floating-point operations a second of large bfloat16 products on random numbers."""
    a, b = torch.randn(2, PRODUCTS, PRODUCTS, device="cuda", dtype=torch.bfloat16)
    return per_second(lambda: a @ b, seconds) * 2 * PRODUCTS**3


def throughput(
    body: Body,
    config: MeshTransformerConfig,
    data: SyntheticConfig,
    batch_size: int,
    compiled: bool,
    fresh: bool,
    seconds: float,
    top: float,
) -> list:
    """A row: looks and steps in samples a second, and their shares of the peak."""
    model = MeshTransformer.for_body(body, config).to("cuda")
    synthesize = synthesizer(body, config, data, "cuda")
    generator = torch.Generator("cuda").manual_seed(1)
    rotvec = poses(body, batch_size, "cuda")
    samples = synthesize(rotvec, generator)
    called = torch.compile(model) if compiled else model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5, fused=True)
    masked = 0.3 if config.vertex_queries else 0.0

    @torch.no_grad()
    def look() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            called(samples.seen)

    def step() -> None:
        with torch.no_grad():
            batch = synthesize(rotvec, generator) if fresh else samples
        with torch.autocast("cuda", torch.bfloat16):
            loss = loss_of(called, batch, masked)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    operations = []
    for mode, job in ((model.eval, look), (model.train, step)):
        mode()
        with FlopCounterMode(display=False) as counter:
            uncompiled, called = called, model
            job()
            called = uncompiled
        operations.append(counter.get_total_flops())
    model.eval()
    looks = per_second(look, seconds)
    model.train()
    steps = per_second(step, seconds)
    shares = (f"{100 * rate * count / top:.1f} %" for rate, count in zip((looks, steps), operations))
    looked, learned = (f"{rate * batch_size:,.0f}" for rate in (looks, steps))
    look_share, step_share = shares
    return [batch_size, looked, look_share, learned, step_share]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument(
        "--only", nargs="+", choices=["parity", "small", "paper"], default=["parity", "small", "paper"]
    )
    parser.add_argument("--compiled", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this torch sees no CUDA device, and there is nothing to measure")
    body = bodies.load()
    card = torch.cuda.get_device_name()
    if "parity" in options.only:
        columns = ["one step, float32", "loss", "gradient", "loss after it"]
        table(f"{card} against the CPU, relative differences", columns, parity(body))
    columns = ["batch", "looks/s", "of peak", "learns/s", "of peak"]
    for name, config, data, sizes, fresh in (
        ("small", SMALL, SyntheticConfig(), (512, 2048, 8192), True),
        ("paper", PAPER, PAPER_DATA, (16, 64), False),
        ("paper", replace(PAPER, skip_below=0.0), PAPER_DATA, (16, 64), False),
    ):
        if name in options.only:
            top = peak(1.0)
            kept = (
                "" if name == "small" else ", empty patches skipped" if config.skip_below else ", all tokens"
            )
            compiled = ", compiled" if options.compiled else ""
            rows = []
            for size in sizes:
                rows.append(
                    throughput(body, config, data, size, options.compiled, fresh, options.seconds, top)
                )
                print(name + kept + compiled, *rows[-1], sep="  ", flush=True)
            table(f"{name}{kept}, bfloat16{compiled} on {card} ({top / 1e12:.0f} TFLOP/s)", columns, rows)


if __name__ == "__main__":
    main()
