"""The temporal transformer: what it must not change, what it must not see, and its file."""

import pytest
import torch

from mpt import checkpoint
from mpt.errors import InputError
from mpt.modeling.lifted import Lifted
from mpt.modeling.temporal import TemporalConfig, TemporalTransformer
from mpt.skeletons import SKELETONS

JOINTS, COARSE, FRAMES = 17, 40, 12
SKELETON = SKELETONS["coco17"]
CONFIG = TemporalConfig(width=32, layers=2, heads=2)


def transformer(learned: bool = True) -> TemporalTransformer:
    torch.manual_seed(0)
    regressor = torch.rand(JOINTS, COARSE)
    model = TemporalTransformer(CONFIG, regressor / regressor.sum(1, keepdim=True), tuple(SKELETON.root), 5)
    if learned:
        for parameter in model.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval().requires_grad_(False)


def lifted(clips: int = 2, seed: int = 0, frames: int = FRAMES) -> Lifted:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    coarse = 0.3 * normal(clips, frames, COARSE, 3)
    place = torch.tensor([0.2, 0.1, 4.0]) + 0.1 * normal(clips, frames, 3)
    up = torch.nn.functional.normalize(torch.tensor([0.0, -1, 0]) + 0.1 * normal(clips, frames, 3), dim=-1)
    points = torch.cat(
        [0.1 * normal(clips, frames, JOINTS, 2), normal(clips, frames, JOINTS, 1).sigmoid()], -1
    )
    times = torch.arange(frames).expand(clips, -1) / 30
    spread = 0.03 + 0.05 * normal(clips, frames, JOINTS).sigmoid()
    present = torch.ones(clips, frames, dtype=torch.bool)
    return Lifted(coarse, spread, place, up, spread[..., 0], points, times, present)


def parts(lifted: Lifted, rows) -> Lifted:
    return Lifted._make(part[rows] for part in lifted)


def test_a_batch_is_its_clips_one_by_one():
    model, clips = transformer(), lifted(3)
    together = model(clips)
    for i in range(3):
        for a, b in zip(together, model(parts(clips, slice(i, i + 1)))):
            torch.testing.assert_close(a[i : i + 1], b, atol=1e-5, rtol=1e-4)


def test_only_differences_of_times_count():
    model, clips = transformer(), lifted()
    for a, b in zip(model(clips), model(clips._replace(times_s=clips.times_s + 2.5))):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_a_causal_frame_sees_nothing_after_it():
    model, clips, other = transformer(), lifted(seed=0), lifted(seed=1)
    mixed = Lifted._make(torch.cat([a[:, :7], b[:, 7:]], 1) for a, b in zip(clips, other))
    for name in ("coarse", "joints", "translation", "contact", "std"):
        a, b = (getattr(model(x, causal=True), name) for x in (clips, mixed))
        torch.testing.assert_close(a[:, :7], b[:, :7], atol=1e-5, rtol=1e-4)
        assert (a[:, 7:] - b[:, 7:]).abs().max() > 1e-3
        a, b = (getattr(model(x), name) for x in (clips, mixed))
        assert (a[:, :7] - b[:, :7]).abs().max() > 1e-3


def test_a_causal_frame_in_which_nobody_is_found_does_not_know_who_comes_back():
    model, clips, other = transformer(), lifted(seed=0), lifted(seed=1)
    present = torch.ones(2, FRAMES, dtype=torch.bool)
    present[:, 5:8] = False
    mixed = Lifted._make(torch.cat([a[:, :8], b[:, 8:]], 1) for a, b in zip(clips, other))
    a, b = (model(x._replace(present=present), causal=True).translation for x in (clips, mixed))
    torch.testing.assert_close(a[:, :8], b[:, :8], atol=1e-5, rtol=1e-4)
    a, b = (model(x._replace(present=present)).translation for x in (clips, mixed))
    assert (a[:, 5:8] - b[:, 5:8]).abs().max() > 1e-3


def test_what_frames_hold_in_which_nobody_is_found_does_not_matter():
    model, clips = transformer(), lifted(seed=0)
    present = torch.ones(2, FRAMES, dtype=torch.bool)
    present[:, [0, 5, 6]] = False
    wild = Lifted._make(part + 9 if part.ndim > 2 else part for part in clips)
    hole = Lifted._make(
        torch.where(present.view(2, FRAMES, *[1] * (a.ndim - 2)), a, b) for a, b in zip(clips, wild)
    )
    for causal in (False, True):
        a, b = (model(x._replace(present=present), causal=causal) for x in (clips, hole))
        for one, same in zip(a, b):
            torch.testing.assert_close(one, same)


def test_who_does_not_move_is_left_alone_before_anything_is_learned():
    model, clips = transformer(learned=False), lifted()
    still = Lifted._make(
        part if name == "times_s" else part[:, :1].expand_as(part) for name, part in clips._asdict().items()
    )
    said = model(still)
    joints = model.regressor @ still.coarse
    middle = joints[:, :, list(SKELETON.root)].mean(2, keepdim=True)
    torch.testing.assert_close(said.coarse, still.coarse - middle, atol=1e-5, rtol=0)
    torch.testing.assert_close(said.translation, still.translation, atol=1e-4, rtol=0)
    torch.testing.assert_close(said.std, still.std)


def test_joints_are_the_meshs_about_the_mid_hip():
    said = transformer()(lifted())
    joints = transformer().regressor @ said.coarse
    torch.testing.assert_close(said.joints, joints, atol=1e-5, rtol=1e-4)
    assert said.joints[:, :, list(SKELETON.root)].mean(2).abs().max() < 1e-5


def test_what_trembles_is_blended_away_before_anything_is_learned():
    clips = lifted(frames=40)
    before, after = clips.coarse, transformer(learned=False)(clips).coarse
    jitter = [x.diff(dim=1, n=2).norm(dim=-1).mean() for x in (before, after)]
    assert jitter[1] < 0.3 * jitter[0]


def test_a_model_comes_back_from_its_file(tmp_path):
    model, path = transformer(), tmp_path / "model.safetensors"
    checkpoint.save_temporal(path, model, skeleton=SKELETON, body="anny", body_hash="x", info={"lift": "y"})
    again = checkpoint.load_temporal(path)
    assert (again.body, again.body_hash, again.info, again.skeleton) == ("anny", "x", {"lift": "y"}, SKELETON)
    for a, b in zip(model(lifted()), again.transformer(lifted())):
        torch.testing.assert_close(a, b, atol=5e-3, rtol=1e-2)  # weights are halved


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save_temporal(path, transformer(), skeleton=SKELETON, body="anny", body_hash="x")
    with pytest.raises(InputError, match=r"refines films over time.*--temporal"):
        checkpoint.load(path)
    with pytest.raises(InputError, match="its format is 'mpt-model-1', expected 'mpt-temporal-1'"):
        checkpoint.load_temporal("mpt-small")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="not a whole file of mpt"):
        checkpoint.load_temporal(path)
