"""Both directions: `compress` a raster to .sarz, `decompress` a .sarz to GeoTIFF."""

from __future__ import annotations

from .compression import compress
from .decompression import decompress
from .reports import CompressReport, DecompressReport

__all__ = ["CompressReport", "DecompressReport", "compress", "decompress"]
