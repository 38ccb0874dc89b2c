"""What a compression, decompression or verification did, as plain values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any


def _finite(value: Any) -> Any:
    """NaN has no place in JSON: an error that was not measured is null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value


NO_ARITHMETIC = "none"
"""What reports call the arithmetic where no tile went through a network."""


@dataclass(frozen=True)
class _Report:
    def to_json(self) -> dict[str, Any]:
        """A dictionary for json.dumps; numbers that do not exist are None."""
        return _finite(asdict(self))


@dataclass(frozen=True)
class CompressReport(_Report):
    """Sizes in bytes (`input_bytes` of the raw array), errors in dB over all coded pixels, times in seconds.

    `bpp` is bits of the file a band pixel. `bands` has one dictionary a band with the same error figures. `tiles` counts
    tiles of band groups, as `empty_tiles` and `fallback_tiles` do. `target` has what was asked for instead of a quality
    (`kind`, `value`) and what was `reached`, None without one; for an RMSE also the coded tiles that are over 5 % off it
    (`tiles_above`, `tiles_below`). `tile_qualities` has min, median and max of the coded tiles, None without one.
    `arithmetic_refused` says why faster arithmetics than `arithmetic` were not used, a sentence each. `lossless` says that
    every pixel comes back to the bit. `bound` is None, or has the `unit` ("db" or "raster") and `value` of the bound on the
    error of every pixel, the `worst` error in that unit, and that of each band (`worst_by_band`).
    """

    input: str
    output: str
    width: int
    height: int
    count: int
    dtype: str
    input_bytes: int
    output_bytes: int
    ratio: float
    bpp: float
    rmse_db: float
    bias_db: float
    max_error_db: float
    bands: list[dict[str, Any]]
    tiles: int
    empty_tiles: int
    fallback_tiles: int
    seconds: float
    scale: str
    scale_reason: str
    quality: int
    arithmetic: str
    notes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    target: dict[str, Any] | None = None
    tile_qualities: dict[str, int] | None = None
    arithmetic_refused: list[str] = field(default_factory=list)
    lossless: bool = False
    bound: dict[str, Any] | None = None


@dataclass(frozen=True)
class DecompressReport(_Report):
    """Sizes in bytes (`input_bytes` of the .sarz), times in seconds; `damaged_tiles` are (row, column, group).

    `arithmetic_refused` as in `CompressReport`.
    """

    input: str
    output: str
    width: int
    height: int
    count: int
    dtype: str
    input_bytes: int
    output_bytes: int
    tiles: int
    seconds: float
    arithmetic: str
    damaged_tiles: list[tuple[int, int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    arithmetic_refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VerifyReport(_Report):
    """What a check of a file found: `problems` has a sentence each, `ok` says that there are none.

    `tiles` counts those checked, of every band group; `damaged_tiles` are (row, column, group). `bands` has one
    dictionary a band: `valid_pixels` that went through the model, the `recorded` error, and the one `measured` against
    the original (None without `against`), with the place of the worst. Sizes in bytes, errors in dB, times in seconds.
    `arithmetic_refused` as in `CompressReport`. `bound` is None, or has `unit` and `value` of the file's
    bound, and with `against` the `worst` error in that unit, over pixels of all kinds, and `pixels_outside` the bound;
    `measured` then has `bound` with the same for each band, and the place of the worst.
    """

    input: str
    against: str | None
    width: int
    height: int
    count: int
    dtype: str
    ok: bool
    problems: list[str]
    tiles: int
    damaged_tiles: list[tuple[int, int, int]]
    input_bytes: int
    bytes_read: int
    bands: list[dict[str, Any]]
    arithmetic: str
    seconds: float
    notes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    arithmetic_refused: list[str] = field(default_factory=list)
    bound: dict[str, Any] | None = None
