"""Decoded values in another dtype: rounded, kept in range, and never turned into nodata."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .mask import representable


def cast_bands(values: np.ndarray, dtype: np.dtype, nodata: Sequence[float | int | None]) -> np.ndarray:
    """Convert an array ``(bands, height, width)``; the array itself where it has that dtype already.

    Whole numbers are rounded (ties to even) and clipped to the range of an integer dtype, where NaN becomes 0. A band's
    nodata pixels stay nodata; a valid number that would become nodata takes the next value that the dtype has.

    Parameters
    ----------
    nodata
        One a band, a value that `dtype` can hold, or None.
    """
    if values.dtype == dtype:
        return values
    out = _floats(values, dtype) if dtype.kind == "f" else _integers(values, dtype)
    for before, after, fill in zip(values, out, nodata):
        if fill is not None and not math.isnan(fill):
            _step_aside(before, after, fill)
    return out


def _floats(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def _integers(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if values.dtype.kind in "iu":
        return _clipped_integers(values, dtype)
    info = np.iinfo(dtype)
    rounded = np.rint(values.astype(np.float64))
    low, high = float(info.min), float(info.max)
    if info.bits == 64:  # The largest float64 that is no larger than 2**63 - 1 or 2**64 - 1.
        high = np.nextafter(high, 0)
    return np.where(np.isnan(rounded), 0, rounded).clip(low, high).astype(dtype)


def _clipped_integers(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Integers in another integer dtype, by integers alone: 64 bits do not pass through float64."""
    source, target = np.iinfo(values.dtype), np.iinfo(dtype)
    return values.clip(max(source.min, target.min), min(source.max, target.max)).astype(dtype)


def _step_aside(before: np.ndarray, after: np.ndarray, nodata: float | int) -> None:
    """Move the values of a band, converted from `before`, off its nodata value; NaN may become it."""
    fill = np.array(nodata).astype(after.dtype)
    was = before == np.array(nodata).astype(before.dtype) if representable(nodata, before.dtype) else False
    clash = (after == fill) & ~(was | np.isnan(before))
    if clash.any():
        after[clash] = _neighbour(fill)


def _neighbour(value: np.ndarray) -> np.ndarray:
    """The next larger number of the dtype; the next smaller one of the largest."""
    if value.dtype.kind == "f":
        upwards = value < np.finfo(value.dtype).max
        return np.nextafter(value, value.dtype.type(np.inf if upwards else -np.inf))
    return value + 1 if value < np.iinfo(value.dtype).max else value - 1
