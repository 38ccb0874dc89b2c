"""Ranges through any other file system of fsspec: its ``cat_file``, with whatever retries it makes itself."""

from __future__ import annotations

from typing import Any

from .answer import Answer
from .failures import reading_errors


class PlainTransport:
    """Fetches ranges of one file.

    Parameters
    ----------
    filesystem : fsspec.AbstractFileSystem
    path : str
    name : str
        For messages.
    """

    def __init__(self, filesystem: Any, path: str, name: str) -> None:
        self._filesystem, self._path, self._name = filesystem, path, name

    async def fetch(self, offset: int, length: int) -> Answer:
        """`length` bytes at `offset`, fewer at the end of the file. Its size is not known.

        Raises
        ------
        SarzFileNotFoundError, SarzIOError
        """
        with reading_errors(self._name, self._path):
            return Answer(await self._filesystem._cat_file(self._path, start=offset, end=offset + length))

    def fetch_blocking(self, offset: int, length: int) -> Answer:
        """As `fetch`, of a file system that has no coroutines."""
        with reading_errors(self._name, self._path):
            return Answer(self._filesystem.cat_file(self._path, start=offset, end=offset + length))
