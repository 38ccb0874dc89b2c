"""Every error the library raises on purpose.

::

    SarzError
    |- SarzFormatError (ValueError)           what was read is not a well-formed .sarz
    |  |- TruncatedFileError
    |  |- UnsupportedVersionError
    |  `- DamagedTileError                    one tile fails its checksum or does not decode; names the tile
    |- ModelNotFoundError (LookupError)       the file names a model that is not installed
    |- UnsupportedRasterError (TypeError)     a dtype or layout that the codec does not take
    |- SarzOptionError (ValueError)           an argument out of range
    |- SarzWindowError (ValueError)           a window outside the raster, or empty
    |- BandIndexError (IndexError)            a band that the raster does not have
    |- SarzFileNotFoundError (FileNotFoundError)
    |- OutputExistsError (FileExistsError)
    |- SarzIOError (OSError)                  reading or writing failed underneath
    |- SarzMemoryError (MemoryError)          memory ran out, on the CPU or a GPU
    |- DeviceError (RuntimeError)             the device asked for is not there
    `- MissingDependencyError (ImportError)   an optional package is not installed

Messages say what was found, what was expected and what to do.
"""

from __future__ import annotations


class SarzError(Exception):
    """Base of all errors raised by this library."""


class SarzFormatError(SarzError, ValueError):
    """The bytes are not a well-formed .sarz file."""


class TruncatedFileError(SarzFormatError):
    """The file ends before what its preamble or index promises."""


class UnsupportedVersionError(SarzFormatError):
    """The file was written by a newer version of the format."""


class DamagedTileError(SarzFormatError):
    """One tile's bytes are damaged.

    Attributes
    ----------
    tile_row, tile_col : int
        Position in the tile grid.
    group : int
        Band group.
    """

    def __init__(self, tile_row: int, tile_col: int, group: int, reason: str) -> None:
        self.tile_row, self.tile_col, self.group, self.reason = tile_row, tile_col, group, reason
        super().__init__(
            f"tile row {tile_row}, column {tile_col}, band group {group} is damaged: {reason}; "
            "read with on_damage='mask' (--skip-damaged) to get all other tiles"
        )

    def __reduce__(self) -> tuple:
        return type(self), (self.tile_row, self.tile_col, self.group, self.reason)


class ModelNotFoundError(SarzError, LookupError):
    """The model that a file names is not installed, or its weights differ."""


class UnsupportedRasterError(SarzError, TypeError):
    """The raster's dtype or layout is not one the codec takes."""


class SarzOptionError(SarzError, ValueError):
    """An argument is out of its range."""


class SarzWindowError(SarzError, ValueError):
    """A window lies outside the raster, or is empty."""


class BandIndexError(SarzError, IndexError):
    """The raster does not have that band."""


class SarzFileNotFoundError(SarzError, FileNotFoundError):
    """The input file or the output's directory does not exist."""


class OutputExistsError(SarzError, FileExistsError):
    """The output exists and overwriting was not asked for."""


class SarzIOError(SarzError, OSError):
    """Reading or writing failed underneath: a full disk, a broken connection, an unreadable file."""


class SarzMemoryError(SarzError, MemoryError):
    """Memory ran out, on the CPU or a GPU; smaller tiles, batches or windows need less."""


class DeviceError(SarzError, RuntimeError):
    """The device asked for is not available."""


class MissingDependencyError(SarzError, ImportError):
    """A package that only this function needs is not installed."""


class LargeTileWarning(UserWarning):
    """Tiles so large were asked for that compressing takes much memory; says about how much."""


class TargetWarning(UserWarning):
    """A target (an error, a ratio, bits a band pixel) was not reached; says what was reached instead."""


class TileDamageWarning(UserWarning):
    """A damaged tile was masked (``on_damage="mask"``)."""


class ArithmeticWarning(UserWarning):
    """A faster arithmetic is not exact on this machine, or not there; a slower one gives the same pixels."""
