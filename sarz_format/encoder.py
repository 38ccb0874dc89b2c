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

from .codec.device import Engine, load_engine
from .codec.lapping import lap_analysis
from .codec.mosaic import BatchRunner, batches, frame_of, synthesise
from .codec.network import Frame
from .codec.pool import map_batches, parallel_map
from .codec.tile import pack_coarse, pack_detail
from .container_writer import ContainerWriter
from .fallback import encode_lossless
from .grid import BLOCK, HYPER
from .header import Header
from .index import EMPTY, FALLBACK
from .mask import EXACT, VALID, class_plane
from .quality import nominal_step_db
from .radiometry import BandRadiometry
from .statistics import BandStatistics
from .strips import Strip, make_strip, padded_pixels
from .timing import Stages
from .weights import ModelInfo

RowReader = Callable[[int], np.ndarray]
"""Values ``(bands, height, width)`` of a row of tiles."""

FALLBACK_ERROR_STEPS = 0.75
"""A tile whose RMSE exceeds this many nominal steps is stored losslessly: about three times what SAR rasters show."""


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
                yield strip

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
            with self._stages("analyse"):
                latents = self._analyse(engine, bands, above, strip, below, cols)
            with self._stages("quantise and entropy-code"):
                self._code_latents(group, engine, strip, cols, latents)

    def _analyse(self, engine: Engine, bands: list[int], above: Strip | None, strip: Strip, below: Strip | None,
                 cols: list[int]) -> list[np.ndarray]:
        """Latents of some tiles of a strip, each seen with its neighbours' pixels."""
        model = engine.network.model
        padded = padded_pixels(self.grid, bands, strip, above, below, model.context * BLOCK)

        def lapped(col: int) -> np.ndarray:
            box = self.grid.tile_latents(strip.row, col)
            extended = box.grown(model.context)
            first = box.col0 * BLOCK
            part = padded[:, : extended.shape[0] * BLOCK, first : first + extended.shape[1] * BLOCK].copy()
            inside = extended.intersection(self.grid.latents).scaled(BLOCK).slices(extended.scaled(BLOCK))
            lap_analysis(part[(slice(None), *inside)], model.P)
            return part[:, BLOCK:-BLOCK, BLOCK:-BLOCK]

        def analyse(batch: tuple[Frame, list[int]]) -> dict[int, np.ndarray]:
            frame, chosen = batch
            return dict(zip(chosen, self.run(engine.network.analysis, [lapped(col) for col in chosen], frame)))

        by_shape: dict[tuple, list[int]] = {}
        for col in cols:
            seen = self.grid.tile_latents(strip.row, col).grown(model.halo)
            by_shape.setdefault((seen.shape, frame_of(seen, self.grid.latents)), []).append(col)
        jobs = [(frame, part) for (_, frame), same in by_shape.items() for part in batches(same, self.run.batch_size)]
        latents: dict[int, np.ndarray] = {}
        for coded in map_batches(engine.network.device, analyse, jobs):
            latents |= coded
        return [latents[col] for col in cols]

    def _code_latents(self, group: int, engine: Engine, strip: Strip, cols: list[int],
                      latents: list[np.ndarray]) -> None:
        def code(job: tuple[int, np.ndarray, np.ndarray, np.ndarray]) -> None:
            col, y, z, totals = job
            coarse, detail, y_hat = engine.coder.encode(y, z, totals, self.header.quality)
            strip.latents[group, col], strip.segments[group, col] = y_hat, (coarse, detail)

        def code_batch(members: list[int]) -> None:
            padded = [_whole_hyper_positions(latents[i]) for i in members]
            coded = self.run(lambda y: _hyperlatents(engine, y), padded)
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
        statistics = [BandStatistics()] * len(bands)
        if pixels is not None:
            statistics = [self._errors(*job) for job in zip(bands, values, classes, pixels)]
        lossless, flags = b"", 0 if pixels is not None else EMPTY
        if self._badly_served(statistics) or self._kept_losslessly(bands, classes):
            lossless, flags = encode_lossless(values), flags | FALLBACK
            statistics = [BandStatistics(count=s.count) for s in statistics]
            values = classes = values[:, :0]
        planes = [class_plane(c) for c in strip.classes[bands, rows, cols]]
        return CodedTile(pack_coarse(planes, coarse), pack_detail(detail, values, classes, lossless), flags, statistics)

    def _errors(self, band: int, values: np.ndarray, classes: np.ndarray, pixels: np.ndarray) -> BandStatistics:
        valid = classes == VALID
        decoded = pixels[: values.shape[0], : values.shape[1]]
        chosen = (values.ravel(), decoded.ravel()) if valid.all() else (values[valid], decoded[valid])
        return BandStatistics.from_errors(self.radiometry[band].errors_mdb(*chosen))

    def _badly_served(self, statistics: list[BandStatistics]) -> bool:
        limit = FALLBACK_ERROR_STEPS * nominal_step_db(self.header.quality)
        return any(s.count and s.rmse_db > limit for s in statistics)

    def _kept_losslessly(self, bands: list[int], classes: np.ndarray) -> bool:
        """Whether a tile is of bands that are not coded, and holds more than nodata and zeros."""
        return not any(self.radiometry[band].coded for band in bands) and bool((classes == EXACT).any())

    def _write(self, writer: ContainerWriter, group: int, tile: CodedTile) -> None:
        writer.write_tile(tile.coarse, tile.detail, flags=tile.flags, quality=self.header.quality)
        self.empty_tiles += tile.flags == EMPTY
        self.fallback_tiles += bool(tile.flags & FALLBACK)
        for band, statistics in zip(self.header.groups[group].bands, tile.statistics):
            self.statistics[band] += statistics


def _whole_hyper_positions(y: np.ndarray) -> np.ndarray:
    """Latents with zeros added below and to the right, up to whole hyperlatent positions."""
    return np.pad(y, ((0, -y.shape[0] % HYPER), (0, -y.shape[1] % HYPER), (0, 0)))


def _hyperlatents(engine: Engine, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """``(z, sums of the hyper-synthesis)`` of each of a batch of latents."""
    z = engine.network.hyper_analysis(y)
    return list(zip(z, engine.network.hyper_synthesis(z)))
