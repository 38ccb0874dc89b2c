"""The filter across block borders, in integers: what makes the 16 x 16 linear path a lapped transform.

Applied in place to int16 pixels at every block border inside an array, sixteen pixels at a time (eight before the
border, eight after): down the columns and then along the rows for analysis, the other way round for synthesis. Each result is
``clamp16((sum m x + 2^(LAP_BITS - 1)) >> LAP_BITS)``. Borders of the array are left alone; callers pass what lies inside
the raster, or drop the outermost eight pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..grid import BLOCK
from .jit import compiled
from .model import LAP_BITS

HALF = BLOCK // 2


@compiled
def _down(x, m):
    """Filter the columns of ``(height, width)`` at every inner block border."""
    height, width = x.shape
    total = np.empty((BLOCK, width), np.int32)
    for top in range(HALF, height - HALF, BLOCK):
        for i in range(BLOCK):
            for c in range(width):
                total[i, c] = 1 << (LAP_BITS - 1)
            for j in range(BLOCK):
                f = m[i, j]
                for c in range(width):
                    total[i, c] += f * np.int32(x[top + j, c])
        for i in range(BLOCK):
            for c in range(width):
                x[top + i, c] = min(max(total[i, c] >> LAP_BITS, -32768), 32767)


@compiled
def _along(x, m):
    """Filter the rows of ``(height, width)`` at every inner block border."""
    height, width = x.shape
    borders = (width - BLOCK) // BLOCK if width >= BLOCK else 0
    total = np.empty((BLOCK, max(borders, 1)), np.int32)
    for r in range(height):
        row = x[r]
        for i in range(BLOCK):
            for b in range(borders):
                total[i, b] = 1 << (LAP_BITS - 1)
            for j in range(BLOCK):
                f = m[i, j]
                for b in range(borders):
                    total[i, b] += f * np.int32(row[HALF + BLOCK * b + j])
        for i in range(BLOCK):
            for b in range(borders):
                row[HALF + BLOCK * b + i] = min(max(total[i, b] >> LAP_BITS, -32768), 32767)


def lap_analysis(pixels: np.ndarray, matrix: np.ndarray) -> None:
    """Filter int16 ``(bands, height, width)``, sides multiples of sixteen, in place before analysis."""
    _in_place(pixels, matrix, (_down, _along))


def lap_synthesis(pixels: np.ndarray, matrix: np.ndarray) -> None:
    """Filter int16 ``(bands, height, width)``, sides multiples of sixteen, in place after synthesis."""
    _in_place(pixels, matrix, (_along, _down))


def _in_place(pixels: np.ndarray, matrix: np.ndarray, filters: tuple[Callable, Callable]) -> None:
    for band in pixels:
        rows = np.ascontiguousarray(band)  # A part of a larger array is copied: through strides filters are slower.
        for apply in filters:
            apply(rows, matrix)
        if rows is not band:
            band[...] = rows
