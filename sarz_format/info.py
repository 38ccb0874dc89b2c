"""What a .sarz file says about itself, for people and for programs; nothing is decoded."""

from __future__ import annotations

import math
from typing import Any

from .bound import Bound
from .compress_report import raw_bytes
from .container import Container
from .header import Header
from .index import BOUNDED, EMPTY, FALLBACK, TileIndex
from .metadata_json import encode_number
from .preamble import VERSION
from .quality import MAX_QUALITY, MIN_QUALITY
from .reached import quality_range
from .statistics import BandStatistics


def describe(container: Container, tiles: bool = False) -> dict[str, Any]:
    """Everything about a file as JSON values; the statistics of a tile each with `tiles`.

    A figure that does not exist (the error of a band none of whose pixels went through the model) is None.
    """
    header = container.header
    description = {
        "name": container.source.name,
        "format_version": VERSION,
        **header.metadata.to_json(packed=False),
        "scale": header.scale,
        "scale_reason": header.scale_reason,
        "quality": header.quality,
        "target": header.target and header.target.to_json(),
        "lossless": header.lossless,
        "bound": header.bound and header.bound.to_json(),
        "tile_qualities": _tile_qualities(container.index),
        "tile_size": header.tile_size,
        "models": [_describe_group(header, group) for group in range(len(header.groups))],
        "notes": list(header.notes),
        **_sizes(container),
        "tiles": _tile_counts(container.index),
        "error": _describe_errors(sum(container.statistics, BandStatistics())),
        "bands": _describe_bands(container),
    }
    if tiles:
        description["tile_table"] = [_describe_tile(container.index, number) for number in range(len(container.index))]
    return description


def format_text(description: dict[str, Any]) -> str:
    """The description as lines of text."""
    d = description
    lines = [
        f"{d['name']}: .sarz version {d['format_version']}",
        f"  size        {d['width']} x {d['height']}, {d['count']} band(s) of {d['dtype']}",
        f"  file        {d['bytes']:,} bytes, 1:{d['ratio']:.1f}, {d['bits_per_sample']:.3f} bits a pixel and band",
        f"  coding      {_coding_text(d)}, tiles of {d['tile_size']}",
        f"  scale       {d['scale']}: {d['scale_reason']}",
        f"  error       {_error_text(d['error'], d['bound'])}",
        f"  tiles       {_counts_text(d['tiles'])}",
        *(_model_text(model) for model in d["models"] if not (d["lossless"] or d["bound"])),
        f"  place       {_place_text(d)}",
        *(_band_text(band) for band in d["bands"]),
        *(f"  tag         {key}={value}" for key, value in d.get("tags", {}).get("", {}).items()),
        *(f"  tags        {name}: {len(items)}" for name, items in d.get("tags", {}).items() if name),
        *(f"  note        {note}" for note in d["notes"]),
        *(_tile_text(tile) for tile in d.get("tile_table", [])),
    ]
    return "\n".join(lines)


def _sizes(container: Container) -> dict[str, Any]:
    header, preamble, size = container.header, container.preamble, container.source.size
    raw = raw_bytes(header)
    return {
        "bytes": size,
        "raw_bytes": raw,
        "ratio": raw / size,
        "bits_per_sample": 8 * size / (header.metadata.width * header.metadata.height * header.metadata.count),
        "section_bytes": {
            "header": preamble.header_length,
            "statistics": preamble.statistics_length,
            "index": preamble.detail_section[0] - preamble.index_offset,
            "detail": preamble.detail_length,
            "coarse": preamble.coarse_length,
        },
    }


def _describe_group(header: Header, number: int) -> dict[str, Any]:
    group = header.groups[number]
    return {
        "model": group.model,
        "weights_sha256": group.weights_sha256,
        "bands": [band + 1 for band in group.bands],
    }


def _describe_bands(container: Container) -> list[dict[str, Any]]:
    groups = {band: number for number, group in enumerate(container.header.groups) for band in group.bands}
    return [_describe_band(container, band, groups[band]) for band in range(len(groups))]


def _describe_band(container: Container, band: int, group: int) -> dict[str, Any]:
    header, metadata = container.header, container.header.metadata
    return {
        "band": band + 1,
        "description": metadata.descriptions[band],
        "nodata": encode_number(metadata.nodata[band]),
        "offset_db": header.offsets_db[band],
        "group": group,
        **_describe_errors(container.statistics[band]),
    }


def _describe_errors(statistics: BandStatistics) -> dict[str, Any]:
    return {
        "pixels_compared": statistics.count,
        "rmse_db": _number(statistics.rmse_db),
        "bias_db": _number(statistics.bias_db),
        "max_error_db": _number(statistics.max_error_db),
    }


def _tile_counts(index: TileIndex) -> dict[str, int]:
    empty, fallback, bounded = (index.entries["flags"] & flag != 0 for flag in (EMPTY, FALLBACK, BOUNDED))
    return {
        "rows": index.grid.rows,
        "cols": index.grid.cols,
        "groups": index.groups,
        "total": len(index),
        "coded": int((~empty & ~fallback).sum()),
        "empty": int((empty & ~fallback & ~bounded).sum()),
        "fallback": int(fallback.sum()),
        "bounded": int(bounded.sum()),
    }


def _tile_qualities(index: TileIndex) -> dict[str, int] | None:
    """Of coded tiles: in EMPTY tiles a quality means nothing, in FALLBACK tiles it is not what is read."""
    qualities = index.entries["quality"][index.entries["flags"] == 0]
    ranged = quality_range(qualities)
    if ranged is None:
        return None
    return {**ranged, "at_min": int((qualities == MIN_QUALITY).sum()), "at_max": int((qualities == MAX_QUALITY).sum())}


def _coding_text(d: dict[str, Any]) -> str:
    if d["lossless"]:
        return "lossless"
    if d["bound"] is not None:
        return f"every pixel within {Bound.from_json(d['bound'])}"
    if d["target"] is None:
        return f"quality {d['quality']}"
    used = d["tile_qualities"]
    text = f"{d['target']['kind']} {d['target']['value']} asked for"
    if used is None:
        return text
    return (f"{text}, qualities {used['min']} to {used['max']}, median {used['median']} ({used['at_min']} tiles at "
            f"{MIN_QUALITY}, {used['at_max']} at {MAX_QUALITY})")


def _describe_tile(index: TileIndex, number: int) -> dict[str, Any]:
    entry = index[number]
    box = index.grid.tile(entry.tile_row, entry.tile_col)
    return {
        "row": entry.tile_row,
        "col": entry.tile_col,
        "group": entry.group,
        "row_off": box.row0,
        "col_off": box.col0,
        "height": box.row1 - box.row0,
        "width": box.col1 - box.col0,
        "kind": "fallback" if entry.fallback else "bounded" if entry.bounded else "empty" if entry.empty else "coded",
        "quality": entry.quality,
        "detail_bytes": entry.detail_length,
        "coarse_bytes": entry.coarse_length,
        "detail_crc32": f"{entry.detail_crc:08x}",
        "coarse_crc32": f"{entry.coarse_crc:08x}",
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _error_text(error: dict[str, Any], bound: dict[str, Any] | None = None) -> str:
    if not error["pixels_compared"]:
        return "not in decibels: no pixel has any" if bound else "none: every pixel is stored exactly"
    return f"RMSE {error['rmse_db']:.3f} dB, bias {error['bias_db']:+.3f} dB, worst {error['max_error_db']:.2f} dB"


def _counts_text(tiles: dict[str, int]) -> str:
    bounded = f", {tiles['bounded']} bounded" if tiles["bounded"] else ""
    text = f"{tiles['rows']} x {tiles['cols']}, {tiles['groups']} band group(s): {tiles['coded']} coded{bounded}"
    return f"{text}, {tiles['empty']} empty, {tiles['fallback']} fallback (lossless)"


def _model_text(model: dict[str, Any]) -> str:
    bands = " and ".join(str(band) for band in model["bands"])
    return f"  model       {model['model']} ({model['weights_sha256'][:12]}) for band {bands}"


def _place_text(description: dict[str, Any]) -> str:
    d = description
    parts = []
    if d.get("crs"):
        parts.append(_crs_name(d["crs"]))
    if d.get("transform"):
        parts.append("transform " + ", ".join(str(number) for number in d["transform"]))
    if d.get("gcps"):
        parts.append(f"{len(d['gcps']['row'])} ground control points in {_crs_name(d.get('gcps_crs', ''))}")
    if d.get("rpcs"):
        parts.append("RPCs")
    return "; ".join(parts) or "not georeferenced"


def _crs_name(wkt: str) -> str:
    """The first quoted text of a WKT is the name of the CRS."""
    pieces = wkt.split('"', 2)
    return pieces[1] if len(pieces) > 1 else "an unnamed CRS"


def _band_text(band: dict[str, Any]) -> str:
    nodata = "" if band["nodata"] is None else f", nodata {band['nodata']}"
    return f"  band {band['band']:<6} {band['description'] or 'no description'}: {_error_text(band)}{nodata}"


def _tile_text(tile: dict[str, Any]) -> str:
    return (
        f"  tile {tile['row']},{tile['col']} group {tile['group']}: {tile['kind']}, quality {tile['quality']}, "
        f"{tile['width']} x {tile['height']}, {tile['detail_bytes']} + {tile['coarse_bytes']} bytes"
    )
