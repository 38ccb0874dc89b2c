"""From a raster to the tiles of a file, a row of tiles at a time.

::

    read row r + 1 | analyse and code row r | decode row r - 1 as a reader will, measure it, write it

A row is decoded with the latents of both its neighbours, so what is measured is what will be read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .analysis import analyse, hyperlatents
from .bright import RADIUS, bright_targets
from .codec.corrections import apply_corrections
from .codec.device import Engine, load_engine
from .codec.mosaic import BatchRunner, batches, synthesise
from .codec.pool import map_batches, parallel_map
from .codec.tile import pack_coarse, pack_detail
from .container_writer import ContainerWriter
from .correcting import choose_corrections
from .fallback import encode_lossless
from .header import Header
from .index import EMPTY, FALLBACK
from .mask import EXACT, VALID, class_plane
from .measure import badly_served, band_errors
from .radiometry import BandRadiometry
from .statistics import BandStatistics
from .strips import Strip, make_strip, padded_pixels
from .timing import Stages
from .trial import Trial
from .weights import ModelInfo

RowReader = Callable[[int], np.ndarray]
"""Values ``(bands, height, width)`` of a row of tiles."""


@dataclass(slots=True)
class CodedTile:
    """A tile ready to be written, and its errors by band of its group."""

    coarse: bytes
    detail: bytes
    flags: int
    statistics: list[BandStatistics]


class Encoder:
    """Codes a raster whose header is known.

    Parameters
    ----------
    header
        Of the file to write.
    radiometry
        One a band.
    models
        By number of bands.
    device, batch_size
        As resolved by `codec.device`. They never change a byte.
    """

    def __init__(self, header: Header, radiometry: list[BandRadiometry], models: dict[int, ModelInfo], device,
                 batch_size: int) -> None:
        self.header, self.grid, self.radiometry = header, header.grid, radiometry
        self.engines: list[Engine] = [load_engine(models[len(g.bands)], device) for g in header.groups]
        self.run = BatchRunner(batch_size)
        self.statistics = [BandStatistics()] * header.metadata.count
        self.empty_tiles = self.fallback_tiles = 0
        self._stages = Stages()

    @property
    def arithmetic(self) -> str:
        """How the networks' integers are computed."""
        return self.engines[0].network.arithmetic.name

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by stage."""
        return dict(self._stages.seconds)

    def encode(self, read_row: RowReader, writer: ContainerWriter, progress: Callable[[int, int], None]) -> None:
        """Code every row, writing in index order; `progress` gets tiles written and tiles in all."""
        total = self.grid.rows * self.grid.cols
        with contextlib.closing(self._strips(read_row)) as strips:
            self._encode_strips(strips, writer, progress, total)

    def _encode_strips(self, strips: Iterator[Strip], writer: ContainerWriter, progress: Callable[[int, int], None],
                       total: int) -> None:
        above: Strip | None = None
        current: Strip | None = None
        following = next(strips, None)
        while following is not None or current is not None:
            before, above, current, following = above, current, following, next(strips, None) if following else None
            if current is not None:
                self._code_strip(above, current, following)
            if above is not None:
                self._finish_strip(before, above, current, writer)
                above.release_pixels()
                progress((above.row + 1) * self.grid.cols, total)

    def _strips(self, read_row: RowReader) -> Generator[Strip]:
        """Prepared strips in order; the next one is read while the caller works."""
        with ThreadPoolExecutor(1, thread_name_prefix="sarz-read") as reader:
            ahead = reader.submit(read_row, 0)
            for row in range(self.grid.rows):
                with self._stages("wait for input"):
                    values = ahead.result()
                if row + 1 < self.grid.rows:
                    ahead = reader.submit(read_row, row + 1)
                with self._stages("prepare pixels"):
                    strip = make_strip(self.header, self.radiometry, row, values)
                with self._stages("try tiny tiles and noise"):
                    for group in range(len(self.engines)):
                        self._set_lossless(strip, group)
                yield strip

    def _set_lossless(self, strip: Strip, group: int) -> None:
        """Find the tiles of a group that are kept losslessly and have no latents; no pixel of theirs stays VALID."""
        engine, bands = self.engines[group], list(self.header.groups[group].bands)
        radiometry = [self.radiometry[band] for band in bands]
        trial = Trial(engine, self.run, radiometry, self.header.quality)

        def parts(col: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            where = (bands, *self.grid.tile(strip.row, col).slices(strip.box))
            return strip.values[where], strip.classes[where], strip.pixels[where]

        if not any(r.coded for r in radiometry):
            strip.lossless |= {(group, col) for col in range(self.grid.cols) if (parts(col)[1] == EXACT).any()}
            return
        doubtful = [col for col in range(self.grid.cols) if trial.doubtful(*parts(col))]
        failed = map_batches(engine.network.device, lambda col: trial.fails(*parts(col)), doubtful)
        for col in (col for col, fails in zip(doubtful, failed) if fails):
            where = (bands, *self.grid.tile(strip.row, col).slices(strip.box))
            strip.classes[where] = np.where(strip.classes[where] == VALID, EXACT, strip.classes[where])
            strip.pixels[where] = 0
            strip.lossless.add((group, col))

    def _code_strip(self, above: Strip | None, strip: Strip, below: Strip | None) -> None:
        for group, engine in enumerate(self.engines):
            bands = list(self.header.groups[group].bands)
            cols = []
            for col in range(self.grid.cols):
                tile = self.grid.tile(strip.row, col)
                if (strip.classes[(bands, *tile.slices(strip.box))] == VALID).any():
                    cols.append(col)
                else:
                    strip.latents[group, col] = None
                    strip.segments[group, col] = ([b"", b""], [b"", b""])
            with self._stages("find bright targets"):
                self._find_targets(group, bands, above, strip, below, cols)
            with self._stages("analyse"):
                latents = analyse(engine, self.run, self.grid, bands, above, strip, below, cols)
            with self._stages("quantise and entropy-code"):
                self._code_latents(group, engine, strip, cols, latents)

    def _find_targets(self, group: int, bands: list[int], above: Strip | None, strip: Strip, below: Strip | None,
                      cols: list[int]) -> None:
        padded = padded_pixels(self.grid, bands, strip, above, below, RADIUS)

        def find(job: tuple[int, int]) -> np.ndarray:
            col, member = job
            tile = self.grid.tile(strip.row, col)
            height, width = (n + 2 * RADIUS for n in tile.shape)
            return bright_targets(padded[member, :height, tile.col0 : tile.col0 + width])

        found = iter(parallel_map(find, [(col, member) for col in cols for member in range(len(bands))]))
        for col in cols:
            strip.targets[group, col] = [next(found) for _ in bands]

    def _code_latents(self, group: int, engine: Engine, strip: Strip, cols: list[int],
                      latents: list[np.ndarray]) -> None:
        def code(job: tuple[int, np.ndarray, np.ndarray, np.ndarray]) -> None:
            col, y, z, totals = job
            coarse, detail, y_hat = engine.coder.encode(y, z, totals, self.header.quality)
            strip.latents[group, col], strip.segments[group, col] = y_hat, (coarse, detail)

        def code_batch(members: list[int]) -> None:
            coded = hyperlatents(engine, self.run, [latents[i] for i in members])
            parallel_map(code, [(cols[i], latents[i], z, totals) for i, (z, totals) in zip(members, coded)])

        by_shape: dict[tuple, list[int]] = {}
        for i, y in enumerate(latents):
            by_shape.setdefault(y.shape, []).append(i)
        jobs = [part for same in by_shape.values() for part in batches(same, self.run.batch_size)]
        map_batches(engine.network.device, code_batch, jobs)

    def _finish_strip(self, above: Strip | None, strip: Strip, below: Strip | None, writer: ContainerWriter) -> None:
        """Decode a strip, measure it, decide on fallbacks and write its tiles."""
        neighbours = {s.row: s for s in (above, strip, below) if s is not None}
        decoded: dict[tuple[int, int], np.ndarray] = {}
        for group, engine in enumerate(self.engines):
            coded = [col for col in range(self.grid.cols) if strip.latents[group, col] is not None]
            boxes = {self.grid.tile_latents(strip.row, col): col for col in coded}
            latents = lambda row, col: neighbours[row].latents[group, col]  # noqa: B023, E731 (used in this turn only)
            with self._stages("decode again"):
                for box, pixels in synthesise(engine.network, self.run, self.grid, latents, boxes):
                    decoded[group, boxes[box]] = pixels
        keys = [(group, col) for col in range(self.grid.cols) for group in range(len(self.engines))]
        with self._stages("measure"):
            tiles = parallel_map(lambda k: self._pack(strip, *k, decoded.get(k)), keys)
        with self._stages("write"):
            for (group, _), tile in zip(keys, tiles):
                self._write(writer, group, tile)

    def _pack(self, strip: Strip, group: int, col: int, pixels: np.ndarray | None) -> CodedTile:
        bands = list(self.header.groups[group].bands)
        rows, cols = self.grid.tile(strip.row, col).slices(strip.box)
        values, classes = strip.values[bands, rows, cols], strip.classes[bands, rows, cols]
        coarse, detail = strip.segments[group, col]
        statistics, corrections = [BandStatistics()] * len(bands), []
        if pixels is not None:
            original = strip.pixels[bands, rows, cols]
            pixels = pixels[:, : values.shape[1], : values.shape[2]].copy()
            corrections = [choose_corrections(original[i], pixels[i], classes[i] == VALID, targets, self.header.quality)
                           for i, targets in enumerate(strip.targets[group, col])]
            for part, correction in zip(pixels, corrections):
                apply_corrections(part, correction, part.shape[1])
            radiometry = (self.radiometry[band] for band in bands)
            statistics = [band_errors(*job) for job in zip(radiometry, values, classes, pixels)]
        lossless, flags = b"", 0 if pixels is not None else EMPTY
        if (group, col) in strip.lossless or badly_served(statistics, self.header.quality):
            lossless, flags = encode_lossless(values), flags | FALLBACK
            statistics = [BandStatistics(count=s.count) for s in statistics]
            values = classes = values[:, :0]
            corrections = []
        planes = [class_plane(c) for c in strip.classes[bands, rows, cols]]
        packed = pack_detail(detail, values, classes, lossless, corrections)
        return CodedTile(pack_coarse(planes, coarse), packed, flags, statistics)

    def _write(self, writer: ContainerWriter, group: int, tile: CodedTile) -> None:
        writer.write_tile(tile.coarse, tile.detail, flags=tile.flags, quality=self.header.quality)
        self.empty_tiles += tile.flags == EMPTY
        self.fallback_tiles += bool(tile.flags & FALLBACK)
        for band, statistics in zip(self.header.groups[group].bands, tile.statistics):
            self.statistics[band] += statistics
