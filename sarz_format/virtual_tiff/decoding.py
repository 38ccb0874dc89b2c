"""From tiles that are wanted to their bytes, in as few reads of the dataset as their shape allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
from rasterio.windows import Window

from ..grid import Box
from .layout import Level
from .tile_store import Planes

READ_BYTES = 64 << 20
"""About the most pixels that are read at once, so that many tiles do not become one huge array."""


class PixelSource(Protocol):
    """What is needed of an open dataset."""

    def read(self, indexes: Sequence[int], *, window: Window) -> np.ndarray:
        """Pixels ``(bands, height, width)`` of 1-based bands."""

    def read_overview(self, factor: int, window: Window, indexes: Sequence[int]) -> np.ndarray:
        """The same of an overview, its window in the overview's pixels."""


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """What is decoded together: the tile of a level at ``(row, col)``, in all bands of a group."""

    level: int
    group: int
    row: int
    col: int


@dataclass(frozen=True, slots=True)
class UnitDecoder:
    """Decodes units of a dataset.

    Attributes
    ----------
    levels : sequence of Level
    groups : sequence of sequence of int
        1-based bands that are decoded together; a single group's tiles hold all bands pixel by pixel.
    """

    source: PixelSource
    levels: Sequence[Level]
    groups: Sequence[Sequence[int]]

    def __call__(self, units: Sequence[Unit]) -> dict[Unit, Planes]:
        """The bytes of `units`, decoded in rectangles."""
        decoded: dict[Unit, Planes] = {}
        for (number, group), members in groupby(sorted(units), key=lambda unit: (unit.level, unit.group)):
            level, tiles = self.levels[number], {(unit.row, unit.col) for unit in members}
            for part in rectangles(tiles):
                for rectangle in _bands_of_rows(part, self._rows_at_once(level, group, part)):
                    decoded |= self._rectangle(number, group, rectangle)
        return decoded

    def _rows_at_once(self, level: Level, group: int, rectangle: Box) -> int:
        pixels = level.block[0] * level.block[1] * (rectangle.col1 - rectangle.col0)
        return max(1, READ_BYTES // (pixels * len(self.groups[group]) * 8))

    def _rectangle(self, number: int, group: int, tiles: Box) -> Iterable[tuple[Unit, Planes]]:
        """Read the pixels of a rectangle of tiles and cut them up."""
        level, bands = self.levels[number], self.groups[group]
        first, last = level.tile(tiles.row0, tiles.col0), level.tile(tiles.row1 - 1, tiles.col1 - 1)
        box = Box(first.row0, first.col0, last.row1, last.col1)
        window = Window(box.col0, box.row0, box.col1 - box.col0, box.row1 - box.row0)
        if level.factor == 1:
            values = self.source.read(bands, window=window)
        else:
            values = self.source.read_overview(level.factor, window, bands)
        for row in range(tiles.row0, tiles.row1):
            for col in range(tiles.col0, tiles.col1):
                part = values[(slice(None), *level.tile(row, col).slices(box))]
                yield Unit(number, group, row, col), tile_planes(part, level)


def tile_planes(values: np.ndarray, level: Level) -> Planes:
    """Pixels ``(bands, height, width)`` as bytes of tiles, with zeros beyond the border: a plane a band, or one of all."""
    if values.shape[1:] != level.block:
        padded = np.zeros((len(values), *level.block), values.dtype)
        padded[:, : values.shape[1], : values.shape[2]] = values
        values = padded
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    if level.planes == 1:
        return (np.ascontiguousarray(np.moveaxis(values, 0, -1)).tobytes(),)
    return tuple(band.tobytes() for band in values)


def rectangles(tiles: Iterable[tuple[int, int]]) -> Iterator[Box]:
    """Rectangles that hold just the given tiles, ``(row, col)``, each once: runs of columns, as far down as they go."""
    open_runs: dict[tuple[int, int], tuple[int, int]] = {}  # columns to rows
    for row, members in groupby(sorted(set(tiles)), key=lambda tile: tile[0]):
        runs = {}
        for col0, col1 in _runs([col for _, col in members]):
            row0, row1 = open_runs.pop((col0, col1), (row, row))
            if row1 != row:
                yield Box(row0, col0, row1, col1)
                row0 = row
            runs[col0, col1] = row0, row + 1
        for (col0, col1), (row0, row1) in open_runs.items():
            yield Box(row0, col0, row1, col1)
        open_runs = runs
    for (col0, col1), (row0, row1) in open_runs.items():
        yield Box(row0, col0, row1, col1)


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Half-open runs of neighbours among sorted numbers."""
    start = previous = numbers[0]
    for number in numbers[1:]:
        if number != previous + 1:
            yield start, previous + 1
            start = number
        previous = number
    yield start, previous + 1


def _bands_of_rows(box: Box, rows: int) -> Iterator[Box]:
    for row in range(box.row0, box.row1, rows):
        yield Box(row, box.col0, min(row + rows, box.row1), box.col1)
