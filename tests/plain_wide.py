"""Wide numbers decoded in plain Python, from docs/spec/contextual.md alone: what the fast decoder is compared with."""

from __future__ import annotations

import zlib

from plain_contextual import plain_decode

FORMATS = {"uint64": (64, 0), "int64": (64, 0), "float32": (32, 23), "float64": (64, 52)}
"""Bits of a number, and of its mantissa."""


def plain_wide(data: bytes, shape: tuple[int, int, int], dtype: str) -> list[int]:
    """The bit patterns of the numbers, in raster order of all planes."""
    width, m = FORMATS[dtype]
    assert data[0] <= (1 if m else 0)
    fixed, dropped, at = data[0] == 1, data[1], 2
    if fixed:
        unit, at = int.from_bytes(data[at : at + 2], "little"), at + 2
        octaves = min(m - dropped, 30)
        assert dropped <= m and 1 <= unit <= {32: 254, 64: 2046}[width] - octaves
    else:
        below, base, at = data[at], int.from_bytes(data[at + 1 : at + 9], "little"), at + 9
        assert dropped < width and below <= 33 and base < 1 << (width - dropped)
    size = shape[0] * shape[1] * shape[2]
    apart, patterns = [0] * size, b""
    mask, at = _part(data, at)
    if mask:
        mask = _inflated(mask, -(-size // 8))
        assert not size % 8 or not mask[-1] & 255 >> size % 8
        apart = [mask[i // 8] >> (7 - i % 8) & 1 for i in range(size)]
        packed, at = _part(data, at)
        patterns = _inflated(packed, sum(apart) * width // 8)
    tile, at = _part(data, at)
    tops = _tops(tile, shape, apart)
    rest, used, read = int.from_bytes(data[at:], "little"), 0, 0
    count, out = sum(apart), []
    for top, alone in zip(tops, apart):
        if alone:
            out.append(sum(patterns[k * count + read] << (8 * k) for k in range(width // 8)))
            read += 1
            continue
        octave = abs(top).bit_length() - 1
        bits = m - dropped - octave if fixed else below
        low, used = rest >> used & ((1 << bits) - 1), used + bits
        if fixed:
            mantissa = ((abs(top) << bits | low) << dropped) - (1 << m)
            out.append((top < 0) << (width - 1) | (octave + unit) << m | mantissa)
        else:
            out.append(_pattern((base + (top << below) + low) % (1 << (width - dropped)), width - dropped, dtype) << dropped)
    assert at + -(-used // 8) == len(data) and rest >> used == 0
    return out


def _pattern(key: int, width: int, dtype: str) -> int:
    top = 1 << (width - 1)
    if dtype.startswith("float"):
        return key ^ top if key & top else key ^ ((1 << width) - 1)
    return key ^ top if dtype == "int64" else key


def _inflated(data: bytes, size: int) -> bytes:
    stream = zlib.decompressobj(-15)
    try:
        out = stream.decompress(data, size + 1)
    except zlib.error as exc:
        raise AssertionError("DEFLATE") from exc
    assert len(out) == size and stream.eof and not stream.unused_data
    return out


def _part(data: bytes, at: int) -> tuple[bytes, int]:
    """The bytes behind a length in LEB128, and where they end."""
    length = shift = 0
    while True:
        byte, at = data[at], at + 1
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            assert at + length <= len(data)
            return data[at : at + length], at + length
        assert shift < 63


def _tops(tile: bytes, shape: tuple[int, int, int], apart: list[int]) -> list[int]:
    import numpy as np

    valid = None if not any(apart) else ~np.array(apart, bool).reshape(shape)
    assert tile[0] == 1  # the step
    tops = [int(n) for n in np.array(plain_decode(tile, shape, valid)).ravel()]
    assert all(-(1 << 31) <= top < 1 << 31 for top in tops)
    return tops
