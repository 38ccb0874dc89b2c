"""From tiles to the pixels of a window: exact by default, blended where a smaller overlap was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .bands import band_radiometry
from .blending import Canvas, ramp_pixels
from .codec.corrections import apply_corrections
from .codec.pool import parallel_map
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
from .tile_work import Key
from .tiles import CachePart, LoadedTile, TileCache, TileLoader
from .timing import Stages
from .weights import find_model
from .window_jobs import (
    ConvertJob,
    PixelSteps,
    StripOf,
    Target,
    Tiles,
    TilesAndPixels,
    Wanted,
    copy_pieces,
    latents_of,
    pieces_of,
    strip_batches,
)

if TYPE_CHECKING:
    import torch

    from .codec.device import Engine
    from .codec.mosaic import BatchRunner

ON_DAMAGE = ("raise", "mask", "list")


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
                 power_gains: bool = True, cache: TileCache[LoadedTile] | CachePart | None = None) -> None:
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
        return self._read(bands, Box(row_off, col_off, row_off + height, col_off + width))

    def read_overview(self, bands: Sequence[int], factor: int, row_off: int, col_off: int, height: int,
                      width: int) -> tuple[np.ndarray, np.ndarray | None]:
        """As `read`, of a window of the overview of a factor (`overview.checked_factor`), in its pixels."""
        with memory_errors(self.container.source.name, READING):
            return self._overviews.read(bands, factor, Box(row_off, col_off, row_off + height, col_off + width))

    def read_windows(self, bands: Sequence[int], windows: Sequence[Box]) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Decode several windows inside the raster, each as `read` does; tiles that several need are decoded once."""
        return self._read_all(bands, windows, self)

    def read_tensors(self, bands: Sequence[int],
                     windows: Sequence[Box]) -> list[tuple[torch.Tensor, np.ndarray | None]]:
        """As `read_windows`, values as tensors on the device that decodes; those of a GPU never leave it."""
        import torch

        if self.device is None or self.device.type == "cpu":
            return [(torch.from_numpy(values), damaged) for values, damaged in self.read_windows(bands, windows)]
        from .tensor_pixels import TensorPixels

        return self._read_all(bands, windows, TensorPixels(self))

    def _read(self, bands: Sequence[int], window: Box) -> tuple[np.ndarray, np.ndarray | None]:
        return self._read_all(bands, [window], self)[0]

    def _read_all(self, bands: Sequence[int], windows: Sequence[Box],
                  steps: PixelSteps) -> list[tuple[Any, np.ndarray | None]]:
        ahead = self._loader.fetched_ahead(self._tiles_of(bands, windows))
        with memory_errors(self.container.source.name, READING), ahead:
            values = [steps.empty((len(bands), *window.shape)) for window in windows]
            damaged = [np.zeros((len(bands), *window.shape), bool) for window in windows]
            for group, entry in enumerate(self.header.groups):
                wanted = [(i, band, entry.bands.index(band)) for i, band in enumerate(bands) if band in entry.bands]
                if wanted:
                    of_group = [np.zeros(window.shape, bool) for window in windows]
                    self._read_group(group, wanted, list(map(Target, windows, values, of_group)), steps)
                    for spoilt, here in zip(damaged, of_group):
                        spoilt[[i for i, _, _ in wanted]] = here
            for of_window, spoilt in zip(values, damaged):
                for i, band in enumerate(bands):
                    if spoilt[i].any():
                        steps.fill(of_window[i], spoilt[i], self._fill_value(band))
            return [(steps.finished(of_window), spoilt.any(0) if spoilt.any() else None)
                    for of_window, spoilt in zip(values, damaged)]

    def _fill_value(self, band: int) -> np.generic:
        return fill_value(self.header.metadata.nodata[band], array_dtype(self.header.metadata.dtype))

    def _tiles_of(self, bands: Sequence[int], windows: Sequence[Box]) -> Iterator[Key]:
        """All tiles that reading the windows decodes."""
        for group, entry in enumerate(self.header.groups):
            if not set(bands) & set(entry.bands):
                continue
            for strip in (strip for window in windows for strip in self._strips(window)):
                positions = list(self.grid.tiles_covering(strip))
                if self._has_latents(group, positions):
                    positions = self._tiles_needed(strip, self._engine(group))
                yield from ((group, *position) for position in positions)

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

    def _strips(self, window: Box) -> Iterator[Box]:
        """A window in strips as high as a tile, so that latents of few tiles are held at once."""
        size = self.grid.tile_size
        for top in range(window.row0, window.row1, size):
            yield Box(top, window.col0, min(top + size, window.row1), window.col1)

    def _read_group(self, group: int, wanted: list[Wanted], targets: list[Target], steps: PixelSteps) -> None:
        """Decode a group's bands: strips of all windows, a batch of them at a time."""
        coded, empty = [], []
        for target in sorted(targets, key=lambda target: (target.window.row0, target.window.col0)):
            for box in self._strips(target.window):
                (coded if self._has_latents(group, self.grid.tiles_covering(box)) else empty).append((box, target))
        for load, strips in ((self._coded_strips, coded), (self._empty_strips, empty)):
            for batch in strip_batches(strips):
                tiles, pixels = load(group, batch, steps)
                with self._stages("convert to values"):
                    steps.convert_all([(tiles[position], position, wanted, strip, decoded, target.window, target.values)
                                       for (strip, target), decoded in zip(batch, pixels)
                                       for position in self.grid.tiles_covering(strip)])

    def _coded_strips(self, group: int, strips: list[StripOf], steps: PixelSteps) -> TilesAndPixels:
        """Load strips' tiles, with the neighbours that they need, and synthesise their pixels."""
        engine = self._engine(group)
        boxes = [strip for strip, _ in strips]
        needed = sorted({position for box in boxes for position in self._tiles_needed(box, engine)})
        with self._stages("fetch and entropy-decode"):
            tiles = self._loader.load(group, engine, self._run, needed)
        reach = engine.network.model.context * BLOCK if self._margin(engine) else 0
        for strip, target in strips:
            self._mark_damage(tiles, strip, target.window, target.damaged, reach)
        decode = steps.exact if self._margin(engine) >= engine.network.model.context * BLOCK else steps.blended
        with self._stages("synthesise"):
            return tiles, decode(engine, tiles, boxes)

    def _empty_strips(self, group: int, strips: list[StripOf], steps: PixelSteps) -> TilesAndPixels:
        """Load the tiles of strips in which all are EMPTY: neither model nor neighbours are needed."""
        needed = sorted({position for strip, _ in strips for position in self.grid.tiles_covering(strip)})
        with self._stages("fetch and entropy-decode"):
            tiles = self._loader.load(group, None, self._run, needed)
        for strip, target in strips:
            self._mark_damage(tiles, strip, target.window, target.damaged, 0)
        return tiles, [None] * len(strips)

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

    def _mark_damage(self, tiles: Tiles, strip: Box, window: Box, damaged: np.ndarray,
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

    def empty(self, shape: tuple[int, ...]) -> np.ndarray:
        """Values yet to be filled in."""
        return np.empty(shape, array_dtype(self.header.metadata.dtype))

    def exact(self, engine: Engine, tiles: Tiles, strips: Sequence[Box]) -> list[np.ndarray]:
        """Pixels int16 ``(bands, height, width)`` of strips, zero where no tile goes through the model.

        Exactly the strips are synthesised, in pieces as wide as a tile, wherever the tiles' borders are.
        """
        from .codec.mosaic import synthesise

        out = [np.zeros((engine.network.model.bands, *strip.shape), np.int16) for strip in strips]
        pieces = pieces_of(tiles, strips, self.grid, self.device)
        for box, pixels in synthesise(engine.network, self._run, self.grid, latents_of(tiles), pieces):
            copy_pieces(box, pixels, pieces[box], strips, out)
        return out

    def blended(self, engine: Engine, tiles: Tiles, strips: Sequence[Box]) -> list[np.ndarray]:
        """As `exact`, with less context than the receptive field: every tile apart, joined by a canvas."""
        return [self._blended(engine, tiles, strip) for strip in strips]

    def _blended(self, engine: Engine, tiles: Tiles, strip: Box) -> np.ndarray:
        from .codec.mosaic import synthesise

        margin = self._margin(engine)
        half = ramp_pixels(margin)
        canvas = Canvas(self.grid, strip, engine.network.model.bands, half)
        for position in self.grid.tiles_covering(strip.grown(half)):
            tile = self.grid.tile(*position)
            box = canvas.reach(tile).blocks(BLOCK)
            inside = tile.blocks(BLOCK).grown(margin // BLOCK).intersection(self.grid.latents)
            for _, pixels in synthesise(engine.network, self._run, self.grid, latents_of(tiles), [box], inside):
                height, width = canvas.reach(tile).shape
                canvas.add(tile, pixels[:, :height, :width])
        return canvas.pixels()

    def convert_all(self, jobs: Iterable[ConvertJob]) -> None:
        """Write the values of parts of tiles into results."""
        parallel_map(lambda job: self._convert(*job), jobs)

    def fill(self, values: np.ndarray, where: np.ndarray, value: float | int) -> None:
        """Set one band's pixels to a value."""
        values[where] = value

    def finished(self, values: np.ndarray) -> np.ndarray:
        """The values as a caller gets them."""
        return values

    def _convert(self, tile: LoadedTile, position: tuple[int, int], wanted: list[Wanted], strip: Box,
                 pixels: np.ndarray | None, window: Box, values: np.ndarray) -> None:
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
            out[chosen == NODATA] = self._fill_value(band)
        out[chosen == ZERO] = 0
        if tile.exact[member].size:
            exact = np.zeros(box.shape, out.dtype)
            exact[classes == EXACT] = tile.exact[member]
            out[chosen == EXACT] = exact[part.slices(box)][chosen == EXACT]
