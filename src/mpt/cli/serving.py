"""``mpt serve``: a page in the browser."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from mpt.cli.common import OK, Bare, Device, ModelName
from mpt.errors import InputError

if TYPE_CHECKING:
    from mpt.reconstructor import Reconstructor


@dataclass(frozen=True)
class Serve:
    """Open a page in the browser where photos and films become 3D bodies; it runs on this computer alone.

    Needs gradio: pip install 'mesh-pretraining[web]'. Ctrl-C ends it.

    Example: mpt serve --port 8000
    """

    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """Who may see it: 127.0.0.1 is this computer, 0.0.0.0 everybody in its network."""
    port: Annotated[int, arg(metavar="N")] = 7860
    """Where."""
    model: ModelName = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder."""
    device: Device = "auto"
    """Where the transformer runs; auto takes CUDA where there is one."""
    most_megabytes: Annotated[float, arg(metavar="MB")] = 200
    """Larger files are refused."""
    most_seconds: Annotated[float, arg(metavar="S")] = 60
    """Of longer films the beginning is taken."""
    most_megapixels: Annotated[float, arg(metavar="MP")] = 50
    """Photos, and frames of films, of more are refused."""
    most_queue: Annotated[int, arg(metavar="N")] = 20
    """Visitors who may wait; more are told to come again."""

    bare: Bare = False

    def __call__(self) -> int:
        from mpt.web.page import gradio_or_advice
        from mpt.web.serving import serve
        from mpt.web.uploads import Limits

        if not 0 < self.port < 65536:
            raise InputError(f"--port is {self.port}: give a number from 1 to 65535")
        limits = Limits(self.most_megabytes, self.most_seconds, self.most_megapixels, self.most_queue)
        gradio_or_advice()
        serve(
            partial(_reconstructor, self.model, self.device),
            self.host,
            self.port,
            limits=limits,
            bare=self.bare,
            ready=lambda address: print(f"Open {address} in a browser; Ctrl-C ends it.", flush=True),
        )
        return OK


def _reconstructor(model: str, device: str) -> "Reconstructor":
    """With its 2D network's files here before the first photo is."""
    from mpt import assets
    from mpt.recipes import networks

    made = networks.reconstructor(model, device=device)
    assets.get("blazepose" if made.model.skeleton.two_sided else "blazepalm")
    return made
