"""Predictors that know the truth, or nothing at all, and predictions kept by them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import official
import torch
from little_model import LITTLE

from mpt import checkpoint
from mpt.bodies import Body
from mpt.checkpoint import Model
from mpt.crops import apply
from mpt.datasets.augment import Augmentation
from mpt.datasets.loading import Example, PhotoDataset
from mpt.datasets.sample import Sample, Samples
from mpt.modeling.mesh_transformer import MeshPrediction, MeshTransformer
from mpt.recipes.eyes import Seen
from mpt.recipes.predicting import Predicted
from mpt.recipes.predictions import Predictions
from mpt.recipes.truth import truth_of


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


class Knowing(torch.nn.Module):
    """A transformer that answers exactly what it is trained to: heatmaps whose cells are the sample's number
    -> the truth of that example; its camera puts the root where it is seen. Its own eye, too.
    """

    def __init__(self, samples: Samples, photos: PhotoDataset, body: Body, augmentation=None) -> None:
        super().__init__()
        self.samples, self.photos, self.body = list(samples), photos, body
        self.augmentation = augmentation or Augmentation()
        self.template_joints = torch.zeros(len(body.skeleton), 3)
        self.joint_count, self.config = len(body.skeleton), LITTLE
        self.prepare = lambda maps: maps
        self.look_twice = self.forward

    def model(self) -> Model:
        body = self.body
        return Model("oracle", self, body.skeleton, body.faces, body.name, body.hash, {})

    def eye(self, looks):
        crops = [self.augmentation.crop(sample.crop) for sample, _ in looks]
        numbers = [next(i for i, own in enumerate(self.samples) if own is sample) for sample, _ in looks]
        shape = self.joint_count, 8, 8
        return [Seen(crop, torch.full(shape, float(number))) for crop, number in zip(crops, numbers)]

    def forward(self, maps: torch.Tensor, rows: torch.Tensor | None = None) -> MeshPrediction:
        said = self.answer(maps[:, 0, 0, 0].round().int().tolist())
        return said if rows is None else said._replace(vertices=said.vertices[:, rows])

    def answer(self, rows) -> MeshPrediction:
        found = [self.photos.example(self.samples[row], self.augmentation, row) for row in rows]
        truth = truth_of(Example(*(torch.stack([torch.as_tensor(p) for p in part]) for part in zip(*found))),
                         self.body)  # fmt: skip
        crops = [self.augmentation.crop(self.samples[row].crop) for row in rows]
        roots = [
            apply(crop.ndc_from_image, self.photos._root_px(self.samples[row]))
            for crop, row in zip(crops, rows)
        ]
        camera = torch.from_numpy(np.column_stack([np.ones(len(rows)), np.array(roots)])).float()
        few = truth.vertices[:, :1]
        return MeshPrediction(truth.joints, few, truth.vertices, truth.joints, camera, few[:, :0])


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
