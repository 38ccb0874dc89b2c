"""Cells of 8 x 8 pixels from the coarse latents alone: the low-pass of decibels, and how uneven it is.

The four lowest frequencies of a block give its 2 x 2 cells, by what the synthesis would make of them on average: the block
transform S and the filter across block borders Q, without the network, and with zeros for all other latents. Whole numbers
throughout (docs/spec/sarz-1.md, section 14.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..grid import Box
from .jit import compiled
from .lapping import HALF
from .model import LAP_BITS, MATRIX_BITS, IntegerModel

CELL_BITS = 14
"""Fractional bits of weights along one axis."""

SUM_BITS = LAP_BITS + MATRIX_BITS + 3
"""Fractional bits of sums over eight pixels."""

VALUE_SHIFT = 2 * CELL_BITS - 3
"""From products of two weights and a latent (1/16 dB) to 1/128 dB."""

CONTEXT = 2
"""Latent positions around a cell's own block that it depends on: its neighbouring cells', and those blocks' neighbours."""

LARGEST_INCREASE = 24 << 7
"""No cell gets more than 24 dB for being uneven."""

OWN, OTHER, ALONE = range(3)


@dataclass(frozen=True, slots=True)
class CellWeights:
    """Weights int64 ``(2 cells, 3, 2 frequencies)`` along one axis of a block's two cells: of its own frequencies, of
    those of the block on the cell's other side, and of its own where there is none. Fractional bits: `CELL_BITS`."""

    weights: np.ndarray

    @classmethod
    def of(cls, model: IntegerModel) -> CellWeights:
        """Those of a model: exact sums, rounded once."""
        s, q = model.S[:, :2].astype(np.int64), model.Q.astype(np.int64)
        # A border is filtered eight pixels on either side, the lower cell of one block and the upper cell of the next.
        to_lower, to_upper = q[:HALF].sum(0), q[HALF:].sum(0)
        lower, upper = s[HALF:], s[:HALF]
        exact = np.array([[to_upper[HALF:] @ upper, to_upper[:HALF] @ lower, upper.sum(0) << LAP_BITS],
                          [to_lower[:HALF] @ lower, to_lower[HALF:] @ upper, lower.sum(0) << LAP_BITS]])
        shift = SUM_BITS - CELL_BITS
        return cls((exact + (1 << shift - 1)) >> shift)


@compiled
def _along(y, weights, out):
    """Fill ``(2 cols, 2)`` with the two cells of each block of a row of latents ``(cols, 4)``, channel ``2 u + v``: of each
    frequency u down, summed over v along."""
    cols = y.shape[0]
    for c in range(cols):
        for half in range(2):
            other = c - 1 if half == 0 else c + 1
            alone = not 0 <= other < cols
            for u in range(2):
                w = weights[half, ALONE if alone else OWN]
                total = w[0] * y[c, 2 * u] + w[1] * y[c, 2 * u + 1]
                if not alone:
                    w = weights[half, OTHER]
                    total += w[0] * y[other, 2 * u] + w[1] * y[other, 2 * u + 1]
                out[2 * c + half, u] = total


@compiled
def _down(own, other, weights, half, alone, out):
    """Fill a row of cells of what `_along` gave of its row of blocks, and of the next one on the cell's side."""
    w = weights[half, ALONE if alone else OWN]
    for c in range(out.size):
        out[c] = w[0] * own[c, 0] + w[1] * own[c, 1]
    if not alone:
        w = weights[half, OTHER]
        for c in range(out.size):
            out[c] += w[0] * other[c, 0] + w[1] * other[c, 1]


@compiled
def _low_pass(y, weights, out):
    """Fill sums int64 ``(bands, 2 rows, 2 cols)`` of latents int64 ``(rows, cols, 4 bands)``, whose border counts as that of
    the raster: where it is not, the outermost cells are wrong."""
    rows, cols = y.shape[:2]
    lines = np.empty((rows, 2 * cols, 2), np.int64)
    for b in range(out.shape[0]):
        for r in range(rows):
            _along(y[r, :, 4 * b : 4 * b + 4], weights, lines[r])
        for r in range(rows):
            for half in range(2):
                other = r - 1 if half == 0 else r + 1
                inside = 0 <= other < rows
                _down(lines[r], lines[other if inside else r], weights, half, not inside, out[b, 2 * r + half])


@compiled
def _fixed(sums, out):
    """Bands int32, of sums of them (or of their sum and difference), rounded and clamped to int16."""
    bands = out.shape[0]
    for b in range(bands):
        sign = (bands - 1) * (1 - 2 * b)
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                v = (sums[0, r, c] + sign * sums[bands - 1, r, c] + (1 << (VALUE_SHIFT - 1))) >> VALUE_SHIFT
                out[b, r, c] = min(max(v, -32768), 32767)


@compiled
def _unevenness(cells, known, out):
    """Squared differences to the four neighbours, summed, of all but the outermost cells; only where both are known. `known`
    is by block, one more than the cells have on every side."""
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            total = np.int64(0)
            if known[(r + 2) >> 1, (c + 2) >> 1]:
                for k in range(4):
                    i = r + 1 + (k == 1) - (k == 0)
                    j = c + 1 + (k == 3) - (k == 2)
                    if known[(i + 1) >> 1, (j + 1) >> 1]:
                        d = np.int64(cells[i, j]) - cells[r + 1, c + 1]
                        total += d * d
            out[r, c] = total


def cells(y: np.ndarray, weights: CellWeights, box: Box, raster: Box) -> tuple[np.ndarray, np.ndarray]:
    """Cells of the blocks of a box of latent positions, and how much they differ from their neighbours.

    Parameters
    ----------
    y
        int16 ``(rows, cols, 4 bands + 1)`` of the box grown by `CONTEXT`: coarse latents, and 1 where a tile has latents, 0
        where there is none, beyond the raster too.
    weights
        Of the model.
    box, raster
        In latent positions; the box lies within the raster.

    Returns
    -------
    low : int32 (bands, 2 rows, 2 cols)
        1/128 dB about the band's offset, of blocks of the box.
    unevenness : int64, the same shape
        Sum of squared differences to the cells above, below, on the left and on the right, in (1/128 dB)^2. Cells of
        tiles without latents, and beyond the raster, count as equal.
    """
    grown = box.grown(CONTEXT)
    inside = grown.intersection(raster)
    part = y[inside.slices(grown)]
    bands = (part.shape[2] - 1) // 4
    sums = np.empty((bands, 2 * part.shape[0], 2 * part.shape[1]), np.int64)
    _low_pass(part[..., :-1].astype(np.int64), weights.weights, sums)
    around = np.zeros((bands, 2 * grown.shape[0], 2 * grown.shape[1]), np.int32)
    low = np.empty(sums.shape, np.int32)
    _fixed(sums, low)
    around[(slice(None), *inside.scaled(2).slices(grown.scaled(2)))] = low
    ring = box.scaled(2).grown(1)
    known = np.ascontiguousarray(y[..., -1] != 0)
    unevenness = np.empty((bands, *box.scaled(2).shape), np.int64)
    rows, cols = ring.slices(grown.scaled(2))
    for band, target in zip(around, unevenness):
        _unevenness(band[rows, cols], known[CONTEXT - 1 : 1 - CONTEXT, CONTEXT - 1 : 1 - CONTEXT], target)
    return around[(slice(None), *box.scaled(2).slices(grown.scaled(2)))], unevenness


def with_presence(coarse: np.ndarray) -> np.ndarray:
    """Coarse latents int16 ``(rows, cols, channels)`` of a tile with one more channel that says that they are there."""
    return np.concatenate([coarse, np.ones((*coarse.shape[:2], 1), np.int16)], axis=2)


def corrected(low: np.ndarray, unevenness: np.ndarray, offset: int, spread: int) -> np.ndarray:
    """Cells int32 of one band of a tile with its correction (overview.Correction)."""
    more = np.minimum((spread * unevenness + (1 << 15)) >> 16, LARGEST_INCREASE)
    return np.clip(low + offset + more, -32768, 32767).astype(np.int32)
