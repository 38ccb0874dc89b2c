"""The tile index: 40 bytes an entry, parts in order and without gaps."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarz_format.errors import SarzFormatError
from sarz_format.grid import TileGrid
from sarz_format.index import EMPTY, ENTRY_BYTES, FALLBACK, TileIndex, checked_tile_count, empty_entries, unpack_index

GRID = TileGrid(130, 100, 64)  # 3 x 2 tiles
GROUPS = 2
COARSE, DETAIL = (9000, 78), (1000, 66)


def entries() -> np.ndarray:
    """Twelve entries: coarse parts of 1, 2, ... 12 bytes at 9000, detail parts of 0, 1, ... 11 bytes at 1000."""
    made = empty_entries(12)
    made["coarse_length"], made["detail_length"] = np.arange(1, 13), np.arange(12)
    made["coarse_offset"] = 9000 + np.concatenate([[0], np.cumsum(made["coarse_length"])[:-1]])
    made["detail_offset"] = 1000 + np.concatenate([[0], np.cumsum(made["detail_length"])[:-1]])
    made["flags"] = np.arange(12) % 4
    made["quality"] = 50
    return made


def unpack(made: np.ndarray) -> TileIndex:
    return unpack_index(made.tobytes(), GRID, GROUPS, COARSE, DETAIL)


def test_entry_is_40_bytes_in_the_order_of_the_specification() -> None:
    made = empty_entries(1)
    made[0] = (0x0807060504030201, 2, 3, 4, 5, 6, 7, 8, 0, 0)
    expected = "0102030405060708 0200000000000000 03000000 04000000 05000000 06000000 07 08 0000 00000000"
    assert made.tobytes().hex() == expected.replace(" ", "")
    assert ENTRY_BYTES == 40


def test_round_trip() -> None:
    index = unpack(entries())
    assert index.pack() == entries().tobytes()
    assert len(index) == 12
    entry = index.entry(2, 1, 0)
    assert (entry.tile_row, entry.tile_col, entry.group) == (2, 1, 0)
    assert (entry.coarse_length, entry.detail_length, entry.detail_offset, entry.quality) == (11, 10, 1045, 50)
    assert (entry.flags, entry.empty, entry.fallback) == (FALLBACK, False, True)
    assert index.entry(0, 0, 1).flags == EMPTY
    assert index.entry(0, 0, 1).empty


@settings(deadline=None)
@given(st.integers(0, 11))
def test_number_and_position_are_inverse(number: int) -> None:
    index = unpack(entries())
    assert index.number(*index.position(number)) == number


@pytest.mark.parametrize("position", [(3, 0, 0), (0, 2, 0), (0, 0, 2), (-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_no_such_tile(position: tuple[int, int, int]) -> None:
    with pytest.raises(IndexError, match="no tile row"):
        unpack(entries()).entry(*position)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("flags", 8, "unknown flags"),
        ("flags", 128, "unknown flags"),
        ("quality", 101, "quality"),
        ("reserved", 1, "reserved"),
        ("overview", (0, 1), "an overview's correction in a tile without one"),
        ("coarse_offset", 8999, "coarse part does not follow"),
        ("detail_offset", 2**64 - 1, "detail part does not follow"),
        ("detail_length", 2**32 - 1, "detail parts have"),
        ("coarse_length", 0, "coarse parts have"),
    ],
)
def test_bad_entries_are_refused_and_named(field: str, value: int, message: str) -> None:
    made = entries()
    made[field][7] = value
    with pytest.raises(SarzFormatError, match=message) as caught:
        unpack(made)
    if "parts have" not in message:
        assert "tile row 1, column 1, band group 1" in str(caught.value)


def test_gap_between_parts_is_refused() -> None:
    made = entries()
    made["detail_offset"][6:] += 1
    with pytest.raises(SarzFormatError, match="tile row 1, column 1, band group 0"):
        unpack(made)


@pytest.mark.parametrize("length", [0, 479, 481, 520])
def test_wrong_length(length: int) -> None:
    with pytest.raises(SarzFormatError, match="expected 480 for 12 tiles"):
        unpack_index(bytes(length), GRID, GROUPS, COARSE, DETAIL)


def test_too_many_tiles() -> None:
    with pytest.raises(SarzFormatError, match="use larger tiles"):
        checked_tile_count(TileGrid(2**31 - 1, 2**31 - 1, 64), 1)


@settings(deadline=None)
@given(st.integers(0, 479), st.integers(1, 255))
def test_changed_bytes_are_read_or_refused(position: int, change: int) -> None:
    data = bytearray(entries().tobytes())
    data[position] ^= change
    with contextlib.suppress(SarzFormatError):
        assert unpack_index(bytes(data), GRID, GROUPS, COARSE, DETAIL).pack() == data
