"""Fetching and entropy-decoding the tiles of one band group, with a bounded cache."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from .bands import allowance
from .bounded import decode_bounded
from .codec.corrections import Corrections, unpack_corrections
from .codec.entropy import Decoder
from .codec.pool import parallel_map
from .codec.tile import TileParts
from .container import Container
from .dtypes import from_parts, is_complex, part_dtype
from .errors import DamagedTileError, SarzFormatError, TileDamageWarning
from .fallback import decode_lossless
from .grid import BLOCK
from .header import Header
from .index import TileEntry
from .mask import NODATA, VALID, ClassPlane, representable, restored
from .tile_work import Key, guarded, synthesise_hyperlatents

if TYPE_CHECKING:
    from .codec.device import Engine
    from .codec.mosaic import BatchRunner

Parts = tuple[bytes | DamagedTileError, bytes | DamagedTileError]
"""The coarse and the detail part of a tile."""

AHEAD_BYTES = 64 << 20
"""The most that is fetched for a window before the first of its tiles is decoded."""
OwnedKey = tuple[object, int, int, int]
"""A key of one of several files."""


@dataclass(frozen=True, slots=True)
class LoadedTile:
    """A tile without its synthesised pixels.

    ``planes``, ``exact`` (1-D, in raster order) and ``corrections`` have one entry a band, ``values`` is ``(bands, height,
    width)`` of a FALLBACK or BOUNDED tile, whose pixels need nothing else, ``latents`` int16 ``(rows, cols, channels)``,
    None where they are zero. A damaged tile has nothing but the error that says why.
    """

    entry: TileEntry
    planes: tuple[ClassPlane, ...] = ()
    exact: tuple[np.ndarray, ...] = ()
    corrections: tuple[Corrections, ...] = ()
    values: np.ndarray | None = None
    latents: np.ndarray | None = None
    damage: DamagedTileError | None = None

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        arrays = [self.latents, self.values, *self.exact, *(p.plane for p in self.planes), *self.corrections]
        return sum(a.nbytes for a in arrays if a is not None) + 1024


class Tile(Protocol):
    """What a cache holds."""

    @property
    def nbytes(self) -> int:
        """Memory held, about."""


T = TypeVar("T", bound=Tile)


class TileCache(Generic[T]):
    """Least recently used tiles up to a number of bytes; safe from several threads."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._tiles: OrderedDict[Key | OwnedKey, T] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def part(self, owner: object) -> CachePart:
        """The cache for one of several files that share it and its limit."""
        return CachePart(self, owner)

    def get(self, key: Key | OwnedKey) -> T | None:
        """The tile, which becomes the most recently used; None if it is not there."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
            return self._tiles.get(key)

    def __contains__(self, key: Key | OwnedKey) -> bool:
        with self._lock:
            return key in self._tiles

    def put(self, key: Key | OwnedKey, tile: T) -> None:
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

    cache: TileCache[LoadedTile]
    owner: object

    @property
    def limit_bytes(self) -> int:
        """Of the whole cache."""
        return self.cache.limit_bytes

    def __contains__(self, key: Key) -> bool:
        return (self.owner, *key) in self.cache

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
    values: np.ndarray | None = None
    decoder: Decoder | None = None
    z: np.ndarray | None = None
    sums: np.ndarray | None = None
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

    def __init__(self, container: Container, cache: TileCache[LoadedTile] | CachePart, on_damage: str) -> None:
        self.container, self.cache, self.on_damage = container, cache, on_damage
        self.tiles_decoded = self.cache_hits = 0
        self.damaged: dict[Key, DamagedTileError] = {}
        self._lock = threading.Lock()
        self._ahead = threading.local()

    @contextmanager
    def fetched_ahead(self, keys: Iterable[Key]) -> Iterator[None]:
        """Fetch the parts of these tiles together, for the loads of this thread within the context.

        Only where requests are dear; and where there are more than AHEAD_BYTES, each load fetches its own.
        """
        self._ahead.parts = self._parts_ahead(keys)
        try:
            yield
        finally:
            self._ahead.parts = {}

    def _parts_ahead(self, keys: Iterable[Key]) -> Mapping[Key, Parts]:
        if self.container.source.most_requests is None:
            return {}
        missing = [key for key in dict.fromkeys(keys) if key not in self.cache]
        entries = self.container.index.entries[[self._number(key) for key in missing]]
        nbytes = sum(int(entries[part].sum(dtype=np.uint64)) for part in ("coarse_length", "detail_length"))
        return self._parts(missing) if nbytes <= AHEAD_BYTES else {}

    def _parts(self, keys: list[Key]) -> dict[Key, Parts]:
        numbers = [self._number(key) for key in keys]
        parts = self.container.read_parts([(n, part) for n in numbers for part in ("coarse", "detail")])
        return dict(zip(keys, zip(parts[::2], parts[1::2])))

    def _number(self, key: Key) -> int:
        group, row, col = key
        return self.container.index.number(row, col, group)

    def load(self, group: int, engine: Engine | None, run: BatchRunner | None,
             positions: Iterable[tuple[int, int]]) -> dict[tuple[int, int], LoadedTile]:
        """Tiles of a group by ``(row, col)``; an engine and its runner are needed unless all are EMPTY.

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
                self.report(tile.damage)
            self.cache.put(key, tile)
            loaded[key[1:]] = tile
        with self._lock:
            self.tiles_decoded += len(missing)
            self.cache_hits += len(loaded) - len(missing)
        return loaded

    def report(self, damage: DamagedTileError) -> None:
        """Raise what damages a tile, or take note of it."""
        if self.on_damage == "raise":
            raise damage
        self.damaged[damage.group, damage.tile_row, damage.tile_col] = damage
        if self.on_damage == "list":
            return
        warnings.warn(TileDamageWarning(f"{damage.args[0].split(';')[0]}; it is masked"), stacklevel=2)

    def _decode(self, engine: Engine | None, run: BatchRunner | None, keys: list[Key]) -> list[tuple[Key, LoadedTile]]:
        work = self._fetch(keys)
        parallel_map(lambda w: guarded(w, self._start, engine), work)
        if engine is not None and run is not None:
            self._decode_latents(work, engine, run)
        return [(w.key, _loaded(w)) for w in work]

    def _decode_latents(self, work: list[_Decoding], engine: Engine, run: BatchRunner) -> None:
        synthesise_hyperlatents(work, run, engine.network.device, engine.network.hyper_synthesis,
                                lambda w: guarded(w, self._finish, engine))

    def _fetch(self, keys: list[Key]) -> list[_Decoding]:
        parts = dict(getattr(self._ahead, "parts", {}))
        parts |= self._parts([key for key in keys if key not in parts])
        work = []
        for key in keys:
            coarse, detail = parts[key]
            damage = next((p for p in (coarse, detail) if isinstance(p, DamagedTileError)), None)
            work.append(_Decoding(key, self.container.index[self._number(key)], coarse, detail, damage=damage))
        return work

    def _start(self, work: _Decoding, engine: Engine | None) -> None:
        group, row, col = work.key
        shape = self.container.header.grid.tile(row, col).shape
        bands = len(self.container.header.groups[group].bands)
        work.parts = TileParts.unpack(work.coarse, work.detail, bands, shape)
        _check_flags(work.entry, work.parts)
        check_classes(self.container.header, group, work.entry, work.parts.planes)
        self._restore_values(group, work, shape)
        if engine is not None and not work.entry.empty:
            work.decoder, work.z = engine.coder.start(*work.parts.coarse, self._latent_shape(work.key))

    def _restore_values(self, group: int, work: _Decoding, shape: tuple[int, int]) -> None:
        """Decode what came round the model."""
        dtype = self.container.header.metadata.dtype
        if work.entry.fallback:
            if any(work.parts.exact):
                raise SarzFormatError("exact values: a lossless tile needs none")
            planes = len(work.parts.planes) * (2 if is_complex(dtype) else 1)
            work.values = from_parts(decode_lossless(work.parts.copy, (planes, *shape), part_dtype(dtype)), dtype)
            return
        work.corrections = tuple(unpack_corrections(c, shape) for c in work.parts.corrections)
        work.exact = tuple(work.parts.exact_values(band, shape, np.dtype(dtype)) for band in range(len(work.parts.planes)))
        if work.entry.bounded:
            work.values = self._bounded_values(group, work.parts, work.exact, shape)

    def _bounded_values(self, group: int, parts: TileParts, exact: tuple[np.ndarray, ...],
                        shape: tuple[int, int]) -> np.ndarray:
        """Values of a BOUNDED tile, all classes in place."""
        header, bands = self.container.header, self.container.header.groups[group].bands
        limits = allowance(header, bands)
        if limits is None:
            raise SarzFormatError("a bounded tile in a file without a bound")
        valid = np.stack([plane.array(shape) == VALID for plane in parts.planes])
        values = decode_bounded(parts.copy, valid, np.dtype(header.metadata.dtype), limits)
        return restored(parts.planes, exact, [header.metadata.nodata[band] for band in bands], values)

    def _finish(self, work: _Decoding, engine: Engine) -> None:
        work.latents = engine.coder.decode(work.decoder, work.parts.detail, work.sums, self._latent_shape(work.key),
                                           work.entry.quality)

    def _latent_shape(self, key: Key) -> tuple[int, int]:
        return self.container.header.grid.tile(*key[1:]).blocks(BLOCK).shape


def _loaded(work: _Decoding) -> LoadedTile:
    if work.damage is not None:
        return LoadedTile(work.entry, damage=work.damage)
    return LoadedTile(work.entry, work.parts.planes, work.exact, work.corrections, work.values, work.latents)


def check_classes(header: Header, group: int, entry: TileEntry, planes: Iterable[ClassPlane]) -> None:
    """Refuse classes that give a pixel no value: coded ones in an empty tile, nodata where the band has none."""
    metadata, planes = header.metadata, list(planes)
    coded = any(plane.holds(VALID) for plane in planes)
    if entry.empty and not entry.bounded and coded:
        raise SarzFormatError("an empty tile has coded pixels")
    if entry.bounded and not coded:
        raise SarzFormatError("a bounded tile has no coded pixels")
    for band, plane in zip(header.groups[group].bands, planes):
        if plane.holds(NODATA) and not representable(metadata.nodata[band], part_dtype(metadata.dtype)):
            raise SarzFormatError(f"nodata pixels in band {band + 1}, whose nodata value is {metadata.nodata[band]}")


def _check_flags(entry: TileEntry, parts: TileParts) -> None:
    if entry.empty and any(parts.coarse + parts.detail):
        raise SarzFormatError("an empty tile holds latents")
    if (entry.empty or entry.fallback) and any(parts.corrections):
        raise SarzFormatError("a tile without coded pixels has corrections of some")
    if (entry.fallback or entry.bounded) != bool(parts.copy):
        raise SarzFormatError("the copy and the flags FALLBACK and BOUNDED contradict each other")
