"""Fetching and decoding the coarse parts of tiles alone: what an overview is made of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .codec.cells import with_presence
from .codec.entropy import Decoder
from .codec.payload import split_segments
from .codec.pool import parallel_map
from .container import Container
from .errors import DamagedTileError, SarzFormatError
from .grid import BLOCK
from .index import TileEntry
from .mask import VALID, ZERO, ClassPlane, unpack_plane
from .overview import COARSE_FACTOR
from .tile_work import Key, guarded, synthesise_hyperlatents
from .tiles import TileCache, check_classes

if TYPE_CHECKING:
    from .codec.device import Engine
    from .codec.mosaic import BatchRunner


@dataclass(frozen=True, slots=True)
class CoarseTile:
    """What the coarse part of a tile holds.

    ``latents`` int16 ``(rows, cols, coarse channels + 1)`` as `cells` takes them, None where there are none; ``valid`` and
    ``zero`` uint8 ``(bands, cell rows, cell columns)`` count the pixels of these classes by cell. A damaged tile has nothing
    but the error that says why.
    """

    entry: TileEntry
    latents: np.ndarray | None = None
    valid: np.ndarray | None = None
    zero: np.ndarray | None = None
    damage: DamagedTileError | None = None

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        return sum(a.nbytes for a in (self.latents, self.valid, self.zero) if a is not None) + 1024


@dataclass(slots=True)
class _Decoding:
    """One tile on its way: filled in step by step."""

    key: Key
    entry: TileEntry
    part: bytes
    valid: np.ndarray | None = None
    zero: np.ndarray | None = None
    decoder: Decoder | None = None
    z: np.ndarray | None = None
    sums: np.ndarray | None = None
    latents: np.ndarray | None = None
    damage: DamagedTileError | None = None


class CoarseLoader:
    """Loads the coarse parts of tiles of a container, and counts them.

    Parameters
    ----------
    container
        The open file.
    cache
        Of what was loaded. It holds nothing else.
    report
        Called with the damage of each damaged tile; may raise it.
    """

    def __init__(self, container: Container, cache: TileCache[CoarseTile],
                 report: Callable[[DamagedTileError], None]) -> None:
        self.container, self.cache, self._report = container, cache, report
        self.decoded = self.cache_hits = 0
        self._lock = threading.Lock()

    def load(self, group: int, engine: Engine | None, run: BatchRunner | None,
             positions: Iterable[tuple[int, int]]) -> dict[tuple[int, int], CoarseTile]:
        """Tiles of a group by ``(row, col)``; an engine is needed unless all are EMPTY."""
        keys = [(group, row, col) for row, col in positions]
        tiles = {key: self.cache.get(key) for key in keys}
        missing = [key for key in keys if tiles[key] is None]
        for key, tile in zip(missing, self._decode(engine, run, missing)):
            if tile.damage is not None:
                self._report(tile.damage)
            self.cache.put(key, tile)
            tiles[key] = tile
        with self._lock:
            self.decoded += len(missing)
            self.cache_hits += len(keys) - len(missing)
        return {key[1:]: tile for key, tile in tiles.items()}

    def _decode(self, engine: Engine | None, run: BatchRunner | None, keys: list[Key]) -> list[CoarseTile]:
        index = self.container.index
        numbers = [index.number(row, col, group) for group, row, col in keys]
        parts = self.container.read_parts([(number, "coarse") for number in numbers])
        work = [_Decoding(key, index[number], part) if isinstance(part, bytes)
                else _Decoding(key, index[number], b"", damage=part) for key, number, part in zip(keys, numbers, parts)]
        parallel_map(lambda w: guarded(w, self._start, engine), work)
        if engine is not None:
            self._decode_latents(work, engine, run)
        return [CoarseTile(w.entry, damage=w.damage) if w.damage is not None
                else CoarseTile(w.entry, w.latents, w.valid, w.zero) for w in work]

    def _decode_latents(self, work: list[_Decoding], engine: Engine, run: BatchRunner) -> None:
        synthesise_hyperlatents(work, run, engine.network.device, engine.network.coarse_sums,
                                lambda w: guarded(w, self._finish, engine))

    def _start(self, work: _Decoding, engine: Engine | None) -> None:
        header = self.container.header
        shape = header.grid.tile(*work.key[1:]).shape
        bands = header.groups[work.key[0]].bands
        segments = split_segments(work.part, len(bands) + 2)
        planes = [unpack_plane(segment, shape) for segment in segments[: len(bands)]]
        check_classes(header, work.key[0], work.entry, planes)
        work.valid, work.zero = (np.stack([_cell_counts(plane, wanted, shape) for plane in planes])
                                 for wanted in (VALID, ZERO))
        if work.entry.empty and any(segments[len(bands) :]):
            raise SarzFormatError("an empty tile holds latents")
        if engine is not None and not work.entry.empty:
            work.decoder, work.z = engine.coder.start(*segments[len(bands) :], self._latent_shape(work))

    def _finish(self, work: _Decoding, engine: Engine) -> None:
        latents = engine.coder.decode_coarse(work.decoder, work.sums, self._latent_shape(work), work.entry.quality)
        work.latents = with_presence(latents)

    def _latent_shape(self, work: _Decoding) -> tuple[int, int]:
        return self.container.header.grid.tile(*work.key[1:]).blocks(BLOCK).shape


def _cell_counts(plane: ClassPlane, wanted: int, shape: tuple[int, int]) -> np.ndarray:
    """How many pixels of each cell of a tile of `shape` pixels are of a class, uint8."""
    k = COARSE_FACTOR
    rows, cols = (-(-n // k) for n in shape)
    if plane.plane is None:
        down, along = (np.minimum(k, n - k * np.arange(-(-n // k))) for n in shape)
        return (np.outer(down, along) * (plane.kind == wanted)).astype(np.uint8)
    padded = np.zeros((rows * k, cols * k), np.uint8)
    padded[: shape[0], : shape[1]] = plane.plane == wanted
    return padded.reshape(rows, k, cols, k).sum((1, 3), dtype=np.uint8)
