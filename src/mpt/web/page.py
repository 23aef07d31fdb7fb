"""The page: what stands on it, and what its buttons and switches do."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mpt import sureness
from mpt.errors import InputError
from mpt.reconstructor import Reconstructor
from mpt.web import examples, filmed, photos
from mpt.web.filmed import FilmAnswer
from mpt.web.photos import PhotoAnswer, says_how_sure
from mpt.web.uploads import Limits, Shelf, Upload

if TYPE_CHECKING:
    import gradio

HOUR_S = 3600  # after it, gradio deletes its copies of uploads
AHEAD_DEG = (90, 80)  # from ahead, a little above
HEIGHT_PX = 420
TOLD_S = 0.25  # between two words on how far a film is
WORK = "work"  # what is done for one visitor at a time
HOW_SURE = (
    "Colours the body by the standard deviation of its joints along any axis, about the middle of the hips: "
    "68 % of joints lie within 1.87 times this of the true ones."
)
GONE = "This answer is no longer kept here: press reconstruct again."


@dataclass
class Desk:
    """What the page works with.

    Attributes:
        folder: an empty one, for answers and examples.
        stopped: set when the page is closed, so that a film that is being watched ends.
    """

    reconstructor: Reconstructor
    folder: Path
    limits: Limits = field(default_factory=Limits)
    stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.folder)

    def photo(self, upload: Upload, **lens: float | None) -> PhotoAnswer:
        return photos.answer(self.reconstructor, upload, self.shelf.new(), limits=self.limits, **lens)

    def film(self, upload: Upload, tell: Callable[..., object], **lens: float | None) -> FilmAnswer:
        told = 0.0

        def progress(doing: str, done: int, total: int | None) -> None:
            nonlocal told
            if self.stopped.is_set():
                raise InputError("the page is being closed")
            if time.monotonic() - told > TOLD_S:
                told = time.monotonic()
                tell((done, total), desc=doing, unit="frames")

        return filmed.answer(
            self.reconstructor, upload, self.shelf.new(), limits=self.limits, progress=progress, **lens
        )


def page(desk: Desk) -> "gradio.Blocks":
    """The page. Raises InputError where gradio is not installed."""
    gr = gradio_or_advice()
    skeleton = desk.reconstructor.model.skeleton
    one, _ = skeleton.of
    with gr.Blocks(
        title="mpt", analytics_enabled=False, delete_cache=(HOUR_S, HOUR_S), fill_width=True
    ) as blocks:
        gr.Markdown(_about(one, desk.limits, films=skeleton.two_sided))
        if skeleton.two_sided:
            with gr.Tab("Photo"):
                _photo_tab(gr, blocks, desk)
            with gr.Tab("Film"):
                _film_tab(gr, desk)
        else:
            _photo_tab(gr, blocks, desk)
    blocks.queue(max_size=desk.limits.queue, default_concurrency_limit=4)
    return blocks


def _photo_tab(gr: Any, blocks: "gradio.Blocks", desk: Desk) -> None:
    skeleton = desk.reconstructor.model.skeleton
    one, more = skeleton.of

    def show(photo: dict | None, *lens: object):
        with _said(gr, photo, "photo") as (upload, notes):
            found = desk.photo(upload, **_lens(*lens))
        whole = list(range(len(found.people)))
        return (
            str(found.overlay), _path(found.together), [str(file) for file in found.files],
            _with_notes(found.words, notes, upload), found, _chooser(gr, one, len(whole)), False, True, False,
            gr.update(visible=False),
        )  # fmt: skip

    def look(found: PhotoAnswer | None, shown: list[int], joints: bool, beside: bool, how_sure: bool):
        if found is None:
            return None, gr.update(), gr.update(visible=how_sure)
        if not found.overlay.exists():
            raise gr.Error(GONE, print_exception=False)
        return (
            str(found.drawn(shown, joints=joints, beside=beside)),
            gr.update(value=_path(found.body(shown, how_sure=how_sure)), **_seen_whole(found, shown)),
            gr.update(visible=how_sure),
        )

    def drawn():
        return [(str(path), name) for path, name in examples.gallery(desk.folder / "examples", skeleton)]

    def take(event: gr.SelectData):  # pyright: ignore[reportInvalidTypeForm]
        path, _ = examples.gallery(desk.folder / "examples", skeleton)[event.index]
        return str(path)

    found = gr.State(None)
    with gr.Row():
        with gr.Column(min_width=300):
            photo = gr.Image(
                label="photo", type="filepath", image_mode=None, sources=["upload", "clipboard"],
                height=HEIGHT_PX, elem_id="photo",
            )  # fmt: skip
            start = gr.Button("reconstruct", variant="primary", elem_id="start-photo")
            lens = _lens_fields(gr)
            made_up = gr.Gallery(
                label="or take a made-up one", columns=4, height=150, allow_preview=False, interactive=False,
                object_fit="cover", elem_id="gallery",
            )  # fmt: skip
        with gr.Column(min_width=300):
            words = gr.Markdown(elem_id="words-photo")
            overlay = gr.Image(
                label="overlay", interactive=False, height=HEIGHT_PX, buttons=["download", "fullscreen"],
                elem_id="overlay-photo",
            )  # fmt: skip
            with gr.Row():
                joints = gr.Checkbox(label="skeleton", elem_id="skeleton")
                beside = gr.Checkbox(label="side view", value=True, elem_id="side-view")
            shown = gr.CheckboxGroup(label=more, visible=False, elem_id="shown-photo")
            body = _body(gr, "body-photo")
            how_sure = gr.Checkbox(
                label="how sure", info=HOW_SURE, visible=says_how_sure(desk.reconstructor), elem_id="how-sure"
            )
            legend = gr.HTML(_legend(), visible=False)
            files = gr.Files(label="download", interactive=False, elem_id="files-photo")
    told = [overlay, body, files, words, found, shown, joints, beside, how_sure, legend]
    work = {"concurrency_limit": 1, "concurrency_id": WORK, "preprocess": False}
    asked = start.click(show, [photo, *lens], told, api_name="reconstruct", **work)
    taken = made_up.select(take, None, photo, api_visibility="private")
    examined = taken.success(show, [photo, *lens], told, api_visibility="private", **work)
    for answered in (asked, examined):
        answered.success(
            _step_back(gr), [found, shown], body, api_visibility="private", show_progress="hidden"
        )
    for switch in (shown, joints, beside, how_sure):
        switch.input(
            look, [found, shown, joints, beside, how_sure], [overlay, body, legend], api_visibility="private"
        )
    blocks.load(drawn, None, made_up, api_visibility="private")


def _film_tab(gr: Any, desk: Desk) -> None:
    def show(film: dict | None, *lens: object, tell=gr.Progress()):  # noqa: B008 - so gradio wants it
        with _said(gr, film, "film") as (upload, notes):
            found = desk.film(upload, tell, **_lens(*lens))
        everybody = range(len(found.people))
        return (
            _path(found.overlay), _path(found.body(everybody)), [str(file) for file in found.files],
            _with_notes(found.words, notes, upload), found, _chooser(gr, "person", len(everybody)),
        )  # fmt: skip

    def look(found: FilmAnswer | None, shown: list[int]):
        if found is None:
            return gr.update()
        path = found.body(shown)
        if path is not None and not path.exists():
            raise gr.Error(GONE, print_exception=False)
        return gr.update(value=_path(path), **_seen_whole(found, shown))

    found = gr.State(None)
    with gr.Row():
        with gr.Column(min_width=300):
            film = gr.Video(label="film", sources=["upload"], height=HEIGHT_PX, elem_id="film")
            start = gr.Button("reconstruct", variant="primary", elem_id="start-film")
            lens = _lens_fields(gr)
        with gr.Column(min_width=300):
            words = gr.Markdown(elem_id="words-film")
            overlay = gr.Video(
                label="overlay", interactive=False, height=HEIGHT_PX, autoplay=True, loop=True,
                buttons=["download"], elem_id="overlay-film",
            )  # fmt: skip
            shown = gr.CheckboxGroup(label="people", visible=False, elem_id="shown-film")
            body = _body(gr, "body-film")
            files = gr.Files(label="download", interactive=False, elem_id="files-film")
    answered = start.click(
        show, [film, *lens], [overlay, body, files, words, found, shown], api_name="film",
        concurrency_limit=1, concurrency_id=WORK, preprocess=False, show_progress_on=[words, overlay],
    )  # fmt: skip
    answered.success(_step_back(gr), [found, shown], body, api_visibility="private", show_progress="hidden")
    shown.input(look, [found, shown], body, api_visibility="private")


@contextmanager
def _said(gr: Any, given: dict | None, what: str) -> Iterator[tuple[Upload, list[warnings.WarningMessage]]]:
    """The upload, and the notes of what is done with it; what is wrong with it is said by the visitor's name
    for it.
    """
    if not given or not given.get("path"):
        example = ", or take a made-up one" if what == "photo" else ""
        raise gr.Error(f"Choose a {what} first{example}.", print_exception=False)
    path = Path(given["path"])
    upload = Upload(path, str(given.get("orig_name") or path.name))
    with warnings.catch_warnings(record=True, category=UserWarning, action="always") as notes:
        try:
            yield upload, notes or []
        except InputError as error:
            raise gr.Error(upload.in_words(str(error)), print_exception=False) from None


def _with_notes(words: str, notes: list[warnings.WarningMessage], upload: Upload) -> str:
    said = dict.fromkeys(f"Note: {upload.in_words(str(note.message))}" for note in notes)
    return "\n\n".join([words, *said])


def _lens_fields(gr: Any) -> list[Any]:
    with gr.Accordion("lens, where it is known (0: not known)", open=False):
        return [
            gr.Number(label="focal length in pixels", value=0, minimum=0),
            gr.Number(label="or in mm, as 35 mm equivalent", value=0, minimum=0),
            gr.Number(label="or field of view in degrees, from corner to corner", value=0, minimum=0),
        ]


def _lens(*values: object) -> dict[str, float | None]:
    """Raises InputError for what is no number."""
    names = ("focal_px", "focal_mm", "fov_deg")
    try:
        return {name: float(value or 0) or None for name, value in zip(names, values)}  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        raise InputError("the lens is told in numbers: pixels, millimetres or degrees") from None


def _chooser(gr: Any, one: str, count: int) -> Any:
    """Who is shown: a choice where there are several."""
    choices = [(f"{one} {number + 1}", number) for number in range(count)]
    return gr.update(choices=choices, value=list(range(count)), visible=count > 1)


def _body(gr: Any, name: str) -> Any:
    return gr.Model3D(
        label="body", height=HEIGHT_PX, interactive=False, camera_position=(*AHEAD_DEG, None), elem_id=name
    )


def _step_back(gr: Any) -> Callable[..., Any]:
    """What moves the camera to where everybody is seen. The body itself is not given again, so that programs
    that ask the page get it as a file.
    """
    return lambda found, shown: gr.update(**_seen_whole(found, shown))


def _seen_whole(found: PhotoAnswer | FilmAnswer | None, shown: list[int]) -> dict[str, Any]:
    """The camera's position."""
    distance = None if found is None else found.distance_m(shown)
    return {} if distance is None else {"camera_position": (*AHEAD_DEG, distance)}


def _about(one: str, limits: Limits, *, films: bool) -> str:
    what = "Photos and films go" if films else "Photos go"
    film = f", of films the first {limits.seconds:g} seconds" if films else ""
    height = "how far people stand" if one == "person" else f"how far away a {one} is"
    body, of = ("body" if one == "person" else one), ("photo or a film" if films else "photo")
    return (
        f"# A posed 3D {body} from a {of}\n\n"
        f"{what} to the computer that runs `mpt serve`, and nowhere else: files of at most "
        f"{limits.megabytes:g} MB and {limits.megapixels:g} megapixels{film}. The mesh is in metres; "
        f"{height} follows from the focal length, without one from an assumed view of 53 degrees. A wrong "
        "mesh can look right."
    )


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
