"""Rows of tiles on their way into a file: raw values, classes and the codec's pixels, with margins from the next rows."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from .codec.pool import parallel_map
from .filling import fill_invalid
from .grid import BLOCK, Box, TileGrid
from .header import Header
from .mask import VALID, classify
from .radiometry import BandRadiometry
from .timing import Stages

RowReader = Callable[[int], np.ndarray]
"""Values ``(bands, height, width)`` of a row of tiles."""


@dataclass(slots=True)
class Strip:
    """One row of tiles.

    ``values`` (bands, height, width) of the raster's dtype, ``classes`` uint8 and ``pixels`` int16 (filled) of the same
    shape, ``latents`` by (group, tile column): what the decoder will have, None where a tile is empty; ``qualities`` of those
    that are not. ``lossless`` has the (group, tile column) of tiles that are kept losslessly and have no latents,
    ``targets`` the bright targets of each band of other tiles.
    """

    row: int
    box: Box
    values: np.ndarray
    classes: np.ndarray
    pixels: np.ndarray
    latents: dict[tuple[int, int], np.ndarray | None] = field(default_factory=dict)
    segments: dict[tuple[int, int], tuple[list[bytes], list[bytes]]] = field(default_factory=dict)
    lossless: set[tuple[int, int]] = field(default_factory=set)
    targets: dict[tuple[int, int], list[np.ndarray]] = field(default_factory=dict)
    qualities: dict[tuple[int, int], int] = field(default_factory=dict)

    def release_pixels(self) -> None:
        """Let go of all but the latents, which the next strip's decoding still needs."""
        self.values = self.classes = self.pixels = np.empty((0, 0, 0))
        self.segments = {}


def read_ahead(read_row: RowReader, rows: int, stages: Stages) -> Generator[np.ndarray]:
    """Values of the rows in order; the next one is read while the caller works."""
    with ThreadPoolExecutor(1, thread_name_prefix="sarz-read") as reader:
        ahead = reader.submit(read_row, 0)
        for row in range(rows):
            with stages("wait for input"):
                values = ahead.result()
            if row + 1 < rows:
                ahead = reader.submit(read_row, row + 1)
            yield values


def make_strip(header: Header, radiometry: list[BandRadiometry], row: int, values: np.ndarray) -> Strip:
    """Classify, convert and fill the values of a row of tiles."""
    grid = header.grid
    box = Box(row * grid.tile_size, 0, min((row + 1) * grid.tile_size, grid.height), grid.width)
    strip = Strip(row, box, values, np.empty(values.shape, np.uint8), np.empty(values.shape, np.int16))
    parallel_map(lambda job: _prepare(header, radiometry, strip, *job),
                 [(col, bands.bands) for col in range(grid.cols) for bands in header.groups])
    return strip


def _prepare(header: Header, radiometry: list[BandRadiometry], strip: Strip, col: int, bands: tuple[int, ...]) -> None:
    rows, cols = header.grid.tile(strip.row, col).slices(strip.box)
    pixels = np.empty((len(bands), *strip.values[0, rows, cols].shape), np.int16)
    valid = np.empty(pixels.shape, bool)
    for member, band in enumerate(bands):
        values = strip.values[band, rows, cols]
        pixels[member], codable = radiometry[band].to_pixels(values)
        classes = classify(values, codable, radiometry[band].nodata)
        strip.classes[band, rows, cols] = classes
        valid[member] = classes == VALID
    fill_invalid(pixels, valid)
    strip.pixels[list(bands), rows, cols] = pixels


def padded_pixels(grid: TileGrid, bands: list[int], strip: Strip, above: Strip | None, below: Strip | None,
                  margin: int) -> np.ndarray:
    """Some bands of a strip's pixels with `margin` more on every side, its height and width filled up to whole blocks.

    Beyond the raster the outermost pixel is repeated.
    """
    height, width = strip.box.shape
    top = above.pixels[bands, -margin:] if above is not None else None
    bottom = below.pixels[bands, :margin] if below is not None else None
    joined = np.concatenate([part for part in (top, strip.pixels[bands], bottom) if part is not None], axis=1)
    missing_top = margin - (0 if top is None else top.shape[1])
    missing_bottom = -height % BLOCK + margin - (0 if bottom is None else bottom.shape[1])
    return np.pad(joined, ((0, 0), (missing_top, missing_bottom), (margin, -width % BLOCK + margin)), mode="edge")
