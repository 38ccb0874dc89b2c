"""What a full scene goes through in each codec: write it, copy it back to GeoTIFF, read it whole, read windows.

Each function is one measured call and runs in a process of its own. The first window warms the process up and is not
counted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window

WINDOW_PIXELS = 512

PLAIN_GEOTIFF = {"TILED": "YES", "BLOCKXSIZE": "512", "BLOCKYSIZE": "512", "BIGTIFF": "IF_SAFER"}

JPEG_2000 = "JP2OpenJPEG, lossy"


@dataclass(frozen=True, slots=True)
class GdalCodec:
    """A GDAL driver with its creation options."""

    name: str
    driver: str
    suffix: str
    options: Mapping[str, str] = field(default_factory=dict)


GEOTIFFS = (
    GdalCodec("GeoTIFF DEFLATE, predictor 2", "GTiff", ".tif",
              {**PLAIN_GEOTIFF, "COMPRESS": "DEFLATE", "PREDICTOR": "2"}),
    GdalCodec("GeoTIFF ZSTD, predictor 2", "GTiff", ".tif", {**PLAIN_GEOTIFF, "COMPRESS": "ZSTD", "PREDICTOR": "2"}),
    GdalCodec("GeoTIFF LERC_ZSTD, lossless", "GTiff", ".tif",
              {**PLAIN_GEOTIFF, "COMPRESS": "LERC_ZSTD", "MAX_Z_ERROR": "0"}),
)


def jpeg_2000(rate: float) -> GdalCodec:
    """GDAL's JP2OpenJPEG driver, lossy, at `rate`: bytes of the file over bytes of the raw raster."""
    return GdalCodec(JPEG_2000, "JP2OpenJPEG", ".jp2", {"QUALITY": f"{100 * rate:.3f}", "REVERSIBLE": "NO"})


def is_available(codec: GdalCodec) -> bool:
    """Whether this GDAL writes with the codec."""
    profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 1, "dtype": "uint16",
               "transform": Affine(10, 0, 0, 0, -10, 0)}
    try:
        with MemoryFile() as source, MemoryFile(ext=codec.suffix) as target:
            with source.open(**profile) as dst:
                dst.write(np.ones((1, 512, 512), np.uint16))
            rasterio.shutil.copy(source.name, target.name, driver=codec.driver, **codec.options)
    except RasterioError:
        return False
    return True


def gdal_write(src_path: Path, dst_path: Path, codec: GdalCodec) -> None:
    """Copy a raster into the codec, on all cores."""
    with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"):
        rasterio.shutil.copy(src_path, dst_path, driver=codec.driver, **codec.options)


def gdal_to_geotiff(src_path: Path, dst_path: Path) -> None:
    """Copy a raster into an uncompressed tiled GeoTIFF."""
    gdal_write(src_path, dst_path, GdalCodec("GeoTIFF", "GTiff", ".tif", PLAIN_GEOTIFF))


def gdal_read(path: Path) -> None:
    """Read a raster whole, a row of its blocks at a time."""
    with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"), rasterio.open(path) as src:
        read_strips(src)


def gdal_windows(path: Path, corners: Sequence[tuple[int, int]]) -> list[float]:
    """Milliseconds for each window; the raster is opened anew for each, untimed, so that no block is cached."""
    milliseconds = []
    with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"):
        for corner in corners:
            with rasterio.open(path) as src:
                milliseconds.append(time_window(src, *corner))
    return milliseconds[1:]


def sarz_write(src_path: Path, dst_path: Path, goal: Mapping[str, Any]) -> dict[str, float]:
    """Compress to a quality, a bound or losslessly; gives seconds by stage, as far as the library tells them."""
    import sarz

    return stage_seconds(sarz.compress(src_path, dst_path, **goal))


def sarz_to_geotiff(src_path: Path, dst_path: Path) -> dict[str, float]:
    """Decompress into an uncompressed tiled GeoTIFF; gives seconds by stage."""
    import sarz

    return stage_seconds(sarz.decompress(src_path, dst_path, compression="none"))


def sarz_read(path: Path) -> None:
    """Read a .sarz whole, a row of its tiles at a time."""
    import sarz

    with sarz.open(path) as src:
        read_strips(src)


def sarz_windows(path: Path, corners: Sequence[tuple[int, int]]) -> list[float]:
    """Milliseconds for each window, with the cache of tiles off."""
    import sarz

    with sarz.open(path, cache_bytes=0) as src:
        return [time_window(src, *corner) for corner in corners][1:]


def stage_seconds(report: Any) -> dict[str, float]:
    """The report's timings; empty where it has none."""
    return dict(getattr(report, "timings", None) or {})


def read_strips(src: Any) -> None:
    """Read an open dataset from top to bottom in strips of one block's height."""
    strip_rows = src.block_shapes[0][0]
    for row in range(0, src.height, strip_rows):
        src.read(window=Window(0, row, src.width, min(strip_rows, src.height - row)))


def time_window(src: Any, row: int, col: int) -> float:
    """Milliseconds to read one window of all bands from an open dataset."""
    start = time.perf_counter()
    src.read(window=Window(col, row, WINDOW_PIXELS, WINDOW_PIXELS))
    return 1000 * (time.perf_counter() - start)
