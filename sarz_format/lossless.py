"""From a raster to the tiles of a lossless file: every tile is EMPTY and FALLBACK, and no model is needed.

::

    read row r + 1 | classify and code the tiles of row r, write them
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
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


class LosslessEncoder:
    """Codes a raster whose header says that it is lossless. To reports it is what `encoder.Encoder` is."""

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
                with self._stages("code losslessly"):
                    tiles = parallel_map(partial(self._pack, values, row), keys)
                with self._stages("write"):
                    for coarse, detail in tiles:
                        writer.write_tile(coarse, detail, flags=EMPTY | FALLBACK, quality=self.header.quality)
                self.fallback_tiles += len(tiles)
                progress((row + 1) * self.grid.cols, self.grid.rows * self.grid.cols)

    def _pack(self, values: np.ndarray, row: int, key: tuple[int, int]) -> tuple[bytes, bytes]:
        """Coarse and detail part of the tile at `key` (group, column), from values ``(bands, height, width)`` of its row."""
        group, col = key
        box, bands = self.grid.tile(row, col), list(self.header.groups[group].bands)
        tile = values[bands, :, box.col0 : box.col1]
        planes = [class_plane(self._classes(v, band)) for v, band in zip(tile, bands)]
        copy = encode_lossless(to_parts(tile, self.header.metadata.dtype))
        nothing = tile[:, :0]  # All exact values are in the lossless copy.
        return pack_coarse(planes, NO_SEGMENTS), pack_detail(NO_SEGMENTS, nothing, nothing, copy)

    def _classes(self, values: np.ndarray, band: int) -> np.ndarray:
        """Classes tell masks alone: what is nodata (of complex values: has a real part that is), and the rest, zeros too,
        EXACT."""
        classes = classify(values.real, np.zeros(values.shape, bool), self.header.metadata.nodata[band])
        return np.where(classes == NODATA, classes, np.uint8(EXACT))
