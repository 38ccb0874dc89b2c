"""One connection: requests in, statuses, headers and bytes out (RFC 9110)."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from ..errors import SarzError
from ..version import __version__
from ..virtual_tiff import VirtualTiff
from .byte_ranges import UnsatisfiableError, requested_ranges
from .site import Entry, Site

PIECE = 16 << 20
"""Bytes that are decoded and sent at once."""

SENT_AT_ONCE = 64 << 10
"""Bytes that a client has `IDLE_SECONDS` to take: a socket's timeout counts for all that is sent by one call."""

IDLE_SECONDS = 60

METHODS = "GET, HEAD, OPTIONS"

TIFF_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of a `Site`; set by `Server`."""

    site: Site
    origin: str | None
    """Who may read from a browser: the value of Access-Control-Allow-Origin."""
    log: Callable[[str], None]

    protocol_version = "HTTP/1.1"
    server_version, sys_version = f"sarz/{__version__}", ""
    timeout = IDLE_SECONDS
    # Headers and body are sent apart; the second must not wait until the client has acknowledged the first, some 40 ms.
    disable_nagle_algorithm = True
    error_message_format, error_content_type = "%(message)s\n", "text/plain; charset=utf-8"

    def do_GET(self) -> None:
        """Send a file, ranges of it, or the list of files."""
        self._answer()

    def do_HEAD(self) -> None:
        """Send what GET would, without its body."""
        self._answer()

    def do_OPTIONS(self) -> None:
        """Tell a browser that it may ask for ranges."""
        self._begin(HTTPStatus.NO_CONTENT, {"Allow": METHODS})

    def do_POST(self) -> None:
        """Nothing can be changed."""
        self.close_connection = True
        self._fail(HTTPStatus.METHOD_NOT_ALLOWED, f"{self.command} is not answered; {METHODS} are", {"Allow": METHODS})

    do_PUT = do_PATCH = do_DELETE = do_POST

    def _answer(self) -> None:
        if "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0").strip() != "0":
            self.close_connection = True  # the body is not read, and must not be taken for the next request
        try:
            path = urlsplit(self.path).path
        except ValueError:
            self._fail(HTTPStatus.BAD_REQUEST, "the path of the request is malformed")
            return
        if path == "/":
            self._send(HTTPStatus.OK, "application/json", json.dumps(list(self.site.paths()), indent=1).encode() + b"\n")
            return
        entry = self.site.find(path)
        if entry is None:
            self._fail(HTTPStatus.NOT_FOUND, "nothing is served there; / lists what is")
            return
        try:
            self._send_file(entry, entry.open())
        except SarzError as error:
            # Nothing of the body has been sent: pieces are decoded before their headers.
            self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, str(error).replace(entry.path, path))

    def _send_file(self, entry: Entry, tiff: VirtualTiff) -> None:
        headers = {"ETag": entry.etag, "Last-Modified": formatdate(entry.changed, usegmt=True), "Accept-Ranges": "bytes"}
        if self._is_known(entry):
            self._begin(HTTPStatus.NOT_MODIFIED, headers)
            return
        condition = self.headers.get("If-Range")
        # Ranges have a meaning for GET only (RFC 9110, section 14.2).
        applies = self.command == "GET" and condition in (None, entry.etag, headers["Last-Modified"])
        wanted = self.headers.get("Range") if applies else None
        try:
            ranges = requested_ranges(wanted, tiff.size)
        except UnsatisfiableError as error:
            self._fail(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, str(error), {"Content-Range": f"bytes */{tiff.size}"})
            return
        if ranges is None:
            self._send_bytes(HTTPStatus.OK, headers | {"Content-Type": TIFF_TYPE}, tiff, 0, tiff.size)
        elif len(ranges) == 1:
            (offset, length), = ranges
            headers |= {"Content-Type": TIFF_TYPE, "Content-Range": _content_range(offset, length, tiff.size)}
            self._send_bytes(HTTPStatus.PARTIAL_CONTENT, headers, tiff, offset, length)
        else:
            self._send_parts(headers, tiff, ranges)

    def _is_known(self, entry: Entry) -> bool:
        """Whether the client has the file as it is (RFC 9110, sections 13.1.2 and 13.1.3)."""
        tags = self.headers.get("If-None-Match")
        if tags is not None:
            return tags.strip() == "*" or entry.etag in re.findall(r'"[^"]*"', tags)
        try:
            since = parsedate_to_datetime(self.headers.get("If-Modified-Since", ""))
            return int(entry.changed) <= since.timestamp()
        except (ValueError, OverflowError):  # no date
            return False

    def _send_bytes(self, status: HTTPStatus, headers: dict[str, str], tiff: VirtualTiff, offset: int, length: int) -> None:
        """Send a range, a piece at a time, so that memory is bounded."""
        headers = headers | {"Content-Length": str(length)}
        if self.command == "HEAD":
            self._begin(status, headers)
            return
        first = tiff.read(offset, min(PIECE, length))
        self._begin(status, headers)
        self._write(first)
        self._write_rest(_pieces(offset + len(first), length - len(first)), tiff)

    def _write_rest(self, pieces: Iterator[tuple[int, int]], tiff: VirtualTiff) -> None:
        try:
            for piece in pieces:
                self._write(tiff.read(*piece))
        except SarzError as error:
            # The status is sent already; a connection that breaks off is the only way to say it.
            self.close_connection = True
            self.log_message("broken off: %s", error)

    def _send_parts(self, headers: dict[str, str], tiff: VirtualTiff, ranges: list[tuple[int, int]]) -> None:
        """Send several ranges as multipart/byteranges, if they are not too much to be held."""
        if sum(length for _, length in ranges) > PIECE:
            self._send_bytes(HTTPStatus.OK, headers | {"Content-Type": TIFF_TYPE}, tiff, 0, tiff.size)
            return
        boundary = secrets.token_hex(16)
        body = b""
        for (offset, length), data in zip(ranges, tiff.read_ranges(ranges)):
            body += (f"--{boundary}\r\nContent-Type: image/tiff\r\n"
                     f"Content-Range: {_content_range(offset, length, tiff.size)}\r\n\r\n").encode() + data + b"\r\n"
        body += f"--{boundary}--\r\n".encode()
        self._send(HTTPStatus.PARTIAL_CONTENT, f"multipart/byteranges; boundary={boundary}", body, headers)

    def _fail(self, status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{' '.join(text.split())}\n".encode("utf-8", "replace"), headers)

    def _send(self, status: HTTPStatus, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._begin(status, (headers or {}) | {"Content-Type": kind, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self._write(body)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), SENT_AT_ONCE):
            self.wfile.write(view[start : start + SENT_AT_ONCE])

    def _begin(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        if self.origin is not None:
            headers = headers | {
                "Access-Control-Allow-Origin": self.origin, "Access-Control-Allow-Headers": "Range",
                "Access-Control-Expose-Headers": "Content-Range, Content-Length, ETag, Accept-Ranges",
            }  # fmt: skip
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it)
        """One line a request."""
        self.log(f"{self.address_string()} {format % args}")


def _content_range(offset: int, length: int, size: int) -> str:
    return f"bytes {offset}-{offset + length - 1}/{size}"


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int]]:
    for start in range(offset, offset + length, PIECE):
        yield start, min(PIECE, offset + length - start)
