"""The lossless coder of tiles that no model codes: a method byte, and the shortest of what the methods for a dtype make.

DEFLATE takes anything: bits of each band as unsigned integers, difference to the left neighbour (the first column to the
pixel above), bytes of equal significance together, through Python's zlib: present everywhere Python is, frozen, bounded.
The contextual coder takes integers of up to 32 bits; its palette floats and 64-bit integers of few distinct values, and
those of many values with the bits beneath what it can predict as they are (docs/design.md has the libraries that this was
measured against). Complex numbers come as planes of their parts (dtypes.py).
"""

from __future__ import annotations

import numpy as np

from .deflate import deflate, inflate
from .errors import SarzFormatError

DEFLATE, CONTEXTUAL, PALETTE, WIDE = range(4)
"""Method bytes."""

LEVEL = 6

PROBE_LEVEL, PROBE_GAIN = 1, 1.25
"""DEFLATE's fastest level tells whether another method can be beaten: `LEVEL` saves up to so many times as many bytes
(1.08 times on SAR rasters)."""


def encode_lossless(values: np.ndarray) -> bytes:
    """Code an array ``(bands, height, width)`` of any real dtype; of equally short methods the lower one is taken."""
    copies = [encode_with(method, values) for method in methods_for(values.dtype)[1:]]
    candidates = [copy for copy in copies if copy is not None]
    if _deflate_may_win(values, min(map(len, candidates))):
        candidates.insert(0, encode_with(DEFLATE, values))
    return min(candidates, key=len)


def _deflate_may_win(values: np.ndarray, shortest: int) -> bool:
    """Whether DEFLATE may make fewer bytes than `shortest`; it may where nothing compresses, so lengths stay bounded."""
    saved = values.nbytes - len(deflate(_byte_planes(values), PROBE_LEVEL))
    return values.nbytes - PROBE_GAIN * saved <= shortest


def decode_lossless(data: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """Inverse of `encode_lossless`; raises SarzFormatError on damaged data."""
    if not data:
        raise SarzFormatError("lossless tile: no bytes, expected a method and what it coded")
    method, packed, usable = data[0], data[1:], methods_for(dtype)
    if method not in usable:
        raise SarzFormatError(f"lossless tile: method {method}, expected {' or '.join(map(str, usable))} for {dtype}")
    if method == DEFLATE:
        return _decode_deflate(packed, shape, dtype)
    from . import contextual  # numba is imported where it is needed

    decode = {CONTEXTUAL: contextual.decode_lossless_planes, PALETTE: contextual.decode_palette,
              WIDE: contextual.decode_wide}[method]
    return decode(packed, shape, dtype)


def methods_for(dtype: np.dtype) -> tuple[int, ...]:
    """The methods that take a dtype, DEFLATE first."""
    return (DEFLATE, CONTEXTUAL) if dtype.kind in "iu" and dtype.itemsize <= 4 else (DEFLATE, PALETTE, WIDE)


def encode_with(method: int, values: np.ndarray) -> bytes | None:
    """The copy by one of `methods_for` the dtype; None where the palette has no room for the values."""
    if method == DEFLATE:
        return bytes([DEFLATE]) + deflate(_byte_planes(values), LEVEL)
    from . import contextual

    encode = {CONTEXTUAL: contextual.encode_lossless, PALETTE: contextual.encode_palette,
              WIDE: contextual.encode_wide}[method]
    packed = encode(values)
    return None if packed is None else bytes([method]) + packed


def _byte_planes(values: np.ndarray) -> bytes:
    """What DEFLATE is given."""
    bits = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    delta = bits.copy()
    delta[:, :, 1:] -= bits[:, :, :-1]
    delta[:, 1:, 0] -= bits[:, :-1, 0]
    little = delta.astype(delta.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).reshape(-1, values.dtype.itemsize).T.tobytes()


def _decode_deflate(data: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    size = shape[0] * shape[1] * shape[2]
    raw = np.frombuffer(inflate(data, size * dtype.itemsize, "lossless tile"), np.uint8)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    little = np.ascontiguousarray(raw.reshape(dtype.itemsize, size).T).view(unsigned.newbyteorder("<"))
    delta = little.reshape(shape).astype(unsigned)
    delta[:, :, 0] = np.cumsum(delta[:, :, 0], axis=1, dtype=unsigned)
    return np.cumsum(delta, axis=2, dtype=unsigned).view(dtype)
