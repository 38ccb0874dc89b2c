"""What a band of a tile needs beyond the model: gains that keep the mean power of its blocks, and peaks of bright targets.

Only the encoder chooses; the decoder adds what it is told (`codec.corrections`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .codec.corrections import (
    GAIN_STEP, LARGEST_GAIN, TARGET_STEP, Corrections, apply_corrections, gain_shape, pack_corrections)
from .codec.jit import compiled
from .codec.pool import parallel_map
from .decibel import STEPS_PER_DB
from .grid import GAIN_BLOCK, TileGrid
from .mask import VALID
from .quality import DEFAULT_QUALITY, nominal_step_db
from .strips import Strip

TOLERANCE_DB = 0.45
"""Error of a target from which on it is corrected, from the default quality on; of lower ones, larger with the square of
their step, since corrections cost as much there and all else less."""


def corrected_in(strip: Strip, key: tuple[int, int], grid: TileGrid, bands: list[int],
                 decoded: np.ndarray) -> tuple[list[Corrections], np.ndarray]:
    """Corrections of the bands of a tile of a row, and its pixels int16 ``(bands, height, width)`` with them.

    `key` is its (group, tile column), `bands` are those of the group, `decoded` may be higher and wider than the tile.
    """
    where = (bands, *grid.tile(strip.row, key[1]).slices(strip.box))
    original, valid = strip.pixels[where], strip.classes[where] == VALID
    pixels = decoded[:, : original.shape[1], : original.shape[2]].copy()
    corrections = []
    for band, part in enumerate(pixels):
        chosen = choose_corrections(original[band], part, valid[band], strip.targets[key][band], strip.qualities[key])
        apply_corrections(part, chosen, part.shape[1])
        corrections.append(chosen)
    return corrections, pixels


def correction_bytes(strip: Strip, grid: TileGrid, bands: list[list[int]],
                     decoded: Mapping[tuple[int, int], np.ndarray]) -> int:
    """Bytes of the corrections of decoded tiles of a row; `bands` are those of each group."""
    def of(key: tuple[int, int]) -> int:
        return sum(len(pack_corrections(c)) for c in corrected_in(strip, key, grid, bands[key[0]], decoded[key])[0])

    return sum(parallel_map(of, decoded))


def choose_corrections(original: np.ndarray, decoded: np.ndarray, valid: np.ndarray, targets: np.ndarray,
                       quality: int) -> Corrections:
    """Corrections of a band of a tile.

    Parameters
    ----------
    original, decoded
        int16 in 1/128 dB, of the tile's height and width.
    valid
        bool: pixels that went through the model.
    targets
        As of `bright.bright_targets`.
    quality
        Of the tile.
    """
    targets = targets[valid.ravel()[targets]]
    coarseness = max(1.0, nominal_step_db(quality) / nominal_step_db(DEFAULT_QUALITY))
    tolerance = TOLERANCE_DB * coarseness**2 * STEPS_PER_DB
    wanted = _block_power(original, valid)
    corrections = Corrections.none(original.shape)
    for _ in range(2 if targets.size else 1):  # Gains move targets a little, and targets gains.
        corrections = _with_targets(corrections, original, decoded, targets, tolerance)
        corrections = _with_gains(corrections, wanted, decoded, valid)
    return corrections


def _with_targets(corrections: Corrections, original: np.ndarray, decoded: np.ndarray, targets: np.ndarray,
                  tolerance: float) -> Corrections:
    rows, cols = np.divmod(targets, original.shape[1])
    gained = decoded[rows, cols] + GAIN_STEP * corrections.gains[rows // GAIN_BLOCK, cols // GAIN_BLOCK]
    error = original[rows, cols].astype(np.int32) - gained.clip(-32768, 32767)
    steps = np.rint(error / TARGET_STEP).astype(np.int32)
    wrong = (np.abs(error) > tolerance) & (steps != 0)
    return Corrections(corrections.gains, targets[wrong], steps[wrong])


def _with_gains(corrections: Corrections, wanted: np.ndarray, decoded: np.ndarray, valid: np.ndarray) -> Corrections:
    corrected = decoded
    if corrections.positions.size:
        corrected = decoded.copy()
        apply_corrections(corrected, corrections, corrected.shape[1], gains=False)
    got = _block_power(corrected, valid)
    ratio = np.divide(wanted, got, out=np.ones_like(wanted), where=got > 0)
    gains = np.rint(10 * np.log10(ratio) * STEPS_PER_DB / GAIN_STEP).clip(-LARGEST_GAIN, LARGEST_GAIN)
    return Corrections(gains.astype(np.int32), corrections.positions, corrections.targets)


def _block_power(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Sum of the linear power of the valid pixels of each block. float64."""
    sums = np.zeros(gain_shape(pixels.shape))
    _add_power(pixels, valid, POWER, sums)
    return sums


@compiled
def _add_power(pixels, valid, power, sums):
    for r in range(pixels.shape[0]):
        for first in range(0, pixels.shape[1], GAIN_BLOCK):
            total = 0.0
            for c in range(first, min(first + GAIN_BLOCK, pixels.shape[1])):
                if valid[r, c]:
                    total += power[np.int64(pixels[r, c]) + 32768]
            sums[r // GAIN_BLOCK, first // GAIN_BLOCK] += total


POWER = 10 ** (np.arange(-32768, 32768) / (10 * STEPS_PER_DB))
"""Linear power of every int16 pixel about its offset, from the lowest on. float64."""
