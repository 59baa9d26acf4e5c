"""Faust's web server, serving the admin endpoint and nothing of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from aiohttp.web import AppRunner, TCPSite
from faust.web.drivers.aiohttp import Web

from streams.endpoint.serving import LONGEST_REQUEST_LINE

if TYPE_CHECKING:
    import faust

STOPPING_S = 2.0


class AdminWeb(Web):
    """The web server of a worker.

    Faust's own runner takes no longer request line than aiohttp's 8 KB, too short for ids of 512 bytes with every byte
    as %XX, and waits a minute for open connections when it stops. Routes of Faust's about its tables and agents, of
    which there are none here, are left out.
    """

    default_blueprints: ClassVar[list[tuple[str, str]]] = []
    production_blueprints: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, app: faust.App) -> None:
        super().__init__(app)
        self._admin = AppRunner(
            self.web_app, access_log=None, shutdown_timeout=STOPPING_S, max_line_size=LONGEST_REQUEST_LINE
        )

    async def start_server(self) -> None:
        """Listen."""
        await self._admin.setup()
        await TCPSite(self._admin, self.app.conf.web_bind, self.app.conf.web_port).start()

    async def stop_server(self) -> None:
        """Let open requests end, and stop listening."""
        await self._admin.cleanup()
