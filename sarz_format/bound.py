"""A bound on the error of every pixel: what a file promises, and how it is measured.

In decibels it is an error of the level, whatever the pixel's value. In the raster's units it is a difference of values,
scale and offset of the band applied. A raster of decibels has decibels for its units, so there both are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .decibel import FACTORS
from .errors import SarzFormatError, SarzOptionError
from .metadata_json import check_keys, decode_float, encode_number, shown

DB, RASTER = "db", "raster"
UNITS = DB, RASTER
"""Decibels; or the raster's own units."""

MIN_DB, MAX_DB = 0.01, 10.0
"""What may be asked for in decibels."""

SLACK = 1e-9
"""Share of a bound by which a measured error may exceed it: the arithmetic that measures it rounds. Writers take half."""

_KEYS = frozenset({"unit", "value"})


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that a valid pixel of a file may be off."""

    unit: str
    """One of UNITS."""
    value: float
    """Finite and above 0."""

    def to_json(self) -> dict[str, Any]:
        """As in the header of a file."""
        return {"unit": self.unit, "value": encode_number(self.value)}

    @classmethod
    def from_json(cls, value: Any) -> Bound:
        """Inverse of `to_json`; SarzFormatError for anything else."""
        check_keys(value, "bound", _KEYS, set(_KEYS))
        if value["unit"] not in UNITS:
            raise SarzFormatError(f"unit of the bound is {shown(value['unit'])}, expected one of {', '.join(UNITS)}")
        number = decode_float(value["value"], "bound")
        if not (math.isfinite(number) and number > 0):
            raise SarzFormatError(f"value of the bound is {shown(value['value'])}, expected a finite number above 0")
        return cls(value["unit"], number)

    @classmethod
    def asked_for(cls, max_error_db: float | None, max_error: float | None) -> Bound | None:
        """The bound of arguments at most one of which is given; SarzOptionError for a value out of range."""
        if max_error_db is not None:
            number = _number(max_error_db)
            if not MIN_DB <= number <= MAX_DB:
                raise SarzOptionError(f"max_error_db {max_error_db!r}: expected {MIN_DB:g} to {MAX_DB:g}")
            return cls(DB, number)
        if max_error is None:
            return None
        number = _number(max_error)
        if not (math.isfinite(number) and number > 0):
            raise SarzOptionError(f"max_error {max_error!r}: expected a finite number above 0; lossless takes none")
        return cls(RASTER, number)

    def __str__(self) -> str:
        return f"{self.value:g} {'dB' if self.unit == DB else 'in the units of the raster'}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a bound means for the stored numbers of one band, or of several with the strictest `gain`.

    `ratio` says that it bounds ratios: decibels of a raster that has none. Otherwise differences of stored numbers, times
    `gain`, the magnitude of the band's scale, are bounded by `value`.
    """

    value: float
    scale: str
    """Of the raster, see header.SCALES."""
    ratio: bool
    gain: float = 1.0

    @classmethod
    def of(cls, bound: Bound, scale: str, gains: list[float]) -> Allowance:
        """That of bands with the scales `gains` (numbers other than 0)."""
        return cls(bound.value, scale, bound.unit == DB and scale != "db", max(abs(gain) for gain in gains))

    @property
    def difference(self) -> float:
        """The largest difference of stored numbers, not of ratios."""
        return self.value / self.gain

    def codable(self, values: np.ndarray) -> np.ndarray:
        """Which values may be coded within the bound: finite ones but 0, and of ratios positive ones."""
        if self.ratio:
            return np.isfinite(values) & (values > 0)
        return np.isfinite(values) & (values != 0)

    def within(self, original: np.ndarray, decoded: np.ndarray, slack: float = SLACK) -> np.ndarray:
        """Whether decoded values are within the bound, but for a share of it; bool."""
        if self.ratio:
            limit = 10 ** (self.value * (1 + slack) / FACTORS[self.scale])
            ratio = _ratio(original, decoded)
            return (ratio <= limit) & (ratio >= 1 / limit)
        return _difference(original, decoded) * self.gain <= self.value * (1 + slack)

    def errors(self, original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
        """Magnitudes of the errors in the bound's unit, float64; infinite where a ratio is not positive."""
        if not self.ratio:
            return _difference(original, decoded) * self.gain
        ratio = _ratio(original, decoded)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.abs(np.where(ratio > 0, FACTORS[self.scale] * np.log10(ratio), np.inf))

    def worst(self, original: np.ndarray, decoded: np.ndarray) -> float:
        """The largest of `errors`, without a logarithm of each; 0 of none."""
        if not original.size:
            return 0.0
        if not self.ratio:
            return float(_difference(original, decoded).max()) * self.gain
        ratio = _ratio(original, decoded)
        low, high = float(ratio.min()), float(ratio.max())
        if not low > 0:
            return math.inf
        return FACTORS[self.scale] * max(math.log10(high), -math.log10(low))


def _ratio(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return decoded.astype(np.float64) / original.astype(np.float64)


def _difference(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Magnitudes of differences, float64; of integers exact before they are rounded to that."""
    if original.dtype.kind in "iu":
        unsigned = np.dtype(f"u{original.dtype.itemsize}")
        larger, smaller = np.maximum(original, decoded), np.minimum(original, decoded)
        return (larger.view(unsigned) - smaller.view(unsigned)).astype(np.float64)
    with np.errstate(all="ignore"):
        return np.abs(decoded.astype(np.float64) - original.astype(np.float64))


def _number(value: Any) -> float:
    try:
        return math.nan if isinstance(value, (bool, str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
