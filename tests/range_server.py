"""A web server on loopback that serves byte ranges, counts what it is asked for, and misbehaves on demand.

It is S3-like enough for unsigned GetObject requests by path: errors have the XML that S3's have.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

CODES = {403: "AccessDenied", 404: "NoSuchKey", 416: "InvalidRange", 429: "SlowDown", 503: "ServiceUnavailable"}


@dataclass(frozen=True, slots=True)
class Request:
    """What the server was asked for."""

    method: str
    path: str
    """With the query."""
    range: str | None
    headers: dict[str, str]


@dataclass
class RangeServer:
    """Use as a context manager; `files` and the behaviour may be changed while it runs.

    Attributes
    ----------
    files : dict of str to bytes
        By path without the leading slash.
    mode : str
        What happens to every request: "ranges" (all is well), "ignores" (status 200 and the whole file), "endless" (the
        same without Content-Length), "shifts" (another range than asked for), "nameless" (206 without Content-Range),
        "sizeless" (the file's length is ``*``), "compresses", "cuts" (the connection breaks within the answer),
        "resets", "stalls" (half of an answer, then silence), "redirects" (to the path below /moved/), or a status.
    faults : list of str
        Modes of the next requests, before `mode` holds.
    delay : float
        Seconds before each answer.
    """

    files: dict[str, bytes]
    mode: str = "ranges"
    faults: list[str] = field(default_factory=list)
    delay: float = 0.0
    etag: str | None = '"first"'
    retry_after: str | None = None
    requests: list[Request] = field(default_factory=list)
    sent: int = 0
    """Bytes of answers' bodies."""
    at_once: int = 0
    """The most requests that were under way together."""

    def __enter__(self) -> Self:
        self.lock, self.released, self._open = threading.Lock(), threading.Event(), 0
        handler = type("Handler", (_Handler,), {"site": self})
        self._server = _QuietServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def url(self, name: str) -> str:
        """URL of a file."""
        return f"{self.address}/{name}"

    def forget(self) -> None:
        """Begin counting anew."""
        self.requests.clear()
        self.sent = self.at_once = 0

    def begin(self, request: Request) -> str:
        """Note a request; what is to happen to it."""
        with self.lock:
            self.requests.append(request)
            self._open += 1
            self.at_once = max(self.at_once, self._open)
            return self.faults.pop(0) if self.faults else self.mode

    def end(self) -> None:
        """Note that a request is done."""
        with self.lock:
            self._open -= 1


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that break; breaking them is what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: RangeServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        mode = self.site.begin(Request(self.command, self.path, self.headers.get("Range"), dict(self.headers)))
        try:
            if self.site.delay:
                self.site.released.wait(self.site.delay)
            self._answer(mode)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.site.end()

    def _answer(self, mode: str) -> None:
        name = self.path.partition("?")[0].lstrip("/")
        data = self.site.files.get(name.removeprefix("moved/"))
        if mode == "resets":
            self._reset()
        elif mode.isdecimal():
            self._error(int(mode))
        elif data is None:
            self._error(404)
        elif mode == "redirects" and not name.startswith("moved/"):
            self._send(302, b"", {"Location": f"/moved/{name}"})
        elif mode in ("ignores", "endless"):
            self._whole(data, endless=mode == "endless")
        else:
            self._range(mode, data)

    def _range(self, mode: str, data: bytes) -> None:
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if match is None:
            return self._whole(data, endless=False)
        start, last = int(match[1]), min(int(match[2]), len(data) - 1)
        if start > last:
            return self._error(416, {"Content-Range": f"bytes */{len(data)}"})
        if mode == "shifts":
            start, last = start + 1, min(last + 1, len(data) - 1)
        headers = {"Content-Range": f"bytes {start}-{last}/{'*' if mode == 'sizeless' else len(data)}"}
        if mode == "nameless":
            headers = {}
        if mode == "compresses":
            headers["Content-Encoding"] = "deflate"
        self._send(206, data[start : last + 1], headers, broken=mode if mode in ("cuts", "stalls") else None)

    def _whole(self, data: bytes, endless: bool) -> None:
        if not endless:
            return self._send(200, data, {})
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self._write(data)
        self.close_connection = True

    def _error(self, status: int, headers: dict[str, str] | None = None) -> None:
        body = f"<Error><Code>{CODES.get(status, 'InternalError')}</Code><Message>no</Message></Error>".encode()
        extra = {"Retry-After": self.site.retry_after} if self.site.retry_after else {}
        self._send(status, body, {"Content-Type": "application/xml", **extra, **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str], broken: str | None = None) -> None:
        self.send_response(status)
        if self.site.etag is not None:
            headers = {"ETag": self.site.etag, **headers}
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self._write(body if broken is None else body[: len(body) // 2])
        if broken == "stalls":
            self.site.released.wait(5)
        if broken is not None:
            self.close_connection = True

    def _write(self, body: bytes) -> None:
        for start in range(0, len(body), 1 << 16):
            piece = body[start : start + (1 << 16)]
            with self.site.lock:  # Before the client can have it.
                self.site.sent += len(piece)
            self.wfile.write(piece)

    def _reset(self) -> None:
        """Break the connection so that the client sees ECONNRESET."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
