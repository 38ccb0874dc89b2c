"""Which overviews there are, how they are averaged, and what corrects them: no files, no models."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarz_format.averaging import BandMean, halved, reduced
from sarz_format.grid import Box
from sarz_format.overview import (
    LARGEST_OFFSET,
    LARGEST_SPREAD,
    UNKNOWN,
    Correction,
    best_factor,
    overview_box,
    overview_factors,
    unpack_correction,
)
from sarz_format.radiometry import BandRadiometry


@pytest.mark.parametrize(("shape", "factors"), [
    ((16700, 25000), [2, 4, 8, 16, 32, 64, 128]), ((512, 512), [2]), ((513, 9999), [2]), ((1026, 9999), [2, 4]), ((256, 4000), []), ((1, 1), []),
])  # fmt: skip
def test_factors(shape: tuple[int, int], factors: list[int]) -> None:
    assert overview_factors(*shape) == factors
    if factors:
        assert min(shape) // factors[-1] <= 256 < min(shape) // (factors[-1] // 2)


@given(height=st.integers(1, 9999), width=st.integers(1, 9999), level=st.integers(1, 12))
def test_sizes_are_rounded_up(height: int, width: int, level: int) -> None:
    assert overview_box(height, width, 1 << level).shape == (math.ceil(height / 2**level), math.ceil(width / 2**level))


@pytest.mark.parametrize(("shape", "nearest", "factor"), [
    ((1000, 1000), True, 1), ((1100, 1000), True, 1), ((600, 600), True, 2), ((600, 600), False, 1), ((500, 500), False, 2),
    ((130, 130), True, 8), ((130, 130), False, 4), ((125, 125), False, 8), ((1, 100), True, 8), ((125, 1000), True, 1),
    ((1, 1), True, 8), ((2000, 500), False, 1),
])  # fmt: skip
def test_the_overview_for_a_read(shape: tuple[int, int], nearest: bool, factor: int) -> None:
    assert best_factor(Box(0, 0, 1000, 1000), [2, 4, 8], (1000, 1000), shape, nearest, None) == factor


@given(offset=st.integers(-LARGEST_OFFSET - 1, LARGEST_OFFSET), spread=st.integers(1, LARGEST_SPREAD))
def test_corrections_are_sixteen_bits(offset: int, spread: int) -> None:
    bits = Correction(offset, spread).pack()
    assert 0 < bits < 1 << 16
    assert unpack_correction(bits) == Correction(offset, spread)


def test_no_correction_is_unknown() -> None:
    assert unpack_correction(0) == UNKNOWN == Correction(64, 6)


def mean_of(dtype: str, scale: str, *, offset: int = 0, gain: float = 1.0, nodata: float | None = None,
            backscatter: bool = True) -> BandMean:
    return BandMean(BandRadiometry(np.dtype(dtype), scale, offset, gain, 0.0, nodata), backscatter)


def averaged(mean: BandMean, values: list[float]) -> float:
    """The average of up to four values."""
    array = np.array(values, mean.radiometry.dtype).reshape(-1, 2)
    count, total = (halved(a) for a in mean.counted(array))
    return mean.values(count, total)[0, 0].item()


@pytest.mark.parametrize(("mean", "values", "expected"), [
    (mean_of("uint16", "amplitude"), [30, 40], round(math.sqrt((900 + 1600) / 2))),
    (mean_of("uint16", "amplitude", nodata=0), [30, 0], 30),
    (mean_of("uint16", "amplitude"), [30, 0], round(30 / math.sqrt(2))),  # 0 is no nodata: it is no power.
    (mean_of("uint16", "amplitude"), [0, 0], 0),
    (mean_of("uint16", "amplitude", nodata=35), [30, 40], 36),  # rounds to 35, which steps aside
    (mean_of("uint16", "amplitude", nodata=7), [7, 7], 7),
    (mean_of("float32", "intensity"), [0.25, 0.75], 0.5),
    (mean_of("float32", "intensity", nodata=math.nan), [0.25, math.nan], 0.25),
    (mean_of("float32", "intensity"), [0.25, math.inf], 0.25),
    (mean_of("float32", "intensity"), [0.25, -5.0], 0.25),  # a negative number is no power
    (mean_of("float32", "intensity"), [0.25, 1e30], 0.25),  # nor is a fill value
    (mean_of("float32", "intensity"), [-5.0, -5.0], 0.0),
    (mean_of("float32", "db"), [0.0, 10.0], round(128 * 10 * math.log10(5.5)) / 128),
    (mean_of("float32", "db", offset=-15), [-20.0, -20.0], -20.0),
    (mean_of("float32", "db", nodata=-99), [-20.0, -99.0], -20.0),
    (mean_of("float32", "db"), [-20.0, -9999.0], -20.0),
    (mean_of("int16", "db", gain=0.01), [-2000, -1000], round(100 * round(128 * 10 * math.log10(0.055)) / 128)),
    (mean_of("float32", "db", backscatter=False), [30.0, 40.0], 35.0),
    (mean_of("float32", "amplitude", backscatter=False), [-30.0, -40.0], -35.0),
    (mean_of("uint8", "amplitude", backscatter=False), [0, 255], 128),
])  # fmt: skip
def test_means(mean: BandMean, values: list[float], expected: float) -> None:
    assert averaged(mean, values) == expected


@given(scale=st.sampled_from(["amplitude", "intensity", "db"]), offset=st.integers(-60, 60), pixel=st.integers(-20000, 20000))
def test_the_mean_of_one_pixel_is_that_pixel(scale: str, offset: int, pixel: int) -> None:
    mean = mean_of("float64", scale, offset=offset)
    value = mean.radiometry.value_table[pixel & 0xFFFF]
    assert averaged(mean, [value, value]) == pytest.approx(value, rel=1e-12)
    values = mean.values(np.ones(1), mean.powers[[pixel & 0xFFFF]])
    assert values[0] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
@pytest.mark.parametrize("scale", ["amplitude", "intensity", "db"])
def test_no_mean_is_nodata_or_zero(dtype: str, scale: str) -> None:
    mean = mean_of(dtype, scale, offset=20, nodata=20)
    rng = np.random.default_rng(0)
    power = 10 ** rng.uniform(-3, 5, 20000)
    values = mean.values(np.ones(power.size), power)
    assert not (values == 20).any() and (scale == "db" or (values > 0).all())


def test_sums_do_not_depend_on_where_a_window_begins() -> None:
    rng = np.random.default_rng(1)
    sums = 10 ** rng.uniform(-20, 20, (2, 61, 75))
    whole = reduced(sums, 8)
    assert whole.shape == (2, 8, 10)
    assert np.array_equal(reduced(sums[:, 16:, 24:], 8), whole[:, 2:, 3:])
    np.testing.assert_allclose(whole[:, :7, :9], sums[:, :56, :72].reshape(2, 7, 8, 9, 8).sum((2, 4)), rtol=1e-14)
