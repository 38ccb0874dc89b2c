"""How many bytes a tile's parts can have: bounds that follow from its geometry and that no honest writer exceeds.

What the index says is checked against them before a part is read, so that a hostile file cannot ask for more memory than
its raster would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .codec.model import HYPER_CHANNELS, LOWEST
from .errors import SarzFormatError
from .grid import BLOCK, GAIN_BLOCK, HYPER
from .index import TileIndex

BLOCK_LATENTS = BLOCK * BLOCK

LENGTH_BYTES = 5
"""The most that a segment's length takes."""

STREAM_HEAD_BYTES = 1 + 4 * 32
"""A stream's number of lanes, and the states of 32."""

SYMBOL_BYTES = 2 + 4
"""A word of the stream, and the 31 bits of the longest escape."""


CORRECTION_BYTES, GAIN_BYTES = 64, 4
"""The most that corrections begin with, and that a gain takes; a pixel takes up to three bytes, as `part_limits` says."""


def deflate_limit(size: int) -> int:
    """The most bytes that DEFLATE makes of `size`: stored blocks, none of them small, and some room."""
    return size + size // 128 + 64


def part_limits(height: int, width: int, bands: int, itemsize: int) -> tuple[int, int]:
    """The most bytes of the coarse and the detail part of a tile of a band group.

    Parameters
    ----------
    height, width
        Of the tile in pixels.
    bands
        Of the group.
    itemsize
        Bytes of a value.
    """
    rows, cols = -(-height // BLOCK), -(-width // BLOCK)
    hyperlatents = -(-rows // HYPER) * -(-cols // HYPER) * HYPER_CHANNELS
    positions = rows * cols * bands
    planes = bands * (1 + deflate_limit(-(-height * width // 4)))
    # Exact values, or a lossless copy, whose method byte and DEFLATE are no longer.
    values = bands * deflate_limit(height * width * itemsize)
    gains = -(-height // GAIN_BLOCK) * -(-width // GAIN_BLOCK)
    corrections = bands * (CORRECTION_BYTES + GAIN_BYTES * gains + 3 * height * width)
    coarse = planes + _stream_limit(hyperlatents + len(LOWEST) * positions) + LENGTH_BYTES * (bands + 2)
    detail = _stream_limit((BLOCK_LATENTS - len(LOWEST)) * positions) + values + corrections + LENGTH_BYTES * (2 * bands + 3)
    return coarse, detail


def _stream_limit(symbols: int) -> int:
    """The most bytes of a stream and of its escape bits."""
    return STREAM_HEAD_BYTES + SYMBOL_BYTES * symbols


def check_part_lengths(index: TileIndex, bands: Sequence[int], itemsize: int) -> None:
    """Raise SarzFormatError, which names the tile, where a part is longer than its tile can need.

    Parameters
    ----------
    index
        Of the file.
    bands
        Number of bands of each group.
    itemsize
        Bytes of a value.
    """
    grid = index.grid
    shape = grid.rows, grid.cols, index.groups
    counts = np.array(bands)
    for rows, height in _spans(grid.rows, grid.tile_size, grid.height):
        for cols, width in _spans(grid.cols, grid.tile_size, grid.width):
            for count in np.unique(counts):
                members = np.flatnonzero(counts == count)
                for part, limit in zip(("coarse", "detail"), part_limits(height, width, int(count), itemsize)):
                    lengths = index.entries[f"{part}_length"].reshape(shape)[rows, cols, members]
                    _check(lengths, limit, part, (rows.start, cols.start, members))


def _spans(tiles: int, size: int, length: int) -> Iterator[tuple[slice, int]]:
    """Tiles along an axis that have one size, and that size: all but the last, and the last."""
    if tiles > 1:
        yield slice(0, tiles - 1), size
    yield slice(tiles - 1, tiles), length - (tiles - 1) * size


def _check(lengths: np.ndarray, limit: int, part: str, origin: tuple[int, int, np.ndarray]) -> None:
    if not lengths.size or lengths.max() <= limit:
        return
    row, col, member = np.unravel_index(int(np.argmax(lengths)), lengths.shape)
    raise SarzFormatError(
        f"index entry of tile row {origin[0] + row}, column {origin[1] + col}, band group {origin[2][member]}: its {part} "
        f"part has {lengths[row, col, member]} bytes, but a tile of this size has at most {limit}")
