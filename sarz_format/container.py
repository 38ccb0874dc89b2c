"""A .sarz file opened for reading: checked header, statistics and index, and the bytes of tiles on demand."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal


from .container_writer import ContainerWriter
from .dtypes import value_bytes
from .errors import DamagedTileError, SarzFormatError
from .header import Header, unpack_header
from .index import ENTRY_BYTES, TileEntry, TileIndex, check_kinds, check_overviews, checked_tile_count, unpack_index
from .part_limits import check_part_lengths
from .preamble import PREAMBLE_BYTES, Preamble, check_crc, unpack_preamble
from .ranges import Span, bridged, merged
from .source import Source, open_source
from .statistics import BAND_BYTES, BandStatistics, unpack_statistics

__all__ = ["Container", "ContainerWriter", "Part", "open_container"]

FIRST_READ_BYTES = 128 * 1024
"""Read at once on opening: preamble, header and index of a scene of about 3000 tiles."""

SECOND_READ_BYTES = 16 * 1024 * 1024
"""Read at once of what lies beyond, so that opening takes two requests; a longer index is read whole all the same."""

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
        """Fetch parts of tiles, merging neighbouring ranges, and at a distance until few requests are left.

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
        for span, block in self._blocks(merged(ranges)):
            for member in span.members:
                start, size = ranges[member]
                number, part = requests[member]
                results[member] = _checked_part(self.index[number], part, bytes(block[start - span.offset :][:size]))
        return results

    def _blocks(self, spans: list[Span]) -> Iterator[tuple[Span, memoryview]]:
        """The bytes of spans: one after the other where requests cost nothing, otherwise few and all at once."""
        if self.source.most_requests is None:
            for span in spans:
                yield span, memoryview(self.source.read(span.offset, span.length))
            return
        spans = bridged(spans, self.source.most_requests)
        blocks = self.source.read_ranges([(span.offset, span.length) for span in spans])
        yield from zip(spans, map(memoryview, blocks))


def open_container(
    source: str | os.PathLike[str] | bytes | IO[bytes] | Source, storage_options: Mapping[str, Any] | None = None
) -> Container:
    """Open a .sarz file and check everything but the parts of its tiles.

    Parameters
    ----------
    source, storage_options
        See `source.open_source`.

    Raises
    ------
    SarzFileNotFoundError
        If the path does not exist.
    SarzFormatError
        If this is not a well-formed .sarz file; TruncatedFileError and UnsupportedVersionError are kinds of it.
    SarzIOError
        If reading fails.
    """
    opened = open_source(source, storage_options)
    try:
        return _read_container(opened)
    except BaseException:
        if opened is not source:
            opened.close()
        raise


def _read_container(source: Source) -> Container:
    first = source.head(FIRST_READ_BYTES)
    preamble = unpack_preamble(first[:PREAMBLE_BYTES], source.size, source.name)
    source.size = preamble.file_length  # not every remote source knows

    start, block = 0, first

    def section(offset: int, length: int, crc: int, what: str) -> bytes:
        nonlocal start, block
        if offset + length > start + len(block):
            held = block[offset - start :]
            at, end = offset + len(held), min(preamble.detail_section[0], offset + max(length, SECOND_READ_BYTES))
            start, block = offset, held + source.read(at, end - at)
        data = block[offset - start :][:length]
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
        check_overviews(index, bands)
        check_part_lengths(index, bands, value_bytes(header.metadata.dtype))
        check_kinds(index, lossless=header.lossless, bounded=header.bound is not None)
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
