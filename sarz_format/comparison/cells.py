"""Cells: parts of both rasters with a margin of their surroundings, small enough to work on in a processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..grid import Box
from .inputs import Input

CELL = 512
"""Pixels a side: a multiple of all block sizes, so that blocks lie in one grid over the raster."""

MARGIN = 16
"""Pixels around a cell that measures may look at."""


@dataclass(frozen=True)
class Cell:
    """One band of a part of both rasters. Arrays are float64 ``(height + 2 MARGIN, width + 2 MARGIN)``.

    Attributes
    ----------
    box
        The cell without its margin, in pixels of the raster.
    db_a, db_b
        Decibels; NaN where a pixel is not valid, and beyond the raster.
    power_a, power_b
        Linear power; 0 there.
    """

    box: Box
    db_a: np.ndarray
    db_b: np.ndarray
    power_a: np.ndarray
    power_b: np.ndarray

    @cached_property
    def valid(self) -> np.ndarray:
        """Where both are valid, bool of the arrays' shape."""
        return ~(np.isnan(self.db_a) | np.isnan(self.db_b))

    @staticmethod
    def core(array: np.ndarray) -> np.ndarray:
        """An array without its margin."""
        return array[MARGIN:-MARGIN, MARGIN:-MARGIN]


@dataclass(frozen=True, slots=True)
class Strip:
    """A row of cells of both rasters, with its margin as far as the raster reaches."""

    a: Input
    b: Input
    box: Box
    read_box: Box
    values_a: np.ndarray
    mask_a: np.ndarray | None
    values_b: np.ndarray
    mask_b: np.ndarray | None

    def boxes(self) -> Iterator[Box]:
        """The places of its cells, from left to right."""
        for col in range(0, self.box.col1, CELL):
            yield Box(self.box.row0, col, self.box.row1, min(col + CELL, self.box.col1))

    def cell(self, band: int, box: Box) -> Cell:
        """One band (from 0) of one cell."""
        seen = box.grown(MARGIN).intersection(self.read_box)
        at, to = seen.slices(self.read_box), seen.slices(box.grown(MARGIN))
        sides = []
        for side, values, mask in ((self.a, self.values_a, self.mask_a), (self.b, self.values_b, self.mask_b)):
            part = side.decibels(band, values[(band, *at)], None if mask is None else mask[(band, *at)])
            shape = box.grown(MARGIN).shape
            for filled, source in zip((np.full(shape, np.nan), np.zeros(shape)), part):
                filled[to] = source
                sides.append(filled)
        db_a, power_a, db_b, power_b = sides
        return Cell(box, db_a, db_b, power_a, power_b)


def strips(a: Input, b: Input) -> Iterator[Strip]:
    """Both rasters from top to bottom, a row of cells at a time."""
    raster = a.raster
    for top in range(0, raster.row1, CELL):
        box = Box(top, 0, top + CELL, raster.col1).intersection(raster)
        read_box = box.grown(MARGIN).intersection(raster)
        yield Strip(a, b, box, read_box, *a.read(read_box), *b.read(read_box))
