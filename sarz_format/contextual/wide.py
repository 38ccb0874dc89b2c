"""Floats of many values, and integers of 64 bits: their top bits as a contextual tile, the bits beneath as they are.

The lowest bits of such numbers are noise, and noise does not compress; what their surroundings tell is in the top 30
bits or so. These are taken in one of two ways::

    ORDERED   the bit pattern as an integer in the order of the values: steps of a ratio, for what has one sign (power)
    FIXED     the value in steps of one size, cut towards zero: for values of both signs, and for decibels

Values far from the others (nodata, NaN, zero) are *apart*: they are told by a mask and deflated, and disturb no
prediction. docs/spec/contextual.md, section 15, describes the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..deflate import deflate, inflate
from ..errors import SarzFormatError
from .lossless import decode_lossless_planes, encode_lossless
from .parameters import Reader, number
from .raw_bits import pack_bits, packed_size, unpack_bits

ORDERED, FIXED = range(2)
"""Forms."""

TOP_BITS = 31
"""At most so many bits of a number go through the contextual coder, one of them the sign."""

NEAR_OCTAVES, LOUD_OCTAVES = 32, 8
"""A float further from the median than this, or so many octaves larger than the median size, is apart."""

NEAR_INTEGER = 1 << 30
COMMON, COMMON_SHARE = 16, 0.01
"""The smallest and the largest value are fill values, and apart, where more numbers than both of these are equal to them.
With so many negative floats that are none, or more than positive ones, the form is FIXED."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A dtype's bits: how many, its kind as numpy has it, and of floats the bits of the mantissa (0 of integers)."""

    width: int
    kind: str
    mantissa: int

    @classmethod
    def of(cls, dtype: np.dtype) -> Layout:
        """The layout of float32, float64, int64 or uint64."""
        return cls(8 * dtype.itemsize, dtype.kind, np.finfo(dtype).nmant if dtype.kind == "f" else 0)

    @property
    def largest_field(self) -> int:
        """The exponent's field of the largest finite floats; the smallest normal ones have 1."""
        return (1 << (self.width - 1 - self.mantissa)) - 2

    def keys(self, bits: np.ndarray, dropped: int) -> np.ndarray:
        """Patterns (uint64) without their lowest bits, as numbers (uint64) in the order of the values."""
        width = self.width - dropped
        bits, top = bits >> np.uint64(dropped), np.uint64(1 << (width - 1))
        if self.kind == "u":
            return bits
        if self.kind == "i":
            return bits ^ top
        return np.where(bits & top, bits ^ np.uint64((1 << width) - 1), bits | top)

    def bits(self, keys: np.ndarray, dropped: int) -> np.ndarray:
        """Inverse of `keys`; the dropped bits are 0."""
        width = self.width - dropped
        top = np.uint64(1 << (width - 1))
        if self.kind == "f":
            keys = np.where(keys & top, keys ^ top, keys ^ np.uint64((1 << width) - 1))
        elif self.kind == "i":
            keys = keys ^ top
        return keys << np.uint64(dropped)


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers taken apart: the bytes that say how; ``near`` bool, of the numbers' shape, which are not apart; of these,
    1-D, ``tops`` int64, the bits beneath uint64 and how many these are, uint8."""

    head: bytes
    near: np.ndarray
    tops: np.ndarray
    low: np.ndarray
    lengths: np.ndarray


def encode_wide(values: np.ndarray) -> bytes:
    """Code ``(bands, height, width)`` of float32, float64, int64 or uint64, every bit exactly."""
    layout = Layout.of(values.dtype)
    bits = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}").astype(np.uint64)
    with np.errstate(invalid="ignore", over="ignore"):  # Signalling NaNs are just NaNs here.
        known = _known(values)
        fixed = layout.kind == "f" and _are_negative(values[known], values.size)
        near = known if fixed else _near_median(values, known)
    split = (_split_fixed if fixed else _split_ordered)(bits, near, layout)
    tops = np.zeros(values.shape, np.int32)
    tops[split.near] = split.tops
    tile = encode_lossless(tops, None if split.near.all() else split.near)
    return b"".join([split.head, _pack_apart(bits, split.near, layout), number(len(tile)), tile,
                     pack_bits(split.low, split.lengths)])


def decode_wide(data: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """Inverse of `encode_wide`; raises SarzFormatError on anything else."""
    layout, source = Layout.of(np.dtype(dtype)), Reader(data)
    form = source.take(1)[0]
    if form > (FIXED if layout.kind == "f" else ORDERED):
        raise SarzFormatError(f"contextual tile: form {form} of wide numbers of {dtype}")
    join = (_join_fixed if form == FIXED else _join_ordered)(source, layout)
    bits = np.empty(shape, np.uint64)
    near = _read_apart(source, bits, layout)
    tile = source.take(source.number(len(data), "the size of the top bits"))
    tops = decode_lossless_planes(tile, shape, np.dtype(np.int32), None if near.all() else near)
    rest = data[source.at :]
    bits[near] = join(tops[near].astype(np.int64), rest)
    return bits.astype(f"u{layout.width // 8}").view(dtype)


def _known(values: np.ndarray) -> np.ndarray:
    """Which numbers (bool) are finite and no fill values."""
    known = np.isfinite(values)
    if known.any():
        finite = values[known]
        for fill in finite.min(), finite.max():
            filled = values == fill
            if _common(np.count_nonzero(filled), values.size):
                known &= ~filled
    return known


def _are_negative(known: np.ndarray, size: int) -> bool:
    """Whether known floats, of `size` numbers in all, are decibels or have both signs."""
    negative = np.count_nonzero(known < 0)
    return _common(negative, size) or negative > np.count_nonzero(known > 0)


def _common(count: int, size: int) -> bool:
    return count > max(COMMON, COMMON_SHARE * size)


def _split_ordered(bits: np.ndarray, near: np.ndarray, layout: Layout) -> Split:
    bits = bits[near]
    dropped = min(_trailing_zeros(bits), layout.width - 1)
    keys = layout.keys(bits, dropped)
    lowest, highest = (int(keys.min()), int(keys.max())) if keys.size else (0, 0)
    base = lowest + (highest - lowest + 1) // 2
    offsets = (keys - np.uint64(base)).view(np.int64)
    below = max((highest - lowest).bit_length() - TOP_BITS, 0)
    low = offsets.view(np.uint64) & np.uint64((1 << below) - 1)
    head = bytes([ORDERED, dropped, below]) + base.to_bytes(8, "little")
    return Split(head, near, offsets >> below, low, np.full(bits.size, below, np.uint8))


def _near_median(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which known numbers (bool) are near the median of integers or of positive floats; of integers all, if a quarter is
    not."""
    if values.dtype.kind == "f":
        known = known & (values > 0)
    if not known.any():
        return known
    middle = _median(values[known])
    if values.dtype.kind == "f":
        lowest, highest = np.ldexp(middle, [-NEAR_OCTAVES, NEAR_OCTAVES])
        return known & (values >= lowest) & (values <= highest)
    limits = np.iinfo(values.dtype)
    lowest, highest = max(int(middle) - NEAR_INTEGER, limits.min), min(int(middle) + NEAR_INTEGER, limits.max)
    near = known & (values >= lowest) & (values <= highest)
    return near if 4 * np.count_nonzero(near) > 3 * np.count_nonzero(known) else known


def _median(values: np.ndarray) -> np.generic:
    """The middle one of at least one value, in their order."""
    return np.partition(values, values.size // 2, axis=None)[values.size // 2]


def _join_ordered(source: Reader, layout: Layout):
    """What makes patterns of top bits and of the bits beneath, by the head of a tile."""
    dropped, below = source.take(2)
    base = int.from_bytes(source.take(8), "little")
    if dropped >= layout.width or below > 64 - TOP_BITS or base >> (layout.width - dropped):
        raise SarzFormatError(f"contextual tile: {dropped} bits dropped, {below} beneath, base {base:#x} of wide numbers")

    def join(tops: np.ndarray, rest: bytes) -> np.ndarray:
        low = _unpack(rest, np.full(tops.size, below, np.uint8))
        keys = np.uint64(base) + ((tops << below).view(np.uint64) | low)
        return layout.bits(keys & np.uint64((1 << (layout.width - dropped)) - 1), dropped)

    return join


def _split_fixed(bits: np.ndarray, near: np.ndarray, layout: Layout) -> Split:
    m, (fields, normal) = layout.mantissa, _fields(bits, layout)
    normal &= near
    top = _top_field(fields[normal])
    dropped = min(_trailing_zeros(bits[normal & (fields <= top)]), m)
    unit = max(top - _octaves(layout, dropped), 1)
    near = normal & (fields <= top) & (fields >= unit)
    bits, octave = bits[near], (fields[near] - unit).astype(np.uint64)
    significand = bits & np.uint64((1 << m) - 1) | np.uint64(1 << m)
    size = (significand >> (np.uint64(m) - octave)).astype(np.int64)
    lengths = np.uint64(m - dropped) - octave
    low = (significand >> np.uint64(dropped)) & ((np.uint64(1) << lengths) - np.uint64(1))
    negative = bits >> np.uint64(layout.width - 1) != 0
    head = bytes([FIXED, dropped]) + unit.to_bytes(2, "little")
    return Split(head, near, np.where(negative, -size, size), low, lengths.astype(np.uint8))


def _top_field(fields: np.ndarray) -> int:
    """The exponent's field of the largest floats that are not apart, from those of normal ones."""
    if not fields.size:
        return 1
    return min(int(fields.max()), int(_median(fields)) + LOUD_OCTAVES)


def _join_fixed(source: Reader, layout: Layout):
    """As `_join_ordered`."""
    m, dropped = layout.mantissa, source.take(1)[0]
    unit = int.from_bytes(source.take(2), "little")
    if dropped > m or not 1 <= unit <= layout.largest_field - _octaves(layout, dropped):
        raise SarzFormatError(f"contextual tile: {dropped} bits dropped, unit {unit} of wide numbers")
    largest = (2 << _octaves(layout, dropped)) - 1

    def join(tops: np.ndarray, rest: bytes) -> np.ndarray:
        size = np.abs(tops)
        if size.size and not 1 <= size.min() <= size.max() <= largest:
            raise SarzFormatError(f"contextual tile: a float of {size.min()} to {size.max()} steps, expected 1 to {largest}")
        octave = np.frexp(size.astype(np.float64))[1].astype(np.int64) - 1
        lengths = (m - dropped - octave).astype(np.uint8)
        low = _unpack(rest, lengths) << np.uint64(dropped)
        significand = size.astype(np.uint64) << (m - octave).astype(np.uint64) | low
        sign = np.where(tops < 0, np.uint64(1 << (layout.width - 1)), np.uint64(0))
        return sign | (octave + unit).astype(np.uint64) << np.uint64(m) | significand & np.uint64((1 << m) - 1)

    return join


def _octaves(layout: Layout, dropped: int) -> int:
    """Octaves above the unit that top bits may span."""
    return min(layout.mantissa - dropped, TOP_BITS - 1)


def _fields(bits: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Fields of exponents (int32), and which floats are normal (bool)."""
    fields = (bits >> np.uint64(layout.mantissa) & np.uint64(layout.largest_field + 1)).astype(np.int32)
    return fields, (fields >= 1) & (fields <= layout.largest_field)


def _trailing_zeros(bits: np.ndarray) -> int:
    """Lowest bits that no number has; 64 of zeros and of nothing."""
    together = int(np.bitwise_or.reduce(bits, axis=None, initial=0)) if bits.size else 0
    return (together & -together).bit_length() - 1 if together else 64


def _pack_apart(bits: np.ndarray, near: np.ndarray, layout: Layout) -> bytes:
    """Which numbers are apart, and their patterns; a 0 if none is."""
    if near.all():
        return number(0)
    mask = deflate(np.packbits(~near).tobytes())
    little = bits[~near].astype(f"<u{layout.width // 8}").view(np.uint8).reshape(-1, layout.width // 8)
    patterns = deflate(little.T.tobytes())
    return b"".join([number(len(mask)), mask, number(len(patterns)), patterns])


def _read_apart(source: Reader, bits: np.ndarray, layout: Layout) -> np.ndarray:
    """Fill in the patterns of numbers that are apart; return which ones are not."""
    size = source.number(len(source.data), "the size of the mask")
    if not size:
        return np.ones(bits.shape, bool)
    raw = inflate(source.take(size), -(-bits.size // 8), "mask of wide numbers")
    flags = np.unpackbits(np.frombuffer(raw, np.uint8))
    if flags[bits.size :].any():
        raise SarzFormatError("contextual tile: the mask of wide numbers has more bits than there are numbers")
    apart = flags[: bits.size].reshape(bits.shape).astype(bool)
    count, width = int(np.count_nonzero(apart)), layout.width // 8
    packed = source.take(source.number(len(source.data), "the size of the numbers apart"))
    planes = np.frombuffer(inflate(packed, count * width, "numbers apart"), np.uint8).reshape(width, count)
    bits[apart] = np.ascontiguousarray(planes.T).view(f"<u{width}")[:, 0] if count else 0
    return ~apart


def _unpack(rest: bytes, lengths: np.ndarray) -> np.ndarray:
    """The bits beneath, which are all the rest of a tile."""
    if len(rest) != packed_size(lengths):
        raise SarzFormatError(f"contextual tile: {len(rest)} bytes of bits beneath, expected {packed_size(lengths)}")
    return unpack_bits(rest, lengths)
