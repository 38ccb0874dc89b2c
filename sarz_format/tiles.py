"""Fetching and entropy-decoding the tiles of one band group, with a bounded cache."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .codec.corrections import Corrections, unpack_corrections
from .codec.device import Engine
from .codec.entropy import Decoder
from .codec.mosaic import BatchRunner, batches
from .codec.pool import map_batches, parallel_map
from .codec.tile import TileParts
from .container import Container
from .errors import DamagedTileError, SarzFormatError, TileDamageWarning
from .grid import BLOCK
from .index import TileEntry
from .mask import NODATA, VALID, ClassPlane, representable

Key = tuple[int, int, int]
"""``(group, tile row, tile col)``."""

OwnedKey = tuple[object, int, int, int]
"""A key of one of several files."""


@dataclass(frozen=True, slots=True)
class LoadedTile:
    """A tile without its synthesised pixels.

    ``planes``, ``exact`` (1-D, in raster order) and ``corrections`` have one entry a band, ``lossless`` is ``(bands, height, width)`` of a
    FALLBACK tile, ``latents`` int16 ``(rows, cols, channels)``, None where they are zero. A damaged tile has nothing but
    the error that says why.
    """

    entry: TileEntry
    planes: tuple[ClassPlane, ...] = ()
    exact: tuple[np.ndarray, ...] = ()
    corrections: tuple[Corrections, ...] = ()
    lossless: np.ndarray | None = None
    latents: np.ndarray | None = None
    damage: DamagedTileError | None = None

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        arrays = [self.latents, self.lossless, *self.exact, *(p.plane for p in self.planes), *self.corrections]
        return sum(a.nbytes for a in arrays if a is not None) + 1024


class TileCache:
    """Least recently used tiles up to a number of bytes; safe from several threads."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._tiles: OrderedDict[Key | OwnedKey, LoadedTile] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def part(self, owner: object) -> CachePart:
        """The cache for one of several files that share it and its limit."""
        return CachePart(self, owner)

    def get(self, key: Key | OwnedKey) -> LoadedTile | None:
        """The tile, which becomes the most recently used; None if it is not there."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
            return self._tiles.get(key)

    def put(self, key: Key | OwnedKey, tile: LoadedTile) -> None:
        """Keep a tile, and drop the oldest ones beyond the limit."""
        with self._lock:
            if key in self._tiles:
                return
            self._tiles[key] = tile
            self._size += tile.nbytes
            while self._size > self.limit_bytes and self._tiles:
                self._size -= self._tiles.popitem(last=False)[1].nbytes


@dataclass(frozen=True, slots=True)
class CachePart:
    """What one file sees of a shared TileCache."""

    cache: TileCache
    owner: object

    def get(self, key: Key) -> LoadedTile | None:
        """See TileCache."""
        return self.cache.get((self.owner, *key))

    def put(self, key: Key, tile: LoadedTile) -> None:
        """See TileCache."""
        self.cache.put((self.owner, *key), tile)


@dataclass(slots=True)
class _Decoding:
    """One tile on its way: filled in step by step."""

    key: Key
    entry: TileEntry
    coarse: bytes
    detail: bytes
    parts: TileParts | None = None
    exact: tuple[np.ndarray, ...] = ()
    corrections: tuple[Corrections, ...] = ()
    lossless: np.ndarray | None = None
    decoder: Decoder | None = None
    z: np.ndarray | None = None
    totals: np.ndarray | None = None
    latents: np.ndarray | None = None
    damage: DamagedTileError | None = None


class TileLoader:
    """Loads tiles of a container: reads ranges, checks CRCs, decodes latents. Counts what it does.

    Attributes
    ----------
    tiles_decoded, cache_hits : int
    damaged : dict of (group, tile row, tile col) to DamagedTileError
        Those met so far that `on_damage` let pass.
    """

    def __init__(self, container: Container, cache: TileCache | CachePart, on_damage: str) -> None:
        self.container, self.cache, self.on_damage = container, cache, on_damage
        self.tiles_decoded = self.cache_hits = 0
        self.damaged: dict[Key, DamagedTileError] = {}
        self._lock = threading.Lock()

    def load(self, group: int, engine: Engine | None, run: BatchRunner,
             positions: Iterable[tuple[int, int]]) -> dict[tuple[int, int], LoadedTile]:
        """Tiles of a group by ``(row, col)``; an engine is needed unless all are EMPTY.

        Raises
        ------
        DamagedTileError
            For a damaged tile, unless ``on_damage="mask"``: then a warning, and the tile is marked; "list" does the
            same without a warning.
        """
        loaded, missing = {}, []
        for row, col in positions:
            tile = self.cache.get((group, row, col))
            if tile is None:
                missing.append((group, row, col))
            else:
                loaded[row, col] = tile
        for key, tile in self._decode(engine, run, missing):
            if tile.damage is not None:
                self._report(tile.damage)
            self.cache.put(key, tile)
            loaded[key[1:]] = tile
        with self._lock:
            self.tiles_decoded += len(missing)
            self.cache_hits += len(loaded) - len(missing)
        return loaded

    def _report(self, damage: DamagedTileError) -> None:
        if self.on_damage == "raise":
            raise damage
        self.damaged[damage.group, damage.tile_row, damage.tile_col] = damage
        if self.on_damage == "list":
            return
        warnings.warn(TileDamageWarning(f"{damage.args[0].split(';')[0]}; it is masked"), stacklevel=2)

    def _decode(self, engine: Engine | None, run: BatchRunner, keys: list[Key]) -> list[tuple[Key, LoadedTile]]:
        work = self._fetch(keys)
        parallel_map(lambda w: self._guarded(w, self._start, engine), work)
        if engine is not None:
            self._decode_latents(work, engine, run)
        return [(w.key, _loaded(w)) for w in work]

    def _decode_latents(self, work: list[_Decoding], engine: Engine, run: BatchRunner) -> None:
        by_shape: dict[tuple[int, ...], list[_Decoding]] = {}
        for w in work:
            if w.z is not None and w.damage is None:
                by_shape.setdefault(w.z.shape, []).append(w)

        def finish(batch: list[_Decoding]) -> None:
            for w, totals in zip(batch, run(engine.network.hyper_synthesis, [w.z for w in batch])):
                w.totals = totals
            parallel_map(lambda w: self._guarded(w, self._finish, engine), batch)

        jobs = [part for same in by_shape.values() for part in batches(same, run.batch_size)]
        map_batches(engine.network.device, finish, jobs)

    def _fetch(self, keys: list[Key]) -> list[_Decoding]:
        index = self.container.index
        numbers = [index.number(row, col, group) for group, row, col in keys]
        parts = self.container.read_parts([(n, part) for n in numbers for part in ("coarse", "detail")])
        work = []
        for key, number, coarse, detail in zip(keys, numbers, parts[::2], parts[1::2]):
            damage = next((p for p in (coarse, detail) if isinstance(p, DamagedTileError)), None)
            work.append(_Decoding(key, index[number], coarse, detail, damage=damage))
        return work

    @staticmethod
    def _guarded(work: _Decoding, step, engine: Engine | None) -> None:
        """Run a step of one tile; malformed bytes (which a CRC cannot exclude) become that tile's damage."""
        if work.damage is not None:
            return
        try:
            step(work, engine)
        except SarzFormatError as exc:
            group, row, col = work.key
            work.damage = DamagedTileError(row, col, group, str(exc))

    def _start(self, work: _Decoding, engine: Engine | None) -> None:
        group, row, col = work.key
        shape = self.container.header.grid.tile(row, col).shape
        bands = len(self.container.header.groups[group].bands)
        work.parts = TileParts.unpack(work.coarse, work.detail, bands, shape)
        _check_flags(work.entry, work.parts)
        self._check_classes(group, work)
        self._restore_values(work, shape)
        if engine is not None and not work.entry.empty:
            work.decoder, work.z = engine.coder.start(*work.parts.coarse, self._latent_shape(work.key))

    def _restore_values(self, work: _Decoding, shape: tuple[int, int]) -> None:
        """Inflate what came round the model."""
        dtype = np.dtype(self.container.header.metadata.dtype)
        if work.entry.fallback:
            if any(work.parts.exact):
                raise SarzFormatError("exact values: a lossless tile needs none")
            work.lossless = work.parts.lossless_values(shape, dtype)
        else:
            work.corrections = tuple(unpack_corrections(c, shape) for c in work.parts.corrections)
            work.exact = tuple(work.parts.exact_values(band, shape, dtype) for band in range(len(work.parts.planes)))

    def _check_classes(self, group: int, work: _Decoding) -> None:
        """Refuse classes that give a pixel no value: coded ones in an empty tile, nodata where the band has none."""
        metadata = self.container.header.metadata
        for band, plane in zip(self.container.header.groups[group].bands, work.parts.planes):
            if work.entry.empty and plane.holds(VALID):
                raise SarzFormatError("an empty tile has coded pixels")
            if plane.holds(NODATA) and not representable(metadata.nodata[band], np.dtype(metadata.dtype)):
                raise SarzFormatError(f"nodata pixels in band {band + 1}, whose nodata value is {metadata.nodata[band]}")

    def _finish(self, work: _Decoding, engine: Engine) -> None:
        work.latents = engine.coder.decode(work.decoder, work.parts.detail, work.totals, self._latent_shape(work.key),
                                           work.entry.quality)

    def _latent_shape(self, key: Key) -> tuple[int, int]:
        return self.container.header.grid.tile(*key[1:]).blocks(BLOCK).shape


def _loaded(work: _Decoding) -> LoadedTile:
    if work.damage is not None:
        return LoadedTile(work.entry, damage=work.damage)
    return LoadedTile(work.entry, work.parts.planes, work.exact, work.corrections, work.lossless, work.latents)


def _check_flags(entry: TileEntry, parts: TileParts) -> None:
    if entry.empty and any(parts.coarse + parts.detail):
        raise SarzFormatError("an empty tile holds latents")
    if (entry.empty or entry.fallback) and any(parts.corrections):
        raise SarzFormatError("a tile without coded pixels has corrections of some")
    if entry.fallback != bool(parts.lossless):
        raise SarzFormatError("the lossless copy and the fallback flag contradict each other")
