"""Weights of the join: they sum to one at every pixel of any raster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarz_format.blending import ONE, Canvas, axis_weights, ramp, ramp_pixels
from sarz_format.grid import Box, TileGrid

GRIDS = st.builds(TileGrid, st.integers(1, 330), st.integers(1, 330), st.sampled_from([64, 128]))
HALVES = st.sampled_from([0, 8, 16, 24, 32])


@pytest.mark.parametrize(("overlap", "half"), [(0, 0), (16, 0), (32, 16), (48, 16), (64, 32), (128, 64)])
def test_half_of_the_overlap_is_context(overlap: int, half: int) -> None:
    assert ramp_pixels(overlap) == half


@pytest.mark.parametrize("half", [8, 16, 24, 32])
def test_the_ramp_rises_and_mirrors(half: int) -> None:
    weights = ramp(half)
    assert weights.shape == (2 * half,)
    assert (np.diff(weights) >= 0).all()
    assert (weights + weights[::-1] == ONE).all()
    exact = ONE * np.sin(np.pi / 2 * (np.arange(2 * half) + 0.5) / (2 * half)) ** 2
    assert np.abs(weights - exact).max() <= 0.5 + 1e-9


@settings(deadline=None)
@given(st.integers(1, 500), st.sampled_from([64, 128]), HALVES)
def test_weights_along_an_axis_sum_to_one(limit: int, size: int, half: int) -> None:
    total = np.zeros(limit, np.int64)
    for start in range(0, limit, size):
        stop = min(start + size, limit)
        weights = axis_weights(start, stop, half, limit)
        assert weights.min() >= 0
        total[max(0, start - half) : min(limit, stop + half)] += weights
    assert (total == ONE).all()


@settings(deadline=None, max_examples=40)
@given(GRIDS, HALVES, st.data())
def test_any_window_of_equal_tiles_is_seamless(grid: TileGrid, half: int, data: st.DataObject) -> None:
    row, col = data.draw(st.integers(0, grid.height - 1)), data.draw(st.integers(0, grid.width - 1))
    window = Box(row, col, data.draw(st.integers(row + 1, grid.height)), data.draw(st.integers(col + 1, grid.width)))
    field = np.random.default_rng(0).integers(-32768, 32768, (2, grid.height, grid.width)).astype(np.int16)
    canvas = Canvas(grid, window, 2, half)
    for position in grid.tiles_covering(window.grown(half)):
        tile = grid.tile(*position)
        canvas.add(tile, field[(slice(None), *canvas.reach(tile).slices())])
    pixels = canvas.pixels()
    assert pixels.dtype == np.int16
    assert np.array_equal(pixels, field[(slice(None), *window.slices())])


def test_different_tiles_meet_in_the_middle() -> None:
    grid = TileGrid(64, 128, 64)
    canvas = Canvas(grid, grid.raster, 1, 16)
    for col, value in ((0, 0), (1, 256)):
        tile = grid.tile(0, col)
        canvas.add(tile, np.full((1, *canvas.reach(tile).shape), value, np.int16))
    row = canvas.pixels()[0, 30]
    assert np.array_equal(row[48:80], ramp(16))
    assert not row[:48].any()
    assert (row[80:] == 256).all()
