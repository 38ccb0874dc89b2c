"""Wide numbers: any bits come back, the plain decoder agrees, damaged bytes are refused, and bytes are frozen."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from plain_wide import plain_wide

from sarz_format.contextual import decode_wide, encode_wide
from sarz_format.contextual.parameters import number
from sarz_format.contextual.raw_bits import pack_bits, packed_size, unpack_bits
from sarz_format.contextual.wide import FIXED, ORDERED
from sarz_format.errors import SarzFormatError

DTYPES = ("float32", "float64", "int64", "uint64")
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 16), st.integers(1, 16))


def word_of(dtype: str) -> np.dtype:
    return np.dtype(f"u{np.dtype(dtype).itemsize}")


def decibels(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return 10 * np.log10(rng.gamma(4, 0.01, shape))


def with_holes(values: np.ndarray, fill: float, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(values.shape) < 0.1, fill, values)


KINDS: dict[str, Callable[[tuple[int, ...], np.random.Generator], np.ndarray]] = {
    "power": lambda shape, rng: rng.gamma(4, 0.01, shape),
    "decibels": decibels,
    "decibels, NaN": lambda shape, rng: with_holes(decibels(shape, rng), np.nan, rng),
    "decibels, -9999": lambda shape, rng: with_holes(decibels(shape, rng), -9999, rng),
    "power, zeros": lambda shape, rng: with_holes(rng.gamma(4, 0.01, shape), 0, rng),
    "both signs": lambda shape, rng: rng.normal(0, 50, shape),
    "loud": lambda shape, rng: rng.normal(0, 1, shape) * 10.0 ** rng.integers(-30, 30, shape),
    "half precision": lambda shape, rng: rng.normal(0, 1, shape).astype(np.float16),
    "whole": lambda shape, rng: np.rint(rng.normal(0, 1e6, shape)),
    "constant": lambda shape, rng: np.full(shape, rng.normal()),
    "checkerboard": lambda shape, rng: np.where(np.indices(shape).sum(0) % 2, 3e38, -1e-38),
    "subnormal": lambda shape, rng: rng.normal(0, 1e-40, shape),
    "infinite": lambda shape, rng: rng.choice([np.inf, -np.inf, np.nan, -0.0, 0.0], shape),
}


def made(kind: str, shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    values = KINDS[kind](shape, np.random.default_rng(seed))
    with np.errstate(all="ignore"):
        if dtype.startswith("float"):
            return values.astype(dtype)
        return np.nan_to_num(values * 1e3, posinf=2.0**62, neginf=-(2.0**62)).clip(-(2.0**62), 2.0**62).astype(
            np.int64).astype(dtype)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(DTYPES), SHAPES, st.data())
def test_any_bits_come_back(dtype: str, shape: tuple[int, int, int], data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        values = data.draw(hnp.arrays(word_of(dtype), shape)).view(dtype)
    else:
        values = data.draw(hnp.arrays(np.dtype(dtype), shape))
    decoded = decode_wide(encode_wide(values), shape, np.dtype(dtype))
    assert decoded.dtype == dtype and decoded.tobytes() == values.tobytes()


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(KINDS)), st.sampled_from(DTYPES), SHAPES, st.integers(0, 99))
def test_all_kinds_come_back_and_the_plain_decoder_agrees(kind: str, dtype: str, shape: tuple[int, int, int],
                                                          seed: int) -> None:
    values = made(kind, shape, dtype, seed)
    data = encode_wide(values)
    assert decode_wide(data, shape, np.dtype(dtype)).tobytes() == values.tobytes()
    assert plain_wide(data, shape, dtype) == values.view(word_of(dtype)).ravel().tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forms_and_what_is_apart(dtype: str) -> None:
    """Power is ordered, decibels have steps; nodata of any kind costs a mask, not precision."""
    shape = (1, 64, 64)
    assert encode_wide(made("power", shape, dtype))[0] == ORDERED
    assert encode_wide(made("decibels", shape, dtype))[0] == FIXED
    for kind in ("power", "decibels"):
        plain = len(encode_wide(made(kind, shape, dtype)))
        for fill in (np.nan, -9999, 0, -np.inf):
            values = made(kind, shape, dtype)
            values[:, :48] = fill
            data = encode_wide(values)
            assert data[0] == (ORDERED if kind == "power" else FIXED)
            assert len(data) < 0.27 * plain + 300
            assert decode_wide(data, shape, values.dtype).tobytes() == values.tobytes()


def test_numbers_that_are_really_narrower_are_coded_so() -> None:
    """float32 in float64, and whole numbers of few bits in int64."""
    shape = (1, 64, 64)
    for kind in ("power", "decibels", "both signs"):
        narrow = made(kind, shape, "float32")
        assert len(encode_wide(narrow.astype(np.float64))) < len(encode_wide(narrow)) + 100
    counts = np.random.default_rng(0).integers(0, 16, shape)
    assert len(encode_wide(counts << 40)) < counts.size * 0.6


def test_noise_costs_its_own_bits() -> None:
    for dtype in DTYPES:
        raw = np.random.default_rng(1).integers(0, 256, (1, 64, 64, np.dtype(dtype).itemsize), dtype=np.uint8)
        values = raw.view(dtype)[..., 0]
        assert len(encode_wide(values)) < 1.06 * values.nbytes + 300


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 64), max_size=40), st.integers(0, 99))
def test_bits_are_packed(lengths: list[int], seed: int) -> None:
    raw = np.random.default_rng(seed).integers(0, 1 << 64, len(lengths), np.uint64, endpoint=False)
    values = [int(v) & ((1 << n) - 1) for v, n in zip(raw, lengths)]
    counts = np.array(lengths, np.uint8)
    data = pack_bits(np.array(values, np.uint64), counts)
    assert len(data) == packed_size(counts)
    whole = sum(v << sum(lengths[:i]) for i, v in enumerate(values))
    assert int.from_bytes(data, "little") == whole
    assert unpack_bits(data, counts).tolist() == values


SAMPLES = [(encode_wide(made(kind, (2, 9, 11), dtype, 3)), (2, 9, 11), dtype)
           for dtype in DTYPES for kind in ("power", "decibels, NaN", "both signs")]


@settings(deadline=None, max_examples=500)
@given(st.sampled_from(SAMPLES), st.data())
def test_damaged_bytes_are_an_error_or_numbers(sample: tuple[bytes, tuple[int, int, int], str], data: st.DataObject) -> None:
    coded, shape, dtype = sample
    damaged = bytearray(coded)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.sampled_from([len(damaged), len(damaged), data.draw(st.integers(0, len(damaged)))]))]
    try:
        assert decode_wide(bytes(damaged), shape, np.dtype(dtype)).shape == shape
    except SarzFormatError:
        pass


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(SAMPLES), st.integers(0, 400))
def test_bytes_cut_or_added_are_refused(sample: tuple[bytes, tuple[int, int, int], str], cut: int) -> None:
    coded, shape, dtype = sample
    for bad in (coded[: max(len(coded) - 1 - cut, 0)], coded + bytes(1 + cut)):
        with pytest.raises(SarzFormatError):
            decode_wide(bad, shape, np.dtype(dtype))


def deflated(data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


NO_MASK = number(0)
TILE = bytes([1, 0, 0])  # step 1; flags 0, middle 0: a constant plane
ONE_STEP = bytes([1, 0, 2])  # as above, middle 1


@pytest.mark.parametrize(("head", "dtype", "message"), [
    (bytes([2, 0]), "float32", "form 2"),
    (bytes([FIXED, 0]), "int64", "form 1 of wide numbers of int64"),
    (bytes([ORDERED, 32, 0]) + bytes(8), "float32", "32 bits dropped"),
    (bytes([ORDERED, 0, 34]) + bytes(8), "float64", "34 beneath"),
    (bytes([ORDERED, 1, 0]) + (1 << 31).to_bytes(8, "little"), "float32", "base 0x80000000"),
    (bytes([FIXED, 24]) + bytes([1, 0]), "float32", "24 bits dropped"),
    (bytes([FIXED, 0]) + bytes([0, 0]), "float32", "unit 0"),
    (bytes([FIXED, 0]) + bytes([232, 0]), "float32", "unit 232"),
    (bytes([FIXED, 0]) + (2017).to_bytes(2, "little"), "float64", "unit 2017"),
])
def test_heads_out_of_range_are_refused(head: bytes, dtype: str, message: str) -> None:
    with pytest.raises(SarzFormatError, match=message):
        decode_wide(head + NO_MASK + number(len(TILE)) + TILE, (1, 2, 2), np.dtype(dtype))


@pytest.mark.parametrize(("rest", "message"), [
    (NO_MASK + number(3) + TILE + bytes(10), "0 to 0 steps, expected 1 to 16777215"),
    (NO_MASK + number(3) + ONE_STEP + bytes(11), "11 bytes of bits beneath, expected 12"),
    (NO_MASK + number(3) + ONE_STEP + bytes(13), "13 bytes of bits beneath, expected 12"),
    (NO_MASK + number(4) + ONE_STEP, "ends early"),
    (number(3) + b"\xff\xff\xff", "mask of wide numbers"),
    (number(len(deflated(b"\x01"))) + deflated(b"\x01"), "more bits than there are numbers"),
    (number(len(deflated(b"\x80"))) + deflated(b"\x80") + number(len(deflated(bytes(3)))) + deflated(bytes(3)),
     "numbers apart: does not inflate to the 4 bytes"),
    (number(len(deflated(bytes(1 << 20)))) + deflated(bytes(1 << 20)), "does not inflate to the 1 bytes"),
])
def test_what_cannot_be_is_refused(rest: bytes, message: str) -> None:
    with pytest.raises(SarzFormatError, match=message):
        decode_wide(bytes([FIXED, 0, 127, 0]) + rest, (1, 2, 2), np.dtype(np.float32))


def test_the_worked_example_of_the_specification() -> None:
    """Half steps -3, -5 and 3, the third number apart, and a bit beneath the first and the last."""
    values = np.array([[[-1.5, -2.5], [np.nan, 1.75]]], np.float32)
    data = encode_wide(values)
    assert data[:16].hex(" ") == "01 15 7e 00 03 53 00 00 06 63 60 38 50 0f 00 40"
    assert (len(data), data[-1]) == (16 + 64 + 1, 2)
    assert decode_wide(data, values.shape, values.dtype).tobytes() == values.tobytes()
