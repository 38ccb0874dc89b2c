"""How windows are cut into what is decoded at once: strips of windows, and pieces of strips. Geometry, no pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .codec.pool import worker_count
from .grid import BLOCK, Box, TileGrid
from .tiles import LoadedTile

if TYPE_CHECKING:
    import torch

    from .codec.device import Engine

BATCH_PIXELS = 1 << 22
"""Strips of this many pixels are decoded together; a larger one alone."""

MIN_PIECE = 64
"""Smallest height in pixels of what a core decodes on its own: below, context costs more than a second core gains."""

Tiles = Mapping[tuple[int, int], LoadedTile]
"""By ``(row, col)``."""

Wanted = tuple[int, int, int]
"""A band that is wanted: its place in the result, its number in the raster, its place in the band group."""


@dataclass(frozen=True, slots=True)
class Target:
    """A window: its ``values`` (bands, height, width), and bool ``damaged`` (height, width) of a band group."""

    window: Box
    values: Any
    damaged: np.ndarray


StripOf = tuple[Box, Target]
"""A strip of a window, at most as high as a tile."""

TilesAndPixels = tuple[Tiles, Sequence[Any]]
"""Tiles, and each strip's pixels int16 ``(bands, height, width)``, or None where all tiles are EMPTY."""

ConvertJob = tuple[LoadedTile, tuple[int, int], list[Wanted], Box, Any, Box, Any]
"""A tile, its position, the bands wanted, a strip, its pixels, its window, and the window's values."""


class PixelSteps(Protocol):
    """What is done with pixels on the host, by WindowDecoder itself, or on a GPU, by tensor_pixels.TensorPixels."""

    def empty(self, shape: tuple[int, ...]) -> Any: ...
    def exact(self, engine: Engine, tiles: Tiles, strips: Sequence[Box]) -> Sequence[Any]: ...
    def blended(self, engine: Engine, tiles: Tiles, strips: Sequence[Box]) -> Sequence[Any]: ...
    def convert_all(self, jobs: Iterable[ConvertJob]) -> None: ...
    def fill(self, values: Any, where: np.ndarray, value: float | int) -> None: ...
    def finished(self, values: Any) -> Any: ...


def strip_batches(strips: Iterable[StripOf]) -> Iterator[list[StripOf]]:
    """Consecutive strips of at most `BATCH_PIXELS` together."""
    batch: list[StripOf] = []
    total = 0
    for strip, target in strips:
        pixels = strip.shape[0] * strip.shape[1]
        if batch and total + pixels > BATCH_PIXELS:
            yield batch
            batch, total = [], 0
        batch.append((strip, target))
        total += pixels
    if batch:
        yield batch


def pieces_of(tiles: Tiles, strips: Sequence[Box], grid: TileGrid,
              device: torch.device) -> dict[Box, list[tuple[int, Box]]]:
    """What to synthesise for strips: boxes of latents, each with ``(number of a strip, box of its pixels)`` of it."""
    pieces: dict[Box, list[tuple[int, Box]]] = {}
    for number, strip in enumerate(strips):
        for piece in strip_pieces(strip, grid.tile_size, device, len(strips)):
            if any(_needs_synthesis(tiles[position]) for position in grid.tiles_covering(piece)):
                pieces.setdefault(piece.blocks(BLOCK), []).append((number, piece))
    return pieces


def copy_pieces(box: Box, pixels: Any, pieces: list[tuple[int, Box]], strips: Sequence[Box],
                out: Sequence[Any]) -> None:
    """Copy the pixels of a box of latents to where they belong in strips."""
    for number, piece in pieces:
        whole = (slice(None), *piece.slices(strips[number]))
        out[number][whole] = pixels[(slice(None), *piece.slices(box.scaled(BLOCK)))]


def strip_pieces(strip: Box, size: int, device: torch.device, strips: int = 1) -> list[Box]:
    """A strip, one of `strips`, in pieces as wide as a tile; lower ones where a CPU has more cores than pieces."""
    columns = range(strip.col0, strip.col1, size)
    first = strip.row0 // BLOCK * BLOCK
    height = strip.row1 - first
    if device.type == "cpu" and len(columns) * strips < worker_count():
        share = -(-height * len(columns) * strips // worker_count())
        height = max(MIN_PIECE, -(-share // BLOCK) * BLOCK)
    return [strip.intersection(Box(top, left, top + height, left + size))
            for top in range(first, strip.row1, height) for left in columns]


def _needs_synthesis(tile: LoadedTile) -> bool:
    return tile.damage is None and not tile.entry.fallback and not tile.entry.empty


def latents_of(tiles: Tiles) -> Callable[[int, int], np.ndarray | None]:
    """Latents of tiles by row and column, as the mosaic asks for them."""
    return lambda row, col: tiles[row, col].latents
