"""The distribution of differences in decibels, counted in bins of a milli-decibel, whatever their number."""

from __future__ import annotations

import math

import numpy as np

LIMIT_MDB = 600_000
"""Differences beyond 600 dB count as 600 dB in percentiles."""


def millidecibels(db: np.ndarray) -> np.ndarray:
    """Whole milli-decibels, int64, of differences in dB."""
    return np.rint(db.clip(-2e6, 2e6) * 1000).astype(np.int64)


class Distribution:
    """Counts of int64 milli-decibels."""

    def __init__(self) -> None:
        self.counts = np.zeros(2 * LIMIT_MDB + 1, np.int64)

    def add(self, mdb: np.ndarray) -> None:
        """Count an array of any shape."""
        if mdb.size:
            clipped = mdb.reshape(-1).clip(-LIMIT_MDB, LIMIT_MDB)
            low = int(clipped.min())
            counts = np.bincount(clipped - low)
            self.counts[low + LIMIT_MDB : low + LIMIT_MDB + len(counts)] += counts

    @property
    def total(self) -> int:
        """Values counted."""
        return int(self.counts.sum())

    def percentile_db(self, percent: float) -> float:
        """The least value in dB that `percent` of all do not exceed; NaN without any."""
        return _rank(self.counts, percent, -LIMIT_MDB)

    def magnitude_percentile_db(self, percent: float) -> float:
        """As `percentile_db`, of magnitudes."""
        return _rank(self._magnitudes(), percent, 0)

    def share_within(self, db: float) -> float:
        """Share of values of a magnitude up to `db`, from 0 to 1; NaN without any."""
        limit = round(db * 1000)
        return float(self._magnitudes()[: limit + 1].sum() / self.total) if self.total else math.nan

    def _magnitudes(self) -> np.ndarray:
        magnitudes = self.counts[LIMIT_MDB:].copy()
        magnitudes[1:] += self.counts[:LIMIT_MDB][::-1]
        return magnitudes


def _rank(counts: np.ndarray, percent: float, first_mdb: int) -> float:
    below = np.cumsum(counts)
    if not below[-1]:
        return math.nan
    rank = max(1, math.ceil(below[-1] * percent / 100))
    return (int(np.searchsorted(below, rank)) + first_mdb) / 1000
