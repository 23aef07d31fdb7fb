"""Predictors that know the truth, or nothing at all, and predictions kept by them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import official
import torch
from little_model import LITTLE

from mpt import checkpoint
from mpt.datasets.sample import Sample, Samples
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.recipes.predictions import Predicted, Predictions


def predicted(vertices) -> Predicted:
    joints = np.zeros((17, 2))
    return Predicted(np.asarray(vertices, np.float64), np.array([0, 0, 3.0]), joints, 500.0, (160.0, 120.0))


def kept(folder: Path, samples: Samples, predict, **how) -> Predictions:
    predictions = Predictions(folder, samples)
    predictions.begin({"model": "oracle"})
    predictions.predict(lambda: predict, **how)
    return predictions


def smpl_truth(people, sample: Sample, gender: str) -> torch.Tensor:
    """By the equations, independently of the benchmark's batches."""
    parameters, body = sample.parameters, people[gender].to(dtype=torch.float64)
    turns = [official._rodrigues(vector) for vector in parameters.pose.astype(float)]
    shape = torch.from_numpy(parameters.betas).double()[None]
    return body.forward(torch.from_numpy(np.stack(turns))[None], shape).vertices[0]


def oracle(people, gender=None, shift=(0, 0, 0), scale=1.0):
    def predict(samples):
        return [
            predicted(scale * smpl_truth(people, s, gender or s.parameters.gender) + torch.tensor(shift))
            for s in samples
        ]

    return predict


def write_ignorant_model(body, path: Path) -> Path:
    """A transformer for any body that knows nothing."""
    torch.manual_seed(0)
    template = body.template
    coarse = torch.arange(0, len(template), len(template) // 195)
    near = torch.cdist(template, template[coarse]).topk(3, largest=False).indices
    config = replace(LITTLE, coarse_vertices=len(coarse))
    joints, weight = body.regress(template[None])[0], torch.full(near.shape, 1 / 3)
    model = MeshTransformer(config, joints, template[coarse], near, weight, body.regressor.to_dense())
    about = {"faces": body.faces, "skeleton": body.skeleton, "body": body.name, "body_hash": body.hash}
    checkpoint.save(path, model, **about)
    return path
