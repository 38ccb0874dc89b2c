"""The server: a thread a connection."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from ..errors import SarzIOError
from .handler import Handler
from .site import Site


class Server(ThreadingHTTPServer):
    """Serves a `Site` until `shutdown`.

    Parameters
    ----------
    site : Site
    host, port
        Where to listen; port 0 is any that is free.
    origin : str, optional
        Who may read from a browser (Access-Control-Allow-Origin); nobody by default.
    log : callable, optional
        Gets a line for each request.

    Raises
    ------
    SarzIOError
        If it cannot listen there.
    """

    daemon_threads = True  # Connections that are idle do not keep the process from ending.

    def __init__(self, site: Site, host: str = "127.0.0.1", port: int = 8000, *, origin: str | None = None,
                 log: Callable[[str], None] | None = None) -> None:
        self.site, self._host = site, host
        if ":" in host:
            self.address_family = socket.AF_INET6
        settings: dict[str, Any] = {"site": site, "origin": origin, "log": staticmethod(log or _nothing)}
        try:
            super().__init__((host, port), type("SiteHandler", (Handler,), settings))
        except (OSError, OverflowError) as exc:
            raise SarzIOError(f"cannot listen at {host}, port {port}: {exc}; choose another --port or --host") from exc

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.server_address[1]}"

    def urls(self) -> list[str]:
        """Of all files that are served now."""
        return [self.url + path for path in self.site.paths()]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are no news; anything else is a mistake of ours and keeps its traceback."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def _nothing(line: str) -> None:
    """No log."""
