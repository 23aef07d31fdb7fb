"""How near a body comes to predicted meshes of held-out poses, and to true ones, and how fast.

    python benchmarks/fits.py --store my.store [--model mpt-small] [--samples 200]

Distances are means over the vertices of a mesh, mm. Shapes: the largest component, in standard deviations.
Seconds are this process's on one core. Frames: the same meshes once more, whose shapes are then given, as a
film's are.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mpt import bodies, checkpoint
from mpt.bodies.fitting import BodyFitter
from mpt.datasets.store import PoseStore
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING, widener_of
from mpt.heatmaps import DETECTOR, PERFECT, HeatmapNoise
from mpt.recipes.evaluate import spread

BATCH = 32


def main() -> None:
    model, body, bones, rotvec, as_json = asked(__doc__, 200)
    perfect, true, _ = meshes(model, body, bones, rotvec, PERFECT)
    noisy, _, _ = meshes(model, body, bones, rotvec, DETECTOR)
    sets = {"predicted from perfect maps": perfect, "predicted from detector-like maps": noisy, "true": true}
    fitter = BodyFitter(body)
    fitter(true[:2])
    found = [{"meshes": name} | fitted(fitter, vertices) for name, vertices in sets.items()]
    told(found, f"{model.name}: the body laid on {len(rotvec)} meshes", as_json)


def asked(
    about: str | None, samples: int
) -> tuple[checkpoint.Model, bodies.Body, tuple[str, ...], torch.Tensor, bool]:
    """What the command line asks for: a model, its body, a store's bones, held-out poses of them
    (N, bones, 3), and whether JSON is wanted. ``samples``: how many, if it does not say.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="its validation subjects are used")
    parser.add_argument("--model", default="mpt-small")
    parser.add_argument("--samples", type=int, default=samples)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = checkpoint.load(options.model)
    body = bodies.load(model.body, model.skeleton.name)
    store = PoseStore(options.store, body=body)
    rotvec = torch.from_numpy(store.rotvec(spread(store.validation, options.samples)))
    return model, body, store.bones, rotvec, options.json


def told(rows: list[dict[str, str | float]], title: str, as_json: bool) -> None:
    """Rows of one kind, whose first column is a name, as a table or as JSON."""
    if as_json:
        json.dump(rows, sys.stdout, indent=1)
        return
    table = Table(title=title)
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.2f}" for value in row.values()))
    Console().print(table)


@torch.inference_mode()
def meshes(
    model: checkpoint.Model,
    body: bodies.Body,
    bones: tuple[str, ...],
    rotvec: torch.Tensor,
    noise: HeatmapNoise,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted and true meshes (N, V, 3) of poses (N, bones, 3) on random people seen by random cameras, and
    how sure the model is of their joints (N, K) in metres, NaN where it does not say.
    """
    config = SyntheticConfig(
        random_cameras=widener_of(body).cameras,
        widening=NO_WIDENING,
        noise=noise,
        truncation=0.0,
        crop_factor=(1.25, 1.25),
        crop_shift=0.0,
        fine_vertices=len(body.template),
    )
    synthesize = Synthesizer(
        body,
        bones,
        config,
        inputs=model.transformer.config.inputs,
        coarse_vertices=model.transformer.config.coarse_vertices,
        heatmap_size=model.transformer.config.heatmap_size,
    )
    generator = torch.Generator().manual_seed(12345)
    predicted, true, sure = [], [], []
    for part in rotvec.split(64):
        batch = synthesize(part, generator)
        said = model.transformer(batch.seen)
        predicted.append(said.vertices)
        sure.append(said.regressed[..., 0] * torch.nan if said.joints_std is None else said.joints_std)
        true.append(batch.vertices[:, batch.rows.argsort()])
    return torch.cat(predicted).numpy(), torch.cat(true).numpy(), torch.cat(sure).numpy()


def fitted(fitter: BodyFitter, vertices: np.ndarray) -> dict[str, float]:
    distance, shape, seconds, again = [], [], [], []
    for first in range(0, len(vertices), BATCH):
        some = vertices[first : first + BATCH]
        start = time.process_time()
        poses = fitter(some)
        seconds.append((time.process_time() - start) / len(some))
        start = time.process_time()
        fitter(some[:, fitter.seen], shape=np.stack([pose.shape for pose in poses]))
        again.append((time.process_time() - start) / len(some))
        for pose, mesh in zip(poses, some):
            distance.append(1000 * np.linalg.norm(pose.posed().vertices - mesh, axis=1).mean())
            shape.append(np.abs(pose.shape).max())
    alone = []
    for mesh in vertices[:20]:
        start = time.process_time()
        fitter(mesh[None])
        alone.append(time.process_time() - start)
    return {
        "mean mm": float(np.mean(distance)),
        "median mm": float(np.median(distance)),
        "most mm": float(np.max(distance)),
        "largest shape": float(np.max(shape)),
        "people a second": float(1 / np.mean(seconds)),
        "ms alone": float(1000 * np.median(alone)),
        "frames a second": float(1 / np.mean(again)),
    }


if __name__ == "__main__":
    main()
