"""Open handles: small files in GDAL's memory, which GDAL can tell and close without Python.

A handle holds what it was opened on, and its position is the position in the virtual file. So Python keeps nothing by
handle: none is lost when a process forks, and one that is still open when the interpreter has gone is closed by GDAL
as it ends, without a call into Python, which would crash.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import struct
from dataclasses import dataclass

from ..errors import SarzIOError
from .gdal import Gdal
from .paths import Stamp

_FIXED = struct.Struct("<Q4qI")
_START = 0  # SEEK_SET
_MODULUS = 1 << 64

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Opened:
    """What a handle was opened on.

    Attributes
    ----------
    path : str
        Of the .sarz.
    stamp : Stamp
        What the file was then.
    size : int
        Bytes of the virtual file.
    """

    path: str
    stamp: Stamp
    size: int


class Handles:
    """Makes handles and reads them."""

    def __init__(self, gdal: Gdal) -> None:
        self._gdal = gdal

    def new(self, opened: Opened) -> int:
        """A handle, for GDAL to close with VSIFCloseL."""
        path = os.fsencode(opened.path)
        data = _FIXED.pack(opened.size, *opened.stamp, len(path)) + path
        name = f"/vsimem/sarz-{os.getpid()}-{next(_numbers)}".encode()
        # "+": only files that may be written can be positioned beyond their end.
        handle = self._gdal.VSIFOpenL(name, b"wb+")
        if not handle:
            raise SarzIOError(f"{opened.path}: GDAL has no memory for a handle")
        self._gdal.VSIFWriteL(data, 1, len(data), handle)
        self._gdal.VSIUnlink(name)  # it lives as long as it is open
        self._gdal.VSIFSeekL(handle, 0, _START)
        return handle

    def opened(self, handle: int) -> Opened:
        """What a handle was opened on. Its position stays."""
        position = self.position(handle)
        fixed = ctypes.create_string_buffer(_FIXED.size)
        self._gdal.VSIFSeekL(handle, 0, _START)
        self._gdal.VSIFReadL(fixed, 1, _FIXED.size, handle)
        size, *stamp, length = _FIXED.unpack(fixed.raw)
        path = ctypes.create_string_buffer(length)
        self._gdal.VSIFReadL(path, 1, length, handle)
        self.move(handle, position)
        return Opened(os.fsdecode(path.raw), tuple(stamp), size)

    def position(self, handle: int) -> int:
        """The position in the virtual file."""
        return self._gdal.VSIFTellL(handle)

    def move(self, handle: int, position: int) -> None:
        """Set the position, which may be beyond the end."""
        self._gdal.VSIFSeekL(handle, position % _MODULUS, _START)
