"""Pure integer geometry: pixels, latents (16 x 16 pixels) and tiles of one raster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 16
"""Pixels a side of one latent position."""

HYPER = 2
"""Latent positions a side of one hyperlatent position."""

GAIN_BLOCK = 64
"""Pixels a side of a block whose mean power has a gain of its own; tiles are multiples of it."""


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open rectangle ``[row0, row1) x [col0, col1)``."""

    row0: int
    col0: int
    row1: int
    col1: int

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.row1 - self.row0, self.col1 - self.col0

    @property
    def empty(self) -> bool:
        """Whether the box holds nothing."""
        return self.row1 <= self.row0 or self.col1 <= self.col0

    def intersection(self, other: Box) -> Box:
        """The common part; may be empty."""
        return Box(max(self.row0, other.row0), max(self.col0, other.col0),
                   min(self.row1, other.row1), min(self.col1, other.col1))

    def grown(self, margin: int) -> Box:
        """The box with `margin` more on every side."""
        return Box(self.row0 - margin, self.col0 - margin, self.row1 + margin, self.col1 + margin)

    def scaled(self, factor: int) -> Box:
        """The box in units `factor` times finer."""
        return Box(self.row0 * factor, self.col0 * factor, self.row1 * factor, self.col1 * factor)

    def blocks(self, size: int) -> Box:
        """The smallest box in units of `size` that covers this one."""
        return Box(self.row0 // size, self.col0 // size, -(-self.row1 // size), -(-self.col1 // size))

    def slices(self, origin: Box | None = None) -> tuple[slice, slice]:
        """Row and column slices, relative to the upper left corner of `origin`."""
        row, col = (origin.row0, origin.col0) if origin else (0, 0)
        return slice(self.row0 - row, self.row1 - row), slice(self.col0 - col, self.col1 - col)


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The tiling of a raster; `tile_size` is a multiple of 64, so tiles share the raster's one latent grid."""

    height: int
    width: int
    tile_size: int

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return -(-self.height // self.tile_size)

    @property
    def cols(self) -> int:
        """Columns of tiles."""
        return -(-self.width // self.tile_size)

    @property
    def raster(self) -> Box:
        """The raster in pixels."""
        return Box(0, 0, self.height, self.width)

    @property
    def latents(self) -> Box:
        """The raster in latent positions."""
        return self.raster.blocks(BLOCK)

    def tile(self, row: int, col: int) -> Box:
        """Pixels of a tile, clipped to the raster."""
        size = self.tile_size
        return Box(row * size, col * size, (row + 1) * size, (col + 1) * size).intersection(self.raster)

    def tile_latents(self, row: int, col: int) -> Box:
        """Latent positions of a tile, clipped to the raster."""
        return self.tile(row, col).blocks(BLOCK)

    def tiles_covering(self, pixels: Box) -> Iterator[tuple[int, int]]:
        """``(row, col)`` of every tile that meets `pixels`, row by row."""
        box = pixels.intersection(self.raster)
        if box.empty:
            return
        span = box.blocks(self.tile_size)
        for row in range(span.row0, span.row1):
            for col in range(span.col0, span.col1):
                yield row, col
