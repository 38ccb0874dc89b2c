"""Interleaved rANS over integer tables (Duda 2014, arXiv:1311.2540; interleaving: Giesen 2014, arXiv:1402.3392).

A stream is a sequence of 16-bit words. Symbol number i belongs to lane ``i mod lanes`` (a power of two); each lane has a 32-bit state in
``[2^16, 2^32)``. The stream starts with a byte that holds the binary logarithm of the number of lanes (2 to 5) and the
states of all lanes (32 bits each, little-endian); whenever a state falls under 2^16 the
decoder appends one word. A decoder that has read every symbol has every state at 2^16 and no word left, which is checked.
Symbols beyond a table's reach are an escape there and an Exp-Golomb code (order 2) in a bit string of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import SarzFormatError
from .jit import compiled
from .model import SYMBOL_LIMIT, Tables
from .trellis import multiple_of, next_state, quantiser_shift

PRECISION = 12
LOWER = 1 << 16
ESCAPE_ORDER = 2
MAX_LANES, MIN_LANES = 32, 4
NO_TRELLIS = 256
"""Beyond every table number."""

LANE_SHARE = 64
"""A stream has as many lanes as keep their states (four bytes each) under 1/64 of its words, within the limits above."""

OK, OUT_OF_WORDS, OUT_OF_BITS, TOO_LARGE = 0, 1, 2, 3
REASONS = {OUT_OF_WORDS: "the rANS stream ends early", OUT_OF_BITS: "the escape bits end early",
           TOO_LARGE: "an escaped symbol is out of range"}


@dataclass(frozen=True, slots=True)
class DecodingTables:
    """`Tables` with the inverse: ``lookup`` uint8 (tables, 4096), symbol index by slot."""

    cdf: np.ndarray
    reach: np.ndarray
    lookup: np.ndarray


def decoding_tables(tables: Tables) -> DecodingTables:
    """Build the look-up of every table."""
    symbols = np.arange(257)
    counts = np.diff(tables.cdf, axis=1)
    lookup = np.stack([np.repeat(symbols, row) for row in counts]).astype(np.uint8)
    return DecodingTables(tables.cdf, tables.reach, lookup)


@compiled
def _put_escapes(symbols, tables, reach, bits):
    """Write the escaped symbols' codes into `bits` (one byte a bit); return how many bits."""
    n = 0
    for i in range(symbols.size):
        r = np.int64(reach[tables[i]])
        k = np.int64(symbols[i])
        if -r <= k <= r:
            continue
        value = (2 * (abs(k) - r - 1) + (1 if k < 0 else 0)) + (1 << ESCAPE_ORDER)
        length = 0
        while (value >> (length + 1)) > 0:
            length += 1
        for _ in range(length - ESCAPE_ORDER):
            if n < bits.size:
                bits[n] = 0
            n += 1
        for b in range(length, -1, -1):
            if n < bits.size:
                bits[n] = (value >> b) & 1
            n += 1
    return n


@compiled
def _encode(symbols, tables, cdf, reach, states, words):
    """Code all symbols, last first; fill `words` from its end; return the position of the first word."""
    lanes = states.size - 1
    position = words.size
    for j in range(states.size):
        states[j] = LOWER
    for i in range(symbols.size - 1, -1, -1):
        t = tables[i]
        r = np.int64(reach[t])
        k = np.int64(symbols[i])
        s = k + r if -r <= k <= r else 2 * r + 1
        start = np.uint64(cdf[t, s])
        count = np.uint64(cdf[t, s + 1]) - start
        x = states[i & lanes]
        if x >= count << np.uint64(32 - PRECISION):
            position -= 1
            words[position] = x & np.uint64(0xFFFF)
            x >>= np.uint64(16)
        q = np.uint64(np.uint32(x) // np.uint32(count))  # Many CPUs divide 32 bits much faster than 64.
        states[i & lanes] = (q << np.uint64(PRECISION)) + (x - q * count) + start
    return position


@compiled
def _escaped(r, position, bits, bit):
    """Read one escaped symbol of a table of reach `r`; return ``(status, symbol, words read, bits read)``."""
    zeros = 0
    while bit < bits.size and bits[bit] == 0:
        zeros += 1
        bit += 1
    if zeros > 16:
        return TOO_LARGE, 0, position, bit
    if bit + zeros + ESCAPE_ORDER + 1 > bits.size:
        return OUT_OF_BITS, 0, position, bit
    value = 0
    for _ in range(zeros + ESCAPE_ORDER + 1):
        value = (value << 1) | np.int64(bits[bit])
        bit += 1
    value -= 1 << ESCAPE_ORDER
    magnitude = (value >> 1) + r + 1
    if magnitude > SYMBOL_LIMIT:
        return TOO_LARGE, 0, position, bit
    return OK, np.int32(-magnitude if value & 1 else magnitude), position, bit


@compiled
def _decode(words, states, position, first, tables, cdf, reach, lookup, bits, bit, trellis_from, shift, trellis, out):
    """Decode `out.size` symbols, the first of number `first`; return ``(status, words read, bits read)``.

    Symbols of tables from `trellis_from` on are in the trellis, and come out as multiples of a level; `trellis` are its
    states, of which symbols take turns.
    """
    lanes = states.size - 1
    mask = np.uint32((1 << PRECISION) - 1)
    for i in range(out.size):
        lane = (first + i) & lanes
        t = np.int64(tables[i])
        inside = t >= trellis_from
        state = np.int64(trellis[i & (trellis.size - 1)])
        if inside:
            t += shift * (state & 1)
        x = states[lane]
        slot = x & mask
        s = lookup[t, slot]
        start = cdf[t, s]
        x = np.uint32(cdf[t, s + 1] - start) * (x >> np.uint32(PRECISION)) + slot - np.uint32(start)
        if x < np.uint32(LOWER):
            if position >= words.size:
                return OUT_OF_WORDS, position, bit
            x = (x << np.uint32(16)) | np.uint32(words[position])
            position += 1
        states[lane] = x
        r = np.int32(reach[t])
        k = np.int32(s) - r
        if k > r:  # A call here keeps the loop small: escapes are rare.
            status, k, position, bit = _escaped(r, position, bits, bit)
            if status != OK:
                return status, position, bit
        if inside:
            trellis[i & (trellis.size - 1)] = next_state(state, k)
            k = np.int32(multiple_of(k, state & 1))
        out[i] = k
    return OK, position, bit


def encode(symbols: np.ndarray, tables: np.ndarray, model: Tables) -> tuple[bytes, bytes]:
    """Code int32 symbols with a uint8 table number each; return the rANS stream and the escape bits as bytes."""
    bits = np.empty(64 + symbols.size // 16, np.uint8)
    count = _put_escapes(symbols, tables, model.reach, bits)
    if count > bits.size:
        bits = np.empty(count, np.uint8)
        _put_escapes(symbols, tables, model.reach, bits)
    stream = _encode_words(symbols, tables, model, MAX_LANES)
    lanes = lanes_for(len(stream) - 4 * MAX_LANES - 1)
    if lanes != MAX_LANES:
        stream = _encode_words(symbols, tables, model, lanes)
    return stream, np.packbits(bits[:count]).tobytes()


def lanes_for(word_bytes: int) -> int:
    """Lanes of a stream whose words take so many bytes with `MAX_LANES` lanes."""
    lanes = MAX_LANES
    while lanes > MIN_LANES and 4 * lanes * LANE_SHARE > word_bytes:
        lanes //= 2
    return lanes


def _encode_words(symbols: np.ndarray, tables: np.ndarray, model: Tables, lanes: int) -> bytes:
    words = np.empty(symbols.size + 2 * lanes, np.uint16)
    states = np.empty(lanes, np.uint64)
    position = _encode(symbols, tables, model.cdf, model.reach, states, words)
    head = bytes([lanes.bit_length() - 1]) + states.astype("<u4").tobytes()
    return head + words[position:].astype("<u2").tobytes()


class Decoder:
    """Decodes one stream, in as many parts as the caller likes.

    Raises
    ------
    SarzFormatError
        On a stream that ends early, does not end in the initial state, or holds a symbol out of range.
    """

    def __init__(self, stream: bytes, escapes: bytes, tables: DecodingTables) -> None:
        lanes = 1 << stream[0] if stream and stream[0] < 8 else 0
        if not MIN_LANES <= lanes <= MAX_LANES or len(stream) < 1 + 4 * lanes or len(stream) % 2 == 0:
            raise SarzFormatError(f"rANS stream of {len(stream)} bytes: expected a number of lanes, their states and words")
        self._states = np.frombuffer(stream, "<u4", lanes, 1).astype(np.uint32)
        if (self._states < LOWER).any():
            raise SarzFormatError("rANS stream: an initial state is below 2^16")
        self._words = np.frombuffer(stream[1 + 4 * lanes :], "<u2")
        self._bits = np.unpackbits(np.frombuffer(escapes, np.uint8))
        self._tables = tables
        self._position = self._first = self._bit = 0

    def take(self, tables: np.ndarray) -> np.ndarray:
        """The next ``tables.size`` symbols, int32, in the shape of `tables` (uint8 table numbers)."""
        return self._take(tables, NO_TRELLIS, 0, 1)

    def take_multiples(self, tables: np.ndarray, trellis_from: int, paths: int) -> np.ndarray:
        """As `take`, of symbols that are in the trellis where their table is `trellis_from` or later: those come out as
        multiples of a level, and `tables` are those of quantiser 0. They take turns in `paths` (a power of two) states,
        which start at 0."""
        return self._take(tables, trellis_from, quantiser_shift(trellis_from), paths)

    def _take(self, tables: np.ndarray, trellis_from: int, shift: int, paths: int) -> np.ndarray:
        out = np.empty(tables.size, np.int32)
        t = self._tables
        status, self._position, self._bit = _decode(
            self._words, self._states, self._position, self._first, tables.reshape(-1), t.cdf, t.reach, t.lookup,
            self._bits, self._bit, trellis_from, shift, np.zeros(paths, np.uint8), out)
        if status != OK:
            raise SarzFormatError(REASONS[status])
        self._first += out.size
        return out.reshape(tables.shape)

    def finish(self) -> None:
        """Check that the stream is used up exactly."""
        if self._position != self._words.size or (self._states != LOWER).any():
            raise SarzFormatError("the rANS stream does not end where its symbols do")
        if self._bits.size - self._bit >= 8 or self._bits[self._bit :].any():
            raise SarzFormatError("the escape bits do not end where the symbols do")
