"""``mpt serve``: a page in the browser."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from mpt.cli.common import OK, Device, ModelName
from mpt.errors import InputError


@dataclass(frozen=True)
class Serve:
    """Open a page in the browser where a photo becomes 3D bodies; it runs on this computer alone.

    Needs gradio: pip install mesh-pretraining[web]. Ctrl-C ends it.

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

    def __call__(self) -> int:
        from mpt import assets, web
        from mpt.recipes import networks

        if not 0 < self.port < 65536:
            raise InputError(f"--port is {self.port}: give a number from 1 to 65535")
        web.gradio_or_advice()
        reconstructor = networks.reconstructor(self.model, device=self.device)
        assets.get("blazepose" if reconstructor.model.skeleton.two_sided else "blazepalm")  # before a photo
        web.serve(
            reconstructor,
            self.host,
            self.port,
            ready=lambda address: print(f"Open {address} in a browser; Ctrl-C ends it.", flush=True),
        )
        return OK
