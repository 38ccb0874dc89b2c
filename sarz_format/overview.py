"""Overviews: which there are, how large they are, which of them GDAL would read, and how a tile corrects its own.

A pixel of the overview of factor k is the mean power of the valid ones of k x k pixels. From `COARSE_FACTOR` on it is
made of the coarse parts of tiles alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import SarzOptionError
from .grid import Box

COARSE_FACTOR = 8
"""Pixels a side of a cell: what the coarse part of a tile tells of a block of 16 x 16 pixels is 2 x 2 numbers."""

SMALLEST_SIDE = 256
"""There are overviews until the shorter side of one has no more pixels (GDAL's rule for Cloud Optimized GeoTIFFs)."""

LARGEST_FACTOR = 1 << 16
"""Beyond any raster that is worth an overview."""

OFFSET_BITS = 10
LARGEST_OFFSET = (1 << OFFSET_BITS - 1) - 1
LARGEST_SPREAD = (1 << 16 - OFFSET_BITS) - 1


@dataclass(frozen=True, slots=True)
class Correction:
    """How the cells of one band of a tile are corrected, as the encoder measured it.

    ``offset`` in 1/128 dB is what the mean of decibels lacks to the mean power; ``spread`` in 1/64 dB is what a cell gets
    on top for each dB squared, half the mean of what it differs from its four neighbours.
    """

    offset: int
    spread: int

    def pack(self) -> int:
        """The 16 bits of the index: the offset, two's complement, in the lower ten."""
        return self.spread << OFFSET_BITS | self.offset & (1 << OFFSET_BITS) - 1


UNKNOWN = Correction(64, 6)
"""What stands for a correction that was not measured, which is 0 in the index: about what validation rasters have."""


def unpack_correction(bits: int) -> Correction:
    """Inverse of `Correction.pack`; `UNKNOWN` for 0."""
    if not bits:
        return UNKNOWN
    offset = bits & (1 << OFFSET_BITS) - 1
    return Correction(offset - ((offset > LARGEST_OFFSET) << OFFSET_BITS), bits >> OFFSET_BITS)


def overview_factors(height: int, width: int) -> list[int]:
    """Factors of the overviews of a raster: 2, 4, 8, ...

    >>> overview_factors(16700, 25000)
    [2, 4, 8, 16, 32, 64, 128]
    >>> overview_factors(256, 25000)
    []
    """
    factors, factor = [], 1
    while min(height // factor, width // factor) > SMALLEST_SIDE:
        factor *= 2
        factors.append(factor)
    return factors


def checked_factor(factor: int) -> int:
    """`factor` if an overview can have it, whether `overview_factors` lists it or not.

    Raises
    ------
    SarzOptionError
        If it is no power of two from 2 to `LARGEST_FACTOR`.
    """
    whole = isinstance(factor, int) and not isinstance(factor, bool)
    if not whole or not 2 <= factor <= LARGEST_FACTOR or factor & factor - 1:
        raise SarzOptionError(f"overview factor {factor!r}: expected a power of two from 2 to {LARGEST_FACTOR}")
    return factor


def overview_box(height: int, width: int, factor: int) -> Box:
    """The whole overview, in its own pixels."""
    return Box(0, 0, -(-height // factor), -(-width // factor))


def best_factor(raster: Box, factors: Sequence[int], window: tuple[int, int], shape: tuple[int, int], nearest: bool,
                threshold: float | None) -> int:
    """The factor of the overview that GDAL reads a window from, 1 for the raster itself.

    GDALBandGetBestOverviewLevel2 of GDAL 3.9 and later: the largest factor that is below the decimation asked for, times
    1.2 for nearest neighbour, plus 0.1.

    Parameters
    ----------
    raster
        In pixels.
    factors
        Rising.
    window, shape
        ``(height, width)`` that is read, and that it is read to.
    nearest
        Whether resampling is by nearest neighbour.
    threshold
        Instead of 1.2 or 1: GDAL's option GDAL_OVERVIEW_OVERSAMPLING_THRESHOLD.
    """
    if shape[0] >= window[0] and shape[1] >= window[1]:
        return 1
    down, across = window[0] / shape[0], window[1] / shape[1]
    wanted = across if across < down or shape[0] == 1 else down
    limit = wanted * (threshold if threshold is not None else 1.2 if nearest else 1.0) + 0.1
    best, best_ratio = 1, 0.0
    for factor in factors:
        height, width = overview_box(*raster.shape, factor).shape
        ratio = min(raster.shape[0] / height, raster.shape[1] / width)
        if best_ratio < ratio < limit:
            best, best_ratio = factor, ratio
            if abs(wanted - ratio) < 0.1:
                break
    return best
