"""Trellis-coded quantisation of latents: two quantisers, and a state that says which one is next.

A symbol of a table from `IntegerModel.trellis_from` on is *in the trellis*. Quantiser 0 reaches the even multiples of a
level, quantiser 1 the odd ones and zero, so that each is as coarse as an ordinary quantiser of twice the level, but
together they lie twice as densely. Which of them a symbol uses is the lowest bit of a state of three bits, which the
parity of the symbol moves on; the encoder looks for the sequence of symbols that is best as a whole. There are `LANES`
states, for every 32nd symbol of a stream each, so that decoders can work on several at once.

Marcellin and Fischer 1990 (doi:10.1109/26.46532); the eight states are those of JPEG 2000 part 2 (ISO/IEC 15444-2, annex
D), quantisers and tables by state as in VVC's dependent quantisation (Schwarz et al. 2019, doi:10.1109/DCC.2019.00042).
"""

from __future__ import annotations

import numpy as np

from .jit import compiled
from .latents import Rates, normalised
from .model import HYPER_CHANNELS, LEVEL_BITS, SCALES, SYMBOL_LIMIT, IntegerModel, Tables

LANES, STATES = 32, 8
BITS_WEIGHT = 0.03
"""What a bit costs the encoder, in squared steps. The best on validation rasters, and flat: 0.02 to 0.05 differ by 0.3 %
of the bytes. (A uniform quantiser's own trade of bits and error is 0.115, but its networks were trained with that.)"""

REACH = 127
ESCAPE_BITS = 3.0

_ODD = (0, 1, 1, 0, 1, 0, 0, 1)
"""Parity of the bits of a state."""


@compiled
def next_state(state, k):
    """State after symbol `k`: ``((state mod 4) << 1) | (parity of the bits of state xor parity of k)``."""
    return ((state & 3) << 1) | ((k ^ _ODD[state]) & 1)


@compiled
def multiple_of(k, quantiser):
    """The multiple of the level that a symbol stands for."""
    if quantiser == 0:
        return 2 * k
    return 2 * k - (1 if k > 0 else (-1 if k < 0 else 0))


@compiled
def _below(magnitude, quantiser):
    """The largest symbol whose level is not above ``magnitude`` levels."""
    return min(np.int64(np.floor((magnitude + quantiser) * 0.5)), SYMBOL_LIMIT - 1)


@compiled
def _cost(values, row, k):
    """Bits of symbol `k >= 0` in a row of `symbol_bits`."""
    if k <= REACH:
        return values[row, k]
    extra, rest = values[row, REACH + 1], k - REACH
    while rest > 0:
        extra += 2.0
        rest >>= 1
    return extra


@compiled
def _search(t, numbers, first_table, shift, level, bits, weight, decisions, costs):
    """Cheapest way into every state, symbol by symbol.

    `decisions` uint16: bit s says by which of its two predecessors state s was reached, bits 8 and 9 that quantiser 0 or 1
    takes zero for its even symbol. `costs` (LANES, STATES) is left with the costs of the last states.
    """
    costs[:] = np.inf
    costs[:, 0] = 0.0
    metric = np.empty((2, 2))
    reached = np.empty(STATES)
    for i in range(t.size):
        number = np.int64(numbers[i])
        if number < first_table:
            continue
        lane, made = i & (LANES - 1), 0
        v = abs(t[i])
        for q in range(2):
            row = number + q * shift
            below = _below(v / level, q)
            for k in (below, below + 1):
                d = v - multiple_of(k, q) * level
                metric[q, k & 1] = d * d + weight * _cost(bits, row, k)
            if below > 0:
                zero = v * v + weight * bits[row, 0]
                if zero < metric[q, 0]:
                    metric[q, 0] = zero
                    made |= 256 << q
        for s in range(STATES):
            p = s >> 1
            parity = (s & 1) ^ _ODD[p]
            upper = costs[lane, p] + metric[p & 1, parity]
            lower = costs[lane, p + 4] + metric[p & 1, 1 - parity]
            if lower < upper:
                made |= 1 << s
            reached[s] = min(lower, upper)
        for s in range(STATES):
            costs[lane, s] = reached[s]
        decisions[i] = made


@compiled
def _trace(t, numbers, first_table, shift, level, decisions, states, symbols, multiples):
    """Follow the best path back; fill symbols and multiples, and move numbers to the tables of their quantisers."""
    for i in range(t.size - 1, -1, -1):
        if numbers[i] < first_table:
            k = min(max(np.rint(t[i]), -SYMBOL_LIMIT), SYMBOL_LIMIT)
            symbols[i] = multiples[i] = np.int32(k)
            continue
        lane, made = i & (LANES - 1), decisions[i]
        s = states[lane]
        p = (s >> 1) + (4 if (made >> s) & 1 else 0)
        q, parity = p & 1, (s & 1) ^ _ODD[p]
        k = _below(abs(t[i]) / level, q)
        if k & 1 != parity:
            k += 1
        if parity == 0 and (made >> (8 + q)) & 1:
            k = 0
        if t[i] < 0:
            k = -k
        symbols[i], multiples[i] = k, multiple_of(k, q)
        numbers[i] += np.uint8(q * shift)
        states[lane] = p


def quantiser_shift(first_table: int) -> int:
    """How far behind its table for quantiser 0 the table for quantiser 1 is."""
    return SCALES + HYPER_CHANNELS - first_table


def symbol_bits(tables: Tables) -> np.ndarray:
    """Bits of the symbols 0 to `REACH` of every table, and in the last column about what begins an escape beyond that.

    float64 ``(tables, REACH + 2)``, whole multiples of 2^-10, so that the last digit of a logarithm decides nothing.
    """
    counts = np.diff(tables.cdf, axis=1)
    bits = np.empty((len(counts), REACH + 2))
    for row, count, reach in zip(bits, counts, tables.reach.astype(int)):
        inside, escape = -np.log2(count[reach : 2 * reach + 1] / 4096), -np.log2(count[2 * reach + 1] / 4096)
        beyond = np.arange(REACH + 1 - reach)
        row[: reach + 1] = inside
        row[reach + 1 :] = escape + ESCAPE_BITS + 2 * np.floor(np.log2((2 * beyond + 4) / 4))
    return np.rint(bits * 1024) / 1024


def quantise_trellis(y: np.ndarray, totals: np.ndarray, numbers: np.ndarray, encode: Rates, model: IntegerModel,
                     bits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbols and multiples int32, and tables uint8, ``(positions, detail channels)`` of latents int16 ``(positions, channels)``.

    Multiples are what `dequantise` takes: of a level in the trellis, the symbols elsewhere. `numbers` uint8 are the
    tables of quantiser 0; those that are returned are the symbols' own. `bits` are the `symbol_bits` of the model's tables.
    """
    t = normalised(y, totals, encode, model.detail_channels).reshape(-1)
    moved, first = numbers.reshape(-1).copy(), model.trellis_from
    level, shift = model.trellis_level / (1 << LEVEL_BITS), quantiser_shift(first)
    symbols, multiples = np.empty(numbers.shape, np.int32), np.empty(numbers.shape, np.int32)
    decisions, costs = np.empty(t.size, np.uint16), np.empty((LANES, STATES))
    _search(t, moved, first, shift, level, bits, BITS_WEIGHT, decisions, costs)
    states = costs.argmin(axis=1)
    _trace(t, moved, first, shift, level, decisions, states, symbols.reshape(-1), multiples.reshape(-1))
    return symbols, multiples, moved.reshape(numbers.shape)
