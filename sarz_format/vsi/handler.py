"""The callbacks of the file system. GDAL calls them from any thread; no exception leaves them."""

from __future__ import annotations

import ctypes
import errno
import functools
import logging
import os
import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import SarzError, SarzFileNotFoundError, SarzIOError
from . import gdal as c
from .handles import Handles, Opened
from .paths import find, is_url, listing, names_a_sarz

if TYPE_CHECKING:
    from .files import Files
    from .gdal import Gdal

_log = logging.getLogger(__name__)

_FAILED = -1
_FROM_HERE, _FROM_END = 1, 2  # SEEK_CUR, SEEK_END


def _guarded(failed: Any, number: int = c.FILE_IO) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn an exception into an error of GDAL of that number, and return `failed`."""

    def decorate(callback: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(callback)
        def guarded(self: Handler, *arguments: Any) -> Any:
            try:
                return callback(self, *arguments)
            except BaseException as exc:  # KeyboardInterrupt too: what left a callback would be printed and lost
                self._report(exc, number)
                return failed

        return guarded

    return decorate


class Handler:
    """Answers GDAL from .sarz files."""

    def __init__(self, gdal: Gdal) -> None:
        self._gdal = gdal
        self._handles = Handles(gdal)
        self._files: Files | None = None

    def callbacks(self) -> dict[str, Any]:
        """Fields of GDAL's struct of callbacks; the values must live as long as the process."""
        return {
            "stat": c.STAT(self.stat), "open": c.OPEN(self.open), "seek": c.SEEK(self.seek), "read": c.READ(self.read),
            "read_multi_range": c.READ_MULTI_RANGE(self.read_multi_range), "eof": c.EOF(self.eof),
            "read_dir": c.READ_DIR(self.read_dir), "sibling_files": c.SIBLING_FILES(self.sibling_files),
            "tell": self._gdal.VSIFTellL, "close": self._gdal.VSIFCloseL,
        }  # fmt: skip

    def forget(self) -> None:
        """Drop open files, and locks that another thread may have held when this process was forked."""
        self._files = None

    @_guarded(_FAILED)
    def stat(self, _: int, name: bytes, buffer: int, flags: int) -> int:
        """Fill a struct stat; -1 if there is nothing."""
        place = find(os.fsdecode(name))
        if place is None:
            return _FAILED
        if place.is_remote:
            self._gdal.stat_as_regular(buffer)
        elif self._gdal.stat(place.path, buffer, flags) != 0:
            return _FAILED
        if place.stamp is not None and (flags == 0 or flags & c.STAT_SIZE or place.is_remote):
            try:
                size = self._open_files().get(place.path, place.stamp).size
            except SarzError:
                return _FAILED  # GDAL asks for what is there; opening it says what is wrong
            self._gdal.set_stat_size(buffer, size)
        return 0

    @_guarded(None, c.OPEN_FAILED)  # which rasterio expects when it opens
    def open(self, _: int, name: bytes, mode: bytes) -> int | None:
        """A new handle; None, and errno, if there is none."""
        ctypes.set_errno(errno.ENOENT)
        path = os.fsdecode(name)
        if not set(mode) <= set(b"rb"):
            if names_a_sarz(path):
                raise SarzIOError(f"{path} cannot be written through GDAL; sarz.compress writes .sarz files")
            return None
        place = find(path)
        if place is None or place.stamp is None:
            if place is None and names_a_sarz(path):
                raise SarzFileNotFoundError(f"{path} does not exist")
            return None
        size = self._open_files().get(place.path, place.stamp).size
        return self._handles.new(Opened(place.path, place.stamp, size))

    @_guarded(_FAILED)
    def seek(self, handle: int, offset: int, whence: int) -> int:
        """Move a handle's position."""
        if whence == _FROM_HERE:
            offset += self._handles.position(handle)
        elif whence == _FROM_END:
            offset += self._handles.opened(handle).size
        self._handles.move(handle, offset)
        return 0

    @_guarded(0)
    def read(self, handle: int, buffer: int, size: int, count: int) -> int:
        """Read at the position, and move it; the number of whole items of `size` bytes that were read."""
        if not size * count:
            return 0
        opened, position = self._handles.opened(handle), self._handles.position(handle)
        data = self._open_files().get(opened.path, opened.stamp).read(position, size * count)
        ctypes.memmove(buffer, data, len(data))
        self._handles.move(handle, position + len(data))
        return len(data) // size

    @_guarded(_FAILED)
    def read_multi_range(self, handle: int, count: int, buffers: Any, offsets: Any, sizes: Any) -> int:
        """Read several ranges, whose tiles are decoded together; the position stays."""
        opened = self._handles.opened(handle)
        ranges = list(zip(offsets[:count], sizes[:count]))
        pieces = self._open_files().get(opened.path, opened.stamp).read_ranges(ranges)
        for (offset, size), data in zip(ranges, pieces):
            if len(data) != size:
                raise SarzIOError(f"{opened.path}: {size} bytes at {offset} end beyond the {opened.size} of its GeoTIFF")
        for buffer, data in zip(buffers[:count], pieces):
            ctypes.memmove(buffer, data, len(data))
        return 0

    @_guarded(1)
    def eof(self, handle: int) -> int:
        """Whether the position is at the end."""
        return int(self._handles.position(handle) >= self._handles.opened(handle).size)

    @_guarded(None)
    def read_dir(self, _: int, name: bytes, limit: int) -> int | None:
        """Folders and .sarz files in a folder."""
        place = find(os.fsdecode(name).rstrip("/") or os.fsdecode(name))
        if place is None or place.stamp is not None:
            return None
        names = list(listing(place.path))
        return self._gdal.string_list(names[:limit] if limit > 0 else names)

    @_guarded(None)
    def sibling_files(self, _: int, name: bytes) -> int | None:
        """The file itself: it has no sidecars, and its folder need not be listed to find that out."""
        path = os.fsdecode(name)
        return self._gdal.string_list([posixpath.basename(path)]) if is_url(path) or find(path) else None

    def _open_files(self) -> Files:
        files = self._files
        if files is None:
            from .files import Files

            # Two threads may come here at once: one of the two is kept.
            self._files = files = self._files or Files()
        return files

    def _report(self, exc: BaseException, number: int) -> None:
        _log.debug("a callback of /vsisarz/ failed", exc_info=exc)
        text = str(exc) if isinstance(exc, SarzError) else f"{type(exc).__name__}: {exc}"
        self._gdal.error(f"sarz: {text}", number)
