"""Read and write .sarz: SAR rasters in a learned, georeferenced, windowed container.

Importing this package is cheap: it loads rasterio, to whose GDAL it makes /vsisarz/ known, and no torch or numba. Each
public name loads its module when it is first used, and torch comes with the first pixels that are decoded or encoded.

    import sarz

    with sarz.open("scene.sarz") as src:
        vv = src.read(1, window=sarz.Window(1024, 2048, 512, 512))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import (
    ArithmeticWarning,
    BandIndexError,
    DamagedTileError,
    DeviceError,
    LargeTileWarning,
    MissingDependencyError,
    ModelNotFoundError,
    OutputExistsError,
    SarzError,
    SarzFileNotFoundError,
    SarzFormatError,
    SarzIOError,
    SarzMemoryError,
    SarzOptionError,
    SarzWindowError,
    TargetWarning,
    TileDamageWarning,
    TruncatedFileError,
    UnsupportedRasterError,
    UnsupportedVersionError,
)
from .quality import DEFAULT_QUALITY
from .version import __version__
from .vsi import register_vsi, try_to_register

if TYPE_CHECKING:
    from rasterio.windows import Window

    from .comparison.report import CompareReport
    from .comparison.run import compare
    from .container import open_container
    from .convert import CompressReport, DecompressReport, compress, decompress
    from .info import describe
    from .quicklook import PreviewReport, preview
    from .reader import Dataset, open
    from .reports import VerifyReport
    from .verification import verify
    from .windows import read_windows

_LAZY = {
    "CompareReport": "sarz_format.comparison.report",
    "CompressReport": "sarz_format.convert",
    "Dataset": "sarz_format.reader",
    "DecompressReport": "sarz_format.convert",
    "PreviewReport": "sarz_format.quicklook",
    "VerifyReport": "sarz_format.reports",
    "Window": "rasterio.windows",
    "compare": "sarz_format.comparison.run",
    "compress": "sarz_format.convert",
    "decompress": "sarz_format.convert",
    "describe": "sarz_format.info",
    "open": "sarz_format.reader",
    "open_container": "sarz_format.container",
    "preview": "sarz_format.quicklook",
    "read_windows": "sarz_format.windows",
    "verify": "sarz_format.verification",
}

__all__ = [
    "DEFAULT_QUALITY",
    "ArithmeticWarning",
    "BandIndexError",
    "CompareReport",
    "CompressReport",
    "DamagedTileError",
    "Dataset",
    "DecompressReport",
    "DeviceError",
    "LargeTileWarning",
    "MissingDependencyError",
    "ModelNotFoundError",
    "OutputExistsError",
    "PreviewReport",
    "SarzError",
    "SarzFileNotFoundError",
    "SarzFormatError",
    "SarzIOError",
    "SarzMemoryError",
    "SarzOptionError",
    "SarzWindowError",
    "TargetWarning",
    "TileDamageWarning",
    "TruncatedFileError",
    "UnsupportedRasterError",
    "UnsupportedVersionError",
    "VerifyReport",
    "Window",
    "__version__",
    "compare",
    "compress",
    "decompress",
    "describe",
    "errors",
    "open",
    "open_container",
    "preview",
    "read_windows",
    "register_vsi",
    "verify",
]

# So that rasterio.open("/vsisarz/scene.sarz") works once this package, or the rio plugin, has been imported.
try_to_register()


if not TYPE_CHECKING:  # a type checker should complain about names that are not there

    def __getattr__(name: str) -> Any:
        """Load the module that defines a public name (PEP 562)."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
