"""Tiles in which every VALID pixel is within a bound: a method byte, and a contextual tile of what the method codes.

=========== ============================== ===============================================================
method      for                            a pixel is
=========== ============================== ===============================================================
NUMBERS     integers                       the number itself
FIXED_POINT floats, differences bounded    a number times a power of two
DECIBELS    ratios bounded                 10^(number / 1024 dB), rounded to the dtype
=========== ============================== ===============================================================

The encoder decodes what it made, and leaves out of the tile the pixels that are not within the bound as they come back,
rounded to the dtype; so the bound holds whatever the arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .bound import SLACK, Allowance
from .decibel import FACTORS, linear_numbers
from .errors import SarzFormatError
from .mask import like_nodata

NUMBERS, FIXED_POINT, DECIBELS = range(3)
"""Method bytes."""

LARGEST_CELL = 65535
"""Numbers up to this may be coded by cells, see contextual.cells."""

MOST_LARGE = 0.01
"""A share of larger numbers than that goes by decibels instead."""

UNIT_BITS = 9
"""A step has at least so many bits of fixed point: what rounding it down costs is below 0.003 bits a pixel."""

SMALL, LARGE = 0.001, 0.999
"""Quantiles of magnitudes that units of fixed point suit: those below may be less than one unit, and those above more than
the dtype has bits for."""

LARGEST_LEVEL = 1 << 30
EXPONENTS = -1074, 971
"""Of the unit of fixed point: powers of two that are float64, and that leave room for numbers of 53 bits."""

STEP_LIMIT = 1 << 24
WRITER_SLACK = SLACK / 2
MOST_ROUNDS = 4
"""How often pixels out of the bound are left out and the tile is coded again, before it is given up."""


@dataclass(frozen=True, slots=True)
class BoundedTile:
    """What became of a tile: its bytes, the pixels that they hold, bool, and the values of those, both ``(bands, height,
    width)``."""

    data: bytes
    valid: np.ndarray
    values: np.ndarray


def encode_bounded(values: np.ndarray, valid: np.ndarray, allowance: Allowance,
                   nodata: list[float | int | None]) -> BoundedTile | None:
    """Code the pixels of a tile that can be kept within a bound.

    Parameters
    ----------
    values
        ``(bands, height, width)`` of any real dtype.
    valid
        bool of the same shape: pixels to code; all are `Allowance.codable` and none is nodata.
    nodata
        One a band: no pixel is decoded to what is like it, nor to 0.

    Returns
    -------
    BoundedTile, or None if no pixel can be coded, or not in a few rounds.
    """
    method = _method_of(values, valid, allowance)
    if method is None:
        return None
    kept = valid & method.takes(values, valid)
    for _ in range(MOST_ROUNDS):
        if not kept.any():
            return None
        data = method.encode(values, kept)
        decoded = decode_bounded(data, kept, values.dtype, allowance)
        good = allowance.within(values, decoded, WRITER_SLACK) & (decoded != 0)
        for band, fill in enumerate(nodata):
            good[band] &= ~like_nodata(decoded[band], fill)
        if good[kept].all():
            return BoundedTile(data, kept, decoded)
        kept = kept & good
    return None


def decode_bounded(data: bytes, valid: np.ndarray, dtype: np.dtype, allowance: Allowance) -> np.ndarray:
    """Values ``(bands, height, width)``; those of pixels that are not `valid` mean nothing.

    Raises SarzFormatError on damaged data, and where numbers lie further apart than the bound allows.
    """
    if not data:
        raise SarzFormatError("bounded tile: no bytes, expected a method and what it coded")
    method = _method(data[0], dtype, allowance)
    return method.decode(data[1:], valid)


def _method(number: int, dtype: np.dtype, allowance: Allowance) -> _Method:
    usable = {}
    if dtype.kind in "iu":
        usable[NUMBERS] = _Numbers
    elif not allowance.ratio:
        usable[FIXED_POINT] = _FixedPoint
    if allowance.ratio:
        usable[DECIBELS] = _Decibels
    if number not in usable:
        kind = "ratios" if allowance.ratio else "differences"
        raise SarzFormatError(f"bounded tile: method {number}, expected {' or '.join(map(str, usable))} for bounded {kind} "
                              f"of {dtype}")
    return usable[number](dtype, allowance)


def _method_of(values: np.ndarray, valid: np.ndarray, allowance: Allowance) -> _Method | None:
    """The method for a tile with the pixels `valid`; None if the bound is finer than the dtype."""
    dtype = values.dtype
    if dtype.kind == "f":
        return _Decibels(dtype, allowance) if allowance.ratio else _FixedPoint.fitting(values[valid], dtype, allowance)
    if not allowance.ratio:
        return _Numbers(dtype, allowance) if whole_bound(allowance) else None
    large = np.count_nonzero(values[valid] > LARGEST_CELL)
    return (_Decibels if large > MOST_LARGE * np.count_nonzero(valid) else _Numbers)(dtype, allowance)


def whole_bound(allowance: Allowance) -> int:
    """The bound on the difference of stored integers; 0 if it is below one of them."""
    return int(min(allowance.difference * (1 + WRITER_SLACK), STEP_LIMIT // 2 - 1))


@dataclass(frozen=True, slots=True)
class _Method:
    dtype: np.dtype
    allowance: Allowance

    def takes(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Which pixels it can code, bool."""
        raise NotImplementedError

    def encode(self, values: np.ndarray, valid: np.ndarray) -> bytes:
        """Code valid pixels, all of them such that it takes them; the method byte goes first."""
        raise NotImplementedError

    def decode(self, data: bytes, valid: np.ndarray) -> np.ndarray:
        """Inverse of `encode`, of what follows the method byte."""
        raise NotImplementedError


class _Numbers(_Method):
    """Integers as they are: in cells where ratios are bounded, in steps where differences are."""

    def takes(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        if self.allowance.ratio:
            return values <= LARGEST_CELL
        return np.ones(values.shape, bool) if self.dtype.itemsize <= 4 else _in_int32(values)

    def encode(self, values: np.ndarray, valid: np.ndarray) -> bytes:
        from .contextual import encode_amplitudes, encode_integers  # numba is imported where it is needed

        numbers = np.where(valid, values, self.dtype.type(1))
        if self.dtype.itemsize > 4:
            numbers = numbers.astype(np.int32)
        if self.allowance.ratio:
            # The coder's decibels are those of amplitude.
            data, _ = encode_amplitudes(numbers, self.allowance.value * 20 / FACTORS[self.allowance.scale], valid)
        else:
            data, _ = encode_integers(numbers, whole_bound(self.allowance), valid)
        return bytes([NUMBERS]) + data

    def decode(self, data: bytes, valid: np.ndarray) -> np.ndarray:
        from .contextual import decode_integers, lattice_of

        lattice = lattice_of(data)
        if bool(lattice.step) == self.allowance.ratio:
            raise SarzFormatError(f"bounded tile: numbers in {'steps' if lattice.step else 'cells'}, expected "
                                  f"{'cells' if self.allowance.ratio else 'steps'}")
        if lattice.step:
            _check(lattice.step // 2 * self.allowance.gain, self.allowance)
        else:
            _check(FACTORS[self.allowance.scale] * math.log10(lattice.ratio / 2**32), self.allowance)
        return decode_integers(data, valid.shape, self.dtype, valid)


@dataclass(frozen=True, slots=True)
class _FixedPoint(_Method):
    """Floats in units of two to the power of `exponent`, with which the bytes begin (i16)."""

    exponent: int = 0

    @classmethod
    def fitting(cls, values: np.ndarray, dtype: np.dtype, allowance: Allowance) -> _FixedPoint | None:
        """The one for some values (1-D); None if their dtype has no numbers so close to each other.

        Units are as fine as `UNIT_BITS` asks for; finer where the bound is large beside the values, which must not become 0;
        and coarser where values would not be whole numbers of them that the dtype can hold.
        """
        if not values.size:
            return None
        magnitudes = np.abs(values.astype(np.float64))
        small, large = np.quantile(magnitudes, (SMALL, LARGE), method="lower").tolist()
        most_bits = min(np.finfo(dtype).nmant + 1, LARGEST_LEVEL.bit_length() - 1)
        step = _exponent(min(2 * allowance.difference, float(np.finfo(np.float64).max)))
        exponent = max(min(step - UNIT_BITS, _exponent(small)), _exponent(large) + 1 - most_bits, EXPONENTS[0])
        if exponent > min(step, EXPONENTS[1]):
            return None
        return cls(dtype, allowance, exponent)

    def takes(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        magnitudes = np.abs(self._targets(values, valid))
        return (magnitudes >= 1) & (magnitudes < LARGEST_LEVEL)

    def encode(self, values: np.ndarray, valid: np.ndarray) -> bytes:
        from .contextual import encode_fixed_point

        step = min(2 * self.allowance.difference / 2.0**self.exponent, float(STEP_LIMIT))
        data, _ = encode_fixed_point(self._targets(values, valid), max(int(step), 1), valid)
        return bytes([FIXED_POINT]) + self.exponent.to_bytes(2, "little", signed=True) + data

    def _targets(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.ldexp(np.where(valid, values, 1).astype(np.float64), -self.exponent)

    def decode(self, data: bytes, valid: np.ndarray) -> np.ndarray:
        from .contextual import decode_fixed_point, lattice_of

        exponent, data = int.from_bytes(data[:2], "little", signed=True), data[2:]
        if not EXPONENTS[0] <= exponent <= EXPONENTS[1]:
            raise SarzFormatError(f"bounded tile: unit 2^{exponent}, expected exponents {EXPONENTS[0]} to {EXPONENTS[1]}")
        _check(lattice_of(data).step / 2 * 2.0**exponent * self.allowance.gain, self.allowance)
        numbers = decode_fixed_point(data, valid.shape, valid)
        with np.errstate(over="ignore", under="ignore"):
            return (numbers.astype(np.float64) * 2.0**exponent).astype(self.dtype)


class _Decibels(_Method):
    """Positive numbers by their decibels, in steps of 1/1024."""

    def takes(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        if self.dtype.kind == "f":
            return np.ones(values.shape, bool)
        # Rounded to whole numbers, what is nearest in decibels may be out of the bound.
        from .contextual import STEPS_PER_DB

        levels = np.rint(self._decibels(values, valid) * STEPS_PER_DB).astype(np.int64)
        return self.allowance.within(values, self._values(levels), WRITER_SLACK)

    def encode(self, values: np.ndarray, valid: np.ndarray) -> bytes:
        from .contextual import STEPS_PER_DB, encode_fixed_point, step_of_decibels

        step = step_of_decibels(self.allowance.value)
        return bytes([DECIBELS]) + encode_fixed_point(self._decibels(values, valid) * STEPS_PER_DB, step, valid)[0]

    def decode(self, data: bytes, valid: np.ndarray) -> np.ndarray:
        from .contextual import STEPS_PER_DB, decode_fixed_point, lattice_of

        _check(lattice_of(data).step / 2 / STEPS_PER_DB, self.allowance)
        return self._values(decode_fixed_point(data, valid.shape, valid))

    def _decibels(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return FACTORS[self.allowance.scale] * np.log10(np.where(valid, values, 1).astype(np.float64))

    def _values(self, levels: np.ndarray) -> np.ndarray:
        lowest, highest = int(levels.min()), int(levels.max())
        if highest - lowest < levels.size:
            return self._of(np.arange(lowest, highest + 1))[levels - lowest]
        return self._of(levels)

    def _of(self, levels: np.ndarray) -> np.ndarray:
        from .contextual import STEPS_PER_DB

        numbers = linear_numbers(self.allowance.scale, levels, STEPS_PER_DB)
        if self.dtype.kind == "f":
            with np.errstate(over="ignore", under="ignore"):
                return numbers.astype(self.dtype)
        highest = np.iinfo(self.dtype).max
        rounded, out = np.rint(numbers), np.full(levels.shape, highest, self.dtype)
        inside = rounded < float(highest)
        out[inside] = rounded[inside].astype(self.dtype)
        return out


def _check(half_step: float, allowance: Allowance) -> None:
    """Refuse numbers so far apart that some between them are out of the bound."""
    if not half_step <= allowance.value * (1 + SLACK):
        raise SarzFormatError(f"bounded tile: numbers are {half_step:g} from the middle between them, more than the bound of "
                              f"{allowance.value:g}")


def _exponent(value: float) -> int:
    """The largest e with 2^e <= value, which is positive."""
    return math.frexp(value)[1] - 1


def _in_int32(values: np.ndarray) -> np.ndarray:
    limits = np.iinfo(np.int32)
    return (values <= limits.max) & (values >= max(limits.min, np.iinfo(values.dtype).min))
