"""A stand-in for the decoder: a .sarz without tile data whose pixels come from an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from sarz_format.container import Container, open_container
from sarz_format.container_writer import ContainerWriter
from sarz_format.header import BandGroup, Header
from sarz_format.index import EMPTY
from sarz_format.metadata import RasterMetadata
from sarz_format.reader import Dataset
from sarz_format.reader_options import ReadOptions
from sarz_format.statistics import BandStatistics


@dataclass
class ArrayStats:
    """As much of ReadStatistics as the decoder counts."""

    tiles_decoded: int = 0
    cache_hits: int = 0


@dataclass
class ArrayDecoder:
    """Serves windows of `values`, and of `overviews` by factor; `damaged` pixels hold nodata or 0. Records the boxes read."""

    values: np.ndarray
    damaged: np.ndarray | None = None
    nodata: float = 0
    boxes: list[tuple[int, int, int, int]] = field(default_factory=list)
    overview_boxes: list[tuple[int, int, int, int]] = field(default_factory=list)
    overviews: dict[int, np.ndarray] = field(default_factory=dict)
    stats: ArrayStats = field(default_factory=ArrayStats)

    def __call__(self, container: Container, **options: Any) -> ArrayDecoder:
        """Be the factory too; it pickles."""
        return self

    def read(
        self, bands: Sequence[int], row_off: int, col_off: int, height: int, width: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As WindowDecoder.read; IndexError outside the raster, which the reader must not ask for."""
        _, rows, cols = self.values.shape
        if not (0 <= row_off < row_off + height <= rows and 0 <= col_off < col_off + width <= cols):
            raise IndexError(f"window {row_off, col_off, height, width} is not inside {rows} x {cols}")
        self.boxes.append((row_off, col_off, height, width))
        self.stats.tiles_decoded += 1
        window = np.s_[row_off : row_off + height, col_off : col_off + width]
        values = self.values[(list(bands), *window)].copy()
        if self.damaged is None or not self.damaged[window].any():
            return values, None
        values[:, self.damaged[window]] = self.nodata
        return values, self.damaged[window].copy()

    def read_overview(
        self, bands: Sequence[int], factor: int, row_off: int, col_off: int, height: int, width: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As WindowDecoder.read_overview, of `overviews`."""
        damaged = None if self.damaged is None else self.damaged[::factor, ::factor]
        small = ArrayDecoder(self.overviews[factor], damaged, self.nodata, self.overview_boxes)
        return small.read(bands, row_off, col_off, height, width)


def write_tileless(path: Path, metadata: RasterMetadata, tile_size: int = 64) -> Path:
    """A well-formed .sarz of that metadata whose tiles are all empty."""
    groups = tuple(BandGroup((band,), "none", "0" * 64) for band in range(metadata.count))
    header = Header(metadata, tile_size, "db", "for a test", (0,) * metadata.count, 50, groups)
    with ContainerWriter(path, header) as writer:
        for _ in range(header.grid.rows * header.grid.cols * len(groups)):
            writer.write_tile(b"", b"", flags=EMPTY, quality=50)
        writer.finish([BandStatistics()] * metadata.count)
    return path


def open_like(geotiff: Path, tile_size: int = 64, **options: Any) -> Dataset:
    """A Dataset with the metadata and pixels of a GeoTIFF, so that rasterio on the GeoTIFF is its oracle."""
    with rasterio.open(geotiff) as src:
        metadata, values, factors = RasterMetadata.from_dataset(src), src.read(), src.overviews(1)
    overviews = {}
    for level, factor in enumerate(factors):
        with rasterio.open(geotiff, overview_level=level) as src:
            overviews[factor] = src.read()
    path = geotiff.with_suffix(".sarz")
    if not path.exists():
        write_tileless(path, metadata, tile_size)
    return Dataset(open_container(path), ReadOptions(**options), decoder_factory=ArrayDecoder(values, overviews=overviews))
