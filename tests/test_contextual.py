"""The contextual coder: exact and bounded round trips, the plain decoder's agreement, damaged bytes, frozen bytes."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_contextual import plain_decode

from sarz_format.contextual import (
    MIN_BOUND_DB,
    decode_fixed_point,
    decode_integers,
    decode_lossless_planes,
    decode_palette,
    encode_amplitudes,
    encode_fixed_point,
    encode_integers,
    encode_lossless,
    encode_palette,
    step_of_decibels,
)
from sarz_format.contextual.cells import MAX_RATIO, MIN_RATIO, MOST_CELLS, Lattice, cell_of, cells_of
from sarz_format.contextual.contexts import FIRST_TABLES
from sarz_format.contextual.parameters import Parameters, Reader, number, pack_parameters, read_parameters, signed
from sarz_format.contextual.symbols import TOP
from sarz_format.errors import SarzFormatError, SarzOptionError

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
KINDS = ("noise", "constant", "checkerboard", "ramp", "repeated", "speckle", "extremes", "one odd pixel", "rows")

shapes = st.tuples(st.integers(1, 3), st.integers(1, 24), st.integers(1, 24))


def made(kind: str, shape: tuple[int, int, int], dtype: str, seed: int) -> np.ndarray:
    """Planes of a kind, over the whole range of the dtype where that is harder."""
    rng, info = np.random.default_rng(seed), np.iinfo(dtype)
    b, y, x = np.indices(shape)
    if kind == "noise":
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    if kind == "constant":
        return np.full(shape, rng.choice([info.min, 0, info.max]), dtype)
    if kind == "checkerboard":
        return np.where((x + y + b) % 2, info.min, info.max).astype(dtype)
    if kind == "ramp":
        return ((info.max // (shape[1] + shape[2] + 4)) * (x + y + b)).astype(dtype)
    if kind == "repeated":
        coarse = rng.integers(0, 100, shape)[:, ::2, ::2].astype(dtype)
        return coarse.repeat(2, 1).repeat(2, 2)[:, : shape[1], : shape[2]].copy()
    if kind == "speckle":
        return (rng.rayleigh(20, shape) * np.exp(0.2 * x)).clip(1, info.max).astype(dtype)
    if kind == "extremes":
        return rng.choice(np.array([info.min, info.max], dtype), shape)
    if kind == "rows":
        return rng.integers(info.min, info.max, shape[:2], dtype, endpoint=True)[:, :, None].repeat(shape[2], 2)
    values = np.full(shape, 7, dtype)
    values[tuple(rng.integers(0, n) for n in shape)] = info.max
    return values


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(KINDS), shapes, st.sampled_from(DTYPES), st.integers(0, 10**6))
def test_every_integer_comes_back(kind: str, shape: tuple[int, int, int], dtype: str, seed: int) -> None:
    values = made(kind, shape, dtype, seed)
    decoded = decode_lossless_planes(encode_lossless(values), shape, np.dtype(dtype))
    assert decoded.dtype == values.dtype and np.array_equal(decoded, values)


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(KINDS), shapes, st.sampled_from(DTYPES), st.integers(0, 10**6), st.integers(0, 200),
       st.booleans())
def test_integers_stay_within_their_bound(kind: str, shape: tuple[int, int, int], dtype: str, seed: int, bound: int,
                                          masked: bool) -> None:
    values = made(kind, shape, dtype, seed)
    valid = np.random.default_rng(seed).random(shape) < 0.6 if masked else None
    data, reconstruction = encode_integers(values, bound, valid)
    decoded = decode_integers(data, shape, np.dtype(dtype), valid)
    assert np.array_equal(decoded, reconstruction)
    known = np.ones(shape, bool) if valid is None else valid
    assert np.abs(decoded.astype(np.int64) - values.astype(np.int64))[known].max(initial=0) <= bound


@settings(deadline=None, max_examples=80)
@given(shapes, st.integers(0, 10**6), st.integers(1, 5000), st.sampled_from([1.0, 300.0, 1e6, 1e10]),
       st.booleans())
def test_fixed_point_stays_within_half_a_step(shape: tuple[int, int, int], seed: int, step: int, spread: float,
                                              masked: bool) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.normal(-10_000, spread, shape).clip(-(2**31), 2**31 - 1)
    valid = rng.random(shape) < 0.6 if masked else None
    if valid is not None:
        targets[~valid] = rng.choice([np.nan, np.inf, -np.inf, 1e300, 0.0])
    data, reconstruction = encode_fixed_point(targets, step, valid)
    decoded = decode_fixed_point(data, shape, valid)
    assert np.array_equal(decoded, reconstruction)
    known = np.ones(shape, bool) if valid is None else valid
    assert np.abs(decoded[known] - targets[known]).max(initial=0) <= step / 2 + 1e-6


@settings(deadline=None, max_examples=80)
@given(shapes, st.integers(0, 10**6), st.sampled_from([MIN_BOUND_DB, 0.05, 0.25, 0.5, 1.0, 3.0, 23.9]),
       st.sampled_from(["uint8", "uint16", "uint32"]), st.booleans())
def test_amplitudes_stay_within_their_bound(shape: tuple[int, int, int], seed: int, bound_db: float, dtype: str,
                                            masked: bool) -> None:
    rng = np.random.default_rng(seed)
    most = min(np.iinfo(dtype).max, 65535)
    values = (most ** rng.random(shape)).astype(dtype) if seed % 2 else rng.choice(np.array([1, most], dtype), shape)
    valid = rng.random(shape) < 0.6 if masked else None
    if valid is not None:
        values[~valid] = 0
    data, reconstruction = encode_amplitudes(values, bound_db, valid)
    decoded = decode_integers(data, shape, np.dtype(dtype), valid)
    assert np.array_equal(decoded, reconstruction) and decoded.min() >= 1
    known = np.ones(shape, bool) if valid is None else valid
    ratio = decoded[known].astype(float) / values[known]
    assert np.abs(20 * np.log10(ratio)).max(initial=0) <= bound_db * (1 + 1e-12)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KINDS), st.tuples(st.integers(1, 3), st.integers(1, 10), st.integers(1, 12)),
       st.sampled_from(DTYPES), st.integers(0, 10**6), st.sampled_from([0, 0, 1, 30]), st.booleans())
def test_the_plain_decoder_agrees(kind: str, shape: tuple[int, int, int], dtype: str, seed: int, bound: int,
                                  masked: bool) -> None:
    valid = np.random.default_rng(seed).random(shape) < 0.6 if masked else None
    data, decoded = encode_integers(made(kind, shape, dtype, seed), bound, valid)
    assert plain_decode(data, shape, valid) == decoded.tolist()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("bound_db", [0.05, 0.5, 2.0])
def test_the_plain_decoder_agrees_on_cells(bound_db: float, masked: bool) -> None:
    rng = np.random.default_rng(3)
    values = (rng.rayleigh(30, (2, 9, 11)) * 4 ** rng.normal(0, 1, (2, 9, 11))).clip(1, 3000).astype(np.uint16)
    valid = rng.random(values.shape) < 0.7 if masked else None
    data, decoded = encode_amplitudes(values, bound_db, valid)
    assert plain_decode(data, values.shape, valid) == decoded.tolist()


def test_many_pixels_use_every_rate_of_the_tables() -> None:
    """So many symbols a table that the slowest rate is reached, against the plain decoder."""
    values = np.random.default_rng(0).poisson(2, (1, 60, 120)).astype(np.uint8)
    data = encode_lossless(values)
    assert np.array_equal(plain_decode(data, values.shape), values)


SAMPLES = [
    (encode_lossless(made("speckle", (2, 12, 15), "uint16", 1)), (2, 12, 15), "uint16"),
    (encode_lossless(made("repeated", (1, 20, 20), "uint8", 2)), (1, 20, 20), "uint8"),
    (encode_lossless(made("extremes", (1, 9, 9), "int32", 3)), (1, 9, 9), "int32"),
    (encode_amplitudes(made("speckle", (2, 12, 15), "uint16", 1), 0.5)[0], (2, 12, 15), "uint16"),
]


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(SAMPLES), st.data())
def test_damaged_bytes_never_crash(sample: tuple[bytes, tuple[int, int, int], str], data: st.DataObject) -> None:
    stream, shape, dtype = bytearray(sample[0]), sample[1], sample[2]
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_integers(bytes(stream), shape, np.dtype(dtype))
    except SarzFormatError:
        return
    assert decoded.shape == shape and decoded.dtype == dtype


@pytest.mark.parametrize("sample", SAMPLES)
def test_truncated_bytes_are_refused(sample: tuple[bytes, tuple[int, int, int], str]) -> None:
    stream, shape, dtype = sample
    for size in range(len(stream)):
        with pytest.raises(SarzFormatError):
            decode_integers(stream[:size], shape, np.dtype(dtype))
    with pytest.raises(SarzFormatError, match="left over"):
        decode_integers(stream + b"\0", shape, np.dtype(dtype))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200), st.integers(1, 3))
def test_any_bytes_are_refused_or_decoded(data: bytes, bands: int) -> None:
    try:
        decoded = decode_integers(data, (bands, 3, 4), np.dtype(np.int32))
    except SarzFormatError:
        return
    assert decoded.shape == (bands, 3, 4)


def hostile(**changes: object) -> bytes:
    """A tile of one plane of 4 x 4 pixels with extreme parameters, and words of one bits."""
    fields = {"middle": 0, "lowest": -(1 << 31), "highest": (1 << 31) - 1, "first_error": (1 << 31) - 1,
              "weights": np.full(18, -32768), "bias": 1 << 50, "activity": np.full(5, 32767),
              "activity_bias": -(1 << 56), "activity_shift": 60, "skew_shift": 60,
              "scale_thresholds": np.full(15, 2047), "skew_thresholds": np.zeros(3, np.int64),
              "shifts": np.full(16, 31),
              "shapes": np.full(16, 7), "repeats": True}
    plane = pack_parameters(Parameters(**{**fields, **changes}))
    return number(1) + plane + number(90) + b"\xff" * 184


@pytest.mark.parametrize("changes", [{}, {"weights": np.full(18, 32767), "activity_shift": 0, "skew_shift": 0},
                                     {"shifts": np.zeros(16, np.int64)},
                                     {"activity": np.full(5, -32768), "activity_shift": 0}])
def test_extreme_parameters_stay_inside_their_integers(changes: dict[str, object]) -> None:
    with np.errstate(all="raise"), pytest.raises(SarzFormatError):
        decode_integers(hostile(**changes), (1, 4, 4), np.dtype(np.int32))


@pytest.mark.parametrize(("changes", "message"), [
    ({"activity_shift": 61}, "shifts"), ({"skew_shift": 255}, "shifts"), ({"bias": (1 << 50) + 1}, "bias"),
    ({"activity_bias": 1 << 57}, "bias"), ({"lowest": -(1 << 31) - 1}, "lowest"), ({"highest": 1 << 31}, "highest"),
    ({"first_error": 1 << 31}, "error"), ({"scale_thresholds": np.full(15, 2048)}, "threshold"),
    ({"middle": 1 << 32}, "middle"),
    ({"middle": -(1 << 31) - 1}, "middle"),
])
def test_parameters_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SarzFormatError, match=message):
        decode_integers(hostile(**changes), (1, 4, 4), np.dtype(np.int32))


@pytest.mark.parametrize(("lattice", "message"), [
    (number(0) + number(MIN_RATIO - 1) + number(9), "ratio"), (number(0) + number(MAX_RATIO + 1) + number(9), "ratio"),
    (number(0) + number(MIN_RATIO) + number(0), "largest"), (number(0) + number(MIN_RATIO) + number(65536), "largest"),
    (number((1 << 24) + 1), "step"), (b"\xff" * 20, "nine"),
    (number(0) + number(MIN_RATIO) + number(9) + b"\0\0", "1 to 9"),
])
def test_lattices_out_of_range_are_refused(lattice: bytes, message: str) -> None:
    with pytest.raises(SarzFormatError, match=message):
        decode_integers(lattice + bytes([0]) + signed(0), (1, 2, 2), np.dtype(np.int32))


def test_values_beyond_the_dtype_are_refused() -> None:
    with pytest.raises(SarzFormatError, match="do not fit uint8"):
        decode_integers(encode_lossless(np.full((1, 2, 2), 256, np.uint16)), (1, 2, 2), np.dtype(np.uint8))


def test_amplitudes_are_no_fixed_point() -> None:
    with pytest.raises(SarzFormatError, match="numbers of amplitude"):
        decode_fixed_point(encode_amplitudes(np.full((1, 2, 2), 5, np.uint16), 1.0)[0], (1, 2, 2))


@pytest.mark.parametrize("call", [
    lambda: encode_lossless(np.zeros((1, 2, 2))), lambda: encode_lossless(np.zeros((1, 2, 2), np.uint64)),
    lambda: encode_integers(np.zeros((1, 2, 2), np.uint8), -1),
    lambda: encode_integers(np.zeros((1, 2, 2), np.uint8), 1 << 23),
    lambda: encode_fixed_point(np.zeros((1, 2, 2)), 0), lambda: encode_fixed_point(np.full((1, 2, 2), np.nan), 5),
    lambda: encode_fixed_point(np.full((1, 2, 2), 1e12), 5),
    lambda: encode_amplitudes(np.zeros((1, 2, 2), np.uint8), 1.0),
    lambda: encode_amplitudes(np.full((1, 2, 2), 65536, np.uint32), 1.0),
    lambda: encode_amplitudes(np.ones((1, 2, 2), "u1"), 0.001),
    lambda: encode_amplitudes(np.ones((1, 2, 2), "u1"), 1e9),
    lambda: encode_fixed_point(np.array([[[-(2**31), 2**32 - 1]]]), 5),
    lambda: step_of_decibels(0.0001), lambda: step_of_decibels(1e9),
])
def test_what_cannot_be_coded_is_refused(call) -> None:
    with pytest.raises(SarzOptionError):
        call()


@pytest.mark.parametrize("largest", [1, 2, 255, 65535])
@pytest.mark.parametrize("ratio", [MIN_RATIO, 1 << 33, MAX_RATIO])
def test_cells_cover_every_number(ratio: int, largest: int) -> None:
    cells = cells_of(Lattice(0, ratio, largest))
    for start in (1, largest, int(cells.centre[0]), int(cells.centre[-1])):
        for value in {1, 2, largest // 3 + 1, largest - 1, largest} & set(range(1, largest + 1)):
            q, centre = cell_of(value, start, cells)
            assert abs(q) <= MOST_CELLS
            assert centre << 32 <= value * ratio and value << 32 <= centre * ratio and 1 <= centre <= largest


def test_the_first_tables_are_whole() -> None:
    assert (np.diff(FIRST_TABLES, axis=1) > 0).all() and (FIRST_TABLES[:, 0] == 0).all() and (FIRST_TABLES < TOP).all()


def test_parameters_come_back() -> None:
    source = Reader(hostile()[1:])
    parameters = read_parameters(source, True)
    assert isinstance(parameters, Parameters) and pack_parameters(parameters) == hostile()[1 : 1 + source.at]


@pytest.mark.parametrize("value", [0, 1, -1, 63, -64, 64, 1 << 40, -(1 << 50)])
def test_numbers_come_back(value: int) -> None:
    assert Reader(signed(value)).signed(1 << 50, "a number") == value
    assert Reader(number(abs(value))).number(1 << 50, "a number") == abs(value)


def test_threads_write_the_same_bytes() -> None:
    values = made("speckle", (2, 90, 80), "uint16", 5)
    found = [b""] * 4

    def work(i: int) -> None:
        found[i] = encode_lossless(values)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {encode_lossless(values)}


def test_speckle_takes_fewer_bits_than_its_entropy_by_itself() -> None:
    """Correlated pixels: 0.4 bits less than the histogram alone would take, side information included."""
    rng = np.random.default_rng(0)
    field = rng.rayleigh(60, (130, 130))
    values = ((field[1:-1, 1:-1] + field[:-2, 1:-1] + field[1:-1, :-2] + field[:-2, :-2]) / 4).astype(np.uint16)[None]
    share = np.bincount(values.ravel()) / values.size
    entropy = -(share[share > 0] * np.log2(share[share > 0])).sum()
    assert 8 * len(encode_lossless(values)) / values.size < entropy - 0.4


def test_invalid_pixels_take_no_bytes() -> None:
    values = made("noise", (1, 64, 64), "uint8", 1)
    valid = np.zeros(values.shape, bool)
    assert len(encode_lossless(values, valid)) == 3
    valid[:, :32] = True
    assert len(encode_lossless(values, valid)) < 32 * 64 + 200


@settings(deadline=None, max_examples=60)
@given(shapes, st.integers(0, 10**6), st.sampled_from(["float32", "float64"]), st.integers(1, 40), st.booleans())
def test_floats_of_few_values_come_back_bit_by_bit(shape: tuple[int, int, int], seed: int, dtype: str, count: int,
                                                   masked: bool) -> None:
    rng = np.random.default_rng(seed)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(dtype).max], dtype)
    values = rng.choice(np.concatenate([special, rng.normal(0, 1, count).astype(dtype)]), shape)
    valid = rng.random(shape) < 0.6 if masked else None
    data = encode_palette(values, valid)
    if data is None:
        bits = values.view(f"u{values.dtype.itemsize}")
        distinct = np.unique(bits if valid is None else bits[valid]).size
        assert distinct == 0 or distinct > max(values.size // 4, 1)
        return
    decoded = decode_palette(data, shape, np.dtype(dtype), valid)
    known = np.ones(shape, bool) if valid is None else valid
    assert decoded.dtype == values.dtype and decoded[known].tobytes() == values[known].tobytes()
    for size in range(0, len(data), 7):
        with pytest.raises(SarzFormatError):
            decode_palette(data[:size], shape, np.dtype(dtype), valid)


def test_an_index_beyond_the_table_is_refused() -> None:
    data = encode_palette(np.zeros((1, 4, 4), np.float32)) or b""
    zeros, ones = (encode_lossless(np.full((1, 4, 4), v, np.uint32)) for v in (0, 1))
    with pytest.raises(SarzFormatError, match="of a table of 1"):
        decode_palette(data[: -len(zeros)] + ones, (1, 4, 4), np.dtype(np.float32))


EXAMPLE = bytes.fromhex(
    "01 11 16 01 31 10 0020 0000 0000 0000 0000 0000 0020 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 00"
    "0008 0008 0000 0000 0000 00 0c 00 14 04 0d 03 d99f6900 e597 8422 a101")


def test_the_worked_example_of_the_specification() -> None:
    assert decode_integers(EXAMPLE, (1, 2, 4), np.dtype(np.uint8)).tolist() == [[[10, 12, 11, 10], [11, 13, 60, 11]]]
    assert plain_decode(EXAMPLE, (1, 2, 4)) == [[[10, 12, 11, 10], [11, 13, 60, 11]]]


GOLDEN = json.loads((Path(__file__).parent / "contextual_golden.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden_bytes_decode_for_ever(name: str) -> None:
    """Frozen: another result is another version of the format."""
    golden = GOLDEN[name]
    values = np.array(golden["values"], golden["dtype"])
    data = bytes.fromhex(golden["bytes"])
    assert np.array_equal(decode_integers(data, values.shape, values.dtype), values)
    assert plain_decode(data, values.shape) == values.tolist()


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden_bytes_are_written_again(name: str) -> None:
    """Not frozen: an encoder that chooses other parameters needs new golden bytes beside the old ones."""
    golden = GOLDEN[name]
    original = np.array(golden["original"], golden["dtype"])
    bound_db, bound = golden.get("bound_db"), golden.get("bound", 0)
    data, _ = encode_integers(original, bound) if bound_db is None else encode_amplitudes(original, bound_db)
    assert data.hex() == golden["bytes"]
