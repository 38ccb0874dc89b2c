"""Numbers of few bits each, one after the other, the lowest bit of a byte first."""

from __future__ import annotations

import numpy as np

from .loops import compiled


def pack_bits(values: np.ndarray, lengths: np.ndarray) -> bytes:
    """Pack uint64 `values`, 1-D, each in its number of bits, uint8 `lengths` (0 to 64); the last byte ends with zeros."""
    out = np.zeros(packed_size(lengths), np.uint8)
    _put(values, lengths, out)
    return out.tobytes()


def unpack_bits(data: bytes, lengths: np.ndarray) -> np.ndarray:
    """Inverse of `pack_bits`; `data` has `packed_size` bytes."""
    out = np.empty(lengths.size, np.uint64)
    _get(np.frombuffer(data, np.uint8), lengths, out)
    return out


def packed_size(lengths: np.ndarray) -> int:
    """Bytes of numbers of so many bits."""
    return -(-int(lengths.sum(dtype=np.int64)) // 8)


@compiled
def _put(values, lengths, out):
    at, used = 0, 0
    for i in range(values.size):
        value, left = values[i], np.int64(lengths[i])
        while left > 0:
            some = min(left, 8 - used)
            low = value & np.uint64((1 << some) - 1)
            out[at] |= np.uint8(low << np.uint64(used))
            value >>= np.uint64(some)
            left -= some
            used += some
            if used == 8:
                at, used = at + 1, 0


@compiled
def _get(data, lengths, out):
    at, used = 0, 0
    for i in range(out.size):
        value, have, left = np.uint64(0), 0, np.int64(lengths[i])
        while left > 0:
            some = min(left, 8 - used)
            low = (np.uint64(data[at]) >> np.uint64(used)) & np.uint64((1 << some) - 1)
            value |= low << np.uint64(have)
            have += some
            left -= some
            used += some
            if used == 8:
                at, used = at + 1, 0
        out[i] = value
