"""Ranges of S3 objects through s3fs: one GetObject each, whose answer also tells the size and version of the object."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ..errors import SarzIOError
from .answer import Answer, content_range, range_problem
from .failures import reading_errors
from .retry import TransientError, with_retries


class S3Transport:
    """Fetches ranges of one object.

    s3fs and botocore try a request again that fails: 5 times in all where the store is busy or broken, 10 times where
    the connection is, 25 times where it says to slow down (measured with s3fs 2026.9 and its defaults, in 3 to 42
    seconds). So only what breaks within an answer's body is tried again here.

    Parameters
    ----------
    filesystem : s3fs.S3FileSystem
    path : str
        ``bucket/key``.
    name : str
        For messages.
    """

    def __init__(self, filesystem: Any, path: str, name: str) -> None:
        self._filesystem, self._path, self._name = filesystem, path, name

    async def fetch(self, offset: int, length: int) -> Answer:
        """`length` bytes at `offset`, fewer at the end of the object.

        Raises
        ------
        SarzFileNotFoundError, SarzIOError
        """
        return await with_retries(self._name, lambda: self._attempt(offset, length))

    async def _attempt(self, offset: int, length: int) -> Answer:
        with reading_errors(self._name, self._path):
            response = await self._get_object(offset, length)
        if response is None:
            return Answer(b"")
        async with response["Body"] as body:
            found = response.get("ContentRange")
            problem = range_problem(found, offset, length)
            if problem is not None:
                raise SarzIOError(f"{self._name}: {problem}; the store mishandles ranges, download the object first")
            _, count, size = content_range(found) or (0, 0, None)
            try:
                data = await body.read()
            except Exception as exc:  # the clients below s3fs have changed, and their errors with them
                raise TransientError(f"the connection broke within the answer ({type(exc).__name__})") from exc
        if len(data) != count:
            raise TransientError(f"the answer has {len(data)} bytes, {count} were promised")
        etag = response.get("ETag")
        return Answer(data, size, None if etag is None else ("S3", etag))

    async def _get_object(self, offset: int, length: int) -> dict[str, Any] | None:
        """The response; None if the object ends before `offset`."""
        bucket, key, version = self._filesystem.split_path(self._path)
        versions = {"VersionId": version} if version else {}
        try:
            return await self._filesystem._call_s3(
                "get_object", Bucket=bucket, Key=key, Range=f"bytes={offset}-{offset + length - 1}", **versions
            )
        except OSError as exc:
            error = exc.__cause__.response if isinstance(exc.__cause__, ClientError) else {}
            code = error.get("Error", {}).get("Code")
            if code == "InvalidRange":
                return None
            if error and not isinstance(exc, (FileNotFoundError, PermissionError)):
                status = error.get("ResponseMetadata", {}).get("HTTPStatusCode")
                raise SarzIOError(
                    f"{self._name}: the store answered {code} (status {status}), also when s3fs asked again; "
                    "try again later"
                ) from exc
            raise
