"""Integers exactly, or each within a whole number; and the decoders."""

from __future__ import annotations

import numpy as np

from ..errors import SarzFormatError, SarzOptionError
from .cells import MAX_STEP, Lattice
from .planes import decode_planes, encode_planes

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
CLASSES = 16, 3
"""Of scale and skew."""


def encode_lossless(values: np.ndarray, valid: np.ndarray | None = None) -> bytes:
    """Code ``(bands, height, width)`` of one of `DTYPES`; pixels that are not `valid` (bool) come back as anything."""
    return encode_integers(values, 0, valid)[0]


def decode_lossless_planes(data: bytes, shape: tuple[int, int, int], dtype: np.dtype,
                           valid: np.ndarray | None = None) -> np.ndarray:
    """Inverse of `encode_lossless`; raises SarzFormatError on anything else, other lattices included."""
    lattice, values = decode_planes(data, shape, valid)
    if lattice.step != 1:
        raise SarzFormatError(f"contextual tile: step {lattice.step}, expected 1 for numbers without loss")
    return _of_dtype(values, dtype)


def encode_integers(values: np.ndarray, bound: int = 0, valid: np.ndarray | None = None) -> tuple[bytes, np.ndarray]:
    """Code integers so that no valid one is off by more than `bound`; return the bytes and what they decode to.

    Parameters
    ----------
    values
        ``(bands, height, width)`` of one of `DTYPES`.
    valid
        bool of the same shape, or None if every pixel is valid. An invalid pixel takes no bytes and decodes to some
        number between the smallest and largest valid ones of its band.

    Raises
    ------
    SarzOptionError
        On another dtype, or a bound below 0 or of 2^23 and more.
    """
    if values.dtype.name not in DTYPES:
        raise SarzOptionError(f"dtype {values.dtype}: expected one of {', '.join(DTYPES)}")
    if not 0 <= bound < MAX_STEP // 2:
        raise SarzOptionError(f"bound {bound}: expected 0 to {MAX_STEP // 2 - 1}")
    known = values if valid is None else values[valid]
    relative = bool(known.size) and int(known.min()) >= 0
    data, decoded = encode_planes(values, valid, Lattice(2 * bound + 1), CLASSES, relative)
    return data, decoded.astype(values.dtype)


def decode_integers(data: bytes, shape: tuple[int, int, int], dtype: np.dtype,
                    valid: np.ndarray | None = None) -> np.ndarray:
    """Integers ``shape`` of `dtype` as `encode_integers` or `encode_amplitudes` coded them; SarzFormatError
    otherwise."""
    return _of_dtype(decode_planes(data, shape, valid)[1], dtype)


def _of_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    info = np.iinfo(dtype)
    if values.size and not info.min <= values.min() <= values.max() <= info.max:
        raise SarzFormatError(f"contextual tile: values {values.min()} to {values.max()} do not fit {np.dtype(dtype)}")
    return values.astype(dtype)


def decode_fixed_point(data: bytes, shape: tuple[int, int, int], valid: np.ndarray | None = None) -> np.ndarray:
    """int64 ``shape`` as `encode_fixed_point` coded it; raises SarzFormatError on anything else."""
    lattice, values = decode_planes(data, shape, valid)
    if not lattice.step:
        raise SarzFormatError("contextual tile: numbers of amplitude, expected fixed-point values")
    return values
