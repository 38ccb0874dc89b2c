"""A .sarz file opened for reading: checked header, statistics and index, and the bytes of tiles on demand."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Literal

from .container_writer import ContainerWriter
from .dtypes import value_bytes
from .errors import DamagedTileError, SarzFormatError
from .header import Header, unpack_header
from .index import ENTRY_BYTES, TileEntry, TileIndex, check_lossless, checked_tile_count, unpack_index
from .part_limits import check_part_lengths
from .preamble import PREAMBLE_BYTES, Preamble, check_crc, unpack_preamble
from .source import Source, open_source
from .statistics import BAND_BYTES, BandStatistics, unpack_statistics

__all__ = ["Container", "ContainerWriter", "Part", "open_container"]

FIRST_READ_BYTES = 128 * 1024
"""Read at once on opening: preamble, header and index of a scene of about 3000 tiles."""

MERGE_GAP_BYTES = 64 * 1024
"""Parts nearer than this are fetched in one request: cheaper than a second one, on disks as on networks."""

MERGED_BYTES = 16 * 1024 * 1024
"""Merged requests end here, so that many parts do not become one huge allocation."""

Part = Literal["coarse", "detail"]


@dataclass(frozen=True, slots=True)
class Container:
    """What an opened file holds. Everything but the parts of tiles has been read and checked."""

    source: Source
    header: Header
    index: TileIndex
    statistics: tuple[BandStatistics, ...]
    """One a band."""
    preamble: Preamble

    @property
    def coarse_section(self) -> tuple[int, int]:
        """``(offset, length)`` in bytes of the section of the coarse parts."""
        return self.preamble.coarse_section

    @property
    def detail_section(self) -> tuple[int, int]:
        """``(offset, length)`` in bytes of the section of the detail parts."""
        return self.preamble.detail_section

    def close(self) -> None:
        """Close the source."""
        self.source.close()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def read_parts(self, requests: Sequence[tuple[int, Part]]) -> list[bytes | DamagedTileError]:
        """Fetch parts of tiles, merging neighbouring ranges.

        Parameters
        ----------
        requests : sequence of (int, str)
            Number of an index entry (TileIndex.number), and "coarse" or "detail".

        Returns
        -------
        list
            In the order of the requests: the bytes, or a DamagedTileError (not raised) where the checksum fails.

        Raises
        ------
        SarzIOError, TruncatedFileError
            If reading fails, or the file shrank after it was opened.
        """
        ranges = [_part_range(self.index[number], part) for number, part in requests]
        results: list[bytes | DamagedTileError] = [b""] * len(requests)
        for offset, length, members in _merged(ranges):
            block = memoryview(self.source.read(offset, length))
            for member in members:
                start, size = ranges[member]
                number, part = requests[member]
                results[member] = _checked_part(self.index[number], part, bytes(block[start - offset :][:size]))
        return results


def open_container(source: str | os.PathLike[str] | bytes | IO[bytes] | Source) -> Container:
    """Open a .sarz file and check everything but the parts of its tiles.

    Raises
    ------
    SarzFileNotFoundError
        If the path does not exist.
    SarzFormatError
        If this is not a well-formed .sarz file; TruncatedFileError and UnsupportedVersionError are kinds of it.
    SarzIOError
        If reading fails.
    """
    opened = open_source(source)
    try:
        return _read_container(opened)
    except BaseException:
        if opened is not source:
            opened.close()
        raise


def _read_container(source: Source) -> Container:
    first = source.read(0, min(source.size, FIRST_READ_BYTES))
    preamble = unpack_preamble(first[:PREAMBLE_BYTES], source.size, source.name)

    def section(offset: int, length: int, crc: int, what: str) -> bytes:
        end = offset + length
        data = first[offset:end] if end <= len(first) else source.read(offset, length)
        check_crc(data, crc, f"{source.name}: {what}")
        return data

    try:
        packed = section(PREAMBLE_BYTES, preamble.header_length, preamble.header_crc, "header")
        header = unpack_header(packed, preamble.header_raw_length)
        tiles = checked_tile_count(header.grid, len(header.groups))
        if (tiles, header.metadata.count * BAND_BYTES) != (preamble.tile_count, preamble.statistics_length):
            raise SarzFormatError(
                f"preamble says {preamble.tile_count} tiles and {preamble.statistics_length} bytes of statistics, "
                f"but the header has {tiles} tiles and {header.metadata.count} bands"
            )
        packed = section(
            PREAMBLE_BYTES + preamble.header_length, preamble.statistics_length, preamble.statistics_crc, "statistics"
        )
        statistics = unpack_statistics(packed, header.metadata.count)
        packed = section(preamble.index_offset, tiles * ENTRY_BYTES, preamble.index_crc, "tile index")
        index = unpack_index(packed, header.grid, len(header.groups), preamble.coarse_section, preamble.detail_section)
        bands = [len(group.bands) for group in header.groups]
        check_part_lengths(index, bands, value_bytes(header.metadata.dtype))
        if header.lossless:
            check_lossless(index)
    except SarzFormatError as exc:
        if str(exc).startswith(source.name):
            raise
        raise SarzFormatError(f"{source.name}: {exc}") from exc
    return Container(source, header, index, statistics, preamble)


def _part_range(entry: TileEntry, part: Part) -> tuple[int, int]:
    if part == "coarse":
        return entry.coarse_offset, entry.coarse_length
    return entry.detail_offset, entry.detail_length


def _checked_part(entry: TileEntry, part: Part, data: bytes) -> bytes | DamagedTileError:
    stored = entry.coarse_crc if part == "coarse" else entry.detail_crc
    computed = zlib.crc32(data)
    if computed == stored:
        return data
    reason = f"CRC-32 of its {part} part is {computed:08x}, the index says {stored:08x}"
    return DamagedTileError(entry.tile_row, entry.tile_col, entry.group, reason)


def _merged(ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, list[int]]]:
    """Yield ``(offset, length, positions in ranges)`` of ranges that are worth one request; empty ranges need none."""
    order = sorted((position for position, (_, length) in enumerate(ranges) if length), key=lambda p: ranges[p])
    start = end = 0
    members: list[int] = []
    for position in order:
        offset, length = ranges[position]
        if members and (offset > end + MERGE_GAP_BYTES or offset + length > start + MERGED_BYTES):
            yield start, end - start, members
            members = []
        if not members:
            start = end = offset
        end = max(end, offset + length)
        members.append(position)
    if members:
        yield start, end - start, members
