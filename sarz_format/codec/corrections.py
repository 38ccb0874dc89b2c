"""Corrections of decoded pixels, a band of a tile at a time: gains of blocks, and single bright targets.

A pixel becomes ``clamp16(clamp16(pixel + GAIN_STEP gain) + TARGET_STEP target)``, in steps of 1/128 dB. Gains keep the mean power of
blocks of 64 x 64 pixels, which smoothing in decibels lowers; targets keep the peaks of ships and buildings.

As bits, the most significant of a byte first: Rice codes (Rice 1979, JPL 79-22) with a parameter for each of both, then
Exp-Golomb codes of order 0 for numbers whose size is not known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import SarzFormatError
from ..grid import GAIN_BLOCK
from .jit import compiled

GAIN_STEP, TARGET_STEP = 4, 115
"""In 1/128 dB: 1/32 dB and about 0.9 dB."""

LARGEST_GAIN, LARGEST_TARGET = 960, 511
"""In steps: 30 dB, and more than 250 dB, beyond which no pixel is coded."""

LARGEST_RICE = 15
MAX_ZEROS = 30

OK, OUT_OF_BITS, OUT_OF_RANGE = 0, 1, 2
REASONS = {OUT_OF_BITS: "corrections: the bits end early", OUT_OF_RANGE: "corrections: a number is out of range"}


@dataclass(frozen=True, slots=True)
class Corrections:
    """``gains`` int32 (block rows, block columns); ``positions`` int64, rising, in raster order within the tile, and
    ``targets`` int32, not 0, of as many pixels."""

    gains: np.ndarray
    positions: np.ndarray
    targets: np.ndarray

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Corrections:
        """No correction for a tile of ``(height, width)`` pixels."""
        return cls(np.zeros(gain_shape(shape), np.int32), np.empty(0, np.int64), np.empty(0, np.int32))

    @property
    def empty(self) -> bool:
        """Whether nothing is corrected."""
        return not self.positions.size and not self.gains.any()

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return self.gains.nbytes + self.positions.nbytes + self.targets.nbytes


def gain_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of blocks of a tile of ``(height, width)`` pixels."""
    return -(-shape[0] // GAIN_BLOCK), -(-shape[1] // GAIN_BLOCK)


@compiled
def _put(bits, n, value, length):
    for b in range(length - 1, -1, -1):
        bits[n] = (value >> b) & 1
        n += 1
    return n


@compiled
def _put_rice(bits, n, value, k):
    """``value >> k`` ones, a zero, and the `k` lowest bits."""
    for _ in range(value >> k):
        bits[n] = 1
        n += 1
    bits[n] = 0
    return _put(bits, n + 1, value, k)


@compiled
def _put_golomb(bits, n, value):
    """z zeros, then ``value + 1`` as z + 1 bits."""
    length = 0
    while (value + 1) >> (length + 1):
        length += 1
    return _put(bits, _put(bits, n, 0, length), value + 1, length + 1)


@compiled
def _write(gains, gain_k, gaps, targets, gap_k, bits):
    n = 0
    for u in gains:
        n = _put_rice(bits, n, u, gain_k)
    n = _put_golomb(bits, n, gaps.size)
    for i in range(gaps.size):
        n = _put_rice(bits, n, gaps[i], gap_k)
        n = _put(bits, n, 1 if targets[i] < 0 else 0, 1)
        n = _put_golomb(bits, n, abs(targets[i]) - 1)
    return n


@compiled
def _get(bits, n, length):
    """``(status, value, bits read)``."""
    if n + length > bits.size:
        return OUT_OF_BITS, 0, n
    value = 0
    for _ in range(length):
        value = (value << 1) | np.int64(bits[n])
        n += 1
    return OK, value, n


@compiled
def _get_rice(bits, n, k):
    high = 0
    while n < bits.size and bits[n]:
        high += 1
        n += 1
    status, low, n = _get(bits, n + 1, k)
    return status, (high << k) | low, n


@compiled
def _get_golomb(bits, n):
    zeros = 0
    while n < bits.size and not bits[n]:
        zeros += 1
        n += 1
    if zeros > MAX_ZEROS:
        return OUT_OF_RANGE, 0, n
    status, value, n = _get(bits, n, zeros + 1)
    return status, value - 1, n


@compiled
def _read_gains(bits, k, gains):
    n = 0
    for i in range(gains.size):
        status, gains[i], n = _get_rice(bits, n, k)
        if status != OK:
            return status, n
    return OK, n


@compiled
def _read_targets(bits, n, k, pixels, positions, targets):
    at = -1
    for i in range(positions.size):
        status, gap, n = _get_rice(bits, n, k)
        if status != OK:
            return status, n
        at += gap + 1
        status, negative, n = _get(bits, n, 1)
        if status != OK:
            return status, n
        status, rest, n = _get_golomb(bits, n)
        if status != OK:
            return status, n
        if at >= pixels or rest >= LARGEST_TARGET:
            return OUT_OF_RANGE, n
        positions[i], targets[i] = at, -1 - rest if negative else 1 + rest
    return OK, n


def _rice_parameter(values: np.ndarray) -> int:
    """The parameter with which values take the fewest bits; the smallest of equals."""
    return int(np.argmin([(values >> k).sum() + values.size * (k + 1) for k in range(LARGEST_RICE + 1)]))


def pack_corrections(corrections: Corrections) -> bytes:
    """As bytes; empty if nothing is corrected."""
    if corrections.empty:
        return b""
    gains = np.diff(corrections.gains.ravel().astype(np.int64), prepend=0)
    gains = np.where(gains < 0, -2 * gains - 1, 2 * gains)
    gaps = np.diff(corrections.positions, prepend=-1) - 1
    gain_k, gap_k = _rice_parameter(gains), _rice_parameter(gaps)
    size = (gains >> gain_k).sum() + (gaps >> gap_k).sum() + 17 * gains.size + 40 * gaps.size + 80
    bits = np.empty(int(size), np.uint8)
    count = _write(gains, gain_k, gaps, corrections.targets.astype(np.int64), gap_k, bits)
    return bytes([gap_k << 4 | gain_k]) + np.packbits(bits[:count]).tobytes()


def unpack_corrections(data: bytes, shape: tuple[int, int]) -> Corrections:
    """Inverse of `pack_corrections` for a tile of ``(height, width)`` pixels; raises SarzFormatError on anything else."""
    if not data:
        return Corrections.none(shape)
    gain_k, gap_k = data[0] & 15, data[0] >> 4
    bits = np.unpackbits(np.frombuffer(data, np.uint8, offset=1))
    gains = np.empty(gain_shape(shape), np.int64)
    status, n = _read_gains(bits, gain_k, gains.reshape(-1))
    count = 0
    if status == OK:
        status, count, n = _get_golomb(bits, n)
    if status == OK and count > shape[0] * shape[1]:
        status = OUT_OF_RANGE
    if status == OK and 3 * count > bits.size - n:  # Each target takes three bits or more.
        status = OUT_OF_BITS
    positions, targets = (np.empty(count if status == OK else 0, t) for t in (np.int64, np.int32))
    if status == OK:
        status, n = _read_targets(bits, n, gap_k, shape[0] * shape[1], positions, targets)
    gains = np.cumsum(np.where(gains & 1, -(gains + 1 >> 1), gains >> 1)).reshape(gains.shape)
    if status == OK and np.abs(gains).max() > LARGEST_GAIN:
        status = OUT_OF_RANGE
    if status != OK:
        raise SarzFormatError(REASONS[status])
    if bits.size - n >= 8 or bits[n:].any():
        raise SarzFormatError("corrections: the bits do not end where their numbers do")
    return Corrections(gains.astype(np.int32), positions, targets)


@compiled
def _add_gains(pixels, gains, top, left):
    for r in range(pixels.shape[0]):
        row = (top + r) // GAIN_BLOCK
        for c in range(pixels.shape[1]):
            v = np.int32(pixels[r, c]) + GAIN_STEP * gains[row, (left + c) // GAIN_BLOCK]
            pixels[r, c] = min(max(v, -32768), 32767)


@compiled
def _add_targets(pixels, positions, targets, width, top, left):
    for i in range(positions.size):
        r, c = positions[i] // width - top, positions[i] % width - left
        if 0 <= r < pixels.shape[0] and 0 <= c < pixels.shape[1]:
            pixels[r, c] = min(max(np.int32(pixels[r, c]) + TARGET_STEP * targets[i], -32768), 32767)


def apply_corrections(pixels: np.ndarray, corrections: Corrections, width: int, top: int = 0, left: int = 0, *,
                      gains: bool = True) -> None:
    """Correct int16 pixels ``(rows, cols)`` in place, which begin at `top`, `left` of a tile of `width` pixels.

    Gains first, with targets after them; without `gains`, targets only.
    """
    if gains and corrections.gains.any():
        _add_gains(pixels, corrections.gains, top, left)
    if corrections.positions.size:
        first = np.searchsorted(corrections.positions, [top * width, (top + pixels.shape[0]) * width])
        part = slice(*first)
        _add_targets(pixels, corrections.positions[part], corrections.targets[part], width, top, left)
