"""Which windows a data set consists of: a pure function from an index to a file and a window. No files, no torch."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from rasterio.enums import Resampling
from rasterio.windows import Window

from .errors import SarzOptionError, SarzWindowError
from .grid import Box
from .reader_request import WindowLike, plan_read

Shape = tuple[int, int]
"""``(height, width)`` in pixels."""


class WindowChoice(Protocol):
    """``len(choice)`` windows; ``choice[index]`` is ``(number of the file, window)``, always the same."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[int, Window]: ...


def checked_size(name: str, size: int | Shape) -> Shape:
    """``(height, width)`` of one number or two, whole and positive; raises SarzOptionError otherwise."""
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in pair):
        raise SarzOptionError(f"{name} is {size!r}, expected a positive whole number of pixels, or (height, width)")
    return pair


@dataclass(frozen=True)
class GridWindows:
    """Windows of one size on a regular grid over every file, row by row, file after file.

    The last row and column are moved inwards, so that windows reach the borders; no window leaves its raster.

    Parameters
    ----------
    shapes
        Of the rasters, each at least as large as a window.
    size, stride
        Of windows, and from one to the next.
    """

    shapes: Sequence[Shape]
    size: Shape
    stride: Shape

    def __post_init__(self) -> None:
        counts = [rows * cols for rows, cols in map(self._counts, self.shapes)]
        object.__setattr__(self, "_ends", list(accumulate(counts)))

    def _counts(self, shape: Shape) -> tuple[int, ...]:
        """Windows down and across a raster."""
        return tuple(-(-(n - size) // stride) + 1 for n, size, stride in zip(shape, self.size, self.stride))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> tuple[int, Window]:
        file = bisect_right(self._ends, index)
        first = self._ends[file - 1] if file else 0
        place = divmod(index - first, self._counts(self.shapes[file])[1])
        starts = (min(at * stride, n - size)
                  for at, stride, n, size in zip(place, self.stride, self.shapes[file], self.size))
        return file, _window(*starts, self.size)


@dataclass(frozen=True)
class RandomWindows:
    """Windows of one size at random places; all places of all files are equally likely.

    Window i depends on `seed` and i alone, by numpy's SeedSequence, which is the same in every version: neither on the
    order of reading nor on how many workers read.
    """

    shapes: Sequence[Shape]
    size: Shape
    samples: int
    seed: int

    def __post_init__(self) -> None:
        places = [(h - self.size[0] + 1) * (w - self.size[1] + 1) for h, w in self.shapes]
        object.__setattr__(self, "_ends", list(accumulate(places)))

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> tuple[int, Window]:
        (word,) = np.random.SeedSequence([self.seed, index]).generate_state(1, np.uint64)
        place = int(word) * self._ends[-1] >> 64
        file = bisect_right(self._ends, place)
        row, col = divmod(place - (self._ends[file - 1] if file else 0), self.shapes[file][1] - self.size[1] + 1)
        return file, _window(row, col, self.size)


@dataclass(frozen=True)
class ListedWindows:
    """Windows that were chosen before."""

    windows: Sequence[tuple[int, Window]]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> tuple[int, Window]:
        return self.windows[index]

def _window(row: int, col: int, size: Shape) -> Window:
    return Window(col, row, size[1], size[0])


def choose_windows(paths: Sequence[Any], shapes: Sequence[Shape], *, size: int | Shape | None,
                   stride: int | Shape | None, samples: int | None, seed: int,
                   windows: Sequence[tuple[Any, WindowLike]] | None) -> WindowChoice:
    """The windows that arguments of feeding.WindowDataset ask for, of files with `shapes`.

    Raises
    ------
    SarzOptionError
        If arguments do not fit together, or a raster is smaller than a window.
    SarzWindowError
        If a listed window is outside its raster, or has fractions of pixels.
    """
    if windows is not None:
        if size is not None or stride is not None or samples is not None:
            raise SarzOptionError("windows are given: size, stride and samples cannot be, too")
        numbers = {path: number for number, path in reversed(list(enumerate(paths)))}
        return ListedWindows([_listed(numbers, shapes, file, window) for file, window in windows])
    if size is None:
        raise SarzOptionError("size or windows must be given")
    height, width = checked_size("size", size)
    for path, shape in zip(paths, shapes):
        if shape[0] < height or shape[1] < width:
            raise SarzOptionError(f"{path_name(path)} has {shape[0]} rows and {shape[1]} columns, fewer than a window "
                                  f"of {height} x {width}; leave it out, or make windows smaller")
    if samples is None:
        step = (height, width) if stride is None else checked_size("stride", stride)
        return GridWindows(shapes, (height, width), step)
    if stride is not None:
        raise SarzOptionError("stride is for windows on a grid, samples for random ones; give one")
    for name, number in (("samples", samples), ("seed", seed)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise SarzOptionError(f"{name} is {number!r}, expected a whole number from 0")
    if samples and not shapes:
        raise SarzOptionError("there are no files to take random windows of")
    return RandomWindows(shapes, (height, width), samples, seed)


def _listed(numbers: Mapping[Any, int], shapes: Sequence[Shape], file: Any, window: WindowLike) -> tuple[int, Window]:
    """A listed window, cropped to its raster as reading would do it; `numbers` of files are by path."""
    path = os.fspath(file) if isinstance(file, os.PathLike) else file
    number = file if isinstance(file, int) else numbers.get(path, -1)
    if not 0 <= number < len(shapes):
        raise SarzOptionError(f"a window is of {file!r}, which is not one of the {len(shapes)} paths")
    raster = Box(0, 0, *shapes[number])
    request = plan_read(raster, 1, indexes=1, window=window, out_shape=None, out=None, boundless=False,
                        resampling=Resampling.nearest)
    if not request.is_plain:
        raise SarzWindowError(f"{window} has fractions of pixels; expected whole ones")
    return number, _window(request.box.row0, request.box.col0, request.box.shape)


def path_name(path: Any) -> str:
    """How messages and samples call a file."""
    return "<bytes>" if isinstance(path, bytes) else str(path)
