"""A tile's band beside the raster it was made from: the error that a reader meets, and what had to stay as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from .bound import Allowance
from .mask import EXACT, NODATA, VALID, ZERO, classify
from .measure import decibels_exist
from .metadata import RasterMetadata
from .radiometry import BandRadiometry
from .statistics import BandStatistics

Place = tuple[int, int]
"""``(row, column)`` of a pixel of the raster."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a part of a band agrees with the original. Parts add up in any order."""

    statistics: BandStatistics = BandStatistics()
    """Errors of the pixels that are valid in both, as `encoder.Encoder` measures them."""
    worst: tuple[int, int, int] | None = None
    """``(-magnitude in mdB, row, column)`` of the worst error, the first in raster order; None without any pixel."""
    reclassed: int = 0
    """Pixels that are valid, nodata, zero or exact in one and something else in the other."""
    reclassed_at: Place | None = None
    """The first of them."""
    changed: int = 0
    """Pixels stored exactly or losslessly whose bits differ from the original's."""
    changed_at: Place | None = None
    worst_of_bound: tuple[float, int, int] | None = None
    """``(-error in the unit of the bound, row, column)`` of the pixel furthest off, the first in raster order."""
    outside: int = 0
    """Pixels that are off by more than the bound."""
    outside_at: Place | None = None
    """The first of them."""

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.statistics + other.statistics,
            _first(self.worst, other.worst),
            self.reclassed + other.reclassed,
            _first(self.reclassed_at, other.reclassed_at),
            self.changed + other.changed,
            _first(self.changed_at, other.changed_at),
            _first(self.worst_of_bound, other.worst_of_bound),
            self.outside + other.outside,
            _first(self.outside_at, other.outside_at),
        )

    @property
    def worst_at(self) -> Place | None:
        """Where the worst error is."""
        return None if self.worst is None else self.worst[1:]


def agreement_of(
    radiometry: BandRadiometry,
    original: np.ndarray,
    decoded: np.ndarray,
    classes: np.ndarray,
    *,
    lossless: bool,
    corner: Place,
    intact: np.ndarray | None = None,
    allowance: Allowance | None = None,
) -> Agreement:
    """Compare one band of one tile.

    Parameters
    ----------
    original, decoded : ndarray (height, width)
        Of the raster's dtype.
    classes : ndarray of uint8 (height, width)
        Classes that the file has, see :mod:`sarz_format.mask`.
    lossless : bool
        Whether the tile is stored losslessly.
    corner : (int, int)
        Row and column of its first pixel in the raster.
    intact : ndarray of bool (height, width), optional
        Pixels to compare; all by default.
    allowance : Allowance, optional
        What the bound of the file means for this band, if there is one.
    """
    wanted = np.ones(classes.shape, bool) if intact is None else intact
    codable = radiometry.to_pixels(original)[1] if allowance is None else allowance.codable(original)
    expected = classify(original.real, codable, radiometry.nodata)
    reclassed = wanted & (classes != expected)
    # What could have been coded may be EXACT, as it may be zero in lossless tiles; its bits are compared below.
    if lossless:
        reclassed &= ~((classes == EXACT) & ((expected == VALID) | (expected == ZERO)))
    elif allowance is not None:
        reclassed &= ~((classes == EXACT) & (expected == VALID))
    differ = wanted & _differ(original, decoded)
    both_nodata = (classes == NODATA) & (expected == NODATA)
    changed = differ if lossless else differ & (classes != VALID) & ~both_nodata
    statistics, worst = BandStatistics(), None
    compared = wanted & (classes == VALID) & (expected == VALID)
    if lossless:
        statistics = BandStatistics(count=int(np.count_nonzero(compared)))
    else:
        measurable = compared & decibels_exist(radiometry.scale, original, decoded)
        errors = radiometry.value_errors_mdb(original[measurable], decoded[measurable])
        statistics = BandStatistics.from_errors(errors)
        worst = _worst(errors, measurable, corner)
    agreement = Agreement(statistics, worst, *_counted(reclassed, corner), *_counted(changed, corner))
    return agreement if allowance is None else _bounded(agreement, allowance, original, decoded, differ & ~both_nodata, corner)


def _bounded(agreement: Agreement, allowance: Allowance, original: np.ndarray, decoded: np.ndarray, differ: np.ndarray,
             corner: Place) -> Agreement:
    """With what the bound says about the pixels that `differ`, those of every class."""
    pair = original[differ], decoded[differ]
    outside = np.zeros(differ.shape, bool)
    outside[differ] = ~allowance.within(*pair)
    errors = allowance.errors(*pair)
    worst = _worst(np.where(np.isnan(errors), np.inf, errors), differ, corner)
    count, first = _counted(outside, corner)
    return replace(agreement, worst_of_bound=worst, outside=count, outside_at=first)


GEOREFERENCING = ("crs_wkt", "transform", "gcps", "gcps_crs_wkt", "rpcs", "nodata", "scales", "offsets")
"""The fields of RasterMetadata that say where pixels lie and what their values mean."""


def metadata_differences(stored: RasterMetadata, raster: RasterMetadata) -> Iterator[str]:
    """A sentence for each of `GEOREFERENCING` that differs between a file and the raster it is compared with."""
    for field in fields(RasterMetadata):
        ours, theirs = getattr(stored, field.name), getattr(raster, field.name)
        if field.name in GEOREFERENCING and repr(ours) != repr(theirs):  # repr: NaN equals NaN
            name = field.name.removesuffix("_wkt").replace("_", " ")
            yield f"{name} differs: the file has {_shown(ours)}, the raster {_shown(theirs)}"


def _differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays of one dtype have other bits."""
    if np.iscomplexobj(a):
        return _differ(a.real, b.real) | _differ(a.imag, b.imag)
    return _bits(a) != _bits(b)


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def _first(a: Any, b: Any) -> Any:
    return min((item for item in (a, b) if item is not None), default=None)


def _worst(errors: np.ndarray, chosen: np.ndarray, corner: Place) -> tuple[Any, int, int] | None:
    """``(-magnitude, row, column)`` of the largest of the errors of the pixels `chosen`; None without any."""
    if not errors.size:
        return None
    magnitudes = np.abs(errors)
    at = int(np.argmax(magnitudes))
    row, col = divmod(int(np.flatnonzero(chosen)[at]), chosen.shape[1])
    return -magnitudes[at].item(), row + corner[0], col + corner[1]


def _counted(chosen: np.ndarray, corner: Place) -> tuple[int, Place | None]:
    count = int(np.count_nonzero(chosen))
    if not count:
        return 0, None
    row, col = divmod(int(np.argmax(chosen)), chosen.shape[1])
    return count, (row + corner[0], col + corner[1])


def _shown(value: Any) -> str:
    if isinstance(value, tuple) and len(value) > 8:
        return f"{len(value)} items"
    text = " ".join(str(value).split()) if value or value == 0 else "none"
    return text if len(text) <= 120 else f"{text[:117]}..."
