"""What is served: which .sarz file a URL's path stands for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import rasterio

from ..container import open_container
from ..errors import SarzFileNotFoundError, SarzIOError
from ..reader_options import DEFAULT_CACHE_BYTES
from ..version import __version__
from ..virtual_tiff import VirtualTiff
from ..virtual_tiff.tile_store import DEFAULT_BYTES
from ..vsi.files import Files
from ..vsi.paths import SUFFIX, Stamp, find

TIFF = ".tif"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that is served, as it was when it was looked for."""

    path: str
    stamp: Stamp
    files: Files

    @property
    def etag(self) -> str:
        """Of the virtual GeoTIFF: another one when the .sarz changes, or what lays out the GeoTIFF: GDAL or this package."""
        state = repr((self.path, self.stamp, __version__, rasterio.__gdal_version__))
        return '"' + hashlib.sha256(state.encode()).hexdigest()[:32] + '"'

    @property
    def changed(self) -> float:
        """When the .sarz was last changed, in seconds since 1970."""
        return self.stamp[3] / 1e9

    def open(self) -> VirtualTiff:
        """The virtual GeoTIFF; raises SarzError."""
        return self.files.get(self.path, self.stamp)


class Site:
    """A .sarz file, or all in a folder and its subfolders.

    ``scene.sarz`` is at ``/scene.tif``, ``north/scene.sarz`` at ``/north/scene.tif``. Hidden files and folders, and links
    that lead out of the folder or to such files, are not served.

    Parameters
    ----------
    root : path
        A single file is opened to see whether it is a .sarz.
    cache_bytes : int
        The most memory for tiles: a third for decoded ones, the rest for tiles before synthesis.

    Raises
    ------
    SarzFileNotFoundError
        If there is neither.
    SarzIOError
        If the name of a file does not end in .sarz.
    SarzError
        What opening a .sarz raises.
    """

    def __init__(self, root: str | Path, cache_bytes: int = DEFAULT_BYTES + DEFAULT_CACHE_BYTES) -> None:
        self.root = Path(root).resolve()
        self._files = Files(store_bytes=cache_bytes // 3, cache_bytes=cache_bytes - cache_bytes // 3)
        self._only = None if self.root.is_dir() else self.root.name
        if self._only is not None:
            if not self.root.is_file():
                raise SarzFileNotFoundError(f"{root}: expected a .sarz file or a folder of them")
            if self.root.suffix != SUFFIX:
                raise SarzIOError(f"{root}: expected a name that ends in {SUFFIX}, or a folder; rio sarcodec compress writes such files")
            open_container(self.root).close()
            self.root = self.root.parent

    def paths(self) -> Iterator[str]:
        """Paths of URLs, percent-encoded, of all that is served, in order."""
        if self._only is not None:
            yield _url_path(self._only)
            return
        for path in sorted(self.root.rglob(f"*{SUFFIX}")):
            relative = path.relative_to(self.root)
            if self._served(path, relative.parts):
                yield _url_path(relative.as_posix())

    def find(self, url_path: str) -> Entry | None:
        """The file at a path of a URL, percent-encoded; None if nothing is served there."""
        parts = tuple(os.fsdecode(unquote_to_bytes(url_path)).removeprefix("/").split("/"))
        name = parts[-1]
        if not name.endswith(TIFF):
            return None
        if self._only is not None:
            if parts != (self._only.removesuffix(SUFFIX) + TIFF,):
                return None
            return self._entry(self.root / self._only)
        relative = (*parts[:-1], name.removesuffix(TIFF) + SUFFIX)
        path = self.root.joinpath(*relative)
        return self._entry(path) if self._served(path, relative) else None

    def _served(self, path: Path, parts: tuple[str, ...]) -> bool:
        """Whether a file of the folder may be seen: `parts` are names, none of them special, and it lies in the folder."""
        if any(not part or part.startswith(".") or set(part) & set('/\\\0') for part in parts):
            return False
        try:
            resolved = path.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # not there; a null character; links in a ring
            return False
        if not resolved.is_relative_to(self.root) or not resolved.is_file():
            return False
        return not any(part.startswith(".") for part in resolved.relative_to(self.root).parts)  # where a link leads, too

    def _entry(self, path: Path) -> Entry | None:
        place = find(str(path))
        return None if place is None or place.stamp is None else Entry(str(path), place.stamp, self._files)


def _url_path(relative: str) -> str:
    """The path of the URL of a .sarz, from its path in the folder, which need not be UTF-8."""
    return "/" + quote(os.fsencode(relative.removesuffix(SUFFIX) + TIFF))
