"""What invalid pixels are filled with."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarz_format.filling import fill_invalid

SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 40), st.integers(1, 40))


@settings(deadline=None)
@given(SHAPES, st.data())
def test_valid_pixels_stay_and_the_rest_lies_between_them(shape: tuple[int, int, int], data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    pixels = rng.integers(-32768, 32768, shape).astype(np.int16)
    valid = data.draw(hnp.arrays(bool, shape)) if rng.random() < 0.5 else rng.random(shape) < 0.02
    before = pixels.copy()
    fill_invalid(pixels, valid)
    assert np.array_equal(pixels[valid], before[valid])
    if valid.any():
        assert pixels[~valid].min(initial=0) >= min(0, before[valid].min())
        assert pixels[~valid].max(initial=0) <= max(0, before[valid].max())
    else:
        assert not pixels.any()


@settings(deadline=None)
@given(SHAPES, st.integers(0, 1000), st.integers(-32768, 32767))
def test_a_constant_is_continued(shape: tuple[int, int, int], seed: int, constant: int) -> None:
    rng = np.random.default_rng(seed)
    valid = rng.random(shape) < 0.1
    valid[:, 0, 0] = True
    pixels = np.where(valid, constant, rng.integers(-32768, 32768, shape)).astype(np.int16)
    fill_invalid(pixels, valid)
    assert (pixels == constant).all()


def test_the_other_band_is_borrowed() -> None:
    pixels = np.arange(128, dtype=np.int16).reshape(2, 8, 8)
    valid = np.ones((2, 8, 8), bool)
    valid[0, 2, 3] = valid[1, 5, :] = False
    expected = pixels.copy()
    expected[0, 2, 3] = pixels[1, 2, 3]
    expected[1, 5] = pixels[0, 5]
    fill_invalid(pixels, valid)
    assert np.array_equal(pixels, expected)


def test_block_means_then_coarser_ones() -> None:
    pixels = np.zeros((1, 32, 32), np.int16)
    valid = np.zeros(pixels.shape, bool)
    pixels[0, 0, 0], pixels[0, 1, 1], pixels[0, 0, 8] = 100, 200, 400
    valid[0, 0, 0] = valid[0, 1, 1] = valid[0, 0, 8] = True
    fill_invalid(pixels, valid)
    assert pixels[0, 7, 7] == 150
    assert pixels[0, 7, 15] == 400
    assert pixels[0, 8, 8] == round((100 + 200 + 400) / 3)
    assert pixels[0, 31, 31] == round((100 + 200 + 400) / 3)


def test_a_band_without_any_valid_pixel_is_the_offset() -> None:
    pixels = np.full((2, 9, 9), 77, np.int16)
    valid = np.zeros(pixels.shape, bool)
    fill_invalid(pixels, valid)
    assert not pixels.any()


def test_one_band_valid_and_the_other_not() -> None:
    pixels = np.full((2, 9, 9), 77, np.int16)
    pixels[1] = -5
    valid = np.zeros(pixels.shape, bool)
    valid[0] = True
    fill_invalid(pixels, valid)
    assert (pixels == 77).all()
