"""Reals packed as text: every bit comes back, whatever they are."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarz_format.errors import SarzFormatError
from sarz_format.packed_reals import pack_reals, unpack_reals


def bits_of(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


@given(st.lists(st.floats(), max_size=40), st.integers(0, 9))
def test_any_reals_come_back(values: list[float], width: int) -> None:
    assert bits_of(unpack_reals(pack_reals(values, width), len(values))) == bits_of(values)


def test_a_smooth_grid_takes_few_bits() -> None:
    rows, cols = np.mgrid[:10, :21]
    values = (11.0 + 0.05 * cols + 0.01 * rows + 1e-5 * rows * cols**2).ravel().tolist()
    assert len(pack_reals(values, 21)) < len(pack_reals(values, 0)) < 8 * 210 * 4 // 3
    assert pack_reals(values, 21).startswith("21:")


def test_the_text_to_the_bit() -> None:
    """1.0 is 1023 x 2^52, folded 2046 x 2^52: 63 bits. 1.0 again: nothing. The next double: 1, folded 2, two bits."""
    assert pack_reals([1.0, 1.0, 1.0 + 2**-52], 0) == "0:f/8AAAAAAAAAAEA="
    assert unpack_reals("0:f/8AAAAAAAAAAEA=", 3) == [1.0, 1.0, 1.0 + 2**-52]


@pytest.mark.parametrize("text", ["", "0", "0:", "00:AAAA", "-1:AAAA", "0:AAA", "0:A===", "0:AA=A", "0:gQ==", "0://///////////////w==",
                                  "99999999:AAAA", "0:AAAA\n", " 0:AAAA"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(SarzFormatError):
        unpack_reals(text, 8)
