"""The JSON header: metadata of the raster, how it was coded, and by which models."""

from __future__ import annotations

import functools
import json
import math
import re
import zlib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from .bound import RASTER, Bound
from .dtypes import is_complex
from .errors import SarzFormatError
from .grid import TileGrid
from .metadata import RasterMetadata
from .metadata_json import check_keys, checked_integer, checked_list, checked_text, shown
from .quality import MAX_QUALITY, MIN_QUALITY
from .target import Target

SCALES = ("amplitude", "intensity", "db")
"""What a pixel is: proportional to amplitude (20 log10 gives dB), to power (10 log10), or dB already."""

MAX_HEADER_BYTES = 2**24
"""The most that a header may have, compressed and inflated."""

MAX_OFFSET_DB = 10_000

TILE_SIZE_STEP, MAX_TILE_SIZE = 64, 4096

DICTIONARY_SHA256 = "5677c640b6ac4b3288686418d347e9c8c6ab8d17c4f2a2bbd9c696c2d4e96a84"
"""Of header_dictionary.bin, which is part of the format (tests/tools/make_header_dictionary.py made it)."""

# A model's id names a folder: it must not lead elsewhere.
_MODEL_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_REQUIRED = frozenset({"metadata", "tile_size", "scale", "scale_reason", "offsets_db", "quality", "groups"})
_KEYS = _REQUIRED | {"notes", "target", "lossless", "bound"}
_GROUP_KEYS = frozenset({"bands", "model", "weights_sha256"})


@dataclass(frozen=True, slots=True)
class BandGroup:
    """Bands that one model codes together."""

    bands: tuple[int, ...]
    """One or two, 0-based, in the model's channel order."""
    model: str
    """Model id."""
    weights_sha256: str
    """Of the weights file, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class Header:
    """Everything that a file says before its first tile."""

    metadata: RasterMetadata
    tile_size: int
    """Pixels a side, a multiple of 64."""
    scale: str
    """One of SCALES."""
    scale_reason: str
    """Why that scale was chosen, for people."""
    offsets_db: tuple[int, ...]
    """dB subtracted from each band before the model."""
    quality: int
    """That was asked for; with a target, the one that the writer began with."""
    groups: tuple[BandGroup, ...]
    """Every band is in one of them."""
    notes: tuple[str, ...] = ()
    """What the writer wants readers to know: fallbacks, warnings."""
    target: Target | None = None
    """What was asked for instead of a quality."""
    lossless: bool = False
    """Whether every tile is EMPTY and FALLBACK, so that all pixels come back to the bit; quality then means nothing."""
    bound: Bound | None = None
    """The most that a valid pixel is off; all tiles are EMPTY then, and quality means nothing."""

    @property
    def grid(self) -> TileGrid:
        """The tiling."""
        return TileGrid(self.metadata.height, self.metadata.width, self.tile_size)


def pack_header(header: Header) -> tuple[bytes, int]:
    """Compress a header.

    Returns
    -------
    data : bytes
        Raw DEFLATE of the canonical JSON (sorted keys, no spaces, UTF-8), primed with the dictionary.
    raw_length : int
        Bytes of the JSON.

    Raises
    ------
    SarzFormatError
        If a reader would refuse the header.
    """
    value = _to_json(header)
    text = _canonical(value)
    if _canonical(_to_json(_from_json(value))) != text:
        raise SarzFormatError("the header does not survive its own encoding; a field has a type that JSON changes")
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=header_dictionary())
    data = compressor.compress(text) + compressor.flush()
    if max(len(text), len(data)) > MAX_HEADER_BYTES:
        raise SarzFormatError(f"the header has {len(text)} bytes, the most is {MAX_HEADER_BYTES}; drop large tags")
    return data, len(text)


def unpack_header(data: bytes, raw_length: int) -> Header:
    """Read what `pack_header` wrote; SarzFormatError for anything else, before more than 16 MiB are inflated."""
    if not 2 <= raw_length <= MAX_HEADER_BYTES:
        raise SarzFormatError(f"header claims {raw_length} bytes, expected 2 to {MAX_HEADER_BYTES}")
    inflater = zlib.decompressobj(-15, zdict=header_dictionary())
    try:
        text = inflater.decompress(data, raw_length + 1)
    except zlib.error as exc:
        raise SarzFormatError(f"header does not inflate: {exc}") from exc
    if len(text) != raw_length or not inflater.eof or inflater.unused_data:
        raise SarzFormatError(f"header inflates to another length than the {raw_length} bytes promised")
    try:
        value = json.loads(text.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise SarzFormatError(f"header is not JSON: {shown(str(exc))}") from exc
    header = _from_json(value)
    # Spaces, other key orders, duplicate keys and other spellings of numbers end here: one header, one text.
    if _canonical(_to_json(header)) != text:
        raise SarzFormatError("header is not in its canonical form")
    return header


@functools.cache
def header_dictionary() -> bytes:
    """The preset dictionary of the header's DEFLATE stream."""
    return resources.files(__package__).joinpath("header_dictionary.bin").read_bytes()


def _canonical(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as exc:
        raise SarzFormatError(f"the header cannot be written as JSON: {exc}") from exc


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _to_json(header: Header) -> dict[str, Any]:
    value = {
        "metadata": header.metadata.to_json(),
        "tile_size": header.tile_size,
        "scale": header.scale,
        "scale_reason": header.scale_reason,
        "offsets_db": list(header.offsets_db),
        "quality": header.quality,
        "groups": [
            {"bands": list(group.bands), "model": group.model, "weights_sha256": group.weights_sha256}
            for group in header.groups
        ],
    }
    optional = {"notes": list(header.notes), "target": header.target and header.target.to_json(),
                "lossless": header.lossless, "bound": header.bound and header.bound.to_json()}
    return value | {key: item for key, item in optional.items() if item}


def _from_json(value: Any) -> Header:
    check_keys(value, "header", _KEYS, set(_REQUIRED))
    metadata = RasterMetadata.from_json(value["metadata"])
    tile_size = checked_integer(value["tile_size"], "tile_size", TILE_SIZE_STEP, MAX_TILE_SIZE)
    if tile_size % TILE_SIZE_STEP:
        raise SarzFormatError(f"tile_size is {tile_size}, expected a multiple of {TILE_SIZE_STEP}")
    if value["scale"] not in SCALES:
        raise SarzFormatError(f"scale is {shown(value['scale'])}, expected one of {', '.join(SCALES)}")
    if value["scale"] == "db":
        _check_decibels(metadata)
    offsets = checked_list(value["offsets_db"], "offsets_db", metadata.count)
    return Header(
        metadata=metadata,
        tile_size=tile_size,
        scale=value["scale"],
        scale_reason=checked_text(value["scale_reason"], "scale_reason"),
        offsets_db=tuple(checked_integer(item, "offsets_db", -MAX_OFFSET_DB, MAX_OFFSET_DB) for item in offsets),
        quality=checked_integer(value["quality"], "quality", MIN_QUALITY, MAX_QUALITY),
        groups=_groups(value["groups"], metadata.count),
        notes=tuple(checked_text(note, "notes") for note in checked_list(value.get("notes", []), "notes")),
        target=Target.from_json(value["target"]) if "target" in value else None,
        lossless=_lossless(value, metadata.dtype),
        bound=_bound(value, metadata),
    )


def _check_decibels(metadata: RasterMetadata) -> None:
    """Decibels must come back from values by each band's scale and offset."""
    for band, (scale, offset) in enumerate(zip(metadata.scales, metadata.offsets), start=1):
        if scale == 0 or not math.isfinite(scale) or not math.isfinite(offset):
            raise SarzFormatError(f"band {band} has scale {scale} and offset {offset}, expected finite numbers, not 0, "
                                  "where the pixels are dB")


def _lossless(value: dict[str, Any], dtype: str) -> bool:
    if value.get("lossless", True) is not True:
        raise SarzFormatError(f"lossless is {shown(value['lossless'])}, expected true or no such key")
    goals = [key for key in ("bound", "lossless", "target") if key in value]
    if len(goals) > 1:
        raise SarzFormatError(f"the header has {' and '.join(goals)}, expected one of them")
    if "lossless" not in value and is_complex(dtype):
        raise SarzFormatError(f"the header has dtype {dtype} and is not lossless, expected that of complex values")
    return "lossless" in value


def _bound(value: dict[str, Any], metadata: RasterMetadata) -> Bound | None:
    if "bound" not in value:
        return None
    bound = Bound.from_json(value["bound"])
    if bound.unit == RASTER or value["scale"] == "db":
        bad = [scale for scale in metadata.scales if scale == 0 or not math.isfinite(scale)]
        if bad:
            raise SarzFormatError(f"the header has a bound and a band of scale {bad[0]}, expected finite numbers, not 0")
    return bound


def _groups(value: Any, count: int) -> tuple[BandGroup, ...]:
    groups = tuple(_group(item, count) for item in checked_list(value, "groups"))
    if sorted(band for group in groups for band in group.bands) != list(range(count)):
        raise SarzFormatError(f"groups do not hold each of the {count} bands once")
    return groups


def _group(value: Any, count: int) -> BandGroup:
    check_keys(value, "band group", _GROUP_KEYS, set(_GROUP_KEYS))
    bands = tuple(checked_integer(band, "band", 0, count - 1) for band in checked_list(value["bands"], "bands"))
    if len(bands) not in (1, 2):
        raise SarzFormatError(f"band group has {len(bands)} bands, expected 1 or 2")
    for key, pattern in (("model", _MODEL_ID), ("weights_sha256", _SHA256)):
        if not pattern.fullmatch(checked_text(value[key], key)):
            raise SarzFormatError(f"{key} of a band group is {shown(value[key])}, expected {pattern.pattern}")
    return BandGroup(bands, value["model"], value["weights_sha256"])
