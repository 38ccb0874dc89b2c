"""Qualities for a size in bytes: one from a sample, corrected as rows are written, and settled in the last row.

::

    bytes left for rows r, r + 1, ... = budget - preamble, header, statistics, index - bytes of the rows before r
    bytes that they will take at q    = bytes that the sample predicts at q * (actual / predicted so far)

A row keeps the quality of the one before unless the file would miss its size by more than SLACK. The last row is coded
at several qualities where it has to be: what it takes is known then, not predicted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from .codec.device import Engine
from .codec.mosaic import BatchRunner
from .codec.pool import parallel_map
from .coding import AnalysedTile, Key, TileCoder
from .container_writer import front_bytes
from .correcting import correction_bytes
from .header import Header
from .quality import MAX_QUALITY, MIN_QUALITY
from .radiometry import BandRadiometry
from .rate_sample import RateSample, WindowReader, constant_bytes
from .strips import Strip

SLACK = 0.01
"""Share of the file by which a size may be missed without a correction."""

LARGEST_CHANGE, CHANGE_IN_ALL = 2, 20
"""Qualities by which a row may differ from the one before; in rasters of few rows, as many as make the second number."""

LAST_ROW_CHANGE = 12
"""Qualities by which the last of several rows may differ from the one before."""

REFINEMENTS = 3
"""How often the sample is coded again at the quality that it predicts."""

PRIOR = 0.15
"""Share of the raster that counts as coded just as predicted, so that the first rows do not move much."""


class RateControl:
    """Chooses qualities for a file of `budget` bytes.

    Attributes
    ----------
    quality : int
        Of the row being coded; before the first, of the whole raster by the sample.
    """

    def __init__(self, header: Header, radiometry: list[BandRadiometry], engines: list[Engine], run: BatchRunner,
                 read: WindowReader, budget: float) -> None:
        self._header, self._grid, self._budget = header, header.grid, budget
        self._front = front_bytes(header)
        self._sample = RateSample(header, radiometry, engines, run, read)
        self._weights = _weights(header, self._sample)
        self._sizes: dict[int, int] = {}
        self._predicted: dict[int, float] = {}
        self._curves: dict[int, np.ndarray] = {}
        self.quality = self._start()
        self._sample.forget()

    def code(self, coder: TileCoder, above: Strip | None, strip: Strip, tiles: Mapping[Key, AnalysedTile]) -> None:
        """See control.Control."""
        row, rows = strip.row, self._grid.rows
        bands = [list(group.bands) for group in self._header.groups]
        # Known exactly where it matters: the row before the last is not written when the last is coded.
        constant = self._constant(strip) if row >= rows - 2 else 0

        def size_at(quality: int) -> int:
            coder.code(strip, tiles, {key: quality for key in tiles if strip.qualities.get(key) != quality})
            streams = sum(len(part) for key in tiles for both in strip.segments[key] for part in both)
            if row < rows - 2:
                return streams
            return constant + streams + correction_bytes(strip, self._grid, bands, coder.decode(tiles, above, strip, None))

        if row + 1 < rows:
            if row:
                self.quality = self._corrected(row)
            self._sizes[row] = size_at(self.quality)
        else:
            self._settle(row, size_at)
        self._predicted[row] = self._row_bytes(self.quality)[row]

    def written(self, row: int, size: int) -> None:
        """See control.Control."""
        self._sizes[row] = size

    def _start(self) -> int:
        """The quality whose predicted bytes are nearest to the budget; the sample is coded there too."""
        total = lambda quality: self._front + float(self._row_bytes(quality).sum())  # noqa: E731
        quality = _nearest(total, self._budget, MIN_QUALITY, MAX_QUALITY)
        for _ in range(REFINEMENTS):
            self._sample.measure(quality)
            self._curves.clear()
            quality = _nearest(total, self._budget, MIN_QUALITY, MAX_QUALITY)
        return quality

    def _row_bytes(self, quality: int) -> np.ndarray:
        """Predicted bytes of each row of tiles at a quality."""
        if quality not in self._curves:
            rows, heights, cols = self._weights
            self._curves[quality] = (self._sample.density(quality) @ cols)[rows] * heights
        return self._curves[quality]

    def _total(self, row: int, quality: int) -> float:
        """Predicted bytes of the file if the rows from `row` on have a quality."""
        spent, predicted = sum(self._sizes[r] for r in range(row)), sum(self._predicted[r] for r in range(row))
        prior = PRIOR * float(self._row_bytes(quality).sum())
        factor = (spent + prior) / (predicted + prior) if predicted + prior else 1.0
        return self._front + spent + factor * float(self._row_bytes(quality)[row:].sum())

    def _corrected(self, row: int) -> int:
        total = lambda quality: self._total(row, quality)  # noqa: E731
        if abs(total(self.quality) / self._budget - 1) <= SLACK:
            return self.quality
        change = max(LARGEST_CHANGE, math.ceil(CHANGE_IN_ALL / self._grid.rows))
        return _nearest(total, self._budget, max(MIN_QUALITY, self.quality - change),
                        min(MAX_QUALITY, self.quality + change))

    def _settle(self, row: int, size_at: Callable[[int], int]) -> None:
        """Code the last row so that the file comes nearest to its size."""
        before = self._front + sum(self._sizes[r] for r in range(row))
        low, high = (max(MIN_QUALITY, self.quality - LAST_ROW_CHANGE), min(MAX_QUALITY, self.quality + LAST_ROW_CHANGE))
        if not row:
            low, high = MIN_QUALITY, MAX_QUALITY
        total = lambda quality: before + size_at(quality)  # noqa: E731
        if abs(total(self.quality) / self._budget - 1) > SLACK:
            self.quality = _nearest(total, self._budget, low, high, self.quality)
        self._sizes[row] = size_at(self.quality)

    def _constant(self, strip: Strip) -> int:
        def of(key: Key) -> int:
            group, col = key
            where = (list(self._header.groups[group].bands), *self._grid.tile(strip.row, col).slices(strip.box))
            return constant_bytes(strip.values[where], strip.classes[where], key in strip.lossless)

        return sum(parallel_map(of, list(strip.latents)))


def _nearest(total: Callable[[int], float], budget: float, low: int, high: int, first: int | None = None) -> int:
    """The quality from `low` to `high` at which a rising `total` is nearest to `budget`, by its ratio; by halving.

    The first steps go from `first` outwards in growing strides, since it is likely near.
    """
    known: dict[int, float] = {}

    def excess(quality: int) -> float:
        if quality not in known:
            known[quality] = math.log(total(quality) / budget)
        return known[quality]

    if first is not None:
        stride, upwards = 2, excess(first) < 0
        while True:
            following = min(high, first + stride) if upwards else max(low, first - stride)
            if (excess(following) < 0) != upwards or following in (low, high):
                low, high = (max(low, first), following) if upwards else (following, min(high, first))
                break
            first, stride = following, 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return min((low, high), key=lambda quality: (abs(excess(quality)), quality))


def _weights(header: Header, sample: RateSample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the nearest sampled row: its number for each row of tiles, and their heights; columns of tiles by sampled column."""
    grid = header.grid
    rows = _nearest_position(grid.rows, sample.rows)
    cols = _nearest_position(grid.cols, sample.cols)
    heights = np.minimum(grid.tile_size, grid.height - grid.tile_size * np.arange(grid.rows))
    widths = np.minimum(grid.tile_size, grid.width - grid.tile_size * np.arange(grid.cols))
    return rows, heights, np.bincount(cols, widths, len(sample.cols))


def _nearest_position(count: int, positions: list[int]) -> np.ndarray:
    middles = (np.array(positions[:-1]) + np.array(positions[1:])) / 2 if len(positions) > 1 else np.empty(0)
    return np.searchsorted(middles, np.arange(count))
