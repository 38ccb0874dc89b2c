"""What a band of a tile needs beyond the model: gains that keep the mean power of its blocks, and peaks of bright targets.

Only the encoder chooses; the decoder adds what it is told (`codec.corrections`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .codec.corrections import (
    GAIN_STEP, LARGEST_GAIN, TARGET_STEP, Corrections, apply_corrections, gain_shape, pack_corrections)
from .codec.pool import parallel_map
from .decibel import STEPS_PER_DB
from .grid import GAIN_BLOCK, TileGrid
from .mask import VALID
from .quality import DEFAULT_QUALITY, nominal_step_db
from .strips import Strip

TOLERANCE_DB = 0.45
"""Error of a target from which on it is corrected, up to the default quality; larger with the step of lower ones."""


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
    tolerance = TOLERANCE_DB * max(1.0, nominal_step_db(quality) / nominal_step_db(DEFAULT_QUALITY))
    corrections = Corrections.none(original.shape)
    for _ in range(2):  # Gains move targets a little, and targets gains.
        corrections = _with_targets(corrections, original, decoded, targets, tolerance)
        corrections = _with_gains(corrections, original, decoded, valid)
    return corrections


def _with_targets(corrections: Corrections, original: np.ndarray, decoded: np.ndarray, targets: np.ndarray,
                  tolerance: float) -> Corrections:
    gained = decoded.copy()
    apply_corrections(gained, Corrections(corrections.gains, targets[:0], targets[:0]), gained.shape[1])
    error = original.ravel()[targets].astype(np.int32) - gained.ravel()[targets]
    steps = np.rint(error / TARGET_STEP).astype(np.int32)
    wrong = (np.abs(error) > tolerance * STEPS_PER_DB) & (steps != 0)
    return Corrections(corrections.gains, targets[wrong], steps[wrong])


def _with_gains(corrections: Corrections, original: np.ndarray, decoded: np.ndarray, valid: np.ndarray) -> Corrections:
    corrected = decoded.copy()
    without = Corrections(np.zeros_like(corrections.gains), corrections.positions, corrections.targets)
    apply_corrections(corrected, without, corrected.shape[1])
    wanted, got = (_block_power(x, valid) for x in (original, corrected))
    ratio = np.divide(wanted, got, out=np.ones_like(wanted), where=got > 0)
    gains = np.rint(10 * np.log10(ratio) * STEPS_PER_DB / GAIN_STEP).clip(-LARGEST_GAIN, LARGEST_GAIN)
    return Corrections(gains.astype(np.int32), corrections.positions, corrections.targets)


def _block_power(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Sum of the linear power of the valid pixels of each block."""
    rows, cols = gain_shape(pixels.shape)
    power = np.where(valid, _POWER[pixels.view(np.uint16)], 0.0)
    power = np.pad(power, ((0, rows * GAIN_BLOCK - power.shape[0]), (0, cols * GAIN_BLOCK - power.shape[1])))
    return power.reshape(rows, GAIN_BLOCK, cols, GAIN_BLOCK).sum((1, 3))


_POWER = np.roll(10 ** (np.arange(-32768, 32768) / (10 * STEPS_PER_DB)), 32768)
"""Linear power of every int16 pixel, indexed by it as uint16. float64."""
