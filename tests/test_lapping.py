"""The filter across block borders, against integers and its own inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_model import made_arrays
from plain_network import lapped

from sarz_format.codec.lapping import lap_analysis, lap_synthesis

SIDES = st.integers(1, 7).map(lambda n: 16 * n)


def pixels_and_matrix(seed: int, height: int, width: int, large: bool) -> tuple[np.ndarray, np.ndarray]:
    """Noise over all of int16, and a matrix whose rows sum to just under 2^16 in magnitude (or a mild one)."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-4095 if large else -500, 4096 if large else 500, (16, 16)).astype(np.int32)
    return rng.integers(-32768, 32768, (2, height, width)).astype(np.int16), matrix


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), SIDES, SIDES, st.booleans())
def test_both_directions_equal_integers(seed: int, height: int, width: int, large: bool) -> None:
    pixels, matrix = pixels_and_matrix(seed, height, width, large)
    forward, backward = pixels.copy(), pixels.copy()
    lap_analysis(forward, matrix)
    lap_synthesis(backward, matrix)
    for band, f, b in zip(pixels, forward, backward):
        assert np.array_equal(f, lapped(lapped(band, matrix, True), matrix, False))
        assert np.array_equal(b, lapped(lapped(band, matrix, False), matrix, True))


def test_extreme_values_do_not_wrap() -> None:
    for sign in (-1, 1):
        pixels = np.full((1, 32, 32), 32767 if sign > 0 else -32768, np.int16)
        lap_analysis(pixels, np.full((16, 16), 4095, np.int32))
        assert (pixels[0, 8:24] == (32767 if sign > 0 else -32768)).all()


def test_an_orthonormal_filter_is_undone() -> None:
    arrays = made_arrays(1, 8, 1)
    pixels = np.random.default_rng(0).integers(-9000, 9000, (1, 80, 112)).astype(np.int16)
    there = pixels.copy()
    lap_analysis(there, arrays["P"])
    assert np.abs(there - pixels).max() > 1000
    lap_synthesis(there, arrays["Q"])
    assert np.abs(there - pixels).max() <= 20


@pytest.mark.parametrize("filtered", [lap_analysis, lap_synthesis])
def test_what_lies_beyond_a_block_does_not_matter(filtered) -> None:
    """A block depends on its eight neighbours only, so one block of margin makes parts equal to the whole."""
    pixels, matrix = pixels_and_matrix(5, 128, 144, False)
    whole = pixels.copy()
    filtered(whole, matrix)
    part = pixels[:, 16:96, 32:128].copy()
    filtered(part, matrix)
    assert np.array_equal(part[:, 16:-16, 16:-16], whole[:, 32:80, 48:112])


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 16, 80), (2, 80, 16)])
def test_single_blocks_have_no_inner_border(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(1).integers(-99, 99, shape).astype(np.int16)
    matrix = np.full((16, 16), 1000, np.int32)
    out = pixels.copy()
    lap_analysis(out, matrix)
    changed = (out != pixels).any(0)
    assert not changed[:8].any() or shape[2] > 16
    assert changed.any() == (max(shape[1:]) > 16)
