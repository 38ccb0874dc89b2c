"""Virtual GeoTIFFs of .sarz files as byte ranges over HTTP, for GDAL's /vsicurl, QGIS, and whatever reads a COG by its URL.

::

    path of a URL --site--> .sarz --vsi.files--> VirtualTiff
    Range header --byte_ranges--> offsets --handler--> status, headers, bytes
"""

from __future__ import annotations

from .server import Server
from .site import Site

__all__ = ["Server", "Site"]
