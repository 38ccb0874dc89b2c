"""Floats and 64-bit integers of few distinct values, such as integers times a constant: indices into a sorted table of
values."""

from __future__ import annotations

import numpy as np

from ..deflate import deflate, inflate
from ..errors import SarzFormatError
from .lossless import decode_lossless_planes, encode_lossless
from .parameters import Reader, number

LARGEST_TABLE = 1 << 16
SHARE = 4
"""A table pays only if every value occurs about so often."""

SAMPLED = 3
"""Every so many numbers are looked at first: noise alone has too many values."""


def encode_palette(values: np.ndarray, valid: np.ndarray | None = None) -> bytes | None:
    """Code numbers exactly, bit by bit; None if they have too many distinct values.

    Parameters
    ----------
    values
        float32, float64, int64 or uint64 ``(bands, height, width)``. NaNs and negative zero keep their bits.
    valid
        bool of the same shape, or None if every pixel is valid. Invalid pixels come back as some valid value.
    """
    keys = _keys(values)
    known = keys if valid is None else keys[valid]
    most = min(LARGEST_TABLE, max(values.size // SHARE, 1))
    if np.unique(known.ravel()[::SAMPLED]).size > most:
        return None
    table = np.unique(known)
    if not 0 < table.size <= most:
        return None
    indices = np.searchsorted(table, keys).clip(0, table.size - 1).astype(np.uint32)
    steps = np.diff(table, prepend=table.dtype.type(0))
    little = steps.astype(steps.dtype.newbyteorder("<")).view(np.uint8).reshape(table.size, -1)
    packed = deflate(little.T.tobytes())
    return b"".join([number(table.size), number(len(packed)), packed, encode_lossless(indices, valid)])


def decode_palette(data: bytes, shape: tuple[int, int, int], dtype: np.dtype,
                   valid: np.ndarray | None = None) -> np.ndarray:
    """Inverse of `encode_palette`: numbers ``shape`` of `dtype`; raises SarzFormatError on anything else."""
    source, unsigned = Reader(data), np.dtype(f"u{np.dtype(dtype).itemsize}")
    size = source.number(LARGEST_TABLE, "the number of values")
    packed = source.take(source.number(len(data), "the size of the table"))
    raw = np.frombuffer(inflate(packed, size * unsigned.itemsize, "table of values"), np.uint8)
    steps = np.ascontiguousarray(raw.reshape(unsigned.itemsize, size).T).view(unsigned.newbyteorder("<"))[:, 0]
    table = np.cumsum(steps, dtype=unsigned)
    indices = decode_lossless_planes(data[source.at :], shape, np.dtype(np.uint32), valid)
    if indices.size and int(indices.max()) >= size:
        raise SarzFormatError(f"contextual tile: value {indices.max()} of a table of {size}")
    return _values(table[indices], np.dtype(dtype))


def _keys(values: np.ndarray) -> np.ndarray:
    """Bits as unsigned integers in the order of the values; those of int64 as they are, negative ones behind."""
    bits = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    if values.dtype.kind != "f":
        return bits
    top = bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
    return np.where(bits & top, ~bits, bits | top)


def _values(keys: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Inverse of `_keys`."""
    if dtype.kind != "f":
        return keys.view(dtype)
    top = keys.dtype.type(1 << (8 * keys.dtype.itemsize - 1))
    return np.where(keys & top, keys ^ top, ~keys).view(dtype)
