"""Tags of a BigTIFF directory, to and from bytes (little-endian).

Source: TIFF 6.0, and the BigTIFF design, https://www.awaresystems.be/imaging/tiff/bigtiff.html
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

NEW_SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
SAMPLES_PER_PIXEL, PLANAR_CONFIG = 277, 284
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS = 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, RPC_COEFFICIENTS, GDAL_NODATA = 338, 339, 50844, 42113

SHORT, LONG, LONG8 = 3, 4, 16
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

FILE_HEADER = struct.Struct("<2sHHHQ")
"""Byte order, version, bytes of an offset, 0, offset of the first directory."""
VERSION, OFFSET_BYTES = 43, 8
_COUNT = struct.Struct("<Q")
_ENTRY = struct.Struct("<HHQ8s")
_INLINE = 8
"""Values up to so many bytes stand in the entry itself; longer ones elsewhere, with their offset in the entry."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag's value: `count` items of a TIFF type, as bytes."""

    type: int
    count: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Table:
    """A tag whose items are computed when they are read: its place in the file is all that the directory says."""

    type: int
    count: int
    offset: int


def integer(value: int, type: int = LONG) -> Tag:
    """A tag of one whole number: SHORT, LONG or LONG8."""
    return Tag(type, 1, value.to_bytes(_ITEM_BYTES[type], "little"))


def read_directory(data: bytes | memoryview) -> dict[int, Tag]:
    """The tags of the first directory of a little-endian BigTIFF, by code."""
    *_, position = FILE_HEADER.unpack_from(data)
    (entries,) = _COUNT.unpack_from(data, position)
    tags = {}
    for number in range(entries):
        code, type, count, value = _ENTRY.unpack_from(data, position + _COUNT.size + number * _ENTRY.size)
        length = count * _ITEM_BYTES[type]
        if length > _INLINE:
            (start,) = _COUNT.unpack(value)
            value = bytes(data[start : start + length])
        tags[code] = Tag(type, count, value[:length])
    return tags


def directory_bytes(tags: Mapping[int, Tag | Table]) -> int:
    """The length of what `pack_directory` makes."""
    values = sum(_aligned(len(tag.data)) for tag in tags.values() if isinstance(tag, Tag) and len(tag.data) > _INLINE)
    return _COUNT.size + len(tags) * _ENTRY.size + _COUNT.size + values


def pack_directory(tags: Mapping[int, Tag | Table], offset: int, next_offset: int) -> bytes:
    """A directory that will stand at `offset`, with its longer values behind it; `next_offset` is 0 in the last one."""
    entries, values = [], []
    position = offset + 2 * _COUNT.size + len(tags) * _ENTRY.size
    for code, tag in sorted(tags.items()):
        if isinstance(tag, Table):
            value = _COUNT.pack(tag.offset)
        elif len(tag.data) <= _INLINE:
            value = tag.data
        else:
            value = _COUNT.pack(position)
            values.append(tag.data.ljust(_aligned(len(tag.data)), b"\0"))
            position += len(values[-1])
        entries.append(_ENTRY.pack(code, tag.type, tag.count, value))
    return b"".join([_COUNT.pack(len(tags)), *entries, _COUNT.pack(next_offset), *values])


def _aligned(length: int) -> int:
    return -(-length // _INLINE) * _INLINE
