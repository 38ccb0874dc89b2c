"""Decibels as the integers that image codecs take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEPS_PER_DB = 500
"""Of codecs that take 16 bits."""

HIGHEST_12_BITS = 4095


@dataclass(frozen=True, slots=True)
class Levels:
    """A linear scale of integers for one band."""

    lowest_db: float
    """What 0 stands for. A whole number of decibels, so that it costs nothing worth counting."""
    steps_per_db: float
    highest: int

    def integers(self, band_db: np.ndarray) -> np.ndarray:
        """The nearest integers, uint16."""
        return np.clip(np.round((band_db - self.lowest_db) * self.steps_per_db), 0, self.highest).astype(np.uint16)

    def db(self, integers: np.ndarray) -> np.ndarray:
        """The inverse, float64."""
        return integers / self.steps_per_db + self.lowest_db


def levels_16_bits(band_db: np.ndarray) -> Levels:
    """Steps of 1/500 dB, whatever the band's range (up to 131 dB)."""
    return Levels(float(np.floor(band_db.min())), STEPS_PER_DB, 65535)


def levels_12_bits(band_db: np.ndarray) -> Levels:
    """All of 12 bits for the band's range: 60 dB have steps of 1/68 dB, whose rounding adds 0.004 dB RMSE."""
    lowest_db, highest_db = float(np.floor(band_db.min())), float(np.ceil(band_db.max()))
    return Levels(lowest_db, HIGHEST_12_BITS / max(1.0, highest_db - lowest_db), HIGHEST_12_BITS)
