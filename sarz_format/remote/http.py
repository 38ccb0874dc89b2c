"""Ranges over HTTP, on fsspec's session: one GET each, whose answer also tells the size and version of the file.

fsspec's own ``cat_file`` takes a whole file for a range where a server ignores ranges, shows neither size nor ETag, and
does not try again; its ``info`` would cost a HEAD.
"""

from __future__ import annotations

from typing import Any

import aiohttp

from ..errors import SarzFileNotFoundError, SarzIOError, SarzOptionError
from .answer import Answer, content_range, range_problem
from .retry import TransientError, with_retries

WHOLE_BYTES = 8 * 1024 * 1024
"""The largest file that is taken whole from a server without ranges."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=30)
"""Seconds until a connection stands, and without a byte; a long answer that keeps coming may take its time."""

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

_NO_RANGES = (
    "the server ignores requests for ranges and sends the whole file; download it first, or put it on a server that "
    "serves ranges (most do: Apache, nginx, Caddy, S3)"
)


class HttpTransport:
    """Fetches ranges of one URL.

    Parameters
    ----------
    filesystem : fsspec.implementations.http.HTTPFileSystem
        Its session, and its options for requests, are used.
    url : str
    name : str
        For messages: the URL without secrets.
    """

    def __init__(self, filesystem: Any, url: str, name: str) -> None:
        self._filesystem, self._url, self._name = filesystem, url, name

    async def fetch(self, offset: int, length: int) -> Answer:
        """`length` bytes at `offset`, fewer at the end of the file; transient failures are tried again.

        Raises
        ------
        SarzFileNotFoundError, SarzIOError
        """
        return await with_retries(self._name, lambda: self._attempt(offset, length))

    async def _attempt(self, offset: int, length: int) -> Answer:
        try:
            return await self._get(offset, length)
        except (aiohttp.ClientSSLError, aiohttp.ClientConnectorDNSError) as exc:
            raise SarzIOError(f"{self._name}: no connection: {exc}; check the host's name and certificate") from exc
        except aiohttp.InvalidURL as exc:
            raise SarzIOError(f"{self._name}: this is not a URL of a file") from exc
        except aiohttp.ClientResponseError as exc:  # its text holds the URL
            raise SarzIOError(f"{self._name}: no proper HTTP, or redirects in circles: {exc.message}") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as exc:
            raise TransientError(_reason(exc)) from exc

    async def _get(self, offset: int, length: int) -> Answer:
        session = await self._filesystem.set_session()
        options = {"timeout": TIMEOUT, **self._filesystem.kwargs}
        if "timeout" in self._filesystem.client_kwargs:
            del options["timeout"]
        # Compressed by the server, a range would be one of the compressed bytes.
        headers = {**options.pop("headers", {}), "Accept-Encoding": "identity",
                   "Range": f"bytes={offset}-{offset + length - 1}"}
        try:
            request = session.get(self._filesystem.encode_url(self._url), headers=headers, **options)
        except TypeError as exc:
            raise SarzOptionError(f"{self._name}: an HTTP request does not take these storage_options: {exc}") from exc
        async with request as response:
            return await self._answer(response, offset, length)

    async def _answer(self, response: aiohttp.ClientResponse, offset: int, length: int) -> Answer:
        if response.status == 206:
            return await self._part(response, offset, length)
        if response.status == 200:
            return await self._whole(response)
        if response.status == 416:  # nothing at this offset
            size = response.headers.get("Content-Range", "").removeprefix("bytes */")
            return Answer(b"", int(size) if size.isdecimal() else None, _version(response))
        raise self._failure(response)

    async def _part(self, response: aiohttp.ClientResponse, offset: int, length: int) -> Answer:
        found = response.headers.get("Content-Range")
        problem = range_problem(found, offset, length)
        if problem is None and response.headers.get("Content-Encoding", "identity") != "identity":
            problem = f"the answer is compressed ({response.headers['Content-Encoding']}) though that was declined"
        if problem is not None:
            raise SarzIOError(
                f"{self._name}: {problem}; the server, or a proxy, mishandles ranges, download the file first"
            )
        _, count, size = content_range(found) or (0, 0, None)
        data = await _body(response, count)
        if data is None or len(data) < count:
            raise TransientError(f"the answer has {'more' if data else 'fewer'} bytes than the {count} it promised")
        return Answer(data, size, _version(response))

    async def _whole(self, response: aiohttp.ClientResponse) -> Answer:
        claimed = response.content_length
        data = None if claimed is not None and claimed > WHOLE_BYTES else await _body(response, WHOLE_BYTES)
        if data is None:
            response.close()  # not drained: it may be gigabytes
            what = f"of {claimed:,} bytes" if claimed is not None else f"of more than {WHOLE_BYTES:,} bytes"
            raise SarzIOError(f"{self._name} ({what}): {_NO_RANGES}")
        return Answer(data, len(data), _version(response), whole=True)

    def _failure(self, response: aiohttp.ClientResponse) -> Exception:
        status = f"status {response.status} {response.reason or ''}".rstrip()
        if response.status in TRANSIENT_STATUSES:
            wait = response.headers.get("Retry-After", "")
            return TransientError(f"the server answered {status}", float(wait) if wait.isdecimal() else 0.0)
        if response.status in (404, 410):
            return SarzFileNotFoundError(f"{self._name} does not exist on the server ({status})")
        if response.status in (401, 403, 407):
            return SarzIOError(
                f"{self._name}: permission denied ({status}); check that the credentials or the signed link are right "
                "and have not expired (some stores answer so for a file that does not exist)"
            )
        return SarzIOError(f"{self._name}: the server answered {status}; expected 206, a part of a file")


async def _body(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The body; None, and no more of it read, once it has more than `most` bytes."""
    pieces, count = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        count += len(piece)
        if count > most:
            return None
    return b"".join(pieces)


def _version(response: aiohttp.ClientResponse) -> tuple[str, str] | None:
    # The host after redirects: mirrors have ETags of their own for the same file.
    etag = response.headers.get("ETag")
    return None if etag is None else (response.url.host or "", etag.removeprefix("W/"))


def _reason(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return "the server did not answer in time"
    if isinstance(exc, aiohttp.ClientPayloadError):
        return "the connection broke within the answer"
    return f"the connection failed ({exc})" if str(exc) else "the connection failed"
