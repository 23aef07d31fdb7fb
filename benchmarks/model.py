"""The small model's forward against its own matrix products, and what a training sample costs beside a step.

    python benchmarks/model.py [--model mpt-small]

The matrix products: every Linear of the network on inputs of its own shape, and the two products of each
attention, nothing else; recorded by hooks from a real forward, then run alone on reused tensors.
"""

import argparse

import torch
from rich.console import Console
from rich.table import Table
from timing import interleaved
from torch import nn

from mpt import bodies, checkpoint
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.modeling.attention import EncoderLayer
from mpt.modeling.mesh_transformer import PAPER, MeshTransformer
from mpt.recipes.pretrain import LossWeights, objective


def products_of(model: MeshTransformer, seen: torch.Tensor):
    """A function that runs the matrix products of ``model(seen)`` alone."""
    jobs = []
    hooks = []
    for module in model.modules():
        if isinstance(module, nn.Linear):
            hooks.append(
                module.register_forward_hook(
                    lambda m, inputs, out: jobs.append((m, inputs[0].detach().clone()))
                )
            )
        if isinstance(module, EncoderLayer):

            def products(layer, inputs, out):
                n, tokens, width = inputs[0].shape
                q = torch.randn(n, layer.heads, tokens, width // layer.heads)
                scores = torch.randn(n, layer.heads, tokens, tokens)
                jobs.extend([(lambda x, q=q: q @ x, q.mT.clone()), (lambda x, s=scores: s @ x, q.clone())])

            hooks.append(module.register_forward_hook(products))
    model(seen)
    for hook in hooks:
        hook.remove()
    return lambda: [job(x) for job, x in jobs]


def training_step(model: MeshTransformer, synthesize: Synthesizer, poses: torch.Tensor):
    """The two halves of a step, for one batch: making the samples, and learning from them."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    batch = synthesize(poses)

    def learn():
        with torch.autocast("cpu", torch.bfloat16):
            losses = objective(model(batch.seen, rows=batch.rows), batch, LossWeights())
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    def make():
        with torch.no_grad():
            synthesize(poses)

    return make, learn


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mpt-small")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("medium")
    loaded = checkpoint.load(options.model)
    model, body = loaded.transformer, bodies.load(loaded.body, loaded.skeleton.name)

    table = Table(title=f"{loaded.name}, forward, one thread, heatmaps to full mesh")
    for column in ("batch", "forward (ms)", "its matrix products alone (ms)", "ratio"):
        table.add_column(column, justify="right")
    for count in (1, 16):
        with torch.inference_mode():
            maps = torch.rand(count, len(loaded.skeleton), *[model.config.heatmap_size] * 2)
            seen = model.prepare(maps)
            seconds = interleaved(
                {"forward": lambda seen=seen: model(seen), "products": products_of(model, seen)}, 25
            )
        forward, products = (1000 * seconds[name] for name in ("forward", "products"))
        table.add_row(str(count), f"{forward:.2f}", f"{products:.2f}", f"{forward / products:.2f}")
    Console().print(table)

    table = Table(title="a training step, one thread, bfloat16 (ms a sample)")
    for column in ("transformer", "batch", "making samples", "forward, backward, update", "share"):
        table.add_column(column, justify="left" if column == "transformer" else "right")
    for name, config, count in (("joint tokens", model.config, 128), ("paper size, 784 patches", PAPER, 2)):
        network = MeshTransformer.for_body(body, config).train()
        synthesize = Synthesizer(
            body,
            body.moving_bones,
            SyntheticConfig(),
            inputs=config.inputs,
            coarse_vertices=config.coarse_vertices,
            heatmap_size=config.heatmap_size,
        )
        make, learn = training_step(network, synthesize, 0.2 * torch.randn(count, len(body.moving_bones), 3))
        seconds = interleaved({"make": make, "learn": learn}, 5)
        made, learnt = (1000 * seconds[key] / count for key in ("make", "learn"))
        table.add_row(name, str(count), f"{made:.2f}", f"{learnt:.2f}", f"{made / learnt:.0%}")
    Console().print(table)


if __name__ == "__main__":
    main()
