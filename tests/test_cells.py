"""Cells of coarse latents: by the plain reader of the specification to the bit, and by the synthesis in what they mean."""

from __future__ import annotations

import numpy as np
import pytest
from made_model import made_arrays
from plain_overview import plain_cells, plain_corrected, plain_unevenness

from sarz_format.codec.block_transform import SYNTHESIS_SCALE, synthesise_blocks
from sarz_format.codec.cells import CONTEXT, CellWeights, cells, corrected, with_presence
from sarz_format.codec.lapping import lap_synthesis
from sarz_format.codec.model import IntegerModel, build_model
from sarz_format.grid import Box
from sarz_format.overview_measure import measure_correction

ROWS, COLS = 5, 6


@pytest.fixture(scope="module", params=[1, 2])
def model(request: pytest.FixtureRequest) -> IntegerModel:
    return build_model(made_arrays(request.param, 8, 1))


def latents(model: IntegerModel, seed: int, limit: int = 600) -> np.ndarray:
    return np.random.default_rng(seed).integers(-limit, limit + 1, (ROWS, COLS, 4 * model.bands)).astype(np.int16)


def of_box(model: IntegerModel, y: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
    padded = np.pad(with_presence(y), ((CONTEXT, CONTEXT), (CONTEXT, CONTEXT), (0, 0)))
    part = padded[box.row0 : box.row1 + 2 * CONTEXT, box.col0 : box.col1 + 2 * CONTEXT]
    return cells(part, CellWeights.of(model), box, Box(0, 0, ROWS, COLS))


@pytest.mark.parametrize("limit", [600, 32767])
def test_cells_are_those_of_the_specification(model: IntegerModel, limit: int) -> None:
    y = latents(model, 3, limit)
    low, unevenness = of_box(model, y, Box(0, 0, ROWS, COLS))
    expected = plain_cells(y, model.S, model.Q)
    assert np.array_equal(low, expected)
    known = np.ones(expected.shape[1:], bool)
    assert np.array_equal(unevenness, [plain_unevenness(band, known) for band in expected])


@pytest.mark.parametrize("box", [Box(0, 0, 1, 1), Box(2, 2, 3, 4), Box(4, 5, 5, 6), Box(1, 0, 5, 3)])
def test_a_part_is_a_part_of_the_whole(model: IntegerModel, box: Box) -> None:
    y = latents(model, 4)
    whole, part = of_box(model, y, Box(0, 0, ROWS, COLS)), of_box(model, y, box)
    for a, b in zip(whole, part):
        assert np.array_equal(a[(slice(None), *box.scaled(2).slices())], b)


def test_cells_are_means_of_what_the_synthesis_makes_of_them(model: IntegerModel) -> None:
    y = latents(model, 5)
    all_channels = np.zeros((ROWS, COLS, 256 * model.bands), np.int32)
    all_channels[..., model.coarse_channels] = 8 * y.astype(np.int32)
    pixels = np.empty((model.bands, 16 * ROWS, 16 * COLS), np.int16)
    synthesise_blocks(all_channels, model.S.astype(np.float64), SYNTHESIS_SCALE, pixels)
    lap_synthesis(pixels, model.Q)
    means = pixels.reshape(model.bands, 2 * ROWS, 8, 2 * COLS, 8).mean((2, 4))
    low, _ = of_box(model, y, Box(0, 0, ROWS, COLS))
    assert np.abs(low - means).max() < 1.5
    assert np.abs(low - means).mean() < 0.6


def test_neighbours_without_latents_do_not_count(model: IntegerModel) -> None:
    y = np.pad(with_presence(latents(model, 6)), ((CONTEXT, CONTEXT), (CONTEXT, CONTEXT), (0, 0)))
    y[:, CONTEXT + 3 :] = 0
    low, unevenness = cells(y, CellWeights.of(model), Box(0, 0, ROWS, COLS), Box(0, 0, ROWS, COLS))
    known = np.zeros(low.shape[1:], bool)
    known[:, :6] = True
    assert np.array_equal(unevenness, [plain_unevenness(band, known) for band in low])
    assert not unevenness[:, :, 6:].any() and unevenness[:, :, :6].any()


@pytest.mark.parametrize("bits", [0, 1, 511, 512, 1023, 1 << 10, 6 << 10 | 64, 63 << 10 | 512, 65535])
def test_corrections_are_those_of_the_specification(bits: int) -> None:
    from sarz_format.overview import unpack_correction

    rng = np.random.default_rng(bits)
    low = rng.integers(-32768, 32768, 200)
    low[:4] = -32768, 32767, 0, -1
    unevenness = rng.integers(0, 1 << 20, 200)
    unevenness[:2] = 0, 4 << 32
    correction = unpack_correction(bits)
    found = corrected(low, unevenness, correction.offset, correction.spread)
    assert found.tolist() == [plain_corrected(*pair, bits) for pair in zip(low, unevenness)]


def test_a_constant_tile_needs_no_offset() -> None:
    low, unevenness = np.full((8, 8), 300), np.zeros((8, 8), np.int64)
    found = measure_correction(low, unevenness, np.full((64, 64), 300, np.int16), np.ones((64, 64), bool))
    assert found.offset == 0 and found.spread > 0


def target_tile(level_db: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Speckle with one target of 4 x 4 pixels: pixels, low, unevenness, and what cells should be in dB."""
    rng = np.random.default_rng(2)
    pixels = np.rint(128 * 10 * np.log10(rng.gamma(4, 1 / 4, (64, 64)))).astype(np.int16)
    pixels[26:30, 26:30] = 128 * level_db
    low = pixels.reshape(8, 8, 8, 8).mean((1, 3)).astype(int)
    wanted = 10 * np.log10(np.mean(10 ** (pixels.reshape(8, 8, 8, 8) / 1280), axis=(1, 3)))
    return pixels, low, np.asarray(plain_unevenness(low, np.ones((8, 8), bool))), wanted


@pytest.mark.parametrize("level_db", [10, 20, 30, 40, 80])
def test_a_bright_target_does_not_raise_all_cells(level_db: int) -> None:
    pixels, low, unevenness, wanted = target_tile(level_db)
    found = measure_correction(low, unevenness, pixels, np.ones((64, 64), bool))
    cells_db = corrected(low, unevenness, found.offset, found.spread) / 128
    error = cells_db - wanted
    bias = 10 * np.log10(np.mean(10 ** (cells_db / 10)) / np.mean(10 ** (wanted / 10)))
    assert np.abs(np.delete(error, 3 * 8 + 3)).mean() < 1.6, "cells without the target, whose mean is up to 70 dB lower"
    assert abs(bias) < 0.02 if level_db <= 30 else bias < 0.02
