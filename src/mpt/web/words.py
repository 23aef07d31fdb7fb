"""The page's own sentences where gradio would say its own."""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from mpt.web.uploads import Limits

TOO_LARGE, FULL = 413, 503
BUSY = 429  # of which browsers show the sentence


class OwnWords:
    """ASGI middleware: refusals of uploads that are too large, and of visitors when too many wait."""

    def __init__(self, app: Callable[..., Awaitable[None]], limits: Limits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        from starlette.requests import ClientDisconnect  # it comes with gradio

        refused = False

        async def reworded(message: dict[str, Any]) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in (TOO_LARGE, FULL):
                refused = True
                status, kind, body = self._instead(message["status"])
                headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
            elif not refused:
                await send(message)

        with suppress(ClientDisconnect):  # whoever breaks an upload off is not to be told anything
            await self._app(scope, receive, reworded if scope["type"] == "http" else send)

    def _instead(self, status: int) -> tuple[int, bytes, bytes]:
        """Status, kind, content."""
        if status == FULL:
            said = "Too many visitors are waiting here already: come again in a minute or two."
            return BUSY, b"application/json", json.dumps({"detail": said}).encode()
        most = self._limits.megabytes
        said = f"Files of more than {most:g} MB are not taken here: give a smaller or shorter copy."
        return status, b"text/plain; charset=utf-8", said.encode()
