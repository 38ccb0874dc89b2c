"""The lossless coder: any bits, any dtype, and nothing but its own output back."""

from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarz_format.errors import SarzFormatError
from sarz_format.fallback import CONTEXTUAL, DEFLATE, PALETTE, WIDE, decode_lossless, encode_lossless
from sarz_format.part_limits import deflate_limit
from sarz_format.radiometry import DTYPES

SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 12), st.integers(1, 12))


def word_of(dtype: str) -> np.dtype:
    return np.dtype(f"u{np.dtype(dtype).itemsize}")


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(DTYPES), SHAPES, st.data())
def test_any_bits_come_back(dtype: str, shape: tuple[int, int, int], data: st.DataObject) -> None:
    bits = data.draw(hnp.arrays(word_of(dtype), shape))
    decoded = decode_lossless(encode_lossless(bits.view(dtype)), shape, np.dtype(dtype))
    assert decoded.dtype == dtype
    assert np.array_equal(decoded.view(bits.dtype), bits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_floats_come_back_to_the_bit(dtype: str) -> None:
    info = np.finfo(dtype)
    values = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, info.smallest_subnormal, info.tiny, info.max,
                       info.min, 1.0, 1e-40], dtype)
    values = np.concatenate([values, (values[4:5].view(word_of(dtype)) + 77).view(dtype)]).reshape(1, 1, -1)  # payload
    decoded = decode_lossless(encode_lossless(values), values.shape, values.dtype)
    assert np.array_equal(decoded.view(word_of(dtype)), values.view(word_of(dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_noise_and_strided_arrays(dtype: str) -> None:
    raw = np.random.default_rng(3).integers(0, 256, (2, 130, 260, np.dtype(dtype).itemsize), dtype=np.uint8)
    values = raw.reshape(2, 130, -1).view(dtype)[:, ::2, ::-3]
    decoded = decode_lossless(encode_lossless(values), values.shape, np.dtype(dtype))
    bits = np.ascontiguousarray(values).view(word_of(dtype))
    assert np.array_equal(decoded.view(word_of(dtype)), bits)


def test_smooth_values_become_small() -> None:
    values = np.add.outer(np.arange(256), np.arange(256)).astype(np.uint16)[None]
    assert len(encode_lossless(values)) < values.nbytes / 50


def test_the_layout() -> None:
    """The method; differences to the left, the first column to the row above; low bytes of all values, then high bytes."""
    values = np.array([[[0x0102, 0x0103], [0x0102, 0x0001]]], np.uint16)
    data = encode_lossless(values)
    assert data[0] == DEFLATE
    assert zlib.decompress(data[1:], -15) == bytes([0x02, 1, 0, 0xFF, 0x01, 0, 0, 0xFE])


def test_the_shortest_method_is_taken() -> None:
    rng = np.random.default_rng(5)
    speckle = np.rint(100 * np.sqrt(rng.gamma(4, 1 / 4, (2, 64, 80)))).astype(np.uint16)
    ramp = np.arange(2 * 64 * 80, dtype=np.float32).reshape(2, 64, 80)
    signed = rng.normal(0, 1, (2, 64, 80))
    noise = rng.integers(0, 1 << 64, (1, 64, 80), np.uint64, endpoint=False)
    for values, method in ((speckle, CONTEXTUAL), (speckle.astype(np.uint64) ** 2, PALETTE), (noise, DEFLATE),
                           (speckle * np.float32(0.01), PALETTE), (speckle * 0.01, PALETTE), (ramp, DEFLATE),
                           (signed, WIDE), (signed.astype(np.float32), WIDE), (np.exp(signed), WIDE),
                           (np.rint(signed * 2**40).astype(np.int64), WIDE),
                           (np.zeros((1, 1, 1), np.uint8), DEFLATE), (np.zeros((1, 300, 300), np.int8), CONTEXTUAL)):
        data = encode_lossless(values)
        assert data[0] == method
        assert decode_lossless(data, values.shape, values.dtype).tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_methods_are_refused(dtype: str) -> None:
    narrow = np.dtype(dtype).kind in "iu" and np.dtype(dtype).itemsize <= 4
    allowed = {DEFLATE, CONTEXTUAL} if narrow else {DEFLATE, PALETTE, WIDE}
    for method in range(256):
        known = method in allowed
        reason = "lossless tile|contextual tile|table of values" if known else f"method {method}, expected 0.* for {dtype}"
        with pytest.raises(SarzFormatError, match=reason):
            decode_lossless(bytes([method]) + b"\xff" * 30, (1, 4, 5), np.dtype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_copy_is_longer_than_deflate_and_a_byte(dtype: str) -> None:
    for shape in ((1, 1, 1), (2, 9, 7), (1, 64, 64)):
        raw = np.random.default_rng(1).integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
        values = raw.view(dtype)[..., 0]
        assert len(encode_lossless(values)) <= shape[0] * deflate_limit(values[0].nbytes)


def test_numba_is_imported_by_the_methods_that_need_it_only() -> None:
    data = encode_lossless(np.zeros((1, 1, 1), np.uint64))
    code = (f"import sys, numpy as np; from sarz_format.fallback import decode_lossless; "
            f"decode_lossless({data!r}, (1, 1, 1), np.dtype(np.uint64)); "
            "sys.exit('numba' in sys.modules or 'torch' in sys.modules)")
    assert data[0] == DEFLATE
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_damaged_data_is_a_format_error() -> None:
    raw = np.random.default_rng(0).integers(0, 256, (2, 15, 80), dtype=np.uint8)
    values = raw.view(np.float32)
    data = encode_lossless(values)
    assert data[0] == DEFLATE
    for bad in (b"", data[:1], data[:-3], data + b"\0", b"\xff" * 40, b"\0" + b"\xff" * 40):
        with pytest.raises(SarzFormatError, match="lossless tile"):
            decode_lossless(bad, values.shape, values.dtype)
    for shape in ((2, 15, 19), (2, 15, 21), (1, 15, 20)):
        with pytest.raises(SarzFormatError, match="lossless tile"):
            decode_lossless(data, shape, values.dtype)


def test_a_bomb_is_not_inflated() -> None:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = coder.compress(bytes(1 << 26)) + coder.flush()
    with pytest.raises(SarzFormatError, match="256 bytes"):
        decode_lossless(bytes([DEFLATE]) + bomb, (1, 8, 8), np.dtype("float32"))
