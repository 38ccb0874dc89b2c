"""Raster to .sarz."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from .container_writer import ContainerWriter
from .errors import SarzFileNotFoundError, SarzIOError, SarzOptionError, UnsupportedRasterError
from .gdal_cache import bounded_gdal_cache
from .groups import model_groups
from .header import Header
from .metadata import RasterMetadata
from .quality import DEFAULT_QUALITY, checked_quality
from .radiometry import BandRadiometry, checked_dtype, checked_scale, choose_offset_db, detect_scale
from .reports import CompressReport
from .statistics import BandStatistics
from .weights import models_for_compression

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

SAMPLE_WINDOWS, SAMPLE_SIDE = 5, 128
"""The sample that decides scale and offset: a grid of 5 x 5 windows of 128 x 128 pixels."""

Progress = Callable[[int, int], None]


def compress(src: str | os.PathLike | DatasetReader, dst: str | os.PathLike, *, quality: int = DEFAULT_QUALITY,
             scale: str = "auto", tile_size: int = 512, indexes: Sequence[int] | int | None = None,
             nodata: float | None = None, model: str = "auto", device: str = "auto", batch_size: int | str = "auto",
             overwrite: bool = False, progress: Progress | None = None) -> CompressReport:
    """Compress a raster to a .sarz file, decoding every tile again to measure the error.

    Parameters
    ----------
    src
        Anything rasterio opens, or an open dataset (which stays open).
    dst
        Path of the file to write.
    quality
        0 (smallest) to 100 (finest).
    scale
        What the pixels are: "amplitude", "intensity", "db", or "auto".
    tile_size
        Pixels a side, a multiple of 64 from 64 to 4096.
    indexes
        Bands to keep, from 1; all by default.
    nodata
        Overrides the raster's nodata value.
    model
        "auto", the id of an installed model, or a model's folder.
    device, batch_size
        Where and how many tiles at once; the bytes do not depend on them.
    overwrite
        Whether an existing `dst` is replaced.
    progress
        Called with (tiles written, tiles in all).

    Raises
    ------
    SarzFileNotFoundError, SarzIOError
        If `src` cannot be read or `dst` cannot be written.
    UnsupportedRasterError
        If the dtype is complex or unknown, or the raster is empty.
    SarzOptionError, OutputExistsError, ModelNotFoundError, DeviceError
    """
    started = time.perf_counter()
    checked_quality(quality)
    checked_scale(scale)
    if isinstance(tile_size, bool) or int(tile_size) != tile_size or tile_size % 64 or not 64 <= tile_size <= 4096:
        raise SarzOptionError(f"tile size {tile_size}: expected a multiple of 64 from 64 to 4096")
    models = models_for_compression(model)
    with bounded_gdal_cache(), opened_raster(src) as dataset:
        bands = _checked_indexes(indexes, dataset)
        metadata = _metadata(dataset, bands, nodata)
        chosen, reason, radiometry = _radiometry(dataset, bands, metadata, scale)
        header = Header(metadata, int(tile_size), chosen, reason, tuple(r.offset_db for r in radiometry), int(quality),
                        model_groups(metadata.descriptions, models), tuple(_notes(dataset, bands)))
        with ContainerWriter(dst, header, overwrite=overwrite) as writer:
            from .codec.device import resolve_batch, resolve_device
            from .encoder import Encoder

            where = resolve_device(device)
            encoder = Encoder(header, radiometry, models, where, resolve_batch(batch_size, where))
            encoder.encode(lambda row: _read_row(dataset, bands, header, row), writer, progress or _no_progress)
            size = writer.finish(encoder.statistics)
        return _report(dataset.name, os.fspath(dst), header, encoder, size, time.perf_counter() - started)


def _no_progress(done: int, total: int) -> None:
    pass


@contextlib.contextmanager
def opened_raster(src: str | os.PathLike | DatasetReader) -> Iterator[DatasetReader]:
    """Open a path, or pass an open dataset through; rasterio's errors become a SarzIOError that names the file."""
    given = hasattr(src, "read")
    name = src.name if given else os.fspath(src)
    try:
        if given:
            yield src
            return
        with rasterio.open(src) as dataset:
            yield dataset
    except RasterioError as exc:
        local = "://" not in str(name) and not str(name).startswith("/vsi") and ":" not in str(name)
        if local and not Path(name).exists():
            raise SarzFileNotFoundError(f"{name}: no such file") from exc
        raise SarzIOError(f"{name}: cannot be read as a raster: {_one_line(exc)}") from exc


def _one_line(exc: BaseException) -> str:
    reason = exc if exc.__cause__ is None else exc.__cause__
    return " ".join(str(reason).split())


def _checked_indexes(indexes: Sequence[int] | int | None, dataset: DatasetReader) -> list[int]:
    if not dataset.count or not dataset.width or not dataset.height:
        raise UnsupportedRasterError(f"{dataset.name}: an empty raster ({dataset.count} bands, {dataset.width} x "
                                     f"{dataset.height}); if it is a container, name one of its subdatasets")
    if indexes is None:
        return list(dataset.indexes)
    chosen = [indexes] if isinstance(indexes, int) else list(indexes)
    bad = [i for i in chosen if i not in dataset.indexes]
    if bad or not chosen:
        raise SarzOptionError(f"band {bad[0] if bad else 'list is empty'}: {dataset.name} has bands 1 to {dataset.count}")
    return chosen


def _metadata(dataset: DatasetReader, bands: list[int], nodata: float | None) -> RasterMetadata:
    for band in bands:
        checked_dtype(dataset.dtypes[band - 1])
    metadata = RasterMetadata.from_dataset(dataset, bands)
    if nodata is None:
        return metadata
    dtype = np.dtype(metadata.dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if not math.isfinite(nodata) or nodata != int(nodata) or not info.min <= nodata <= info.max:
            raise SarzOptionError(f"nodata {nodata}: a {dtype} raster cannot hold it")
        nodata = int(nodata)
    return replace(metadata, nodata=(nodata,) * metadata.count)


def _radiometry(dataset: DatasetReader, bands: list[int], metadata: RasterMetadata,
                scale: str) -> tuple[str, str, list[BandRadiometry]]:
    """Scale, why, and the conversion of each band, from a deterministic sample."""
    dtype = np.dtype(metadata.dtype)
    sample = _sample(dataset, bands)
    valid = [_valid_sample(values, nodata) for values, nodata in zip(sample, metadata.nodata)]
    chosen, reason = scale, "asked for"
    if scale == "auto":
        chosen, reason = detect_scale(metadata.tags.get("", {}), metadata.units, dtype, np.concatenate(valid))
    radiometry = []
    for band, values in enumerate(valid):
        gain, bias = (metadata.scales[band], metadata.offsets[band]) if chosen == "db" else (1.0, 0.0)
        if gain == 0 or not math.isfinite(gain) or not math.isfinite(bias):
            raise UnsupportedRasterError(f"band {band + 1} has scale {gain} and offset {bias}: expected finite numbers "
                                         "and a scale that is not 0; correct them with rio edit-info")
        start = BandRadiometry(dtype, chosen, 0, gain, bias, metadata.nodata[band])
        radiometry.append(replace(start, offset_db=choose_offset_db(start, values)))
    return chosen, reason, radiometry


def raster_scale(dataset: DatasetReader, bands: Sequence[int]) -> tuple[str, str]:
    """``(scale, reason)`` that `compress` would find for these bands, from 1; raises UnsupportedRasterError."""
    return _radiometry(dataset, list(bands), _metadata(dataset, list(bands), None), "auto")[:2]


def _sample(dataset: DatasetReader, bands: list[int]) -> np.ndarray:
    """Values ``(bands, n)`` of windows on a regular grid; of small rasters everything."""
    height, width = dataset.shape
    if height * width <= SAMPLE_WINDOWS**2 * SAMPLE_SIDE**2:
        return dataset.read(bands).reshape(len(bands), -1)
    parts = []
    for row in _starts(height):
        for col in _starts(width):
            window = Window(col, row, min(SAMPLE_SIDE, width), min(SAMPLE_SIDE, height))
            parts.append(dataset.read(bands, window=window).reshape(len(bands), -1))
    return np.concatenate(parts, axis=1)


def _starts(size: int) -> list[int]:
    last = max(0, size - SAMPLE_SIDE)
    return sorted({last * i // (SAMPLE_WINDOWS - 1) for i in range(SAMPLE_WINDOWS)})


def _valid_sample(values: np.ndarray, nodata: float | int | None) -> np.ndarray:
    keep = np.isfinite(values) & (values != 0)
    if nodata is not None and not math.isnan(nodata):
        keep &= values != nodata
    return values[keep]


def _notes(dataset: DatasetReader, bands: list[int]) -> Iterator[str]:
    """What the file does not keep."""
    flags = [dataset.mask_flag_enums[band - 1] for band in bands]
    if any(MaskFlags.per_dataset in f and MaskFlags.alpha not in f for f in flags):
        yield "the raster's separate mask band is not kept; give --nodata to keep what it marks"
    if any(dataset.mask_flag_enums[band - 1] == [MaskFlags.all_valid] and dataset.colorinterp[band - 1].name == "palette"
           for band in bands):
        yield "the raster's colour table is not kept"


def _read_row(dataset: DatasetReader, bands: list[int], header: Header, row: int) -> np.ndarray:
    grid = header.grid
    first = row * grid.tile_size
    window = Window(0, first, grid.width, min(grid.tile_size, grid.height - first))
    return dataset.read(bands, window=window)


def _report(source: str, output: str, header: Header, encoder, size: int, seconds: float) -> CompressReport:
    metadata = header.metadata
    raw = metadata.width * metadata.height * metadata.count * np.dtype(metadata.dtype).itemsize
    total = sum(encoder.statistics, BandStatistics())
    bands = [{"band": i + 1, "description": metadata.descriptions[i], **_errors(s)}
             for i, s in enumerate(encoder.statistics)]
    return CompressReport(
        input=source, output=output, width=metadata.width, height=metadata.height, count=metadata.count,
        dtype=metadata.dtype, input_bytes=raw, output_bytes=size, ratio=raw / size,
        bpp=size * 8 / (metadata.width * metadata.height * metadata.count), **_errors(total), bands=bands,
        tiles=header.grid.rows * header.grid.cols * len(header.groups), empty_tiles=encoder.empty_tiles,
        fallback_tiles=encoder.fallback_tiles, seconds=seconds, scale=header.scale, scale_reason=header.scale_reason,
        quality=header.quality, arithmetic=encoder.arithmetic, notes=list(header.notes), timings=encoder.timings)


def _errors(statistics: BandStatistics) -> dict[str, float]:
    return {"rmse_db": statistics.rmse_db, "bias_db": statistics.bias_db, "max_error_db": statistics.max_error_db}
