"""RasterMetadata from and to rasterio datasets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio.dtypes
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader, DatasetWriter, MemoryFile
from rasterio.rpc import RPC

from .dtypes import DTYPES, part_dtype
from .errors import SarzFormatError, UnsupportedRasterError
from .metadata import ControlPoint, RasterMetadata

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

GENERATED_NAMESPACES = frozenset({
    "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "LocationInfo",
    "vrt_sources", "new_vrt_sources", "xml:VRT",
})  # fmt: skip
"""Namespaces that GDAL makes from a file's name and layout; RPC has a field of its own."""

_UNWRITABLE_KEYS = ("ns", "bidx")  # rasterio's update_tags takes tags as keywords beside these two

_Transform = tuple[float, float, float, float, float, float]
_IDENTITY: _Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def read_metadata(src: DatasetReader, indexes: Sequence[int] | None) -> RasterMetadata:
    """See RasterMetadata.from_dataset."""
    bands = [index - 1 for index in (src.indexes if indexes is None else indexes)]
    dtype = _common_dtype(src, bands)
    points, gcps_crs = src.gcps
    # Each of these attributes asks GDAL about every band.
    nodatavals, descriptions, units = src.nodatavals, src.descriptions, src.units
    scales, offsets, colorinterp = src.scales, src.offsets, src.colorinterp
    return RasterMetadata(
        width=src.width,
        height=src.height,
        dtype=dtype,
        nodata=tuple(_read_nodata(src, band, nodatavals[band], dtype) for band in bands),
        crs_wkt=_crs_text(src.crs),
        transform=_read_transform(src),
        gcps=tuple(ControlPoint(p.row, p.col, p.x, p.y, p.z or 0.0, p.id or "", p.info or "") for p in points),
        gcps_crs_wkt=_crs_text(gcps_crs),
        rpcs=src.tags(ns="RPC") or None,
        descriptions=tuple(descriptions[band] for band in bands),
        units=tuple(units[band] or None for band in bands),
        scales=tuple(float(scales[band]) for band in bands),
        offsets=tuple(float(offsets[band]) for band in bands),
        colorinterp=tuple(colorinterp[band].name for band in bands),
        tags=_read_tags(src, 0),
        band_tags=tuple(_read_tags(src, band + 1) for band in bands),
    )


def geotiff_profile(metadata: RasterMetadata) -> dict[str, Any]:
    """See RasterMetadata.profile."""
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": metadata.width, "height": metadata.height,
        "count": metadata.count, "dtype": metadata.dtype,
    }  # fmt: skip
    nodata = _geotiff_nodata(metadata)
    rpcs = metadata.rasterio_rpcs
    if nodata is not None:
        profile["nodata"] = nodata
    if rpcs is not None:
        profile["rpcs"] = rpcs
    if metadata.crs_wkt and not _writes_points(metadata):
        profile["crs"] = metadata.crs
    if metadata.transform:
        profile["transform"] = metadata.affine
    return profile


def write_metadata(metadata: RasterMetadata, dst: DatasetWriter) -> None:
    """See RasterMetadata.write_to."""
    for number, description in enumerate(metadata.descriptions, 1):
        if description is not None:
            dst.set_band_description(number, description)
    if any(metadata.units):
        dst.units = tuple(unit or "" for unit in metadata.units)
    if set(metadata.scales) != {1.0}:
        dst.scales = metadata.scales
    if set(metadata.offsets) != {0.0}:
        dst.offsets = metadata.offsets
    if metadata.rasterio_colorinterp != dst.colorinterp:
        dst.colorinterp = metadata.rasterio_colorinterp
    for number, tags in enumerate((metadata.tags, *metadata.band_tags)):
        for namespace, items in tags.items():
            _write_tags(dst, number, namespace, items)
    if _writes_points(metadata):
        points, crs = metadata.rasterio_gcps
        shift = _point_shift() if metadata.tags.get("", {}).get("AREA_OR_POINT") == "Point" else 0.0
        for point in points:
            point.row, point.col = point.row - shift, point.col - shift
        dst.gcps = points, crs or CRS()


def geotiff_losses(metadata: RasterMetadata) -> tuple[str, ...]:
    """See RasterMetadata.geotiff_losses."""
    losses = []
    written = _geotiff_nodata(metadata)
    for number, value in enumerate(metadata.nodata, 1):
        if value is not None and not _same(value, written):
            losses.append(f"nodata {value} of band {number}: a GeoTIFF of {metadata.dtype} can only say {written}")
        elif value is None and written is not None:
            losses.append(f"band {number} has no nodata value, but a GeoTIFF has one for all bands, {written}")
    if metadata.gcps and metadata.transform:
        losses.append(f"{len(metadata.gcps)} ground control points: a GeoTIFF has these or a transform")
    names = {key for tags in (metadata.tags, *metadata.band_tags) for items in tags.values() for key in items}
    losses += [f"tag {key!r}: rasterio cannot write a tag of that name" for key in _UNWRITABLE_KEYS if key in names]
    return tuple(losses)


def parse_crs(wkt: str | None) -> CRS | None:
    """The CRS of a WKT; SarzFormatError if it does not parse."""
    if not wkt:
        return None
    try:
        return CRS.from_wkt(wkt)
    except CRSError as exc:
        raise SarzFormatError(f"the CRS in the header does not parse: {exc}") from exc


def parse_rpcs(items: Mapping[str, str] | None) -> RPC | None:
    """The RPC object of the items of GDAL's RPC namespace; SarzFormatError if they are not RPCs."""
    if not items:
        return None
    try:
        return RPC.from_gdal(items)
    except (KeyError, ValueError, IndexError) as exc:
        raise SarzFormatError(f"the RPCs in the header are not complete: {exc!r}") from exc


def rasterio_control_points(metadata: RasterMetadata) -> list[GroundControlPoint]:
    """The points as rasterio objects."""
    return [GroundControlPoint(p.row, p.col, p.x, p.y, p.z, p.id, p.info) for p in metadata.gcps]


def moved_transform(transform: _Transform | None, row_off: int, col_off: int, keep_none: bool) -> _Transform | None:
    """The transform of a window's corner. Without one, the corner's pixel position is kept unless `keep_none`."""
    if keep_none and transform is None:
        return None
    a, b, c, d, e, f = transform or _IDENTITY
    x, y = col_off * a + row_off * b + c, col_off * d + row_off * e + f
    # rasterio.windows.transform adds up in this order; equal transforms must be equal to the last bit.
    moved = a, b, (x - c) + c, d, e, (y - f) + f
    return None if moved == _IDENTITY else moved


def moved_rpcs(items: Mapping[str, str] | None, row_off: int, col_off: int) -> dict[str, str] | None:
    """RPCs of a window's corner; SarzFormatError if they are not RPCs."""
    rpcs = parse_rpcs(items)
    if rpcs is None or not items:
        return None
    return {**items, "LINE_OFF": repr(rpcs.line_off - row_off), "SAMP_OFF": repr(rpcs.samp_off - col_off)}


def _common_dtype(src: DatasetReader, bands: list[int]) -> str:
    every = src.dtypes
    dtypes = sorted({every[band] for band in bands})
    if not dtypes:
        raise UnsupportedRasterError(f"{src.name} has no bands to take")
    if len(dtypes) > 1:
        raise UnsupportedRasterError(f"{src.name} has bands of {' and '.join(dtypes)}; choose bands of one dtype")
    if dtypes[0] not in DTYPES:
        raise UnsupportedRasterError(f"{src.name} is of {dtypes[0]}, expected one of {', '.join(DTYPES)}")
    if dtypes[0] == "complex64":
        _refuse_integer_parts(src, bands)
    return str(dtypes[0])


def _read_transform(src: DatasetReader) -> _Transform | None:
    a, b, c, d, e, f = (float(number) for number in src.transform[:6])
    return None if (a, b, c, d, e, f) == _IDENTITY else (a, b, c, d, e, f)


def _crs_text(crs: CRS | None) -> str | None:
    """WKT2 where it says the same as the CRS, otherwise what GDAL has."""
    if not crs:
        return None
    try:
        text = str(crs.to_wkt(version="WKT2_2019"))
        same = CRS.from_wkt(text) == crs
    except CRSError:
        same = False
    return text if same else str(crs.to_wkt())


def _read_nodata(src: DatasetReader, band: int, value: float | None, dtype: str) -> float | int | None:
    if value is None:
        return None
    if math.isnan(value):
        return math.nan
    if part_dtype(dtype).kind == "f" or not float(value).is_integer():
        return float(value)
    return int(value) if abs(value) < 2**53 else _read_large_nodata(src, band, int(value))


def _read_large_nodata(src: DatasetReader, band: int, rounded: int) -> int:
    """A 64-bit nodata value to the last digit: rasterio returns it as a float, GDAL's VRT driver writes it out."""
    try:
        return int(_vrt_bands(src)[band].findtext("NoDataValue", ""))
    except (RasterioError, KeyError, IndexError, ValueError, SyntaxError) as exc:
        raise UnsupportedRasterError(f"{src.name}: nodata near {rounded} cannot be read exactly: {exc}") from exc


def _refuse_integer_parts(src: DatasetReader, bands: list[int]) -> None:
    """Refuse GDAL's CInt32, which rasterio calls complex64 and reads as that, with parts rounded beyond 2^24."""
    try:
        found = _vrt_bands(src)
        integers = any(found[band].get("dataType") == "CInt32" for band in bands)
    except (RasterioError, KeyError, IndexError, SyntaxError) as exc:
        raise UnsupportedRasterError(f"{src.name}: GDAL's type of its complex bands cannot be found out: {exc}") from exc
    if integers:
        raise UnsupportedRasterError(f"{src.name} has complex integers of 32 bits (CInt32), which rasterio rounds; convert "
                                     "it first: gdal_translate -ot CFloat64")


def _vrt_bands(src: DatasetReader) -> list[Element]:
    """Bands as GDAL's VRT driver describes them, which says more than rasterio; raises RasterioError, KeyError or
    SyntaxError."""
    from xml.etree import ElementTree

    from rasterio.shutil import copy

    with MemoryFile(ext=".vrt") as memory:
        copy(src, memory.name, driver="VRT")
        with rasterio.open(memory.name) as vrt:
            text = vrt.tags(ns="xml:VRT")["xml:VRT"]
    return ElementTree.fromstring(text).findall("VRTRasterBand")


def _read_tags(src: DatasetReader, bidx: int) -> dict[str, dict[str, str]]:
    names = [name for name in src.tag_namespaces(bidx) if name and name not in GENERATED_NAMESPACES]
    tags = {"": src.tags(bidx)} | {name: src.tags(bidx, ns=name) for name in names}
    return {name: items for name, items in tags.items() if items}


def writable_tags(items: Mapping[str, str]) -> dict[str, str]:
    """The tags that rasterio can write: not those with the names of update_tags' own arguments."""
    return {key: value for key, value in items.items() if key not in _UNWRITABLE_KEYS}


def _write_tags(dst: DatasetWriter, bidx: int, namespace: str, items: Mapping[str, str]) -> None:
    items = writable_tags(items)
    if namespace.startswith("xml:"):
        items = _split_documents(items)
    if items and namespace:
        dst.update_tags(bidx, ns=namespace, **items)
    elif items:
        dst.update_tags(bidx, **items)


def _split_documents(items: Mapping[str, str]) -> dict[str, str]:
    """XML documents as pairs that rasterio, which writes ``key=value``, joins to the document again."""
    pairs = {}
    for document in items.values():
        document = document if "=" in document else '<?xml version="1.0"?>\n' + document
        key, _, value = document.partition("=")
        pairs[key] = value
    return pairs


def _geotiff_nodata(metadata: RasterMetadata) -> float | int | None:
    """The one value that a GeoTIFF can have: of the first band with one that can be written."""
    return next((value for value in metadata.nodata if _writable_nodata(value, metadata.dtype)), None)


def _writable_nodata(value: float | int | None, dtype: str) -> bool:
    if value is None:
        return False
    if isinstance(value, int) and (float(value) != value or abs(value) >= 10**17):
        return False  # rasterio passes a double, which GDAL prints with 17 digits
    return bool(rasterio.dtypes.in_dtype_range(value, part_dtype(dtype).name))


def _same(a: float | int, b: float | int | None) -> bool:
    return a == b or (b is not None and math.isnan(a) and math.isnan(b))


def _writes_points(metadata: RasterMetadata) -> bool:
    return bool(metadata.gcps) and not metadata.transform


def _point_shift() -> float:
    """Pixels by which this GDAL moves control points that it writes to and reads from a GeoTIFF of AREA_OR_POINT=Point.

    Such files have GCPs at pixel centres; GDAL up to 3.10 at least adds the half pixel both ways instead of taking it
    off when writing. Measured rather than assumed, so that a corrected GDAL needs no change here.
    """
    points = [GroundControlPoint(float(row), float(row), float(row), float(row)) for row in range(4)]
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=4, height=4, count=1, dtype="uint8") as dst:
            dst.update_tags(AREA_OR_POINT="Point")
            dst.gcps = points, CRS.from_epsg(4326)
            dst.write(np.zeros((1, 4, 4), "uint8"))
        with memory.open() as src:
            return float(src.gcps[0][0].row)
