"""Tiles of a row, analysed once and coded as often as a search for their quality asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from .analysis import hyper_sums
from .codec.cells import CONTEXT, cells, with_presence
from .codec.device import Engine
from .codec.mosaic import BatchRunner, batches, extended_latents, synthesise
from .codec.pool import map_batches, parallel_map
from .grid import Box, TileGrid
from .strips import Strip

Key = tuple[int, int]
"""(group, tile column)."""


@dataclass(frozen=True, slots=True)
class AnalysedTile:
    """What does not depend on the quality: latents int16 ``(rows, cols, channels)`` and hyperlatents int8."""

    y: np.ndarray
    z: np.ndarray


class TileCoder:
    """Codes and decodes tiles of a row. `engines` has one a band group."""

    def __init__(self, grid: TileGrid, engines: list[Engine], run: BatchRunner) -> None:
        self.grid, self._engines, self._run = grid, engines, run

    def code(self, strip: Strip, tiles: Mapping[Key, AnalysedTile], qualities: Mapping[Key, int]) -> None:
        """Set latents, segments and qualities of the tiles that have a quality, coded again or for the first time."""
        by_shape: dict[tuple, list[Key]] = {}
        for key in qualities:
            by_shape.setdefault((key[0], tiles[key].y.shape), []).append(key)
        for (group, _), keys in by_shape.items():
            engine = self._engines[group]

            def code(job: tuple[Key, np.ndarray], engine: Engine = engine) -> None:
                key, sums = job
                coarse, detail, y_hat = engine.coder.encode(tiles[key].y, tiles[key].z, sums, qualities[key])
                strip.latents[key], strip.segments[key], strip.qualities[key] = y_hat, (coarse, detail), qualities[key]

            def code_batch(members: list[Key], engine: Engine = engine, code=code) -> None:
                parallel_map(code, zip(members, hyper_sums(engine, self._run, [tiles[key].z for key in members])))

            map_batches(engine.network.device, code_batch, batches(keys, self._run.batch_size))

    def decode(self, keys: Collection[Key], above: Strip | None, strip: Strip,
               below: Strip | None) -> dict[Key, np.ndarray]:
        """Pixels int16 of coded tiles of `strip`, as a reader will have them.

        Without `below` the strip's lower border counts as that of the raster.
        """
        neighbours = {s.row: s for s in (above, strip, below) if s is not None}
        whole = self.grid.latents
        bottom = whole.row1 if below is not None else self.grid.tile_latents(strip.row, 0).row1
        raster = Box(whole.row0, whole.col0, bottom, whole.col1)
        decoded: dict[Key, np.ndarray] = {}
        for group, engine in enumerate(self._engines):
            boxes = {self.grid.tile_latents(strip.row, col): col for member, col in keys if member == group}
            latents = lambda row, col: neighbours[row].latents[group, col]  # noqa: B023, E731 (used in this turn only)
            for box, pixels in synthesise(engine.network, self._run, self.grid, latents, boxes, raster):
                decoded[group, boxes[box]] = pixels
        return decoded

    def cells(self, key: Key, above: Strip | None, strip: Strip, below: Strip | None) -> tuple[np.ndarray, np.ndarray]:
        """Cells of a coded tile of `strip` as a reader of the coarse parts will have them, and their unevenness."""
        neighbours = {s.row: s for s in (above, strip, below) if s is not None}
        group, engine = key[0], self._engines[key[0]]
        box = self.grid.tile_latents(strip.row, key[1])

        def coarse(row: int, col: int) -> np.ndarray | None:
            y_hat = neighbours[row].latents[group, col]
            return None if y_hat is None else with_presence(y_hat[..., engine.coder.coarse])

        y = extended_latents(self.grid, coarse, box.grown(CONTEXT), self.grid.latents, len(engine.coder.coarse) + 1)
        return cells(y, engine.coder.cell_weights, box, self.grid.latents)
