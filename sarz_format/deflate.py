"""DEFLATE with bounded inflation: small planes and lists, and the lossless copy of a fallback tile."""

from __future__ import annotations

import zlib

from .errors import SarzFormatError

LEVEL = 9


def deflate(data: bytes, level: int = LEVEL) -> bytes:
    """Raw DEFLATE (RFC 1951)."""
    coder = zlib.compressobj(level, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


def inflate(data: bytes, size: int, what: str) -> bytes:
    """Inflate to exactly `size` bytes; raise SarzFormatError otherwise, never holding more than that."""
    decoder = zlib.decompressobj(-15)
    try:
        raw = decoder.decompress(data, size + 1)
    except zlib.error as exc:
        raise SarzFormatError(f"{what}: {exc}") from exc
    if len(raw) != size or not decoder.eof or decoder.unused_data:
        raise SarzFormatError(f"{what}: does not inflate to the {size} bytes expected")
    return raw
