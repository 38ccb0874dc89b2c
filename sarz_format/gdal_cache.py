"""A bound on GDAL's block cache: rasters are streamed once, so what it keeps is not used again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import rasterio
from rasterio._env import get_gdal_config, set_gdal_config

CACHE_BYTES = 256 << 20
"""GDAL's own default is 5 % of the machine's memory, which can be more than the codec needs itself."""


@contextlib.contextmanager
def bounded_gdal_cache() -> Iterator[None]:
    """Keep the process's block cache at 256 MiB, or what it was if that is less; set back at the end."""
    with rasterio.Env():
        before = get_gdal_config("GDAL_CACHEMAX")
        set_gdal_config("GDAL_CACHEMAX", min(before, CACHE_BYTES))
        try:
            yield
        finally:
            set_gdal_config("GDAL_CACHEMAX", before)
