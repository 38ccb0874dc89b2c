"""Where the bytes of a .sarz come from: a file, memory, or an open binary file object."""

from __future__ import annotations

import os
import stat
import threading
import weakref
from pathlib import Path
from typing import IO, Any

from .errors import SarzFileNotFoundError, SarzIOError, TruncatedFileError


class Source:
    """Random access to bytes, safe from several threads.

    Subclasses provide ``_read(offset, length) -> bytes`` (it may come short at the end) and set `name` and `size`.

    Attributes
    ----------
    name : str
        How messages call it.
    size : int
        Bytes in all.
    requests, bytes_read : int
        Reads made so far, and the bytes that they brought.
    """

    def __init__(self, name: str, size: int) -> None:
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
        if offset < 0 or length < 0 or offset + length > self.size:
            raise TruncatedFileError(
                f"{self.name}: bytes {offset} to {offset + length} asked for, but the file has {self.size}"
            )
        try:
            data = self._read(offset, length)
        except (OSError, ValueError) as exc:  # ValueError: a closed file object
            raise SarzIOError(f"{self.name}: reading failed: {exc}") from exc
        with self._counting:
            self.requests += 1
            self.bytes_read += len(data)
        if len(data) != length:
            raise TruncatedFileError(
                f"{self.name}: got {len(data)} of {length} bytes at {offset}; the file shrank after it was opened"
            )
        return data

    def close(self) -> None:
        """Release what the source holds; reading afterwards is a SarzIOError."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

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


def open_source(source: str | os.PathLike[str] | bytes | IO[bytes] | Source) -> Source:
    """A Source of a path, of bytes, of a seekable binary file object, or the Source itself.

    Raises
    ------
    SarzFileNotFoundError
        If the path does not exist.
    SarzIOError
        If it is no regular file, or cannot be opened.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return BytesSource(bytes(source))
    if isinstance(source, (str, os.PathLike)):
        return FileSource(source)
    if hasattr(source, "read") and hasattr(source, "seek"):
        return StreamSource(source)
    raise TypeError(f"cannot read from {type(source).__name__}: expected a path, bytes or a binary file object")


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
