"""Coarse latents: predicted from neighbours decoded before them, and quantised by the trellis.

A coarse latent (low frequency) is predicted from what four neighbours (left, above, above left, above right, within the
tile) turned out to be beyond their means. So what a symbol stands for depends on the symbols before it, and the encoder's
search carries that along: every state has the latents of the path that leads to it (per-survivor processing, Raheli et al.
1995, doi:10.1109/26.380054). A channel is a path of its own, through the positions of the tile in raster order.
"""

from __future__ import annotations

import numpy as np

from .jit import compiled
from .latents import Rates
from .model import CONTEXT_BITS, DELTA_BITS, LEVEL_BITS, SYMBOL_LIMIT, IntegerModel
from .trellis import BITS_WEIGHT, STATES, below_magnitude, multiple_of, next_state, quantiser_shift, symbol_cost

@compiled
def _step_of(multiple, step, level):
    """``(multiple step level + 2^(DELTA_BITS + LEVEL_BITS - 1)) >> (DELTA_BITS + LEVEL_BITS)``."""
    return (multiple * step * level + (1 << (DELTA_BITS + LEVEL_BITS - 1))) >> (DELTA_BITS + LEVEL_BITS)


@compiled
def _clamp16(v):
    return min(max(v, -32768), 32767)


@compiled
def _context(left, above, col, row, weights):
    """What neighbours add to the mean: ``left`` is a residual, ``above`` those of the row above."""
    total = np.int64(1 << (CONTEXT_BITS - 1))
    if col > 0:
        total += weights[0] * left
    if row > 0:
        total += weights[1] * above[col]
        if col > 0:
            total += weights[2] * above[col - 1]
        if col + 1 < above.size:
            total += weights[3] * above[col + 1]
    return total >> CONTEXT_BITS


@compiled
def _search(y, mean, numbers, first_table, shift, level, levels, bits, weight, steps, weights,
            symbols, residuals, before):
    """Best path of one channel; fill int16 `symbols`, int32 `residuals` and uint8 `before` ``(positions, STATES)``.

    ``before`` is the state that each state was reached from. Returned is the cost of every last state.
    """
    rows, cols = y.shape
    costs, reached = np.full(STATES, np.inf), np.empty(STATES)
    costs[0] = 0.0
    root, new_root = np.zeros(STATES, np.uint8), np.zeros(STATES, np.uint8)
    above, line = np.zeros((STATES, cols), np.int64), np.zeros((STATES, cols), np.int64)
    unit = (1 << DELTA_BITS) / steps[0]
    for p in range(rows * cols):
        row, col = p // cols, p % cols
        number, m = np.int64(numbers[row, col]), np.int64(mean[row, col])
        inside = number >= first_table
        reached[:] = np.inf
        for s in range(STATES):
            if costs[s] == np.inf:
                continue
            left = np.int64(residuals[p - 1, s]) if col > 0 else 0
            predicted = m + _context(left, above[root[s]], col, row, weights)
            t = (np.float64(y[row, col]) - predicted) * unit
            q = s & 1 if inside else 0
            table = number + q * shift
            v, sign = abs(t), (-1 if t < 0 else 1)
            scale = level if inside else 1.0
            nearest = below_magnitude(v / level, q) if inside else np.int64(min(np.rint(v), SYMBOL_LIMIT))
            for choice in range(3 if inside else 1):
                k = nearest + choice if choice < 2 else 0
                if choice == 2 and nearest == 0:
                    continue
                multiple = multiple_of(k, q) if inside else k
                d = v - multiple * scale
                cost = costs[s] + d * d + weight * symbol_cost(bits, table, k)
                to = next_state(s, k) if inside else s
                if cost < reached[to]:
                    reached[to] = cost
                    before[p, to], symbols[p, to], new_root[to] = s, sign * k, root[s]
                    moved = predicted + _step_of(sign * multiple, steps[1], levels[number])
                    residuals[p, to] = _clamp16(moved) - m
        costs[:] = reached
        root[:] = new_root
        if col == cols - 1:
            _fold(p, cols, costs, before, residuals, line)
            above, line = line, above
            for s in range(STATES):
                root[s] = s
    return costs


@compiled
def _fold(p, cols, costs, before, residuals, line):
    """Residuals of the row that ends at position `p`, by the state that a path through it ends in."""
    for s in range(STATES):
        if costs[s] < np.inf:
            state = s
            for back in range(cols):
                line[s, cols - 1 - back] = residuals[p - back, state]
                state = before[p - back, state]


@compiled
def _quantise(y, means, numbers, first_table, shift, level, levels, bits, weight, steps, weights,
              symbols, moved, y_hat):
    """All channels, ``(channels, rows, cols)``: fill symbols and y_hat, and move numbers to the tables of their quantisers."""
    channels, rows, cols = y.shape
    positions = rows * cols
    tried = np.empty((positions, STATES), np.int32)
    residuals, before = np.empty((positions, STATES), np.int32), np.empty((positions, STATES), np.uint8)
    for c in range(channels):
        costs = _search(y[c], means[c], numbers[c], first_table, shift, level, levels, bits, weight, steps[c], weights[c],
                        tried, residuals, before)
        s = np.int64(np.argmin(costs))
        for p in range(positions - 1, -1, -1):
            row, col = p // cols, p % cols
            symbols[c, row, col] = tried[p, s]
            y_hat[c, row, col] = means[c, row, col] + residuals[p, s]
            s = np.int64(before[p, s])
            if numbers[c, row, col] >= first_table:
                moved[c, row, col] = numbers[c, row, col] + np.uint8((s & 1) * shift)
            else:
                moved[c, row, col] = numbers[c, row, col]


@compiled
def _dequantise(multiples, numbers, means, levels, steps, weights, y_hat):
    channels, rows, cols = means.shape
    line, above = np.zeros(cols, np.int64), np.zeros(cols, np.int64)
    for c in range(channels):
        for row in range(rows):
            left = np.int64(0)
            for col in range(cols):
                m = np.int64(means[c, row, col])
                predicted = m + _context(left, above, col, row, weights[c])
                moved = _step_of(np.int64(multiples[c, row, col]), steps[c], levels[numbers[c, row, col]])
                left = _clamp16(predicted + moved) - m
                line[col] = left
                y_hat[c, row, col] = m + left
            above, line = line, above


def _planes(values: np.ndarray, cols: int) -> np.ndarray:
    """``(positions, channels)`` as ``(channels, rows, cols)``."""
    return np.ascontiguousarray(values.T).reshape(values.shape[1], -1, cols)


def _positions(planes: np.ndarray) -> np.ndarray:
    """Inverse of `_planes`."""
    return np.ascontiguousarray(planes.reshape(len(planes), -1).T)


def _means(totals: np.ndarray, rates: Rates, channels: np.ndarray, cols: int) -> np.ndarray:
    return _planes(np.rint(totals[:, channels] * rates.unit[channels]).astype(np.int32), cols)


def quantise_coarse(y: np.ndarray, totals: np.ndarray, numbers: np.ndarray, encode: Rates, decode: Rates,
                    model: IntegerModel, cols: int, bits: np.ndarray, y_hat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symbols int32 and tables uint8 ``(positions, coarse channels)`` of a tile of `cols` latent columns.

    Arguments as of `trellis.quantise_trellis`; the coarse channels of `y_hat` int16 ``(positions, channels)`` are filled.
    """
    channels, first = model.coarse_channels, model.trellis_from
    planes, tables = _planes(y[:, channels], cols), _planes(numbers, cols)
    symbols, moved, decoded = np.empty(planes.shape, np.int32), np.empty(planes.shape, np.uint8), np.empty_like(planes)
    steps = np.stack([encode.step[channels], decode.step[channels]], axis=1)
    _quantise(planes, _means(totals, encode, channels, cols), tables, first, quantiser_shift(first),
              model.trellis_level / (1 << LEVEL_BITS), model.levels, bits, BITS_WEIGHT, steps, model.context_weights,
              symbols, moved, decoded)
    y_hat[:, channels] = _positions(decoded)
    return _positions(symbols), _positions(moved)


def dequantise_coarse(multiples: np.ndarray, numbers: np.ndarray, totals: np.ndarray, rates: Rates, model: IntegerModel,
                      cols: int, y_hat: np.ndarray) -> None:
    """Fill the coarse channels of `y_hat` int16 ``(positions, channels)`` of a tile of `cols` latent columns.

    `multiples` int32 and `numbers` uint8 ``(positions, coarse channels)``, as of `latents.dequantise`.
    """
    channels = model.coarse_channels
    means = _means(totals, rates, channels, cols)
    decoded = np.empty(means.shape, np.int16)
    _dequantise(_planes(multiples, cols), _planes(numbers, cols), means, model.levels, rates.step[channels],
                model.context_weights, decoded)
    y_hat[:, channels] = _positions(decoded)
