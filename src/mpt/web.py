"""``mpt serve``: a page on one's own computer, where a photo becomes bodies to turn about and download.

The page is gradio's, which comes with ``pip install mesh-pretraining[web]``; no other host is asked for
anything. What stands behind it, :func:`answer`, needs no gradio.
"""

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import count as counting
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mpt import demo, results, sureness
from mpt.errors import InputError
from mpt.export import write_coloured, write_picture
from mpt.images import read_picture
from mpt.reconstruct import Reconstruction, Reconstructor
from mpt.rigs.gltf import FACING
from mpt.saving import one_mesh
from mpt.skeletons import COCO17, Skeleton

if TYPE_CHECKING:
    import gradio

KEPT = 8  # answers whose files are still there
EXAMPLES = 3
HOUR_S = 3600  # after it, gradio deletes its copies of photos and answers
HOW_SURE = (
    "Colours the body by the standard deviation of its joints along any axis, about the middle of the hips: "
    "68 % of joints lie within 1.87 times this of the true ones."
)
ABOUT = """\
# A posed 3D body from a photo

Photos go to the computer that runs `mpt serve`, and nowhere else. The mesh is in metres; how far people stand
follows from the focal length, without one from an assumed view of 53 degrees. A wrong mesh can look right.
"""


@dataclass(frozen=True)
class Answer:
    """The files of one photo's people, and what to say of them.

    Attributes:
        overlay: the bodies over the photo, and from the side.
        together: a GLB of everybody where they stand, on the floor; None where nobody was found.
        how_sure: the same, coloured by how sure the model is; None where it does not say.
        files: all that can be downloaded.
        words: a sentence or two.
    """

    overlay: Path
    together: Path | None
    how_sure: Path | None
    files: tuple[Path, ...]
    words: str


def answer(
    reconstructor: Reconstructor,
    photo: str | os.PathLike | np.ndarray,
    folder: Path,
    *,
    focal_px: float | None = None,
    focal_mm: float | None = None,
) -> Answer:
    """Reconstruct a photo (a file, or HWC uint8 RGB) into a new folder, as ``mpt reconstruct`` does.

    Raises InputError for what is no picture, or a focal length that no camera has, or two.
    """
    image, exif_mm = read_picture(photo)
    start = time.perf_counter()
    found = reconstructor.pose2d(image)
    found_at = time.perf_counter()
    size_wh = image.shape[1], image.shape[0]
    people = reconstructor.lift(found, size_wh, focal_px=focal_px, focal_mm=focal_mm, exif_mm=exif_mm)
    lifted_at = time.perf_counter()
    folder.mkdir(parents=True)
    meshes = results.write_files(folder, image, people, ("glb",))
    seconds = results.Seconds(found_at - start, lifted_at - found_at, time.perf_counter() - start)
    name = "photo" if isinstance(photo, np.ndarray) else Path(photo).name
    model = reconstructor.model.name
    results.write_json(folder, results.as_json(name, model, seconds, people, meshes, size_wh=size_wh))
    files = [folder / "overlay.png", folder / "result.json", *(folder / mesh["glb"] for mesh in meshes)]
    words = _words(len(people), seconds, *reconstructor.model.skeleton.of)
    if len(people) > 1:
        files.append(folder / "everybody.glb")
    together, how_sure = files[-1] if people else None, None
    if people and says_how_sure(reconstructor):
        how_sure = folder / "how-sure.glb"
        _write_coloured(how_sure, reconstructor, people)
        files.append(how_sure)
    return Answer(files[0], together, how_sure, tuple(files), words)


def says_how_sure(reconstructor: Reconstructor) -> bool:
    return reconstructor.model.transformer.config.spread


def _write_coloured(path: Path, reconstructor: Reconstructor, people: list[Reconstruction]) -> None:
    """A GLB of everybody in the world, each vertex coloured by how sure the model is there."""
    world, shares = results.world_of_people(people), sureness.skin_shares(reconstructor.model.transformer)
    vertices, faces = one_mesh(people, world)
    colours = sureness.colours(np.concatenate([shares @ person.joints3d_std_m for person in people]))
    write_coloured(path, vertices * FACING, faces, colours)  # it turns them back


def _words(count: int, seconds: results.Seconds, one: str, more: str) -> str:
    if not count:
        nobody = "Nobody" if one == "person" else f"No {one}"
        return f"{nobody} was found. Give a photo that shows more, from nearer."
    who = f"One {one}" if count == 1 else f"{count} {more}"
    return (
        f"{who} in {seconds.total:.1f} s: found in {seconds.pose2d:.2f}, lifted in {seconds.mesh:.2f}, the "
        "rest is drawing. Drag the body to turn it."
    )


@cache
def example(number: int, skeleton: Skeleton = COCO17) -> np.ndarray:
    """One of the demo's made-up photographs, HWC uint8; a few seconds, the first time."""
    return next(islice(demo.scenes(skeleton), number % EXAMPLES, None)).image


class Answers:
    """Answers in folders of their own, of which the newest are kept."""

    def __init__(self, reconstructor: Reconstructor, folder: Path) -> None:
        self.reconstructor, self.folder = reconstructor, folder
        self._numbers = counting()

    def __call__(
        self,
        photo: str | os.PathLike | np.ndarray,
        focal_px: float | None = None,
        focal_mm: float | None = None,
    ) -> Answer:
        number = next(self._numbers)
        shutil.rmtree(self.folder / f"{number - KEPT}", ignore_errors=True)
        return answer(
            self.reconstructor, photo, self.folder / f"{number}", focal_px=focal_px, focal_mm=focal_mm
        )


def page(answers: Answers) -> "gradio.Blocks":
    """The page. Raises InputError where gradio is not installed."""
    gr = gradio_or_advice()

    def show(
        photo: str | None, focal_px: float | None, focal_mm: float | None = None, how_sure: bool = False
    ):
        if photo is None:
            raise gr.Error("Choose a photo first, or take a made-up one.", print_exception=False)
        with warnings.catch_warnings(record=True, category=UserWarning, action="always") as notes:
            try:
                found = answers(photo, focal_px or None, focal_mm or None)
            except InputError as error:
                raise gr.Error(str(error), print_exception=False) from None
        words = "\n\n".join([found.words, *(f"Note: {note.message}" for note in notes)])
        bodies = _path(found.together), _path(found.how_sure)
        return str(found.overlay), bodies[how_sure], [str(file) for file in found.files], words, bodies

    def turn_over(bodies: tuple[str | None, str | None], how_sure: bool):
        return bodies[how_sure], gr.update(visible=how_sure)

    def take(number: int):
        path = answers.folder / f"example{number % EXAMPLES}.png"
        if not path.exists():
            write_picture(path, example(number % EXAMPLES, answers.reconstructor.model.skeleton))
        return str(path), number + 1

    with gr.Blocks(title="mpt", analytics_enabled=False, delete_cache=(HOUR_S, HOUR_S)) as blocks:
        gr.Markdown(ABOUT)
        number, bodies = gr.State(0), gr.State((None, None))
        with gr.Row():
            with gr.Column():
                photo = gr.Image(
                    label="photo",
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "clipboard"],
                    height=420,
                )
                focal_px = gr.Number(label="focal length in pixels (0: not known)", value=0, minimum=0)
                focal_mm = gr.Number(label="or in mm, as 35 mm equivalent (0: not known)", value=0, minimum=0)
                with gr.Row():
                    another = gr.Button("a made-up photograph")
                    start = gr.Button("reconstruct", variant="primary")
                words = gr.Markdown(label="words")
            with gr.Column():
                overlay = gr.Image(
                    label="overlay", interactive=False, height=420, buttons=["download", "fullscreen"]
                )
                body = gr.Model3D(label="body", height=420, interactive=False, camera_position=(90, 85, 3.2))
                how_sure = gr.Checkbox(
                    label="how sure", info=HOW_SURE, visible=says_how_sure(answers.reconstructor)
                )
                legend = gr.HTML(_legend(), visible=False)
                files = gr.Files(label="download", interactive=False)
        asked, told = [photo, focal_px, focal_mm, how_sure], [overlay, body, files, words, bodies]
        start.click(show, asked, told, api_name="reconstruct")
        taken = another.click(take, number, [photo, number], api_visibility="private")
        taken.success(show, asked, told, api_visibility="private")
        how_sure.change(turn_over, [bodies, how_sure], [body, legend], api_visibility="private")
    return blocks


def _legend() -> str:
    """The colours of how sure, in centimetres: HTML that needs no style of the page's."""
    most = round(sureness.MOST_M * 100)
    marks = np.arange(0, most + 1, 2)
    shades = (np.round(sureness.colours(np.linspace(0, sureness.MOST_M, 2 * most + 1)) * 255)).astype(int)
    bar = ", ".join("rgb({}, {}, {})".format(*shade) for shade in shades)
    words = [f"{mark}" for mark in marks[:-1]] + [f"{most} cm or more"]
    return (
        f'<div style="height: 14px; border-radius: 4px; background: linear-gradient(to right, {bar})"></div>'
        '<div style="display: flex; justify-content: space-between">'
        + "".join(f"<span>{word}</span>" for word in words)
        + "</div>"
    )


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def serve(
    reconstructor: Reconstructor, host: str, port: int, *, ready: Callable[[str], None] = lambda address: None
) -> None:
    """Show the page until Ctrl-C. Raises InputError where gradio is not installed, or the port is taken."""
    with tempfile.TemporaryDirectory(prefix="mpt-") as folder:
        blocks = page(Answers(reconstructor, Path(folder)))
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                share=False,
                inbrowser=False,
                quiet=True,
                show_error=True,
                prevent_thread_lock=True,
                ssr_mode=False,
                footer_links=["api"],
                allowed_paths=[folder],
            )
        except OSError:
            raise InputError(
                f"--port {port}: nothing can be served there on {host}, it may be taken; choose another one"
            ) from None
        ready(address)
        blocks.block_thread()


def gradio_or_advice():
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when it is imported
    os.environ.setdefault("GRADIO_RUN_HISTORY", "False")  # nor anything kept in the browser
    try:
        import gradio
    except ImportError:
        raise InputError(
            "the page needs gradio, which is not installed: run `pip install mesh-pretraining[web]`"
        ) from None
    return gradio
