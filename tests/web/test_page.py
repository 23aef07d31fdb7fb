"""The page as programs reach it: answers, refusals, hostile visitors, and its end."""

import io
import random
import signal
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote

import pytest
from glb import glb_header
from little_model import write_little_model
from pictures_promising import promising
from PIL import Image
from served import serving
from small_films import write_film
from visitors import picture

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


def ask(client, path: Path, kind: str = "reconstruct"):
    return client.predict(gradio_client.handle_file(str(path)), 0, 0, 0, api_name=f"/{kind}")


def test_a_photo_and_a_film_come_back_as_files_that_open(client, tmp_path):
    overlay, body, files, words, *_ = ask(client, write_photo(tmp_path / "beach.png", 2))
    assert words.startswith("2 people in ") and len(glb_header(Path(body))["skins"]) == 2
    assert Path(overlay).name == "beach-overlay.png" and all(Path(f).name.startswith("beach-") for f in files)
    film = write_film(tmp_path / "walk.mp4", [picture(1)] * 8)
    _, body, files, words, *_ = ask(client, film, "film")
    assert words.startswith("One person in 8 frames") and glb_header(Path(body))["animations"]


def test_hostile_uploads_are_refused_in_sentences_and_the_page_lives(client, served, tmp_path):
    rng, whole = random.Random(0), io.BytesIO()
    Image.fromarray(picture(1)).save(whole, "PNG")
    contents = [b"Dear reader", b"", promising(10_000, 10_000), b"GIF89a", b"<svg onload='alert(1)'/>"]
    for _ in range(15):
        damaged = bytearray(whole.getvalue())
        for _ in range(rng.randrange(1, 20)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        contents.append(bytes(damaged[: rng.randrange(1, len(damaged))] if rng.random() < 0.3 else damaged))
    paths = [tmp_path / f"{number}.png" for number in range(len(contents))]
    for path, content in zip(paths, contents):
        path.write_bytes(content)

    def said(path: Path) -> str:
        try:
            return ask(client, path)[3]
        except Exception as error:
            return str(error)

    with ThreadPoolExecutor(8) as visitors:
        sentences = list(visitors.map(said, paths))
    for sentence in sentences:
        assert "mpt-" not in sentence and "Traceback" not in sentence and len(sentence) > 20, sentence
    assert "megapixels, and this page takes 50 at most" in sentences[2]
    host, port = served[0].removeprefix("http://").strip("/").split(":")
    for _ in range(8):  # uploads that are broken off
        with socket.create_connection((host, int(port))) as line:
            head = "POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n"
            line.sendall((head + "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n").encode())
    assert ask(client, write_photo(tmp_path / "after.png", 1))[3].startswith("One person")


def test_no_file_but_the_visitor_s_own_is_served(served):
    address, _, temporary = served
    [folder] = temporary.iterdir()
    for path in (folder, folder / "..", Path("/etc/passwd"), Path(__file__)):
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(f"{address}gradio_api/file={quote(str(path))}")
        assert refused.value.code in (403, 404)


def test_sigterm_ends_the_page_and_leaves_no_file(served, client):
    _, process, temporary = served
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0 and not list(temporary.iterdir())
