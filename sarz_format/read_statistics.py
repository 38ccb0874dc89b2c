"""What reading has cost so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadStatistics:
    """Counts since a file was opened, those of opening included. A tile of each band group counts on its own."""

    tiles_decoded: int = 0
    cache_hits: int = 0
    """Tiles that were wanted and found decoded."""
    bytes_read: int = 0
    requests: int = 0
    """Reads of the file, each one range of bytes."""
