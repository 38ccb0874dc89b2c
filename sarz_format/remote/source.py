"""A .sarz file behind an fsspec file system as a Source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import SarzIOError, TruncatedFileError
from ..source import Source
from ..urls import is_url, public_name
from .answer import Answer
from .failures import opening_errors


class RemoteSource(Source):
    """Ranges of a remote file, fetched at once and counted; nothing is read ahead. Pickles with its file system.

    `size` is None until `head` was read, and after it where the server does not tell.
    """

    most_requests = 3

    def __init__(self, filesystem: Any, path: str, name: str) -> None:
        super().__init__(name, None)
        with opening_errors(name, path):
            from .transports import Ranges

            self._ranges = Ranges(filesystem, path, name)
        self._versions: dict[str, str] = {}
        self._whole: bytes | None = None
        self._closed = False

    @classmethod
    def of_url(cls, url: str, storage_options: Mapping[str, Any] | None = None) -> RemoteSource:
        """The file behind a URL; `storage_options` go to its file system.

        Raises
        ------
        MissingDependencyError
            If fsspec, or what it needs for this URL, is not installed.
        SarzOptionError
            If fsspec knows no such scheme, or the file system no such option.
        """
        name = public_name(url)
        with opening_errors(name, url):
            from fsspec.core import url_to_fs

            filesystem, path = url_to_fs(url, **(storage_options or {}))
        return cls(filesystem, path, name)

    @classmethod
    def of_object(cls, filesystem: Any, path: str) -> RemoteSource:
        """The file at a path of an fsspec file system."""
        name = path if is_url(path) else filesystem.unstrip_protocol(path)
        return cls(filesystem, path, public_name(name))

    def head(self, length: int) -> bytes:
        """The first bytes, at most `length`; in the same request the size is learnt."""
        self._check_open()
        (answer,) = self._ask([(0, length)])
        self.size = answer.size
        if self.size is None and len(answer.data) < length:
            self.size = len(answer.data)
        return answer.data[:length]

    def close(self) -> None:
        """Refuse to read any more. Connections are fsspec's, and stay for the next file."""
        self._closed, self._whole = True, None

    def _fetch(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._check_open()
        wanted = [part for part in ranges if part[1]]
        if self._whole is None:
            answers = self._ask(wanted)
            self._check_unchanged(answers)
            blocks = iter([answer.data for answer in answers])
        if self._whole is not None:
            blocks = iter([self._whole[offset : offset + length] for offset, length in wanted])
        return [next(blocks) if length else b"" for _, length in ranges]

    def _ask(self, ranges: Sequence[tuple[int, int]]) -> list[Answer]:
        answers = self._ranges.fetch(ranges)
        self._count(len(ranges), sum(len(answer.data) for answer in answers))
        for answer in answers:
            if answer.whole:
                self._whole = answer.data
            self._check_version(answer.version)
        return answers

    def _check_version(self, version: tuple[str, str] | None) -> None:
        """Compare with the first one that the same host gave."""
        if version is not None and self._versions.setdefault(*version) != version[1]:
            raise SarzIOError(
                f"{self.name} was replaced on the server after it was opened (its ETag differs); open it again"
            )

    def _check_unchanged(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if None not in (answer.size, self.size) and answer.size != self.size:
                kind = TruncatedFileError if answer.size < self.size else SarzIOError
                raise kind(
                    f"{self.name} has {answer.size} bytes now, it had {self.size} when it was opened; it was replaced "
                    "or cut, open it again"
                )

    def _check_open(self) -> None:
        if self._closed:
            raise SarzIOError(f"{self.name}: the file is closed")

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteSource, (self._ranges.filesystem, self._ranges.path, self.name)
