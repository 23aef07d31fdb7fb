"""Tracks through the temporal model: whole films and their windows, gaps, and models that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from little_model import write_little_model

from mpt import checkpoint
from mpt.checkpoint import TemporalModel
from mpt.errors import InputError
from mpt.films import refining
from mpt.films.refining import as_lifted, check_refines, refined
from mpt.films.track import Track
from mpt.modeling.temporal import TemporalConfig, TemporalTransformer
from mpt.views import Pinhole

CAMERA = Pinhole.of_size((640, 480))


@pytest.fixture(scope="module")
def small():
    return checkpoint.load("mpt-small")


@pytest.fixture(scope="module")
def temporal(small):
    torch.manual_seed(0)
    model = TemporalTransformer(
        TemporalConfig(width=32, layers=1, heads=2), small.transformer.joints_of_coarse(),
        tuple(small.skeleton.root), 48,
    )  # fmt: skip
    return TemporalModel("made up", model.eval().requires_grad_(False), small.skeleton, "anny", "x", {})


def track(frames: int, seed: int = 0) -> Track:
    """Somebody who trembles, on an even way."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.02, (frames, 431, 3))
    t = np.arange(frames) / 30
    place = np.stack([0.5 * t, 0 * t, 4 + 0 * t], 1) + rng.normal(0, 0.05, (frames, 3))
    pixels = np.concatenate([rng.uniform(100, 300, (frames, 29, 2)), np.ones((frames, 29, 1))], -1)
    up = np.tile([0.0, -1.0, 0.0], (frames, 1))
    return Track(
        0, np.arange(frames), t, np.float32(pixels), np.zeros((frames, 2)), np.ones(frames),
        np.zeros((frames, 29, 3), np.float32), np.full((frames, 29), 0.04, np.float32), np.float32(noise),
        place, np.float32(up), np.full(frames, 5.0), np.ones(frames),
    )  # fmt: skip


def test_tracks_keep_their_frames_and_lose_their_trembling(temporal):
    known = track(50)
    found = refined(known, CAMERA, temporal)
    np.testing.assert_array_equal(found.frames, known.frames)
    assert found.coarse.shape == known.coarse.shape and found.contact.shape == (50, 4)
    assert ((found.contact >= 0) & (found.contact <= 1)).all()

    def jitter(values):
        return np.linalg.norm(np.diff(values, 2, axis=0), axis=-1).mean()

    assert jitter(found.translation_m) < 0.3 * jitter(known.translation_m)
    assert jitter(found.coarse) < 0.3 * jitter(known.coarse)
    mid = found.joints3d_m[:, [11, 12]].mean(1)
    np.testing.assert_allclose(mid, 0, atol=1e-5)


def test_long_tracks_are_what_their_windows_say(temporal, monkeypatch):
    known = track(130)
    short = refined(known, CAMERA, temporal)
    monkeypatch.setattr(refining, "WINDOW", 200)
    whole = refined(known, CAMERA, temporal)
    assert np.abs(short.coarse - whole.coarse).max() < 0.01
    assert np.abs(np.diff(short.translation_m, 2, axis=0)).max() < 0.05  # no seam


def test_a_causal_track_does_not_know_what_comes(temporal):
    known, other = track(40, 0), track(40, 1)
    mixed = replace(known, coarse=np.concatenate([known.coarse[:20], other.coarse[20:]]))
    a, b = (refined(one, CAMERA, temporal, causal=True) for one in (known, mixed))
    np.testing.assert_allclose(a.coarse[:20], b.coarse[:20], atol=1e-5)
    assert np.abs(a.coarse[20:] - b.coarse[20:]).max() > 1e-3


def test_what_was_bridged_is_nobody_seen():
    known = track(10)
    known.score[3:5] = 0
    lifted = as_lifted(known, CAMERA)
    assert lifted.present[0].tolist() == [i not in (3, 4) for i in range(10)]
    np.testing.assert_allclose(
        lifted.points[0, :, :, :2], CAMERA.ray(known.joints2d_px[..., :2])[..., :2], atol=1e-6
    )


def test_a_temporal_model_refines_the_meshes_that_it_was_trained_above(temporal, small):
    check_refines(temporal, small.transformer, "mpt-small")
    with pytest.raises(
        InputError, match=r"refines what mpt-small says .* not what mpt-hand does: .*--smooth filter"
    ):
        check_refines(temporal, checkpoint.load("mpt-hand").transformer, "mpt-hand")


def test_a_model_of_other_joints_is_refused(temporal, tmp_path):
    other = checkpoint.load(write_little_model(tmp_path / "little.safetensors", sure=True))
    with pytest.raises(InputError, match="and not what little does"):
        check_refines(temporal, other.transformer, "little")
