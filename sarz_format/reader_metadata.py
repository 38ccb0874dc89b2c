"""The attributes of an open .sarz that say what it is, as rasterio's datasets have them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.coords import BoundingBox
from rasterio.crs import CRS
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp, Interleaving
from rasterio.profiles import Profile
from rasterio.rpc import RPC
from rasterio.transform import array_bounds
from rasterio.warp import transform as transform_points
from rasterio.windows import Window

from .dtypes import is_complex, part_dtype
from .errors import SarzOptionError
from .overview import overview_factors
from .reader_request import checked_band

if TYPE_CHECKING:
    from .header import Header
    from .metadata import RasterMetadata


class MetadataMixin:
    """Attributes that follow from the header. A subclass must provide `header`."""

    header: Header

    driver = "SARZ"
    mode = "r"
    compression = None
    photometric = None
    interleaving = Interleaving.band
    subdatasets: tuple[str, ...] = ()

    @property
    def _metadata(self) -> RasterMetadata:
        return self.header.metadata

    @property
    def width(self) -> int:
        """Columns."""
        return self._metadata.width

    @property
    def height(self) -> int:
        """Rows."""
        return self._metadata.height

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width

    @property
    def count(self) -> int:
        """Bands."""
        return self._metadata.count

    @property
    def indexes(self) -> tuple[int, ...]:
        """Band indexes, from 1."""
        return tuple(range(1, self.count + 1))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """One a band, all the same."""
        return (self._metadata.dtype,) * self.count

    @cached_property
    def crs(self) -> CRS | None:
        """None where there is none, or where only the GCPs have one."""
        return self._metadata.crs

    @property
    def transform(self) -> Affine:
        """From (column, row) to (x, y) of the CRS; the identity where there is none."""
        return self._metadata.affine

    @property
    def gcps(self) -> tuple[list[GroundControlPoint], CRS | None]:
        """Ground control points and their CRS."""
        return self._metadata.rasterio_gcps

    @property
    def rpcs(self) -> RPC | None:
        """Rational polynomial coefficients."""
        return self._metadata.rasterio_rpcs

    @property
    def bounds(self) -> BoundingBox:
        """``(left, bottom, right, top)`` in units of the CRS."""
        a, b, c, d, e, f = self.transform[:6]
        if b == d == 0:
            return BoundingBox(c, f + e * self.height, c + a * self.width, f)
        return BoundingBox(*array_bounds(self.height, self.width, self.transform))

    @property
    def res(self) -> tuple[float, float]:
        """Width and height of a pixel in units of the CRS."""
        a, b, _, d, e, _ = self.transform[:6]
        return math.sqrt(a * a + d * d), math.sqrt(b * b + e * e)

    def lnglat(self) -> tuple[float, float]:
        """Longitude and latitude of the centre; rasterio's CRSError where there is no CRS."""
        left, bottom, right, top = self.bounds
        longitudes, latitudes = transform_points(self.crs, "EPSG:4326", [(left + right) / 2], [(bottom + top) / 2])[:2]
        return longitudes[0], latitudes[0]

    @property
    def nodatavals(self) -> tuple[float | None, ...]:
        """A band's nodata value; None where there is none, or one that the dtype cannot hold."""
        values, dtype = self._metadata.nodata, part_dtype(self._metadata.dtype).name
        return tuple(None if value is None or not in_dtype_range(value, dtype) else float(value) for value in values)

    @property
    def nodata(self) -> float | None:
        """The first band's nodata value."""
        return self.nodatavals[0]

    @property
    def descriptions(self) -> tuple[str | None, ...]:
        """A band's name, "VV" for example."""
        return self._metadata.descriptions

    @property
    def units(self) -> tuple[str | None, ...]:
        """A band's unit."""
        return self._metadata.units

    @property
    def scales(self) -> tuple[float, ...]:
        """``value = pixel * scale + offset``; reads return the pixel."""
        return self._metadata.scales

    @property
    def offsets(self) -> tuple[float, ...]:
        """See `scales`."""
        return self._metadata.offsets

    @property
    def colorinterp(self) -> tuple[ColorInterp, ...]:
        """A band's colour interpretation."""
        return self._metadata.rasterio_colorinterp

    @property
    def meta(self) -> dict[str, object]:
        """Driver, dtype, nodata, width, height, count, crs and transform."""
        return {
            "driver": self.driver, "dtype": self.dtypes[0], "nodata": self.nodata, "width": self.width,
            "height": self.height, "count": self.count, "crs": self.crs, "transform": self.transform,
        }  # fmt: skip

    @property
    def profile(self) -> Profile:
        """`meta` and the block layout; with another driver, keyword arguments for ``rasterio.open(path, "w")``."""
        size = self.header.tile_size
        return Profile(
            **self.meta, blockxsize=size, blockysize=size, tiled=size != self.width, interleave=self.interleaving.name
        )

    @property
    def block_shapes(self) -> list[tuple[int, int]]:
        """``(rows, columns)`` of a band's tiles."""
        return [(self.header.tile_size, self.header.tile_size)] * self.count

    def block_windows(self, bidx: int = 0) -> Iterator[tuple[tuple[int, int], Window]]:
        """``((tile row, tile column), Window)`` of every tile, row by row."""
        if bidx > 0:
            checked_band(bidx, self.count)
        grid = self.header.grid
        for row in range(grid.rows):
            for col in range(grid.cols):
                yield (row, col), self.block_window(1, row, col)

    def block_window(self, bidx: int, i: int, j: int) -> Window:
        """The Window of the tile in row `i` and column `j`."""
        checked_band(bidx, self.count)
        box = self.header.grid.tile(i, j)
        height, width = box.shape
        return Window(box.col0, box.row0, width, height)

    def overviews(self, bidx: int) -> list[int]:
        """Decimation factors of overviews: 2, 4, 8, ... until the shorter side has 256 pixels or fewer; complex values, whose
        mean power is real, have none."""
        checked_band(bidx, self.count)
        if is_complex(self.header.metadata.dtype):
            return []
        return overview_factors(self.height, self.width)

    def colormap(self, bidx: int) -> dict[int, tuple[int, int, int, int]]:
        """No band has one: SarzOptionError, which is a ValueError, as in rasterio."""
        raise SarzOptionError(f"band {checked_band(bidx, self.count)} has no colour table")

    def tags(self, bidx: int = 0, ns: str | None = None) -> dict[str, str]:
        """Tags of the dataset (`bidx` 0) or of a band, in the default namespace or another."""
        if bidx == 0 and ns == "IMAGE_STRUCTURE":
            return {"INTERLEAVE": self.interleaving.value}
        if bidx == 0 and ns == "RPC":
            return dict(self._metadata.rpcs or {})
        return dict(self._namespaces(bidx).get(ns or "", {}))

    def tag_namespaces(self, bidx: int = 0) -> list[str]:
        """Names that `tags` takes besides the default namespace."""
        generated = {"IMAGE_STRUCTURE"} | ({"RPC"} if self._metadata.rpcs else set()) if bidx == 0 else set()
        return sorted(generated | set(self._namespaces(bidx)) - {""})

    def get_tag_item(self, ns: str, dm: str | None = None, bidx: int = 0, ovr: int | None = None) -> str | None:
        """One tag: key `ns` (rasterio's name for it) in namespace `dm`."""
        if ovr is not None:
            raise SarzOptionError(f"a tag of overview {ovr} was asked for, but overviews have no tags of their own")
        return self.tags(bidx, dm).get(ns)

    def _namespaces(self, bidx: int) -> dict[str, dict[str, str]]:
        if bidx == 0:
            return self._metadata.tags
        return self._metadata.band_tags[checked_band(bidx, self.count) - 1]
