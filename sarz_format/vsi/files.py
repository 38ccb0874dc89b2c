"""The files behind open handles: datasets and their virtual GeoTIFFs, shared by all handles of a process."""

from __future__ import annotations

import contextvars
import threading
from collections import OrderedDict
from functools import partial
from typing import Any

from ..container import Container, open_container
from ..errors import SarzIOError
from ..reader import Dataset
from ..reader_options import DEFAULT_CACHE_BYTES
from ..virtual_tiff import TileStore, VirtualTiff
from ..virtual_tiff.tile_store import DEFAULT_BYTES
from .paths import Stamp, find

MAX_FILES = 64
"""Files kept open; beyond that those longest unused are closed, and opened again when a handle needs them."""

_Key = tuple[str, Stamp]


class Files:
    """Virtual GeoTIFFs by path and stamp. Safe from several threads.

    All files share one store of decoded tiles (`store_bytes`, 128 MiB) and one cache of tiles before synthesis
    (`cache_bytes`, 256 MiB), so memory does not grow with the number of files.
    """

    def __init__(self, limit: int = MAX_FILES, store_bytes: int = DEFAULT_BYTES,
                 cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._limit = limit
        self._open: OrderedDict[_Key, VirtualTiff] = OrderedDict()
        self._store = TileStore(store_bytes)
        self._cache_bytes = cache_bytes
        self._before_synthesis: Any = None
        self._lock = threading.Lock()

    def get(self, path: str, stamp: Stamp) -> VirtualTiff:
        """The virtual GeoTIFF of the file that had this stamp.

        Raises
        ------
        SarzIOError
            If the file is another one now.
        SarzError
            What `sarz.open` raises.
        """
        key = path, stamp
        with self._lock:
            tiff = self._open.get(key)
            if tiff is not None:
                self._open.move_to_end(key)
                return tiff
        place = find(path)
        if place is not None and place.stamp != stamp:
            raise SarzIOError(f"{path} has changed since it was opened; open it again")
        # No lock is held while a file is opened: that calls GDAL, whose own locks another thread may hold that waits for
        # this one. Of two threads that open the same file, one throws its own away.
        tiff = self._opened(path)
        with self._lock:
            tiff = self._open.setdefault(key, tiff)
            self._open.move_to_end(key)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)  # closed when no thread reads from it any more
        return tiff

    def _opened(self, path: str) -> VirtualTiff:
        dataset = Dataset(open_container(path), decoder_factory=partial(self._decoder, object()))
        # rasterio keeps errors in a context variable: a context of our own leaves those of the call that led here alone.
        return contextvars.copy_context().run(VirtualTiff, dataset, self._store)

    def _decoder(self, owner: object, container: Container, **options: Any) -> Any:
        """A decoder of one file, on the cache of all."""
        from ..decoder import WindowDecoder
        from ..tiles import TileCache

        with self._lock:
            if self._before_synthesis is None:
                self._before_synthesis = TileCache(self._cache_bytes)
        return WindowDecoder(container, cache=self._before_synthesis.part(owner), **options)
