"""The server: uvicorn, told to end the event streams before it waits for its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

    from cenote.control.settings import Settings

__all__ = ["ControlServer", "make_server"]


class ControlServer(uvicorn.Server):
    """A uvicorn server whose graceful shutdown ends the event streams first.

    Args:
        config: uvicorn's configuration.
        app: The app that ``create_app`` made.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then shut down."""
        self._app.state.control.streams.close()
        await super().shutdown(sockets)


def make_server(app: FastAPI, settings: Settings, *, log_level: str = "warning") -> ControlServer:
    """Make a server for the control plane.

    Args:
        app: The app that ``create_app`` made.
        settings: Where to listen.
        log_level: uvicorn's log level.

    Returns:
        The server; its ``run`` serves until a signal comes, its ``serve`` does so in a running event loop.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=log_level,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    return ControlServer(config, app)
