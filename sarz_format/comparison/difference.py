"""The difference of both rasters pixel by pixel, in decibels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..statistics import BandStatistics
from .cells import Cell
from .distribution import Distribution, millidecibels

Worst = tuple[int, int, int, int]
"""``(-magnitude in mdB, row, column, mdB)``: the least of several is the worst, and the first of equals."""

PERCENTILES = (95, 99, 99.9)


def worst_of(mdb: np.ndarray, places: np.ndarray, cell: Cell) -> Worst | None:
    """The largest of some differences; None without any.

    Parameters
    ----------
    mdb : ndarray of int64 (n,)
    places : ndarray of int (n,)
        Their positions in the flattened core of the cell.
    """
    if not mdb.size:
        return None
    at = int(np.argmax(np.abs(mdb)))
    row, col = divmod(int(places[at]), cell.box.shape[1])
    return -abs(int(mdb[at])), row + cell.box.row0, col + cell.box.col0, int(mdb[at])


def worst_figures(worst: Worst | None) -> dict[str, Any]:
    """The worst difference, signed, and its place, as figures of a report."""
    _, row, col, mdb = worst or (None, None, None, None)
    return {"worst_db": None if mdb is None else mdb / 1000, "worst_row": row, "worst_col": col}


class DifferenceMeasure:
    """RMSE, bias, worst and percentiles of B - A in dB over pixels that are valid in both."""

    def __init__(self) -> None:
        self.statistics = BandStatistics()
        self.distribution = Distribution()
        self._worst: Worst | None = None
        self._only = [0, 0]

    def of(self, cell: Cell) -> Any:
        """Differences in mdB, the worst of them, and pixels valid in A or in B alone."""
        db_a, db_b = cell.core(cell.db_a), cell.core(cell.db_b)
        valid = cell.core(cell.valid)
        mdb = millidecibels(db_b[valid] - db_a[valid])
        either = [int(np.count_nonzero(~np.isnan(db))) - mdb.size for db in (db_a, db_b)]
        return mdb, worst_of(mdb, np.flatnonzero(valid), cell), either

    def add(self, part: Any) -> None:
        """Take in what `of` gave."""
        mdb, worst, only = part
        self.statistics += BandStatistics.from_errors(mdb)
        self.distribution.add(mdb)
        self._worst = min((w for w in (self._worst, worst) if w is not None), default=None)
        self._only = [total + count for total, count in zip(self._only, only)]

    def summary(self) -> dict[str, Any]:
        """Figures in dB; NaN where no pixel is valid in both."""
        return {
            "pixels": self.statistics.count,
            "only_in_a": self._only[0],
            "only_in_b": self._only[1],
            "rmse_db": self.statistics.rmse_db,
            "bias_db": self.statistics.bias_db,
            **worst_figures(self._worst),
            **{f"p{percent:g}_db".replace(".", "_"): self.distribution.magnitude_percentile_db(percent)
               for percent in PERCENTILES},
        }
