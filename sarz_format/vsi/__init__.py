"""``/vsisarz/``: a GDAL virtual file system in which a .sarz is a GeoTIFF.

::

    paths: what a name stands for --+
    virtual_tiff --> files ---------+--> handler: GDAL's callbacks --> registration
    gdal: ctypes --> handles -------+

Importing this registers nothing. Only the registration is done when the package is imported, and it is cheap; what
decodes is imported when GDAL opens a first file.
"""

from __future__ import annotations

from .registration import PREFIX, register_vsi, try_to_register

__all__ = ["PREFIX", "register_vsi", "try_to_register"]
