"""The virtual file: its size, and any range of its bytes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SarzOptionError, UnsupportedRasterError
from .decoding import Unit, UnitDecoder
from .layout import Level, Region, Tiles, lay_out
from .template import template_tags
from .tile_store import Planes, TileStore

if TYPE_CHECKING:
    from ..reader import Dataset

TILE = 512
"""Pixels a side of tiles, where the file's own are much smaller or larger."""

SMALLEST_TILE, LARGEST_TILE = 256, 1024
"""The file's own tiles are taken between these: smaller ones cost calls, larger ones decode what nobody asked for."""

_TILE_STEP = 16
"""TIFF 6.0 allows multiples of 16 pixels."""


class VirtualTiff:
    """An open dataset as a tiled, uncompressed BigTIFF in the order of a Cloud Optimized GeoTIFF.

    The bytes follow from the .sarz alone, so they are the same in every process and may be cached by their offsets.
    Safe from several threads.

    Parameters
    ----------
    dataset : Dataset
        Stays open, and the caller's. Its `overviews(1)` become overviews, read by its `read_overview`.
    store : TileStore, optional
        Where decoded tiles are kept; several files may share one. Its own by default.

    Raises
    ------
    UnsupportedRasterError
        If pixels are complex integers, which numpy has no dtype for.

    Attributes
    ----------
    size : int
        Bytes.
    """

    def __init__(self, dataset: Dataset, store: TileStore | None = None) -> None:
        header = dataset.header
        metadata = header.metadata
        if metadata.dtype == "complex_int16":
            raise UnsupportedRasterError(f"{dataset.name}: complex_int16 is not read as a virtual GeoTIFF; use sarz.open, or "
                                         "rio sarcodec decompress")
        groups = [tuple(band + 1 for band in sorted(group.bands)) for group in header.groups]
        interleave = "pixel" if len(groups) == 1 else "band"
        block = block_shape(header.tile_size, metadata.height, metadata.width)
        planes = 1 if interleave == "pixel" else metadata.count
        factors = [1, *sorted(dataset.overviews(1))]
        self.levels = [Level(f, -(-metadata.height // f), -(-metadata.width // f), block, planes) for f in factors]
        samples = metadata.count if interleave == "pixel" else 1
        tile_bytes = block[0] * block[1] * samples * np.dtype(metadata.dtype).itemsize
        self._regions = lay_out(self.levels, template_tags(metadata, block, interleave), tile_bytes)
        self._starts = [region.start for region in self._regions]
        self._numbers = {level: number for number, level in enumerate(self.levels)}
        self._places = {band: (g, i) for g, bands in enumerate(groups) for i, band in enumerate(bands)}
        self._decoder = UnitDecoder(dataset, self.levels, groups)
        self._store = TileStore() if store is None else store
        self._name = object()  # in the store
        self.size = self._regions[-1].start + self._regions[-1].length

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`; fewer than `length` at the end of the file.

        Raises
        ------
        SarzError
            What reading the dataset raises; DamagedTileError names the tile.
        """
        return self.read_ranges([(offset, length)])[0]

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Bytes of several ``(offset, length)``: as `read`, but all tiles that are missing are decoded together."""
        pieces = [list(self._pieces(offset, length)) for offset, length in ranges]
        units = {
            self._unit(region.level, number)[0]
            for parts in pieces
            for region, start, length in parts
            if isinstance(region, Tiles)
            for number in _tiles_met(region, start, length)
        }
        tiles = self._store.fetch([(self._name, unit) for unit in units], self._decode) if units else {}
        return [_joined([data for part in parts for data in self._bytes(*part, tiles)]) for parts in pieces]

    def _decode(self, keys: Sequence[Hashable]) -> dict[Hashable, Planes]:
        decoded = self._decoder([unit for _, unit in keys])
        return {(self._name, unit): planes for unit, planes in decoded.items()}

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[Region, int, int]]:
        """A range as ``(region, offset in it, length)``."""
        if offset < 0 or length < 0:
            raise SarzOptionError(f"offset {offset}, length {length}: expected numbers from 0")
        end = min(offset + length, self.size)
        number = bisect_right(self._starts, offset) - 1
        while offset < end:
            region = self._regions[number]
            stop = min(end, region.start + region.length)
            yield region, offset - region.start, stop - offset
            offset, number = stop, number + 1

    def _unit(self, level: Level, number: int) -> tuple[Unit, int]:
        """The unit that a tile of a level is decoded with, and which of its planes the tile is."""
        plane, row, col = level.locate(number)
        group, member = (0, 0) if level.planes == 1 else self._places[plane + 1]
        return Unit(self._numbers[level], group, row, col), member

    def _bytes(self, region: Region, start: int, length: int, tiles: Mapping[Hashable, Planes]) -> Iterator[bytes]:
        if not isinstance(region, Tiles):
            yield region.read(start, length)
            return
        for number in _tiles_met(region, start, length):
            unit, plane = self._unit(region.level, number)
            begin = number * region.tile_bytes
            data = tiles[self._name, unit][plane]
            # A whole slice of bytes is no copy.
            yield data[max(0, start - begin) : min(region.tile_bytes, start + length - begin)]


def block_shape(tile_size: int, height: int, width: int) -> tuple[int, int]:
    """``(height, width)`` of the tiles of a raster: no larger than the raster needs, in steps of 16 pixels."""
    side = tile_size if SMALLEST_TILE <= tile_size <= LARGEST_TILE else TILE
    return tuple(min(side, -(-length // _TILE_STEP) * _TILE_STEP) for length in (height, width))


def _tiles_met(region: Tiles, start: int, length: int) -> range:
    """The numbers of the tiles that hold some bytes of a region."""
    return range(start // region.tile_bytes, -(-(start + length) // region.tile_bytes))


def _joined(parts: Sequence[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)
