"""The ratio image A / B in intensity: what B lost. Where B lost nothing but noise, no structure is left in it.

Gomez, Ospina and Frery, 2017, doi:10.3390/rs9040389, judge despeckling by its mean, its number of looks and the
structure left in it; here the latter is the correlation of neighbouring pixels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .cells import MARGIN, Cell


LARGEST = 1e60
"""Ratios beyond 600 dB count as that, so that their squares are numbers."""


class RatioMeasure:
    """Mean, variance, number of looks and lag-1 correlation of A / B over pixels that are valid in both."""

    def __init__(self) -> None:
        self._single = np.zeros(3)
        self._pairs = np.zeros((2, 6))

    def of(self, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the ratio less 1, of pixels and of pairs with the next pixel in the row and in the column."""
        valid = cell.valid & (cell.power_b > 0)
        ratio = np.divide(cell.power_a, cell.power_b, out=np.ones_like(cell.power_a), where=valid)
        excess = np.minimum(ratio, LARGEST) - 1
        here, known = cell.core(excess), cell.core(valid)
        x = here[known]
        pairs = []
        for down, right in ((0, 1), (1, 0)):
            both = known & _next(valid, down, right)
            p, q = here[both], _next(excess, down, right)[both]
            pairs.append((p.size, p.sum(), q.sum(), (p * p).sum(), (q * q).sum(), (p * q).sum()))
        return np.array((x.size, x.sum(), (x * x).sum())), np.array(pairs, np.float64)

    def add(self, part: tuple[np.ndarray, np.ndarray]) -> None:
        """Take in what `of` gave."""
        self._single += part[0]
        self._pairs += part[1]

    def summary(self) -> dict[str, Any]:
        """Numbers without a unit; NaN where the ratio is the same everywhere, or there is none."""
        count, total, squares = self._single
        if not count:
            return dict.fromkeys(("mean", "variance", "enl", "lag1_in_rows", "lag1_in_columns"), math.nan)
        mean = 1 + total / count
        variance = max(squares / count - (total / count) ** 2, 0.0)
        rows, columns = map(_correlation, self._pairs)
        looks = float(mean**2 / variance) if variance else math.nan
        return {"mean": float(mean), "variance": float(variance), "enl": looks,
                "lag1_in_rows": rows, "lag1_in_columns": columns}


def _next(array: np.ndarray, down: int, right: int) -> np.ndarray:
    """The core, moved."""
    height, width = array.shape
    return array[MARGIN + down : height - MARGIN + down, MARGIN + right : width - MARGIN + right]


def _correlation(sums: np.ndarray) -> float:
    """Pearson's coefficient of pairs from their number and sums; NaN where one side does not vary."""
    n, x, y, xx, yy, xy = sums
    if not n:
        return math.nan
    spread = (xx - x * x / n) * (yy - y * y / n)
    return float((xy - x * y / n) / math.sqrt(spread)) if spread > 0 else math.nan
