"""The reads of an open .sarz: whole pixels from the decoder, everything else by GDAL from a decoded copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rasterio.enums import MaskFlags, Resampling
from rasterio.sample import sample_gen

from .dtypes import is_complex
from .errors import SarzOptionError, SarzWindowError
from .grid import Box
from .overview import checked_factor, overview_box
from .reader_copy import CopyPlan, DecodeBox, decoded_copy, mask_spans_bands
from .reader_metadata import MetadataMixin
from .reader_request import ReadRequest, WindowLike, plan_read

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from rasterio.io import DatasetReader
    from torch import Tensor

    from .reader_options import ReadOptions

_NOTHING = Box(0, 0, 0, 0)


class _UnmarkedDamageError(Exception):
    """An overview has damaged pixels, and no nodata value to mark them."""


class PixelsMixin(MetadataMixin):
    """Reading with rasterio's meaning.

    A subclass must provide `header`, `options`, `_opened()`, which raises SarzIOError once closed, and
    `_window_decoder()`, which returns an object with the `read` and `read_overview` of decoder.WindowDecoder, and `_factor`,
    that of the overview that is read as the raster, or 1.
    """

    options: ReadOptions
    _factor: int

    def read(
        self,
        indexes: int | Sequence[int] | None = None,
        out: np.ndarray | Literal["torch"] | None = None,
        window: WindowLike | None = None,
        masked: bool = False,
        out_shape: Sequence[int] | None = None,
        boundless: bool = False,
        resampling: Resampling = Resampling.nearest,
        fill_value: float | None = None,
        out_dtype: DTypeLike | None = None,
    ) -> np.ndarray | Tensor:
        """Read pixels; every argument means what it means to ``rasterio.DatasetReader.read``.

        Parameters
        ----------
        indexes : int or sequence of int, optional
            Bands, numbered from 1; an int gives a 2-D result. All by default.
        out : array or "torch", optional
            Takes the pixels. Its shape and dtype decide instead of `out_shape` and `out_dtype`. With "torch" the result
            is a tensor of the raster's dtype on the device that decodes; a GPU's pixels are not copied to the host.
            That is for whole pixels inside the raster as they are stored: no argument after `window` may be given.
        window : Window or pair of ranges, optional
            In pixels, fractions allowed; cropped to the raster unless `boundless`. The whole raster by default.
        masked : bool
            Return a masked array, without nodata, transparent and damaged pixels.
        out_shape : tuple of int, optional
            ``(height, width)`` or ``(bands, height, width)`` to resample to.
        boundless : bool
            Allow windows beyond the raster, filled with `fill_value`, nodata or 0.
        resampling : rasterio.enums.Resampling
            How to resample; max, min, med, q1, q3 and sum are for warping only.
        fill_value : number, optional
            See `boundless`; takes the place of masked pixels too.
        out_dtype : dtype, optional
            Convert: GDAL rounds and clamps.

        Returns
        -------
        array, or tensor
            ``(bands, height, width)``, or ``(height, width)`` for one index.

        Raises
        ------
        BandIndexError
            If there is no such band; also an IndexError.
        SarzWindowError
            If the window is empty, or outside and not boundless.
        SarzOptionError
            If other arguments do not fit.
        DamagedTileError
            If a tile that is needed is damaged, unless opened with ``on_damage="mask"``.
        SarzIOError
            If the dataset is closed, reading fails, or the temporary directory is too small (see Dataset).
        """
        if isinstance(out, str):
            if masked or out_shape is not None or boundless or fill_value is not None or out_dtype is not None:
                raise SarzOptionError(f"out={out!r} takes only indexes and window; read an array for anything else")
            return self.read_windows([window], indexes, out=out)[0]
        request = self._plan(indexes, window, out_shape, out, boundless, resampling)
        if request.is_plain and not masked and fill_value is None:
            dtype = out.dtype if out is not None else out_dtype
            if dtype is None or _widens(self.dtypes[0], dtype):
                return self._read_plain(request, out, dtype)
        how: dict[str, Any] = {"masked": masked, "fill_value": fill_value, "out_dtype": out_dtype}
        if self._nodata_differs(request.bands):
            how |= _geometry(request) | {"out_shape": request.out_shape[1:]}
            return _stacked([self.read(band, **how) for band in request.bands], out)
        with self._copy(request) as copy:
            return copy.read(_indexes(request), **how, **_geometry(request), **_target(request, out))

    def read_overview(
        self, factor: int, window: WindowLike | None = None, indexes: int | Sequence[int] | None = None
    ) -> np.ndarray:
        """Read an overview: a pixel is the mean power of the valid ones of `factor` x `factor`, in the raster's unit.

        From a factor of 8 on only the coarse parts of tiles are read, a small part of the file, but for tiles that
        are stored losslessly: of these, and for factors of 2 and 4, pixels are decoded and averaged.

        Parameters
        ----------
        factor : int
            A power of two, of those in `overviews` or larger.
        window : Window or pair of ranges, optional
            Whole pixels of the overview, which has ``ceil(height / factor)`` rows and ``ceil(width / factor)`` columns.
        indexes : int or sequence of int, optional
            As in `read`.

        Returns
        -------
        array
            Of the raster's dtype, ``(bands, height, width)``, or ``(height, width)`` for one index. Nodata, or 0 where
            there is none, where no pixel is valid.

        Raises
        ------
        BandIndexError, SarzWindowError, DamagedTileError, SarzIOError
            As `read`.
        SarzOptionError
            If `factor` is no power of two from 2 to 65536, or the values are complex.
        """
        self._opened()
        if is_complex(self.header.metadata.dtype):
            raise SarzOptionError(f"{self.header.metadata.dtype} has no overviews: they are means of power, which is real; "
                                  "read pixels, and average their magnitude")
        whole = overview_box(*self.shape, checked_factor(factor))
        request = plan_read(whole, self.count, indexes=indexes, window=window, out_shape=None, out=None, boundless=False,
                            resampling=Resampling.nearest)
        if not request.is_plain:
            raise SarzWindowError(f"{window} of an overview is not in whole pixels")
        return self._in_order(request, lambda bands, box: self._decode_overview(bands, factor, box))
    def read_windows(
        self,
        windows: Iterable[WindowLike | None],
        indexes: int | Sequence[int] | None = None,
        *,
        out: Literal["numpy", "torch"] = "numpy",
    ) -> list[np.ndarray] | list[Tensor]:
        """Read many windows at once: each as ``read(indexes, window=window, out=out)`` gives it, in their order.

        Their tiles are fetched together, those that several windows need are decoded once, and equal shapes go through
        the networks in batches.

        Parameters
        ----------
        windows : iterable of Window or pair of ranges
            Whole pixels; cropped to the raster.
        indexes : int or sequence of int, optional
            As in `read`, for all windows.
        out : {"numpy", "torch"}
            Arrays, or tensors on the device that decodes.

        Returns
        -------
        list of array or tensor
            ``(bands, height, width)``, or ``(height, width)`` for one index, of the raster's dtype.

        Raises
        ------
        SarzWindowError
            If a window has fractions; otherwise as `read`.
        """
        pixels = [values for values, _ in self.read_with_damage(windows, indexes, out)]
        return [values[0] for values in pixels] if isinstance(indexes, Integral) else pixels

    def read_with_damage(
        self, windows: Iterable[WindowLike | None], indexes: int | Sequence[int] | None, out: str
    ) -> list[tuple[Any, np.ndarray | None]]:
        """As `read_windows`, each window as ``(bands, height, width)``, whatever `indexes` is, and with its damage.

        That is bool ``(height, width)``, the pixels that damaged tiles spoil in any band (``on_damage="mask"``), or
        None where there are none.
        """
        if out not in ("numpy", "torch"):
            raise SarzOptionError(f"out is {out!r}, expected 'numpy' or 'torch'")
        requests = [self._plan(indexes, window, None, None, False, Resampling.nearest) for window in windows]
        for request in requests:
            if not request.is_plain:
                raise SarzWindowError(f"{request.window} has fractions of pixels; expected whole ones")
        if not requests:
            return []
        decoder = self._window_decoder()
        decode = decoder.read_tensors if out == "torch" else decoder.read_windows
        return decode([index - 1 for index in requests[0].bands], [request.box for request in requests])

    def read_masks(
        self,
        indexes: int | Sequence[int] | None = None,
        out: np.ndarray | None = None,
        out_shape: Sequence[int] | None = None,
        window: WindowLike | None = None,
        boundless: bool = False,
        resampling: Resampling = Resampling.nearest,
    ) -> np.ndarray:
        """Read masks of bands as GDAL derives them, uint8: 255 where valid. Arguments and errors as in `read`."""
        request = self._plan(indexes, window, out_shape, out, boundless, resampling)
        if self._nodata_differs(request.bands):
            how = _geometry(request) | {"out_shape": request.out_shape[1:]}
            return _stacked([self.read_masks(band, **how) for band in request.bands], out)
        with self._copy(request, for_mask=True) as copy:
            return copy.read_masks(_indexes(request), **_geometry(request), **_target(request, out))

    def dataset_mask(
        self,
        out: np.ndarray | None = None,
        out_shape: Sequence[int] | None = None,
        window: WindowLike | None = None,
        boundless: bool = False,
        resampling: Resampling = Resampling.nearest,
    ) -> np.ndarray:
        """Read the mask of all bands, uint8 ``(height, width)``: 255 where one is valid. Arguments as in `read`."""
        shape = self._plan(1, window, out_shape, out, boundless, resampling).out_shape[1:]
        request = self._plan(None, window, shape, None, boundless, resampling)
        if self._nodata_differs(request.bands):
            masks = self.read_masks(None, out_shape=shape, **_geometry(request))
            return _stacked([np.logical_or.reduce(masks) * np.uint8(255)], out)[0]
        target = {"out_shape": shape} if out is None else {"out": out}
        with self._copy(request, for_mask=True) as copy:
            return copy.dataset_mask(**_geometry(request), **target)

    def sample(
        self, xy: Iterable[tuple[float, float]], indexes: int | Sequence[int] | None = None, masked: bool = False
    ) -> Iterator[np.ndarray]:
        """Yield the pixels under coordinates of the CRS, an array of one value a band; nodata or 0 outside."""
        return sample_gen(self, xy, indexes=indexes, masked=masked)

    def checksum(self, bidx: int, window: WindowLike | None = None) -> int:
        """GDAL's checksum of a band, or of a window of whole pixels of it."""
        request = self._plan(bidx, window, None, None, False, Resampling.nearest)
        with self._copy(request) as copy:
            return copy.checksum(bidx, window=request.window)

    @cached_property
    def mask_flag_enums(self) -> tuple[list[MaskFlags], ...]:
        """Where the mask of each band comes from, as GDAL says."""
        flags = []
        for band in self.indexes:
            with decoded_copy(self._copy_plan((band,), _NOTHING, None), self._decode) as copy:
                flags.append(copy.mask_flag_enums[band - 1])
        return tuple(flags)

    def _opened(self) -> object:
        raise NotImplementedError

    def _window_decoder(self) -> Any:
        raise NotImplementedError

    def _plan(
        self,
        indexes: int | Sequence[int] | None,
        window: WindowLike | None,
        out_shape: Sequence[int] | None,
        out: np.ndarray | None,
        boundless: bool,
        resampling: Resampling,
    ) -> ReadRequest:
        self._opened()
        return plan_read(
            self.header.grid.raster, self.count, indexes=indexes, window=window, out_shape=out_shape, out=out,
            boundless=boundless, resampling=resampling,
        )  # fmt: skip

    def _decode(self, bands: Sequence[int], box: Box) -> tuple[np.ndarray, np.ndarray | None]:
        if self._factor > 1:
            return self._decode_overview(bands, 1, box)
        return self._window_decoder().read(bands, box.row0, box.col0, *box.shape)

    def _decode_overview(self, bands: Sequence[int], factor: int, box: Box) -> tuple[np.ndarray, np.ndarray | None]:
        """As `_decode`, of an overview of what is read as the raster."""
        return self._window_decoder().read_overview(bands, factor * self._factor, box.row0, box.col0, *box.shape)

    def _read_plain(self, request: ReadRequest, out: np.ndarray | None, dtype: DTypeLike | None) -> np.ndarray:
        """One decoded pixel for each pixel asked for."""
        values = self._in_order(replace(request, single=False), self._decode)
        if out is None:
            out = values if dtype is None else values.astype(dtype, copy=False)
        else:
            out = out[None] if out.ndim == 2 else out
            out[...] = values
        return out[0] if request.single else out

    @staticmethod
    def _in_order(request: ReadRequest, decode: DecodeBox) -> np.ndarray:
        """Decode each band once, and give bands as they were asked for."""
        bands = sorted({index - 1 for index in request.bands})
        values, _ = decode(bands, request.box)
        order = [bands.index(index - 1) for index in request.bands]
        if order != list(range(len(bands))):
            values = values[order]
        return values[0] if request.single else values

    @contextmanager
    def _copy(self, request: ReadRequest, for_mask: bool = False) -> Iterator[DatasetReader]:
        """What GDAL needs of the raster, or of an overview of it, to answer the request."""
        raster = self.header.grid.raster
        factors = self._factors_for(request)
        factor = request.factor(raster, factors)
        all_valid = self._nodata_of(request.bands) is None and not mask_spans_bands(self._metadata)
        with ExitStack() as stack:
            if for_mask and all_valid and self.options.on_damage == "raise":  # The answer does not depend on pixels.
                copy = self._full_copy(request, _NOTHING)
            elif factor == 1:
                # GDAL rounds differently where there are overviews, even if it reads none of them.
                copy = self._full_copy(request, request.box, self._overview(request, factors[0], _NOTHING) if factors else None)
            else:
                whole = overview_box(*raster.shape, factor)
                overview = self._overview(request, factor, request.box_of_overview(raster, whole))
                try:
                    yield stack.enter_context(self._full_copy(request, _NOTHING, overview))
                    return
                except _UnmarkedDamageError:
                    copy = self._full_copy(request, request.box)
            yield stack.enter_context(copy)

    def _factors_for(self, request: ReadRequest) -> list[int]:
        """Factors of the overviews that GDAL may choose from."""
        resampled = request.out_shape[1:] != (request.cropped.height, request.cropped.width)
        from_pixels = "NODATA_VALUES" in self._metadata.tags.get("", {})  # GDAL makes masks of the raster's pixels then.
        return self.overviews(1) if self.options.overviews and resampled and not from_pixels and not request.boundless else []

    def _full_copy(self, request: ReadRequest, box: Box,
                   overview: tuple[CopyPlan, DecodeBox] | None = None) -> AbstractContextManager[DatasetReader]:
        rows = None if box is _NOTHING else request.rows
        return decoded_copy(self._copy_plan(request.bands, box, rows), self._decode, overview)

    def _overview(self, request: ReadRequest, factor: int, box: Box) -> tuple[CopyPlan, DecodeBox]:
        """How an overview is copied, of which `box` is needed, in its pixels."""
        plan = self._copy_plan(request.bands, box, None)
        whole = overview_box(*self.shape, factor)
        small = replace(plan.metadata, height=whole.row1, width=whole.col1, transform=None)

        def decode(bands: Sequence[int], box: Box) -> tuple[np.ndarray, np.ndarray | None]:
            values, damaged = self._decode_overview(bands, factor, box)
            if damaged is not None and plan.nodata is None:
                raise _UnmarkedDamageError
            return values, damaged

        return replace(plan, metadata=small, tile_size=max(1, self.header.tile_size // factor)), decode

    def _copy_plan(self, indexes: Sequence[int], box: Box, rows: np.ndarray | None) -> CopyPlan:
        wanted = self.indexes if mask_spans_bands(self._metadata) else indexes
        bands = tuple(sorted({index - 1 for index in wanted}))
        return CopyPlan(self._metadata, self._nodata_of(indexes), bands, box, rows, self.header.tile_size)

    def _nodata_of(self, indexes: Sequence[int]) -> float | None:
        return self.nodatavals[indexes[0] - 1]

    def _nodata_differs(self, indexes: Sequence[int]) -> bool:
        """Whether bands must be read one by one, because GDAL's GeoTIFFs have one nodata value for all bands."""
        return len({str(self.nodatavals[index - 1]) for index in indexes}) > 1  # NaN is not equal to itself


def _widens(source: DTypeLike, target: DTypeLike) -> bool:
    """Whether every value of `source` is one of `target`, so that there is nothing to round or clamp."""
    try:
        return np.can_cast(np.dtype(source), np.dtype(target), "safe")
    except TypeError:  # rasterio has names of its own, complex_int16
        return False


def _indexes(request: ReadRequest) -> int | list[int]:
    return request.bands[0] if request.single else list(request.bands)


def _geometry(request: ReadRequest) -> dict[str, Any]:
    return {"window": request.window, "boundless": request.boundless, "resampling": request.resampling}


def _target(request: ReadRequest, out: np.ndarray | None) -> dict[str, Any]:
    return {"out_shape": request.out_shape} if out is None else {"out": out}


def _stacked(parts: Sequence[np.ndarray], out: np.ndarray | None) -> np.ndarray:
    """Bands read one by one as one array ``(bands, height, width)``, in `out` if that is given."""
    values = np.stack([np.ma.getdata(part) for part in parts])
    if out is not None:
        out = out[None] if out.ndim == 2 else out
        out[...] = values
        values = out
    if not isinstance(parts[0], np.ma.MaskedArray):
        return values
    return np.ma.array(values, mask=np.stack([np.ma.getmaskarray(part) for part in parts]))
