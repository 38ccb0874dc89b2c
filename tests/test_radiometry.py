"""Between a raster's values and the codec's pixels: every dtype and scale, there and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarz_format.errors import SarzOptionError, UnsupportedRasterError
from sarz_format.radiometry import (
    DTYPES,
    RANGE_DB,
    SCALES,
    BandRadiometry,
    checked_dtype,
    checked_scale,
    choose_offset_db,
    detect_scale,
)

EPS_DB = 1 / 256 + 1e-9
"""Half a step of a pixel."""


def made(dtype: str, scale: str, offset_db: int = 0, **options: float | None) -> BandRadiometry:
    return BandRadiometry(np.dtype(dtype), scale, offset_db, **options)


def decode(radiometry: BandRadiometry, pixels: np.ndarray) -> np.ndarray:
    return radiometry.value_table[pixels.view(np.uint16)]


def values_of(dtype: str, scale: str) -> np.ndarray:
    """1000 values that the scale and dtype can hold, over most of their common range."""
    rng = np.random.default_rng(1)
    if scale == "db":
        span = 120 if dtype.startswith(("int", "float")) else 0
        values = rng.uniform(-span, 120, 1000)
    else:
        highest = min(12.0, math.log10(np.iinfo(dtype).max)) if "int" in dtype else 6.0
        values = 10 ** rng.uniform(0 if "int" in dtype else -6.0, highest, 1000) * 0.99
    return np.rint(values).clip(1 if scale != "db" else None).astype(dtype) if "int" in dtype else values.astype(dtype)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip_of_every_dtype(dtype: str, scale: str) -> None:
    values = values_of(dtype, scale)
    radiometry = made(dtype, scale)
    pixels, codable = radiometry.to_pixels(values)
    assert pixels.dtype == np.int16
    assert codable.all()
    decoded = decode(radiometry, pixels)
    assert decoded.dtype == values.dtype
    if "float" in dtype or scale == "db":
        error_db = radiometry.decibels(decoded)[0] - radiometry.decibels(values)[0]
        assert np.abs(error_db).max() <= EPS_DB + (0.5 if "int" in dtype and scale == "db" else 0)
    else:
        assert (np.abs(decoded.astype(float) - values) <= 0.5 + values * 10 ** (EPS_DB / 10) - values).all()


@pytest.mark.parametrize("scale", ["amplitude", "intensity"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_small_whole_numbers_come_back_as_they_were(dtype: str, scale: str) -> None:
    values = np.arange(1, 127).astype(dtype)
    radiometry = made(dtype, scale, 17)
    assert np.array_equal(decode(radiometry, radiometry.to_pixels(values)[0]), values)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("scale", SCALES)
def test_tables_of_short_integers_equal_the_computation(dtype: str, scale: str) -> None:
    info = np.iinfo(dtype)
    values = np.arange(info.min, info.max + 1).astype(dtype)
    wide = "int32" if scale == "db" else "float64"
    pixels, codable = made(dtype, scale, 3, gain=0.01 if scale == "db" else 1.0).to_pixels(values)
    expected, exists = made(wide, scale, 3, gain=0.01 if scale == "db" else 1.0).to_pixels(values.astype(wide))
    assert np.array_equal(pixels, expected)
    assert np.array_equal(codable, exists)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", ["amplitude", "intensity"])
def test_what_has_no_logarithm_is_not_codable(dtype: str, scale: str) -> None:
    values = np.array([0, -0.0, -1e-3, -np.inf, np.inf, np.nan, 1e-3, 1], dtype)
    pixels, codable = made(dtype, scale).to_pixels(values)
    assert codable.tolist() == [False] * 6 + [True] * 2
    assert (pixels[:6] == 0).all()


def test_decibels_need_only_be_finite() -> None:
    values = np.array([-50, 0, 50, np.nan, np.inf, -np.inf])
    assert made("float64", "db").to_pixels(values)[1].tolist() == [True] * 3 + [False] * 3


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint64", "float32", "float64"])
def test_zero_and_negatives_of_linear_scales_are_not_codable(dtype: str) -> None:
    values = np.array([0, 1], dtype)
    assert made(dtype, "amplitude").to_pixels(values)[1].tolist() == [False, True]
    if np.dtype(dtype).kind != "u":
        assert not made(dtype, "amplitude").to_pixels(np.array([-5], dtype))[1].any()


@pytest.mark.parametrize("side", [-1, 1])
def test_only_the_neighbourhood_of_the_offset_is_codable(side: int) -> None:
    radiometry = made("float64", "db", -20)
    values = -20 + side * np.array([RANGE_DB, RANGE_DB + 0.01])
    pixels, codable = radiometry.to_pixels(values)
    assert codable.tolist() == [True, False]
    assert decode(radiometry, pixels)[0] == values[0]


INTEGER_DTYPES = [name for name in DTYPES if "int" in name]


@pytest.mark.parametrize("scale", ["amplitude", "intensity"])
@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_whole_numbers_of_linear_scales_are_from_one_to_the_largest(dtype: str, scale: str) -> None:
    table = made(dtype, scale, 40).value_table
    assert table.min() == 1
    assert (np.diff(np.roll(table, 32768).astype(float)) >= 0).all()
    if np.iinfo(dtype).max < 10**12:
        assert table.max() == np.iinfo(dtype).max


@pytest.mark.parametrize("scale", ["amplitude", "intensity"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("offset_db", [-440, 0, 370, 3000])
def test_floats_of_linear_scales_are_positive_and_finite(dtype: str, scale: str, offset_db: int) -> None:
    table = made(dtype, scale, offset_db).value_table
    assert (table > 0).all()
    assert np.isfinite(table).all()


@st.composite
def radiometry_and_nodata(draw: st.DrawFn) -> BandRadiometry:
    """Any band, its nodata value often one that a decoded pixel would have."""
    dtype, scale = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(SCALES))
    gain, bias = (draw(st.sampled_from([1.0, 0.01, -0.5])), draw(st.sampled_from([0.0, -30.0]))) if scale == "db" else (
        1.0, 0.0)
    start = made(dtype, scale, draw(st.integers(-60, 60)), gain=gain, bias=bias)
    entry = draw(st.integers(0, 65535))
    nodata = draw(st.sampled_from([start.value_table[entry].item(), start.value_table.min().item(),
                                   start.value_table.max().item(), 0, 1, math.nan, -9999.0]))
    return BandRadiometry(start.dtype, scale, start.offset_db, gain, bias, nodata)


@settings(deadline=None, max_examples=150)
@given(radiometry_and_nodata())
def test_no_pixel_is_decoded_to_nodata(radiometry: BandRadiometry) -> None:
    table, nodata = radiometry.value_table, radiometry.nodata
    assert not np.isnan(table).any()
    assert not (table == nodata).any()
    if table.dtype.kind == "f":
        assert np.isfinite(table).all()
    elif radiometry.scale != "db":
        assert (table >= 1).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_float_as_nodata(dtype: str) -> None:
    nodata = float(np.finfo(dtype).max)
    table = made(dtype, "intensity", 380 if dtype == "float32" else 3080, nodata=nodata).value_table
    assert np.isfinite(table).all()
    assert not (table == nodata).any()


@settings(deadline=None, max_examples=150)
@given(radiometry_and_nodata())
def test_only_the_nodata_value_gives_way(radiometry: BandRadiometry) -> None:
    free = BandRadiometry(radiometry.dtype, radiometry.scale, radiometry.offset_db, radiometry.gain, radiometry.bias)
    moved = free.value_table != radiometry.value_table
    assert (free.value_table[moved] == radiometry.nodata).all()
    if moved.any() and radiometry.dtype.kind == "f":
        neighbours = np.nextafter(free.value_table[moved], np.array([[-np.inf], [np.inf]], radiometry.dtype))
        assert (radiometry.value_table[moved] == neighbours).any(0).all()
    elif moved.any():
        assert (np.abs(radiometry.value_table[moved].astype(object) - int(radiometry.nodata)) == 1).all()


@pytest.mark.parametrize(("dtype", "gain", "bias"), [("int16", 0.01, 0.0), ("uint8", 0.25, -50.0), ("int8", -0.5, 3.0),
                                                     ("float32", 2.0, 1.0), ("int32", 0.001, -20.0)])
def test_decibels_with_scale_and_offset(dtype: str, gain: float, bias: float) -> None:
    db = np.linspace(-45, 10, 200)
    raw = (db - bias) / gain
    values = np.rint(raw).astype(dtype) if "int" in dtype else raw.astype(dtype)
    radiometry = made(dtype, "db", -18, gain=gain, bias=bias)
    pixels, codable = radiometry.to_pixels(values)
    assert codable.all()
    step = max(1 / 256, abs(gain) / 2 if "int" in dtype else 0)
    error = (decode(radiometry, pixels).astype(float) - values.astype(float)) * gain
    assert np.abs(error).max() <= 1 / 256 + step


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_errors_are_those_of_the_decoded_values(dtype: str, scale: str) -> None:
    radiometry = made(dtype, scale, 5)
    original = np.unique(values_of(dtype, scale))
    pixels = radiometry.to_pixels(original)[0] + np.random.default_rng(2).integers(-400, 400, original.size).astype(
        np.int16)
    decoded = decode(radiometry, pixels).astype(float)
    factor = {"amplitude": 20, "intensity": 10, "db": 0}[scale]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = factor * np.log10(decoded / original) if factor else decoded - original
    errors = radiometry.errors_mdb(original, pixels)
    assert errors.dtype == np.int32
    assert np.abs(errors - 1000 * expected).max() <= 1.01


def test_errors_of_decibels_with_a_scale_are_in_decibels() -> None:
    radiometry = made("int16", "db", -10, gain=0.01)
    values = np.array([-1000, -1500], np.int16)
    pixels = radiometry.to_pixels(values)[0] + np.array([128, -64], np.int16)
    assert radiometry.errors_mdb(values, pixels).tolist() == [1000, -500]


def test_offset_is_the_median_of_what_is_codable() -> None:
    radiometry = made("float32", "intensity")
    assert choose_offset_db(radiometry, np.array([0, -1, np.nan, 1e-3, 1e-2, 1e-1], np.float32)) == -20
    assert choose_offset_db(radiometry, np.array([0, -1], np.float32)) == 0
    assert choose_offset_db(radiometry, np.array([], np.float32)) == 0


NEGATIVE, POSITIVE = -np.arange(1.0, 9), np.arange(1.0, 9)


@pytest.mark.parametrize(("tags", "units", "dtype", "sample", "expected"), [
    ({"SARZ_SCALE": "Intensity"}, ("dB",), "uint16", NEGATIVE, "intensity"),
    ({"SARZ_SCALE": "volts"}, (None,), "uint16", POSITIVE, "amplitude"),
    ({}, (None, " dB "), "float32", POSITIVE, "db"),
    ({}, ("Decibels",), "int16", POSITIVE, "db"),
    ({}, ("DN",), "float32", NEGATIVE, "amplitude"),
    ({}, ("linear",), "uint16", POSITIVE, "intensity"),
    ({}, (None,), "float32", NEGATIVE, "db"),
    ({}, (None,), "int16", NEGATIVE, "db"),
    ({}, (None,), "float64", POSITIVE, "intensity"),
    ({}, (None,), "uint8", POSITIVE, "amplitude"),
    ({}, (None,), "float32", np.concatenate([NEGATIVE, POSITIVE]), "intensity"),
    ({}, (None,), "float32", np.array([]), "intensity"),
    ({}, (None,), "int32", np.array([]), "amplitude"),
])
def test_detecting_the_scale(tags: dict, units: tuple, dtype: str, sample: np.ndarray, expected: str) -> None:
    scale, reason = detect_scale(tags, units, np.dtype(dtype), sample)
    assert scale == expected
    assert reason


def test_options_are_checked() -> None:
    assert [checked_scale(scale) for scale in ("auto", *SCALES)] == ["auto", *SCALES]
    with pytest.raises(SarzOptionError, match="'volts'.*auto"):
        checked_scale("volts")
    with pytest.raises(UnsupportedRasterError, match="complex64"):
        checked_dtype("complex64")
    with pytest.raises(UnsupportedRasterError, match="float16"):
        checked_dtype("float16")
    assert checked_dtype("float32") == np.float32
