"""From a raster to the tiles of a lossless file: every tile is EMPTY and FALLBACK, and no model is needed.

::

    read row r + 1 | classify and code the tiles of row r, write them
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .codec.pool import parallel_map
from .codec.tile import pack_coarse, pack_detail
from .container_writer import ContainerWriter
from .dtypes import to_parts
from .fallback import encode_lossless
from .header import Header
from .index import EMPTY, FALLBACK
from .mask import EXACT, NODATA, class_plane, classify
from .reached import Reached
from .reports import NO_ARITHMETIC
from .statistics import BandStatistics
from .strips import RowReader, read_ahead
from .timing import Stages

NO_SEGMENTS = [b"", b""]


@dataclass(frozen=True, slots=True)
class PackedTile:
    """A tile of a file without latents. ``statistics`` and ``worst`` (the largest error, in the unit of the file's bound)
    have one entry a band, none where no pixel is VALID."""

    coarse: bytes
    detail: bytes
    flags: int
    statistics: Sequence[BandStatistics] = ()
    worst: Sequence[float] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of both parts."""
        return len(self.coarse) + len(self.detail)


class LosslessEncoder:
    """Codes a raster whose header says that it is lossless. To reports it is what `encoder.Encoder` is."""

    stage = "code losslessly"
    """Name of the work in `timings`."""

    def __init__(self, header: Header) -> None:
        self.header, self.grid = header, header.grid
        self.reached = Reached(None)
        self.statistics = [BandStatistics()] * header.metadata.count
        self.empty_tiles = self.fallback_tiles = 0
        self.arithmetic, self.arithmetic_refused = NO_ARITHMETIC, []
        self._stages = Stages()

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by stage."""
        return dict(self._stages.seconds)

    def encode(self, read_row: RowReader, writer: ContainerWriter, progress: Callable[[int, int], None]) -> None:
        """Code every row, writing in index order; `progress` gets tiles written and tiles in all."""
        keys = [(group, col) for col in range(self.grid.cols) for group in range(len(self.header.groups))]
        with contextlib.closing(read_ahead(read_row, self.grid.rows, self._stages)) as rows:
            for row, values in enumerate(rows):
                with self._stages(self.stage):
                    tiles = parallel_map(partial(self._pack, values, row), keys)
                with self._stages("write"):
                    for (group, _), tile in zip(keys, tiles):
                        writer.write_tile(tile.coarse, tile.detail, flags=tile.flags, quality=self.header.quality)
                        self._written(tile, group)
                progress((row + 1) * self.grid.cols, self.grid.rows * self.grid.cols)

    def _pack(self, values: np.ndarray, row: int, key: tuple[int, int]) -> PackedTile:
        """The tile at `key` (group, column), from values ``(bands, height, width)`` of its row."""
        group, col = key
        box, bands = self.grid.tile(row, col), list(self.header.groups[group].bands)
        return self._coded(values[bands, :, box.col0 : box.col1], group)

    def _coded(self, values: np.ndarray, group: int) -> PackedTile:
        """A tile of values ``(bands, height, width)`` of a group."""
        planes = [class_plane(self._classes(v, band)) for v, band in zip(values, self.header.groups[group].bands)]
        copy = encode_lossless(to_parts(values, self.header.metadata.dtype))
        nothing = values[:, :0]  # All exact values are in the lossless copy.
        detail = pack_detail(NO_SEGMENTS, nothing, nothing, copy)
        return PackedTile(pack_coarse(planes, NO_SEGMENTS), detail, EMPTY | FALLBACK)

    def _written(self, tile: PackedTile, group: int) -> None:
        """Count a tile."""
        self.empty_tiles += tile.flags == EMPTY
        self.fallback_tiles += bool(tile.flags & FALLBACK)
        for band, statistics in zip(self.header.groups[group].bands, tile.statistics):
            self.statistics[band] += statistics

    def _classes(self, values: np.ndarray, band: int) -> np.ndarray:
        """Classes tell masks alone: what is nodata (of complex values: has a real part that is), and the rest, zeros too,
        EXACT."""
        classes = classify(values.real, np.zeros(values.shape, bool), self.header.metadata.nodata[band])
        return np.where(classes == NODATA, classes, np.uint8(EXACT))
