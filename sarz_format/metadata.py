"""What a raster says about itself besides its pixels, as a plain value: made from a rasterio dataset, kept in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .errors import SarzOptionError

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.control import GroundControlPoint
    from rasterio.crs import CRS
    from rasterio.enums import ColorInterp
    from rasterio.io import DatasetReader, DatasetWriter
    from rasterio.rpc import RPC

Tags = Mapping[str, Mapping[str, str]]
"""Tags by namespace; '' is the default namespace."""


@dataclass(frozen=True, slots=True)
class ControlPoint:
    """A ground control point: pixel position, place in the CRS, and how the source calls it."""

    row: float
    col: float
    x: float
    y: float
    z: float = 0.0
    id: str = ""
    info: str = ""


@dataclass(frozen=True, slots=True)
class RasterMetadata:
    """Size, dtype, georeferencing, nodata and tags of a raster. Fields of one value a band are as long as `count`."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    dtype: str
    """One of dtypes.DTYPES, the same for every band."""
    nodata: tuple[float | int | None, ...]
    """A band's nodata value, None where there is none: NaN is ``math.nan``, whole values of integer dtypes are ints.
    The dtype may be unable to hold it; no pixel has it then."""
    crs_wkt: str | None = None
    """WKT2 (2019), or WKT1 where the CRS has no WKT2."""
    transform: tuple[float, float, float, float, float, float] | None = None
    """Affine a, b, c, d, e, f from (col, row) to (x, y); None is the identity, that is no transform."""
    gcps: tuple[ControlPoint, ...] = ()
    gcps_crs_wkt: str | None = None
    rpcs: Mapping[str, str] | None = None
    """The items of GDAL's RPC namespace, as text."""
    descriptions: tuple[str | None, ...] = ()
    units: tuple[str | None, ...] = ()
    scales: tuple[float, ...] = ()
    """``value = pixel * scale + offset``"""
    offsets: tuple[float, ...] = ()
    colorinterp: tuple[str, ...] = ()
    """Names of rasterio.enums.ColorInterp."""
    tags: Tags = None  # type: ignore[assignment]  # becomes {}
    """Of the dataset, without namespaces that GDAL makes up itself (metadata_rasterio.GENERATED_NAMESPACES)."""
    band_tags: tuple[Tags, ...] = ()

    def __post_init__(self) -> None:
        """Fill in the defaults of fields left out, and check the lengths of those that were not."""
        count = len(self.nodata)
        defaults: dict[str, tuple[Any, ...]] = {
            "descriptions": (None,) * count,
            "units": (None,) * count,
            "scales": (1.0,) * count,
            "offsets": (0.0,) * count,
            "colorinterp": default_colorinterp(count),
            "band_tags": tuple({} for _ in range(count)),
        }
        for name, default in defaults.items():
            value = getattr(self, name) or default
            if len(value) != count:
                raise SarzOptionError(f"{name} has {len(value)} values for {count} bands")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "tags", self.tags or {})

    @property
    def count(self) -> int:
        """Bands."""
        return len(self.nodata)

    def select_bands(self, bands: Sequence[int]) -> RasterMetadata:
        """The metadata of some bands (0-based, in that order)."""
        per_band = ("nodata", "descriptions", "units", "scales", "offsets", "colorinterp", "band_tags")
        chosen: dict[str, Any] = {name: tuple(getattr(self, name)[band] for band in bands) for name in per_band}
        return replace(self, **chosen)

    def cropped(self, row_off: int, col_off: int, height: int, width: int) -> RasterMetadata:
        """The metadata of a window: transform, ground control points and RPCs are moved to its corner."""
        from .metadata_rasterio import moved_rpcs, moved_transform

        return replace(
            self,
            height=height,
            width=width,
            transform=moved_transform(self.transform, row_off, col_off, keep_none=bool(self.gcps or self.rpcs)),
            gcps=tuple(replace(p, row=p.row - row_off, col=p.col - col_off) for p in self.gcps),
            rpcs=moved_rpcs(self.rpcs, row_off, col_off),
        )

    @classmethod
    def from_dataset(cls, src: DatasetReader, indexes: Sequence[int] | None = None) -> RasterMetadata:
        """Take the metadata of an open rasterio dataset.

        Parameters
        ----------
        src : rasterio dataset
        indexes : sequence of int, optional
            Bands to take, numbered from 1 as in rasterio; all by default.

        Raises
        ------
        UnsupportedRasterError
            If the bands have different dtypes, or one that is not in dtypes.DTYPES, or there are none.
        """
        from .metadata_rasterio import read_metadata

        return read_metadata(src, indexes)

    def profile(self) -> dict[str, Any]:
        """Keyword arguments for ``rasterio.open(path, "w", **profile)``; `write_to` sets the rest."""
        from .metadata_rasterio import geotiff_profile

        return geotiff_profile(self)

    def write_to(self, dst: DatasetWriter) -> None:
        """Set on a dataset opened with `profile` everything that the profile cannot carry."""
        from .metadata_rasterio import write_metadata

        write_metadata(self, dst)

    def geotiff_losses(self) -> tuple[str, ...]:
        """What a GeoTIFF written with `profile` and `write_to` will not say, a sentence each; mostly empty."""
        from .metadata_rasterio import geotiff_losses

        return geotiff_losses(self)

    def to_json(self, packed: bool = True) -> dict[str, Any]:
        """A dictionary for json.dumps; what has its usual value is left out.

        Many control points are packed, as files have them, or not, as people read them.
        """
        from .metadata_json import metadata_to_json

        return metadata_to_json(self, packed)

    @classmethod
    def from_json(cls, value: Any) -> RasterMetadata:
        """Check and take what `to_json` made; SarzFormatError for anything else."""
        from .metadata_json import metadata_from_json

        return metadata_from_json(value)

    @property
    def affine(self) -> Affine:
        """The transform as rasterio has it; the identity where there is none."""
        from affine import Affine

        return Affine(*self.transform) if self.transform else Affine.identity()

    @property
    def crs(self) -> CRS | None:
        """The CRS as a rasterio object; SarzFormatError if its text does not parse."""
        from .metadata_rasterio import parse_crs

        return parse_crs(self.crs_wkt)

    @property
    def rasterio_gcps(self) -> tuple[list[GroundControlPoint], CRS | None]:
        """What ``dataset.gcps`` is in rasterio."""
        from .metadata_rasterio import parse_crs, rasterio_control_points

        return rasterio_control_points(self), parse_crs(self.gcps_crs_wkt)

    @property
    def rasterio_rpcs(self) -> RPC | None:
        """What ``dataset.rpcs`` is in rasterio; SarzFormatError if the items are not RPCs."""
        from .metadata_rasterio import parse_rpcs

        return parse_rpcs(self.rpcs)

    @property
    def rasterio_colorinterp(self) -> tuple[ColorInterp, ...]:
        """What ``dataset.colorinterp`` is in rasterio; a name that it does not know is undefined."""
        from rasterio.enums import ColorInterp

        return tuple(ColorInterp.__members__.get(name, ColorInterp.undefined) for name in self.colorinterp)


def default_colorinterp(count: int) -> tuple[str, ...]:
    """What GDAL says of a plain GeoTIFF: the first band is gray, the others undefined."""
    return ("gray",)[:count] + ("undefined",) * (count - 1)
