"""RasterMetadata to and from JSON values. What is read is hostile until checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .dtypes import DTYPES, part_dtype
from .errors import SarzFormatError
from .metadata import ControlPoint, RasterMetadata, Tags, default_colorinterp
from .packed_reals import pack_reals, unpack_reals

MAX_SIDE = 2**31 - 1
"""Pixels a side: what GDAL can address."""

MAX_BANDS = 65535

_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

_KEYS = frozenset({
    "width", "height", "dtype", "count", "crs", "transform", "gcps", "gcps_crs", "rpcs", "nodata",
    "descriptions", "units", "scales", "offsets", "colorinterp", "tags", "band_tags",
})  # fmt: skip

_GCP_NUMBERS, _GCP_TEXTS = ("row", "col", "x", "y", "z"), ("id", "info")

MIN_PACKED = 8
"""Columns of as many control points and more have packed numbers."""

MAX_POINTS = 1 << 20


def metadata_to_json(metadata: RasterMetadata, packed: bool = True) -> dict[str, Any]:
    """See RasterMetadata.to_json."""
    count = metadata.count
    value: dict[str, Any] = {
        "width": metadata.width, "height": metadata.height, "dtype": metadata.dtype, "count": count,
        "crs": metadata.crs_wkt, "gcps_crs": metadata.gcps_crs_wkt,
        "transform": metadata.transform and [encode_number(number) for number in metadata.transform],
        "gcps": _encode_points(metadata.gcps, packed),
        "rpcs": metadata.rpcs and dict(metadata.rpcs),
        "tags": _encode_tags(metadata.tags),
    }  # fmt: skip
    value = {key: item for key, item in value.items() if item}
    band_tags = [_encode_tags(tags) for tags in metadata.band_tags]
    per_band: dict[str, tuple[list[Any], list[Any]]] = {
        "nodata": ([encode_number(number) for number in metadata.nodata], [None] * count),
        "descriptions": (list(metadata.descriptions), [None] * count),
        "units": (list(metadata.units), [None] * count),
        "scales": ([encode_number(number) for number in metadata.scales], [1] * count),
        "offsets": ([encode_number(number) for number in metadata.offsets], [0] * count),
        "colorinterp": (list(metadata.colorinterp), list(default_colorinterp(count))),
        "band_tags": (band_tags, [{}] * count),
    }
    return value | {key: items for key, (items, usual) in per_band.items() if repr(items) != repr(usual)}


def metadata_from_json(value: Any) -> RasterMetadata:
    """See RasterMetadata.from_json."""
    check_keys(value, "metadata", _KEYS, {"width", "height", "dtype", "count"})
    count = checked_integer(value["count"], "count", 1, MAX_BANDS)
    dtype = value["dtype"]
    if dtype not in DTYPES:
        raise SarzFormatError(f"dtype is {shown(dtype)}, expected one of {', '.join(DTYPES)}")

    def per_band(key: str, usual: Any, decode: Callable[[Any, str], Any]) -> tuple[Any, ...]:
        if key not in value:
            return tuple(usual)
        return tuple(decode(item, key) for item in checked_list(value[key], key, count))

    return RasterMetadata(
        width=checked_integer(value["width"], "width", 1, MAX_SIDE),
        height=checked_integer(value["height"], "height", 1, MAX_SIDE),
        dtype=dtype,
        nodata=per_band("nodata", (None,) * count, lambda item, key: _decode_nodata(item, key, dtype)),
        crs_wkt=_optional(checked_text)(value.get("crs"), "crs"),
        transform=_decode_transform(value.get("transform")),
        gcps=_decode_points(value.get("gcps")),
        gcps_crs_wkt=_optional(checked_text)(value.get("gcps_crs"), "gcps_crs"),
        rpcs=_optional(_decode_rpcs)(value.get("rpcs"), "rpcs"),
        descriptions=per_band("descriptions", (None,) * count, _optional(checked_text)),
        units=per_band("units", (None,) * count, _optional(checked_text)),
        scales=per_band("scales", (1.0,) * count, decode_float),
        offsets=per_band("offsets", (0.0,) * count, decode_float),
        colorinterp=per_band("colorinterp", default_colorinterp(count), checked_text),
        tags=_decode_tags(value.get("tags", {}), "tags"),
        band_tags=per_band("band_tags", ({},) * count, _decode_tags),
    )


def encode_number(number: float | int | None) -> float | int | str | None:
    """A number that JSON holds exactly: whole floats lose their '.0', NaN and infinities become text."""
    if number is None or isinstance(number, int):
        return number
    number = float(number)
    if math.isnan(number):
        return "nan"
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    negative_zero = number == 0 and math.copysign(1, number) < 0
    return int(number) if number.is_integer() and abs(number) < 2**53 and not negative_zero else number


def decode_float(value: Any, what: str) -> float:
    """The float that `encode_number` wrote."""
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SarzFormatError(f"{what} has {shown(value)}, expected a number")
    try:
        number = float(value)
    except OverflowError as exc:
        raise SarzFormatError(f"{what} has an integer that is too large for a number") from exc
    if not math.isfinite(number):  # JSON's 1e999
        raise SarzFormatError(f"{what} has a number out of range")
    return number


def checked_integer(value: Any, what: str, low: int, high: int) -> int:
    """`value` if it is an integer from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SarzFormatError(f"{what} is {shown(value)}, expected an integer from {low} to {high}")
    return value


def checked_text(value: Any, what: str) -> str:
    """`value` if it is text that GDAL can hold: Unicode without null characters or lone surrogates."""
    if not isinstance(value, str) or "\0" in value:
        raise SarzFormatError(f"{what} has {shown(value)}, expected text without null characters")
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise SarzFormatError(f"{what} has text that is not Unicode: {shown(value)}") from exc
    return value


def checked_list(value: Any, what: str, length: int | None = None) -> list[Any]:
    """`value` if it is a list (of `length` items)."""
    if not isinstance(value, list) or length not in (None, len(value)):
        expected = "a list" if length is None else f"a list of {length}"
        raise SarzFormatError(f"{what} is {shown(value)}, expected {expected}")
    return value


def check_keys(value: Any, what: str, known: frozenset[str], required: set[str]) -> None:
    """Check that `value` is a dictionary with the `required` keys and no other than the `known` ones."""
    if not isinstance(value, dict):
        raise SarzFormatError(f"{what} is {shown(value)}, expected an object")
    if missing := required - value.keys():
        raise SarzFormatError(f"{what} lacks {', '.join(sorted(missing))}")
    if unknown := value.keys() - known:
        raise SarzFormatError(f"{what} has {len(unknown)} unknown key(s), {shown(min(unknown))} for one")


def shown(value: Any) -> str:
    """`value` for a message: short, on one line, and without following lists into their depths."""
    if isinstance(value, (list, dict)):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _optional(decode: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, what: None if value is None else decode(value, what)


def _decode_nodata(value: Any, what: str, dtype: str) -> float | int | None:
    if value is None:
        return None
    # An int64 nodata value may need more bits than a float has.
    if part_dtype(dtype).kind == "f" or not isinstance(value, int) or isinstance(value, bool):
        return decode_float(value, what)
    return checked_integer(value, what, -(2**64), 2**64)


def _decode_transform(value: Any) -> tuple[float, float, float, float, float, float] | None:
    if value is None:
        return None
    a, b, c, d, e, f = (decode_float(item, "transform") for item in checked_list(value, "transform", 6))
    return a, b, c, d, e, f


def _encode_points(points: tuple[ControlPoint, ...], packed: bool) -> dict[str, Any]:
    """Columns, which compress better than rows; those with their usual values are left out."""
    if not points:
        return {}
    if len(points) > MAX_POINTS:
        raise SarzFormatError(f"there are {len(points)} control points, the most is {MAX_POINTS}")
    columns = {name: [encode_number(getattr(p, name)) for p in points] for name in _GCP_NUMBERS}
    columns |= {name: [getattr(p, name) for p in points] for name in _GCP_TEXTS}
    usual = _usual_columns(len(points))
    kept: dict[str, Any] = {name: column for name, column in columns.items() if column != usual.get(name)}
    if len(points) < MIN_PACKED or not packed:
        return kept
    width = _grid_width([point.row for point in points])
    reals = {name: pack_reals([float(getattr(p, name)) for p in points], width) for name in _GCP_NUMBERS if name in kept}
    return kept | reals | {"count": len(points)}


def _grid_width(rows: list[float]) -> int:
    """Points in a row of the grid, as the first row tells; 0 where there is no grid."""
    width = next((i for i, row in enumerate(rows) if row != rows[0]), 0)
    return width if width and len(rows) % width == 0 else 0


def _decode_points(value: Any) -> tuple[ControlPoint, ...]:
    if value is None:
        return ()
    check_keys(value, "gcps", frozenset((*_GCP_NUMBERS, *_GCP_TEXTS, "count")), {"row", "col", "x", "y"})
    if "count" in value:
        count = checked_integer(value["count"], "gcps count", MIN_PACKED, MAX_POINTS)
        value = value | {name: unpack_reals(checked_text(value[name], f"gcps {name}"), count)
                         for name in _GCP_NUMBERS if name in value}
        del value["count"]
    else:
        count = len(checked_list(value["row"], "gcps row"))
    columns = _usual_columns(count) | {name: checked_list(value[name], f"gcps {name}", count) for name in value}
    numbers = [[decode_float(item, f"gcps {name}") for item in columns[name]] for name in _GCP_NUMBERS]
    texts = [[checked_text(item, f"gcps {name}") for item in columns[name]] for name in _GCP_TEXTS]
    return tuple(ControlPoint(*fields) for fields in zip(*numbers, *texts, strict=True))


def _usual_columns(count: int) -> dict[str, list[Any]]:
    """GDAL numbers the points of a GeoTIFF from 1."""
    return {"z": [0] * count, "id": [str(number) for number in range(1, count + 1)], "info": [""] * count}


def _encode_tags(tags: Tags) -> dict[str, dict[str, str]]:
    return {namespace: dict(items) for namespace, items in tags.items() if items}


def _decode_tags(value: Any, what: str) -> dict[str, Mapping[str, str]]:
    if not isinstance(value, dict):
        raise SarzFormatError(f"{what} is {shown(value)}, expected an object")
    return {checked_text(namespace, what): _decode_texts(items, what) for namespace, items in value.items()}


def _decode_rpcs(value: Any, what: str) -> dict[str, str]:
    """Texts, at least one: nothing has two forms, and no RPCs are left out."""
    items = _decode_texts(value, what)
    if not items:
        raise SarzFormatError(f"{what} has no items: where there are no RPCs, it is left out")
    return items


def _decode_texts(value: Any, what: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise SarzFormatError(f"{what} has {shown(value)}, expected an object")
    return {checked_text(key, what): checked_text(item, what) for key, item in value.items()}
