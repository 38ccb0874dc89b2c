"""From tiles to the pixels of a window: exact by default, blended where a smaller overlap was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .bands import band_radiometry
from .blending import Canvas, ramp_pixels
from .codec.corrections import apply_corrections
from .codec.pool import parallel_map, worker_count
from .container import Container
from .dtypes import array_dtype
from .errors import DamagedTileError, SarzFormatError, SarzOptionError
from .grid import BLOCK, Box
from .index import EMPTY
from .mask import EXACT, NODATA, ZERO, fill_value
from .memory import READING, memory_errors
from .overview_decoder import OverviewDecoder
from .read_statistics import ReadStatistics
from .reader_options import DEFAULT_CACHE_BYTES
from .reports import NO_ARITHMETIC
from .tiles import CachePart, Key, LoadedTile, TileCache, TileLoader
from .timing import Stages
from .weights import find_model

if TYPE_CHECKING:
    import torch

    from .codec.device import Engine
    from .codec.mosaic import BatchRunner

TilesAndPixels = tuple[Mapping[tuple[int, int], LoadedTile], np.ndarray]
"""Tiles by ``(row, col)``, and a strip's pixels int16 ``(bands, height, width)``, none where all tiles are EMPTY."""

ON_DAMAGE = ("raise", "mask", "list")
MIN_PIECE = 64
"""Smallest height in pixels of what a core decodes on its own: below, context costs more than a second core gains."""


class WindowDecoder:
    """Decodes windows of one open file. Safe from several threads. A file whose tiles are all EMPTY needs no torch.

    Parameters
    ----------
    container
        The open file.
    device
        "auto", "cpu" or "cuda".
    batch_size
        Tiles a network call, or "auto". Never changes a result.
    overlap
        Pixels of context taken from neighbouring tiles, a multiple of 16. None, or at least the model's receptive
        field, is exact; less is faster for scattered tiles and blended.
    cache_bytes
        Memory for entropy-decoded tiles.
    on_damage
        "raise", or "mask" to leave out damaged tiles and what they spoil, or "list" to do that without a warning.
    power_gains
        Keep the mean power of blocks, or leave their gains out.
    cache
        Instead of one of `cache_bytes` of its own.

    Raises
    ------
    SarzOptionError, DeviceError
    """

    def __init__(self, container: Container, *, device: str = "auto", batch_size: int | str = "auto",
                 overlap: int | None = None, cache_bytes: int = DEFAULT_CACHE_BYTES, on_damage: str = "raise",
                 power_gains: bool = True, cache: TileCache | CachePart | None = None) -> None:
        if overlap is not None and (overlap < 0 or overlap % BLOCK):
            raise SarzOptionError(f"overlap {overlap}: expected a multiple of {BLOCK} pixels, 0 or more")
        if on_damage not in ON_DAMAGE:
            raise SarzOptionError(f"on_damage {on_damage!r}: expected {' or '.join(ON_DAMAGE)}")
        self.container, self.header, self.grid = container, container.header, container.header.grid
        self.device: torch.device | None = None
        self._run: BatchRunner | None = None
        if (container.index.entries["flags"] & EMPTY == 0).any():
            from .codec.device import resolve_batch, resolve_device
            from .codec.mosaic import BatchRunner

            self.device = resolve_device(device)
            self._run = BatchRunner(resolve_batch(batch_size, self.device))
        self._overlap, self._power_gains = overlap, power_gains
        self._loader = TileLoader(container, TileCache(cache_bytes) if cache is None else cache, on_damage)
        self._engines: dict[int, Engine] = {}
        self._stages = Stages()
        self.radiometry = [band_radiometry(self.header, b) for b in range(self.header.metadata.count)]
        self._overviews = OverviewDecoder(container, self.radiometry, engine=self._engine, run=self._run,
                                          loader=self._loader, read=self._read, stages=self._stages)

    @property
    def stats(self) -> ReadStatistics:
        """Counts since the file was opened."""
        source = self.container.source
        loader, coarse = self._loader, self._overviews.coarse
        return ReadStatistics(loader.tiles_decoded + coarse.decoded, loader.cache_hits + coarse.cache_hits,
                              source.bytes_read, source.requests)

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by stage since the file was opened."""
        return dict(self._stages.seconds)

    @property
    def arithmetic(self) -> str:
        """How the networks' integers were computed so far: "int8", "float32-direct" or "float32"; "none" if no tile has
        gone through a network."""
        return next((engine.network.arithmetic.name for engine in self._engines.values()), NO_ARITHMETIC)

    @property
    def arithmetic_refused(self) -> list[str]:
        """Why faster arithmetics than `arithmetic` are not used, a sentence each."""
        return next((list(engine.refused) for engine in self._engines.values()), [])

    @property
    def damaged_tiles(self) -> list[tuple[int, int, int]]:
        """``(row, column, group)`` of every tile masked so far."""
        return sorted((row, col, group) for group, row, col in self._loader.damaged)

    @property
    def damage(self) -> list[DamagedTileError]:
        """Why each of `damaged_tiles` is damaged, in the order of the index."""
        return sorted(self._loader.damaged.values(), key=lambda error: (error.tile_row, error.tile_col, error.group))

    def load_row(self, group: int, row: int) -> list[LoadedTile]:
        """A row of tiles of a band group before synthesis, by column; from the cache where it holds them."""
        positions = [(row, col) for col in range(self.grid.cols)]
        engine = self._engine(group) if self._has_latents(group, positions) else None
        tiles = self._loader.load(group, engine, self._run, positions)
        return [tiles[position] for position in positions]

    def read(self, bands: Sequence[int], row_off: int, col_off: int, height: int,
             width: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Decode a window that lies inside the raster.

        Returns
        -------
        values : ndarray (bands, height, width)
            Of the raster's dtype; `bands` are 0-based and may repeat.
        damaged : ndarray of bool (height, width), or None
            Pixels that damaged tiles spoil in any band (``on_damage="mask"``); in those bands they are nodata or 0.

        Raises
        ------
        DamagedTileError, SarzIOError, TruncatedFileError, SarzMemoryError
        """
        with memory_errors(self.container.source.name, READING):
            return self._read(bands, Box(row_off, col_off, row_off + height, col_off + width))

    def read_overview(self, bands: Sequence[int], factor: int, row_off: int, col_off: int, height: int,
                      width: int) -> tuple[np.ndarray, np.ndarray | None]:
        """As `read`, of a window of the overview of a factor (`overview.checked_factor`), in its pixels."""
        with memory_errors(self.container.source.name, READING):
            return self._overviews.read(bands, factor, Box(row_off, col_off, row_off + height, col_off + width))

    def _read(self, bands: Sequence[int], window: Box) -> tuple[np.ndarray, np.ndarray | None]:
        with self._loader.fetched_ahead(self._tiles_of(bands, window)):
            return self._read_bands(bands, window)

    def _tiles_of(self, bands: Sequence[int], window: Box) -> Iterator[Key]:
        """All tiles that reading the window decodes."""
        for group, entry in enumerate(self.header.groups):
            if set(bands) & set(entry.bands):
                for strip in self._strips(window):
                    positions = list(self.grid.tiles_covering(strip))
                    if self._has_latents(group, positions):
                        positions = self._tiles_needed(strip, self._engine(group))
                    yield from ((group, *position) for position in positions)

    def _strips(self, window: Box) -> Iterator[Box]:
        """A window in strips as high as a tile, so that latents of few tiles are held at once."""
        size = self.grid.tile_size
        for top in range(window.row0, window.row1, size):
            yield Box(top, window.col0, min(top + size, window.row1), window.col1)

    def _read_bands(self, bands: Sequence[int], window: Box) -> tuple[np.ndarray, np.ndarray | None]:
        height, width = window.shape
        values = np.empty((len(bands), height, width), array_dtype(self.header.metadata.dtype))
        damaged = np.zeros(values.shape, bool)
        for group, entry in enumerate(self.header.groups):
            wanted = [(i, band, entry.bands.index(band)) for i, band in enumerate(bands) if band in entry.bands]
            if wanted:
                of_group = np.zeros((height, width), bool)
                self._read_group(group, wanted, window, values, of_group)
                damaged[[i for i, _, _ in wanted]] = of_group
        if not damaged.any():
            return values, None
        for i, band in enumerate(bands):
            values[i, damaged[i]] = fill_value(self.header.metadata.nodata[band], values.dtype)
        return values, damaged.any(0)

    def _engine(self, group: int) -> Engine:
        """The engine of a group's model, which is looked for when a coded tile is first decoded."""
        if group not in self._engines:
            from .codec.device import load_engine

            entry = self.header.groups[group]
            info = find_model(entry.model, entry.weights_sha256)
            if info.bands != len(entry.bands):
                raise SarzFormatError(
                    f"band group {group} has {len(entry.bands)} bands, its model {info.id} codes {info.bands}")
            self._engines[group] = load_engine(info, self.device)
        return self._engines[group]

    def _has_latents(self, group: int, positions: Iterable[tuple[int, int]]) -> bool:
        """Whether the model is needed to decode one of these tiles."""
        return any(not self.container.index.entry(*position, group).empty for position in positions)

    def _read_group(self, group: int, wanted: list[tuple[int, int, int]], window: Box, values: np.ndarray,
                    damaged: np.ndarray) -> None:
        """Decode a group's bands, strip by strip."""
        for strip in self._strips(window):
            load = self._coded_strip if self._has_latents(group, self.grid.tiles_covering(strip)) else self._empty_strip
            tiles, pixels = load(group, strip, window, damaged)
            with self._stages("convert to values"):
                parallel_map(lambda position: self._convert(tiles[position], position, wanted, strip, pixels, window,
                                                            values), self.grid.tiles_covering(strip))

    def _coded_strip(self, group: int, strip: Box, window: Box, damaged: np.ndarray) -> TilesAndPixels:
        """Load a strip's tiles, with the neighbours that they need, and synthesise its pixels."""
        engine = self._engine(group)
        with self._stages("fetch and entropy-decode"):
            tiles = self._loader.load(group, engine, self._run, self._tiles_needed(strip, engine))
        reach = engine.network.model.context * BLOCK if self._margin(engine) else 0
        self._mark_damage(tiles, strip, window, damaged, reach)
        decode = self._exact if self._margin(engine) >= engine.network.model.context * BLOCK else self._blended
        with self._stages("synthesise"):
            return tiles, decode(engine, tiles, strip)

    def _empty_strip(self, group: int, strip: Box, window: Box, damaged: np.ndarray) -> TilesAndPixels:
        """Load the tiles of a strip in which all are EMPTY: neither model nor neighbours are needed."""
        with self._stages("fetch and entropy-decode"):
            tiles = self._loader.load(group, None, self._run, self.grid.tiles_covering(strip))
        self._mark_damage(tiles, strip, window, damaged, 0)
        return tiles, np.empty((0, 0, 0), np.int16)

    def _margin(self, engine: Engine) -> int:
        """Context in pixels that decoding takes from beyond a tile."""
        exact = engine.network.model.context * BLOCK
        return exact if self._overlap is None else min(self._overlap, exact)

    def _tiles_needed(self, strip: Box, engine: Engine) -> list[tuple[int, int]]:
        margin = self._margin(engine)
        if margin < engine.network.model.context * BLOCK:
            strip = strip.grown(ramp_pixels(margin))
            tiles = [self.grid.tile(*t) for t in self.grid.tiles_covering(strip)]
            return sorted({t for box in tiles for t in self.grid.tiles_covering(box.grown(margin))})
        return list(self.grid.tiles_covering(strip.blocks(BLOCK).scaled(BLOCK).grown(margin)))

    def _mark_damage(self, tiles: Mapping[tuple[int, int], LoadedTile], strip: Box, window: Box, damaged: np.ndarray,
                     reach: int) -> None:
        """Mark what damaged tiles spoil: their own pixels, and within `reach` those of tiles that have latents."""
        for position, tile in tiles.items():
            if tile.damage is None:
                continue
            box = self.grid.tile(*position)
            for other in self.grid.tiles_covering(box.grown(reach).intersection(strip)):
                spoilt = box if tiles[other].entry.empty else box.grown(reach)
                part = spoilt.intersection(self.grid.tile(*other)).intersection(strip)
                if not part.empty:
                    damaged[part.slices(window)] = True

    def _exact(self, engine: Engine, tiles: dict[tuple[int, int], LoadedTile], strip: Box) -> np.ndarray:
        """Pixels int16 ``(bands, height, width)`` of a strip, zero where no tile goes through the model.

        Exactly the strip is synthesised, in pieces as wide as a tile, wherever the tiles' borders are.
        """
        from .codec.mosaic import synthesise

        out = np.zeros((engine.network.model.bands, *strip.shape), np.int16)
        pieces = {}
        for piece in _pieces(strip, self.grid.tile_size, self.device):
            if any(_needs_synthesis(tiles[position]) for position in self.grid.tiles_covering(piece)):
                pieces[piece.blocks(BLOCK)] = piece
        for box, pixels in synthesise(engine.network, self._run, self.grid, _latents(tiles), pieces):
            piece = pieces[box]
            out[(slice(None), *piece.slices(strip))] = pixels[(slice(None), *piece.slices(box.scaled(BLOCK)))]
        return out

    def _blended(self, engine: Engine, tiles: dict[tuple[int, int], LoadedTile], strip: Box) -> np.ndarray:
        """As `_exact`, with less context than the receptive field: every tile apart, joined by a canvas."""
        from .codec.mosaic import synthesise

        margin = self._margin(engine)
        half = ramp_pixels(margin)
        canvas = Canvas(self.grid, strip, engine.network.model.bands, half)
        for position in self.grid.tiles_covering(strip.grown(half)):
            tile = self.grid.tile(*position)
            box = canvas.reach(tile).blocks(BLOCK)
            inside = tile.blocks(BLOCK).grown(margin // BLOCK).intersection(self.grid.latents)
            for _, pixels in synthesise(engine.network, self._run, self.grid, _latents(tiles), [box], inside):
                height, width = canvas.reach(tile).shape
                canvas.add(tile, pixels[:, :height, :width])
        return canvas.pixels()

    def _convert(self, tile: LoadedTile, position: tuple[int, int], wanted: Iterable[tuple[int, int, int]], strip: Box,
                 pixels: np.ndarray, window: Box, values: np.ndarray) -> None:
        """Write the values of one tile's part of a strip into the result."""
        box = self.grid.tile(*position)
        part = box.intersection(strip)
        rows, cols = part.slices(window)
        if tile.damage is not None:
            return
        if tile.values is not None:
            for i, _, member in wanted:
                values[i, rows, cols] = tile.values[(member, *part.slices(box))]
            return
        if not tile.entry.empty:
            for member in {member for _, _, member in wanted}:
                apply_corrections(pixels[(member, *part.slices(strip))], tile.corrections[member], box.shape[1],
                                  part.row0 - box.row0, part.col0 - box.col0, gains=self._power_gains)
        for i, band, member in wanted:
            out = values[i, rows, cols]
            if not tile.entry.empty:
                table = self.radiometry[band].value_table
                out[...] = np.take(table, pixels[(member, *part.slices(strip))].view(np.uint16))
            self._restore(tile, band, member, box, part, out)

    def _restore(self, tile: LoadedTile, band: int, member: int, box: Box, part: Box, out: np.ndarray) -> None:
        """Put back what did not go through the model."""
        plane = tile.planes[member]
        classes = plane.array(box.shape)
        chosen = classes[part.slices(box)]
        if plane.kind == 0:
            return
        if plane.holds(NODATA):
            out[chosen == NODATA] = fill_value(self.header.metadata.nodata[band], out.dtype)
        out[chosen == ZERO] = 0
        if tile.exact[member].size:
            exact = np.zeros(box.shape, out.dtype)
            exact[classes == EXACT] = tile.exact[member]
            out[chosen == EXACT] = exact[part.slices(box)][chosen == EXACT]


def _pieces(strip: Box, size: int, device: torch.device) -> list[Box]:
    """A strip in pieces as wide as a tile; lower ones where a CPU has more cores than there would be pieces."""
    columns = range(strip.col0, strip.col1, size)
    first = strip.row0 // BLOCK * BLOCK
    height = strip.row1 - first
    if device.type == "cpu" and len(columns) < worker_count():
        share = -(-height * len(columns) // worker_count())
        height = max(MIN_PIECE, -(-share // BLOCK) * BLOCK)
    return [strip.intersection(Box(top, left, top + height, left + size))
            for top in range(first, strip.row1, height) for left in columns]


def _needs_synthesis(tile: LoadedTile) -> bool:
    return tile.damage is None and not tile.entry.fallback and not tile.entry.empty


def _latents(tiles: dict[tuple[int, int], LoadedTile]):
    return lambda row, col: tiles[row, col].latents
