"""How a dataset decodes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from .errors import SarzOptionError
from .grid import BLOCK

DEFAULT_CACHE_BYTES = 256 << 20
"""Memory for decoded tiles unless told otherwise."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The keyword arguments of `reader.open`, checked as far as that goes without torch."""

    device: str = "auto"
    batch_size: int | Literal["auto"] = "auto"
    overlap: int | None = None
    """Pixels, a multiple of 16; None is exact."""
    cache_bytes: int = DEFAULT_CACHE_BYTES
    on_damage: Literal["raise", "mask"] = "raise"
    power_gains: bool = True
    """Keep the mean power of blocks of 64 x 64 pixels, not the least error in decibels."""
    overviews: bool = True
    """Whether decimated reads go by overviews."""
    overview_level: int | None = None
    """Which overview is read as if it were the raster, from 0; None for the raster itself."""

    def for_decoder(self) -> dict[str, Any]:
        """Keyword arguments of decoder.WindowDecoder."""
        options = asdict(self)
        return {name: options[name] for name in options if name not in ("overviews", "overview_level")}

    def __post_init__(self) -> None:
        """Raise SarzOptionError for what is out of range."""
        if not isinstance(self.overviews, bool):
            raise SarzOptionError(f"overviews is {self.overviews!r}, expected True or False")
        if self.overview_level is not None and not _is_integer(self.overview_level, 0):
            raise SarzOptionError(f"overview_level is {self.overview_level!r}, expected None or an integer from 0")
        if not isinstance(self.power_gains, bool):
            raise SarzOptionError(f"power_gains is {self.power_gains!r}, expected True or False")
        if self.batch_size != "auto" and not _is_integer(self.batch_size, 1):
            raise SarzOptionError(f"batch_size is {self.batch_size!r}, expected 'auto' or an integer from 1")
        if self.overlap is not None and not (_is_integer(self.overlap, 0) and self.overlap % BLOCK == 0):
            raise SarzOptionError(f"overlap is {self.overlap!r}, expected None or a multiple of {BLOCK} pixels from 0")
        if not _is_integer(self.cache_bytes, 0):
            raise SarzOptionError(f"cache_bytes is {self.cache_bytes!r}, expected an integer from 0")
        if self.on_damage not in ("raise", "mask"):
            raise SarzOptionError(f"on_damage is {self.on_damage!r}, expected 'raise' or 'mask'")


def _is_integer(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
