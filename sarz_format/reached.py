"""What the qualities of a file's tiles were, and how near they came to the error that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .quality import MAX_QUALITY, MIN_QUALITY
from .target import RMSE_DB, Target


class Reached:
    """Counts coded tiles (neither EMPTY nor FALLBACK) as they are written. `rmse_db` is asked for of each, or None."""

    def __init__(self, rmse_db: float | None) -> None:
        self._target = None if rmse_db is None else Target(RMSE_DB, rmse_db)
        self._qualities = np.zeros(MAX_QUALITY + 1, np.int64)
        self.above = self.below = self.above_at_finest = self.below_at_coarsest = 0
        self.largest, self.smallest = 0.0, np.inf

    def add(self, quality: int, rmse_db: float) -> None:
        """Count a tile and its measured RMSE in dB over all its bands."""
        self._qualities[quality] += 1
        if self._target is None or not self._target.missed_by(rmse_db):
            return
        above = rmse_db > self._target.value
        self.above, self.below = self.above + above, self.below + (not above)
        self.above_at_finest += above and quality == MAX_QUALITY
        self.below_at_coarsest += (not above) and quality == MIN_QUALITY
        self.largest, self.smallest = max(self.largest, rmse_db), min(self.smallest, rmse_db)

    @property
    def qualities(self) -> dict[str, int] | None:
        """Smallest, median and largest quality of the tiles; None without one."""
        return quality_range(np.repeat(np.arange(MAX_QUALITY + 1), self._qualities))

    def to_json(self) -> dict[str, int]:
        """Tiles by more than TOLERANCE off the RMSE asked for; empty where none was."""
        return {} if self._target is None else {"tiles_above": self.above, "tiles_below": self.below}

    def notes(self) -> Iterator[str]:
        """What a reader should know about tiles that do not have the error asked for."""
        if self._target is None:
            return
        total, wanted = int(self._qualities.sum()), f"the {self._target.value:g} dB RMSE asked for"
        if self.above_at_finest:
            yield (f"{self.above_at_finest} of {total} coded tiles have more than {wanted} (up to {self.largest:.3f} dB): "
                   f"quality {MAX_QUALITY} is the finest there is")
        if self.below_at_coarsest:
            yield (f"{self.below_at_coarsest} of {total} coded tiles have less than {wanted} (down to "
                   f"{self.smallest:.3f} dB): quality {MIN_QUALITY} is the coarsest there is")
        others = self.above + self.below - self.above_at_finest - self.below_at_coarsest
        if others:
            yield (f"{others} of {total} coded tiles are more than 5 % off {wanted} (tiles off it have {self.smallest:.3f} "
                   f"to {self.largest:.3f} dB): their qualities were found before the row of tiles below was coded, or no whole "
                   "quality comes nearer")


def quality_range(qualities: Sequence[int] | np.ndarray) -> dict[str, int] | None:
    """Smallest, median (the lower of two) and largest; None without a quality."""
    ordered = np.sort(np.asarray(qualities))
    if not ordered.size:
        return None
    return {"min": int(ordered[0]), "median": int(ordered[(ordered.size - 1) // 2]), "max": int(ordered[-1])}
