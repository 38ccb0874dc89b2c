"""What may be asked of a GeoTIFF that is written: its compression, and GDAL's creation options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import SarzOptionError

COMPRESSIONS = ("deflate", "zstd", "lzw", "lerc_deflate", "lerc_zstd", "packbits", "none")
"""Compressions by name, all lossless; "none" is none."""

RESERVED_OPTIONS = frozenset({
    "fp", "mode", "driver", "width", "height", "count", "dtype", "crs", "transform", "affine", "gcps", "rpcs", "nodata",
    "sharing", "opener", "thread_safe",
    "src", "dst", "strict", "creation_options", "copy_src_overviews", "copy_src_mdd",
})  # fmt: skip
"""rasterio takes these beside creation options, but they are what the file itself says, or how it is written."""

# GDAL ignores a name that it does not know, and compresses nothing.
_GDAL_COMPRESSIONS = frozenset({*COMPRESSIONS, "jpeg", "webp", "jxl", "lzma", "lerc", "raw"})


def checked_compression(name: str | None) -> str | None:
    """`name` in lower case if it is one of COMPRESSIONS, or None; raises SarzOptionError otherwise."""
    if name is None:
        return None
    if not isinstance(name, str) or name.lower() not in COMPRESSIONS:
        raise SarzOptionError(f"compression {name!r}: expected one of {', '.join(COMPRESSIONS)}")
    return name.lower()


def reserved_options(names: Iterable[str]) -> list[str]:
    """Those of some names of creation options that are none, in upper case."""
    return sorted(name.upper() for name in names if name.lower() in RESERVED_OPTIONS)


def checked_creation_options(compression: str | None, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Creation options with names in lower case, `compression` among them.

    Raises
    ------
    SarzOptionError
        If a name is none of a creation option's, a compression is unknown, or two are given.
    """
    chosen = {str(name).lower(): value for name, value in (options or {}).items()}
    for name in reserved_options(chosen):
        raise SarzOptionError(f"creation option {name}: decompress sets it from the file itself; expected a creation "
                              "option of GDAL's GeoTIFF driver (gdalinfo --format GTiff)")
    given = chosen.get("compress")
    if given is not None and str(given).lower() not in _GDAL_COMPRESSIONS:
        raise SarzOptionError(f"creation option COMPRESS={given}: expected one of {', '.join(sorted(_GDAL_COMPRESSIONS))}")
    compression = checked_compression(compression)
    if compression is not None:
        if given is not None and str(given).lower() != compression:
            raise SarzOptionError(f"compression {compression} and creation option COMPRESS={given}: give one of them")
        chosen["compress"] = compression
    return chosen
