"""The sample of pixels that decides a raster's scale and the offset of each band."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rasterio.windows import Window

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

GRID, SIDE = 5, 128
"""A grid of 5 x 5 windows of 128 x 128 pixels; all of a raster that is no larger than these together."""

FINER_GRIDS = 9, 17, 33
"""Windows a side of the grids that are tried where the one before held no valid pixel. Each contains the one before."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Valid pixels of each band, ``values`` 1-D of the raster's dtype, and how they were found if not at once."""

    values: tuple[np.ndarray, ...]
    note: str = ""


def take_sample(dataset: DatasetReader, bands: Sequence[int], nodata: Sequence[float | int | None]) -> Sample:
    """A sample that depends on the raster alone.

    Parameters
    ----------
    dataset
        An open rasterio dataset.
    bands
        Numbered from 1.
    nodata
        One a band of `bands`. Nodata, zeros and what is not finite are not valid.
    """
    if not bands:
        return Sample(())
    height, width = dataset.shape
    if height * width <= GRID**2 * SIDE**2:
        return Sample(_valid(dataset, bands, nodata, [Window(0, 0, width, height)]))
    values = _valid(dataset, bands, nodata, _grid(height, width, GRID))
    if _any(values):
        return Sample(values)
    return _looked_further(dataset, bands, nodata)


def _looked_further(dataset: DatasetReader, bands: Sequence[int], nodata: Sequence[float | int | None]) -> Sample:
    """The sample of the first finer grid with a valid pixel; without one, the first rows that have some."""
    height, width = dataset.shape
    first = f"the first sample, {GRID} x {GRID} windows, held no valid pixel"
    for size in FINER_GRIDS:
        values = _valid(dataset, bands, nodata, _grid(height, width, size))
        if _any(values):
            return Sample(values, f"{first}, one of {size} x {size} did")
    for row in range(0, height, SIDE):
        values = _valid(dataset, bands, nodata, [Window(0, row, width, min(SIDE, height - row))])
        if _any(values):
            return Sample(values, f"{first}, rows {row} to {min(row + SIDE, height) - 1} did")
    return Sample(values, "no pixel of the raster is valid")


def _grid(height: int, width: int, size: int) -> Iterator[Window]:
    for row in _starts(height, size):
        for col in _starts(width, size):
            yield Window(col, row, min(SIDE, width), min(SIDE, height))


def _starts(length: int, size: int) -> list[int]:
    last = max(0, length - SIDE)
    return sorted({last * i // (size - 1) for i in range(size)})


def _valid(dataset: DatasetReader, bands: Sequence[int], nodata: Sequence[float | int | None],
           windows: Iterator[Window] | list[Window]) -> tuple[np.ndarray, ...]:
    """Valid pixels of each band in the windows."""
    parts: list[list[np.ndarray]] = [[] for _ in bands]
    for window in windows:
        for kept, values, fill in zip(parts, dataset.read(list(bands), window=window), nodata):
            kept.append(_valid_values(values.ravel(), fill))
    return tuple(np.concatenate(kept) for kept in parts)


def _any(values: Sequence[np.ndarray]) -> bool:
    return any(band.size for band in values)


def _valid_values(values: np.ndarray, nodata: float | int | None) -> np.ndarray:
    keep = np.isfinite(values) & (values != 0)
    if nodata is not None and not math.isnan(nodata):
        keep &= values != nodata
    return values[keep]


def scaled_values(values: np.ndarray, gain: float, bias: float) -> np.ndarray:
    """``gain * values + bias`` in float64: what a band's scale and offset say that its pixels mean.

    The pixels themselves where scale and offset are not numbers, or the scale is 0.
    """
    values = values.astype(np.float64)
    if gain == 0 or not math.isfinite(gain) or not math.isfinite(bias):
        return values
    return values * gain + bias
