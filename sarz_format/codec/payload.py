"""The two parts of a tile as bytes: segments, each with its length as a LEB128 number before it."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import SarzFormatError


def join_segments(segments: Iterable[bytes]) -> bytes:
    """Segments, one after the other, each behind its length."""
    out = bytearray()
    for segment in segments:
        n = len(segment)
        while n >= 0x80:
            out.append(n & 0x7F | 0x80)
            n >>= 7
        out.append(n)
        out += segment
    return bytes(out)


def split_segments(data: bytes, count: int) -> list[bytes]:
    """Exactly `count` segments that use up `data`; raises SarzFormatError otherwise."""
    segments, position = [], 0
    for _ in range(count):
        length, position = _read_length(data, position)
        if position + length > len(data):
            raise SarzFormatError("tile part: a segment is longer than the part")
        segments.append(data[position : position + length])
        position += length
    if position != len(data):
        raise SarzFormatError(f"tile part: {len(data) - position} bytes follow the last segment")
    return segments


def _read_length(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            raise SarzFormatError("tile part: ends within a length")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise SarzFormatError("tile part: a length has more than five bytes")
