"""The quality scale: 0 (smallest) to 100 (finest), one quantisation step ratio a point."""

from __future__ import annotations

from .errors import SarzOptionError

MIN_QUALITY, MAX_QUALITY = 0, 100

DEFAULT_QUALITY = 55
"""About 0.8 dB RMSE on Sentinel-1 GRD amplitude: less than half the standard deviation of its speckle (docs/cli.md)."""


def checked_quality(quality: int) -> int:
    """Return `quality` if it is an integer from 0 to 100; raise SarzOptionError otherwise."""
    if isinstance(quality, bool) or int(quality) != quality or not MIN_QUALITY <= quality <= MAX_QUALITY:
        raise SarzOptionError(f"quality {quality!r}: expected a whole number from {MIN_QUALITY} to {MAX_QUALITY}")
    return int(quality)


COARSEST_STEP_DB, FINEST_STEP_DB = 28.0, 0.8
"""Nominal quantisation steps of qualities 0 and 100; in between their ratio is the same from point to point."""


def nominal_step_db(quality: int) -> float:
    """The quantisation step in dB that a quality stands for, before each channel's own gain."""
    return COARSEST_STEP_DB * (FINEST_STEP_DB / COARSEST_STEP_DB) ** (quality / MAX_QUALITY)
