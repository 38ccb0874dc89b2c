"""Decoded tiles as bytes: least recently used ones go first, and no two threads decode the same one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future

Planes = tuple[bytes, ...]
"""What is decoded together: a tile with all bands, or a tile of each band of a group."""

DEFAULT_BYTES = 128 << 20

_Decode = Callable[[Sequence[Hashable]], Mapping[Hashable, Planes]]


class TileStore:
    """Decoded tiles of one or more files, up to `limit_bytes` in all. Safe from several threads."""

    def __init__(self, limit_bytes: int = DEFAULT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._kept: OrderedDict[Hashable, Planes] = OrderedDict()
        self._size = 0
        self._underway: dict[Hashable, Future[Planes | None]] = {}
        self._lock = threading.Lock()

    def fetch(self, keys: Sequence[Hashable], decode: _Decode) -> dict[Hashable, Planes]:
        """The tiles of `keys`: kept ones, those that another thread is at, and the rest from one call of `decode`."""
        found: dict[Hashable, Planes] = {}
        missing = list(keys)
        while missing:
            ours, theirs = self._claim(missing, found)
            if ours:
                found |= self._decode(ours, decode)
            results = {key: future.result() for key, future in theirs.items()}
            found |= {key: planes for key, planes in results.items() if planes is not None}
            missing = [key for key, planes in results.items() if planes is None]  # the other thread failed: try here
        return found

    def _claim(
        self, keys: Sequence[Hashable], found: dict[Hashable, Planes]
    ) -> tuple[list[Hashable], dict[Hashable, Future[Planes | None]]]:
        """Keys that this thread must decode, and those that others do; kept tiles are put into `found`."""
        ours, theirs = [], {}
        with self._lock:
            for key in keys:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found[key] = self._kept[key]
                elif key in self._underway:
                    theirs[key] = self._underway[key]
                else:
                    self._underway[key] = Future()
                    ours.append(key)
        return ours, theirs

    def _decode(self, keys: Sequence[Hashable], decode: _Decode) -> Mapping[Hashable, Planes]:
        decoded: Mapping[Hashable, Planes] = {}
        try:
            decoded = decode(keys)
        finally:
            with self._lock:
                for key, planes in decoded.items():
                    self._keep(key, planes)
                futures = {key: self._underway.pop(key) for key in keys}
            for key, future in futures.items():
                future.set_result(decoded.get(key))
        return decoded

    def _keep(self, key: Hashable, planes: Planes) -> None:
        self._kept[key] = planes
        self._size += sum(map(len, planes))
        while self._size > self.limit_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._size -= sum(map(len, dropped))
