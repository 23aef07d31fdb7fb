"""The page in a real browser: what visitors see, from the upload to the file that they keep."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from glb import glb_header
from little_model import write_little_model
from PIL import Image
from served import serving
from small_films import write_film
from visitors import picture

pytest.importorskip("gradio", reason="the page needs gradio")
playwright = pytest.importorskip("playwright.sync_api", reason="a browser is driven by playwright")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
GRAPHICS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PATIENCE_MS = 45_000
SELDOM = "window.requestAnimationFrame = draw => setTimeout(() => draw(performance.now()), 150)"
"""Bodies are drawn a few times a second: without a GPU more takes all of a core."""


@pytest.fixture(scope="module")
def chromium():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no browser is here: install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=GRAPHICS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    model = write_little_model(folder / "little.safetensors", sure=True)
    with serving(model, folder / "tmp") as (address, _):
        yield address


class Visit:
    """A visitor's window, which notes what a page should not do."""

    def __init__(self, browser, address: str, width: int = 900) -> None:
        self.faults: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": 600}, accept_downloads=True)
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.add_init_script("delete Navigator.prototype.gpu")  # which the CPU stands in for badly
        self.page.add_init_script(SELDOM)
        self.page.on("console", lambda said: said.type == "error" and self.faults.append(said.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda asked: self._check(asked.url, address))
        self.page.goto(address)

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        self.page.close()  # or its canvas is drawn on, frame by frame, while others wait
        assert kind or not self.faults

    def _check(self, url: str, address: str) -> None:
        if not url.startswith((address, address.replace("http", "ws"), "blob:", "data:")):
            self.faults.append(f"asked {url}")

    def give(self, kind: str, path: Path) -> str:
        """Upload to the page, and press the button; the words that come."""
        if kind == "film":
            self.page.get_by_role("tab", name="Film").click()
        self.page.set_input_files(f"#{kind} input[type=file]", path)
        self.page.wait_for_function(f"document.querySelector('#{kind} img, #{kind} video')")
        self.page.click(f"#start-{kind}")
        return self.words(kind, "(One|[0-9]+) (person|people|hand)")

    def words(self, kind: str, pattern: str) -> str:
        """Those that begin so, when they come."""
        words = self.page.locator(f"#words-{kind}").get_by_text(re.compile(f"^{pattern}")).first
        words.wait_for()
        return words.inner_text()

    def drawn(self, kind: str) -> np.ndarray:
        """(H, W) which pixels of the body's canvas are coloured, when something stands on it."""
        canvas = self.page.locator(f"#body-{kind} canvas")
        for _ in range(30):
            with Image.open(io.BytesIO(canvas.screenshot(timeout=PATIENCE_MS))) as shot:
                pixels = np.asarray(shot.convert("RGB")).astype(int)
            coloured = np.ptp(pixels, -1) > 40
            if coloured.mean() > 0.01:
                return coloured
            self.page.wait_for_timeout(300)
        raise AssertionError("the canvas stays empty")

    def download(self, kind: str, name: str, folder: Path) -> Path:
        with self.page.expect_download() as coming:
            self.page.locator(f"#files-{kind} a[download='{name}']").first.click()
        path = folder / coming.value.suggested_filename
        coming.value.save_as(path)
        return path


def whole(shown: np.ndarray) -> bool:
    """Whether what is drawn fills much of the canvas, and touches none of its edges."""
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    inside = rows[0] > 0 and rows[-1] < len(shown) - 1 and columns[0] > 0 and columns[-1] < shown.shape[1] - 1
    return inside and (np.ptp(rows) > 0.5 * len(shown) or np.ptp(columns) > 0.5 * shown.shape[1])


def test_a_photo_of_each_number_of_people_is_seen_whole_and_can_be_kept(chromium, server, tmp_path):
    with Visit(chromium, server) as visit:
        Image.fromarray(picture(1)).save(tmp_path / "beach day.png")
        assert visit.give("photo", tmp_path / "beach day.png").startswith("One person")
        assert whole(visit.drawn("photo"))
        for example, count in enumerate((4, 5)):
            visit.page.locator("#gallery button.thumbnail-item").nth(example).click()
            visit.words("photo", f"{count} people")
            visit.page.wait_for_timeout(500)
            assert whole(visit.drawn("photo"))
        name = "row-of-5-everybody.glb"
        assert len(glb_header(visit.download("photo", name, tmp_path))["skins"]) == 5
        result = json.loads(visit.download("photo", "row-of-5-result.json", tmp_path).read_text())
        assert result["everybody"] == name and len(result["people"]) == 5


def test_a_film_plays_beside_bodies_that_move_and_is_drawn_again_as_switches_say(chromium, server, tmp_path):
    with Visit(chromium, server) as visit:
        film = write_film(tmp_path / "walk.mp4", [picture(2)] * 10)
        assert visit.give("film", film).startswith("2 people in 10 frames")
        visit.drawn("film")
        playing = "document.querySelector('#overlay-film video')"
        visit.page.wait_for_function(f"{playing} && {playing}.videoWidth > 320")
        visit.page.click("#side-view-film input")
        visit.page.wait_for_function(f"{playing} && {playing}.videoWidth == 320")
        visit.page.locator("#shown-film input").first.click()
        visit.page.wait_for_function(f"{playing} && {playing}.currentSrc.endsWith('walk-overlay-of-1.mp4')")
        assert glb_header(visit.download("film", "walk-everybody.glb", tmp_path))["animations"]


def test_on_a_phone_nothing_is_wider_than_the_screen(chromium, server):
    with Visit(chromium, server, width=390) as visit:
        for tab in ("Photo", "Film"):
            visit.page.get_by_role("tab", name=tab).click()
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
            boxes = [box.bounding_box() for box in visit.page.locator("button:visible, .block:visible").all()]
            assert all(box["x"] >= 0 and box["x"] + box["width"] <= 391 for box in boxes if box)
        visit.page.get_by_role("tab", name="Photo").click()
        visit.page.locator("#gallery button.thumbnail-item").nth(1).click()
        visit.words("photo", "5 people")
        assert whole(visit.drawn("photo"))
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_text_called_png_is_refused_in_our_words_without_a_folder(chromium, server, tmp_path):
    with Visit(chromium, server) as visit:
        (tmp_path / "letter.png").write_text("Dear reader")
        visit.page.set_input_files("#photo input[type=file]", tmp_path / "letter.png")
        visit.page.wait_for_timeout(500)
        visit.page.click("#start-photo")
        said = visit.page.locator(".toast-body").first.inner_text()
        assert "letter.png is no picture that can be read: give a JPEG, PNG" in said and "/" not in said


def test_hands_have_their_own_words(chromium, tmp_path):
    with serving("mpt-hand", tmp_path / "tmp") as (address, _), Visit(chromium, address) as visit:
        visit.page.get_by_role("heading", name="A posed 3D hand from a photo").wait_for()
        assert visit.page.get_by_role("tab", name="Film").count() == 0
        Image.fromarray(picture(1)).save(tmp_path / "hand.png")
        assert visit.give("photo", tmp_path / "hand.png").startswith("One hand")
        visit.drawn("photo")
