"""Symbols and latents: quantisation with the integer parameters of the hyperprior.

For every latent the last layer of the hyper-synthesis gives two sums. Scaled by powers of two and rounded they are its
mean and its scale index; the tile's quality adds an offset to the index and gives the quantisation step.

DC latents are predicted better than that: from what four neighbours decoded before them (left, above, above left, above
right, within the tile) turned out to be beyond their means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .jit import compiled
from .model import CONTEXT_BITS, DELTA_BITS, INDEX_BITS, SCALES, SYMBOL_LIMIT, IntegerModel


@dataclass(frozen=True, slots=True)
class Rates:
    """What the loops need of a model at one quality, by channel.

    ``unit`` float32 (2 channels): the powers of two that scale the hyper-synthesis's sums. ``offset`` int64: added to the
    scale index. ``step`` int64: quantisation step of the encoder or the decoder.
    """

    unit: np.ndarray
    offset: np.ndarray
    step: np.ndarray


def rates_of(model: IntegerModel, quality: int, encoder: bool) -> Rates:
    """`Rates` of a model at a quality."""
    unit = np.ldexp(1.0, -model.layers["h_s.head"].shift.astype(int)).astype(np.float32)
    delta = model.delta_encode if encoder else model.delta_decode
    return Rates(unit, model.index_offset[quality], delta[quality])


@compiled
def _table_number(total, unit, offset):
    """``clamp((rne(total unit) + offset + 2^(INDEX_BITS - 1)) >> INDEX_BITS, 0, SCALES - 1)``."""
    t = (np.int64(np.rint(total * unit)) + offset + (1 << (INDEX_BITS - 1))) >> INDEX_BITS
    return min(max(t, 0), SCALES - 1)


@compiled
def _reconstruct(mean, k, step):
    """``clamp16(mean + ((k step + 2^(DELTA_BITS - 1)) >> DELTA_BITS))``."""
    v = mean + ((k * step + (1 << (DELTA_BITS - 1))) >> DELTA_BITS)
    return min(max(v, -32768), 32767)


@compiled
def _table_numbers(totals, unit, offset, channels, out):
    n = offset.size
    for p in range(totals.shape[0]):
        for i in range(channels.size):
            c = channels[i]
            out[p, i] = _table_number(totals[p, n + c], unit[n + c], offset[c])


@compiled
def _quantise(y, totals, unit, step, step_decode, channels, symbols, y_hat):
    """``k = rne((y - mean) / step)`` of some channels, and the latents that the decoder makes of it."""
    for p in range(y.shape[0]):
        for i in range(channels.size):
            c = channels[i]
            mean = np.int64(np.rint(totals[p, c] * unit[c]))
            k = np.int64(np.rint((np.float64(y[p, c]) - mean) * (1 << DELTA_BITS) / step[c]))
            k = min(max(k, -SYMBOL_LIMIT), SYMBOL_LIMIT)
            symbols[p, i] = k
            y_hat[p, c] = _reconstruct(mean, k, step_decode[c])


@compiled
def _dequantise(symbols, totals, unit, step, channels, y_hat):
    for p in range(totals.shape[0]):
        for i in range(channels.size):
            c = channels[i]
            mean = np.int64(np.rint(totals[p, c] * unit[c]))
            y_hat[p, c] = _reconstruct(mean, np.int64(symbols[p, i]), step[c])


@compiled
def _context(y_hat, totals, unit, p, c, cols, weights):
    """The mean of DC latent `c` at position `p` plus ``(sum w (y_hat - mean) + 2^(CONTEXT_BITS - 1)) >> CONTEXT_BITS``."""
    mean = np.int64(np.rint(totals[p, c] * unit[c]))
    col = p % cols
    total = np.int64(1 << (CONTEXT_BITS - 1))
    for i in range(4):
        back = 1 if i == 0 else (cols if i == 1 else (cols + 1 if i == 2 else cols - 1))
        inside = (col > 0 if i == 0 or i == 2 else (True if i == 1 else col < cols - 1)) and p >= (back if i == 0 else cols)
        if inside:
            q = p - back
            total += weights[i] * (np.int64(y_hat[q, c]) - np.int64(np.rint(totals[q, c] * unit[c])))
    return mean + (total >> CONTEXT_BITS)


@compiled
def _quantise_coarse(y, totals, unit, step, step_decode, channels, cols, weights, symbols, y_hat):
    for p in range(y.shape[0]):
        for i in range(channels.size):
            c = channels[i]
            mean = _context(y_hat, totals, unit, p, c, cols, weights[i])
            k = np.int64(np.rint((np.float64(y[p, c]) - mean) * (1 << DELTA_BITS) / step[c]))
            k = min(max(k, -SYMBOL_LIMIT), SYMBOL_LIMIT)
            symbols[p, i] = k
            y_hat[p, c] = _reconstruct(mean, k, step_decode[c])


@compiled
def _dequantise_coarse(symbols, totals, unit, step, channels, cols, weights, y_hat):
    for p in range(totals.shape[0]):
        for i in range(channels.size):
            c = channels[i]
            mean = _context(y_hat, totals, unit, p, c, cols, weights[i])
            y_hat[p, c] = _reconstruct(mean, np.int64(symbols[p, i]), step[c])


def table_numbers(totals: np.ndarray, rates: Rates, channels: np.ndarray) -> np.ndarray:
    """Entropy table uint8 ``(positions, len(channels))`` of sums float32 ``(positions, 2 channels)``."""
    out = np.empty((len(totals), len(channels)), np.uint8)
    _table_numbers(totals, rates.unit, rates.offset, channels, out)
    return out


def quantise(y: np.ndarray, totals: np.ndarray, encode: Rates, decode: Rates, channels: np.ndarray,
             y_hat: np.ndarray) -> np.ndarray:
    """Symbols int32 ``(positions, len(channels))`` of latents int16 ``(positions, channels)``.

    Fills the same channels of `y_hat` int16 with what the decoder will have.
    """
    symbols = np.empty((len(y), len(channels)), np.int32)
    _quantise(y, totals, encode.unit, encode.step, decode.step, channels, symbols, y_hat)
    return symbols


def dequantise(symbols: np.ndarray, totals: np.ndarray, rates: Rates, channels: np.ndarray, y_hat: np.ndarray) -> None:
    """Fill some channels of `y_hat` int16 ``(positions, channels)`` with the latents of their symbols."""
    _dequantise(symbols, totals, rates.unit, rates.step, channels, y_hat)


def quantise_coarse(y: np.ndarray, totals: np.ndarray, encode: Rates, decode: Rates, model: IntegerModel, cols: int,
                    y_hat: np.ndarray) -> np.ndarray:
    """As `quantise`, of the DC channels of a tile of `cols` latent columns, with prediction from their neighbours."""
    symbols = np.empty((len(y), len(model.coarse_channels)), np.int32)
    _quantise_coarse(y, totals, encode.unit, encode.step, decode.step, model.coarse_channels, cols, model.context_weights,
                     symbols, y_hat)
    return symbols


def dequantise_coarse(symbols: np.ndarray, totals: np.ndarray, rates: Rates, model: IntegerModel, cols: int,
                      y_hat: np.ndarray) -> None:
    """As `dequantise`, of the DC channels of a tile of `cols` latent columns."""
    _dequantise_coarse(symbols, totals, rates.unit, rates.step, model.coarse_channels, cols, model.context_weights, y_hat)
