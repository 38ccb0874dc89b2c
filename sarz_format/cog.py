"""Cloud-optimised GeoTIFFs with everything the raster says about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.io import DatasetWriter
from rasterio.rio.overview import get_maximum_overview_level

from .dtypes import is_complex
from .errors import SarzIOError, SarzOptionError
from .metadata import RasterMetadata
from .metadata_rasterio import writable_tags

OVERVIEW_RESAMPLING = Resampling.average
COMPLEX_RESAMPLING = Resampling.nearest
"""Means of complex values lose their power: neighbours' phases differ."""

SMALLEST_OVERVIEW = 512
ASIDE = "SARZ_BAND_TAGS"
FRONT_BYTES = 1 << 24
SIDECARS = ("", ".aux.xml", ".ovr", ".msk")

Writer = Callable[[Path, Mapping[str, Any]], None]
"""Writes the plain GeoTIFF, ``(path, creation options)``."""


def write_cog(write: Writer, path: Path, metadata: RasterMetadata, options: Mapping[str, Any]) -> None:
    """Write a COG to `path` by way of a plain GeoTIFF with overviews beside it.

    The profiles and the validation are rio-cogeo's; the copy is GDAL's GTiff driver from GeoTIFF to GeoTIFF, which keeps
    ground control points, tags of every namespace and units. rio-cogeo's own translation replaces the points by a fitted
    transform and drops units.
    """
    plain = path.with_name(path.name + ".plain.tif")
    try:
        write(plain, {"compress": None})
        profile = _profile(metadata, options)
        with rasterio.open(plain, "r+") as src:
            how = COMPLEX_RESAMPLING if is_complex(metadata.dtype) else OVERVIEW_RESAMPLING
            _build_overviews(src, int(profile.get("blockxsize", SMALLEST_OVERVIEW)), how)
            _set_band_tags_aside(src, metadata)
            rasterio.shutil.copy(src, path, driver="GTiff", copy_src_overviews=True, copy_src_mdd=True, **profile)
    finally:
        for suffix in SIDECARS:
            plain.with_name(plain.name + suffix).unlink(missing_ok=True)
    _put_band_tags_back(path)
    _validate(path)


def _set_band_tags_aside(dst: DatasetWriter, metadata: RasterMetadata) -> None:
    """Repeat the bands' tags of the default namespace in one of our own.

    Asked to copy all namespaces (COPY_SRC_MDD), GDAL 3.10 drops just these; not asked, it drops all others.
    """
    for number, tags in enumerate(metadata.band_tags, 1):
        if tags.get(""):
            dst.update_tags(number, ns=ASIDE, **writable_tags(tags[""]))


def _put_band_tags_back(path: Path) -> None:
    """Blank out the namespace of `_set_band_tags_aside` in the metadata, an XML text at the front of the file."""
    attribute = f' domain="{ASIDE}"'.encode()
    with open(path, "r+b") as file:
        front = file.read(FRONT_BYTES)
        position = front.find(attribute)
        while position >= 0:
            file.seek(position)
            file.write(b" " * len(attribute))
            position = front.find(attribute, position + 1)


def _build_overviews(dst: DatasetWriter, smallest: int, how: Resampling) -> None:
    levels = get_maximum_overview_level(dst.width, dst.height, smallest)
    if levels:
        dst.build_overviews([2**level for level in range(1, levels + 1)], how)


def _profile(metadata: RasterMetadata, options: Mapping[str, Any]) -> dict[str, Any]:
    from rio_cogeo.profiles import cog_profiles

    chosen = {k: v for k, v in options.items() if k != "compress"}
    name = str(options.get("compress") or "deflate").lower()
    name = "raw" if name == "none" else name
    if name not in cog_profiles:
        raise SarzOptionError(f"compression {name!r} of a COG: expected one of {', '.join(sorted(cog_profiles))}")
    profile = {k: v for k, v in cog_profiles.get(name).items() if k != "driver"}
    if "blocksize" in chosen:  # As GDAL's COG driver calls it.
        chosen["blockxsize"] = chosen["blockysize"] = chosen.pop("blocksize")
    profile |= {"bigtiff": "IF_SAFER", "num_threads": "ALL_CPUS"}
    if name in ("deflate", "zstd", "lzw") and not is_complex(metadata.dtype):
        profile["predictor"] = 3 if metadata.dtype.startswith("float") else 2
    return profile | chosen


def _validate(path: Path) -> None:
    """Raise SarzIOError unless rio-cogeo finds the file valid."""
    from rio_cogeo.cogeo import cog_validate

    valid, errors, _ = cog_validate(path, quiet=True)
    if not valid:
        raise SarzIOError(f"{path.name}: not a valid COG with these options: {'; '.join(errors)}")
