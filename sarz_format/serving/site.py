"""What is served: which .sarz file a URL's path stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from ..errors import SarzFileNotFoundError
from ..virtual_tiff import VirtualTiff
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
        """Of the virtual GeoTIFF: another one when the .sarz changes."""
        return '"' + hashlib.sha256(repr((self.path, self.stamp)).encode()).hexdigest()[:32] + '"'

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
    that lead out of the folder, are not served.

    Raises
    ------
    SarzFileNotFoundError
        If there is neither.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        self._files = Files()
        self._only = None if self.root.is_dir() else self.root.name
        if self._only is not None:
            if not self.root.is_file():
                raise SarzFileNotFoundError(f"{root}: expected a .sarz file or a folder of them")
            self.root = self.root.parent

    def paths(self) -> Iterator[str]:
        """Paths of URLs, percent-encoded, of all that is served, in order."""
        if self._only is not None:
            yield "/" + quote(self._only.removesuffix(SUFFIX) + TIFF)
            return
        for path in sorted(self.root.rglob(f"*{SUFFIX}")):
            relative = path.relative_to(self.root)
            if self._served(path, relative.parts):
                yield "/" + quote(relative.as_posix().removesuffix(SUFFIX) + TIFF)

    def find(self, url_path: str) -> Entry | None:
        """The file at a path of a URL, percent-encoded; None if nothing is served there."""
        parts = tuple(unquote(url_path, errors="surrogateescape").removeprefix("/").split("/"))
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
        return resolved.is_relative_to(self.root) and resolved.is_file()

    def _entry(self, path: Path) -> Entry | None:
        place = find(str(path))
        return None if place is None or place.stamp is None else Entry(str(path), place.stamp, self._files)
