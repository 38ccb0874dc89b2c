"""Boxes of ISO base media files (ISO/IEC 14496-12), in which AVIF wraps its bitstream."""

from __future__ import annotations

from collections.abc import Iterator


def boxes(file: bytes | bytearray) -> Iterator[tuple[str, int]]:
    """``(type, bytes of content)`` of each box of a file's outermost level; raises ValueError where one is cut."""
    start = 0
    while start < len(file):
        size, header = int.from_bytes(file[start : start + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(file[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = len(file) - start
        if size < header or start + size > len(file):
            raise ValueError(f"a box of {size} bytes at byte {start} of {len(file)}")
        yield file[start + 4 : start + 8].decode("latin-1"), size - header
        start += size


def media_bytes(file: bytes | bytearray) -> int:
    """Bytes of the coded image alone, without the boxes that describe it."""
    return sum(size for kind, size in boxes(file) if kind == "mdat")
