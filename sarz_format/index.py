"""The tile index: where each tile's two parts lie, their checksums, and what kind of tile it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import SarzFormatError
from .grid import TileGrid
from .quality import MAX_QUALITY

EMPTY = 1
"""Flag: no pixel of the tile goes through the model, so it has no latents (they are zero)."""

FALLBACK = 2
"""Flag: the detail part carries a lossless copy."""

BOUNDED = 4
"""Flag: the detail part carries VALID pixels within the file's bound. The tile is EMPTY and not FALLBACK."""

KNOWN_FLAGS = EMPTY | FALLBACK | BOUNDED
"""All others are reserved, and zero."""

ENTRY_DTYPE = np.dtype([
    ("coarse_offset", "<u8"), ("detail_offset", "<u8"),
    ("coarse_length", "<u4"), ("detail_length", "<u4"),
    ("coarse_crc", "<u4"), ("detail_crc", "<u4"),
    ("flags", "u1"), ("quality", "u1"), ("reserved", "<u2"), ("overview", "<u2", 2),
])  # fmt: skip

ENTRY_BYTES = ENTRY_DTYPE.itemsize
"""Bytes of one entry in a file."""

MAX_TILES = 2**24
"""The most entries a file may have: 671 MB of index, or 4 * 10**12 pixels in tiles of 512."""


@dataclass(frozen=True, slots=True)
class TileEntry:
    """One line of the index. Offsets are absolute, in bytes."""

    tile_row: int
    tile_col: int
    group: int
    coarse_offset: int
    detail_offset: int
    coarse_length: int
    detail_length: int
    coarse_crc: int
    detail_crc: int
    flags: int
    quality: int
    overview: tuple[int, int] = (0, 0)
    """How the overview of each band of the group is corrected (overview.unpack_correction); 0 where it is not known."""

    @property
    def empty(self) -> bool:
        """Whether the tile has no latents."""
        return bool(self.flags & EMPTY)

    @property
    def fallback(self) -> bool:
        """Whether the tile is stored losslessly."""
        return bool(self.flags & FALLBACK)

    @property
    def bounded(self) -> bool:
        """Whether the tile has pixels within a bound."""
        return bool(self.flags & BOUNDED)


@dataclass(frozen=True, slots=True)
class TileIndex:
    """All entries, ordered by tile row, tile column and band group (the group runs fastest)."""

    grid: TileGrid
    groups: int
    """Band groups."""
    entries: np.ndarray
    """(rows * cols * groups,) of ENTRY_DTYPE."""

    def __len__(self) -> int:
        return len(self.entries)

    def number(self, tile_row: int, tile_col: int, group: int) -> int:
        """Position of an entry in the index."""
        if not (0 <= tile_row < self.grid.rows and 0 <= tile_col < self.grid.cols and 0 <= group < self.groups):
            raise IndexError(f"no tile row {tile_row}, column {tile_col}, band group {group} in {self.grid}")
        return (tile_row * self.grid.cols + tile_col) * self.groups + group

    def position(self, number: int) -> tuple[int, int, int]:
        """``(tile_row, tile_col, group)`` of the entry at `number`."""
        tile, group = divmod(number, self.groups)
        return *divmod(tile, self.grid.cols), group

    def entry(self, tile_row: int, tile_col: int, group: int) -> TileEntry:
        """The entry of a tile."""
        return self[self.number(tile_row, tile_col, group)]

    def __getitem__(self, number: int) -> TileEntry:
        *fields, _, overview = self.entries[number].item()
        return TileEntry(*self.position(number), *fields, tuple(overview.tolist()))

    def pack(self) -> bytes:
        """The index section of a file."""
        return self.entries.tobytes()


def empty_entries(count: int) -> np.ndarray:
    """An array of `count` entries, all zero, to be filled in."""
    return np.zeros(count, ENTRY_DTYPE)


def checked_tile_count(grid: TileGrid, groups: int) -> int:
    """Entries that a raster of this grid and number of band groups has; SarzFormatError if over MAX_TILES."""
    count = grid.rows * grid.cols * groups
    if count > MAX_TILES:
        raise SarzFormatError(f"{count} tiles are more than the {MAX_TILES} a file may have; use larger tiles")
    return count


def check_kinds(index: TileIndex, *, lossless: bool, bounded: bool) -> None:
    """Raise SarzFormatError, which names the tile, for a kind of tile that the header rules out.

    All are EMPTY and FALLBACK in a lossless file; EMPTY, and not both FALLBACK and BOUNDED, in one with a bound; and none
    is BOUNDED in any other.
    """
    flags = index.entries["flags"]
    if lossless:
        _require(index, flags == EMPTY | FALLBACK, "the header says lossless, expected flags EMPTY and FALLBACK")
    elif bounded:
        _require(index, np.isin(flags, (EMPTY, EMPTY | FALLBACK, EMPTY | BOUNDED)),
                 "the header has a bound, expected flag EMPTY, alone or with FALLBACK or BOUNDED")
    else:
        _require(index, flags & BOUNDED == 0, "flag BOUNDED is set, but the header has no bound")


def check_overviews(index: TileIndex, bands: Sequence[int]) -> None:
    """Raise SarzFormatError, which names the tile, if a group of one band has a correction for a second; `bands` are how many
    each group has."""
    second = index.entries["overview"][:, 1] == 0
    _require(index, second | (np.resize(bands, len(index)) == 2), "an overview's correction of a band that is not there")


def unpack_index(
    data: bytes, grid: TileGrid, groups: int, coarse_section: tuple[int, int], detail_section: tuple[int, int]
) -> TileIndex:
    """Read an index section. The sections are ``(offset, length)`` in bytes, absolute.

    Raises
    ------
    SarzFormatError
        If its length is wrong, reserved bits are set, or the parts do not fill their section in order.
    """
    count = checked_tile_count(grid, groups)
    if len(data) != count * ENTRY_BYTES:
        raise SarzFormatError(f"index has {len(data)} bytes, expected {count * ENTRY_BYTES} for {count} tiles")
    entries = np.frombuffer(data, ENTRY_DTYPE)
    index = TileIndex(grid, groups, entries)
    _require(index, entries["reserved"] == 0, "reserved bits are set")
    plain = entries["flags"] == 0
    _require(index, plain | (entries["overview"] == 0).all(1), "an overview's correction in a tile without one")
    _require(index, entries["flags"] & ~np.uint8(KNOWN_FLAGS) == 0, "unknown flags are set")
    _require(index, entries["quality"] <= MAX_QUALITY, f"quality is over {MAX_QUALITY}")
    _check_section(index, "coarse", coarse_section)
    _check_section(index, "detail", detail_section)
    return index


def _check_section(index: TileIndex, part: str, section: tuple[int, int]) -> None:
    """Check that the parts lie one after the other and fill the section."""
    offset, length = section
    ends = np.cumsum(index.entries[f"{part}_length"], dtype=np.uint64)
    total = int(ends[-1]) if len(ends) else 0
    if total != length:
        raise SarzFormatError(f"{part} parts have {total} bytes together, but their section has {length}")
    starts = ends - index.entries[f"{part}_length"] + np.uint64(offset)
    _require(index, index.entries[f"{part}_offset"] == starts, f"{part} part does not follow the one before")


def _require(index: TileIndex, good: np.ndarray, problem: str) -> None:
    if not good.all():
        row, col, group = index.position(int(np.argmin(good)))
        raise SarzFormatError(f"index entry of tile row {row}, column {col}, band group {group}: {problem}")
