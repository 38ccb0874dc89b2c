"""Making ``/vsisarz/`` known to GDAL, once a process."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Any

from ..errors import SarzError, SarzIOError

PREFIX = "/vsisarz/"

_lock = threading.Lock()
_kept: list[Any] = []
"""What GDAL has pointers to."""


def register_vsi() -> None:
    """Register ``/vsisarz/`` with the GDAL that rasterio uses. ``import sarz`` has done so already, where it can be done.

    Raises
    ------
    SarzIOError
        If this platform's rasterio gives no access to GDAL's file systems. `sarz.open` reads without.
    """
    with _lock:
        if _kept:
            return
        try:
            _register()
        except SarzIOError as exc:
            raise SarzIOError(f"{PREFIX} cannot be registered: {exc}; sarz.open reads .sarz files without it") from exc


def try_to_register() -> None:
    """Register, or leave it: `register_vsi` says why."""
    try:
        register_vsi()
    except (SarzError, ImportError):
        pass


def _register() -> None:
    from .gdal import Gdal
    from .handler import Handler

    gdal = Gdal()
    handler = Handler(gdal)
    callbacks = handler.callbacks()
    struct = gdal.VSIAllocFilesystemPluginCallbacksStruct()
    for name, function in callbacks.items():
        setattr(struct.contents, name, ctypes.cast(function, ctypes.c_void_p))
    prefix = PREFIX.encode()
    # GDAL copies the struct, and keeps pointers to the prefix and the functions until the process has ended, when Python
    # has long cleared its modules: these are never freed.
    for pointed_at in (prefix, *callbacks.values()):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(pointed_at))
    gdal.VSIInstallPluginHandler(prefix, struct)
    gdal.VSIFreeFilesystemPluginCallbacksStruct(struct)
    _kept.extend([gdal, handler, prefix, callbacks])
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=handler.forget)
