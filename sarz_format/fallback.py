"""The lossless coder of tiles that no model codes: a method byte, and the shortest of what the methods for a dtype make.

DEFLATE takes anything: bits of each band as unsigned integers, difference to the left neighbour (the first column to the
pixel above), bytes of equal significance together, through Python's zlib: present everywhere Python is, frozen, bounded.
The contextual coder takes integers of up to 32 bits, its palette floats of few distinct values.
"""

from __future__ import annotations

import numpy as np

from .deflate import deflate, inflate
from .errors import SarzFormatError

DEFLATE, CONTEXTUAL, PALETTE = range(3)
"""Method bytes."""

LEVEL = 6


def encode_lossless(values: np.ndarray) -> bytes:
    """Code an array ``(bands, height, width)`` of any real dtype; of equally short methods the lower one is taken."""
    candidates = [bytes([DEFLATE]) + _encode_deflate(values)]
    method = _method_for(values.dtype)
    packed = _encode_contextual(values, method) if method else None
    if packed is not None:
        candidates.append(bytes([method]) + packed)
    return min(candidates, key=len)


def decode_lossless(data: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """Inverse of `encode_lossless`; raises SarzFormatError on damaged data."""
    if not data:
        raise SarzFormatError("lossless tile: no bytes, expected a method and what it coded")
    method, packed = data[0], data[1:]
    if method == DEFLATE:
        return _decode_deflate(packed, shape, dtype)
    if method != _method_for(dtype):
        usable = " or ".join(str(m) for m in (DEFLATE, _method_for(dtype)) if m is not None)
        raise SarzFormatError(f"lossless tile: method {method}, expected {usable} for {dtype}")
    from .contextual import decode_lossless_planes, decode_palette

    return (decode_lossless_planes if method == CONTEXTUAL else decode_palette)(packed, shape, dtype)


def _method_for(dtype: np.dtype) -> int | None:
    """The method besides DEFLATE that takes a dtype, if any does."""
    if dtype.kind in "iu":
        return CONTEXTUAL if dtype.itemsize <= 4 else None
    return PALETTE


def _encode_contextual(values: np.ndarray, method: int) -> bytes | None:
    """What a method other than DEFLATE makes of an array; None of floats of too many values."""
    from . import contextual  # numba is imported where it is needed

    return contextual.encode_lossless(values) if method == CONTEXTUAL else contextual.encode_palette(values)


def _encode_deflate(values: np.ndarray) -> bytes:
    bits = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    delta = bits.copy()
    delta[:, :, 1:] -= bits[:, :, :-1]
    delta[:, 1:, 0] -= bits[:, :-1, 0]
    little = delta.astype(delta.dtype.newbyteorder("<"))
    planes = little.reshape(-1).view(np.uint8).reshape(-1, values.dtype.itemsize).T
    return deflate(planes.tobytes(), LEVEL)


def _decode_deflate(data: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    size = shape[0] * shape[1] * shape[2]
    raw = np.frombuffer(inflate(data, size * dtype.itemsize, "lossless tile"), np.uint8)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    little = np.ascontiguousarray(raw.reshape(dtype.itemsize, size).T).view(unsigned.newbyteorder("<"))
    delta = little.reshape(shape).astype(unsigned)
    delta[:, :, 0] = np.cumsum(delta[:, :, 0], axis=1, dtype=unsigned)
    return np.cumsum(delta, axis=2, dtype=unsigned).view(dtype)
