"""How the quality of each tile is chosen: one for all, or each tile's own for an error in dB.

(For a size in bytes: `rate_control`.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from .codec.pool import parallel_map
from .coding import AnalysedTile, Key, TileCoder
from .correcting import corrected_in
from .grid import BLOCK
from .header import Header
from .mask import VALID
from .measure import band_errors
from .quality_search import QualitySearch
from .radiometry import BandRadiometry
from .statistics import BandStatistics
from .strips import Strip


class Control(Protocol):
    """Chooses qualities as rows are coded."""

    @property
    def quality(self) -> int:
        """Of a tile about which nothing is known yet."""
        ...

    def code(self, coder: TileCoder, above: Strip | None, strip: Strip, tiles: Mapping[Key, AnalysedTile]) -> None:
        """Code all `tiles` of a strip, at qualities of its choice."""
        ...

    def written(self, row: int, size: int) -> None:
        """Told the bytes that a row of tiles took in the file."""
        ...


class FixedQuality:
    """One quality for all tiles."""

    def __init__(self, quality: int) -> None:
        self.quality = quality

    def code(self, coder: TileCoder, above: Strip | None, strip: Strip, tiles: Mapping[Key, AnalysedTile]) -> None:
        """See Control."""
        coder.code(strip, tiles, dict.fromkeys(tiles, self.quality))

    def written(self, row: int, size: int) -> None:
        """See Control."""


class RmseControl:
    """Each tile at the quality whose RMSE, over the VALID pixels of its bands together, is nearest to a target.

    All tiles of a row take a step of their searches together, each decoded beside its neighbours of the row as they are
    at that step, and below the finished row above. The row below is not there yet: the blocks at that border are left out.
    """

    def __init__(self, header: Header, radiometry: list[BandRadiometry], rmse_db: float) -> None:
        self.quality, self._rmse_db = header.quality, rmse_db
        self._header, self._radiometry = header, radiometry
        self._found: dict[Key, int] = {}

    def code(self, coder: TileCoder, above: Strip | None, strip: Strip, tiles: Mapping[Key, AnalysedTile]) -> None:
        """See Control."""
        searches = {key: QualitySearch(self._rmse_db, self._found.get(key, self.quality)) for key in tiles}
        undone = list(tiles)
        while undone:
            coder.code(strip, tiles, {key: searches[key].quality for key in undone})
            decoded = coder.decode(undone, above, strip, None)
            for key, rmse_db in zip(undone, parallel_map(lambda k: self._rmse(strip, k, decoded[k]), undone)):
                searches[key].add(rmse_db)
            undone = [key for key in undone if not searches[key].done]
        found = {key: search.quality for key, search in searches.items()}
        coder.code(strip, tiles, {key: quality for key, quality in found.items() if quality != strip.qualities[key]})
        self._found |= found
        if found:
            self.quality = sorted(found.values())[len(found) // 2]

    def written(self, row: int, size: int) -> None:
        """See Control."""

    def _rmse(self, strip: Strip, key: Key, pixels: np.ndarray) -> float:
        group, col = key
        grid, bands = self._header.grid, list(self._header.groups[group].bands)
        rows, cols = grid.tile(strip.row, col).slices(strip.box)
        pixels = corrected_in(strip, key, grid, bands, pixels)[1]
        seen = slice(rows.start, rows.stop - BLOCK) if strip.row + 1 < grid.rows else rows
        if not (strip.classes[bands, seen, cols] == VALID).any():
            seen = rows
        errors = [band_errors(self._radiometry[band], strip.values[band, seen, cols], strip.classes[band, seen, cols], part)
                  for band, part in zip(bands, pixels)]
        return sum(errors, BandStatistics()).rmse_db
