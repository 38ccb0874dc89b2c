"""A bound on GDAL's block cache: rasters are streamed once, so what it keeps is not used again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import rasterio
from rasterio._env import get_gdal_config, set_gdal_config

CACHE_BYTES = 256 << 20
"""GDAL's own default is 5 % of the machine's memory, which can be more than the codec needs itself."""


class _Bound:
    """The bound that all calls of a process share: the first one sets it, the last one sets it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._before = 0

    def enter(self) -> None:
        with self._lock:
            if self._calls == 0:
                self._before = get_gdal_config("GDAL_CACHEMAX")
                set_gdal_config("GDAL_CACHEMAX", min(self._before, CACHE_BYTES))
            self._calls += 1

    def leave(self) -> None:
        with self._lock:
            self._calls -= 1
            if self._calls == 0:
                set_gdal_config("GDAL_CACHEMAX", self._before)


_bound = _Bound()


@contextlib.contextmanager
def bounded_gdal_cache() -> Iterator[None]:
    """Keep the process's block cache at 256 MiB, or what it was if that is less; set back when no call is left.

    Safe from several threads, whose calls may overlap.
    """
    with rasterio.Env():
        _bound.enter()
        try:
            yield
        finally:
            _bound.leave()
