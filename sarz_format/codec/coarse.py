"""Coarse latents: predicted from neighbours decoded before them, and quantised by the trellis.

A coarse latent (low frequency) is predicted from what four neighbours (left, above, above left, above right, within the
tile) turned out to be beyond their means. So what a symbol stands for depends on the symbols before it, and the encoder's
search carries that along: every state has the latents of the path that leads to it (per-survivor processing, Raheli et al.
1995, doi:10.1109/26.380054). A channel is a path of its own, through the positions of the tile in raster order.
"""

from __future__ import annotations

import numpy as np

from .jit import compiled
from .latents import Rates, rates_of
from .model import CONTEXT_BITS, DELTA_BITS, LEVEL_BITS, SYMBOL_LIMIT, IntegerModel
from .trellis import BITS_WEIGHT, STATES, below_magnitude, multiple_of, next_state, quantiser_shift, symbol_cost

BEAM = 0.25
"""States that cost so many squared steps more than the best one are given up. The search takes an eighth of the time, and
files change by 0.02 %."""


@compiled
def _step_of(multiple, step, level):
    """``(multiple step level + 2^(DELTA_BITS + LEVEL_BITS - 1)) >> (DELTA_BITS + LEVEL_BITS)``."""
    return (multiple * step * level + (1 << (DELTA_BITS + LEVEL_BITS - 1))) >> (DELTA_BITS + LEVEL_BITS)


@compiled
def _clamp16(v):
    return min(max(v, -32768), 32767)


@compiled
def _context(left, above, root, col, row, weights):
    """What neighbours add to the mean: `left` is a residual, and those of the row above are row `root` of `above`."""
    total = np.int64(1 << (CONTEXT_BITS - 1))
    if col > 0:
        total += weights[0] * left
    if row > 0:
        total += weights[1] * above[root, col]
        if col > 0:
            total += weights[2] * above[root, col - 1]
        if col + 1 < above.shape[1]:
            total += weights[3] * above[root, col + 1]
    return total >> CONTEXT_BITS


@compiled
def _tried(t, s, number, shift, level, bits, weight, costs, tried):
    """Best even and odd symbol of state `s` for a value `t`, with its sign: `tried` at ``(s, parity)``, and its `costs`."""
    q, v = s & 1, abs(t)
    row, below, sign = number + q * shift, below_magnitude(v / level, q), (-1 if t < 0 else 1)
    for k in (below, below + 1):
        d = v - multiple_of(k, q) * level
        costs[s, k & 1], tried[s, k & 1] = d * d + weight * symbol_cost(bits, row, k), sign * k
    zero = v * v + weight * bits[row, 0]
    if below > 0 and zero < costs[s, 0]:
        costs[s, 0], tried[s, 0] = zero, 0


@compiled
def _search(y, mean, numbers, first_table, shift, level, levels, bits, weight, steps, weights,
            symbols, residuals, before):
    """Best path of one channel; fill int32 `symbols` and `residuals` and uint8 `before` ``(positions, STATES)``.

    ``before`` is the state that each state was reached from. Returned is the cost of every last state.
    """
    rows, cols = y.shape
    costs, reached = np.full(STATES, np.inf), np.empty(STATES)
    costs[0] = 0.0
    root, new_root = np.zeros(STATES, np.uint8), np.zeros(STATES, np.uint8)
    above, line = np.zeros((STATES, cols), np.int64), np.zeros((STATES, cols), np.int64)
    predicted = np.zeros(STATES, np.int64)
    added, tried = np.empty((STATES, 2)), np.empty((STATES, 2), np.int64)
    unit, decoder_unit = (1 << DELTA_BITS) / steps[0], (1 << DELTA_BITS) / steps[1]
    for p in range(rows * cols):
        row, col = p // cols, p % cols
        number, m = np.int64(numbers[row, col]), np.int64(mean[row, col])
        limit = costs.min() + BEAM
        for s in range(STATES):
            if costs[s] > limit:
                added[s] = np.inf
                continue
            left = np.int64(residuals[p - 1, s]) if col > 0 else 0
            context = _context(left, above, root[s], col, row, weights)
            predicted[s] = m + context
            # The decoder's residuals are the encoder's times the ratio of the steps, and so are their predictions.
            t = np.float64(y[row, col] - m) * unit - context * decoder_unit
            if number >= first_table:
                _tried(t, s, number, shift, level, bits, weight, added, tried)
            else:
                k = np.int64(min(max(np.rint(t), -SYMBOL_LIMIT), SYMBOL_LIMIT))
                added[s, 0], tried[s, 0] = (t - k) ** 2 + weight * symbol_cost(bits, number, abs(k)), k
        for to in range(STATES):
            s, parity = to, 0
            if number >= first_table:
                s, parity = _entered(to, costs, added)
            reached[to] = costs[s] + added[s, parity]
            if reached[to] < np.inf:
                k = tried[s, parity]
                multiple = multiple_of(k, s & 1) if number >= first_table else k
                before[p, to], symbols[p, to], new_root[to] = s, k, root[s]
                residuals[p, to] = _clamp16(predicted[s] + _step_of(multiple, steps[1], levels[number])) - m
        costs[:] = reached
        root[:] = new_root
        if col == cols - 1:
            _fold(p, cols, costs, before, residuals, line)
            above, line = line, above
            for s in range(STATES):
                root[s] = s
    return costs


@compiled
def _entered(to, costs, added):
    """From which state, and by a symbol of which parity, state `to` is reached at the least cost."""
    low, high = to >> 1, (to >> 1) + STATES // 2
    parity = (next_state(low, 0) ^ to) & 1
    if costs[high] + added[high, 1 - parity] < costs[low] + added[low, parity]:
        return high, 1 - parity
    return low, parity


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
    line, above = np.zeros((1, cols), np.int64), np.zeros((1, cols), np.int64)
    for c in range(channels):
        for row in range(rows):
            left = np.int64(0)
            for col in range(cols):
                m = np.int64(means[c, row, col])
                predicted = m + _context(left, above, 0, col, row, weights[c])
                moved = _step_of(np.int64(multiples[c, row, col]), steps[c], levels[numbers[c, row, col]])
                left = _clamp16(predicted + moved) - m
                line[0, col] = left
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
    y_hat[:, channels] = _decoded(multiples, numbers, totals, rates, channels, model, cols)


def coarse_rates(model: IntegerModel, quality: int) -> Rates:
    """`rates_of` for the decoder, of the coarse channels alone, as if there were no others."""
    rates, channels = rates_of(model, quality, False), model.coarse_channels
    return Rates(rates.unit[model.coarse_outputs], rates.offset[channels], rates.step[channels])


def dequantise_coarse_alone(multiples: np.ndarray, numbers: np.ndarray, totals: np.ndarray, rates: Rates,
                            model: IntegerModel, cols: int) -> np.ndarray:
    """As `dequantise_coarse`, where there are no other channels: int16 ``(positions, coarse channels)``."""
    return _decoded(multiples, numbers, totals, rates, np.arange(multiples.shape[1]), model, cols)


def _decoded(multiples: np.ndarray, numbers: np.ndarray, totals: np.ndarray, rates: Rates, channels: np.ndarray,
             model: IntegerModel, cols: int) -> np.ndarray:
    """Coarse latents int16 ``(positions, coarse channels)``, which are those numbers of the channels of totals and rates."""
    means = _means(totals, rates, channels, cols)
    decoded = np.empty(means.shape, np.int16)
    _dequantise(_planes(multiples, cols), _planes(numbers, cols), means, model.levels, rates.step[channels],
                model.context_weights, decoded)
    return _positions(decoded)
