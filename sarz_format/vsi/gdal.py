"""The GDAL that rasterio has loaded, by ctypes: the few functions that a file system needs.

Source: GDAL's port/cpl_vsi.h, "VSI handler plugins" (since 3.0; sibling_files since 3.2).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint64, c_void_p

from ..errors import SarzIOError

STAT_SIZE = 4
"""VSI_STAT_SIZE_FLAG: the caller of stat wants the size."""

_FAILURE = 3  # CE_Failure
OPEN_FAILED, FILE_IO = 4, 3  # CPLE_OpenFailed, CPLE_FileIO

STAT = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p, c_int)
READ_DIR = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_char_p, c_int)
OPEN = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_char_p, c_char_p, use_errno=True)
SEEK = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint64, c_int)
READ = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_size_t, c_size_t)
READ_MULTI_RANGE = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, POINTER(c_void_p), POINTER(c_uint64), POINTER(c_size_t))
EOF = ctypes.CFUNCTYPE(c_int, c_void_p)
SIBLING_FILES = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_char_p)


class Callbacks(ctypes.Structure):
    """VSIFilesystemPluginCallbacksStruct as of GDAL 3.2; later versions append to it."""

    _fields_ = [(name, c_void_p) for name in (
        "user_data", "stat", "unlink", "rename", "mkdir", "rmdir", "read_dir", "open", "tell", "seek", "read",
        "read_multi_range", "get_range_status", "eof", "write", "flush", "truncate", "close",
    )] + [("buffer_size", c_size_t), ("cache_size", c_size_t), ("sibling_files", c_void_p)]  # fmt: skip


_FUNCTIONS = {
    "VSIAllocFilesystemPluginCallbacksStruct": (POINTER(Callbacks), []),
    "VSIFreeFilesystemPluginCallbacksStruct": (None, [POINTER(Callbacks)]),
    "VSIInstallPluginHandler": (c_int, [c_char_p, POINTER(Callbacks)]),
    "VSIFileFromMemBuffer": (c_void_p, [c_char_p, c_void_p, c_uint64, c_int]),
    "VSIFOpenL": (c_void_p, [c_char_p, c_char_p]),
    "VSIFWriteL": (c_size_t, [c_void_p, c_size_t, c_size_t, c_void_p]),
    "VSIFReadL": (c_size_t, [c_void_p, c_size_t, c_size_t, c_void_p]),
    "VSIFSeekL": (c_int, [c_void_p, c_uint64, c_int]),
    "VSIFTellL": (c_uint64, [c_void_p]),
    "VSIFCloseL": (c_int, [c_void_p]),
    "VSIUnlink": (c_int, [c_char_p]),
    "VSIStatExL": (c_int, [c_char_p, c_void_p, c_int]),
    "CPLError": (None, [c_int, c_int, c_char_p]),
    "CSLAddString": (c_void_p, [c_void_p, c_char_p]),
    "GDALVersionInfo": (c_char_p, [c_char_p]),
}

_STAT_BYTES = 512
"""More than any platform's struct stat."""


class Gdal:
    """Functions of the GDAL library that rasterio is linked with.

    All release Python's lock while they run (ctypes.CDLL).

    Raises
    ------
    SarzIOError
        If a function cannot be found.
    """

    def __init__(self) -> None:
        import rasterio._base

        # Looked up from rasterio's own module, names lead to the GDAL it uses, whatever others the process has loaded.
        self.source = rasterio._base.__file__
        try:
            library = ctypes.CDLL(self.source)
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)
        except (OSError, AttributeError) as exc:
            raise SarzIOError(f"the GDAL that {self.source} uses gives no access to its file systems: {exc}") from exc
        self._regular, self._size_at = self._look_at_stat()

    def error(self, message: str, number: int) -> None:
        """Raise a GDAL error, which becomes the exception of the rasterio call that led here."""
        # The text is the format, so that nothing is passed the way of variadic arguments, which differs by platform.
        self.CPLError(_FAILURE, number, os.fsencode(message.replace("%", "%%")))

    def string_list(self, items: Iterable[str]) -> int | None:
        """A list of strings that GDAL will free; None for no items."""
        result = None
        for item in items:
            result = self.CSLAddString(result, os.fsencode(item))
        return result

    def stat(self, path: str, buffer: int, flags: int) -> int:
        """Fill the struct stat at `buffer` with what the system says of `path`; 0, or -1 if it is not there."""
        return self.VSIStatExL(os.fsencode(path), buffer, flags)

    def stat_as_regular(self, buffer: int) -> None:
        """Fill the struct stat at `buffer` with that of some regular file."""
        ctypes.memmove(buffer, self._regular, len(self._regular))

    def set_stat_size(self, buffer: int, size: int) -> None:
        """Set st_size of the struct stat at `buffer`."""
        ctypes.c_int64.from_address(buffer + self._size_at).value = size

    def _look_at_stat(self) -> tuple[bytes, int]:
        """A filled struct stat, and where its size stands, by what GDAL says of two files in memory."""
        name = f"/vsimem/sarz-{os.getpid()}-stat".encode()
        images = {}
        for size in (54_321, 1_234_567):
            contents, buffer = ctypes.create_string_buffer(size), ctypes.create_string_buffer(_STAT_BYTES)
            self.VSIFCloseL(self.VSIFileFromMemBuffer(name, contents, size, 0))
            self.VSIStatExL(name, buffer, 0)
            self.VSIUnlink(name)
            images[size] = buffer.raw
        places = [at for at in range(0, _STAT_BYTES, 4)
                  if all(int.from_bytes(raw[at : at + 8], "little") == size for size, raw in images.items())]  # fmt: skip
        if len(places) != 1:
            raise SarzIOError(f"the size in this platform's struct stat was found at {places}; expected one place")
        return images[54_321].rstrip(b"\0"), places[0]
