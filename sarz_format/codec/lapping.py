"""The filter across block borders, in integers: what makes the 8 x 8 linear path a lapped transform.

Applied in place to int16 pixels at every block border inside an array, eight pixels at a time (four before the border,
four after): down the columns and then along the rows for analysis, the other way round for synthesis. Each result is
``clamp16((sum m x + 2^(LAP_BITS - 1)) >> LAP_BITS)``. Borders of the array are left alone; callers pass what lies inside
the raster, or drop the outermost four pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .jit import compiled
from .model import LAP_BITS


@compiled
def _down(x, m):
    """Filter the columns of ``(height, width)`` at every inner block border."""
    height, width = x.shape
    total = np.empty((8, width), np.int32)
    for top in range(4, height - 4, 8):
        for i in range(8):
            for c in range(width):
                total[i, c] = 1 << (LAP_BITS - 1)
            for j in range(8):
                f = m[i, j]
                for c in range(width):
                    total[i, c] += f * np.int32(x[top + j, c])
        for i in range(8):
            for c in range(width):
                x[top + i, c] = min(max(total[i, c] >> LAP_BITS, -32768), 32767)


@compiled
def _along(x, m):
    """Filter the rows of ``(height, width)`` at every inner block border."""
    height, width = x.shape
    borders = (width - 8) // 8 if width >= 8 else 0
    total = np.empty((8, max(borders, 1)), np.int32)
    for r in range(height):
        row = x[r]
        for i in range(8):
            for b in range(borders):
                total[i, b] = 1 << (LAP_BITS - 1)
            for j in range(8):
                f = m[i, j]
                for b in range(borders):
                    total[i, b] += f * np.int32(row[4 + 8 * b + j])
        for i in range(8):
            for b in range(borders):
                row[4 + 8 * b + i] = min(max(total[i, b] >> LAP_BITS, -32768), 32767)


def lap_analysis(pixels: np.ndarray, matrix: np.ndarray) -> None:
    """Filter int16 ``(bands, height, width)``, sides multiples of eight, in place before analysis."""
    _in_place(pixels, matrix, (_down, _along))


def lap_synthesis(pixels: np.ndarray, matrix: np.ndarray) -> None:
    """Filter int16 ``(bands, height, width)``, sides multiples of eight, in place after synthesis."""
    _in_place(pixels, matrix, (_along, _down))


def _in_place(pixels: np.ndarray, matrix: np.ndarray, filters: tuple[Callable, Callable]) -> None:
    for band in pixels:
        rows = np.ascontiguousarray(band)  # A part of a larger array is copied: through strides filters are slower.
        for apply in filters:
            apply(rows, matrix)
        if rows is not band:
            band[...] = rows
