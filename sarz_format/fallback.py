"""The lossless coder of tiles that the model serves badly.

Bits of each band as unsigned integers, difference to the left neighbour (the first column to the pixel above), bytes of
equal significance together, DEFLATE. DEFLATE through Python's zlib: present everywhere Python is, frozen, bounded.
"""

from __future__ import annotations

import numpy as np

from .deflate import deflate, inflate

LEVEL = 6


def encode_lossless(values: np.ndarray) -> bytes:
    """Code an array ``(bands, height, width)`` of any real dtype."""
    bits = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    delta = bits.copy()
    delta[:, :, 1:] -= bits[:, :, :-1]
    delta[:, 1:, 0] -= bits[:, :-1, 0]
    little = delta.astype(delta.dtype.newbyteorder("<"))
    planes = little.reshape(-1).view(np.uint8).reshape(-1, values.dtype.itemsize).T
    return deflate(planes.tobytes(), LEVEL)


def decode_lossless(data: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """Inverse of `encode_lossless`; raises SarzFormatError on damaged data."""
    size = shape[0] * shape[1] * shape[2]
    raw = np.frombuffer(inflate(data, size * dtype.itemsize, "lossless tile"), np.uint8)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    little = np.ascontiguousarray(raw.reshape(dtype.itemsize, size).T).view(unsigned.newbyteorder("<"))
    delta = little.reshape(shape).astype(unsigned)
    delta[:, :, 0] = np.cumsum(delta[:, :, 0], axis=1, dtype=unsigned)
    return np.cumsum(delta, axis=2, dtype=unsigned).view(dtype)
