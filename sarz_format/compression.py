"""Raster to .sarz."""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from .bound import RASTER, Allowance, Bound
from .bounded import whole_bound
from .compress_report import compress_report, raw_bytes
from .container_writer import ContainerWriter
from .dtypes import complex_advice, is_complex, part_dtype
from .errors import (
    LargeTileWarning,
    SarzFileNotFoundError,
    SarzIOError,
    SarzOptionError,
    TargetWarning,
    UnsupportedRasterError,
)
from .footprint import LARGE_TILE, compression_bytes
from .gdal_cache import bounded_gdal_cache
from .groups import groups_without_models, model_groups
from .header import Header
from .memory import COMPRESSING, memory_errors
from .metadata import RasterMetadata
from .output import check_output, refuse_overwriting
from .quality import MAX_QUALITY
from .radiometry import BandRadiometry, checked_dtype, checked_scale, choose_offset_db, detect_scale
from .reports import CompressReport
from .roles import lossless_bands
from .sampling import Sample, scaled_values, take_sample
from .target import RMSE_DB, asked_for, check_one_goal
from .weights import models_for_compression

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from .encoder import Encoder
    from .grid import Box
    from .lossless import LosslessEncoder
    from .rate_control import RateControl
    from .weights import ModelInfo

Progress = Callable[[int, int], None]


def compress(src: str | os.PathLike | DatasetReader, dst: str | os.PathLike, *, quality: int | None = None,
             rmse_db: float | None = None, ratio: float | None = None, bpp: float | None = None, lossless: bool = False,
             max_error_db: float | None = None, max_error: float | None = None, scale: str = "auto", tile_size: int = 512, indexes: Sequence[int] | int | None = None,
             nodata: float | None = None, model: str = "auto", device: str = "auto", batch_size: int | str = "auto",
             overwrite: bool = False, progress: Progress | None = None) -> CompressReport:
    """Compress a raster to a .sarz file; unless it is lossless, every tile is decoded again to measure the error.

    Parameters
    ----------
    src
        Anything rasterio opens, or an open dataset (which stays open).
    dst
        Path of the file to write. Not a file that `src` is read from.
    quality
        0 (smallest) to 100 (finest); DEFAULT_QUALITY where nothing else is given. At most one of these seven.
    rmse_db
        Root mean square error in dB that each tile of a band group is to have, over its bands together.
    ratio
        Bytes of the raw array over bytes of the file.
    bpp
        Bits of the file a band pixel.
    lossless
        Store every band of every tile so that it comes back to the bit; instead of a quality or a target. No model is
        needed, and `model`, `device` and `batch_size` have no effect.
    max_error_db
        Instead: no valid pixel, as it is written back, is off by more than so many dB, from 0.01 to 10. Zeros, nodata and
        what has no decibels come back exactly. No model is needed.
    max_error
        The same in the units of the raster, scales of bands applied, finite and above 0. Where it is below the
        resolution of integers the file is lossless, and a note says so.
    scale
        What the pixels are: "amplitude", "intensity", "db", or "auto".
    tile_size
        Pixels a side, a multiple of 64 from 64 to 4096. From 2048 on, a LargeTileWarning estimates the memory.
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
        If the dtype is complex and `lossless` is not asked for, or unknown, or the raster is empty.
    SarzOptionError, OutputExistsError, ModelNotFoundError, DeviceError, SarzMemoryError

    Warns
    -----
    TargetWarning
        If a target is missed by more than 5 %: the nearest that can be is written.
    """
    started = time.perf_counter()
    check_one_goal(lossless, quality=quality, rmse_db=rmse_db, ratio=ratio, bpp=bpp, max_error_db=max_error_db,
                   max_error=max_error)
    quality, target = asked_for(quality, rmse_db=rmse_db, ratio=ratio, bpp=bpp)
    bound = Bound.asked_for(max_error_db, max_error)
    checked_scale(scale)
    if isinstance(tile_size, bool) or int(tile_size) != tile_size or tile_size % 64 or not 64 <= tile_size <= 4096:
        raise SarzOptionError(f"tile size {tile_size}: expected a multiple of 64 from 64 to 4096")
    models = {} if lossless or bound else models_for_compression(model)
    with bounded_gdal_cache(), opened_raster(src) as dataset, memory_errors(dataset.name, COMPRESSING):
        refuse_overwriting([dataset.name, *dataset.files], dst)
        bands = _checked_indexes(indexes, dataset)
        metadata = _metadata(dataset, bands, nodata, lossless)
        exact = lossless_bands(metadata.descriptions, metadata.colorinterp)
        chosen, reason, radiometry = _radiometry(dataset, bands, metadata, scale, exact)
        notes = tuple(_notes(dataset, bands))
        if bound is not None:
            bound, more = _reachable(bound, metadata, chosen, exact)
            lossless, notes = bound is None, (*more, *notes)
        if lossless or bound:
            header = Header(metadata, int(tile_size), chosen, reason, (0,) * len(bands), MAX_QUALITY,
                            groups_without_models(metadata.descriptions, exact), notes, lossless=lossless, bound=bound)
        else:
            header = Header(metadata, int(tile_size), chosen, reason, tuple(r.offset_db for r in radiometry), quality,
                            model_groups(metadata.descriptions, models, exact),
                            (*_lossless_notes(metadata, exact), *notes), target)
        if tile_size >= LARGE_TILE:
            _warn_of_memory(dataset.name, header)
        control = None
        if target is not None and target.kind != RMSE_DB:
            check_output(dst, overwrite)
            header, control = _planned(dataset, bands, header, radiometry, models, device, batch_size)
        with ContainerWriter(dst, header, overwrite=overwrite) as writer:
            encoder = _encoder(header, radiometry, models, device, batch_size, control)
            encoder.encode(lambda row: _read_row(dataset, bands, header, row), writer, progress or _no_progress)
            size = writer.finish(encoder.statistics)
        report = compress_report(dataset.name, os.fspath(dst), header, encoder, size, time.perf_counter() - started)
        for note in report.notes[len(header.notes):]:
            warnings.warn(TargetWarning(f"{dataset.name}: {note}"), stacklevel=2)
        return report


def _encoder(header: Header, radiometry: list[BandRadiometry], models: dict[int, ModelInfo], device: str,
             batch_size: int | str, control: RateControl | None) -> Encoder | LosslessEncoder:
    """What codes the raster of a header."""
    if header.bound:
        from .bounded_encoder import BoundedEncoder

        return BoundedEncoder(header)
    if header.lossless:
        from .lossless import LosslessEncoder

        return LosslessEncoder(header)
    from .codec.device import resolve_batch, resolve_device
    from .encoder import Encoder

    where = resolve_device(device)
    return Encoder(header, radiometry, models, where, resolve_batch(batch_size, where), control)


def _reachable(bound: Bound, metadata: RasterMetadata, scale: str,
               exact: Mapping[int, str]) -> tuple[Bound | None, tuple[str, ...]]:
    """The bound, or None if integers would have to be lossless to keep it; and notes for readers.

    Raises UnsupportedRasterError if a band's scale is no number that the bound could be divided by.
    """
    if bound.unit == RASTER or scale == "db":
        for band, gain in enumerate(metadata.scales):
            if gain == 0 or not math.isfinite(gain):
                raise UnsupportedRasterError(f"band {band + 1} has scale {gain}: expected a finite number that is not 0, to "
                                             "apply the bound; correct it with rio edit-info")
    limits = [Allowance.of(bound, scale, [gain]) for band, gain in enumerate(metadata.scales) if band not in exact]
    if np.dtype(metadata.dtype).kind in "iu" and limits and not any(limit.ratio or whole_bound(limit) for limit in limits):
        return None, (f"a bound of {bound} is below the resolution of {metadata.dtype} numbers: stored losslessly",)
    return bound, tuple(_lossless_notes(metadata, exact))


def _planned(dataset: DatasetReader, bands: list[int], header: Header, radiometry: list[BandRadiometry],
             models: dict[int, ModelInfo], device: str, batch_size: int | str) -> tuple[Header, RateControl]:
    """The header with the quality to begin with for its target in bytes, and what corrects it."""
    from .codec.device import load_engine, resolve_batch, resolve_device
    from .codec.mosaic import BatchRunner
    from .rate_control import RateControl

    where = resolve_device(device)
    engines = [load_engine(models[len(group.bands)], where) for group in header.groups]

    def read(box: Box) -> np.ndarray:
        return dataset.read(bands, window=Window(box.col0, box.row0, box.shape[1], box.shape[0]))

    budget = header.target.bytes_of(raw_bytes(header), header.metadata.width * header.metadata.height * len(bands))
    control = RateControl(header, radiometry, engines, BatchRunner(resolve_batch(batch_size, where)), read, budget)
    return replace(header, quality=control.quality), control


def _warn_of_memory(name: str, header: Header) -> None:
    from .codec.pool import worker_count

    gibibytes = compression_bytes(header, worker_count()) / 2**30
    warnings.warn(LargeTileWarning(
        f"{name}: tiles of {header.tile_size} pixels take about {gibibytes:.1f} GiB of memory to compress, and much to read "
        "a window of; smaller tiles (tile_size, --tile-size) or fewer threads (OMP_NUM_THREADS) take less"), stacklevel=3)


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
    except UnicodeEncodeError as exc:
        raise SarzIOError(f"{name}: the file name is not UTF-8, so GDAL cannot open it; rename it or link to it") from exc
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
    bad = [i for i in chosen if not 1 <= i <= dataset.count]
    if bad or not chosen:
        raise SarzOptionError(f"band {bad[0] if bad else 'list is empty'}: {dataset.name} has bands 1 to {dataset.count}")
    return chosen


def _metadata(dataset: DatasetReader, bands: list[int], nodata: float | None, lossless: bool) -> RasterMetadata:
    for dtype in {dataset.dtypes[band - 1] for band in bands}:
        if not is_complex(dtype):
            checked_dtype(dtype)
        elif not lossless:
            raise UnsupportedRasterError(f"{dataset.name} is {complex_advice(dataset.name, dtype)}, or store it as it is "
                                         "(--lossless, lossless=True)")
    metadata = RasterMetadata.from_dataset(dataset, bands)
    if nodata is None:
        return metadata
    dtype = part_dtype(metadata.dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if not math.isfinite(nodata) or nodata != int(nodata) or not info.min <= nodata <= info.max:
            raise SarzOptionError(f"nodata {nodata}: a {dtype} raster cannot hold it")
        nodata = int(nodata)
    return replace(metadata, nodata=(nodata,) * metadata.count)


def _radiometry(dataset: DatasetReader, bands: list[int], metadata: RasterMetadata, scale: str,
                lossless: Collection[int]) -> tuple[str, str, list[BandRadiometry]]:
    """Scale, why, and the conversion of each band, from a deterministic sample of those that are backscatter."""
    if is_complex(metadata.dtype):
        if scale not in ("auto", "amplitude"):
            raise SarzOptionError(f"scale {scale!r} of {metadata.dtype}: complex values have none; leave it out")
        return "amplitude", "complex values, which are stored as they are", []
    coded = [band for band in range(len(bands)) if band not in lossless]
    sample = take_sample(dataset, [bands[band] for band in coded], [metadata.nodata[band] for band in coded])
    chosen, reason = (scale, "asked for") if scale != "auto" else _detected(metadata, coded, sample)
    pixels = dict(zip(coded, sample.values))
    return chosen, reason, [_band_radiometry(metadata, band, chosen, pixels.get(band)) for band in range(len(bands))]


def _band_radiometry(metadata: RasterMetadata, band: int, scale: str, sample: np.ndarray | None) -> BandRadiometry:
    """The conversion of one band by its sampled pixels; None is a band that is kept losslessly."""
    gain, bias = (metadata.scales[band], metadata.offsets[band]) if scale == "db" else (1.0, 0.0)
    if gain == 0 or not math.isfinite(gain) or not math.isfinite(bias):
        raise UnsupportedRasterError(f"band {band + 1} has scale {gain} and offset {bias}: expected finite numbers "
                                     "and a scale that is not 0; correct them with rio edit-info")
    start = BandRadiometry(np.dtype(metadata.dtype), scale, 0, gain, bias, metadata.nodata[band], sample is not None)
    return start if sample is None else replace(start, offset_db=choose_offset_db(start, sample))


def raster_scale(dataset: DatasetReader, bands: Sequence[int]) -> tuple[str, str]:
    """``(scale, reason)`` that `compress` would find for these bands, from 1; raises UnsupportedRasterError."""
    metadata = _metadata(dataset, list(bands), None, lossless=False)
    lossless = lossless_bands(metadata.descriptions, metadata.colorinterp)
    return _radiometry(dataset, list(bands), metadata, "auto", lossless)[:2]


def _detected(metadata: RasterMetadata, bands: list[int], sample: Sample) -> tuple[str, str]:
    """``(scale, reason)`` of the backscatter `bands`: what their scales and offsets make of the sampled pixels decides."""
    if not bands:
        return "amplitude", "no band is backscatter"
    scaled = [scaled_values(values, metadata.scales[band], metadata.offsets[band])
              for band, values in zip(bands, sample.values)]
    units = tuple(metadata.units[band] for band in bands)
    unlike = any((metadata.scales[band], metadata.offsets[band]) != (1, 0) for band in bands)
    scale, reason = detect_scale(metadata.tags.get("", {}), units, np.dtype(metadata.dtype), np.concatenate(scaled),
                                 unlike)
    return scale, f"{reason}; {sample.note}" if sample.note else reason


def _lossless_notes(metadata: RasterMetadata, lossless: Mapping[int, str]) -> Iterator[str]:
    for band, role in sorted(lossless.items()):
        name = f" ({metadata.descriptions[band]})" if metadata.descriptions[band] else ""
        yield f"band {band + 1}{name} is {role}: kept losslessly"


def _notes(dataset: DatasetReader, bands: list[int]) -> Iterator[str]:
    """What the file does not keep."""
    # Each of these attributes asks GDAL about every band.
    all_flags, colours = dataset.mask_flag_enums, dataset.colorinterp
    flags = [all_flags[band - 1] for band in bands]
    if any(MaskFlags.per_dataset in f and MaskFlags.alpha not in f for f in flags):
        yield "the raster's separate mask band is not kept; give --nodata to keep what it marks"
    if any(all_flags[band - 1] == [MaskFlags.all_valid] and colours[band - 1].name == "palette" for band in bands):
        yield "the raster's colour table is not kept"


def _read_row(dataset: DatasetReader, bands: list[int], header: Header, row: int) -> np.ndarray:
    grid = header.grid
    first = row * grid.tile_size
    window = Window(0, first, grid.width, min(grid.tile_size, grid.height - first))
    return dataset.read(bands, window=window)
