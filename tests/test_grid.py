"""Boxes and the tile grid: integers only, against sets of pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarz_format.grid import BLOCK, Box, TileGrid

COORDINATES = st.integers(-40, 40)
BOXES = st.builds(lambda r, c, h, w: Box(r, c, r + h, c + w), COORDINATES, COORDINATES, st.integers(0, 30),
                  st.integers(0, 30))
GRIDS = st.builds(TileGrid, st.integers(1, 700), st.integers(1, 700), st.integers(1, 6).map(lambda n: 64 * n))


def pixels_of(box: Box) -> set[tuple[int, int]]:
    return {(r, c) for r in range(box.row0, box.row1) for c in range(box.col0, box.col1)}


@settings(deadline=None)
@given(BOXES, BOXES)
def test_intersection_holds_the_common_pixels(a: Box, b: Box) -> None:
    assert pixels_of(a.intersection(b)) == pixels_of(a) & pixels_of(b)
    assert a.intersection(b).empty == (not pixels_of(a) & pixels_of(b))


@settings(deadline=None)
@given(BOXES, st.integers(0, 20))
def test_growing_by_a_margin(box: Box, margin: int) -> None:
    grown = box.grown(margin)
    assert grown.shape == (box.shape[0] + 2 * margin, box.shape[1] + 2 * margin)
    assert grown.grown(-margin) == box
    assert grown.intersection(box) == box


@settings(deadline=None)
@given(BOXES.filter(lambda box: not box.empty), st.integers(1, 20))
def test_blocks_cover_and_no_more(box: Box, size: int) -> None:
    cover = box.blocks(size)
    pixels = cover.scaled(size)
    assert pixels.intersection(box) == box
    assert box.row0 - pixels.row0 < size and pixels.row1 - box.row1 < size
    assert box.col0 - pixels.col0 < size and pixels.col1 - box.col1 < size


@settings(deadline=None)
@given(BOXES, st.integers(1, 9))
def test_scaling_and_blocks_are_inverse(box: Box, size: int) -> None:
    assert box.scaled(size).blocks(size) == box


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 10), st.integers(1, 10), st.integers(0, 9))
def test_slices_are_relative_to_an_origin(row: int, col: int, height: int, width: int, margin: int) -> None:
    field = np.arange(60 * 60).reshape(60, 60)
    box = Box(row + 10, col + 10, row + 10 + height, col + 10 + width)
    outer = box.grown(margin)
    assert np.array_equal(field[outer.slices()][box.slices(outer)], field[box.slices()])
    assert field[box.slices()].shape == box.shape


@settings(deadline=None)
@given(GRIDS)
def test_tiles_part_the_raster(grid: TileGrid) -> None:
    seen = np.zeros((grid.height, grid.width), np.uint8)
    latents = np.zeros(grid.latents.shape, np.uint8)
    for row in range(grid.rows):
        for col in range(grid.cols):
            tile = grid.tile(row, col)
            assert not tile.empty
            seen[tile.slices()] += 1
            latents[grid.tile_latents(row, col).slices()] += 1
    assert (seen == 1).all()
    assert (latents == 1).all()
    assert latents.size == -(-grid.height // BLOCK) * -(-grid.width // BLOCK)


@settings(deadline=None)
@given(GRIDS, st.data())
def test_tiles_covering_a_box_are_those_that_meet_it(grid: TileGrid, data: st.DataObject) -> None:
    row, col = data.draw(st.integers(-50, grid.height + 20)), data.draw(st.integers(-50, grid.width + 20))
    box = Box(row, col, row + data.draw(st.integers(0, 300)), col + data.draw(st.integers(0, 300)))
    expected = [(r, c) for r in range(grid.rows) for c in range(grid.cols)
                if not grid.tile(r, c).intersection(box).empty]
    assert list(grid.tiles_covering(box)) == expected


def test_a_known_grid() -> None:
    grid = TileGrid(100, 513, 512)
    assert (grid.rows, grid.cols) == (1, 2)
    assert grid.tile(0, 1) == Box(0, 512, 100, 513)
    assert grid.tile_latents(0, 1) == Box(0, 32, 7, 33)
    assert grid.latents == Box(0, 0, 7, 33)
    assert list(grid.tiles_covering(Box(0, 511, 1, 513))) == [(0, 0), (0, 1)]


@pytest.mark.parametrize("box", [Box(0, 0, 0, 5), Box(3, 3, 2, 5), Box(200, 0, 201, 5)])
def test_nothing_covers_nothing(box: Box) -> None:
    assert list(TileGrid(100, 100, 64).tiles_covering(box)) == []
