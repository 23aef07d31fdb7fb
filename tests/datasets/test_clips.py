"""Clips: people go where the motion went, are seen where they are, and rest where they rest."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mpt import bodies
from mpt.datasets import clip_files
from mpt.datasets.clips import CONTACTS, ClipConfig, Filming, PathDraw, absences
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.errors import InputError
from mpt.heatmaps import PERFECT, HeatmapNoise

STANDS = ClipConfig(frames=(12, 12), fps=(30, 30), sway=0, cut=0, away=0, miss=0)


@pytest.fixture(scope="module")
def body():
    return bodies.load("anny", "coco29")


def write_store(path, body, hips=True):
    """Somebody who walks on at a metre a second with an arm that swings, and somebody who stands."""
    bones = body.moving_bones
    with PoseStore.create(path, body=body) as writer:
        for name, speed, frames in (("walk", 1.0, 60), ("stand", 0.0, 40)):
            rotvec = np.zeros((frames, len(bones), 3))
            rotvec[:, bones.index("upperarm01.L"), 0] = 0.5 * np.sin(0.2 * np.arange(frames)) * (speed > 0)
            way = np.zeros((frames, 3))
            way[:, 1], way[:, 2] = 0.9, speed * np.arange(frames) / 30
            writer.add(
                Sequence(name, name, f"{name}.npz", 30.0, frames, 0, "train"),
                rotvec=rotvec, frame=np.arange(frames), kind=Kind(np.ones(frames), np.zeros(frames)),
                hips=way if hips else None,
            )  # fmt: skip
    return PoseStore(path, body=body)


@pytest.fixture(scope="module")
def store(body, tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("clips") / "a.store", body)


def filming(body, store, noise: HeatmapNoise = PERFECT, config: ClipConfig = STANDS) -> Filming:
    data = SyntheticConfig(noise=noise, crop_factor=(1.25, 1.25), crop_shift=0)
    return Filming(
        Synthesizer(body, store.bones, data, inputs="joints", coarse_vertices=431, heatmap_size=56), config
    )


def test_paths_are_what_the_store_holds_and_between_its_frames(store):
    paths = PathDraw(store, store.train)
    drawn = paths(64, 9, torch.full((64,), 30.0), torch.Generator().manual_seed(0))
    speed = drawn.hips.diff(dim=1)[..., 2] * 30
    walks = speed[:, 0] > 0.5
    assert walks.any() and not walks.all()
    torch.testing.assert_close(speed[walks], torch.ones_like(speed[walks]), atol=2e-3, rtol=0)
    torch.testing.assert_close(speed[~walks], torch.zeros_like(speed[~walks]), atol=2e-3, rtol=0)
    phase = drawn.hips[walks][..., 2] * 30  # in frames
    arm = drawn.rotvec[walks][:, :, store.bones.index("upperarm01.L"), 0]
    torch.testing.assert_close(arm, 0.5 * torch.sin(0.2 * phase), atol=5e-3, rtol=0)


def test_a_store_that_does_not_know_where_people_go_is_refused(body, tmp_path):
    old = write_store(tmp_path / "old.store", body, hips=False)
    with pytest.raises(InputError, match=r"does not say where people go.*mpt prepare mocap"):
        PathDraw(old, old.train)


def test_perfect_maps_show_people_where_they_are(body, store):
    film = filming(body, store)
    clips = film.draw(PathDraw(store, store.train), 6, torch.Generator().manual_seed(1))
    there = clips.joints + clips.translation[:, :, None]
    plane = there[..., :2] / there[..., 2:]
    torch.testing.assert_close(clips.points[..., :2], plane, atol=1e-4, rtol=0)
    framed = (plane[:, :, :17] - clips.crop[:, :, None, :2]).abs().amax((2, 3))
    torch.testing.assert_close(framed, clips.crop[..., 2] / 1.25, atol=1e-4, rtol=0)
    assert float(clips.joints[:, :, list(body.skeleton.root)].mean(2).abs().max()) < 1e-5


def test_before_a_camera_that_stands_people_move_as_they_do_in_the_world(body, store):
    film = filming(body, store)
    clips = film.draw(PathDraw(store, store.train), 12, torch.Generator().manual_seed(2))
    pace = clips.translation.diff(dim=1).norm(dim=-1) * 30
    walks = pace[:, 0] > 0.5
    assert walks.any() and not walks.all()
    legs = pace[walks].mean(1)  # children walk more slowly
    assert ((legs > 0.4) & (legs < 1.4)).all()
    assert torch.equal(clips.contact.mean((1, 2)) > 0.5, ~walks)
    swayed = filming(body, store, config=replace(STANDS, sway=1.0))
    pans = swayed.draw(PathDraw(store, store.train), 12, torch.Generator().manual_seed(2))
    assert float((pans.translation.diff(dim=1).norm(dim=-1) * 30)[~walks].max()) > 0.01
    assert torch.equal(pans.contact, clips.contact)  # what rests does so in the world


def test_errors_last_as_networks_errors_do(body, store):
    film = filming(body, store, HeatmapNoise(clean_share=0, detector_share=1, missing=0))
    clips = film.draw(PathDraw(store, store.train), 24, torch.Generator().manual_seed(3))
    there = clips.joints + clips.translation[:, :, None]
    error = (clips.points[..., :2] - there[..., :2] / there[..., 2:]) * clips.translation[..., None, 2:]
    size, step = error[:, :, :17].norm(dim=-1).median(), error[:, :, :17].diff(dim=1).norm(dim=-1).median()
    assert 0.005 < float(size) < 0.05
    assert float(step) < 0.75 * float(size)  # independent errors would change by 1.4 times their size


def test_people_are_away_for_a_while_but_never_for_good():
    config = replace(STANDS, away=1.0, away_share=0.5, miss=0.1)
    present = absences(config, torch.ones(200, 30, dtype=torch.bool), torch.Generator().manual_seed(0))
    assert present.any(1).all()
    assert 0.5 < float(present.float().mean()) < 0.85
    assert torch.equal(absences(replace(config, away=0, miss=0), present), present)


def test_clips_come_back_from_their_file(body, store, tmp_path):
    clips = filming(body, store).draw(PathDraw(store, store.train), 2, torch.Generator().manual_seed(4))
    clip_files.write(tmp_path / "a.clips", clips, body, {"networks": "none"})
    again = clip_files.read(tmp_path / "a.clips", body, 56)
    assert torch.equal(again.translation, clips.translation) and torch.equal(again.present, clips.present)
    torch.testing.assert_close(again.coarse.float(), clips.coarse, atol=1e-3, rtol=0)
    with pytest.raises(InputError, match="its clips are of maps of 56 pixels, the model reads 112"):
        clip_files.read(tmp_path / "a.clips", body, 112)
    (tmp_path / "b.clips").write_text("none")
    with pytest.raises(InputError, match="holds no clips"):
        clip_files.read(tmp_path / "b.clips", body, 56)
    clip_files.check_clips_output(tmp_path / "a.clips", tmp_path / "a.store")
    with pytest.raises(InputError, match="is there already"):
        clip_files.check_clips_output(tmp_path / "b.clips", tmp_path / "a.store")
    assert len(CONTACTS) == clips.contact.shape[-1]
