"""Rasters unlike those that the models were trained on, made from a committed one: filtered, multilooked, single-look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from matplotlib import cbook, image
from rasters import load_raster, to_db
from scipy.ndimage import uniform_filter

SOURCE = Path(__file__).resolve().parent.parent / "data" / "harvey_grd.tif"

LOOKS = 4.4
"""Equivalent number of looks of an IW GRD product (Sentinel-1 product definition): what Lee's filter takes as noise."""

SEED = 1


def speckle_power(bandwidth: float, shape: tuple[int, ...]) -> np.ndarray:
    """Single-look speckle of unit mean power: exponential, white for a bandwidth of 1, smoother for less."""
    rng = np.random.default_rng(SEED)
    field = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    inside = [np.abs(np.fft.fftfreq(size)) <= bandwidth / 2 for size in shape[1:]]
    power = np.abs(np.fft.ifft2(np.fft.fft2(field) * np.outer(*inside))) ** 2
    return power / power.mean()


def lee(power: np.ndarray, size: int = 7) -> np.ndarray:
    """Lee's filter (1980, doi:10.1109/TPAMI.1980.4766994) of power, band by band."""
    mean = boxcar(power, size)
    variance = boxcar(power**2, size) - mean**2
    signal = np.clip((variance - mean**2 / LOOKS) / (1 + 1 / LOOKS), 0, None)
    return mean + signal / np.maximum(variance, np.finfo(float).tiny) * (power - mean)


def boxcar(power: np.ndarray, size: int) -> np.ndarray:
    """The mean of a window around each pixel."""
    return uniform_filter(power, (0, size, size))


def multilook(power: np.ndarray, looks: int) -> np.ndarray:
    """The mean of blocks: one pixel for `looks` x `looks`."""
    bands, height, width = power.shape
    return power.reshape(bands, height // looks, looks, width // looks, looks).mean((2, 4))


MADE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Sentinel-1, as it is": lambda power: power,
    "Lee filter, 7 x 7": lee,
    "boxcar, 5 x 5": lambda power: boxcar(power, 5),
    "multilook, 4 x 4": lambda power: multilook(power, 4),
    "simulated: one look, white speckle": lambda power: boxcar(power, 5) * speckle_power(1.0, power.shape),
    "simulated: one look, twice oversampled": lambda power: boxcar(power, 5) * speckle_power(0.5, power.shape),
}
"""Name to what is done to the power of `SOURCE`, (bands, rows, columns)."""


def write_unusual(folder: Path) -> dict[str, Path]:
    """Write every made raster (decibels, float32) and a photograph (uint8) to `folder`; paths by name."""
    raster = load_raster(SOURCE)
    power = 10 ** (raster.db() / 10)
    paths = {name: write(folder / f"{number}.tif", to_db(make(power), "intensity").astype(np.float32), scale="db")
             for number, (name, make) in enumerate(MADE.items())}
    pixels = image.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    paths["optical: a photograph"] = write(folder / "photograph.tif", np.moveaxis(pixels, -1, 0), scale="amplitude")
    return paths


def write_crop(path: Path, side: int, folder: Path) -> Path:
    """The middle of a raster, at most `side` pixels a side."""
    raster = load_raster(path)
    rows, cols = (slice((size - min(size, side)) // 2, (size + min(size, side)) // 2)
                  for size in raster.values.shape[1:])
    with rasterio.open(path) as src:
        nodata = src.nodata
    return write(folder / path.name, raster.values[:, rows, cols], scale=raster.scale, nodata=nodata)


def write(path: Path, values: np.ndarray, scale: str, nodata: float | None = None) -> Path:
    """Write (bands, rows, columns) as a GeoTIFF with the tag that tells its scale."""
    count, height, width = values.shape
    with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype,
                       nodata=nodata) as dst:
        dst.write(values)
        dst.update_tags(SARZ_SCALE=scale)
    return path
