"""An overview of a file as if it were the raster: what its header would say."""

from __future__ import annotations

from dataclasses import replace

from .errors import SarzOptionError
from .header import Header
from .metadata import RasterMetadata
from .overview import overview_box, overview_factors


def overview_view(header: Header, level: int) -> tuple[int, Header]:
    """The factor of the overview of that number (from 0), and the header of a file that has it as its raster.

    Transform, control points and RPCs are scaled as GDAL does it (GDALOverviewDataset).

    Raises
    ------
    SarzOptionError
        If there is no such overview.
    """
    metadata = header.metadata
    factors = overview_factors(metadata.height, metadata.width)
    if level >= len(factors):
        raise SarzOptionError(f"overview_level {level}: the raster has {len(factors)} overview(s), of factors {factors}")
    return factors[level], replace(header, metadata=_scaled(metadata, factors[level]))


def _scaled(metadata: RasterMetadata, factor: int) -> RasterMetadata:
    height, width = overview_box(metadata.height, metadata.width, factor).shape
    down, across = metadata.height / height, metadata.width / width
    transform = metadata.transform
    if transform is not None:
        a, b, c, d, e, f = transform
        transform = (a * across, b * down, c, d * across, e * down, f)
    points = tuple(replace(p, row=p.row / down, col=p.col / across) for p in metadata.gcps)
    return replace(metadata, height=height, width=width, transform=transform, gcps=points,
                   rpcs=_scaled_rpcs(metadata, down, across))


def _scaled_rpcs(metadata: RasterMetadata, down: float, across: float) -> dict[str, str] | None:
    """RPCs count from the centre of the first pixel."""
    rpcs = metadata.rasterio_rpcs
    if rpcs is None or not metadata.rpcs:
        return None
    return {**metadata.rpcs,
            "LINE_OFF": repr((rpcs.line_off + 0.5) / down - 0.5), "LINE_SCALE": repr(rpcs.line_scale / down),
            "SAMP_OFF": repr((rpcs.samp_off + 0.5) / across - 0.5), "SAMP_SCALE": repr(rpcs.samp_scale / across)}
