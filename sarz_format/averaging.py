"""Means of backscatter over squares of pixels, in linear power and the same to the last bit everywhere.

Counts and sums of power are float64, added two by two in a fixed order, so that they depend neither on where a window
begins nor on how the work is divided: the sum over a square is (upper left + upper right) + (lower left + lower right) of
its quarters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .decibel import STEPS_PER_DB, linear_steps, linear_values
from .mask import representable
from .radiometry import BandRadiometry

PIXELS = 1 << 16
LOWEST = -(PIXELS >> 1)


@dataclass(frozen=True)
class BandMean:
    """How one band is averaged.

    Attributes
    ----------
    radiometry
        Of the band.
    backscatter
        False for angles and transparency: they are averaged as they are, and not in power.
    """

    radiometry: BandRadiometry
    backscatter: bool = True

    @cached_property
    def powers(self) -> np.ndarray:
        """Linear power of every int16 pixel, float64 (65536,); entry p belongs to ``p mod 65536``."""
        return np.roll(linear_values("intensity", self.radiometry.offset_db), PIXELS >> 1)

    @cached_property
    def _limits(self) -> np.ndarray:
        """Powers half way (in dB) between an int16 pixel and the next, float64 (65535,), from the lowest on."""
        halves = 2 * np.arange(LOWEST, LOWEST + PIXELS - 1, dtype=np.int64) + 1
        return linear_steps(halves + 2 * STEPS_PER_DB * self.radiometry.offset_db, 20 * STEPS_PER_DB)

    @cached_property
    def nodata(self) -> np.generic:
        """What an average of nothing is: the band's nodata value, or 0."""
        value, dtype = self.radiometry.nodata, self.radiometry.dtype
        return np.array(value if representable(value, dtype) else 0).astype(dtype)[()]

    def counted(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count (1 or 0) and power of each of some values of the raster's dtype, float64 of their shape.

        Counted are values that are not nodata and have a power: finite, and not negative on a linear scale. (Decibels go by
        the nearest int16 pixel, since another mathematics library would give another last bit; out of its range they
        are not counted.)
        """
        with np.errstate(invalid="ignore", over="ignore"):  # Signalling NaNs are just NaNs here.
            numbers = values.astype(np.float64)
            valid = np.isfinite(numbers) & (values != self.nodata if self._has_nodata else True)
            if not self.backscatter:
                power = numbers
            elif self.radiometry.scale == "db":
                power, exists = self._decibel_power(np.where(valid, numbers, 0.0))
                valid &= exists
            else:
                power = numbers * numbers if self.radiometry.scale == "amplitude" else numbers
                valid &= (numbers >= 0) & (power <= self.powers[PIXELS // 2 - 1]) & np.isfinite(power)
        return valid.astype(np.float64), np.where(valid, power, 0.0)

    @property
    def _has_nodata(self) -> bool:
        return representable(self.radiometry.nodata, self.radiometry.dtype)

    def _decibel_power(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        db = numbers * self.radiometry.gain + self.radiometry.bias
        pixels = np.rint((db - self.radiometry.offset_db) * STEPS_PER_DB)
        exists = (pixels >= LOWEST) & (pixels < LOWEST + PIXELS)
        return self.powers[np.where(exists, pixels, 0.0).astype(np.int64) & PIXELS - 1], exists

    def values(self, count: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Means of the raster's dtype, of counts and of sums of power."""
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = total / count
        some = count > 0
        out = np.full(count.shape, self.nodata, self.radiometry.dtype)
        out[some] = self._value(mean[some])
        return out

    def _value(self, mean: np.ndarray) -> np.ndarray:
        """Values of the dtype, never nodata, of finite mean powers."""
        radiometry = self.radiometry
        if not self.backscatter:
            return radiometry.as_dtype(mean, linear=False)
        if radiometry.scale == "db":
            pixels = np.searchsorted(self._limits, mean, side="right") + LOWEST
            return radiometry.value_table[pixels & PIXELS - 1]
        values = radiometry.as_dtype(np.sqrt(mean) if radiometry.scale == "amplitude" else mean, linear=True)
        values[mean == 0] = 0
        return values


def halved(sums: np.ndarray) -> np.ndarray:
    """Sums over squares of 2 x 2 of an array ``(..., rows, columns)``; beyond its lower and right border there are zeros."""
    rows, cols = sums.shape[-2:]
    if rows % 2 or cols % 2:
        sums = np.pad(sums, [(0, 0)] * (sums.ndim - 2) + [(0, rows % 2), (0, cols % 2)])
    upper, lower = sums[..., ::2, :], sums[..., 1::2, :]
    return (upper[..., ::2] + upper[..., 1::2]) + (lower[..., ::2] + lower[..., 1::2])


def reduced(sums: np.ndarray, factor: int) -> np.ndarray:
    """Sums over squares of `factor` x `factor`, a power of two."""
    while factor > 1:
        sums, factor = halved(sums), factor // 2
    return sums
