"""The page: what stands on it, and what its buttons and switches do."""

import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from mpt import sureness
from mpt.errors import InputError
from mpt.films.filming import Progress
from mpt.films.pipes import give_back
from mpt.reconstructor import Reconstructor
from mpt.web import examples, filmed, photos
from mpt.web.apart import CLOSED, Apart
from mpt.web.filmed import FilmAnswer
from mpt.web.photos import PhotoAnswer, says_how_sure
from mpt.web.uploads import Limits, Shelf, Upload

if TYPE_CHECKING:
    import gradio

HOUR_S = 3600  # after it, gradio deletes its copies of uploads
AHEAD_DEG = (90, 80)  # from ahead, a little above
HEIGHT_PX = 420
PHOTO, FILM = "photo", "film"  # one of each is worked on at a time
HOW_SURE = (
    "Colours {} by the standard deviation of its joints along any axis, about the middle of the hips: "
    "68 % of joints lie within 1.87 times this of the true ones."
)
GONE = "This answer is no longer kept here: press reconstruct again."
FONT = ("system-ui", "sans-serif")
STYLE = """
.body-view { aspect-ratio: 4 / 3; height: auto !important; }
.downloads td:has(button[aria-label]) { display: none; }
#film button[title*="video"] { display: none; }
"""
"""Of a shape that everybody fits into on any screen; downloads are not taken off the list, nor films cut by a
program of another host's."""


@dataclass
class Desk:
    """What the page works with.

    Attributes:
        reconstructor: of photos.
        films: calls what works on films, with a reconstructor of its own.
        folder: an empty one, for answers and examples.
        bare: whether bodies wear nothing.
    """

    reconstructor: Reconstructor
    films: Apart
    folder: Path
    limits: Limits = field(default_factory=Limits)
    bare: bool = False

    def __post_init__(self) -> None:
        self._one_writes, self._closed = Lock(), False
        self.shelf = Shelf(self.folder)
        self.gallery = examples.Gallery(self.folder / "examples", self.reconstructor.model.skeleton)

    def photo(self, upload: Upload, **lens: float | None) -> tuple[Path, PhotoAnswer, list[str]]:
        """The answer, where it is kept, and the notes on it."""
        place, noted = self.shelf.new(), warnings.catch_warnings
        with self.writing(), noted(record=True, category=UserWarning, action="always") as notes:
            found = photos.answer(
                self.reconstructor, upload, place, limits=self.limits, bare=self.bare, **lens
            )
        self.shelf.keep(place, found)
        give_back()
        return place, found, [str(note.message) for note in notes or ()]

    def film(
        self, upload: Upload, progress: Progress, **lens: float | None
    ) -> tuple[Path, FilmAnswer, list[str]]:
        """The answer, where it is kept, and the notes on it."""
        place = self.shelf.new()
        found, notes = self.films(
            filmed.answer, upload, place, limits=self.limits, bare=self.bare, progress=progress, **lens
        )
        self.shelf.keep(place, found)
        return place, found, notes

    def drawn(self, found: FilmAnswer, shown: list[int], progress: Progress, **switches: bool) -> Path | None:
        """The film again, as switches say."""
        return self.films(filmed.drawn, found, shown, progress=progress, **switches)[0]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write to the folder, one at a time. Raises InputError when the page is closed."""
        with self._one_writes:
            if self._closed:
                raise InputError(CLOSED)
            yield

    def close(self) -> None:
        """Until nothing is written any more, nor will be."""
        self.films.close()
        with self._one_writes:
            self._closed = True


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
            with gr.Tab("Film") as film:
                _film_tab(gr, desk)
            film.select(desk.films.begin, None, None, api_visibility="private", show_progress="hidden")
        else:
            _photo_tab(gr, blocks, desk)
    blocks.queue(max_size=desk.limits.queue, default_concurrency_limit=4)
    return blocks


def _photo_tab(gr: Any, blocks: "gradio.Blocks", desk: Desk) -> None:
    skeleton = desk.reconstructor.model.skeleton
    one, more = skeleton.of
    body_name = "body" if one == "person" else one

    def show(photo: dict | None, *lens: object):
        with _said(gr, photo, "photo") as upload:
            place, found, notes = desk.photo(upload, **_lens(*lens))
        whole = list(range(len(found.people)))
        return (
            str(found.overlay), _path(found.together), [str(file) for file in found.files],
            _with_notes(found.words, notes, upload), place, _chooser(gr, one, len(whole)), False, True, False,
            gr.update(visible=False),
        )  # fmt: skip

    def look(place: Path | None, shown: list[int], joints: bool, beside: bool, how_sure: bool):
        if place is None:
            return None, gr.update(), gr.update(visible=how_sure)
        with _kept(gr, desk, place) as found, desk.writing():
            return (
                str(found.drawn(shown, joints=joints, beside=beside)),
                gr.update(value=_path(found.body(shown, how_sure=how_sure)), **_seen_whole(found, shown)),
                gr.update(visible=how_sure),
            )

    def drawn():
        for pictures in desk.gallery.growing():
            yield [(str(path), name) for path, name in pictures]

    def take(event: gr.SelectData):  # pyright: ignore[reportInvalidTypeForm]
        path, _ = desk.gallery[event.index]
        return str(path)

    place = gr.State(None)  # of the answer
    with gr.Row():
        with gr.Column(min_width=300):
            photo = gr.Image(
                label="photo", type="filepath", image_mode=None, sources=["upload", "clipboard"],
                height=HEIGHT_PX, elem_id="photo",
            )  # fmt: skip
            start = gr.Button("reconstruct", variant="primary", elem_id="start-photo")
            lens = _lens_fields(gr)
            gr.Markdown("Or take a made-up one:")
            made_up = gr.Gallery(
                show_label=False, columns=4, height=140, allow_preview=False, interactive=False,
                object_fit="cover", buttons=[], elem_id="gallery",
            )  # fmt: skip
        with gr.Column(min_width=300):
            words = gr.Markdown(elem_id="words-photo")
            overlay = gr.Image(
                label="overlay", interactive=False, height=HEIGHT_PX, buttons=["download", "fullscreen"],
                elem_id="overlay-photo",
            )  # fmt: skip
            shown = gr.CheckboxGroup(label=more, visible=False, elem_id="shown-photo")
            joints, beside = _switches(gr, "photo")
            body = _body(gr, body_name, "photo")
            how_sure, legend = _how_sure(gr, desk, f"the {body_name}", "photo")
            files = gr.Files(
                label="download", interactive=False, elem_id="files-photo", elem_classes="downloads"
            )
    _only_uploads(gr, photo)
    told = [overlay, body, files, words, place, shown, joints, beside, how_sure, legend]
    work = {
        "concurrency_limit": 1, "concurrency_id": PHOTO, "preprocess": False, "show_progress_on": overlay,
    }  # fmt: skip
    asked = start.click(show, [photo, *lens], told, api_name="reconstruct", **work)
    taken = made_up.select(take, None, photo, api_visibility="private")
    examined = taken.success(show, [photo, *lens], told, api_visibility="private", **work)
    for answered in (asked, examined):
        answered.success(
            _step_back(gr, desk), [place, shown], body, api_visibility="private", show_progress="hidden"
        )
    for switch in (shown, joints, beside, how_sure):
        switch.input(
            look, [place, shown, joints, beside, how_sure], [overlay, body, legend],
            api_visibility="private", trigger_mode="always_last",
        )  # fmt: skip
    blocks.load(drawn, None, made_up, api_visibility="private")


def _film_tab(gr: Any, desk: Desk) -> None:
    def show(film: dict | None, *lens: object, tell=gr.Progress()):  # noqa: B008 - so gradio wants it
        with _said(gr, film, "film") as upload:
            place, found, notes = desk.film(upload, _telling(tell), **_lens(*lens))
        everybody = range(len(found.people))
        return (
            _path(found.overlay), _path(found.body(everybody)), [str(file) for file in found.files],
            _with_notes(found.words, notes, upload), place, _chooser(gr, "person", len(everybody)),
            False, True, False, gr.update(visible=False),
        )  # fmt: skip

    def draw(
        place: Path | None, shown: list[int], joints: bool, beside: bool, how_sure: bool,
        tell=gr.Progress(),  # noqa: B008
    ):  # fmt: skip
        if place is None:
            return None, gr.update(visible=how_sure)
        with _kept(gr, desk, place) as found:
            switches = {"joints": joints, "beside": beside, "how_sure": how_sure}
            return _path(desk.drawn(found, shown, _telling(tell), **switches)), gr.update(visible=how_sure)

    def turn(place: Path | None, shown: list[int]):
        if place is None:
            return gr.update()
        with _kept(gr, desk, place) as found, desk.writing():
            return gr.update(value=_path(found.body(shown)), **_seen_whole(found, shown))

    place = gr.State(None)  # of the answer
    with gr.Row():
        with gr.Column(min_width=300):
            film = gr.Video(label="film", sources=["upload"], height=HEIGHT_PX, buttons=[], elem_id="film")
            start = gr.Button("reconstruct", variant="primary", elem_id="start-film")
            lens = _lens_fields(gr)
        with gr.Column(min_width=300):
            words = gr.Markdown(elem_id="words-film")
            overlay = gr.Video(
                label="overlay", interactive=False, height=HEIGHT_PX, autoplay=True, loop=True,
                buttons=["download"], elem_id="overlay-film",
            )  # fmt: skip
            shown = gr.CheckboxGroup(label="people", visible=False, elem_id="shown-film")
            joints, beside = _switches(gr, "film")
            how_sure, legend = _how_sure(gr, desk, "the bodies in the film", "film")
            body = _body(gr, "body", "film")
            files = gr.Files(
                label="download", interactive=False, elem_id="files-film", elem_classes="downloads"
            )
    _only_uploads(gr, film)
    work = {"concurrency_limit": 1, "concurrency_id": FILM, "show_progress_on": overlay}
    answered = start.click(
        show, [film, *lens],
        [overlay, body, files, words, place, shown, joints, beside, how_sure, legend],
        api_name="film", preprocess=False, **work,
    )  # fmt: skip
    answered.success(
        _step_back(gr, desk), [place, shown], body, api_visibility="private", show_progress="hidden"
    )
    for switch in (shown, joints, beside, how_sure):
        switch.input(
            draw, [place, shown, joints, beside, how_sure], [overlay, legend],
            api_visibility="private", trigger_mode="always_last", **work,
        )  # fmt: skip
    shown.input(turn, [place, shown], body, api_visibility="private", trigger_mode="always_last")


@contextmanager
def _said(gr: Any, given: dict | None, what: str) -> Iterator[Upload]:
    """The upload; what is wrong with it is said by the visitor's name for it, and nothing of this computer's
    folders.
    """
    if not given or not given.get("path"):
        example = ", or take a made-up one" if what == "photo" else ""
        raise gr.Error(f"Choose a {what} first{example}.", print_exception=False)
    path = Path(given["path"])
    upload = Upload(path, str(given.get("orig_name") or path.name))
    try:
        yield upload
    except InputError as error:
        raise gr.Error(upload.in_words(str(error)), print_exception=False) from None
    except Exception as error:
        traceback.print_exc()
        raise gr.Error(
            f"Something went wrong here with {upload.shown}, and is said in the page's log: "
            f"{type(error).__name__}.",
            print_exception=False,
        ) from None


@contextmanager
def _kept(gr: Any, desk: Desk, place: Path) -> Iterator[Any]:
    """An answer that may be gone, before work with it or meanwhile."""
    found = desk.shelf.answer(place)
    if found is not None:
        try:
            yield found
            return
        except (InputError, OSError):
            if desk.shelf.answer(place) is not None:
                raise
    raise gr.Error(GONE, print_exception=False)


def _only_uploads(gr: Any, given: Any) -> None:
    """Addresses, or folders, that programs give in place of an upload are not taken."""
    move = given.async_move_resource_to_block_cache

    async def moved(place: Any) -> str | None:
        if "://" in str(place) or not Path(place).is_file():
            raise gr.Error("This is no file that was uploaded here: upload it.", print_exception=False)
        return await move(place)

    given.async_move_resource_to_block_cache = moved


def _telling(tell: Callable[..., object]) -> Progress:
    return lambda doing, done, total: tell((done, total), desc=doing, unit="frames")  # pyright: ignore[reportReturnType]


def _with_notes(words: str, notes: list[str], upload: Upload) -> str:
    said = dict.fromkeys(f"Note: {upload.in_words(note)}" for note in notes)
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


def _switches(gr: Any, kind: str) -> tuple[Any, Any]:
    with gr.Row():
        return (
            gr.Checkbox(label="skeleton", elem_id=f"skeleton-{kind}"),
            gr.Checkbox(label="side view", value=True, elem_id=f"side-view-{kind}"),
        )


def _how_sure(gr: Any, desk: Desk, what: str, kind: str) -> tuple[Any, Any]:
    """The switch, and the colours' legend."""
    told = says_how_sure(desk.reconstructor)
    switch = gr.Checkbox(
        label="how sure", info=HOW_SURE.format(what), visible=told, elem_id=f"how-sure-{kind}"
    )
    return switch, gr.HTML(_legend(), visible=False)


def _body(gr: Any, name: str, kind: str) -> Any:
    return gr.Model3D(
        label=name, interactive=False, camera_position=(*AHEAD_DEG, None), elem_id=f"body-{kind}",
        elem_classes="body-view",
    )  # fmt: skip


def _step_back(gr: Any, desk: Desk) -> Callable[..., Any]:
    """What moves the camera to where everybody is seen. The body itself is not given again, so that programs
    that ask the page get it as a file.
    """
    return lambda place, shown: gr.update(**_seen_whole(desk.shelf.answer(place), shown))


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


def gradio_or_advice() -> Any:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when it is imported
    os.environ.setdefault("GRADIO_RUN_HISTORY", "False")  # nor anything kept in the browser
    try:
        import gradio
    except ImportError:
        raise InputError(
            "the page needs gradio, which is not installed: run `pip install 'mesh-pretraining[web]'`"
        ) from None
    return gradio
