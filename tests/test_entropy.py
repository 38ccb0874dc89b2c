"""The rANS coder: any tables and symbols come back, damage is a format error, and a plain decoder agrees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_rans import plain_decode, plain_encode

from sarz_format.codec.entropy import MAX_LANES, MIN_LANES, Decoder, DecodingTables, decoding_tables, encode, lanes_for
from sarz_format.codec.model import SYMBOL_LIMIT, Tables
from sarz_format.errors import SarzFormatError

ALL_LANES = (4, 8, 16, 32)


def make_tables(rng: np.random.Generator, count: int) -> Tables:
    """Tables with random counts of at least one: flat, spiky, and one of reach 0."""
    cdf, reach = np.full((count, 258), 4096, np.int32), np.zeros(count, np.uint8)
    for t in range(count):
        reach[t] = rng.choice([0, 1, 127, rng.integers(0, 128)])
        slots = 2 * int(reach[t]) + 2
        share = rng.dirichlet(np.full(slots, rng.choice([0.02, 1, 50])))
        counts = 1 + np.floor(share * (4096 - slots)).astype(int)
        counts[rng.integers(slots)] += 4096 - counts.sum()
        cdf[t, 0], cdf[t, 1 : slots + 1] = 0, np.cumsum(counts)
    return Tables(cdf, reach)


def make_symbols(rng: np.random.Generator, tables: Tables, size: int, escapes: float) -> tuple[np.ndarray, np.ndarray]:
    """Table numbers, and symbols of which a share lies beyond the tables' reach, up to the largest there is."""
    numbers = rng.integers(0, len(tables.reach), size).astype(np.uint8)
    reach = tables.reach[numbers].astype(int)
    symbols = rng.integers(-reach, reach + 1)
    beyond = rng.random(size) < escapes
    magnitude = np.minimum(reach + 1 + (2 ** rng.uniform(0, 15.2, size)).astype(int), SYMBOL_LIMIT)
    magnitude = np.where(rng.random(size) < 0.1, SYMBOL_LIMIT, magnitude)
    symbols = np.where(beyond, magnitude * rng.choice([-1, 1], size), symbols)
    return symbols.astype(np.int32), numbers


CASES = st.tuples(st.integers(0, 2**32), st.integers(0, 700), st.sampled_from([0.0, 0.01, 0.5, 1.0]))


def made_case(case: tuple[int, int, float]) -> tuple[DecodingTables, np.ndarray, np.ndarray, Tables]:
    seed, size, escapes = case
    rng = np.random.default_rng(seed)
    tables = make_tables(rng, 5)
    symbols, numbers = make_symbols(rng, tables, size, escapes)
    return decoding_tables(tables), symbols, numbers, tables


@settings(deadline=None, max_examples=60)
@given(CASES)
def test_symbols_come_back(case: tuple[int, int, float]) -> None:
    inverse, symbols, numbers, tables = made_case(case)
    decoder = Decoder(*encode(symbols, numbers, tables), inverse)
    assert np.array_equal(decoder.take(numbers), symbols)
    decoder.finish()


@settings(deadline=None, max_examples=40)
@given(CASES, st.lists(st.integers(0, 200), max_size=6))
def test_decoding_in_parts_of_any_size(case: tuple[int, int, float], sizes: list[int]) -> None:
    inverse, symbols, numbers, tables = made_case(case)
    decoder = Decoder(*encode(symbols, numbers, tables), inverse)
    cuts = np.minimum(np.cumsum([0, *sizes, symbols.size]), symbols.size)
    parts = [decoder.take(numbers[a:b]) for a, b in zip(cuts, cuts[1:])]
    decoder.finish()
    assert np.array_equal(np.concatenate(parts), symbols)


@settings(deadline=None, max_examples=12)
@given(st.tuples(st.integers(0, 99), st.integers(0, 300), st.sampled_from([0.0, 0.3])))
def test_a_plain_coder_writes_and_reads_the_same(case: tuple[int, int, float]) -> None:
    _, symbols, numbers, tables = made_case(case)
    stream, escapes = encode(symbols, numbers, tables)
    assert plain_encode(symbols, numbers, tables.cdf, tables.reach, 1 << stream[0]) == (stream, escapes)
    assert plain_decode(stream, escapes, numbers, tables.cdf, tables.reach) == symbols.tolist()


@pytest.mark.parametrize("lanes", ALL_LANES)
@pytest.mark.parametrize("size", [0, 1, 3, 200])
def test_every_number_of_lanes_is_read(lanes: int, size: int) -> None:
    inverse, symbols, numbers, tables = made_case((lanes, size, 0.1))
    decoder = Decoder(*plain_encode(symbols, numbers, tables.cdf, tables.reach, lanes), inverse)
    assert np.array_equal(decoder.take(numbers[:1]), symbols[:1])
    assert np.array_equal(decoder.take(numbers[1:]), symbols[1:])
    decoder.finish()


def test_long_streams_have_more_lanes() -> None:
    _, symbols, numbers, tables = made_case((0, 60_000, 0.0))
    streams = {size: encode(symbols[:size], numbers[:size], tables)[0] for size in (0, 1, 100, 4000, 60_000)}
    lanes = [1 << stream[0] for stream in streams.values()]
    assert lanes == sorted(lanes)
    assert (lanes[0], lanes[-1]) == (MIN_LANES, MAX_LANES) == (4, 32)
    for word_bytes in (0, 4 * 8 * 64 - 1, 4 * 8 * 64, 4 * 32 * 64 - 1, 4 * 32 * 64, 10**6):
        chosen = lanes_for(word_bytes)
        assert chosen in ALL_LANES
        assert 4 * chosen * 64 <= word_bytes or chosen == MIN_LANES
        assert 4 * 2 * chosen * 64 > word_bytes or chosen == MAX_LANES


def test_the_largest_symbols_of_every_table() -> None:
    rng = np.random.default_rng(0)
    tables = make_tables(rng, 60)
    numbers = np.repeat(np.arange(60, dtype=np.uint8), 6)
    reach = tables.reach[numbers].astype(np.int32).reshape(60, 6)
    symbols = (reach + [[0, 1, 2, 0, 0, 0]]) * [[-1, 1, -1, 1, 1, 1]]
    symbols[:, 4], symbols[:, 5] = SYMBOL_LIMIT, -SYMBOL_LIMIT
    symbols = symbols.reshape(-1).astype(np.int32)
    decoder = Decoder(*encode(symbols, numbers, tables), decoding_tables(tables))
    assert np.array_equal(decoder.take(numbers.reshape(60, 6)), symbols.reshape(60, 6))
    decoder.finish()


def test_the_length_is_close_to_the_entropy() -> None:
    rng = np.random.default_rng(1)
    tables = make_tables(rng, 5)
    numbers = rng.integers(0, 5, 20_000).astype(np.uint8)
    slots = rng.integers(0, 4096, numbers.size)
    symbols = decoding_tables(tables).lookup[numbers, slots].astype(np.int32) - tables.reach[numbers]
    symbols[symbols > tables.reach[numbers]] = 0
    counts = np.diff(tables.cdf, axis=1)[numbers, symbols + tables.reach[numbers]]
    ideal_bytes = -np.log2(counts / 4096).sum() / 8
    stream, escapes = encode(symbols, numbers, tables)
    assert not escapes
    assert len(stream) <= ideal_bytes * 1.002 + (4 << stream[0]) + 3


def test_no_symbols_are_the_initial_states() -> None:
    tables = make_tables(np.random.default_rng(0), 1)
    nothing = np.empty(0, np.int32)
    stream = b"\2" + b"\0\0\1\0" * 4
    assert encode(nothing, nothing.astype(np.uint8), tables) == (stream, b"")
    decoder = Decoder(stream, b"", decoding_tables(tables))
    assert decoder.take(nothing.astype(np.uint8)).size == 0
    decoder.finish()


@settings(deadline=None, max_examples=150)
@given(st.tuples(st.integers(0, 2**32), st.integers(1, 300), st.sampled_from([0.0, 0.05, 1.0])), st.data())
def test_damage_is_a_format_error_or_other_symbols(case: tuple[int, int, float], data: st.DataObject) -> None:
    inverse, symbols, numbers, tables = made_case(case)
    parts = [bytearray(part) for part in encode(symbols, numbers, tables)]
    part = parts[data.draw(st.integers(0, 1)) if parts[1] else 0]
    kind = data.draw(st.sampled_from(["flip", "cut", "extend", "noise"]))
    if kind == "flip":
        part[data.draw(st.integers(0, len(part) - 1))] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del part[data.draw(st.integers(0, len(part) - 1)) :]
    elif kind == "extend":
        part += data.draw(st.binary(min_size=1, max_size=9))
    else:
        part[1:] = data.draw(st.binary(max_size=len(part) + 8))
    try:
        decoder = Decoder(bytes(parts[0]), bytes(parts[1]), inverse)
        got = decoder.take(numbers)
        decoder.finish()
    except SarzFormatError:
        return
    assert got.dtype == np.int32
    assert np.abs(got).max() <= SYMBOL_LIMIT


def drain(decoder: Decoder, numbers: np.ndarray) -> None:
    decoder.take(numbers)
    decoder.finish()


def test_a_cut_stream_never_passes() -> None:
    inverse, symbols, numbers, tables = made_case((5, 400, 0.1))
    stream, escapes = encode(symbols, numbers, tables)
    for cut in [*range(40), *range(40, len(stream), 7)]:
        with pytest.raises(SarzFormatError, match="rANS stream"):
            drain(Decoder(stream[:cut], escapes, inverse), numbers)
    with pytest.raises(SarzFormatError, match="does not end"):
        drain(Decoder(stream + b"\0\0", escapes, inverse), numbers)
    with pytest.raises(SarzFormatError, match="escape bits end early"):
        drain(Decoder(stream, escapes[:-1], inverse), numbers)
    with pytest.raises(SarzFormatError, match="do not end"):
        drain(Decoder(stream, escapes + b"\0", inverse), numbers)
    with pytest.raises(SarzFormatError, match="does not end"):
        drain(Decoder(stream, escapes, inverse), numbers[:-40])


@pytest.mark.parametrize("lanes_byte", [0, 1, 6, 7, 8, 31, 63, 255])
def test_other_numbers_of_lanes_are_refused(lanes_byte: int) -> None:
    inverse = made_case((5, 0, 0.0))[0]
    with pytest.raises(SarzFormatError, match="lanes"):
        Decoder(bytes([lanes_byte]) + bytes(4 << min(lanes_byte, 8)), b"", inverse)


@pytest.mark.parametrize("escapes", [b"", b"\0" * 40, b"\0\0\x7f\xff\xff\xff", b"\0\1\xff\xff\xff\xff"])
def test_escapes_out_of_range(escapes: bytes) -> None:
    tables = make_tables(np.random.default_rng(0), 1)
    symbols = np.array([SYMBOL_LIMIT], np.int32)
    numbers = np.zeros(1, np.uint8)
    stream, _ = encode(symbols, numbers, tables)
    with pytest.raises(SarzFormatError, match="escape"):
        drain(Decoder(stream, escapes, decoding_tables(tables)), numbers)
