"""Cloud-optimised GeoTIFFs with everything the raster says about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil

from .errors import SarzOptionError
from .metadata import RasterMetadata

OVERVIEW_RESAMPLING = "average"

GDAL_NAMES = {"blockxsize": "BLOCKSIZE", "blockysize": "BLOCKSIZE"}
"""Creation options of the GTiff driver that the COG driver spells differently."""

Writer = Callable[[Path, Mapping[str, Any]], None]
"""Writes the plain GeoTIFF, ``(path, creation options)``."""


def write_cog(write: Writer, path: Path, metadata: RasterMetadata, options: Mapping[str, Any]) -> None:
    """Write a COG to `path` by way of a plain GeoTIFF beside it.

    rio-cogeo makes it, unless the raster has ground control points: rio-cogeo replaces those by a fitted transform, GDAL's
    own COG driver keeps them.
    """
    plain = path.with_name(path.name + ".plain.tif")
    try:
        write(plain, {"compress": "none"})
        if metadata.gcps or metadata.rpcs:
            _by_gdal(plain, path, options)
        else:
            _by_rio_cogeo(plain, path, metadata, options)
    finally:
        for leftover in (plain, plain.with_name(plain.name + ".aux.xml"), plain.with_name(plain.name + ".ovr"),
                         plain.with_name(plain.name + ".msk")):
            leftover.unlink(missing_ok=True)


def _by_gdal(plain: Path, path: Path, options: Mapping[str, Any]) -> None:
    chosen = {"COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BIGTIFF": "IF_SAFER", "NUM_THREADS": "ALL_CPUS",
              "OVERVIEW_RESAMPLING": OVERVIEW_RESAMPLING.upper()}
    chosen |= {GDAL_NAMES.get(k, k.upper()): str(v).upper() for k, v in options.items()}
    if chosen["COMPRESS"] in ("NONE", "RAW"):
        chosen |= {"COMPRESS": "NONE", "PREDICTOR": "NO"}
    rasterio.shutil.copy(plain, path, driver="COG", **chosen)


def _by_rio_cogeo(plain: Path, path: Path, metadata: RasterMetadata, options: Mapping[str, Any]) -> None:
    from rio_cogeo.cogeo import cog_translate
    from rio_cogeo.profiles import cog_profiles

    chosen = {k: v for k, v in options.items() if k != "compress"}
    name = str(options.get("compress", "deflate")).lower()
    name = "raw" if name == "none" else name
    if name not in cog_profiles:
        raise SarzOptionError(f"compression {name!r}: expected one of {', '.join(sorted(cog_profiles))}")
    profile = cog_profiles.get(name) | {"BIGTIFF": "IF_SAFER"}
    if name in ("deflate", "zstd", "lzw") and "predictor" not in chosen:
        profile |= {"predictor": 3 if metadata.dtype.startswith("float") else 2}
    cog_translate(plain, path, profile | chosen, overview_resampling=OVERVIEW_RESAMPLING, forward_band_tags=True,
                  forward_ns_tags=True, quiet=True, config={"GDAL_NUM_THREADS": "ALL_CPUS"})
