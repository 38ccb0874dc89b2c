"""The way back: .sarz to GeoTIFF, plain or cloud-optimised."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.windows import Window, from_bounds

from .casting import cast_bands
from .cog import write_cog
from .container import Container, open_container
from .dtypes import array_dtype, is_complex
from .errors import SarzError, SarzIOError, SarzOptionError, SarzWindowError
from .gdal_cache import bounded_gdal_cache
from .grid import Box
from .memory import READING, memory_errors
from .metadata import RasterMetadata
from .output import atomic_output, refuse_overwriting
from .radiometry import checked_dtype
from .reports import DecompressReport
from .tiff_options import checked_creation_options

Progress = Callable[[int, int], None]
TIFF_BLOCK = 512


def decompress(src: str | os.PathLike, dst: str | os.PathLike, *, indexes: Sequence[int] | int | None = None,
               window: Window | None = None, bounds: Sequence[float] | None = None, dtype: str | None = None,
               cog: bool = False, overlap: int | None = None, skip_damaged: bool = False, power_gains: bool = True,
               compression: str | None = None, creation_options: Mapping[str, Any] | None = None, device: str = "auto",
               batch_size: int | str = "auto", overwrite: bool = False,
               progress: Progress | None = None) -> DecompressReport:
    """Write a .sarz file, or a part of it, as a GeoTIFF.

    Parameters
    ----------
    src, dst
        The .sarz file, and the GeoTIFF to write.
    indexes
        Bands, from 1; all by default.
    window, bounds
        A part: whole pixels, or ``(left, bottom, right, top)`` in the raster's CRS, grown to whole pixels.
    dtype
        Of the output; values are rounded and clipped to it. The raster's by default.
    cog
        Write a cloud-optimised GeoTIFF with overviews.
    overlap
        Context from neighbouring tiles in pixels; see `sarz.open`.
    skip_damaged
        Leave out damaged tiles (nodata, or 0) instead of failing.
    power_gains
        Keep the mean power of blocks; see `sarz.open`.
    compression
        Of the GeoTIFF, one of `tiff_options.COMPRESSIONS`; by default none, and deflate in a COG.
    creation_options
        Further options of GDAL's GTiff (or COG) driver.
    device, batch_size, overwrite, progress
        As for `compress`.

    Raises
    ------
    SarzFormatError, SarzFileNotFoundError, SarzIOError, OutputExistsError, SarzOptionError, SarzWindowError,
    ModelNotFoundError, DeviceError, SarzMemoryError
    """
    started = time.perf_counter()
    options = checked_creation_options(compression, creation_options)
    container = open_container(src)
    with container.source, bounded_gdal_cache(), memory_errors(container.source.name, READING):
        refuse_overwriting([container.source.name], dst)
        bands = _bands(indexes, container)
        box = _part(container, window, bounds)
        metadata = _output_metadata(container.header.metadata, bands, box, dtype)
        from .decoder import WindowDecoder

        decoder = WindowDecoder(container, device=device, batch_size=batch_size, overlap=overlap,
                                on_damage="mask" if skip_damaged else "raise", power_gains=power_gains)

        def write(path: Path, extra: Mapping[str, Any]) -> None:
            _write_geotiff(decoder, bands, box, metadata, path, extra, progress)

        with atomic_output(dst, overwrite) as temporary, _gdal_errors(os.fspath(dst)):
            if cog:
                write_cog(write, temporary, metadata, options)
            else:
                write(temporary, options)
            _check_complete(temporary, sparse="sparse_ok" in options)
        return DecompressReport(
            input=container.source.name, output=str(dst), width=metadata.width, height=metadata.height, count=metadata.count,
            dtype=metadata.dtype, input_bytes=container.source.size, output_bytes=Path(dst).stat().st_size,
            tiles=len(list(container.header.grid.tiles_covering(box))), seconds=time.perf_counter() - started,
            arithmetic=decoder.arithmetic, damaged_tiles=decoder.damaged_tiles,
            notes=[*container.header.notes, *metadata.geotiff_losses()], timings=decoder.timings,
            arithmetic_refused=decoder.arithmetic_refused)


@contextlib.contextmanager
def _gdal_errors(name: str) -> Iterator[None]:
    """Turn what GDAL, rasterio and rio-cogeo raise while writing into a SarzIOError that names the output.

    A creation option that is not a number, for example, is a ValueError of rasterio's.
    """
    try:
        yield
    except SarzError:
        raise
    except UnicodeEncodeError as exc:
        raise SarzIOError(f"{name}: the name of its folder is not UTF-8, so GDAL cannot write there; rename it") from exc
    except (RasterioError, CPLE_BaseError, ValueError) as exc:
        reason = " ".join(str(exc.__cause__ or exc).split())
        raise SarzIOError(f"{name}: cannot be written: {reason}") from exc


def _check_complete(path: Path, sparse: bool) -> None:
    """Raise SarzIOError unless every block of a GeoTIFF lies inside the file; blocks may be missing in a sparse one.

    What GDAL cannot write when it flushes at closing time, because the disk is full, rasterio does not report.
    """
    size = path.stat().st_size
    with rasterio.open(path) as src:
        for band in src.indexes:
            for (row, col), _ in src.block_windows(band):
                offset, length = (src.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=band)
                                  for what in ("OFFSET", "SIZE"))
                if (offset is None and not sparse) or (offset and int(offset) + int(length) > size):
                    raise SarzIOError("the file is incomplete; is the disk full?")


def _bands(indexes: Sequence[int] | int | None, container: Container) -> list[int]:
    count = container.header.metadata.count
    if indexes is None:
        return list(range(count))
    chosen = [indexes] if isinstance(indexes, int) else list(indexes)
    if not chosen or any(not 1 <= i <= count for i in chosen):
        raise SarzOptionError(f"bands {chosen}: {container.source.name} has bands 1 to {count}")
    return [i - 1 for i in chosen]


def _part(container: Container, window: Window | None, bounds: Sequence[float] | None) -> Box:
    """The pixels asked for; raises SarzWindowError if they do not lie inside the raster."""
    raster = container.header.grid.raster
    if window is not None and bounds is not None:
        raise SarzOptionError("both a window and bounds were given: expected one of them")
    if bounds is not None:
        return _bounds_part(container, bounds)
    if window is None:
        return raster
    numbers = (window.row_off, window.col_off, window.height, window.width)
    if any(n != int(n) for n in numbers):
        raise SarzWindowError(f"{window}: expected whole pixels; round it with Window.round_offsets and round_lengths")
    row, col, height, width = (int(n) for n in numbers)
    box = Box(row, col, row + height, col + width)
    if box.empty or box.intersection(raster) != box:
        raise SarzWindowError(f"window of {height} x {width} pixels at row {row}, column {col}: expected a part of the "
                              f"raster of {raster.row1} x {raster.col1} pixels")
    return box


def _bounds_part(container: Container, bounds: Sequence[float]) -> Box:
    metadata, raster = container.header.metadata, container.header.grid.raster
    if metadata.transform is None:
        raise SarzWindowError(f"{container.source.name} has no affine transform, so bounds mean nothing; give a window")
    if not all(math.isfinite(n) for n in bounds):
        raise SarzWindowError(f"bounds {tuple(bounds)}: expected four finite numbers, left bottom right top")
    try:
        part = from_bounds(*bounds, transform=metadata.affine)
    except (RasterioError, ValueError) as exc:
        raise SarzWindowError(f"bounds {tuple(bounds)}: {exc}; expected left bottom right top") from exc
    tolerance = 1e-6  # Bounds that fall on a pixel's edge within rounding do not take in the next pixel.
    box = Box(math.floor(part.row_off + tolerance), math.floor(part.col_off + tolerance),
              math.ceil(part.row_off + part.height - tolerance), math.ceil(part.col_off + part.width - tolerance))
    box = box.intersection(raster)
    if box.empty:
        raise SarzWindowError(f"bounds {tuple(bounds)} do not meet the raster's "
                              f"{tuple(rasterio.transform.array_bounds(*raster.shape, metadata.affine))}")
    return box


def _output_metadata(metadata: RasterMetadata, bands: list[int], box: Box, dtype: str | None) -> RasterMetadata:
    metadata = metadata.select_bands(bands)
    if box.shape != (metadata.height, metadata.width):
        metadata = metadata.cropped(box.row0, box.col0, *box.shape)
    if dtype is None or dtype == metadata.dtype:
        return metadata
    if is_complex(metadata.dtype):
        raise SarzOptionError(f"dtype {dtype} of complex values ({metadata.dtype}): write them as they are, and convert that")
    target = checked_dtype(dtype)
    for nodata in metadata.nodata:
        if nodata is not None and not _holds(target, nodata):
            raise SarzOptionError(f"dtype {dtype} cannot hold the nodata value {nodata}; choose another dtype")
    return replace(metadata, dtype=dtype)


def _holds(dtype: np.dtype, value: float | int) -> bool:
    if dtype.kind == "f":
        return math.isnan(value) or abs(value) <= np.finfo(dtype).max
    return math.isfinite(value) and value == int(value) and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def _geotiff_defaults(metadata: RasterMetadata) -> dict[str, Any]:
    tiled = {"tiled": True, "blockxsize": TIFF_BLOCK, "blockysize": TIFF_BLOCK}
    small = metadata.width < TIFF_BLOCK or metadata.height < TIFF_BLOCK
    return {"bigtiff": "IF_SAFER", "interleave": "band", "num_threads": "ALL_CPUS", **({} if small else tiled)}


def _write_geotiff(decoder, bands: list[int], box: Box, metadata: RasterMetadata, path: Path,
                   options: Mapping[str, Any], progress: Progress | None) -> None:
    """Decode row of tiles by row of tiles; the row before is written meanwhile."""
    profile = {**metadata.profile(), **_geotiff_defaults(metadata), **options}
    grid = decoder.grid
    total = len(list(grid.tiles_covering(box)))
    done = 0
    with rasterio.open(path, "w", **profile) as dst, ThreadPoolExecutor(1, thread_name_prefix="sarz-write") as pool:
        metadata.write_to(dst)
        pending: Future | None = None
        for row in range(box.row0 // grid.tile_size, -(-box.row1 // grid.tile_size)):
            strip = box.intersection(Box(row * grid.tile_size, box.col0, (row + 1) * grid.tile_size, box.col1))
            values, _ = decoder.read(bands, strip.row0, strip.col0, *strip.shape)
            values = cast_bands(values, array_dtype(metadata.dtype), metadata.nodata)
            if pending is not None:
                pending.result()
            target = Window(0, strip.row0 - box.row0, strip.shape[1], strip.shape[0])
            pending = pool.submit(dst.write, values, window=target)
            done += len(list(grid.tiles_covering(strip)))
            if progress is not None:
                progress(done, total)
        if pending is not None:
            pending.result()
