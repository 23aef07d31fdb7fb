"""The page as programs reach it: answers, refusals, hostile visitors, and its end."""

import signal
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote

import pytest
from conftest import ROOT
from glb import glb_header
from little_model import write_little_model
from PIL import Image
from served import serving
from small_films import write_film
from visitors import picture

sys.path.insert(0, str(ROOT / "benchmarks"))

from hostile import Refused, Visit, ask, call, encoded, upload, visits
from page import check_own

gradio_client = pytest.importorskip("gradio_client", reason="the page needs gradio")
pytest.importorskip("gradio", reason="the page needs gradio")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page's address, its process and its temporary folder."""
    folder = tmp_path_factory.mktemp("page")
    with serving(write_little_model(folder / "little.safetensors"), folder / "tmp") as (address, process):
        yield address, process, folder / "tmp"


@pytest.fixture(scope="module")
def client(served, tmp_path_factory):
    return gradio_client.Client(served[0], verbose=False, download_files=str(tmp_path_factory.mktemp("got")))


def write_photo(path: Path, count: int) -> Path:
    Image.fromarray(picture(count)).save(path)
    return path


def answer_to(client, path: Path, kind: str = "reconstruct"):
    return client.predict(gradio_client.handle_file(str(path)), 0, 0, 0, api_name=f"/{kind}")


def test_a_photo_and_a_film_come_back_as_files_that_open(client, tmp_path):
    overlay, body, files, words, *_ = answer_to(client, write_photo(tmp_path / "beach.png", 2))
    assert words.startswith("2 people in ") and len(glb_header(Path(body))["skins"]) == 2
    assert Path(overlay).name == "beach-overlay.png" and all(Path(f).name.startswith("beach-") for f in files)
    film = write_film(tmp_path / "walk.mp4", [picture(1)] * 8)
    _, body, files, words, *_ = answer_to(client, film, "film")
    assert words.startswith("One person in 8 frames") and glb_header(Path(body))["animations"]


def test_hostile_visitors_are_refused_in_sentences_and_nobody_gets_another_s_result(served, tmp_path):
    address, _, temporary = served
    film = write_film(tmp_path / "walk.mp4", [picture(1)] * 8).read_bytes()

    def said(visit: Visit) -> str:
        try:
            told = ask(address, visit)
        except Refused as refused:
            return str(refused)
        if visit.kind == "good":
            check_own(told, visit)
        return told[3]

    come = visits(40, picture(1), film)
    with ThreadPoolExecutor(8) as pool:
        sentences = list(pool.map(said, come))
    for visit, sentence in zip(come, sentences):
        assert str(temporary) not in sentence and "Traceback" not in sentence and len(sentence) > 20, sentence
        if visit.kind == "good":
            assert sentence.startswith("One person")
        if visit.kind == "promising":
            assert "megapixels" in sentence and sentence.endswith("give a smaller copy of it")


def test_neither_addresses_nor_other_files_are_taken_for_uploads(served):
    address, _, temporary = served
    for path, sentence in (
        ("http://127.0.0.1:9/a.png", "This is no file that was uploaded here: upload it."),
        (
            str(next(temporary.iterdir()) / "examples" / ".."),
            "This is no file that was uploaded here: upload it.",
        ),
        ("/etc/passwd", "None"),
    ):
        with pytest.raises(Refused) as refused:
            call(address, "reconstruct", {"path": path, "meta": {"_type": "gradio.FileData"}})
        assert str(refused.value) == sentence


def test_what_is_too_large_and_who_is_too_many_are_told_so(tmp_path):
    model = write_little_model(tmp_path / "little.safetensors")
    with serving(model, tmp_path / "tmp", megabytes=0.5, queue=1) as (address, _):
        with pytest.raises(Refused, match=r"^Files of more than 0\.5 MB are not taken here: give a smaller"):
            upload(address, "large.png", bytes(2**20))

        def said(visit: Visit) -> str:
            try:
                return ask(address, visit)[3]
            except Refused as refused:
                return str(refused)

        with ThreadPoolExecutor(8) as pool:
            good = Visit("good", "beach.png", encoded(picture(1), "PNG"))
            sentences = list(pool.map(said, [good] * 8))
    waiting = '{"detail": "Too many visitors are waiting here already: come again in a minute or two."}'
    assert waiting in sentences and any(sentence.startswith("One person") for sentence in sentences)


def test_no_file_but_the_visitor_s_own_is_served(served):
    address, _, temporary = served
    [folder] = temporary.iterdir()
    for path in (folder, folder / "..", Path("/etc/passwd"), Path(__file__)):
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(f"{address}gradio_api/file={quote(str(path))}")
        assert refused.value.code in (403, 404)


def test_sigterm_ends_the_page_and_leaves_no_file(served):
    address, process, temporary = served
    photo = Visit("good", "beach.png", encoded(picture(5, (1600, 1200)), "PNG"))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(ask, address, photo) for _ in range(2)]
        while len(list(next(temporary.iterdir()).rglob(".mpt-*"))) == 0 and not waiting[1].done():
            time.sleep(0.01)  # until one of them is being worked on
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    time.sleep(0.5)
    assert not list(temporary.iterdir())
