"""Frames that are lifted in a batch are those that photos give one by one, and gaps are bridged."""

import numpy as np
import pytest
import torch

from mpt import checkpoint
from mpt.crops import Crop
from mpt.modeling.lifted import Lifted, bridged, lift, place
from mpt.pose2d.base import Person2D
from mpt.reconstructor import Reconstructor, _place
from mpt.views import Pinhole


@pytest.fixture(scope="module")
def model():
    return checkpoint.load("mpt-small")


def person(seed: int, size: int) -> Person2D:
    """Blobs of somebody who stands, somewhere in a photo."""
    rng = np.random.default_rng(seed)
    crop = Crop((float(rng.uniform(200, 400)), float(rng.uniform(200, 300))), float(rng.uniform(150, 300)))
    at = rng.normal(0, 0.3, (29, 2))
    at[:, 1] += np.linspace(-0.6, 0.6, 29)
    cells = (at + 1) * size / 2 - 0.5
    grid = np.arange(size)
    across = np.exp(-((grid - cells[:, :1]) ** 2) / 18)
    down = np.exp(-((grid - cells[:, 1:]) ** 2) / 18)
    points = np.concatenate(
        [at @ crop.image_from_ndc[:, :2].T + crop.image_from_ndc[:, 2], np.ones((29, 1))], 1
    )
    from mpt.skeletons import COCO29

    return Person2D(
        heatmaps=np.float32(down[:, :, None] * across[:, None]), joints2d_px=points.astype(np.float32),
        crop=crop, score=1.0, skeleton=COCO29, bbox_xywh=(0, 0, 1, 1),
    )  # fmt: skip


def test_a_batch_is_what_photos_give(model, monkeypatch):
    """One look each; photos are looked at twice."""
    transformer, size = model.transformer, model.transformer.config.heatmap_size
    people = [person(seed, size) for seed in range(5)]
    monkeypatch.setattr(
        "mpt.reconstructor.look_upright",
        lambda transformer, maps, skeleton, rows=None: transformer(transformer.prepare(maps), rows=rows),
    )
    photos = Reconstructor(model).lift(people, (640, 480), pose=False)
    camera = Pinhole.of_size((640, 480))
    with torch.inference_mode():
        seen = transformer.prepare(torch.from_numpy(np.stack([p.heatmaps for p in people])))
        rays = [camera.ray(p.joints2d_px[:, :2])[:, :2] for p in people]
        points = np.concatenate([np.stack(rays), np.stack([p.joints2d_px[:, 2:] for p in people])], -1)
        crops = [
            [*camera.ray(np.array(p.crop.center_px))[:2], p.crop.side_px / 2 / camera.focal_px[0]]
            for p in people
        ]
        said = lift(
            transformer, seen, torch.from_numpy(np.float32(points)), torch.tensor(crops, dtype=torch.float32),
            list(model.skeleton.root), batch=2,
        )  # fmt: skip
    joints = transformer.joints_of_coarse() @ said.coarse
    np.testing.assert_allclose(joints, np.stack([p.joints3d for p in photos]), atol=2e-4)
    np.testing.assert_allclose(said.translation, np.stack([p.translation_m for p in photos]), atol=3e-3)
    np.testing.assert_allclose(said.up, np.stack([p.up for p in photos]), atol=1e-4)
    np.testing.assert_allclose(said.std, np.stack([p.joints3d_std_m for p in photos]), atol=1e-5)


def test_people_are_placed_as_in_photos():
    rng = np.random.default_rng(0)
    camera = Pinhole((1.0, 1.0), (0.0, 0.0))
    joints = rng.normal(0, 0.3, (20, 29, 3))
    true = rng.uniform([-1, -1, 2], [1, 1, 6], (20, 3))
    there = joints + true[:, None]
    points = np.concatenate([there[..., :2] / there[..., 2:], rng.uniform(0, 1, (20, 29, 1))], -1)
    points[::2, :3, :2] += 0.3  # found elsewhere
    half, guess = np.full(20, 0.2), true * 1.2
    found = place(*(torch.from_numpy(np.float32(x)) for x in (joints, points, half, guess)))
    for i in range(20):
        who = Person2D(
            heatmaps=np.zeros((29, 4, 4), np.float32),
            joints2d_px=points[i],
            bbox_xywh=(0, 0, 1, 1),
            crop=Crop((0, 0), 0.4),
            score=1.0,
        )
        one = _place(joints[i], joints[i, :, 2].min(), who, camera, guess[i])
        np.testing.assert_allclose(found[i], one, atol=2e-3)


def test_gaps_lie_on_the_straight_way_between_what_was_seen():
    frames, joints = 8, 3
    t = torch.arange(frames, dtype=torch.float32)[None] / 30
    line = t[..., None] * torch.tensor([1.0, 2.0, 3.0])
    present = torch.tensor([[False, True, True, False, False, True, True, False]])
    seen = torch.where(present[..., None], line, torch.full_like(line, 9.0))
    mesh = seen[:, :, None].expand(-1, -1, joints, -1)
    points = torch.ones(1, frames, joints, 3)
    lifted = bridged(Lifted(mesh, mesh[..., 0], seen, seen, seen[..., 0], points, t, present))
    torch.testing.assert_close(lifted.translation[0, 1:7], line[0, 1:7])
    torch.testing.assert_close(lifted.translation[0, 0], line[0, 1])  # before and after: as it was nearest
    torch.testing.assert_close(lifted.translation[0, 7], line[0, 6])
    assert torch.equal(lifted.points[0, :, 0, 2], present[0].float())  # nothing was seen there
