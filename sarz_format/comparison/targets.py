"""Point targets: pixels that stand far above their neighbourhood, and what became of their peaks.

The median of a neighbourhood is exact, and computed only where it can matter: mean and median of anything differ by a
standard deviation at most (Hotelling and Solomons, 1932, doi:10.1214/aoms/1177732911), so a target stands 15 dB above
the mean less one standard deviation, and both come from running sums. (scipy.ndimage has no median of valid pixels
alone, would compute it everywhere, and is not among the package's dependencies.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .cells import MARGIN, Cell
from .difference import Worst, worst_figures, worst_of
from .distribution import Distribution, millidecibels

RADIUS = 15
"""The neighbourhood has 31 x 31 pixels, the target's own included, as far as they are valid in A."""

ABOVE_DB = 15.0
WITHIN_DB = 0.5

_AT_ONCE = 1024


class TargetMeasure:
    """Change of the peaks of A's point targets, B - A in dB."""

    def __init__(self) -> None:
        self.distribution = Distribution()
        self._sum = 0
        self._lost = 0
        self._worst: Worst | None = None

    def of(self, cell: Cell) -> Any:
        """Changes in mdB of the targets valid in B too, the worst of them, and the number of others."""
        rows, cols = point_targets(cell.db_a)
        change = cell.core(cell.db_b)[rows, cols] - cell.core(cell.db_a)[rows, cols]
        there = ~np.isnan(change)
        mdb = millidecibels(change[there])
        places = (rows * cell.box.shape[1] + cols)[there]
        return mdb, worst_of(mdb, places, cell), int(np.count_nonzero(~there))

    def add(self, part: Any) -> None:
        """Take in what `of` gave."""
        mdb, worst, lost = part
        self.distribution.add(mdb)
        self._sum += int(mdb.sum())
        self._lost += lost
        self._worst = min((w for w in (self._worst, worst) if w is not None), default=None)

    def summary(self) -> dict[str, Any]:
        """Figures in dB; NaN without targets. `lost` targets are not valid in B."""
        count = self.distribution.total
        return {
            "count": count,
            "lost": self._lost,
            "mean_db": self._sum / count / 1000 if count else float("nan"),
            "p1_db": self.distribution.percentile_db(1),
            "p99_db": self.distribution.percentile_db(99),
            **worst_figures(self._worst),
            "share_within_0_5_db": self.distribution.share_within(WITHIN_DB),
        }


def point_targets(db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, in raster order, of the targets of an array with a margin of `MARGIN`, counted without it.

    Parameters
    ----------
    db : ndarray of float64
        NaN where a pixel is not valid.
    """
    known = ~np.isnan(db)
    if not known.any():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    centred = np.where(known, db - np.nanmean(db), 0.0)
    counts, sums, squares = (_box_sums(array) for array in (known.astype(np.float64), centred, centred**2))
    core = Cell.core(centred)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums / counts
        deviation = np.sqrt(np.maximum(squares / counts - mean**2, 0))
        possible = Cell.core(known) & (core >= mean - deviation + ABOVE_DB - 1e-6)
    rows, cols = np.nonzero(possible)
    neighbourhoods = sliding_window_view(db, (2 * RADIUS + 1,) * 2)
    chosen = np.empty(rows.size, bool)
    first = MARGIN - RADIUS
    for start in range(0, rows.size, _AT_ONCE):
        r, c = rows[start : start + _AT_ONCE], cols[start : start + _AT_ONCE]
        medians = _medians(neighbourhoods[r + first, c + first].reshape(r.size, -1))
        chosen[start : start + _AT_ONCE] = db[r + MARGIN, c + MARGIN] >= medians + ABOVE_DB
    return rows[chosen], cols[chosen]


def _box_sums(array: np.ndarray) -> np.ndarray:
    """Sums over the neighbourhood of each pixel without the margin."""
    total = np.pad(array, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    side, trim = 2 * RADIUS + 1, MARGIN - RADIUS
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    return sums[trim:-trim, trim:-trim]


def _medians(rows: np.ndarray) -> np.ndarray:
    """Median of each row of an array (n, m) without its NaNs, of which none is all."""
    ordered = np.sort(rows, axis=1)  # NaNs come last
    counts = np.count_nonzero(~np.isnan(rows), axis=1)
    each = np.arange(len(rows))
    return (ordered[each, (counts - 1) // 2] + ordered[each, counts // 2]) / 2
