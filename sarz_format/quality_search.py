"""The whole quality at which a tile comes nearest to an error: a few secant steps on its logarithm."""

from __future__ import annotations

import math

from .quality import MAX_QUALITY, MIN_QUALITY

USUAL_SLOPE = 0.028
"""By how much the logarithm of the RMSE falls from a quality to the next: SAR rasters around quality 60."""

LEAST_SLOPE, LARGEST_SLOPE = 0.006, 0.12
MOST_STEPS = 8
_LEAST_RMSE_DB = 1e-4


class QualitySearch:
    """Asks for the error at one quality after the other.

    Attributes
    ----------
    quality : int
        To measure next, or what was found once `done`.
    done : bool
    """

    def __init__(self, rmse_db: float, start: int) -> None:
        self.quality, self.done = start, False
        self._wanted = math.log(rmse_db)
        self._excess: dict[int, float] = {}

    def add(self, rmse_db: float) -> None:
        """Take in the error measured at `quality`, in dB."""
        self._excess[self.quality] = math.log(max(rmse_db, _LEAST_RMSE_DB)) - self._wanted
        following = self._predicted()
        self.done = following in self._excess or len(self._excess) == MOST_STEPS
        self.quality = self._ranked()[0] if self.done else following

    def _ranked(self) -> list[int]:
        """Measured qualities, the nearest to the target first."""
        return sorted(self._excess, key=lambda quality: (abs(self._excess[quality]), quality))

    def _predicted(self) -> int:
        nearest, *others = self._ranked()
        slope = USUAL_SLOPE
        if others:
            slope = (self._excess[others[0]] - self._excess[nearest]) / (nearest - others[0])
        slope = min(max(slope, LEAST_SLOPE), LARGEST_SLOPE)
        low = max((q for q, excess in self._excess.items() if excess > 0), default=MIN_QUALITY)
        high = min((q for q, excess in self._excess.items() if excess <= 0), default=MAX_QUALITY)
        return min(max(round(nearest + self._excess[nearest] / slope), min(low, high)), max(low, high))
