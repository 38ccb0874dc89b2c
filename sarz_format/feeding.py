"""Windows of many .sarz files as a data set of torch; public as ``sarz.torch``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import torch
from rasterio.windows import Window
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from .bands import band_radiometry
from .errors import SarzOptionError, UnsupportedRasterError
from .open_files import OpenFiles
from .radiometry import FACTORS
from .reader import Dataset, open
from .reader_request import WindowLike, resolve_bands
from .window_choice import Shape, choose_windows, path_name

UNITS = ("native", "db")

DEFAULTS: Mapping[str, Any] = {"device": "cpu", "cache_bytes": 32 << 20}
"""Options of opening unless told otherwise: workers cannot share a GPU by fork, and many files are open at once."""

MAX_OPEN = 32


class Sample(TypedDict):
    """One window.

    Attributes
    ----------
    image : Tensor
        Pixels ``(bands, height, width)``, float.
    valid : Tensor
        Bool, of the same shape: false for nodata, NaN, damaged pixels, and in decibels what has no logarithm.
    window : Tensor
        ``[row, column, height, width]`` in the raster, int64.
    path : str
        Of the file.
    index : int
        Of the window in the data set.
    """

    image: Tensor
    valid: Tensor
    window: Tensor
    path: str
    index: int


class WindowDataset(TorchDataset):
    """A map-style data set of windows of many files, for a DataLoader with any number of workers.

    Which windows: by default a regular grid over all files; with `samples` as many random ones; with `windows` just
    these. Window i is the same in every process and epoch. Files are opened once for their sizes when the data set is
    made, and again in each process that reads pixels; a DataLoader's batch is decoded at once.

    Parameters
    ----------
    paths : sequence of path, URL or bytes
        What `sarz.open` takes, but for file objects.
    size : int or (int, int), optional
        Pixels a side, or ``(height, width)``, of windows on a grid and of random ones. No raster may be smaller.
    stride : int or (int, int), optional
        From one window of the grid to the next; the size by default. The last row and column are moved inwards.
    samples : int, optional
        How many random windows. They cost nothing until they are read: take more than an epoch needs, and let a
        sampler draw from them.
    seed : int
        Of random windows.
    windows : sequence of (int or path, window), optional
        Windows of whole pixels, each with its file: a path, or its place in `paths`.
    indexes : sequence of int, optional
        Bands, from 1, of every file. By default all: then files must have equally many.
    units : {"native", "db"}
        Pixels as `Dataset.read` gives them, or in decibels: 20 log10 of amplitudes, 10 log10 of power, and pixels that
        are decibels times the band's scale plus its offset.
    fill_value : float, optional
        Of pixels that are not valid; None leaves them as they are (in decibels NaN or infinite).
    dtype : torch.dtype
        Of images, a floating-point one.
    transform : callable, optional
        Gets each Sample; what it returns is the item.
    open_kwargs : mapping, optional
        Keyword arguments of `sarz.open`. Unless given, `device` is "cpu" and `cache_bytes` 32 MiB a file.
    max_open : int
        Files that a process keeps open, each with its cache.

    Raises
    ------
    SarzOptionError
        If arguments do not fit together, or a raster is smaller than a window.
    UnsupportedRasterError
        If a raster is complex.
    SarzError
        As `sarz.open`.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str] | bytes],
        size: int | Shape | None = None,
        *,
        stride: int | Shape | None = None,
        samples: int | None = None,
        seed: int = 0,
        windows: Sequence[tuple[int | str | os.PathLike[str], WindowLike]] | None = None,
        indexes: Sequence[int] | None = None,
        units: Literal["native", "db"] = "native",
        fill_value: float | None = 0.0,
        dtype: torch.dtype = torch.float32,
        transform: Callable[[Sample], Any] | None = None,
        open_kwargs: Mapping[str, Any] | None = None,
        max_open: int = MAX_OPEN,
    ) -> None:
        if isinstance(paths, (str, bytes, os.PathLike)):
            raise SarzOptionError(f"paths is {path_name(paths)!r}, expected a sequence of paths")
        if units not in UNITS:
            raise SarzOptionError(f"units is {units!r}, expected {' or '.join(UNITS)}")
        if not dtype.is_floating_point:
            raise SarzOptionError(f"dtype is {dtype}, expected a floating-point one, such as torch.float32")
        if isinstance(max_open, bool) or not isinstance(max_open, int) or max_open < 1:
            raise SarzOptionError(f"max_open is {max_open!r}, expected a whole number from 1")
        self.paths = [path if isinstance(path, bytes) else os.fspath(path) for path in paths]
        self.indexes = None if indexes is None else tuple(indexes)
        self.units, self.fill_value, self.dtype, self.transform = units, fill_value, dtype, transform
        self._files = OpenFiles(self.paths, {**DEFAULTS, **(open_kwargs or {})}, max_open)
        shapes = self._shapes()
        self._choice = choose_windows(self.paths, shapes, size=size, stride=stride, samples=samples, seed=seed,
                                      windows=windows)

    def __len__(self) -> int:
        return len(self._choice)

    def window(self, index: int) -> tuple[int, Window]:
        """Which file, by its place in `paths`, and which window of it an item is."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range; there are {len(self)} windows")
        return self._choice[int(index) % len(self)]

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Several items at once, as DataLoader asks for a batch: windows of one file are decoded together."""
        places = [self.window(index) for index in indices]
        by_file: dict[int, list[int]] = {}
        for number, (file, _) in enumerate(places):
            by_file.setdefault(file, []).append(number)
        items: list[Any] = [None] * len(places)
        for file, numbers in by_file.items():
            dataset = self._files[file]
            decoded = dataset.read_with_damage([places[n][1] for n in numbers], self.indexes, "torch")
            for n, (values, damaged) in zip(numbers, decoded):
                image, valid = self._image(dataset, values)
                if damaged is not None:
                    valid &= torch.from_numpy(~damaged).to(valid.device)
                items[n] = self._item(int(indices[n]) % len(self), file, places[n][1], image, valid)
        return items

    def close(self) -> None:
        """Close the files that this process has opened; they open again when they are needed."""
        self._files.close()

    def _shapes(self) -> list[Shape]:
        """Sizes of the rasters, all of which must have the bands that are wanted."""
        shapes, counts = [], []
        for path in self.paths:
            with open(path, **self._files.options) as dataset:
                resolve_bands(self.indexes, dataset.count)
                if "complex" in dataset.dtypes[0]:
                    raise UnsupportedRasterError(f"{path_name(path)} is {dataset.dtypes[0]}, expected real numbers; "
                                                 "detect it first, for example with numpy.abs")
                shapes.append(dataset.shape)
                counts.append(dataset.count)
        if self.indexes is None and len(set(counts)) > 1:
            other = next(n for n, count in enumerate(counts) if count != counts[0])
            raise SarzOptionError(f"{path_name(self.paths[0])} has {counts[0]} bands, {path_name(self.paths[other])} "
                                  f"has {counts[other]}; choose some with indexes")
        return shapes

    def _image(self, dataset: Dataset, values: Tensor) -> tuple[Tensor, Tensor]:
        """``(image, valid)`` of decoded values, both ``(bands, height, width)``."""
        exact = values.to(torch.float64)
        valid = ~exact.isnan()
        bands = [index - 1 for index in self.indexes or dataset.indexes]
        for ok, value, band in zip(valid, exact, bands):
            nodata = dataset.nodatavals[band]
            if nodata is not None:
                ok &= value != nodata
        if self.units == "db":
            for value, band in zip(exact, bands):
                _to_decibels(value, dataset, band)
            valid &= exact.isfinite()
        image = exact.to(self.dtype)
        return image if self.fill_value is None else image.masked_fill_(~valid, self.fill_value), valid

    def _item(self, index: int, file: int, window: Window, image: Tensor, valid: Tensor) -> Any:
        place = torch.tensor([window.row_off, window.col_off, window.height, window.width])
        path = path_name(self.paths[file])
        sample: Sample = {"image": image, "valid": valid, "window": place, "path": path, "index": index}
        return sample if self.transform is None else self.transform(sample)


def _to_decibels(values: Tensor, dataset: Dataset, band: int) -> None:
    """Float64 pixels of a band in decibels, in place; NaN or infinite where they have no logarithm."""
    radiometry = band_radiometry(dataset.header, band)
    if radiometry.scale == "db":
        values.mul_(radiometry.gain).add_(radiometry.bias)
    else:
        values.log10_().mul_(FACTORS[radiometry.scale])
