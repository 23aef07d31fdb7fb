"""The page on an address, until somebody ends it."""

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mpt.errors import InputError
from mpt.reconstructor import Reconstructor
from mpt.web.apart import Apart
from mpt.web.page import FONT, STYLE, Desk, gradio_or_advice, page
from mpt.web.uploads import MEGABYTE, USUAL, Limits
from mpt.web.words import OwnWords


def serve(
    make: Callable[[], Reconstructor],
    host: str,
    port: int,
    *,
    limits: Limits = USUAL,
    bare: bool = False,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Show the page until Ctrl-C or SIGTERM; then nothing of what visitors gave is left on the disk.

    bare: bodies without clothes.
    make: called here for photos, and in another process, which can import it, for films.

    Raises InputError where gradio is not installed, or the port is taken.
    """
    with _ending_softly(), _own_temporary_folder() as folder, closing(Apart(make)) as films:
        desk = Desk(make(), films, folder, limits, bare)
        blocks = page(desk)
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                share=False,
                inbrowser=False,
                quiet=True,
                show_error=False,  # but our own sentences
                prevent_thread_lock=True,
                ssr_mode=False,
                footer_links=["api"],
                max_file_size=round(limits.megabytes * MEGABYTE),
                css=STYLE,
                theme=gradio_or_advice().themes.Default(font=FONT),
                app_kwargs={"middleware": [(OwnWords, (), {"limits": limits})]},
            )
        except OSError:
            raise InputError(
                f"--port {port}: nothing can be served there on {host}, it may be taken; choose another one"
            ) from None
        try:
            ready(address)
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
        finally:
            desk.close()
            blocks.close(verbose=False)


@contextmanager
def _ending_softly() -> Iterator[None]:
    """SIGTERM is as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _own_temporary_folder() -> Iterator[Path]:
    """A folder for all that this process has for a while, uploads as well, which is gone afterwards.

    gradio serves what lies in its own folder: there nothing is but visitors' files, under names that nobody
    guesses.
    """
    before, told = tempfile.tempdir, os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="mpt-", ignore_cleanup_errors=True) as name:
        tempfile.tempdir, os.environ["GRADIO_TEMP_DIR"] = name, name
        try:
            yield Path(name).resolve()
        finally:
            tempfile.tempdir = before
            if told is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = told
