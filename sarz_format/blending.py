"""Joining decoded tiles.

With the model's whole receptive field as halo, decoded parts are the same whichever tile they were decoded with, and the
join is a crop. With a smaller overlap they differ a little near borders; then cosine-squared integer weights that sum to
`ONE` blend them over the part where both tiles have context to spare.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .grid import BLOCK, Box, TileGrid

ONE_BITS = 8
ONE = 1 << ONE_BITS


def ramp_pixels(overlap: int) -> int:
    """Pixels on either side of a border that are blended: half the overlap, whole latent positions; the rest is context."""
    return overlap // 2 // BLOCK * BLOCK


@lru_cache(maxsize=8)
def ramp(half: int) -> np.ndarray:
    """Rising weights int32 ``(2 half,)`` across a border; with the falling ones of the other tile they sum to `ONE`.

    sin^2 at pixel centres, rounded; the upper half is `ONE` minus the lower one, so the sum holds exactly.
    """
    position = (np.arange(half) + 0.5) / (2 * half)
    low = np.rint(ONE * np.sin(0.5 * np.pi * position) ** 2).astype(np.int32)
    return np.concatenate([low, ONE - low[::-1]])


def axis_weights(start: int, stop: int, half: int, limit: int) -> np.ndarray:
    """Weights int32 of pixels ``start - half .. stop + half`` (clipped to 0..limit) of a tile covering start..stop."""
    first, last = max(0, start - half), min(limit, stop + half)
    weights = np.full(last - first, ONE, np.int32)
    if half and start > 0:
        weights[: 2 * half] = ramp(half)[: last - first]
    if half and stop < limit:
        tail = min(last - stop + half, last - first)
        weights[-tail:] = np.minimum(weights[-tail:], ramp(half)[::-1][:tail])
    return weights


class Canvas:
    """Accumulates weighted tiles over a window and gives int16 pixels of 1/128 dB."""

    def __init__(self, grid: TileGrid, window: Box, bands: int, half: int) -> None:
        self.grid, self.window, self.half = grid, window, half
        self.total = np.zeros((bands, *window.shape), np.int64)

    def reach(self, tile: Box) -> Box:
        """Pixels that a tile contributes to."""
        return tile.grown(self.half).intersection(self.grid.raster)

    def add(self, tile: Box, pixels: np.ndarray) -> None:
        """Add decoded `pixels` int16 (bands, height, width) of ``reach(tile)``."""
        reach = self.reach(tile)
        rows = axis_weights(tile.row0, tile.row1, self.half, self.grid.height)
        cols = axis_weights(tile.col0, tile.col1, self.half, self.grid.width)
        part = reach.intersection(self.window)
        src_rows, src_cols = part.slices(reach)
        weights = rows[src_rows, None].astype(np.int64) * cols[None, src_cols]
        dst_rows, dst_cols = part.slices(self.window)
        self.total[:, dst_rows, dst_cols] += weights * pixels[:, src_rows, src_cols]

    def pixels(self) -> np.ndarray:
        """The blended window, rounded half up."""
        return ((self.total + (1 << (2 * ONE_BITS - 1))) >> (2 * ONE_BITS)).astype(np.int16)
