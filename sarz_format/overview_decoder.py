"""Pixels of overviews: of the coarse parts of tiles where these suffice, of decoded pixels where they do not.

::

    factor 2, 4     decoded pixels --count, power--> sums
    factor 8 on     coarse parts --cells of 8 x 8 pixels--> sums      (tiles without latents: their pixels)
    sums --added two by two--> count and power of k x k pixels --> value
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .averaging import BandMean, reduced
from .coarse_tiles import CoarseLoader, CoarseTile
from .codec.cells import CONTEXT, cells, corrected
from .codec.pool import parallel_map
from .container import Container
from .grid import BLOCK, Box
from .overview import COARSE_FACTOR, unpack_correction
from .radiometry import BandRadiometry
from .roles import lossless_bands
from .tiles import LoadedTile, TileCache, TileLoader
from .timing import Stages

if TYPE_CHECKING:
    from .codec.device import Engine
    from .codec.mosaic import BatchRunner

PIECE = 1024
"""Pixels along that a worker averages at once."""

COARSE_STRIP = 4096
"""Pixels down of a strip that is made of coarse parts, about: they take little memory, and neighbouring strips have rows of
tiles in common."""

SPOILT = 16
"""Pixels around a damaged tile whose cells depend on its latents."""

CACHE_SHARE = 8
"""The coarse parts of tiles are kept in this part of the memory for whole ones, in addition to it."""

Positions = Sequence[tuple[int, int]]


class ReadPixels(Protocol):
    """As decoder.WindowDecoder.read, of a box."""

    def __call__(self, bands: Sequence[int], window: Box) -> tuple[np.ndarray, np.ndarray | None]: ...


class OverviewDecoder:
    """Decodes windows of the overviews of one open file. Safe from several threads.

    Parameters
    ----------
    container
        The open file.
    radiometry
        One a band.
    engine
        The engine of a band group.
    run
        For the networks.
    loader
        Of whole tiles: damage is reported to it.
    read
        Decodes pixels.
    stages
        Where time is counted.
    """

    def __init__(self, container: Container, radiometry: list[BandRadiometry], *, engine: Callable[[int], Engine],
                 run: BatchRunner | None, loader: TileLoader, read: ReadPixels, stages: Stages) -> None:
        self.container, self.header, self.grid = container, container.header, container.header.grid
        metadata = self.header.metadata
        others = lossless_bands(metadata.descriptions, metadata.colorinterp)
        self.means = [BandMean(r, band not in others) for band, r in enumerate(radiometry)]
        self._engine, self._run, self._read, self._stages = engine, run, read, stages
        self.coarse = CoarseLoader(container, TileCache(loader.cache.limit_bytes // CACHE_SHARE), loader.report)
        # Without an engine no latents are decoded: such tiles must not get into the cache of those that have theirs.
        self.copies = TileLoader(container, TileCache(0), loader.on_damage)
        self.copies.damaged = loader.damaged

    def read(self, bands: Sequence[int], factor: int, window: Box) -> tuple[np.ndarray, np.ndarray | None]:
        """Decode a window, in pixels of the overview of a factor, that lies inside it.

        Returns
        -------
        values : ndarray (bands, height, width)
            Of the raster's dtype; `bands` are 0-based and may repeat.
        damaged : ndarray of bool (height, width), or None
            Pixels of which nothing is left by damaged tiles in some band; in those bands they are nodata or 0.
        """
        values = np.empty((len(bands), *window.shape), self.header.metadata.dtype)
        damaged = np.zeros(window.shape, bool)
        for strip in self._strips(factor, window):
            at = strip.slices(window)
            for group, entry in enumerate(self.header.groups):
                wanted = sorted({entry.bands.index(band) for band in bands if band in entry.bands})
                if not wanted:
                    continue
                count, total, spoilt = self._sums(group, wanted, factor, strip)
                damaged[at] |= (spoilt & (count == 0)).any(0)
                for i, band in enumerate(bands):
                    if band in entry.bands:
                        member = wanted.index(entry.bands.index(band))
                        values[(i, *at)] = self.means[band].values(count[member], total[member])
        return values, damaged if damaged.any() else None

    def _strips(self, factor: int, window: Box) -> Iterator[Box]:
        """A window in strips of whole rows of tiles, as far as the factor allows."""
        size = self.grid.tile_size
        if factor >= COARSE_FACTOR:
            size *= max(1, COARSE_STRIP // size)
        height = max(1, size // factor)
        for top in range(window.row0 // height * height, window.row1, height):
            yield Box(top, window.col0, top + height, window.col1).intersection(window)

    def _sums(self, group: int, members: list[int], factor: int,
              strip: Box) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Count and power float64 ``(members, height, width)`` of a strip, and bool ``(height, width)`` where damage is."""
        pixels = strip.scaled(factor).intersection(self.grid.raster)
        if factor < COARSE_FACTOR:
            return self._decoded_sums(group, members, factor, pixels)
        sums, spoilt = self._cell_sums(group, members, pixels)
        with self._stages("average"):
            count, total = reduced(sums, factor // COARSE_FACTOR)
            return count, total, reduced(spoilt, factor // COARSE_FACTOR) > 0

    def _decoded_sums(self, group: int, members: list[int], factor: int,
                      pixels: Box) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of decoded pixels of a box that begins with a pixel of the overview."""
        bands = [self.header.groups[group].bands[member] for member in members]
        values, damaged = self._read(bands, pixels)

        def piece(job: tuple[int, slice]) -> np.ndarray:
            i, columns = job
            sums = self.means[bands[i]].counted(values[i, :, columns])
            return reduced(_without(sums, None if damaged is None else damaged[:, columns]), factor)

        width = pixels.shape[1]
        columns = [slice(left, min(left + PIECE, width)) for left in range(0, width, PIECE)]
        with self._stages("average"):
            pieces = parallel_map(piece, [(i, part) for i in range(len(bands)) for part in columns])
            n = len(columns)
            count, total = np.stack([np.concatenate(pieces[i : i + n], axis=2) for i in range(0, len(pieces), n)], axis=1)
            spoilt = np.zeros(pixels.shape) if damaged is None else damaged.astype(np.float64)
            return count, total, reduced(spoilt, factor) > 0

    def _cell_sums(self, group: int, members: list[int], pixels: Box) -> tuple[np.ndarray, np.ndarray]:
        """Count and power ``(2, members, rows, cols)`` of the cells of a box of pixels, and 1 where damage is."""
        positions = list(self.grid.tiles_covering(pixels))
        around = pixels.blocks(BLOCK).grown(CONTEXT).scaled(BLOCK)
        needed = list(self.grid.tiles_covering(around))
        engine = self._engine(group) if self._has_latents(group, needed) else None
        with self._stages("fetch and entropy-decode coarse parts"):
            tiles = self.coarse.load(group, engine, self._run, needed)
        box = pixels.blocks(COARSE_FACTOR)
        sums, spoilt = np.zeros((2, len(members), *box.shape)), np.zeros(box.shape)

        def fill(job: tuple[tuple[int, int], LoadedTile | None]) -> None:
            position, copy = job
            part = self.grid.tile(*position).intersection(pixels)
            at = part.blocks(COARSE_FACTOR).slices(box)
            if tiles[position].damage is not None or copy is not None and copy.damage is not None:
                spoilt[at] = 1
            elif copy is not None:
                sums[(slice(None), slice(None), *at)] = self._copy_sums(group, members, copy, part)
            else:
                sums[(slice(None), slice(None), *at)] = self._tile_sums(group, members, position, tiles, engine, part)

        for _, row in groupby(positions, lambda position: position[0]):  # Lossless copies are held for one row of tiles.
            row = list(row)
            with self._stages("decode lossless copies"):
                copies = self._copies(group, tiles, row)
            with self._stages("make cells"):
                parallel_map(fill, [(position, copies.get(position)) for position in row])
        self._spoil(tiles, positions, pixels, sums, spoilt)
        return sums, spoilt

    def _copies(self, group: int, tiles: Mapping[tuple[int, int], CoarseTile],
                positions: Positions) -> dict[tuple[int, int], LoadedTile]:
        """Those of some tiles whose values are coded without latents, losslessly or within a bound, whole."""
        wanted = [p for p in positions
                  if tiles[p].damage is None and (tiles[p].entry.fallback or tiles[p].entry.bounded)]
        return self.copies.load(group, None, self._run, wanted) if wanted else {}

    def _has_latents(self, group: int, positions: Positions) -> bool:
        return any(not self.container.index.entry(*position, group).empty for position in positions)

    def _tile_sums(self, group: int, members: list[int], position: tuple[int, int],
                   tiles: Mapping[tuple[int, int], CoarseTile], engine: Engine | None, part: Box) -> np.ndarray:
        """Count and power ``(2, members, rows, cols)`` of the cells of a part of a tile without a lossless copy."""
        tile, box = tiles[position], self.grid.tile(*position)
        at = part.blocks(COARSE_FACTOR).slices(box.blocks(COARSE_FACTOR))
        valid, zero = (counts[(members, *at)].astype(np.float64) for counts in (tile.valid, tile.zero))
        if self.header.scale == "db":  # 0 is no power there.
            zero[...] = 0
        if tile.entry.empty:
            return np.stack([zero, np.zeros(zero.shape)])
        powers = self._cell_powers(group, members, tiles, engine, part, tile)
        return np.stack([valid + zero, np.where(valid > 0, valid * powers, 0.0)])

    def _cell_powers(self, group: int, members: list[int], tiles: Mapping[tuple[int, int], CoarseTile], engine: Engine,
                     part: Box, tile: CoarseTile) -> np.ndarray:
        """Mean power ``(members, rows, cols)`` of the cells of a part of a tile that has latents."""
        from .codec.mosaic import extended_latents

        bands = self.header.groups[group].bands
        box = part.blocks(BLOCK)
        y = extended_latents(self.grid, lambda row, col: tiles[row, col].latents, box.grown(CONTEXT), self.grid.latents,
                             len(engine.coder.coarse) + 1)
        low, unevenness = cells(y, engine.coder.cell_weights, box, self.grid.latents)
        at = part.blocks(COARSE_FACTOR).slices(box.scaled(BLOCK // COARSE_FACTOR))
        powers = []
        for member in members:
            correction = unpack_correction(tile.entry.overview[member])
            pixels = corrected(low[(member, *at)], unevenness[(member, *at)], correction.offset, correction.spread)
            powers.append(self.means[bands[member]].powers[pixels & 0xFFFF])
        return np.stack(powers)

    def _copy_sums(self, group: int, members: list[int], tile: LoadedTile, part: Box) -> np.ndarray:
        """As `_tile_sums`, of a tile whose values are coded without latents."""
        at = part.slices(self.grid.tile(tile.entry.tile_row, tile.entry.tile_col))
        means = [self.means[self.header.groups[group].bands[member]] for member in members]
        sums = [mean.counted(tile.values[(member, *at)]) for mean, member in zip(means, members)]
        return reduced(np.stack(sums, axis=1), COARSE_FACTOR)

    def _spoil(self, tiles: Mapping[tuple[int, int], CoarseTile], positions: Positions, pixels: Box, sums: np.ndarray,
               spoilt: np.ndarray) -> None:
        """Leave out cells, of tiles with latents, that depend on those of damaged tiles, and mark them."""
        for position, tile in tiles.items():
            if tile.damage is None:
                continue
            reach = self.grid.tile(*position).grown(SPOILT)
            for other in positions:
                part = self.grid.tile(*other).intersection(reach).intersection(pixels)
                if part.empty or tiles[other].entry.fallback or tiles[other].entry.empty:
                    continue
                at = part.blocks(COARSE_FACTOR).slices(pixels.blocks(COARSE_FACTOR))
                spoilt[at] = 1
                sums[(slice(None), slice(None), *at)] = 0


def _without(sums: tuple[np.ndarray, np.ndarray], damaged: np.ndarray | None) -> np.ndarray:
    """Count and power as one array, zero where pixels are damaged."""
    both = np.stack(sums)
    if damaged is not None:
        both[:, damaged] = 0
    return both

