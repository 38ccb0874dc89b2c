"""Edge response: how much of the contrast of A's strongest edges B has.

The contrast of an edge is the ratio of averages of the power on its two sides, which speckle does not bias towards
bright areas as it does gradients (Touzi, Lopes and Bousquet, 1988, doi:10.1109/TGRS.1988.6662): here of 7 x 3 pixels on
either side of a line of pixels that counts to neither, in the stronger of the two directions, rows and columns.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .cells import MARGIN, Cell

LENGTH, DEPTH = 7, 3
"""Pixels along the edge, and away from it, of the mean on each side; all must be valid in both rasters."""

STRONGEST = 0.01
"""Share of A's edges that counts."""

_BINS_A_DB, _BINS = 100, 10_000


class EdgeMeasure:
    """Contrasts in A and in B by their strength in A, in bins of 0.01 dB."""

    def __init__(self) -> None:
        self._sums = np.zeros((4, _BINS + 1))

    def of(self, cell: Cell) -> np.ndarray:
        """Count, and sums of A's contrast, of B's, and of their ratio, a bin each, float64 (4, bins)."""
        a, b = edge_contrasts(cell)
        if not a.size:
            return np.zeros((4, _BINS + 1))
        bins = np.minimum(a * _BINS_A_DB, _BINS).astype(np.int64)
        ratio = np.divide(b, a, out=np.ones_like(a), where=a > 0)
        return np.array([np.bincount(bins, weights, _BINS + 1) for weights in (None, a, b, ratio)], np.float64)

    def add(self, part: np.ndarray) -> None:
        """Take in what `of` gave."""
        self._sums += part

    def summary(self) -> dict[str, Any]:
        """Mean contrasts in dB and the mean of their ratio over the strongest edges; NaN where nothing has contrast."""
        counts = self._sums[0]
        strongest = np.cumsum(counts[::-1])[::-1]
        enough = np.flatnonzero(strongest >= max(1.0, STRONGEST * counts.sum()))
        if not enough.size or enough[-1] == 0:
            names = "least_db", "contrast_a_db", "contrast_b_db", "preservation"
            return {"count": 0, **dict.fromkeys(names, math.nan)}
        count, a, b, ratio = self._sums[:, enough[-1] :].sum(axis=1)
        return {"count": int(count), "least_db": float(enough[-1] / _BINS_A_DB), "contrast_a_db": float(a / count),
                "contrast_b_db": float(b / count), "preservation": float(ratio / count)}


def edge_contrasts(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Contrast in dB of A at each pixel of a cell, from 0 up, and of B there: same direction, same sides (1-D)."""
    down_a, down_b, down_known = _contrasts(cell, 0)
    right_a, right_b, right_known = _contrasts(cell, 1)
    known = down_known & right_known
    steeper = np.abs(down_a) >= np.abs(right_a)
    a, b = np.where(steeper, down_a, right_a)[known], np.where(steeper, down_b, right_b)[known]
    return np.abs(a), np.where(a < 0, -b, b)


def _contrasts(cell: Cell, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """10 log10 of the mean after each pixel over that before it, along an axis, in A and B; and where it exists."""
    whole = LENGTH * DEPTH
    before, after = _side_sums(cell.valid.view(np.uint8), axis)
    known = (before == whole) & (after == whole)
    contrasts = []
    for power in (cell.power_a, cell.power_b):
        before, after = _side_sums(power, axis)
        with np.errstate(divide="ignore", invalid="ignore"):
            contrast = 10 * np.log10(np.divide(after, before, out=after))
        known &= np.isfinite(contrast)
        contrasts.append(contrast)
    return contrasts[0], contrasts[1], known


def _side_sums(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums before and after each pixel of the cell along an axis, `DEPTH` deep and `LENGTH` long across it.

    Added one by one: running sums would lose a dark side beside a bright target.
    """
    along = array if axis == 1 else array.T
    height, width = (size - 2 * MARGIN for size in along.shape)
    seen = along[:, MARGIN - DEPTH : MARGIN + width + DEPTH]
    across = _sum([seen[start : start + height] for start in range(MARGIN - LENGTH // 2, MARGIN + LENGTH // 2 + 1)])
    before, after = (_sum([across[:, start : start + width] for start in range(first, first + DEPTH)])
                     for first in (0, DEPTH + 1))
    return (before, after) if axis == 1 else (before.T, after.T)


def _sum(parts: list[np.ndarray]) -> np.ndarray:
    total = parts[0].copy(order="K")
    for part in parts[1:]:
        total += part
    return total
