"""Small maps of both rasters for a picture: the mean power of squares of pixels, which is multilooking."""

from __future__ import annotations

import numpy as np

from .cells import CELL, Cell
from .power import block_sums

LARGEST = 1000
"""Squares along the longer side at most."""


def preview_step(height: int, width: int) -> int:
    """Pixels a side of a square: a power of two that divides a cell."""
    step = 1
    while step < CELL and max(height, width) > LARGEST * step:
        step *= 2
    return step


class PreviewMeasure:
    """Maps of one band. They are no figures of a report: `summary` gives none."""

    def __init__(self, height: int, width: int) -> None:
        self.step = preview_step(height, width)
        shape = -(-height // self.step), -(-width // self.step)
        self._sums = np.zeros((3, *shape))

    def of(self, cell: Cell) -> tuple[int, int, np.ndarray]:
        """Place in the map; count, power of A and of B of pixels valid in both, float64 (3, rows, columns)."""
        valid = cell.core(cell.valid)
        sums = [block_sums(np.where(valid, cell.core(array), 0.0), self.step)
                for array in (np.ones_like(cell.power_a), cell.power_a, cell.power_b)]
        return cell.box.row0 // self.step, cell.box.col0 // self.step, np.array(sums)

    def add(self, part: tuple[int, int, np.ndarray]) -> None:
        """Take in what `of` gave."""
        row, col, sums = part
        self._sums[:, row : row + sums.shape[1], col : col + sums.shape[2]] += sums

    def summary(self) -> dict[str, float]:
        """Nothing."""
        return {}

    def maps_db(self) -> tuple[np.ndarray, np.ndarray]:
        """A and B in dB, float64 (rows, columns); NaN where no pixel is valid in both."""
        count, a, b = self._sums
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = (10 * np.log10(power / count) for power in (a, b))
        return tuple(np.where(np.isfinite(db), db, np.nan) for db in (a, b))
