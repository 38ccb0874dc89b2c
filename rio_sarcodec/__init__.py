"""``rio sarcodec``: compress SAR rasters to .sarz files and back, from rasterio's command line.

The commands parse, show and report; all work is done by :mod:`sarz_format`, which they import when they run,
because ``rio`` imports every plugin at its own start.
"""

from __future__ import annotations

from sarz_format.version import __version__

__all__ = ["__version__"]
