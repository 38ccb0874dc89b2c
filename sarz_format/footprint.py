"""About how much memory compressing takes, for a warning before it starts."""

from __future__ import annotations

from .dtypes import array_dtype, is_complex
from .gdal_cache import CACHE_BYTES
from .header import Header

LARGE_TILE = 2048
"""Tiles of this many pixels a side and more are warned of: memory grows with the area of a tile."""

BASE_BYTES = 420 << 20
"""Python with torch, numba, GDAL and the models."""

ROWS_HELD = 3
"""Rows of tiles in memory: above, current and below."""

SAMPLE_BYTES = 1 + 2 + 2
"""Of a band pixel of such a row besides its value: class, fixed-point dB and latents."""

ROW_WORK_BYTES = 2 + 2
"""Of a band pixel of the row that is worked on: once more its dB, with margins, and decoded."""

WORK_BYTES = 34
"""Of a band pixel of a tile while networks and entropy coder work on it; fitted to the table in docs/design.md."""

LOSSLESS_BYTES = 90
"""Of a number of a tile while it is coded losslessly: floats and integers of 64 bits, in planes of parts if complex."""


def compression_bytes(header: Header, workers: int) -> int:
    """About the most memory that compressing a raster takes.

    Parameters
    ----------
    header
        Of the file to be.
    workers
        Tiles that are worked on at once.
    """
    grid, metadata = header.grid, header.metadata
    itemsize = array_dtype(metadata.dtype).itemsize
    height, width = min(grid.tile_size, metadata.height), min(grid.tile_size, metadata.width)
    row_samples = height * metadata.width * metadata.count
    read_ahead = itemsize if grid.rows > 1 else 0
    rows = row_samples * (min(ROWS_HELD, grid.rows) * (itemsize + SAMPLE_BYTES) + read_ahead + ROW_WORK_BYTES)
    largest_group = max(len(group.bands) for group in header.groups)
    work_bytes = LOSSLESS_BYTES * (2 if is_complex(metadata.dtype) else 1) if header.lossless else WORK_BYTES
    work = height * width * largest_group * work_bytes * min(workers, grid.cols)
    cache = min(CACHE_BYTES, metadata.height * metadata.width * metadata.count * itemsize)
    return BASE_BYTES + cache + rows + work
