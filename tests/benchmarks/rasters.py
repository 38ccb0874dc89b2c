"""Rasters as the benchmarks see them: decibels for the codecs, and the error of what a codec gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

SCALE_TAG = "SARZ_SCALE"

SKIPPED_FOLDERS = {"ships_dn", "multitemporal_db"}
"""Chips too small for a fair rate, and temporal means without speckle."""


@dataclass(frozen=True, slots=True)
class Raster:
    """One raster file, whole."""

    path: Path
    values: np.ndarray
    """(bands, rows, columns), in the file's own dtype."""
    valid: np.ndarray
    """bool, the same shape: neither nodata nor NaN, and positive where a logarithm is taken."""
    scale: str
    """``amplitude``, ``intensity`` or ``db``."""

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def samples(self) -> int:
        """Valid band pixels: what rates are divided by."""
        return int(self.valid.sum())

    def db(self) -> np.ndarray:
        """Decibels in float64; invalid pixels hold the median of the valid ones of their band."""
        filled = np.empty(self.values.shape)
        for band, values, valid in zip(filled, self.values, self.valid, strict=True):
            values_db = to_db(values[valid], self.scale)
            band[:] = np.median(values_db) if values_db.size else 0.0
            band[valid] = values_db
        return filled

    def errors_db(self, decoded: np.ndarray) -> np.ndarray:
        """Decoded minus original in decibels at the valid pixels; `decoded` is in the raster's own dtype and scale."""
        original_db = to_db(self.values[self.valid], self.scale)
        return to_db(decoded[self.valid], self.scale) - original_db

    def restored(self, values_db: np.ndarray) -> np.ndarray:
        """Decibels turned back into the raster's own scale and dtype, as a user of any codec would have to."""
        values = from_db(values_db, self.scale)
        if np.issubdtype(self.values.dtype, np.integer):
            # 0 stands for nodata in amplitude: a valid pixel never becomes it.
            lowest = 1 if self.scale != "db" else np.iinfo(self.values.dtype).min
            values = np.clip(np.round(values), lowest, np.iinfo(self.values.dtype).max)
        return values.astype(self.values.dtype)


def to_db(values: np.ndarray, scale: str) -> np.ndarray:
    """Decibels (float64) of amplitude, intensity or decibels."""
    values = values.astype(np.float64)
    if scale == "db":
        return values
    return (20.0 if scale == "amplitude" else 10.0) * np.log10(values)


def from_db(values_db: np.ndarray, scale: str) -> np.ndarray:
    """The inverse of `to_db`."""
    if scale == "db":
        return values_db
    return 10 ** (values_db / (20.0 if scale == "amplitude" else 10.0))


def load_raster(path: Path) -> Raster:
    """Read a raster; its scale is what the tag SARZ_SCALE says, else guessed from dtype and signs."""
    with rasterio.open(path) as src:
        values = src.read()
        nodatavals, scale = src.nodatavals, src.tags().get(SCALE_TAG)
    valid = np.isfinite(values)
    for band, values_of_band, nodata in zip(valid, values, nodatavals, strict=True):
        if nodata is not None:
            band &= values_of_band != nodata
    scale = scale or guessed_scale(values, valid)
    if scale != "db":
        valid &= values > 0
    return Raster(path, values, valid, scale)


def guessed_scale(values: np.ndarray, valid: np.ndarray) -> str:
    """More negative values than others mean decibels; integers mean amplitude; other floats intensity."""
    if np.mean(values[valid] < 0) > 0.5:
        return "db"
    return "amplitude" if np.issubdtype(values.dtype, np.integer) else "intensity"


def find_rasters(folder: Path) -> list[Path]:
    """Every GeoTIFF under `folder`, without the skipped folders; raises FileNotFoundError if there is none."""
    paths = [path for path in sorted(folder.rglob("*.tif")) if not SKIPPED_FOLDERS & set(path.parts)]
    if not paths:
        raise FileNotFoundError(f"{folder}: no .tif file to measure")
    return paths
