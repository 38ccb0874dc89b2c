"""Where the bytes of a .sarz come from: a file, memory, an open binary file object, or a URL (see `remote`)."""

from __future__ import annotations

import os
import stat
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from .errors import SarzFileNotFoundError, SarzIOError, SarzOptionError, TruncatedFileError
from .urls import as_url, is_url, local_path


class Source:
    """Random access to bytes, safe from several threads.

    Subclasses provide ``_read(offset, length) -> bytes`` (it may come short at the end) and set `name` and `size`.

    Attributes
    ----------
    name : str
        How messages call it.
    size : int or None
        Bytes in all; None while that is not known.
    requests, bytes_read : int
        Reads made so far, and the bytes that they brought.
    most_requests : int or None
        Requests that one read should take at most, where each costs a round trip; see `ranges.bridged`.
    """

    most_requests: int | None = None

    def __init__(self, name: str, size: int | None) -> None:
        self.name, self.size = name, size
        self.requests = self.bytes_read = 0
        self._counting = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`.

        Raises
        ------
        TruncatedFileError
            If the source ends before; checked against `size` before anything is allocated.
        SarzIOError
            If reading fails underneath.
        """
        return self.read_ranges([(offset, length)])[0]

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """As `read`, for several ``(offset, length)``, at once where that is faster."""
        for offset, length in ranges:
            if offset < 0 or length < 0 or (self.size is not None and offset + length > self.size):
                raise TruncatedFileError(
                    f"{self.name}: bytes {offset} to {offset + length} asked for, but the file has {self.size}"
                )
        blocks = self._fetch(ranges)
        for (offset, length), data in zip(ranges, blocks):
            if len(data) != length:
                raise TruncatedFileError(
                    f"{self.name}: got {len(data)} of {length} bytes at {offset}; the file is cut, or shrank after it "
                    "was opened"
                )
        return blocks

    def head(self, length: int) -> bytes:
        """The first bytes, at most `length`. Read first: a remote source learns its size from the answer."""
        return self.read(0, min(length, self.size or 0))

    def close(self) -> None:
        """Release what the source holds; reading afterwards is a SarzIOError."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _fetch(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        blocks = []
        for offset, length in ranges:
            try:
                data = self._read(offset, length)
            except (OSError, ValueError) as exc:  # ValueError: a closed file object
                raise SarzIOError(f"{self.name}: reading failed: {exc}") from exc
            self._count(1, len(data))
            blocks.append(data)
        return blocks

    def _count(self, requests: int, nbytes: int) -> None:
        with self._counting:
            self.requests += requests
            self.bytes_read += nbytes

    def _read(self, offset: int, length: int) -> bytes:
        raise NotImplementedError


class FileSource(Source):
    """A regular file, closed when nobody holds the source any more. Pickles as its path and opens it again."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._descriptor = _open_regular(self.path)
        self._closing = weakref.finalize(self, os.close, self._descriptor)
        self._seeking = threading.Lock()
        super().__init__(str(self.path), os.fstat(self._descriptor).st_size)

    def _read(self, offset: int, length: int) -> bytes:
        pieces = []
        # A system may return less at once, at most 2 GiB on Linux.
        while length > 0 and (piece := self._read_some(offset, length)):
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_some(self, offset: int, length: int) -> bytes:
        if not self._closing.alive:
            raise ValueError("the file is closed")
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, length, offset)
        with self._seeking:  # Windows
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, length)

    def close(self) -> None:
        """Close the file."""
        self._closing()

    def __reduce__(self) -> tuple[Any, ...]:
        return FileSource, (self.path,)


class BytesSource(Source):
    """Bytes in memory."""

    def __init__(self, data: bytes, name: str = "<bytes>") -> None:
        super().__init__(name, len(data))
        self._data = data

    def _read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def __reduce__(self) -> tuple[Any, ...]:
        return BytesSource, (self._data, self.name)


class StreamSource(Source):
    """A seekable binary file object, which stays the caller's: it is not closed here, and it does not pickle."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._seeking = threading.Lock()
        name = str(getattr(stream, "name", "<file object>"))
        try:
            size = stream.seek(0, os.SEEK_END)
        except (OSError, ValueError) as exc:
            raise SarzIOError(f"{name}: the file object cannot seek: {exc}") from exc
        super().__init__(name, size)

    def _read(self, offset: int, length: int) -> bytes:
        with self._seeking:
            self._stream.seek(offset)
            pieces = []
            while length > 0 and (piece := self._stream.read(length)):
                pieces.append(piece)
                length -= len(piece)
        return b"".join(pieces)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"{self.name}: a dataset on an open file object cannot be pickled; open it by its path")


def open_source(
    source: str | os.PathLike[str] | bytes | IO[bytes] | Source | Any,
    storage_options: Mapping[str, Any] | None = None,
) -> Source:
    """A Source of a path, a URL, bytes, a seekable binary file object, or the Source itself.

    Parameters
    ----------
    source
        URLs are those that fsspec knows, GDAL's ``/vsicurl/https://...``, ``/vsis3/...``, ``/vsigs/...`` and
        ``/vsiaz/...``, and ``file://``. An object that has an fsspec file system as `fs` and a `path`
        (``fsspec.OpenFile``, a file that a file system opened) is read through the file system, not through its own
        buffer.
    storage_options : mapping, optional
        Options of the file system of a URL.

    Raises
    ------
    SarzFileNotFoundError
        If the path does not exist.
    SarzIOError
        If it is no regular file, or cannot be opened.
    SarzOptionError
        If fsspec does not know the URL or the storage_options, or what is opened takes none.
    MissingDependencyError
        If a package that the URL needs is not installed.
    """
    if isinstance(source, str) and is_url(url := as_url(source)) and local_path(url) is None:
        from .remote.source import RemoteSource

        return RemoteSource.of_url(url, storage_options)
    if storage_options:
        raise SarzOptionError("storage_options are options of a URL's file system; what is opened here is no such URL")
    if isinstance(source, Source):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return BytesSource(bytes(source))
    if isinstance(source, str):
        return FileSource(local_path(source) or source)
    if _has_filesystem(source):
        return _of_filesystem(source)
    if isinstance(source, os.PathLike):
        return FileSource(source)
    if hasattr(source, "read") and hasattr(source, "seek"):
        return StreamSource(source)
    raise TypeError(f"cannot read from {type(source).__name__}: expected a path, a URL, bytes or a binary file object")


def _has_filesystem(source: object) -> bool:
    """Whether this is an ``fsspec.OpenFile``, a file opened by an fsspec file system, or a path of such a one."""
    return hasattr(getattr(source, "fs", None), "cat_file") and isinstance(getattr(source, "path", None), str)


def _of_filesystem(source: Any) -> Source:
    if getattr(source, "compression", None) is not None:
        raise SarzOptionError(
            f"{source.path}: opened with compression={source.compression!r}; a .sarz has none around it"
        )
    if "file" in source.fs.protocol and "local" in source.fs.protocol:
        return FileSource(source.path)
    from .remote.source import RemoteSource

    return RemoteSource.of_object(source.fs, source.path)


def _open_regular(path: str) -> int:
    try:
        # Looked at before it is opened: opening a FIFO would wait for its writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "a directory" if Path(path).is_dir() else "not a regular file"
            raise SarzIOError(f"{path} is {kind}; expected a .sarz file")
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as exc:
        raise SarzFileNotFoundError(f"{path} does not exist") from exc
    except SarzIOError:
        raise
    except (OSError, ValueError) as exc:  # ValueError: a null character in the path
        raise SarzIOError(f"{path} cannot be opened: {getattr(exc, 'strerror', None) or exc}") from exc
