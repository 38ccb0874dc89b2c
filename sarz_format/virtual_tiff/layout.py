"""Where everything stands in the virtual file. Pure arithmetic: no pixels, no GDAL.

::

    header | directories: raster, overviews | tables of tile offsets and lengths | padding to 16 KiB
    tiles of the smallest overview | ... | tiles of the first overview | tiles of the raster

All tiles have one length, so a tile's offset follows from its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..grid import Box
from .tags import (
    BITS_PER_SAMPLE, COMPRESSION, EXTRA_SAMPLES, FILE_HEADER, GDAL_NODATA, IMAGE_LENGTH, IMAGE_WIDTH, LONG8,
    NEW_SUBFILE_TYPE, OFFSET_BYTES, PHOTOMETRIC, PLANAR_CONFIG, SAMPLE_FORMAT, SAMPLES_PER_PIXEL, TILE_BYTE_COUNTS,
    TILE_LENGTH, TILE_OFFSETS, TILE_WIDTH, VERSION, Table, Tag, directory_bytes, integer, pack_directory,
)  # fmt: skip

ALIGNMENT = 16384
"""Tiles begin at multiples of the blocks in which GDAL's network file systems fetch and keep bytes."""

_REDUCED_IMAGE = 1
_NUMBER = np.dtype("<u8")
_OF_OVERVIEWS = frozenset({
    BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, SAMPLES_PER_PIXEL, PLANAR_CONFIG, TILE_WIDTH, TILE_LENGTH, EXTRA_SAMPLES,
    SAMPLE_FORMAT, GDAL_NODATA,
})  # fmt: skip
"""Tags that say how samples are stored; all others describe the raster and stand in its directory alone."""


@dataclass(frozen=True, slots=True)
class Level:
    """The raster or one overview, cut into tiles."""

    factor: int
    """1 for the raster."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    block: tuple[int, int]
    """``(height, width)`` of a tile."""
    planes: int
    """1 where a tile holds all bands, otherwise the bands: each has tiles of its own."""

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return -(-self.height // self.block[0])

    @property
    def cols(self) -> int:
        """Columns of tiles."""
        return -(-self.width // self.block[1])

    @property
    def count(self) -> int:
        """Tiles in all planes."""
        return self.rows * self.cols * self.planes

    def tile(self, row: int, col: int) -> Box:
        """The pixels of a tile, without those beyond the level's border."""
        height, width = self.block
        whole = Box(row * height, col * width, (row + 1) * height, (col + 1) * width)
        return whole.intersection(Box(0, 0, self.height, self.width))

    def locate(self, number: int) -> tuple[int, int, int]:
        """``(plane, row, col)`` of the tile of that number in the file."""
        plane, number = divmod(number, self.rows * self.cols)
        return plane, *divmod(number, self.cols)


@dataclass(frozen=True, slots=True)
class Plain:
    """Bytes as they are."""

    start: int
    data: bytes

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset` of this region."""
        return self.data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class Numbers:
    """A table of `count` LONG8: `first`, ``first + step``, ..., made as they are read."""

    start: int
    first: int
    step: int
    count: int

    @property
    def length(self) -> int:
        """Bytes."""
        return self.count * _NUMBER.itemsize

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset` of this region."""
        size = _NUMBER.itemsize
        begin, end = offset // size, -(-(offset + length) // size)
        values = self.first + self.step * np.arange(begin, end, dtype=_NUMBER)
        skipped = offset - begin * size
        return values.astype(_NUMBER).tobytes()[skipped : skipped + length]


@dataclass(frozen=True, slots=True)
class Tiles:
    """All tiles of a level, one after the other."""

    start: int
    level: Level
    tile_bytes: int

    @property
    def length(self) -> int:
        """Bytes."""
        return self.level.count * self.tile_bytes


Region = Plain | Numbers | Tiles


def lay_out(levels: Sequence[Level], tags: Mapping[int, Tag], tile_bytes: int) -> list[Region]:
    """The regions of a file, in order and without gaps.

    Parameters
    ----------
    levels : sequence of Level
        The raster, then overviews from the finest to the coarsest.
    tags : mapping of int to Tag
        Of the raster, without those that depend on its size and on where its tiles are.
    tile_bytes : int
        Length of every tile.
    """
    # Tables stand behind the directories, whose lengths do not depend on where.
    lengths = [directory_bytes(_directory(_Placed(level, 0, 0), tags, tile_bytes)) for level in levels]
    placed = _place(levels, FILE_HEADER.size + sum(lengths), tile_bytes)
    front = [FILE_HEADER.pack(b"II", VERSION, OFFSET_BYTES, 0, FILE_HEADER.size)]
    position = FILE_HEADER.size
    for place, length in zip(placed, lengths):
        following = position + length
        directory = _directory(place, tags, tile_bytes)
        front.append(pack_directory(directory, position, following if place is not placed[-1] else 0))
        position = following

    regions: list[Region] = [Plain(0, b"".join(front))]
    for place in placed:
        count = place.level.count
        if count > 1:
            regions.append(Numbers(place.offsets_at, place.tiles_at, tile_bytes, count))
            regions.append(Numbers(place.lengths_at, tile_bytes, 0, count))
    regions += [Tiles(place.tiles_at, place.level, tile_bytes) for place in reversed(placed)]
    return _without_gaps(regions)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a level's tables and tiles begin."""

    level: Level
    offsets_at: int
    tiles_at: int

    @property
    def lengths_at(self) -> int:
        return self.offsets_at + self.level.count * _NUMBER.itemsize


def _place(levels: Sequence[Level], tables_at: int, tile_bytes: int) -> list[_Placed]:
    offsets_at = []
    for level in levels:
        offsets_at.append(tables_at)
        tables_at += 2 * level.count * _NUMBER.itemsize if level.count > 1 else 0
    placed, tiles_at = [], _up(tables_at, ALIGNMENT)
    for level, offset in reversed(list(zip(levels, offsets_at))):
        placed.append(_Placed(level, offset, tiles_at))
        tiles_at += level.count * tile_bytes
    return placed[::-1]


def _directory(place: _Placed, tags: Mapping[int, Tag], tile_bytes: int) -> dict[int, Tag | Table]:
    level = place.level
    chosen: dict[int, Tag | Table] = dict(tags)
    if level.factor > 1:
        chosen = {code: tag for code, tag in tags.items() if code in _OF_OVERVIEWS}
        chosen[NEW_SUBFILE_TYPE] = integer(_REDUCED_IMAGE)
    chosen[IMAGE_WIDTH], chosen[IMAGE_LENGTH] = integer(level.width), integer(level.height)
    if level.count == 1:
        return chosen | {TILE_OFFSETS: integer(place.tiles_at, LONG8), TILE_BYTE_COUNTS: integer(tile_bytes, LONG8)}
    return chosen | {
        TILE_OFFSETS: Table(LONG8, level.count, place.offsets_at),
        TILE_BYTE_COUNTS: Table(LONG8, level.count, place.lengths_at),
    }


def _without_gaps(regions: Sequence[Region]) -> list[Region]:
    """Zeros where nothing else stands."""
    filled: list[Region] = []
    for region in regions:
        end = filled[-1].start + filled[-1].length if filled else 0
        if region.start > end:
            filled.append(Plain(end, bytes(region.start - end)))
        filled.append(region)
    return filled


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
