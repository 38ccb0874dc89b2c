"""Training rasters, as decibels, and the augmentation that keeps a small data set from being learned by heart.

Layout of every array here: ``(bands, height, width)`` float32, backscatter in dB, centred on the median of its band.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch
import torch.nn.functional as F

from sarz_format.radiometry import detect_scale
from sarz_format.sampling import scaled_values

FLOOR_DB = -45.0
"""Values further than this below the median are noise-floor artefacts: training clips them, the codec does not."""

CEILING_DB = 40.0

SMALLEST_ZOOM, LARGEST_ZOOM = 0.75, 1.4
"""Resampling of a crop: a zoom of 0.75 takes 1.33 times as many pixels a side."""

Image = tuple[str, torch.Tensor]
"""Name and decibels of an image."""


def read_db(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a raster as dB; return ``(values, valid)``, float64 and bool, both ``(bands, height, width)``.

    Its scale is what `rio sarcodec compress` would find: by the tag SARZ_SCALE, else units, signs and dtype.
    """
    with rasterio.open(path) as src:
        pixels = src.read()
        nodatavals, tags, units, bands = src.nodatavals, src.tags(), src.units, tuple(zip(src.scales, src.offsets))
    valid = np.isfinite(pixels)
    for mask, band, nodata in zip(valid, pixels, nodatavals):
        if nodata is not None:
            mask &= band != nodata
    values = np.stack([scaled_values(band, *scaling) for band, scaling in zip(pixels, bands)])
    scale, _ = detect_scale(tags, units, pixels.dtype, values[valid & (pixels != 0)])
    if scale in ("amplitude", "intensity"):
        valid &= values > 0
        factor = 20.0 if scale == "amplitude" else 10.0
        values = factor * np.log10(np.where(valid, values, 1.0))
    return values, valid


def centre(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Subtract each band's median (rounded to 1 dB, as the codec's header does) and fill what is invalid with 0."""
    bands = []
    for band, mask in zip(values, valid):
        offset = np.round(np.median(band[mask])) if mask.any() else 0.0
        bands.append(np.where(mask, np.clip(band - offset, FLOOR_DB, CEILING_DB), 0.0))
    return np.stack(bands).astype(np.float32)


def find_rasters(root: Path, exclude: Collection[str] = ()) -> list[Path]:
    """Every .tif or .tiff file under `root`, without folders of the names in `exclude`."""
    paths = (path for path in root.rglob("*") if path.suffix.lower() in (".tif", ".tiff"))
    return sorted(path for path in paths if not set(path.relative_to(root).parts) & set(exclude))


def load_folder(root: Path, bands: int, exclude: Collection[str] = ()) -> list[Image]:
    """Every GeoTIFF under `root` with at least `bands` bands; for ``bands=1`` each polarisation is an image of its own.

    Raises ValueError if there is none.
    """
    images = []
    for path in find_rasters(root, exclude):
        values, valid = read_db(path)
        if values.shape[0] < bands:
            continue
        image = centre(values, valid)
        for first in range(0, image.shape[0] - bands + 1, bands):
            images.append((f"{path.name}[{first}]", torch.from_numpy(image[first : first + bands].copy())))
    if not images:
        raise ValueError(f"{root}: no GeoTIFF with {bands} band(s) or more")
    return images


def speckle_bank(count: int, size: int, bands: int, rng: np.random.Generator) -> torch.Tensor:
    """Simulated multilook intensity speckle of unit mean, ``(count, bands, size, size)``.

    Complex circular Gaussian fields with a band-limited, Hamming-weighted spectrum (Oliver and Quegan, *Understanding
    Synthetic Aperture Radar Images*, chapter 4), averaged over 1 to 8 looks.
    """
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]
    bank = np.empty((count, bands, size, size), np.float32)
    for i in range(count):
        looks = rng.choice([1, 3, 4, 5, 6, 8], p=[0.1, 0.15, 0.25, 0.25, 0.15, 0.1])
        by, bx = rng.uniform(0.45, 1.0, 2)
        window = (np.abs(fy) < by / 2) & (np.abs(fx) < bx / 2)
        weight = window * (0.54 + 0.46 * np.cos(2 * np.pi * fy / by)) * (0.54 + 0.46 * np.cos(2 * np.pi * fx / bx))
        for b in range(bands):
            intensity = np.zeros((size, size))
            for _ in range(looks):
                field = rng.standard_normal((size, size)) + 1j * rng.standard_normal((size, size))
                intensity += np.abs(np.fft.ifft2(np.fft.fft2(field) * weight)) ** 2
            bank[i, b] = intensity / intensity.mean()
    return torch.from_numpy(bank)


def _side(crop: int, zoom: float) -> int:
    """Pixels a side that become a crop when resampled."""
    return round(crop / zoom)


@dataclass
class Sampler:
    """Draws augmented training batches ``(batch, bands, crop, crop)`` in dB; raises ValueError if no image is as large.

    Augmentation: gain per band, flips, transposes, band swap, resampling in amplitude (it changes the spectrum of the
    speckle), simulated speckle on multilooked crops, and rounding to the digital numbers of a GRD product.
    """

    images: list[torch.Tensor]
    crop: int
    batch: int
    rng: np.random.Generator
    simulated: float = 0.25
    gain_db: float = 12.0
    bank_size: int = 48

    def __post_init__(self) -> None:
        smallest, largest = _side(self.crop, SMALLEST_ZOOM), max(min(image.shape[1:]) for image in self.images)
        if largest < smallest:
            raise ValueError(f"no raster has {smallest} x {smallest} pixels, which crops of {self.crop} need "
                             f"(the largest has a side of {largest}): use larger rasters or smaller crops")
        self.bands = self.images[0].shape[0]
        self.bank = speckle_bank(self.bank_size, 2 * self.crop, self.bands, self.rng)
        area = np.array([float(i.shape[1] * i.shape[2]) ** 0.5 for i in self.images])
        self.weight = area / area.sum()

    def __call__(self) -> torch.Tensor:
        rng = self.rng
        zoom = rng.uniform(SMALLEST_ZOOM, LARGEST_ZOOM) if rng.random() < 0.3 else 1.0
        side = _side(self.crop, zoom)
        x = torch.stack([self._crop(side) for _ in range(self.batch)])
        if side != self.crop:
            x = self._resample(x)
        count = round(self.batch * self.simulated)
        if count:
            x[:count] = self._simulate(x[:count])
        if rng.random() < 0.15:
            x = self._digital_numbers(x)
        gain = torch.from_numpy(rng.uniform(-0.5, 0.5, (self.batch, self.bands, 1, 1)).astype(np.float32))
        return x + gain * self.gain_db

    def _crop(self, side: int) -> torch.Tensor:
        while True:
            image = self.images[self.rng.choice(len(self.images), p=self.weight)]
            if min(image.shape[1:]) >= side:
                break
        i, j = (int(self.rng.integers(n - side + 1)) for n in image.shape[1:])
        return self._flip(image[:, i : i + side, j : j + side])

    def _flip(self, x: torch.Tensor) -> torch.Tensor:
        k = int(self.rng.integers(8))
        x = x.flip(1) if k & 1 else x
        x = x.flip(2) if k & 2 else x
        x = x.transpose(1, 2) if k & 4 else x
        return x.flip(0) if self.rng.random() < 0.1 else x

    def _resample(self, x: torch.Tensor) -> torch.Tensor:
        mode = "bilinear" if self.rng.random() < 0.5 else "bicubic"
        amplitude = F.interpolate(10 ** (x / 20), size=(self.crop, self.crop), mode=mode, align_corners=False)
        return 20 * torch.log10(amplitude.clamp(min=10 ** (FLOOR_DB / 20)))

    def _simulate(self, x: torch.Tensor) -> torch.Tensor:
        power = F.avg_pool2d(10 ** (x / 10), int(self.rng.choice([4, 6, 8])))
        power = F.interpolate(power, size=(self.crop, self.crop), mode="bilinear", align_corners=False)
        speckle = torch.stack([self._speckle() for _ in range(len(x))])
        noise = 10 ** self.rng.uniform(-4, -2.5)
        return (10 * torch.log10(power * speckle + noise)).clamp(min=FLOOR_DB)

    def _speckle(self) -> torch.Tensor:
        field = self.bank[self.rng.integers(len(self.bank))]
        i, j = (int(self.rng.integers(self.crop + 1)) for _ in range(2))
        return self._flip(field[:, i : i + self.crop, j : j + self.crop])

    def _digital_numbers(self, x: torch.Tensor) -> torch.Tensor:
        level = 10 ** (self.rng.uniform(35, 50) / 20)
        return 20 * torch.log10(torch.round(10 ** (x / 20) * level).clamp(min=1) / level)
