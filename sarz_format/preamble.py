"""The fixed first 64 bytes of a file: its version, and length and checksum of everything that follows.

::

    offset  0        8        10     12             16          20                 24                 28
            magic    version  flags  header_length  header_crc  header_raw_length  statistics_length  statistics_crc
    offset  32          36         40             48             56        60
            tile_count  index_crc  detail_length  coarse_length  reserved  preamble_crc

Little-endian. The header, the statistics, the index, the detail section and the coarse section follow in that order.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import astuple, dataclass

from .errors import SarzFormatError, TruncatedFileError, UnsupportedVersionError
from .header import MAX_HEADER_BYTES
from .index import ENTRY_BYTES, MAX_TILES
from .metadata_json import MAX_BANDS
from .statistics import BAND_BYTES

MAGIC = b"\x89SARZ\r\n\x1a"
"""As in PNG: not text, and line endings that a careless copy would change."""

VERSION = 1

_LAYOUT = struct.Struct("<8sHHIIIIIIIQQI")
_CRC = struct.Struct("<I")

# What is read on opening is bounded before it is allocated, also where a sparse file backs a false claim.
_LARGEST = {
    "header_length": MAX_HEADER_BYTES,
    "header_raw_length": MAX_HEADER_BYTES,
    "statistics_length": MAX_BANDS * BAND_BYTES,
    "tile_count": MAX_TILES,
}

PREAMBLE_BYTES = _LAYOUT.size + _CRC.size
"""64."""


@dataclass(frozen=True, slots=True)
class Preamble:
    """Lengths in bytes and CRC-32s of the parts of a file, in file order."""

    header_length: int
    """Compressed."""
    header_crc: int
    header_raw_length: int
    """Inflated."""
    statistics_length: int
    statistics_crc: int
    tile_count: int
    index_crc: int
    detail_length: int
    coarse_length: int

    @property
    def index_offset(self) -> int:
        """Where the index starts."""
        return PREAMBLE_BYTES + self.header_length + self.statistics_length

    @property
    def detail_section(self) -> tuple[int, int]:
        """``(offset, length)`` of the detail section."""
        return self.index_offset + self.tile_count * ENTRY_BYTES, self.detail_length

    @property
    def coarse_section(self) -> tuple[int, int]:
        """``(offset, length)`` of the coarse section."""
        return sum(self.detail_section), self.coarse_length

    @property
    def file_length(self) -> int:
        """Bytes that the whole file must have."""
        return sum(self.coarse_section)

    def pack(self) -> bytes:
        """The 64 bytes."""
        data = _LAYOUT.pack(MAGIC, VERSION, 0, *astuple(self), 0)
        return data + _CRC.pack(zlib.crc32(data))


def unpack_preamble(data: bytes, size: int | None, name: str) -> Preamble:
    """Read the first bytes of a file.

    Parameters
    ----------
    data : bytes
        The first 64 bytes, fewer where the file has fewer.
    size : int or None
        Bytes of the whole file; None where that is not known, and not checked.
    name : str
        What messages call the file.

    Raises
    ------
    SarzFormatError
        If this is no .sarz file, or its preamble is damaged.
    TruncatedFileError
        If the file is shorter than the preamble says.
    UnsupportedVersionError
        If a newer version wrote it.
    """
    _check_magic(data, name)
    if len(data) < PREAMBLE_BYTES:
        raise TruncatedFileError(f"{name} ends after {len(data)} bytes, within its preamble; copy it again")
    magic, version, flags, *fields, reserved = _LAYOUT.unpack(data[: _LAYOUT.size])
    if version > VERSION:
        raise UnsupportedVersionError(
            f"{name} is .sarz version {version}, this library reads up to version {VERSION}; upgrade rio-sarcodec"
        )
    (stored,) = _CRC.unpack(data[_LAYOUT.size : PREAMBLE_BYTES])
    check_crc(data[: _LAYOUT.size], stored, f"{name}: preamble")
    if version != VERSION or flags or reserved:
        raise SarzFormatError(f"{name}: version {version}, flags {flags}, reserved field {reserved}: expected 1, 0, 0")
    preamble = Preamble(*fields)
    for field, largest in _LARGEST.items():
        if not 1 <= getattr(preamble, field) <= largest:
            raise SarzFormatError(f"{name}: {field} is {getattr(preamble, field)}, expected 1 to {largest}")
    if size is None:
        return preamble
    if size < preamble.file_length:
        raise TruncatedFileError(f"{name} has {size} bytes, expected {preamble.file_length}; it was cut, copy it again")
    if size > preamble.file_length:
        raise SarzFormatError(f"{name} has {size} bytes, {size - preamble.file_length} more than it says")
    return preamble


def check_crc(data: bytes, stored: int, what: str) -> None:
    """Compare the CRC-32 of `data` with the one stored; SarzFormatError if they differ."""
    computed = zlib.crc32(data)
    if computed != stored:
        raise SarzFormatError(f"{what} is damaged: CRC-32 is {computed:08x}, the file says {stored:08x}")


def _check_magic(data: bytes, name: str) -> None:
    if data[: len(MAGIC)] == MAGIC:
        return
    if data and MAGIC.startswith(data):
        raise TruncatedFileError(f"{name} ends after {len(data)} bytes; copy it again")
    if not data:
        raise SarzFormatError(f"{name} is empty; expected a .sarz file")
    if data[1:5] == MAGIC[1:5]:
        raise SarzFormatError(f"{name} looks like a .sarz file with its signature damaged; copy it again, as binary")
    raise SarzFormatError(f"{name} is not a .sarz file: it starts with {data[:8]!r}, expected {MAGIC!r}")
