"""The encoder's networks on tiles of a row: pixels to latents, latents to hyperlatents."""

from __future__ import annotations

import numpy as np

from .codec.device import Engine
from .codec.lapping import lap_analysis
from .codec.mosaic import BatchRunner, batches, frame_of
from .codec.network import Frame
from .codec.pool import map_batches
from .grid import BLOCK, HYPER, TileGrid
from .strips import Strip, padded_pixels


def analyse(engine: Engine, run: BatchRunner, grid: TileGrid, bands: list[int], above: Strip | None, strip: Strip,
            below: Strip | None, cols: list[int]) -> list[np.ndarray]:
    """Latents int16 ``(rows, cols, channels)`` of some tiles of a strip, each seen with its neighbours' pixels."""
    model = engine.network.model
    padded = padded_pixels(grid, bands, strip, above, below, model.context * BLOCK)

    def lapped(col: int) -> np.ndarray:
        box = grid.tile_latents(strip.row, col)
        extended = box.grown(model.context)
        first = box.col0 * BLOCK
        part = padded[:, : extended.shape[0] * BLOCK, first : first + extended.shape[1] * BLOCK].copy()
        inside = extended.intersection(grid.latents).scaled(BLOCK).slices(extended.scaled(BLOCK))
        lap_analysis(part[(slice(None), *inside)], model.P)
        return part[:, BLOCK:-BLOCK, BLOCK:-BLOCK]

    def analyse_batch(batch: tuple[Frame, list[int]]) -> dict[int, np.ndarray]:
        frame, chosen = batch
        return dict(zip(chosen, run(engine.network.analysis, [lapped(col) for col in chosen], frame)))

    by_shape: dict[tuple, list[int]] = {}
    for col in cols:
        seen = grid.tile_latents(strip.row, col).grown(model.halo)
        by_shape.setdefault((seen.shape, frame_of(seen, grid.latents)), []).append(col)
    jobs = [(frame, part) for (_, frame), same in by_shape.items() for part in batches(same, run.batch_size)]
    latents: dict[int, np.ndarray] = {}
    for coded in map_batches(engine.network.device, analyse_batch, jobs):
        latents |= coded
    return [latents[col] for col in cols]


def hyperlatents(engine: Engine, run: BatchRunner, latents: list[np.ndarray]) -> list[np.ndarray]:
    """Hyperlatents int8 of each of some equally shaped latents."""
    return run(engine.network.hyper_analysis, [_whole_hyper_positions(y) for y in latents])


def hyper_sums(engine: Engine, run: BatchRunner, hyper: list[np.ndarray]) -> list[np.ndarray]:
    """Sums of the hyper-synthesis, float32, of each of some equally shaped hyperlatents."""
    return run(engine.network.hyper_synthesis, hyper)


def _whole_hyper_positions(y: np.ndarray) -> np.ndarray:
    """Latents with zeros added below and to the right, up to whole hyperlatent positions."""
    return np.pad(y, ((0, -y.shape[0] % HYPER), (0, -y.shape[1] % HYPER), (0, 0)))
