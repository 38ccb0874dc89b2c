"""What a name behind ``/vsisarz/`` stands for: a .sarz, a folder, or nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..preamble import MAGIC

SUFFIX = ".sarz"

Stamp = tuple[int, int, int, int]
"""Device, inode, size and time of change (ns) of a file; zeros for a remote one."""

REMOTE: Stamp = (0, 0, 0, 0)

_SIDECARS = (".aux.xml", ".aux", ".ovr", ".msk")
"""What GDAL appends to a name to look for more files."""


@dataclass(frozen=True, slots=True)
class Place:
    """Something that is there.

    Attributes
    ----------
    path : str
        For `sarz.open`, or of the folder.
    stamp : Stamp or None
        Of a .sarz; None for a folder.
    """

    path: str
    stamp: Stamp | None

    @property
    def is_remote(self) -> bool:
        """Whether the path is a URL."""
        return self.stamp == REMOTE


def find(name: str) -> Place | None:
    """What `name` stands for; None for nothing, which goes for GDAL's looks for other files beside a .sarz too.

    A URL is taken at its word if it names a .sarz: whether it is there shows when it is opened. A relative name that does
    not exist is tried from the root: `pathlib` makes ``/vsisarz/abs/a.sarz`` of ``/vsisarz//abs/a.sarz``.
    """
    if is_url(name):
        return Place(name, REMOTE) if _names_a_sarz(name) else None
    for path in (name or os.curdir, os.sep + name):
        try:
            status = os.stat(path)
        except (OSError, ValueError):  # ValueError: a null character
            continue
        if stat.S_ISDIR(status.st_mode):
            return Place(path, None)
        if stat.S_ISREG(status.st_mode) and (path.endswith(SUFFIX) or _begins_like_one(path)):
            return Place(path, (_signed(status.st_dev), _signed(status.st_ino), status.st_size, status.st_mtime_ns))
    return None


def is_url(name: str) -> bool:
    """Whether a name is a URL, of whatever scheme."""
    return "://" in name


def names_a_sarz(name: str) -> bool:
    """Whether a name is that of a .sarz, there or not."""
    return _names_a_sarz(name) if is_url(name) else name.endswith(SUFFIX)


def listing(folder: str) -> Iterator[str]:
    """The folders and .sarz files in a folder."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir() or entry.name.endswith(SUFFIX)]
    except OSError:
        return
    yield from sorted(names)


def _names_a_sarz(url: str) -> bool:
    try:
        return urlsplit(url).path.endswith(SUFFIX) and not url.endswith(_SIDECARS)
    except ValueError:
        return False


def _begins_like_one(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _signed(value: int) -> int:
    """The lower 64 bits as a signed number."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
