"""The tags of a GeoTIFF with a raster's metadata, as GDAL itself writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rasterio.io import MemoryFile
from rasterio.rpc import RPC

from .tags import RPC_COEFFICIENTS, TILE_BYTE_COUNTS, TILE_OFFSETS, Tag, read_directory

if TYPE_CHECKING:
    from ..metadata import RasterMetadata

_PLACEHOLDER = RPC(
    height_off=0, height_scale=1, lat_off=0, lat_scale=1, long_off=0, long_scale=1, line_off=0, line_scale=1, samp_off=0,
    samp_scale=1, line_num_coeff=[0.0] * 20, line_den_coeff=[0.0] * 20, samp_num_coeff=[0.0] * 20,
    samp_den_coeff=[0.0] * 20,
)  # fmt: skip


def template_tags(metadata: RasterMetadata, block: tuple[int, int], interleave: str) -> dict[int, Tag]:
    """The tags of a raster of one tile with this metadata, without the table of its tile.

    A GeoTIFF without pixels is written in memory with the calls that write every decompressed file, so that both say the
    same, in GeoTIFF keys, GDAL_METADATA and all.

    Parameters
    ----------
    metadata : RasterMetadata
    block : tuple of int
        ``(height, width)`` of the tile.
    interleave : {"pixel", "band"}
    """
    profile = metadata.profile() | {"height": block[0], "width": block[1]}
    # rasterio warns of rasters without a place, and silencing warnings in one thread silences them in all. RPCs of our
    # own keep it quiet; they are a tag of its own, which is left out again.
    placed = "transform" in profile or "rpcs" in profile
    if not placed:
        profile["rpcs"] = _PLACEHOLDER
    layout = {
        "tiled": True, "blockysize": block[0], "blockxsize": block[1], "interleave": interleave,
        "SPARSE_OK": True, "BIGTIFF": "YES", "ENDIANNESS": "LITTLE", "compress": None,
    }  # fmt: skip
    with MemoryFile(ext=".tif") as memory:
        with memory.open(**profile, **layout) as dst:
            metadata.write_to(dst)
        tags = read_directory(memory.getbuffer())
    dropped = {TILE_OFFSETS, TILE_BYTE_COUNTS} | (set() if placed else {RPC_COEFFICIENTS})
    return {code: tag for code, tag in tags.items() if code not in dropped}
