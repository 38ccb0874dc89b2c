"""Adaptive tables of 16 symbols, and the rANS stream of a plane (Duda 2014, arXiv:1311.2540).

A table holds cumulative counts that move towards the symbols seen, fast at first and slower later, as in Daala and AV1
(Han et al. 2021, doi:10.1109/JPROC.2021.3058584). A stream has one 32-bit state in ``[2^16, 2^32)`` and 16-bit words;
it decodes forwards, so its encoder works from a list of *events* backwards. An event is ``start << 16 | count`` of a
coded symbol or ``-(value << 8 | bits)`` of 1 to 16 raw bits.
"""

from __future__ import annotations

import numpy as np

from .loops import compiled, inlined

SYMBOLS, PRECISION, COUNT_BITS = 16, 15, 7
TOTAL = 1 << PRECISION
TOP = (TOTAL - SYMBOLS) << COUNT_BITS
"""The end of the cumulative counts of a table, before each symbol gets the one count that it always has."""

LOWER = 1 << 16
EVENTS_A_PIXEL = 8
"""At most: a repeat, a symbol, the length of an escape, three parts of it, two of the bits beneath."""

CENTRE, ESCAPE = 7, 15
ESCAPE_ORDER, LENGTH_BITS, LONGEST = 2, 5, 33

RATES = np.array([6] * 24 + [7] * 64 + [8] * 128 + [9] * 512 + [10], np.int32)
"""How far a table moves, by how many symbols it has seen: by 1 / 2^rate of the distance."""

LAST_RATE = RATES.size - 1


@inlined
def start_of(tables, k, s):
    """First slot of symbol `s` of table `k`, of `TOTAL`; that of symbol 16 is the end."""
    return np.int64(TOTAL) if s == SYMBOLS else np.int64(tables[k, s] >> COUNT_BITS) + s


@inlined
def find_symbol(tables, k, slot):
    """The symbol of table `k` that has a slot: halving finds it faster than sixteen comparisons, which are not
    vectorised."""
    s = ((tables[k, 8] >> COUNT_BITS) + 8 <= slot) * 8
    s += ((tables[k, s + 4] >> COUNT_BITS) + s + 4 <= slot) * 4
    s += ((tables[k, s + 2] >> COUNT_BITS) + s + 2 <= slot) * 2
    s += ((tables[k, s + 1] >> COUNT_BITS) + s + 1 <= slot) * 1
    return s


@inlined
def adapt(tables, seen, k, s):
    """Move table `k` towards symbol `s`."""
    count = seen[k]
    # A shift that is known to be short and a loop whose length is not known are what it takes for vector instructions.
    rate = np.int32(np.int64(RATES[count]) & 15)
    seen[k] = min(count + 1, LAST_RATE)
    row = tables[k]
    for j in range(row.size):
        goal = np.int32(TOP) if j > s else np.int32(0)
        row[j] += np.int32(goal - row[j]) >> rate


@inlined
def put_symbol(events, n, tables, seen, k, s):
    """Append a symbol of table `k`; return the number of events."""
    start = start_of(tables, k, s)
    events[n] = start << 16 | (start_of(tables, k, s + 1) - start)
    adapt(tables, seen, k, s)
    return n + 1


@compiled
def put_bits(events, n, value, bits):
    """Append a number of so many bits (0: nothing), in parts of 16 from the lowest bit, the highest part first."""
    while bits > 0:
        low = (bits - 1) & ~15
        events[n] = -((value >> low) << 8 | (bits - low))
        value &= (1 << low) - 1
        bits = low
        n += 1
    return n


@compiled
def put_escape(events, n, h):
    """Append what follows the escape of `h` < -7 or > 7: Exp-Golomb of order 2, its length in five bits."""
    value = (2 * (h - 8) if h > 0 else 2 * (-h - 8) + 1) + (1 << ESCAPE_ORDER)
    length = ESCAPE_ORDER
    while value >> (length + 1):
        length += 1
    n = put_bits(events, n, length - ESCAPE_ORDER, LENGTH_BITS)
    return put_bits(events, n, value - (1 << length), length)


@compiled
def write_stream(events, count, words):
    """Code events, last first; fill uint16 `words` from its end; return ``(state, position of the first word)``."""
    x = np.uint64(LOWER)
    position = words.size
    for i in range(count - 1, -1, -1):
        event = np.int64(events[i])
        if event < 0:
            bits, value = np.uint64(-event & 255), np.uint64(-event >> 8)
            if x >> (np.uint64(32) - bits):
                position -= 1
                words[position] = x & np.uint64(0xFFFF)
                x >>= np.uint64(16)
            x = x << bits | value
            continue
        start, n = np.uint64(event >> 16), np.uint64(event & 0xFFFF)
        if x >= n << np.uint64(32 - PRECISION):
            position -= 1
            words[position] = x & np.uint64(0xFFFF)
            x >>= np.uint64(16)
        q = np.uint64(np.uint32(x) // np.uint32(n))
        x = (q << np.uint64(PRECISION)) + (x - q * n) + start
    return x, position


@inlined
def refill(x, words, position):
    """Append a word to a state that has become small; past the end of the words nothing but the position moves."""
    if x < LOWER:
        if position < words.size:
            x = x << 16 | np.int64(words[position])
        position += 1
    return x, position


@inlined
def get_symbol(x, words, position, tables, seen, k):
    """``(symbol, state, position)`` of a symbol of table `k`."""
    slot = x & (TOTAL - 1)
    s = find_symbol(tables, k, slot)
    start = start_of(tables, k, s)
    x = (start_of(tables, k, s + 1) - start) * (x >> PRECISION) + slot - start
    x, position = refill(x, words, position)
    adapt(tables, seen, k, s)
    return s, x, position


@compiled
def get_bits(x, words, position, bits):
    """``(number, state, position)`` of a number of so many bits."""
    value = 0
    while bits > 0:
        part = bits - ((bits - 1) & ~15)
        value = value << part | (x & ((1 << part) - 1))
        x, position = refill(x >> part, words, position)
        bits -= part
    return value, x, position


@inlined
def get_few_bits(x, words, position, bits):
    """As `get_bits`, of 0 to 16 bits."""
    value = x & ((1 << bits) - 1)
    x, position = refill(x >> bits, words, position)
    return value, x, position


@compiled
def get_escape(x, words, position):
    """``(h, length, state, position)``; a length above `LONGEST` is read no further."""
    length, x, position = get_bits(x, words, position, LENGTH_BITS)
    length += ESCAPE_ORDER
    if length > LONGEST:
        return 0, length, x, position
    value, x, position = get_bits(x, words, position, length)
    value += (1 << length) - (1 << ESCAPE_ORDER)
    magnitude = (value >> 1) + 8
    return (-magnitude if value & 1 else magnitude), length, x, position
