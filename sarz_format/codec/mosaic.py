"""Latents of tiles put together on the raster's one grid, and their synthesis in batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch

from ..grid import BLOCK, Box, TileGrid
from ..memory import is_out_of_memory
from . import tensor_steps
from .lapping import lap_synthesis
from .network import Frame, Network
from .pool import map_batches

Latents = Callable[[int, int], np.ndarray | None]
"""``(tile row, tile col)`` to latents int16 ``(rows, cols, channels)``; None for a tile whose latents are zero."""

Stack = TypeVar("Stack", np.ndarray, torch.Tensor)

AUTO_BATCH_CPU, AUTO_BATCH_GPU = 1, 32


def frame_of(box: Box, raster: Box) -> Frame:
    """How much of `box` lies outside `raster`."""
    return Frame(max(0, raster.row0 - box.row0), max(0, raster.col0 - box.col0),
                 max(0, box.row1 - raster.row1), max(0, box.col1 - raster.col1))


def extended_latents(grid: TileGrid, latents: Latents, box: Box, inside: Box, channels: int) -> np.ndarray:
    """Latents int16 of a box of latent positions; zero where the box leaves `inside`."""
    out = np.zeros((*box.shape, channels), np.int16)
    wanted = box.intersection(inside)
    for row, col in grid.tiles_covering(wanted.scaled(BLOCK)):
        tile = latents(row, col)
        if tile is None:
            continue
        own = grid.tile_latents(row, col)
        part = own.intersection(wanted)
        out[part.slices(box)] = tile[part.slices(own)]
    return out


def automatic_batch(device: torch.device) -> int:
    """Boxes a synthesis call takes at once by default: a CPU gains nothing from more than one."""
    return AUTO_BATCH_CPU if device.type == "cpu" else AUTO_BATCH_GPU


class BatchRunner:
    """Runs a network function over equally shaped arrays in batches; halves the batch when memory runs out.

    Safe from several threads: those that run out together, with the same batch, halve it once.

    Attributes
    ----------
    batch_size : int
        Arrays a call takes from now on.
    reductions : int
        How often it was halved.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.reductions = 0
        self._lock = threading.Lock()

    def __call__(self, function: Callable[..., Stack], arrays: list[np.ndarray], *args) -> list[Stack]:
        """``function(stacked arrays, *args)``, unstacked again. What it raises for a batch of one is raised."""
        results: list[Stack] = []
        while len(results) < len(arrays):
            chunk = arrays[len(results) : len(results) + self.batch_size]
            try:
                results.extend(function(np.stack(chunk), *args))
                continue
            except (MemoryError, RuntimeError) as exc:
                if len(chunk) == 1 or not is_out_of_memory(exc):
                    raise
            # Only here are the tensors gone that the exception's traceback held.
            self._halve(len(chunk))
        return results

    def _halve(self, failed: int) -> None:
        """Lower the batch to half of one that was too much, unless another thread did so already."""
        with self._lock:
            if self.batch_size > failed // 2:
                self.batch_size = failed // 2
                self.reductions += 1
        torch.cuda.empty_cache()


def synthesise(network: Network, run: BatchRunner, grid: TileGrid, latents: Latents, boxes: Iterable[Box],
               raster: Box | None = None) -> list[tuple[Box, np.ndarray]]:
    """Decode boxes of latent positions: ``[(box, pixels int16 (bands, 16 rows, 16 cols))]``, in any order.

    `raster` is what counts as inside (by default the whole raster's latents): outside it latents and hidden activations
    are zero, and no filter crosses its border. Boxes of one shape and border are decoded together.
    """
    def lap(pixels: np.ndarray) -> np.ndarray:
        lap_synthesis(pixels, network.model.Q)
        return pixels

    return _synthesise(network, run, grid, latents, boxes, raster or grid.latents, network.synthesis, lap)


def synthesise_tensors(network: Network, run: BatchRunner, grid: TileGrid, latents: Latents,
                       boxes: Iterable[Box]) -> list[tuple[Box, torch.Tensor]]:
    """As `synthesise`, pixels as tensors that never leave the network's device."""
    def decode(values: np.ndarray, frame: Frame) -> torch.Tensor:
        return tensor_steps.lap_synthesis(network.synthesis_tensor(values, frame), network.model.Q)

    return _synthesise(network, run, grid, latents, boxes, grid.latents, decode, lambda pixels: pixels)


def _synthesise(network: Network, run: BatchRunner, grid: TileGrid, latents: Latents, boxes: Iterable[Box], inside: Box,
                decode: Callable[[np.ndarray, Frame], Stack],
                finish: Callable[[Stack], Stack]) -> list[tuple[Box, Stack]]:
    """Run `decode` on batches of boxes, and `finish` on each box, with a row of positions more on every side inside."""
    by_shape: dict[tuple, list[tuple[Box, Box]]] = {}
    for box in boxes:
        lapped = box.grown(1).intersection(inside)
        extended = lapped.grown(network.model.halo)
        by_shape.setdefault((extended.shape, frame_of(extended, inside)), []).append((box, lapped))

    def decode_batch(batch: tuple[Frame, list[tuple[Box, Box]]]) -> list[tuple[Box, Stack]]:
        frame, pairs = batch
        values = [extended_latents(grid, latents, lapped.grown(network.model.halo), inside, network.model.channels)
                  for _, lapped in pairs]
        return [(box, finish(pixels)[(slice(None), *box.scaled(BLOCK).slices(lapped.scaled(BLOCK)))])
                for (box, lapped), pixels in zip(pairs, run(decode, values, frame))]

    groups = [(frame, pairs) for (_, frame), same in by_shape.items() for pairs in batches(same, run.batch_size)]
    return [result for group in map_batches(network.device, decode_batch, groups) for result in group]


def batches(items: list, size: int) -> Iterator[list]:
    """Consecutive parts of at most `size` items."""
    for first in range(0, len(items), size):
        yield items[first : first + size]
