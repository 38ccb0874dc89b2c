"""The pixels of a .sarz as an array that xarray indexes lazily: what is indexed is decoded, and not more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rasterio.windows import Window
from xarray.backends import BackendArray, CachingFileManager
from xarray.core import indexing

from .reader import Dataset, open

FAR_APART = 128
"""Pixels between two picked rows or columns from which they are decoded apart: more than twice the models' context."""

STRIP_BYTES = 64 << 20
"""Masked pixels are decoded and converted at most this many bytes at a time, or one row of tiles."""


class OpenFile:
    """A dataset in xarray's cache of open files.

    The cache closes what falls out of it, also while another thread reads it. Here closing does nothing: the file is
    closed when the last reader has let go of it.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def close(self) -> None:
        """Leave closing to `Dataset`, which does it when nobody holds it any more."""


@dataclass(frozen=True)
class Opener:
    """Opens one file with the options of `reader.open`; equal wherever it is unpickled, as keys of a cache must be."""

    path: Any
    options: Mapping[str, Any] = field(compare=False)

    def __call__(self, mode: str = "r") -> OpenFile:
        return OpenFile(open(self.path, **self.options))


def file_manager(path: Any, options: Mapping[str, Any]) -> CachingFileManager:
    """The file as xarray holds files: opened once a process, again where it is unpickled, closed when unused."""
    return CachingFileManager(Opener(path, options), mode="r")  # xarray forgets on pickling that there is no mode


@dataclass(frozen=True, slots=True)
class Run:
    """Rows or columns that are decoded together.

    ``start`` and ``stop`` bound them in the raster, ``src`` picks from what was decoded, ``dst`` is its place in the
    result.
    """

    start: int
    stop: int
    src: slice | np.ndarray
    dst: slice


def runs(key: int | slice | np.ndarray, size: int) -> list[Run]:
    """What an index of one axis of `size` pixels asks for, in order: adjacent pixels together, distant ones apart.

    `key` is an integer, a slice of any step, or a 1-D array of integers in any order; all in range.
    """
    if isinstance(key, slice):
        picked = np.arange(size)[key]
        if picked.size and key.step in (None, 1):
            return [Run(int(picked[0]), int(picked[-1]) + 1, slice(None), slice(None))]
    else:
        picked = np.atleast_1d(np.asarray(key, dtype=np.int64))
        picked = np.where(picked < 0, picked + size, picked)
    cuts = np.flatnonzero(np.abs(np.diff(picked)) > FAR_APART) + 1
    found, first = [], 0
    for part in np.split(picked, cuts):
        if part.size:
            start = int(part.min())
            found.append(Run(start, int(part.max()) + 1, part - start, slice(first, first + part.size)))
        first += part.size
    return found


def length(key: int | slice | np.ndarray, size: int) -> int:
    """How many pixels an index picks along an axis; 1 for an integer."""
    return len(range(size)[key]) if isinstance(key, slice) else np.size(key)


def promoted(dtype: np.dtype) -> np.dtype:
    """The dtype that holds a raster's values and NaN: float32 for integers of up to 16 bits, else float64."""
    if dtype.kind in "fc":
        return dtype
    return np.dtype("float32" if dtype.itemsize <= 2 else "float64")


class SarzArray(BackendArray):
    """``(band, y, x)`` of some bands of a file, or of one of its overviews.

    Takes integers, slices and 1-D arrays on each axis (outer indexing); xarray turns everything else into these. Reads
    take no lock: datasets are safe from several threads.

    Parameters
    ----------
    manager
        Gives the open file.
    bands
        1-based, in the order of the array.
    shape
        ``(height, width)`` of what is read.
    masked
        Whether invalid pixels become NaN, values are scaled, and the dtype is a float one.
    factor
        Of the overview that is read; 1 is the raster itself.
    """

    def __init__(self, manager: CachingFileManager, bands: tuple[int, ...], shape: tuple[int, int], dtype: np.dtype,
                 *, masked: bool, factor: int = 1) -> None:
        self.manager, self.bands, self.masked, self.factor = manager, bands, masked, factor
        self.shape = (len(bands), *shape)
        self.dtype = promoted(dtype) if masked else dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        # xarray (2026.9) fails on slices that run backwards over nothing.
        parts = tuple(
            slice(0, 0) if isinstance(part, slice) and not range(size)[part] else part
            for part, size in zip(key.tuple, self.shape)
        )
        return indexing.explicit_indexing_adapter(
            type(key)(parts), self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[int | slice | np.ndarray, ...]) -> np.ndarray:
        bands = [self.bands[i] for i in np.atleast_1d(np.arange(len(self.bands))[key[0]])]
        out = np.empty([length(k, size) for k, size in zip(key, self.shape)], self.dtype)
        if out.size:
            self._fill(bands, key[1:], out)
        return out[tuple(0 if np.ndim(k) == 0 and not isinstance(k, slice) else slice(None) for k in key)]

    def _fill(self, bands: list[int], key: tuple[int | slice | np.ndarray, ...], out: np.ndarray) -> None:
        dataset = self.manager.acquire().dataset
        wanted = [(part, cols) for rows in runs(key[0], self.shape[1]) for cols in runs(key[1], self.shape[2])
                  for part in self._strips(dataset, rows, cols)]
        windows = [Window.from_slices((rows.start, rows.stop), (cols.start, cols.stop)) for rows, cols in wanted]
        for (rows, cols), values in zip(wanted, self._read(dataset, bands, windows)):
            out[:, rows.dst, cols.dst] = values[:, rows.src][:, :, cols.src]

    def _read(self, dataset: Dataset, bands: list[int], windows: list[Window]) -> Iterable[np.ndarray]:
        """Windows of whole pixels of the raster, or of the overview in the overview's own pixels."""
        if not self.masked and self.factor == 1:
            return dataset.read_windows(windows, bands)
        return (self._read_one(dataset, bands, window) for window in windows)

    def _read_one(self, dataset: Dataset, bands: list[int], window: Window) -> np.ndarray:
        if self.factor == 1:
            values = dataset.read(bands, window=window, masked=self.masked)
        else:
            values = dataset.read_overview(self.factor, window, bands)
            if self.masked:
                values = _without_nodata(dataset, bands, values)
        return _scaled(dataset, bands, values) if self.masked else values

    def _strips(self, dataset: Dataset, rows: Run, cols: Run) -> Iterator[Run]:
        """A run of all its rows in strips of whole rows of tiles, so that masked pixels do not exist twice."""
        tile = max(1, dataset.header.tile_size // self.factor)
        row_bytes = len(self.bands) * (cols.stop - cols.start) * self.dtype.itemsize
        height = max(1, STRIP_BYTES // (row_bytes * tile)) * tile
        if not isinstance(rows.src, slice) or not self.masked or rows.stop - rows.start <= height:
            yield rows
            return
        for start in range(rows.start // height * height, rows.stop, height):
            top, bottom = max(start, rows.start), min(start + height, rows.stop)
            yield Run(top, bottom, slice(None), slice(top - rows.start, bottom - rows.start))


def _without_nodata(dataset: Dataset, bands: list[int], values: np.ndarray) -> np.ma.MaskedArray:
    """Overviews have no masks of their own: what holds the nodata value, or NaN, is invalid."""
    invalid = np.zeros(values.shape, bool) if values.dtype.kind != "f" else np.isnan(values)
    for of_band, band, value in zip(invalid, values, (dataset.nodatavals[index - 1] for index in bands)):
        if value is not None:
            of_band |= band == value
    return np.ma.array(values, mask=invalid)


def _scaled(dataset: Dataset, bands: list[int], values: np.ma.MaskedArray) -> np.ndarray:
    """Scaled values with NaN where the mask says so; in the promoted dtype, as rioxarray computes them."""
    dtype = promoted(values.dtype)
    filled = np.ma.filled(values.astype(dtype), np.nan)
    for band, index in zip(filled, bands):
        band *= dtype.type(dataset.scales[index - 1])
        band += dtype.type(dataset.offsets[index - 1])
    return filled
