"""The xarray engine ``sarz``: ``xarray.open_dataset("scene.sarz")`` gives what rioxarray's engine gives for a GeoTIFF.

xarray finds it by its entry point (group ``xarray.backends``); nothing else imports this module.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
import rioxarray  # noqa: F401 (registers the accessor ``rio``, which writes the georeferencing)
import xarray as xr
from affine import Affine
from rasterio.control import GroundControlPoint
from rioxarray.rioxarray import affine_to_coords
from xarray.backends import BackendEntrypoint, CachingFileManager
from xarray.core import indexing

from .errors import SarzOptionError
from .preamble import MAGIC
from .reader import Dataset
from .xarray_array import SarzArray, file_manager
from .xarray_attributes import attributes_of, band_attributes, encode

SUFFIX = ".sarz"


class SarzBackend(BackendEntrypoint):
    """Opens .sarz files lazily and georeferenced, with dask chunks on the borders of tiles."""

    description: ClassVar[str] = "SAR rasters in the learned .sarz codec"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj", "drop_variables", "mask_and_scale", "parse_coordinates", "default_name", "band_as_variable",
        "overview_level", "storage_options", "open_kwargs",
    )  # fmt: skip

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: bool = True,
        parse_coordinates: bool | None = None,
        default_name: Hashable = "band_data",
        band_as_variable: bool = False,
        overview_level: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
        open_kwargs: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Open a file; called by ``xarray.open_dataset``. Arguments mean what they mean to rioxarray's engine.

        Parameters
        ----------
        filename_or_obj : path, bytes or binary file object
            What `sarz.open` takes.
        drop_variables : str or iterable of str, optional
            Variables to leave out.
        mask_and_scale : bool
            NaN for invalid pixels, and values times the scale plus the offset, in float32 (float64 for integers of
            more than 16 bits and for float64). Otherwise pixels as they are stored.
        parse_coordinates : bool, optional
            Whether there are coordinates ``x`` and ``y`` of the pixels' centres. By default where these are 1-D: not
            for rasters with ground control points, nor for rotated ones, which get ``xc`` and ``yc`` (height x width
            float64 each) if this is True.
        default_name : str
            Of the variable ``(band, y, x)``.
        band_as_variable : bool
            A variable ``(y, x)`` for each band, ``band_1``, ``band_2``, instead.
        overview_level : int, optional
            Which of the file's overviews to open, 0 for the finest.
        storage_options : mapping, optional
            For remote files.
        open_kwargs : mapping, optional
            Further keyword arguments of `sarz.open`: ``device``, ``cache_bytes``, ``on_damage``...

        Raises
        ------
        SarzError
            As `sarz.open` does; SarzOptionError if there is no such overview.
        """
        options = dict(open_kwargs or {})
        if storage_options is not None:
            options["storage_options"] = dict(storage_options)
        manager = file_manager(_absolute(filename_or_obj), options)
        layout = Layout(manager, overview_level, mask_and_scale, parse_coordinates)
        if band_as_variable:
            opened = layout.band_variables()
        else:
            opened = layout.array(layout.dataset.indexes, default_name).to_dataset(name=default_name)
        if drop_variables is not None:
            opened = opened.drop_vars(drop_variables, errors="ignore")
        opened.set_close(manager.close)
        return opened

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this is a path or URL that ends in ``.sarz``, or bytes or a file object that begin as such a file."""
        if isinstance(filename_or_obj, (bytes, memoryview)):
            return bytes(filename_or_obj[: len(MAGIC)]) == MAGIC
        if isinstance(filename_or_obj, (str, os.PathLike)):
            return _path_of(os.fspath(filename_or_obj)).lower().endswith(SUFFIX)
        if not (hasattr(filename_or_obj, "read") and hasattr(filename_or_obj, "seek")):
            return False
        position = filename_or_obj.tell()
        filename_or_obj.seek(0)
        start = filename_or_obj.read(len(MAGIC))
        filename_or_obj.seek(position)
        return start == MAGIC


class Layout:
    """How an open file becomes arrays of xarray.

    Attributes
    ----------
    dataset : Dataset
        The open file.
    """

    def __init__(self, manager: CachingFileManager, overview_level: int | None, mask_and_scale: bool,
                 parse_coordinates: bool | None) -> None:
        self.dataset: Dataset = manager.acquire().dataset
        self._manager, self._masked, self._parse_coordinates = manager, mask_and_scale, parse_coordinates
        self._factor = _overview_factor(self.dataset, overview_level)
        self._shape = tuple(-(-size // self._factor) for size in self.dataset.shape)

    @property
    def transform(self) -> Affine:
        """Of the raster, or of the overview."""
        across, down = self._scales
        a, b, c, d, e, f = self.dataset.transform[:6]
        return Affine(a * across, b * down, c, d * across, e * down, f)

    @property
    def _scales(self) -> tuple[float, float]:
        """Pixels of the raster a pixel of what is opened, along rows and down columns."""
        height, width = self._shape
        return self.dataset.width / width, self.dataset.height / height

    def band_variables(self) -> xr.Dataset:
        """A lazy array ``(y, x)`` for each band, with the band's tags; the file's are attributes of all."""
        arrays = {}
        for band in self.dataset.indexes:
            array = self.array((band,), f"band_{band}", self.dataset.tags(band))
            del array.encoding["preferred_chunks"]["band"]
            arrays[array.name] = array.isel(band=0, drop=True)
        return xr.Dataset(arrays, attrs=attributes_of(self.dataset.tags()))

    def array(self, bands: tuple[int, ...], name: Hashable, tags: Mapping[str, str] | None = None) -> xr.DataArray:
        """A lazy array ``(band, y, x)`` of some bands, 1-based, with coordinates and georeferencing.

        `tags` become attributes; by default those of the file and of the first of the bands.
        """
        if tags is None:
            tags = self.dataset.tags() | self.dataset.tags(bands[0])
        dtype = np.dtype(self.dataset.dtypes[0])
        pixels = SarzArray(self._manager, bands, self._shape, dtype, masked=self._masked, factor=self._factor)
        coordinates = {"band": np.array(bands), **self._spatial_coordinates()}
        array = xr.DataArray(indexing.LazilyIndexedArray(pixels), coordinates, ("band", "y", "x"), name,
                             band_attributes(self.dataset, bands, tags))
        encode(array, dtype, masked=self._masked)
        array.encoding |= {"preferred_chunks": self._chunks(bands), "source": self.dataset.name,
                           "rasterio_dtype": str(dtype)}
        return self._georeferenced(array)

    def _spatial_coordinates(self) -> dict[str, Any]:
        transform = self.transform
        rectilinear = transform.b == transform.d == 0
        wanted = rectilinear if self._parse_coordinates is None else self._parse_coordinates
        if not wanted or self.dataset.gcps[0]:
            return {}
        height, width = self._shape
        centres = affine_to_coords(transform, width, height)
        if rectilinear:
            return {"x": centres["x"], "y": centres["y"]}
        return {"xc": (("y", "x"), centres["x"]), "yc": (("y", "x"), centres["y"])}

    def _georeferenced(self, array: xr.DataArray) -> xr.DataArray:
        """With ``spatial_ref`` as rioxarray writes it: transform, CRS, ground control points."""
        array.rio.write_transform(self.transform, inplace=True)
        if self.dataset.crs:
            array.rio.write_crs(self.dataset.crs, inplace=True)
        points, crs = self.dataset.gcps
        if points:
            array.rio.write_gcps(_decimated(points, *self._scales), crs, inplace=True)
        return array

    def _chunks(self, bands: tuple[int, ...]) -> dict[str, Any]:
        """Whole tiles of all bands that are coded together: these are decoded at once."""
        tile = max(1, self.dataset.header.tile_size // self._factor)
        groups = [tuple(band + 1 for band in group.bands) for group in self.dataset.header.groups]
        if len(bands) == 1:
            by_band: Any = 1
        elif [band for group in groups for band in group] == list(bands):
            lengths = tuple(len(group) for group in groups)
            by_band = lengths if len(set(lengths)) > 1 else lengths[0]
        else:
            by_band = len(bands)
        return {"band": by_band, "y": tile, "x": tile}


def _overview_factor(dataset: Dataset, level: int | None) -> int:
    if level is None:
        return 1
    factors = dataset.overviews(1)
    if not 0 <= level < len(factors):
        there = f"levels 0 to {len(factors) - 1} (factors {factors})" if factors else "no overviews"
        raise SarzOptionError(f"overview_level {level}: {dataset.name} has {there}")
    return factors[level]


def _decimated(points: list[GroundControlPoint], across: float, down: float) -> list[GroundControlPoint]:
    """Ground control points of the raster in pixels of an overview."""
    return [GroundControlPoint(p.row / down, p.col / across, p.x, p.y, p.z, p.id, p.info) for p in points]


def _absolute(path: Any) -> Any:
    """A local path made absolute, so that other processes, which may work elsewhere, find it; else as it is."""
    if isinstance(path, os.PathLike) or (isinstance(path, str) and not urlsplit(path).netloc and "::" not in path):
        return os.path.abspath(os.path.expanduser(os.fspath(path)))
    return path


def _path_of(path: str) -> str:
    """A path, or that of a URL without its query."""
    return urlsplit(path).path if "://" in path else path
