"""Symbols and latents: what the encoder expects is what the decoder has, in plain integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_model import made_arrays, made_tables
from plain_network import rounded
from plain_trellis import plain_multiples

from sarz_format.codec.coarse import dequantise_coarse, quantise_coarse
from sarz_format.codec.entropy import decoding_tables
from sarz_format.codec.latents import dequantise, rates_of, table_numbers
from sarz_format.codec.model import SYMBOL_LIMIT, IntegerModel, build_model
from sarz_format.codec.tile import LatentCoder, hyper_shape
from sarz_format.codec.trellis import quantise_trellis, quantiser_shift, symbol_bits
from sarz_format.errors import SarzFormatError

MODELS = {bands: build_model(made_arrays(bands, 8, 1)) for bands in (1, 2)}
SIDES = st.integers(1, 9)


def made_case(model: IntegerModel, rows: int, cols: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Latents int16 and sums float32 of the hyper-synthesis, some as large as they can be."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0, 900, (rows * cols, model.channels)).astype(np.int16)
    totals = rng.integers(-(1 << 22), 1 << 22, (rows * cols, 2 * model.channels)).astype(np.float32)
    extreme = rng.random(y.shape) < 0.02
    y[extreme] = rng.choice([-32768, 32767], int(extreme.sum()))
    totals[rng.random(totals.shape) < 0.02] = (1 << 24) - 1
    return y, totals


def plain_means(model: IntegerModel, totals: np.ndarray) -> np.ndarray:
    shift = model.layers["h_s.head"].shift[: model.channels].astype(np.int64)
    return rounded(totals[:, : model.channels].astype(np.int64), shift)


def plain_latents(model: IntegerModel, totals: np.ndarray, k: np.ndarray, numbers: np.ndarray, cols: int,
                  quality: int) -> np.ndarray:
    """Latents int64 ``(positions, channels)`` of multiples and their tables, one position after the other."""
    mean, step = plain_means(model, totals), model.delta_decode[quality]
    level = model.levels[numbers]
    y = np.zeros(mean.shape, np.int64)
    for p in range(len(mean)):
        row, col = divmod(p, cols)
        predicted = mean[p].copy()
        for number, c in enumerate(model.coarse_channels):
            total = 0
            for weight, (r, s) in zip(model.context_weights[number], ((0, -1), (-1, 0), (-1, -1), (-1, 1))):
                if row + r >= 0 and 0 <= col + s < cols:
                    q = (row + r) * cols + col + s
                    total += int(weight) * int(y[q, c] - mean[q, c])
            predicted[c] += (total + 128) >> 8
        y[p] = np.clip(predicted + ((k[p] * step * level[p] + 32768) >> 16), -32768, 32767)
    return y


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([1, 2]), SIDES, SIDES, st.integers(0, 100), st.integers(0, 999))
def test_encoder_and_decoder_have_the_same_latents(bands: int, rows: int, cols: int, quality: int, seed: int) -> None:
    model = MODELS[bands]
    y, totals = made_case(model, rows, cols, seed)
    encode, decode = rates_of(model, quality, True), rates_of(model, quality, False)
    expected, got = np.zeros(y.shape, np.int16), np.zeros(y.shape, np.int16)
    bits, first = symbol_bits(model.tables), model.trellis_from
    tables = table_numbers(totals, encode, np.arange(model.channels))
    coarse = tables[:, model.coarse_channels]
    k_coarse, moved = quantise_coarse(y, totals, coarse, encode, decode, model, cols, bits, got)
    multiples, quantisers = plain_multiples(k_coarse, coarse, first, 4 * bands)
    assert np.array_equal(moved, coarse + quantiser_shift(first) * quantisers)
    dequantise_coarse(multiples, coarse, totals, decode, model, cols, expected)
    assert np.array_equal(got, expected)
    numbers = tables[:, model.detail_channels]
    symbols, multiples_detail, _ = quantise_trellis(y, totals, numbers, encode, model, bits)
    dequantise(multiples_detail, numbers, totals, decode, model, got)
    k = np.empty(y.shape, np.int64)
    k[:, model.coarse_channels], k[:, model.detail_channels] = multiples, multiples_detail
    assert np.abs(symbols).max() <= SYMBOL_LIMIT and np.abs(k_coarse).max() <= SYMBOL_LIMIT
    assert np.array_equal(got, plain_latents(model, totals, k, tables, cols, quality))


@pytest.mark.parametrize("quality", [0, 50, 100])
def test_latents_are_within_some_steps(quality: int) -> None:
    """Steps of encoder and decoder are equal in the made-up model."""
    arrays = made_arrays(2, 8, 1)
    arrays["levels"] = np.where(np.arange(64) < arrays["trellis"][0], 256, arrays["trellis"][1]).astype(np.int32)
    model = build_model(arrays)
    y, totals = made_case(model, 6, 7)
    y, totals = y.clip(-20_000, 20_000), totals / 16
    y_hat = np.zeros(y.shape, np.int16)
    rates = rates_of(model, quality, True)
    tables, bits = table_numbers(totals, rates, np.arange(model.channels)), symbol_bits(model.tables)
    quantise_coarse(y, totals, tables[:, model.coarse_channels], rates, rates, model, 7, bits, y_hat)
    numbers = tables[:, model.detail_channels]
    multiples = quantise_trellis(y, totals, numbers, rates, model, bits)[1]
    dequantise(multiples, numbers, totals, rates, model, y_hat)
    error = np.abs(y_hat.astype(int) - y) / (rates.step / 256)
    scalar = tables < model.trellis_from
    assert scalar.any() and not scalar.all()
    assert (error[scalar] <= 0.5 + 256 / rates.step.min()).all()
    assert error[scalar].max() > 0.45
    assert np.sqrt((error[~scalar] ** 2).mean()) < 0.375  # A uniform quantiser of two levels has 0.383.


@pytest.mark.parametrize("quality", [0, 33, 100])
def test_table_numbers_in_plain_integers(quality: int) -> None:
    model = MODELS[1]
    _, totals = made_case(model, 5, 5)
    shift = model.layers["h_s.head"].shift[256:].astype(np.int64)
    index = rounded(totals[:, 256:].astype(np.int64), shift) + model.index_offset[quality]
    expected = np.clip((index + 128) >> 8, 0, 63)
    got = table_numbers(totals, rates_of(model, quality, False), np.arange(256))
    assert got.dtype == np.uint8
    assert np.array_equal(got, expected)
    assert np.unique(got).size > 10


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([1, 2]), SIDES, SIDES, st.sampled_from([0, 50, 100]))
def test_a_tile_of_latents_comes_back(bands: int, rows: int, cols: int, quality: int) -> None:
    model = MODELS[bands]
    coder = LatentCoder(model, decoding_tables(model.tables))
    y, _ = made_case(model, rows, cols)
    z_rows, z_cols, _ = hyper_shape(rows, cols)
    z = np.random.default_rng(1).integers(-127, 128, (z_rows, z_cols, 32)).astype(np.int8)
    totals = np.random.default_rng(2).integers(-90_000, 90_000, (2 * z_rows, 2 * z_cols, 2 * model.channels))
    totals = totals.astype(np.float32)
    coarse, detail, expected = coder.encode(y.reshape(rows, cols, -1), z, totals, quality)
    decoder, got_z = coder.start(*coarse, (rows, cols))
    assert np.array_equal(got_z, z)
    assert np.array_equal(coder.decode(decoder, tuple(detail), totals, (rows, cols), quality), expected)


def test_hyperlatents_beyond_a_byte_are_refused() -> None:
    """-128 and 128 fit an escape, but not a hyperlatent."""
    from sarz_format.codec.entropy import encode

    model = MODELS[1]
    coder = LatentCoder(model, decoding_tables(model.tables))
    for value in (-128, 128, 300):
        z = np.full(32, value, np.int32)
        stream = encode(z, np.arange(64, 96, dtype=np.uint8), model.tables)
        with pytest.raises(SarzFormatError, match="hyperlatent"):
            coder.start(*stream, (1, 1))


def test_made_tables_are_tables() -> None:
    tables = made_tables()
    assert (np.diff(tables["cdf"]) >= 0).all()
    assert (tables["cdf"][:, -1] == 4096).all()
    assert tables["reach"].max() == 127
