"""The page's answers, with gradio and without."""

import json
import sys

import numpy as np
import pytest
import torch
from glb import glb_attribute
from little_model import standing_joints, write_little_model
from PIL import Image
from posed import skinned_by_hand

from mpt import bodies, checkpoint, sureness, web
from mpt.cli import main
from mpt.errors import InputError
from mpt.pose2d.keypoints import Keypoints
from mpt.reconstruct import Reconstructor

SIZE = (320, 240)
PHOTO = np.full((240, 320, 3), 128, np.uint8)


def seeing(tmp_path_factory, *at_m, sure: bool = False) -> Reconstructor:
    """Somebody stands at each place, whatever the photo. ``sure``: of a model that says how sure it is."""
    file = tmp_path_factory.mktemp("model") / "little.safetensors"
    model = checkpoint.load(write_little_model(file, sure=sure))
    people = np.zeros((0, 17, 3)) if not at_m else np.stack([standing_joints(at, 400, SIZE) for at in at_m])
    return Reconstructor(model, Keypoints(people, heatmap_size=56))


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Reconstructor:
    return seeing(tmp_path_factory, (-0.7, 0, 4), (0.8, 0, 5))


def test_a_photo_is_answered_with_everybody_where_they_stand(two, tmp_path):
    found = web.answer(two, PHOTO, tmp_path / "answer", focal_px=400)
    assert [file.name for file in found.files] == [
        "overlay.png", "result.json", "person0.glb", "person1.glb", "everybody.glb",
    ]  # fmt: skip
    assert found.words.startswith("2 people in ")
    with Image.open(found.overlay) as overlay:
        shown = np.asarray(overlay)[:, :320]
    assert (shown != PHOTO).any(-1).mean() > 0.02
    together = np.stack(skinned_by_hand(found.together))
    people = [skinned_by_hand(file)[0] for file in found.files[2:4]]
    result = json.loads((tmp_path / "answer" / "result.json").read_text())
    first, second = (np.array(person["camera"]["translation_m"]) for person in result["people"])
    assert min(together[..., 1].min(1)) == pytest.approx(min(result["world"]["above_floor_m"]), abs=2e-3)
    np.testing.assert_allclose(together, people, atol=1e-4)
    assert np.linalg.norm(second - first) == pytest.approx(
        np.linalg.norm(together[0].mean(0) - together[1].mean(0)), abs=0.05
    )


def test_one_person_is_their_own_mesh_and_nobody_none(tmp_path_factory, tmp_path):
    one = web.answer(seeing(tmp_path_factory, (0, 0, 4)), PHOTO, tmp_path / "one")
    assert one.how_sure is None and one.together == tmp_path / "one" / "person0.glb"
    assert one.words.startswith("One person")
    nobody = web.answer(seeing(tmp_path_factory), PHOTO, tmp_path / "nobody")
    assert nobody.together is None and [file.name for file in nobody.files] == ["overlay.png", "result.json"]
    assert nobody.words.startswith("Nobody was found.")


def test_a_model_that_says_how_sure_it_is_colours_everybody_s_skin(tmp_path_factory, tmp_path):
    sure = seeing(tmp_path_factory, (-0.7, 0, 4), (0.8, 0, 5), sure=True)
    scale = torch.ones(17)
    scale[sure.model.skeleton.index("left_wrist")] = 3
    sure.model.transformer.spread_scale.mul_(0.02 / sure(PHOTO)[0].joints3d_std_m.mean()).mul_(scale)
    found = web.answer(sure, PHOTO, tmp_path / "answer")
    assert [file.name for file in found.files][-2:] == ["everybody.glb", "how-sure.glb"]
    standing = glb_attribute(found.how_sure, "POSITION").reshape(2, -1, 3)
    floor = min(json.loads((tmp_path / "answer" / "result.json").read_text())["world"]["above_floor_m"])
    assert standing[..., 1].min() == pytest.approx(
        floor, abs=0.05
    )  # the skin as seen; the floor is the fit's
    for person, alone in zip(standing, sure(PHOTO)):
        sizes = (np.linalg.norm(mesh - mesh[0], axis=1) for mesh in (person, alone.vertices))
        np.testing.assert_allclose(*sizes, atol=1e-4)
    hand = bodies.load().parts["hand.L"].numpy()
    shown = glb_attribute(found.how_sure, "COLOR_0").reshape(2, -1, 3)  # linear light
    for person in shown:  # viridis: yellow where the model is sure, violet where it is not
        assert person[:, 1].mean() > 2 * person[hand, 1].mean()
    lone = web.answer(seeing(tmp_path_factory, (0, 0, 4), sure=True), PHOTO, tmp_path / "lone")
    assert lone.together.name == "person0.glb" and lone.how_sure.name == "how-sure.glb"


def test_the_legend_s_ends_are_the_scale_s():
    least, most = (
        "rgb({:.0f}, {:.0f}, {:.0f})".format(*255 * sureness.colours(np.array(std)))
        for std in (0, sureness.MOST_M)
    )
    legend = web._legend()
    assert f"to right, {least}, " in legend and f", {most})" in legend
    assert "<span>0</span><span>2</span>" in legend and "<span>10 cm or more</span>" in legend


def test_what_is_no_photo_is_refused_and_leaves_nothing(two, tmp_path):
    (tmp_path / "photo.jpg").write_text("a letter")
    with pytest.raises(InputError, match="no picture that can be read"):
        web.answer(two, tmp_path / "photo.jpg", tmp_path / "answer")
    with pytest.raises(InputError, match="the focal length is -1"):
        web.answer(two, PHOTO, tmp_path / "answer", focal_px=-1)
    assert not (tmp_path / "answer").exists()


def test_only_the_newest_answers_are_kept(two, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "KEPT", 2)
    answers = web.Answers(two, tmp_path)
    for _ in range(4):
        newest = answers(PHOTO)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["2", "3"]
    assert newest.overlay.is_file()


def test_without_gradio_the_command_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["serve"]) == 2
    assert "run `pip install mesh-pretraining[web]`" in capsys.readouterr().err
    assert main(["serve", "--port", "70000"]) == 2
    assert "--port is 70000: give a number from 1 to 65535" in capsys.readouterr().err


def test_the_page_shows_an_answer_and_phones_nobody(two, tmp_path):
    pytest.importorskip("gradio")
    blocks = web.page(web.Answers(two, tmp_path))
    assert not blocks.analytics_enabled
    show = next(fn for fn in blocks.fns.values() if fn.api_name == "reconstruct").fn
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    overlay, body, files, words, _ = show(str(tmp_path / "photo.png"), 0)
    assert overlay in files and body.endswith("everybody.glb") and words.startswith("2 people")
    *_, words, _ = show(str(tmp_path / "photo.png"), 0, 26)
    assert "Note" not in words
    *_, words, _ = show(str(tmp_path / "photo.png"), 26)
    assert "Note: a focal length of 26 pixels is a view of 165 degrees" in words
    with pytest.raises(Exception, match="Choose a photo first"):
        show(None, 0)


def test_a_switch_turns_the_page_s_body_to_how_sure_and_back(tmp_path_factory, tmp_path):
    pytest.importorskip("gradio")
    blocks = web.page(web.Answers(seeing(tmp_path_factory, (0, 0, 4), sure=True), tmp_path))
    switch, show, turn_over = (
        [block for block in blocks.blocks.values() if getattr(block, "label", None) == "how sure"],
        *(next(fn.fn for fn in blocks.fns.values() if fn.name == name) for name in ("show", "turn_over")),
    )
    assert len(switch) == 1 and switch[0].visible and not switch[0].value
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    _, body, *_, bodies_of = show(str(tmp_path / "photo.png"), 0)
    assert body.endswith("person0.glb")
    assert turn_over(bodies_of, True)[0].endswith("how-sure.glb") and turn_over(bodies_of, False)[0] == body
    _, body, *_ = show(str(tmp_path / "photo.png"), 0, None, True)
    assert body.endswith("how-sure.glb")
