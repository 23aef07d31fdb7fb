"""Whether a model is as sure as it says: errors on held-out poses beside the standard deviations it gives.

python benchmarks/sureness.py --store all.store [--also deepmimic.store] [--plot sureness.png]

68 % of the joints should lie within 1.87 of their standard deviations of the truth, and 68 % of the ups
within 1.51, as those of a Gaussian would. The joints are all that the model has, about the root.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from measuring import table, write_json

from mpt import bodies, checkpoint
from mpt.checkpoint import Model
from mpt.datasets.store import PoseStore
from mpt.datasets.synthetic import SyntheticConfig
from mpt.errors import InputError
from mpt.heatmaps import DETECTOR, PERFECT
from mpt.modeling.mesh_transformer import BALL, DISC
from mpt.recipes.calibration import Sureness, sureness
from mpt.recipes.evaluate import spread

MAPS = {
    "as in training": SyntheticConfig(),
    "true maps": SyntheticConfig(noise=PERFECT, truncation=0.0),
    "detector-like maps": SyntheticConfig(noise=DETECTOR, truncation=0.0),
}


def held(found: Sureness) -> tuple[float, float]:
    """Percent of joints, and of ups, within what should hold 68 % of them."""
    joints = found.distance <= BALL * found.joints_std
    return 100 * float(joints.double().mean()), 100 * float(
        (found.angle <= DISC * found.up_std).double().mean()
    )


def measured(model: Model, name: str, store: PoseStore, index: np.ndarray) -> dict[str, Sureness]:
    body = bodies.load(model.body, model.skeleton.name)
    rotvec = store.rotvec(index)
    return {
        f"{name}, {maps}": sureness(model.transformer, body, store.bones, rotvec, data)
        for maps, data in MAPS.items()
    }


def plot(path: Path, found: dict[str, Sureness]) -> None:
    """Errors of joints against what the model says: the median and the bound that holds 68 %, by tenths."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 5))
    for (name, one), colour in zip(found.items(), ("#4a7ab5", "#5a9a5a", "#c8763c")):
        said, off = (1000 * values.flatten() for values in (BALL * one.joints_std, one.distance))
        order = said.argsort().chunk(10)
        axes.plot(
            [said[part].mean() for part in order],
            [off[part].quantile(0.68) for part in order],
            "o-",
            color=colour,
            label=name,
        )
    most = axes.get_xlim()[1]
    axes.plot([0, most], [0, most], "--", color="#888888", label="exactly as sure as it says")
    axes.set(
        xlabel="said to hold 68 % of the joints, mm",
        ylabel="holds 68 % of the joints, mm",
        xlim=(0, None),
        ylim=(0, None),
    )
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


@dataclass(frozen=True)
class Options:
    store: Path
    """Its validation subjects are looked at."""
    also: tuple[Path, ...] = ()
    """Further stores, all of whose poses are used."""
    model: str = "mpt-small"
    samples: int = 2000
    """Most poses of each."""
    plot: Path | None = None
    json: Path | None = None


def main(options: Options) -> None:
    torch.set_num_threads(1)
    model = checkpoint.load(options.model)
    if not (model.transformer.config.spread and model.transformer.config.gravity):
        raise InputError(
            f"{options.model}: does not say how sure it is, or which way is up; give one that does"
        )
    body = bodies.load(model.body)
    store = PoseStore(options.store, body=body)
    found = measured(model, "held-out people", store, spread(store.validation, options.samples))
    first = dict(found)
    for path in options.also:
        other = PoseStore(path, body=body)
        found |= measured(model, path.stem, other, spread(np.arange(len(other)), options.samples))
    rows = []
    for name, one in found.items():
        joints, ups = held(one)
        off = np.degrees(one.angle.median().item())
        rows.append(
            [name, 1000 * float(one.distance.mean()), 1000 * float(one.joints_std.mean()), joints, off, ups]
        )
    columns = [
        "poses",
        "joints off, mm",
        "std said, mm",
        "% of joints held (68)",
        "up off, median deg",
        "% of ups held (68)",
    ]
    table(f"{model.name}: how sure", columns, rows)
    write_json(options.json, {row[0]: dict(zip(columns[1:], row[1:])) for row in rows})
    if options.plot is not None:
        plot(options.plot, first)


if __name__ == "__main__":
    main(tyro.cli(Options))
