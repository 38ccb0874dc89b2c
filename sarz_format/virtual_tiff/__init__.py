"""A .sarz as the bytes of a Cloud Optimized GeoTIFF that exists nowhere: tiles are decoded as they are read.

::

    metadata --GDAL, in memory--> template: tags --+
    size, tiles, overviews ------------------------+--> layout: directories, tables of offsets, regions of tiles
    offset, length --> tiff --regions--> header bytes
                            --tiles----> tile_store --missing--> decoding --> Dataset.read

Nothing here knows of GDAL's file systems or of HTTP, which both serve these bytes.
"""

from __future__ import annotations

from .tiff import VirtualTiff
from .tile_store import TileStore

__all__ = ["TileStore", "VirtualTiff"]
