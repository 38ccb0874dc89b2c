"""Symbols and latents: quantisation with the integer parameters of the hyperprior.

For every latent the last layer of the hyper-synthesis gives two sums. Scaled by powers of two and rounded they are its
mean and its scale index; the tile's quality adds an offset to the index and gives the quantisation step.

Coarse latents (low frequencies) are predicted better than that: from what four neighbours decoded before them (left, above, above left, above
right, within the tile) turned out to be beyond their means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .jit import compiled
from .model import CONTEXT_BITS, DELTA_BITS, INDEX_BITS, LEVEL_BITS, SCALES, SYMBOL_LIMIT, IntegerModel


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
def _reconstruct(mean, k, step):
    """``clamp16(mean + ((k step + 2^(DELTA_BITS - 1)) >> DELTA_BITS))``."""
    v = mean + ((k * step + (1 << (DELTA_BITS - 1))) >> DELTA_BITS)
    return min(max(v, -32768), 32767)


@compiled
def _table_numbers(totals, unit, offset, runs, out):
    """``clamp((rne(total unit) + offset + 2^(INDEX_BITS - 1)) >> INDEX_BITS, 0, SCALES - 1)``."""
    n = offset.size
    for p in range(totals.shape[0]):
        for first, last, at in runs:
            t, u, o = totals[p, n + first : n + last], unit[n + first : n + last], offset[first:last]
            number = out[p, at : at + last - first]
            for i in range(number.size):
                v = np.float64(np.rint(t[i] * u[i])) + o[i] + (1 << (INDEX_BITS - 1))
                v = np.floor(v * (1.0 / (1 << INDEX_BITS)))
                v = v if v > 0.0 else 0.0
                number[i] = np.uint8(np.int32(v if v < SCALES - 1.0 else SCALES - 1.0))


@compiled
def _normalised(y, totals, unit, step, runs, out):
    """``(y - mean) / step`` of some channels."""
    for p in range(y.shape[0]):
        for first, last, at in runs:
            t, u, e = totals[p, first:last], unit[first:last], step[first:last]
            source, target = y[p, first:last], out[p, at : at + last - first]
            for i in range(target.size):
                offset = (np.float64(source[i]) - np.float64(np.rint(t[i] * u[i]))) * (1 << DELTA_BITS)
                target[i] = np.divide(offset, e[i])  # The operator would look for zeros first, which no step is.


@compiled
def _dequantise(multiples, numbers, totals, unit, step, levels, runs, y_hat):
    """``clamp16(mean + ((multiple step level + 2^(DELTA_BITS + LEVEL_BITS - 1)) >> (DELTA_BITS + LEVEL_BITS)))``.

    In float64, where all of it is exact: below 2^52.
    """
    half = 1 << (DELTA_BITS + LEVEL_BITS - 1)
    for p in range(totals.shape[0]):
        for first, last, at in runs:
            t, u, d = totals[p, first:last], unit[first:last], step[first:last]
            target, multiple = y_hat[p, first:last], multiples[p, at : at + last - first]
            number = numbers[p, at : at + last - first]
            for i in range(multiple.size):
                v = np.floor((np.float64(multiple[i]) * d[i] * levels[number[i]] + half) * (0.5 / half))
                v += np.float64(np.rint(t[i] * u[i]))
                v = v if v > -32768.0 else -32768.0
                target[i] = np.int16(np.int32(v if v < 32767.0 else 32767.0))


@compiled
def _context(y_hat, totals, unit, p, c, cols, weights):
    """The mean of coarse latent `c` at position `p` plus ``(sum w (y_hat - mean) + 2^(CONTEXT_BITS - 1)) >> CONTEXT_BITS``."""
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


def _runs(channels: np.ndarray) -> np.ndarray:
    """Ascending channels as runs of neighbours, int64 ``(runs, 3)``: first, behind the last, and where the run starts
    among them. Loops over neighbours in memory are vectorised, loops over an array of indices are not."""
    starts = np.flatnonzero(np.diff(channels, prepend=-2) != 1)
    lengths = np.diff(starts, append=len(channels))
    return np.stack([channels[starts], channels[starts] + lengths, starts], axis=1)


def table_numbers(totals: np.ndarray, rates: Rates, channels: np.ndarray) -> np.ndarray:
    """Entropy table uint8 ``(positions, len(channels))`` of sums float32 ``(positions, 2 channels)``."""
    out = np.empty((len(totals), len(channels)), np.uint8)
    _table_numbers(totals, rates.unit, rates.offset.astype(np.float64), _runs(channels), out)
    return out


def normalised(y: np.ndarray, totals: np.ndarray, rates: Rates, channels: np.ndarray) -> np.ndarray:
    """Latents int16 ``(positions, channels)`` less their means, in steps: float64 ``(positions, len(channels))``."""
    out = np.empty((len(y), len(channels)))
    _normalised(y, totals, rates.unit, rates.step.astype(np.float64), _runs(channels), out)
    return out


def dequantise(multiples: np.ndarray, numbers: np.ndarray, totals: np.ndarray, rates: Rates, model: IntegerModel,
               y_hat: np.ndarray) -> None:
    """Fill the detail channels of `y_hat` int16 ``(positions, channels)``.

    `multiples` int32 and `numbers` uint8 ``(positions, detail channels)``: of the level of a table, and the table. A table
    has a level of its own because the middle of what is rounded to a symbol depends on how the latents are spread.
    """
    levels = model.levels.astype(np.float64)
    _dequantise(multiples, numbers, totals, rates.unit, rates.step.astype(np.float64), levels, _runs(model.detail_channels),
                y_hat)


def quantise_coarse(y: np.ndarray, totals: np.ndarray, encode: Rates, decode: Rates, model: IntegerModel, cols: int,
                    y_hat: np.ndarray) -> np.ndarray:
    """As `quantise`, of the coarse channels of a tile of `cols` latent columns, with prediction from their neighbours."""
    symbols = np.empty((len(y), len(model.coarse_channels)), np.int32)
    _quantise_coarse(y, totals, encode.unit, encode.step, decode.step, model.coarse_channels, cols, model.context_weights,
                     symbols, y_hat)
    return symbols


def coarse_rates(model: IntegerModel, quality: int) -> Rates:
    """`rates_of` for the decoder, of the coarse channels alone, as if there were no others."""
    rates, channels = rates_of(model, quality, False), model.coarse_channels
    return Rates(rates.unit[model.coarse_outputs], rates.offset[channels], rates.step[channels])


def dequantise_coarse(symbols: np.ndarray, totals: np.ndarray, rates: Rates, model: IntegerModel, cols: int,
                      y_hat: np.ndarray) -> None:
    """As `dequantise`, of the coarse channels of a tile of `cols` latent columns."""
    _dequantise_coarse(symbols, totals, rates.unit, rates.step, model.coarse_channels, cols, model.context_weights, y_hat)


def dequantise_coarse_alone(symbols: np.ndarray, totals: np.ndarray, rates: Rates, model: IntegerModel,
                            cols: int) -> np.ndarray:
    """As `dequantise_coarse`, where there are no other channels: int16 ``(positions, coarse channels)``."""
    y_hat = np.empty(symbols.shape, np.int16)
    channels = np.arange(symbols.shape[1])
    _dequantise_coarse(symbols, totals, rates.unit, rates.step, channels, cols, model.context_weights, y_hat)
    return y_hat
