"""The page's answers, with gradio and without."""

import json
import sys

import numpy as np
import pytest
from little_model import standing_joints, write_little_model
from PIL import Image
from posed import skinned_by_hand

from mpt import checkpoint, web
from mpt.cli import main
from mpt.errors import InputError
from mpt.pose2d.keypoints import Keypoints
from mpt.reconstruct import Reconstructor

SIZE = (320, 240)
PHOTO = np.full((240, 320, 3), 128, np.uint8)


def seeing(tmp_path_factory, *at_m) -> Reconstructor:
    """Somebody stands at each place, whatever the photo."""
    model = checkpoint.load(write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors"))
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
    assert one.together == tmp_path / "one" / "person0.glb" and one.words.startswith("One person")
    nobody = web.answer(seeing(tmp_path_factory), PHOTO, tmp_path / "nobody")
    assert nobody.together is None and [file.name for file in nobody.files] == ["overlay.png", "result.json"]
    assert nobody.words.startswith("Nobody was found.")


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
    overlay, body, files, words = show(str(tmp_path / "photo.png"), 0)
    assert overlay in files and body.endswith("everybody.glb") and words.startswith("2 people")
    *_, words = show(str(tmp_path / "photo.png"), 0, 26)
    assert "Note" not in words
    *_, words = show(str(tmp_path / "photo.png"), 26)
    assert "Note: a focal length of 26 pixels is a view of 165 degrees" in words
    with pytest.raises(Exception, match="Choose a photo first"):
        show(None, 0)
