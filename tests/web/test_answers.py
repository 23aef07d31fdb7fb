"""The page's answers, which need no gradio."""

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from glb import glb_attribute, glb_header
from little_model import write_little_model
from PIL import Image
from posed import skinned_by_hand
from small_films import write_film
from visitors import Counted, picture

from mpt import bodies, checkpoint, sureness
from mpt.cli import main
from mpt.errors import InputError
from mpt.reconstructor import Reconstructor
from mpt.web import filmed, photos
from mpt.web.page import _legend
from mpt.web.uploads import Limits, Shelf, Upload, check_film, named_after


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Reconstructor:
    folder = tmp_path_factory.mktemp("model")
    return Reconstructor(checkpoint.load(write_little_model(folder / "little.safetensors")), Counted())


@pytest.fixture(scope="module")
def sure(tmp_path_factory) -> Reconstructor:
    """Of a model that says how sure it is."""
    folder = tmp_path_factory.mktemp("model")
    model = checkpoint.load(write_little_model(folder / "sure.safetensors", sure=True))
    return Reconstructor(model, Counted())


def photo(folder: Path, count: int, name: str = "beach day.png") -> Upload:
    path = folder / "0123.png"
    Image.fromarray(picture(count)).save(path)
    return Upload(path, name)


def film(folder: Path, count: int, frames: int = 8) -> Upload:
    pictures = [picture(count) for _ in range(frames)]
    return Upload(write_film(folder / "0123.mp4", pictures), "../walk.mp4")


def test_a_photo_is_answered_with_everybody_where_they_stand_under_its_name(people, tmp_path):
    found = photos.answer(people, photo(tmp_path, 2), tmp_path / "answer", focal_px=400)
    assert sorted(file.name for file in found.files) == [
        f"beach-day-{name}"
        for name in ("everybody.glb", "overlay.png", "person0.glb", "person1.glb", "result.json")
    ]
    assert found.words.startswith("2 people in ")
    with Image.open(found.overlay) as overlay:
        shown = np.asarray(overlay)[:, :320]
    assert (shown != picture(2)).any(-1).mean() > 0.02
    folder = tmp_path / "answer"
    result = json.loads((folder / "beach-day-result.json").read_text())
    assert result["image"] == "beach day.png" and result["everybody"] == "beach-day-everybody.glb"
    files = [folder / person["meshes"]["glb"] for person in result["people"]]
    together = np.stack(skinned_by_hand(found.together))
    np.testing.assert_allclose(together, [skinned_by_hand(file)[0] for file in files], atol=1e-4)
    first, second = (np.array(person["camera"]["translation_m"]) for person in result["people"])
    assert np.linalg.norm(second - first) == pytest.approx(
        np.linalg.norm(together[0].mean(0) - together[1].mean(0)), abs=0.05
    )


def test_one_person_is_their_own_mesh_and_nobody_none(people, tmp_path):
    one = photos.answer(people, photo(tmp_path, 1), tmp_path / "one")
    assert one.how_sure is None and one.together == tmp_path / "one" / "beach-day-person0.glb"
    assert one.words.startswith("One person")
    nobody = photos.answer(people, photo(tmp_path, 0), tmp_path / "nobody")
    assert nobody.together is None and nobody.body([]) is None and nobody.drawn([]) == nobody.overlay
    assert [file.name for file in nobody.files] == ["beach-day-overlay.png", "beach-day-result.json"]
    assert nobody.words.startswith("Nobody was found.")


def shown_nodes(glb: Path) -> set[str]:
    header = glb_header(glb)
    return {header["nodes"][node]["name"] for node in header["scenes"][0]["nodes"]}


def test_who_is_hidden_is_neither_in_the_picture_nor_in_the_body(people, tmp_path):
    found = photos.answer(people, photo(tmp_path, 3), tmp_path / "answer")
    everybody = {"person0", "person1", "person2"}
    skins = {f"{name} skin" for name in everybody}
    assert everybody | skins <= shown_nodes(found.together) and found.body([0, 1, 2]) == found.together
    assert (everybody | skins) & shown_nodes(found.body([0, 2])) == {
        "person0",
        "person0 skin",
        "person2",
        "person2 skin",
    }
    tops = [glb_attribute(found.together, "COLOR_0", mesh).tobytes() for mesh in range(3)]
    assert len(set(tops)) == 3

    def drawn(shown, **how) -> np.ndarray:
        with Image.open(found.drawn(shown, **how)) as opened:
            return np.asarray(opened)

    def changed(shown, **how) -> np.ndarray:
        return (drawn(shown, **how)[:, :320] != picture(3)).any(-1)

    all_three, outer = changed([0, 1, 2]), changed([0, 2])
    middle = np.s_[60:180, 140:180]
    assert all_three[middle].any() and not outer[middle].any() and outer.any()
    assert drawn([0, 2], beside=False).shape == picture(3).shape
    assert (changed([0], joints=True, beside=False) != changed([0], beside=False)).any()
    assert found.body([]) is None and not changed([]).any()


def test_a_model_that_says_how_sure_it_is_colours_everybody_s_skin(sure, tmp_path):
    upload = photo(tmp_path, 2)
    scale = torch.ones(17)
    scale[sure.model.skeleton.index("left_wrist")] = 3
    alone = sure(picture(2))
    sure.model.transformer.spread_scale.mul_(0.02 / alone[0].joints3d_std_m.mean()).mul_(scale)
    found = photos.answer(sure, upload, tmp_path / "answer")
    assert found.how_sure.name == "beach-day-how-sure.glb" and found.how_sure in found.files
    assert shown_nodes(found.body([1], how_sure=True)) == {"person1"}
    hand = bodies.load().parts["hand.L"].numpy()
    standing = [glb_attribute(found.how_sure, "POSITION", mesh=k) for k in (0, 1)]
    for person, one in zip(standing, alone):
        sizes = (np.linalg.norm(mesh - mesh[0], axis=1) for mesh in (person, one.vertices))
        np.testing.assert_allclose(*sizes, atol=1e-4)
    for k in (0, 1):  # viridis, in linear light: yellow where the model is sure, violet where it is not
        shown = glb_attribute(found.how_sure, "COLOR_0", mesh=k)
        assert shown[:, 1].mean() > 2 * shown[hand, 1].mean()


def test_the_legend_s_ends_are_the_scale_s():
    least, most = (
        "rgb({:.0f}, {:.0f}, {:.0f})".format(*255 * sureness.colours(np.array(std)))
        for std in (0, sureness.MOST_M)
    )
    legend = _legend()
    assert f"to right, {least}, " in legend and f", {most})" in legend
    assert "<span>0</span><span>2</span>" in legend and "<span>10 cm or more</span>" in legend


def test_a_film_is_answered_with_the_film_and_bodies_that_move(people, tmp_path):
    told = []
    found = filmed.answer(
        people, film(tmp_path, 2), tmp_path / "answer",
        progress=lambda doing, done, total: told.append((doing, done, total)),
    )  # fmt: skip
    assert found.overlay.name == "walk-overlay.mp4" and found.words.startswith("2 people in 8 frames")
    assert {file.suffix for file in found.files} == {".mp4", ".json", ".npz", ".glb", ".bvh"}
    assert all(file.is_file() and file.name.startswith("walk-") for file in found.files)
    assert glb_header(found.body([0, 1]))["animations"]
    assert "person0" not in shown_nodes(found.body([1])) and "person1" in shown_nodes(found.body([1]))
    assert json.loads((tmp_path / "answer" / "walk-result.json").read_text())["film"] == "../walk.mp4"
    assert ("watching", 8, 8) in told


def pictures_of(film: Path) -> np.ndarray:
    """(F, H, W, 3)"""
    with av.open(str(film)) as opened:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]).astype(int)


def test_a_film_is_drawn_again_with_some_people_skeletons_and_how_sure(sure, tmp_path):
    sure.model.transformer.spread_scale.fill_(0.02)
    found = filmed.answer(sure, film(tmp_path, 2), tmp_path / "answer")
    (tmp_path / "0123.mp4").unlink()
    plain, bare = pictures_of(found.overlay), picture(2).astype(int)

    def drawn(shown: list[int], **switches: bool) -> np.ndarray:
        return pictures_of(filmed.drawn(sure, found, shown, **switches))

    assert filmed.drawn(sure, found, [0, 1]) == found.overlay
    both = drawn([0, 1], beside=False)
    assert len(both) == len(plain) == 8 and both.shape[2] == 320 < plain.shape[2]
    assert np.abs(both - plain[:, :, :320]).mean() < 2
    assert (np.ptp(drawn([], beside=False) - bare, axis=-1) < 30).all()
    left, right = np.s_[:, :, 60:150], np.s_[:, :, 180:260]
    alone = np.ptp(drawn([1], beside=False), axis=-1) > 40
    assert not alone[left].any() and alone[right].any() and (np.ptp(both, axis=-1)[left] > 40).any()
    assert drawn([1]).shape[2] < plain.shape[2]
    assert (np.abs(drawn([0, 1], joints=True) - plain) > 60).any()
    coloured = drawn([0, 1], beside=False, how_sure=True)[right]
    assert (coloured[..., 1] - coloured[..., 2] > 60).any()  # yellow and green, where bodies are blue and red
    assert len(list((tmp_path / "answer").glob("*-of-*"))) <= 8


def test_of_a_long_film_the_beginning_is_taken_and_said(people, tmp_path):
    found = filmed.answer(people, film(tmp_path, 1), tmp_path / "answer", limits=Limits(seconds=0.6))
    assert found.words.startswith("One person in 6 frames")
    assert found.words.endswith("Of longer films this page takes the first 0.6 seconds, and so it was here.")


def refusal(ask, *args, **kwargs) -> str:
    with pytest.raises(InputError) as refused:
        ask(*args, **kwargs)
    return str(refused.value)


def test_what_is_no_photo_or_film_or_too_much_is_refused_and_leaves_nothing(people, tmp_path):
    place = tmp_path / "answer"
    letter = Upload(tmp_path / "letter.png", "letter.png")
    letter.path.write_text("a letter")
    assert "no picture that can be read" in refusal(photos.answer, people, letter, place)
    assert "is no film that can be read: give an MP4" in refusal(filmed.answer, people, letter, place)
    beach, walk = photo(tmp_path, 1), film(tmp_path, 1)
    assert "is a picture, and a film was expected: give it under Photo" in refusal(
        filmed.answer, people, beach, place
    )
    assert "is a video" in refusal(photos.answer, people, walk, place)
    assert "the focal length is -1" in refusal(photos.answer, people, beach, place, focal_px=-1)
    few = Limits(megabytes=1e-4)
    assert "this page takes 0.0001 at most" in refusal(photos.answer, people, beach, place, limits=few)
    assert "this page takes 0.0001 at most" in refusal(filmed.answer, people, walk, place, limits=few)
    small = Limits(megapixels=0.05)
    for ask, upload in ((photos.answer, beach), (filmed.answer, walk)):
        sentence = refusal(ask, people, upload, place, limits=small)
        assert "has 320 x 240 pixels, 0 megapixels, and this page takes 0.05 at most" in sentence
    assert not place.exists()


@pytest.mark.parametrize("content", [b"#EXTM3U\n/etc/passwd", b"ffconcat version 1.0\nfile /etc/passwd"])
def test_lists_of_other_files_are_no_films(tmp_path, content):
    path = tmp_path / "list.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no film"):
        check_film(Upload(path, "list.mp4"), Limits())


def test_sentences_and_downloads_have_the_visitor_s_name_and_no_folder():
    def upload(name: str) -> Upload:
        return Upload(Path("/srv/secret/0123.png"), name)

    assert upload("../../etc/pass wd.png").stem == "pass-wd"
    assert upload(r"C:\photos\me.jpg").stem == "me"
    assert upload("").stem == "upload" and len(upload("x" * 300 + ".png").stem) == 60
    assert upload("Zoë.jpg").stem == "Zoë"
    assert upload("../me.png").in_words("/srv/secret/0123.png is broken") == "me.png is broken"


def test_only_the_newest_answers_are_kept_under_names_that_nobody_guesses(tmp_path):
    shelf = Shelf(tmp_path, kept=2)
    places = [shelf.new() for _ in range(2)]
    for place in places:
        place.mkdir()
        shelf.keep(place, place.name)
    third = shelf.new()
    assert [place.exists() for place in places] == [False, True]
    assert [shelf.answer(place) for place in (*places, None)] == [None, places[1].name, None]
    assert len({place.name for place in (*places, third)}) == 3 and all(len(p.name) == 32 for p in places)


def test_a_result_s_names_are_those_of_its_files(tmp_path):
    (tmp_path / "person0.glb").write_bytes(b"")
    (tmp_path / "result.json").write_text('{"image": "person0.glb", "people": [{"glb": "person0.glb"}]}')
    assert [path.name for path in named_after(tmp_path, "a")] == ["a-person0.glb", "a-result.json"]
    told = json.loads((tmp_path / "a-result.json").read_text())
    assert told == {"image": "person0.glb", "people": [{"glb": "a-person0.glb"}]}


def test_without_gradio_the_command_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["serve"]) == 2
    assert "run `pip install 'mesh-pretraining[web]'`" in capsys.readouterr().err
    assert main(["serve", "--port", "70000"]) == 2
    assert "--port is 70000: give a number from 1 to 65535" in capsys.readouterr().err
    assert main(["serve", "--most-seconds", "0"]) == 2
    assert "--most-seconds is 0: give a number above 0" in capsys.readouterr().err
