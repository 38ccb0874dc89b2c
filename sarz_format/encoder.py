"""From a raster to the tiles of a file, a row of tiles at a time.

::

    read row r + 1 | analyse and code row r | decode row r - 1 as a reader will, measure it, write it

A row is decoded with the latents of both its neighbours, so what is measured is what will be read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np

from .analysis import analyse, hyperlatents
from .bright import find_targets
from .codec.device import Engine, load_engine
from .codec.mosaic import BatchRunner, batches
from .codec.pool import map_batches, parallel_map
from .codec.tile import pack_coarse, pack_detail
from .coding import AnalysedTile, Key, TileCoder
from .container_writer import ContainerWriter
from .control import Control, FixedQuality, RmseControl
from .correcting import corrected_in
from .fallback import encode_lossless
from .header import Header
from .index import EMPTY, FALLBACK
from .mask import EXACT, VALID, class_plane
from .measure import badly_served, band_errors
from .overview_measure import measure_correction
from .radiometry import BandRadiometry
from .reached import Reached
from .statistics import BandStatistics
from .strips import RowReader, Strip, make_strip, read_ahead
from .target import RMSE_DB
from .timing import Stages
from .trial import Trial
from .weights import ModelInfo


@dataclass(slots=True)
class CodedTile:
    """A tile ready to be written, and its errors by band of its group."""

    coarse: bytes
    detail: bytes
    flags: int
    quality: int
    statistics: list[BandStatistics]
    overview: list[int]
    """How its overview is corrected, by band of its group (overview.Correction); empty unless flags are 0."""


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
    control
        Chooses the qualities of tiles; by default as the header says. A target in bytes needs one.
    """

    def __init__(self, header: Header, radiometry: list[BandRadiometry], models: dict[int, ModelInfo], device,
                 batch_size: int, control: Control | None = None) -> None:
        self.header, self.grid, self.radiometry = header, header.grid, radiometry
        self.engines: list[Engine] = [load_engine(models[len(g.bands)], device) for g in header.groups]
        self.run = BatchRunner(batch_size)
        self.coder = TileCoder(self.grid, self.engines, self.run)
        self.rmse_db = header.target.value if header.target and header.target.kind == RMSE_DB else None
        usual = FixedQuality(header.quality) if self.rmse_db is None else RmseControl(header, radiometry, self.rmse_db)
        self.control = control or usual
        self.reached = Reached(self.rmse_db)
        self.statistics = [BandStatistics()] * header.metadata.count
        self.empty_tiles = self.fallback_tiles = 0
        self._stages = Stages()

    @property
    def arithmetic(self) -> str:
        """How the networks' integers are computed."""
        return self.engines[0].network.arithmetic.name

    @property
    def arithmetic_refused(self) -> list[str]:
        """Why faster arithmetics than `arithmetic` are not used, a sentence each."""
        return list(self.engines[0].refused)

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
        with contextlib.closing(read_ahead(read_row, self.grid.rows, self._stages)) as rows:
            for row, values in enumerate(rows):
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
        trial = Trial(engine, self.run, radiometry, self.control.quality, self.rmse_db)

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
        tiles: dict[Key, AnalysedTile] = {}
        columns = [self._coded_columns(group, strip) for group in range(len(self.engines))]
        with self._stages("find bright targets"):
            for group, entry in enumerate(self.header.groups):
                find_targets(self.grid, group, list(entry.bands), above, strip, below, columns[group])
        with self._stages("analyse"):
            for group, cols in enumerate(columns):
                tiles |= self._analysed(group, above, strip, below, cols)
        with self._stages("quantise and entropy-code"):
            self.control.code(self.coder, above, strip, tiles)

    def _coded_columns(self, group: int, strip: Strip) -> list[int]:
        """Columns of the tiles of a group that have a pixel to code."""
        bands = list(self.header.groups[group].bands)
        return [col for col in range(self.grid.cols)
                if (strip.classes[(bands, *self.grid.tile(strip.row, col).slices(strip.box))] == VALID).any()]

    def _analysed(self, group: int, above: Strip | None, strip: Strip, below: Strip | None,
                  cols: list[int]) -> dict[Key, AnalysedTile]:
        """The tiles of a group at `cols`, which have a pixel to code; the others are marked as empty."""
        engine, bands = self.engines[group], list(self.header.groups[group].bands)
        for col in range(self.grid.cols):
            strip.latents[group, col] = None
            strip.segments[group, col] = ([b"", b""], [b"", b""])
        latents = dict(zip(cols, analyse(engine, self.run, self.grid, bands, above, strip, below, cols)))

        def hyper(members: list[int]) -> dict[Key, AnalysedTile]:
            hyper = hyperlatents(engine, self.run, [latents[col] for col in members])
            return {(group, col): AnalysedTile(latents[col], z) for col, z in zip(members, hyper)}

        by_shape: dict[tuple, list[int]] = {}
        for col, y in latents.items():
            by_shape.setdefault(y.shape, []).append(col)
        jobs = [part for same in by_shape.values() for part in batches(same, self.run.batch_size)]
        return {key: tile for done in map_batches(engine.network.device, hyper, jobs) for key, tile in done.items()}

    def _finish_strip(self, above: Strip | None, strip: Strip, below: Strip | None, writer: ContainerWriter) -> None:
        """Decode a strip, measure it, decide on fallbacks and write its tiles."""
        coded = [key for key, latents in strip.latents.items() if latents is not None]
        with self._stages("decode again"):
            decoded = self.coder.decode(coded, above, strip, below)
        keys = [(group, col) for col in range(self.grid.cols) for group in range(len(self.engines))]
        with self._stages("measure"):
            tiles = parallel_map(lambda k: self._pack((above, strip, below), *k, decoded.get(k)), keys)
        with self._stages("write"):
            for (group, _), tile in zip(keys, tiles):
                self._write(writer, group, tile)
            self.control.written(strip.row, sum(len(tile.coarse) + len(tile.detail) for tile in tiles))

    def _pack(self, strips: tuple[Strip | None, Strip, Strip | None], group: int, col: int,
              pixels: np.ndarray | None) -> CodedTile:
        """A tile of the middle one of three strips; `pixels` are decoded ones, None if it is EMPTY."""
        strip = strips[1]
        bands = list(self.header.groups[group].bands)
        rows, cols = self.grid.tile(strip.row, col).slices(strip.box)
        values, classes = strip.values[bands, rows, cols], strip.classes[bands, rows, cols]
        coarse, detail = strip.segments[group, col]
        quality = strip.qualities.get((group, col), self.header.quality)
        statistics, corrections = [BandStatistics()] * len(bands), []
        if pixels is not None:
            corrections, pixels = corrected_in(strip, (group, col), self.grid, bands, pixels)
            radiometry = (self.radiometry[band] for band in bands)
            statistics = [band_errors(*job) for job in zip(radiometry, values, classes, pixels)]
        lossless, flags = b"", 0 if pixels is not None else EMPTY
        if (group, col) in strip.lossless or badly_served(statistics, quality):
            lossless, flags = encode_lossless(values), flags | FALLBACK
            statistics = [BandStatistics(count=s.count) for s in statistics]
            values = classes = values[:, :0]
            corrections = []
        planes = [class_plane(c) for c in strip.classes[bands, rows, cols]]
        detail = pack_detail(detail, values, classes, lossless, corrections)
        overview = [] if flags else self._overview(strips, group, col, pixels)
        return CodedTile(pack_coarse(planes, coarse), detail, flags, quality, statistics, overview)

    def _overview(self, strips: tuple[Strip | None, Strip, Strip | None], group: int, col: int,
                  pixels: np.ndarray) -> list[int]:
        """How the overview of a coded tile is corrected, by band of its group."""
        bands = list(self.header.groups[group].bands)
        valid = strips[1].classes[(bands, *self.grid.tile(strips[1].row, col).slices(strips[1].box))] == VALID
        measured = zip(*self.coder.cells((group, col), *strips), pixels, valid)
        return [measure_correction(*job).pack() if job[-1].any() else 0 for job in measured]

    def _write(self, writer: ContainerWriter, group: int, tile: CodedTile) -> None:
        writer.write_tile(tile.coarse, tile.detail, flags=tile.flags, quality=tile.quality, overview=tile.overview)
        if not tile.flags:
            self.reached.add(tile.quality, sum(tile.statistics, BandStatistics()).rmse_db)
        self.empty_tiles += tile.flags == EMPTY
        self.fallback_tiles += bool(tile.flags & FALLBACK)
        for band, statistics in zip(self.header.groups[group].bands, tile.statistics):
            self.statistics[band] += statistics
