"""The equivalent number of looks of homogeneous blocks.

ENL is mean^2 / variance of intensity (Oliver and Quegan, Understanding Synthetic Aperture Radar Images, 2004, ch. 4).
Texture lowers it, so that of the estimates of many small blocks those of homogeneous ones are the most common: ENL is
where their density peaks (Anfinsen, Doulgeris and Eltoft, 2009, doi:10.1109/TGRS.2009.2019269).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .cells import Cell

BLOCK = 32
"""Pixels a side of a block; all must be valid."""

NEAR_MODE_DB = 1.0
"""Blocks are homogeneous whose ENL in A is within 1 dB (a factor of 1.26) of the mode. A range on both sides of it: had
only high ones been chosen, chance would have chosen them, and B would seem to lose what A never had."""

_STEP_DB = 0.02


class LooksMeasure:
    """ENL of A and of B on blocks that are homogeneous in A."""

    def __init__(self) -> None:
        self._looks: list[np.ndarray] = []

    def of(self, cell: Cell) -> np.ndarray:
        """ENL of each whole block in A and in B, float64 (2, blocks)."""
        rows, cols = (size // BLOCK for size in cell.box.shape)

        def blocks(array: np.ndarray) -> np.ndarray:
            whole = cell.core(array)[: rows * BLOCK, : cols * BLOCK]
            return whole.reshape(rows, BLOCK, cols, BLOCK).swapaxes(1, 2).reshape(rows * cols, BLOCK * BLOCK)

        valid = blocks(cell.valid).all(axis=1)
        looks = []
        for power in (cell.power_a, cell.power_b):
            pixels = blocks(power)[valid]
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                looks.append(pixels.mean(axis=1) ** 2 / pixels.var(axis=1, ddof=1))
        return np.array(looks)

    def add(self, part: np.ndarray) -> None:
        """Take in what `of` gave."""
        self._looks.append(part)

    def summary(self) -> dict[str, Any]:
        """Medians over homogeneous blocks; None without any."""
        a, b = np.concatenate([np.empty((2, 0)), *self._looks], axis=1)
        known = np.isfinite(a) & (a > 0)  # a block of one value has no ENL
        a, b = a[known], b[known]
        if not a.size:
            return {"blocks": 0, "mode_a": None, "enl_a": None, "enl_b": None, "ratio": None}
        looks_db = 10 * np.log10(a)
        mode_db = density_mode(looks_db)
        chosen = np.abs(looks_db - mode_db) <= NEAR_MODE_DB
        a, b = a[chosen], b[chosen]
        return {"blocks": int(a.size), "mode_a": float(10 ** (mode_db / 10)), "enl_a": _median(a), "enl_b": _median(b),
                "ratio": _median(b / a)}


def density_mode(values: np.ndarray) -> float:
    """Where a Gaussian kernel density of some values (1-D, finite, at least one) peaks.

    Bandwidth by Silverman's rule, 0.9 min(standard deviation, interquartile range / 1.34) n^(-1/5); values are counted
    in bins of 0.02 first. Of equal peaks the lowest is taken.
    """
    low, quartile1, quartile3 = np.percentile(values, (0, 25, 75))
    spread = min(values.std(), (quartile3 - quartile1) / 1.34) or values.std()
    width = max(0.9 * spread * values.size**-0.2, _STEP_DB)
    reach = int(np.ceil(4 * width / _STEP_DB))
    counts = np.bincount(np.rint((values - low) / _STEP_DB).astype(np.int64))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _STEP_DB / width) ** 2)
    density = np.convolve(counts, kernel)
    return float(low + (int(np.argmax(density)) - reach) * _STEP_DB)


def _median(values: np.ndarray) -> float:
    """The lower median: one of the values, so that infinite ones do no harm."""
    return float(np.sort(values)[(values.size - 1) // 2])
