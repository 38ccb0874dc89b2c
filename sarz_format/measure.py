"""What a decoded tile is worth: its errors, and whether they are too large for its quality."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .mask import VALID
from .quality import nominal_step_db
from .radiometry import BandRadiometry
from .statistics import BandStatistics

FALLBACK_ERROR_STEPS = 0.75
"""A tile whose RMSE exceeds this many nominal steps is stored losslessly: about three times what SAR rasters show."""


def band_errors(radiometry: BandRadiometry, values: np.ndarray, classes: np.ndarray,
                pixels: np.ndarray) -> BandStatistics:
    """Errors of the VALID pixels of one band of a tile.

    `values` are of the raster's dtype, `classes` uint8, `pixels` int16 as decoded, at least as high and wide.
    """
    valid = classes == VALID
    decoded = pixels[: values.shape[0], : values.shape[1]]
    chosen = (values.ravel(), decoded.ravel()) if valid.all() else (values[valid], decoded[valid])
    return BandStatistics.from_errors(radiometry.errors_mdb(*chosen))


def decibels_exist(scale: str, original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Which pixels, of those with finite values, have decibels before and after; bool."""
    return np.ones(original.shape, bool) if scale == "db" else (original > 0) & (decoded > 0)


def badly_served(statistics: Iterable[BandStatistics], quality: int, share: float = 1.0) -> bool:
    """Whether the model serves a tile so badly, in any band, that it has to be stored losslessly.

    That is, whether an RMSE exceeds `share` of the limit.
    """
    limit = share * FALLBACK_ERROR_STEPS * nominal_step_db(quality)
    return any(s.count and s.rmse_db > limit for s in statistics)
