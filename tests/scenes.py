"""Rasters that hold every kind of tile and pixel at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from conftest import speckled_db, write_geotiff

TILE = 64
SHAPE = 150, 212
"""Three rows and four columns of tiles of 64, the last ones cut."""

EMPTY_TILE, FALLBACK_TILE = (0, 3), (2, 1)


def kinds_scene() -> np.ndarray:
    """Three bands of linear power, float32: valid speckle; NaN (nodata) in a tile and a corner; zeros, negatives,
    infinities and -0.0 here and there; one tile 140 dB brighter, whose latents are out of range."""
    values = (10 ** (speckled_db((3, *SHAPE), seed=4) / 10)).astype(np.float32)
    rng = np.random.default_rng(5)
    for odd in (0.0, -0.0, -1e-3, np.inf, -np.inf):
        values[rng.random(values.shape) < 0.002] = odd
    values[rng.random(values.shape) < 0.002] *= np.float32(1e3)  # ships
    values[:, : TILE, 3 * TILE :] = np.nan
    values[:, 100:, :25] = np.nan
    values[0, :20, :9] = 0
    values[:, 2 * TILE :, TILE : 2 * TILE] *= np.float32(1e14)
    return values


def write_kinds_scene(path: Path) -> Path:
    """The scene as a GeoTIFF: VH, a coherence and VV, so that two groups code it, the first in exchanged order."""
    import rasterio

    write_geotiff(path, kinds_scene(), nodata=np.nan)
    with rasterio.open(path, "r+") as dst:
        dst.descriptions = ("VH", "coherence", "VV")
    return path
