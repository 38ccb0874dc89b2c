"""What a read asks for, with rasterio's meaning: bands, a window, an output shape. Pure geometry, no pixels."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rasterio._env import get_gdal_config
from rasterio.enums import Resampling
from rasterio.errors import WindowError
from rasterio.windows import Window

from .errors import BandIndexError, SarzOptionError, SarzWindowError
from .grid import Box
from .overview import best_factor

WindowLike = Window | tuple[object, object]
"""A Window, or rasterio's ``((row_start, row_stop), (col_start, col_stop))``, or a pair of slices."""

# How far from an output pixel, in pixels of the coarser of the two grids, GDAL's kernels look. These are all that it
# takes for reads. Gauss looks at up to 7 x 7 source pixels.
_KERNEL_RADIUS = {
    Resampling.nearest: 0,
    Resampling.bilinear: 1,
    Resampling.cubic: 2,
    Resampling.cubic_spline: 2,
    Resampling.lanczos: 3,
    Resampling.average: 1,
    Resampling.mode: 1,
    Resampling.gauss: 4,
    Resampling.rms: 1,
}
_SLACK = 2  # pixels, for half pixels and rounding in GDAL


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One read, checked.

    Attributes
    ----------
    bands : tuple of int
        1-based band indexes in the order asked for; may repeat.
    single : bool
        One index was given, not a sequence: the result is 2-D.
    window : Window or None
        As asked, not cropped; None for the whole raster.
    boundless : bool
        Whether pixels beyond the raster are filled in; false without a window.
    resampling : Resampling
        Used where the output shape is not the window's.
    out_shape : tuple of int
        ``(bands, height, width)`` of the result.
    box : Box
        Whole pixels of the raster that the result depends on; empty where a boundless window misses the raster.
    cropped : Window
        The window inside the raster; may have fractions.
    """

    bands: tuple[int, ...]
    single: bool
    window: Window | None
    boundless: bool
    resampling: Resampling
    out_shape: tuple[int, int, int]
    box: Box
    cropped: Window

    @property
    def is_plain(self) -> bool:
        """Whether each pixel of the result is one pixel of the raster, so that nothing is resampled or filled in."""
        lengths = (self.cropped.height, self.cropped.width)
        offsets = (self.cropped.row_off, self.cropped.col_off)
        return (
            not self.boundless
            and self.out_shape[1:] == lengths
            and all(float(value).is_integer() for value in offsets)
        )

    def factor(self, raster: Box, factors: Sequence[int]) -> int:
        """The factor of the overview that GDAL would read, 1 for the raster itself."""
        window = max(1, int(self.cropped.height)), max(1, int(self.cropped.width))
        return best_factor(raster, factors, window, self.out_shape[1:], self.resampling is Resampling.nearest,
                           _oversampling_threshold())

    def box_of_overview(self, raster: Box, overview: Box) -> Box:
        """As `box`, in pixels of an overview of the raster that is read instead."""
        down, across = (small / large for small, large in zip(overview.shape, raster.shape))
        window = Window(self.cropped.col_off * across, self.cropped.row_off * down,
                        self.cropped.width * across, self.cropped.height * down)
        return _box_needed(window, self.out_shape, self.resampling, always=True).intersection(overview)

    @property
    def rows(self) -> np.ndarray | None:
        """Rows that nearest-neighbour decimation picks, sorted int64; None where all rows of `box` may count."""
        height = self.out_shape[1]
        if self.boundless or self.resampling is not Resampling.nearest or 2 * height > self.cropped.height:
            return None
        centres = self.cropped.row_off + (np.arange(height) + 0.5) * (self.cropped.height / height)
        # GDAL adds an epsilon of its own to the centre; where that could decide, both rows are kept.
        rows = np.unique(np.floor(np.concatenate([centres - 1e-5, centres + 1e-5])).astype(np.int64))
        return np.unique(rows.clip(self.box.row0, self.box.row1 - 1))


def plan_read(
    raster: Box,
    count: int,
    *,
    indexes: int | Sequence[int] | None,
    window: WindowLike | None,
    out_shape: Sequence[int] | None,
    out: np.ndarray | None,
    boundless: bool,
    resampling: Resampling,
) -> ReadRequest:
    """Check the arguments of a read of a raster of `count` bands.

    Raises
    ------
    BandIndexError
        If the raster lacks a band asked for.
    SarzWindowError
        If the window is malformed, empty, or (unless boundless) outside the raster.
    SarzOptionError
        If `out`, `out_shape` or `resampling` cannot be used.
    """
    bands, single = resolve_bands(indexes, count)
    if resampling not in _KERNEL_RADIUS:
        raise SarzOptionError(
            f"resampling {resampling!r} cannot be used to read; "
            f"expected a rasterio.enums.Resampling among {', '.join(kind.name for kind in _KERNEL_RADIUS)}"
        )
    resampling = Resampling(resampling)
    boundless = boundless and window is not None
    asked = None if window is None else _as_window(window, raster, boundless)
    inside = _crop(asked, raster, boundless)
    natural = (inside if asked is None or not boundless else asked).round_lengths()
    shape = _output_shape(out, out_shape, (len(bands), int(natural.height), int(natural.width)), single)
    source = inside if asked is None or not boundless else asked
    box = _box_needed(source, shape, resampling).intersection(raster)
    return ReadRequest(bands, single, asked, boundless, resampling, shape, box, inside)


def resolve_bands(indexes: int | Sequence[int] | None, count: int) -> tuple[tuple[int, ...], bool]:
    """The 1-based bands of rasterio's `indexes`, and whether one index was given rather than a sequence."""
    if indexes is None:
        return tuple(range(1, count + 1)), False
    single = hasattr(indexes, "__index__")
    bands = tuple(operator.index(band) for band in ([indexes] if single else indexes))
    if not bands:
        raise SarzOptionError("indexes is empty; name at least one band, or None for all")
    return tuple(checked_band(band, count) for band in bands), single


def checked_band(band: int, count: int) -> int:
    """A 1-based band index; BandIndexError if the raster lacks it."""
    if not 1 <= band <= count:
        raise BandIndexError(f"band index {band} is out of range; the raster has bands 1 to {count}")
    return band


def _as_window(window: WindowLike, raster: Box, boundless: bool) -> Window:
    height, width = raster.shape
    try:
        if isinstance(window, (tuple, list)):
            window = Window.from_slices(*window, height=height, width=width, boundless=boundless)
    except (WindowError, TypeError, ValueError) as exc:
        raise SarzWindowError(f"window {window} is not a window: {exc}; expected a rasterio Window") from exc
    if not isinstance(window, Window):
        raise SarzWindowError(f"window is a {type(window).__name__}; expected a rasterio Window or a pair of ranges")
    if not all(math.isfinite(value) for value in window.flatten()):
        raise SarzWindowError(f"{window} is not finite")
    if window.width <= 0 or window.height <= 0:
        raise SarzWindowError(f"{window} is empty; width and height must be positive")
    return window


def _crop(window: Window | None, raster: Box, boundless: bool) -> Window:
    """The part of the window inside the raster."""
    height, width = raster.shape
    if window is None:
        return Window(0, 0, width, height)
    if boundless:
        return window
    cropped = window.crop(height, width)
    if cropped.width <= 0 or cropped.height <= 0:
        raise SarzWindowError(
            f"{window} lies outside the raster, which has {height} rows and {width} columns; "
            "move it, or read with boundless=True"
        )
    return cropped


def _output_shape(
    out: np.ndarray | None, out_shape: Sequence[int] | None, natural: tuple[int, int, int], single: bool
) -> tuple[int, int, int]:
    if out is not None and out_shape is not None:
        raise SarzOptionError("out and out_shape exclude each other; give one")
    if out is None and out_shape is None:
        if 0 in natural:
            raise SarzWindowError("the window rounds to no pixel; make it larger or give out_shape")
        return natural
    name, asked = ("out", np.shape(out)) if out is not None else ("out_shape", out_shape)
    try:
        shape = tuple(operator.index(length) for length in asked)
    except TypeError as exc:
        raise SarzOptionError(f"{name} {asked!r} is not a shape of integers") from exc
    # rasterio crashes on other lengths, so they must not get that far.
    if len(shape) == 2 and (single or name == "out_shape"):
        shape = (natural[0], *shape)
    if len(shape) != 3 or shape[0] != natural[0] or min(shape) < 1:
        raise SarzOptionError(f"{name} has shape {asked}; expected ({natural[0]}, height, width), all positive")
    return shape


def _oversampling_threshold() -> float | None:
    """GDAL's option of that name, where it is set."""
    text = get_gdal_config("GDAL_OVERVIEW_OVERSAMPLING_THRESHOLD", normalize=False)
    return None if text is None else float(text)


def _box_needed(window: Window, shape: tuple[int, int, int], resampling: Resampling, always: bool = False) -> Box:
    """Whole pixels that GDAL may look at to fill `shape` from `window`; by resampling `always`, or where sizes differ."""
    radius = _KERNEL_RADIUS[resampling]
    resampled = always or shape[1:] != (window.height, window.width)

    def span(offset: float, length: float, size: int) -> tuple[int, int]:
        # Resampling along one axis only lets kernels look along the other too.
        margin = math.ceil(radius * (max(1.0, length / size) + 1)) + _SLACK if resampled else _SLACK
        if not resampled and float(offset).is_integer():
            margin = 0
        return math.floor(offset) - margin, math.ceil(offset + length) + margin

    row0, row1 = span(window.row_off, window.height, shape[1])
    col0, col1 = span(window.col_off, window.width, shape[2])
    return Box(row0, col0, row1, col1)
