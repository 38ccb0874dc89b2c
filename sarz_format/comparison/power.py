"""Radiometric bias: the mean of linear power, of all and of blocks. Decibels averaged would not tell it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .cells import Cell

BLOCK = 64
"""Pixels a side of a block of the grid that starts at the raster's first pixel."""

LEAST_PIXELS = BLOCK * BLOCK // 2
"""A block with fewer valid pixels is left out."""

WITHIN_DB = 0.05


def block_sums(core: np.ndarray, size: int) -> np.ndarray:
    """Sums over blocks of `size` x `size` pixels, the last ones cut, float64 ``(rows, columns)``."""
    height, width = core.shape
    padded = np.pad(core, ((0, -height % size), (0, -width % size)))
    rows, cols = padded.shape[0] // size, padded.shape[1] // size
    return padded.reshape(rows, size, cols, size).sum(axis=(1, 3), dtype=np.float64)


class PowerMeasure:
    """Mean power of B over that of A, in dB."""

    def __init__(self) -> None:
        self._sums = [0.0, 0.0]
        self._biases: list[np.ndarray] = []
        self._places: list[np.ndarray] = []

    @property
    def biases_db(self) -> np.ndarray:
        """Bias of each block, float64 (blocks,)."""
        return np.concatenate([np.empty(0), *self._biases])

    def of(self, cell: Cell) -> Any:
        """Total powers, and bias and place of each block."""
        valid = cell.core(cell.valid)
        counts = block_sums(valid, BLOCK)
        a, b = (block_sums(np.where(valid, cell.core(power), 0.0), BLOCK) for power in (cell.power_a, cell.power_b))
        with np.errstate(divide="ignore", invalid="ignore"):
            bias_db = 10 * np.log10(b / a)
        chosen = (counts >= LEAST_PIXELS) & np.isfinite(bias_db)
        places = np.argwhere(chosen) * BLOCK + (cell.box.row0, cell.box.col0)
        return float(a.sum()), float(b.sum()), bias_db[chosen], places

    def add(self, part: Any) -> None:
        """Take in what `of` gave."""
        a, b, biases, places = part
        self._sums = [self._sums[0] + a, self._sums[1] + b]
        self._biases.append(biases)
        self._places.append(places)

    def summary(self) -> dict[str, Any]:
        """Figures in dB, of blocks too; NaN where there is nothing to compare."""
        a, b = self._sums
        bias = 10 * math.log10(b / a) if a > 0 and b > 0 else math.nan
        return {"bias_db": bias, "blocks": self._block_summary()}

    def _block_summary(self) -> dict[str, Any]:
        biases = self.biases_db
        if not biases.size:
            return {"count": 0, **dict.fromkeys(("mean_db", "p5_db", "p50_db", "p95_db", "worst_db", "worst_row",
                                                 "worst_col", "share_within_0_05_db"))}
        worst = int(np.argmax(np.abs(biases)))
        row, col = np.concatenate(self._places)[worst]
        p5, p50, p95 = np.percentile(biases, (5, 50, 95))
        return {
            "count": int(biases.size), "mean_db": float(biases.mean()), "p5_db": float(p5), "p50_db": float(p50),
            "p95_db": float(p95), "worst_db": float(biases[worst]), "worst_row": int(row), "worst_col": int(col),
            "share_within_0_05_db": float((np.abs(biases) <= WITHIN_DB).mean()),
        }  # fmt: skip
