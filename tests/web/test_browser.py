"""The page in a real browser: what visitors see, from the upload to the file that they keep."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from little_model import write_little_model
from PIL import Image

pytest.importorskip("gradio", reason="the page needs gradio")
playwright = pytest.importorskip("playwright.sync_api", reason="a browser is driven by playwright")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
GRAPHICS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PATIENCE_MS = 240_000
HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(model: str | Path, temporary: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """A page's address, and its process."""
    temporary.mkdir()
    paths = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "TMPDIR": str(temporary)}
    command = [sys.executable, "-W", "ignore", str(HERE / "visitors.py"), str(model), str(free_port())]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("Open http"), line
        yield line.split()[1], process
    finally:
        process.kill()
        process.wait()


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
        self.page.on("console", lambda said: said.type == "error" and self.faults.append(said.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda asked: self._check(asked.url, address))
        self.page.goto(address)

    def _check(self, url: str, address: str) -> None:
        if not url.startswith((address, address.replace("http", "ws"), "blob:", "data:")):
            self.faults.append(f"asked {url}")

    def give(self, kind: str, path: Path) -> str:
        """Upload and press the button; the words that come."""
        if kind == "film":
            self.page.get_by_role("tab", name="Film").click()
        self.page.set_input_files(f"#{kind} input[type=file]", path)
        self.page.wait_for_function(f"document.querySelector('#{kind} img, #{kind} video')")
        self.page.click(f"#start-{kind}")
        words = self.page.locator(f"#words-{kind}")
        words.get_by_text(re.compile("person|people|hand|Nobody")).first.wait_for()
        return words.inner_text()

    def drawn(self, kind: str) -> np.ndarray:
        """(H, W, 3) of the body's canvas, when something stands on it."""
        canvas = self.page.locator(f"#body-{kind} canvas")
        for _ in range(30):
            shot = canvas.screenshot(timeout=PATIENCE_MS)
            (Path(os.environ["SHOTS"]) / f"{kind}.png").write_bytes(shot) if "SHOTS" in os.environ else None
            pixels = np.asarray(Image.open(__import__("io").BytesIO(shot)).convert("RGB")).astype(int)
            if (np.ptp(pixels, -1) > 40).mean() > 0.01:
                return pixels
            self.page.wait_for_timeout(300)
        raise AssertionError("the canvas stays empty")

    def download(self, kind: str, name: str, folder: Path) -> Path:
        with self.page.expect_download() as coming:
            self.page.locator(f"#files-{kind} a[download='{name}']").first.click()
        path = folder / coming.value.suggested_filename
        coming.value.save_as(path)
        return path
