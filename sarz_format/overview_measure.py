"""How the overview of a tile is to be corrected: measured by the encoder, which has decoded the tile."""

from __future__ import annotations

import math

import numpy as np

from .codec.cells import LARGEST_INCREASE
from .codec.jit import compiled
from .correcting import POWER
from .decibel import STEPS_PER_DB
from .overview import COARSE_FACTOR, LARGEST_OFFSET, LARGEST_SPREAD, Correction

_STEPS_PER_DECADE = 10.0 * STEPS_PER_DB

_MEAN_LIMIT = 1.0 * STEPS_PER_DB
"""For the power of targets that no cell can show, others are not raised by more than 1 dB over what they have in the mean."""


@compiled
def _sum_cells(pixels, valid, power, size, count, total):
    """Add up count and power of the valid pixels of each cell."""
    for r in range(pixels.shape[0]):
        for c in range(pixels.shape[1]):
            if valid[r, c]:
                count[r // size, c // size] += 1.0
                total[r // size, c // size] += power[np.int64(pixels[r, c]) + 32768]


@compiled
def _estimate(low, unevenness, count, power, spread, values):
    """Fill in the cells with a spread and no offset, and return the power of the tile."""
    total = 0.0
    for i in range(low.size):
        more = (spread * unevenness[i] + (1 << 15)) >> 16
        values[i] = min(max(low[i] + min(more, LARGEST_INCREASE), -32768), 32767)
        total += count[i] * power[values[i] + 32768]
    return total


@compiled
def _errors(values, wanted, count):
    """Mean and mean square of ``wanted - values``."""
    total, squares = 0.0, 0.0
    for i in range(values.size):
        d = wanted[i] - values[i]
        total += count[i] * d
        squares += count[i] * d * d
    return total / count.sum(), squares / count.sum()


@compiled
def _search(low, unevenness, count, total, power, largest_offset, largest_spread):
    """``(offset, spread)``: of those that give the tile its mean power, with the least error of cells in decibels."""
    wanted = np.empty(count.size)
    for i in range(count.size):
        wanted[i] = _STEPS_PER_DECADE * math.log10(total[i] / count[i])
    values = np.empty(count.size, np.int64)
    best, best_offset, best_spread = np.inf, np.int64(0), np.int64(1)
    for spread in range(1, largest_spread + 1):
        estimate = _estimate(low, unevenness, count, power, spread, values)
        mean, square = _errors(values, wanted, count)
        exact = _STEPS_PER_DECADE * math.log10(total.sum() / estimate)
        offset = np.int64(np.rint(min(max(exact, mean - _MEAN_LIMIT), mean + _MEAN_LIMIT)))
        offset = min(max(offset, -largest_offset), largest_offset)
        error = square - 2.0 * offset * mean + offset * offset
        if error < best:
            best, best_offset, best_spread = error, offset, np.int64(spread)
    return best_offset, best_spread


def measure_correction(low: np.ndarray, unevenness: np.ndarray, pixels: np.ndarray, valid: np.ndarray) -> Correction:
    """The correction of one band of a tile.

    Of all spreads, each with the offset that gives the tile the mean power of its decoded pixels, the one by which
    its cells come nearest to their own in decibels: bright targets, which make a tile's mean power and which no coarse
    latent shows in full, then raise the cells around them and not all others. (Where no spread can do that the tile's power
    stays too low.)

    Parameters
    ----------
    low, unevenness
        As of `codec.cells.cells`, of the tile's blocks.
    pixels
        int16, 1/128 dB, ``(height, width)`` of the tile: as decoded.
    valid
        bool: which of them went through the model. At least one.
    """
    count, total = np.zeros(low.shape), np.zeros(low.shape)
    _sum_cells(pixels, valid, POWER, COARSE_FACTOR, count, total)
    some = count > 0
    found = _search(low[some].astype(np.int64), unevenness[some], count[some], total[some], POWER, LARGEST_OFFSET,
                    LARGEST_SPREAD)
    return Correction(*map(int, found))
