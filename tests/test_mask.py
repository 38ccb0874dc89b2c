"""Classes of pixels: what they are, and as bytes."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarz_format.errors import SarzFormatError
from sarz_format.mask import (
    EXACT,
    MIXED,
    NODATA,
    VALID,
    ZERO,
    class_plane,
    classify,
    pack_exact,
    pack_plane,
    unpack_exact,
    unpack_plane,
)

SHAPES = st.tuples(st.integers(1, 13), st.integers(1, 13))
CLASSES = hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 3))


def classes_of(values: list[float], dtype: str, nodata: float | None) -> list[int]:
    array = np.array([values], dtype)
    with np.errstate(invalid="ignore"):
        codable = np.isfinite(array) & (array > 0)
    return classify(array, codable, nodata)[0].tolist()


def test_classes_without_nodata() -> None:
    values = [1.5, 0.0, -0.0, -2.0, math.nan, math.inf]
    assert classes_of(values, "float32", None) == [VALID, ZERO, EXACT, EXACT, EXACT, EXACT]


@pytest.mark.parametrize("nodata", [1.5, 0.0, -2.0, math.inf])
def test_nodata_is_a_class_whatever_it_could_be(nodata: float) -> None:
    values = [1.5, 0.0, -2.0, math.inf, 7.0]
    expected = [NODATA if v == nodata else c for v, c in zip(values, [VALID, ZERO, EXACT, EXACT, VALID])]
    assert classes_of(values, "float64", nodata) == expected


@pytest.mark.parametrize(("dtype", "word", "payload"), [
    ("float32", "u4", 0x7FC01234), ("float64", "u8", 0x7FF8 << 48 | 5)])
def test_only_the_plain_nan_is_nodata(dtype: str, word: str, payload: int) -> None:
    values = np.array([[1.0, np.nan, 0.0, 0.0]], dtype)
    values.view(word)[0, 2] = payload
    values.view(word)[0, 3] = values.view(word)[0, 1] | 1 << (values.itemsize * 8 - 1)  # -NaN
    codable = np.array([[True, False, False, False]])
    assert classify(values, codable, math.nan)[0].tolist() == [VALID, NODATA, EXACT, EXACT]
    assert classify(values, codable, None)[0].tolist() == [VALID, EXACT, EXACT, EXACT]


@pytest.mark.parametrize("nodata", [-9999.0, 300.0, 0.5, math.nan, -9999, 2**40])
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_nodata_that_the_dtype_cannot_hold_is_no_pixel(dtype: str, nodata: float) -> None:
    if nodata in (-9999, 300) and dtype == "int16":
        assert classes_of([5, nodata], dtype, nodata) == [VALID, NODATA]
    else:
        assert classes_of([5, 0], dtype, nodata) == [VALID, ZERO]


@pytest.mark.parametrize("nodata", [1e300, -1e39])
def test_nodata_beyond_float32_is_no_pixel(nodata: float) -> None:
    assert classes_of([5, 0, math.inf], "float32", nodata) == [VALID, ZERO, EXACT]


def test_nodata_that_float32_rounds_is_found() -> None:
    assert classes_of([-99.9, 1.0], "float32", -99.9) == [NODATA, VALID]


@pytest.mark.parametrize("dtype", ["uint64", "int64"])
def test_large_nodata_of_long_integers(dtype: str) -> None:
    top = int(np.iinfo(dtype).max)
    assert classes_of([top, top - 1], dtype, top) == [NODATA, VALID]


@settings(deadline=None)
@given(CLASSES)
def test_planes_round_trip(classes: np.ndarray) -> None:
    plane = class_plane(classes)
    assert np.array_equal(plane.array(classes.shape), classes)
    assert plane.kind == (int(classes[0, 0]) if (classes == classes[0, 0]).all() else MIXED)
    back = unpack_plane(pack_plane(plane), classes.shape)
    assert back.kind == plane.kind
    assert np.array_equal(back.array(classes.shape), classes)
    for wanted in range(4):
        assert back.count(wanted, classes.shape) == (classes == wanted).sum()


@pytest.mark.parametrize("kind", range(4))
def test_a_plane_of_one_class_is_one_byte(kind: int) -> None:
    assert pack_plane(class_plane(np.full((50, 60), kind, np.uint8))) == bytes([kind])


def test_the_layout_of_a_mixed_plane() -> None:
    """Rows XOR the row above, four pixels a byte, the first in the low bits."""
    data = pack_plane(class_plane(np.array([[0, 1, 2], [3, 1, 2]], np.uint8)))
    assert data[0] == MIXED
    assert zlib.decompress(data[1:], -15) == bytes([0 | 1 << 2 | 2 << 4 | 3 << 6, 0])


@settings(deadline=None)
@given(CLASSES.filter(lambda c: (c != c[0, 0]).any()), st.data())
def test_damaged_planes_are_format_errors(classes: np.ndarray, data: st.DataObject) -> None:
    packed = bytearray(pack_plane(class_plane(classes)))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    try:
        plane = unpack_plane(bytes(packed), classes.shape)
    except SarzFormatError:
        return
    assert plane.array(classes.shape).shape == classes.shape
    assert plane.array(classes.shape).max() <= EXACT


@pytest.mark.parametrize("data", [b"", b"\x05", b"\xff", b"\x00\x00", b"\x04", b"\x04\x03\x00"])
def test_what_is_no_plane(data: bytes) -> None:
    with pytest.raises(SarzFormatError, match="mask"):
        unpack_plane(data, (4, 4))


@settings(deadline=None)
@given(CLASSES, st.sampled_from(["uint8", "int16", "uint32", "float32", "float64"]), st.data())
def test_exact_values_round_trip_to_the_bit(classes: np.ndarray, dtype: str, data: st.DataObject) -> None:
    word = np.dtype(f"u{np.dtype(dtype).itemsize}")
    values = data.draw(hnp.arrays(word, classes.shape)).view(dtype)
    packed = pack_exact(values, classes)
    expected = values[classes == EXACT]
    got = unpack_exact(packed, expected.size, np.dtype(dtype))
    assert got.dtype == dtype
    assert np.array_equal(got.view(word), expected.view(word))
    assert bool(packed) == bool(expected.size)


def test_exact_values_are_little_endian() -> None:
    packed = pack_exact(np.array([[0x0102, 7]], np.uint16), np.array([[EXACT, VALID]], np.uint8))
    assert zlib.decompress(packed, -15) == b"\x02\x01"


def test_wrong_numbers_of_exact_values() -> None:
    packed = pack_exact(np.arange(6, dtype=np.float32), np.full(6, EXACT, np.uint8))
    for count in (0, 5, 7, 6000):
        with pytest.raises(SarzFormatError, match="exact values"):
            unpack_exact(packed, count, np.dtype("float32"))
    with pytest.raises(SarzFormatError, match="exact values"):
        unpack_exact(b"", 1, np.dtype("float32"))
