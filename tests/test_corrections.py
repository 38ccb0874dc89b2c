"""Corrections of decoded pixels: bits and back, their choice, and what they are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

import sarz
from sarz_format.bright import RADIUS, bright_targets
from sarz_format.codec.corrections import (
    GAIN_STEP, LARGEST_GAIN, LARGEST_TARGET, TARGET_STEP, Corrections, apply_corrections, gain_shape, pack_corrections,
    unpack_corrections)
from sarz_format.correcting import choose_corrections
from sarz_format.errors import SarzFormatError
from sarz_format.part_limits import CORRECTION_BYTES, GAIN_BYTES

DATA = Path(__file__).parent / "data"


def made(seed: int, shape: tuple[int, int], share: float, largest: int = 4) -> Corrections:
    rng = np.random.default_rng(seed)
    gains = np.rint(rng.normal(0, 3, gain_shape(shape))).astype(np.int32)
    positions = np.flatnonzero(rng.random(shape[0] * shape[1]) < share)
    targets = rng.integers(1, largest + 1, positions.size) * rng.choice([-1, 1], positions.size)
    return Corrections(gains, positions, targets.astype(np.int32))


def plain(data: bytes, shape: tuple[int, int]) -> tuple[list[int], list[tuple[int, int]]]:
    """Gains and (position, target), read from the description."""
    a, b = data[0] % 16, data[0] // 16
    bits = iter("".join(f"{byte:08b}" for byte in data[1:]))

    def number(count: int) -> int:
        return int("0" + "".join(next(bits) for _ in range(count)), 2)

    def rice(k: int) -> int:
        high = 0
        while next(bits) == "1":
            high += 1
        return (high << k) + number(k)

    def golomb() -> int:
        zeros = 0
        while next(bits) == "0":
            zeros += 1
        return (1 << zeros) + number(zeros) - 1

    gains, last = [], 0
    for _ in range(-(-shape[0] // 64) * -(-shape[1] // 64)):
        u = rice(a)
        last += u // 2 if u % 2 == 0 else -(u + 1) // 2
        gains.append(last)
    targets, at = [], -1
    for _ in range(golomb()):
        at += rice(b) + 1
        sign = -1 if number(1) else 1
        targets.append((at, sign * (golomb() + 1)))
    rest = "".join(bits)
    assert len(rest) < 8 and "1" not in rest
    return gains, targets


SHAPES = st.tuples(st.integers(1, 150), st.integers(1, 150))


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.integers(0, 10**6), st.sampled_from([0.0, 0.001, 0.1, 1.0]), st.sampled_from([1, 4, LARGEST_TARGET]))
def test_corrections_come_back(shape: tuple[int, int], seed: int, share: float, largest: int) -> None:
    corrections = made(seed, shape, share, largest)
    packed = pack_corrections(corrections)
    got = unpack_corrections(packed, shape)
    assert np.array_equal(got.gains, corrections.gains)
    assert np.array_equal(got.positions, corrections.positions)
    assert np.array_equal(got.targets, corrections.targets)
    blocks = got.gains.size
    assert len(packed) <= CORRECTION_BYTES + GAIN_BYTES * blocks + 3 * shape[0] * shape[1]
    if packed:
        gains, targets = plain(packed, shape)
        assert gains == corrections.gains.ravel().tolist()
        assert targets == list(zip(corrections.positions.tolist(), corrections.targets.tolist()))


def test_extreme_gains_come_back_within_the_bound() -> None:
    gains = np.array([[LARGEST_GAIN, -LARGEST_GAIN] * 4] * 8, np.int32)
    corrections = Corrections(gains, np.empty(0, np.int64), np.empty(0, np.int32))
    packed = pack_corrections(corrections)
    assert np.array_equal(unpack_corrections(packed, (512, 512)).gains, gains)
    assert len(packed) <= CORRECTION_BYTES + GAIN_BYTES * gains.size


def test_the_example_of_the_specification() -> None:
    corrections = Corrections(np.array([[-3]], np.int32), np.array([5, 130]), np.array([1, -2], np.int32))
    text = (Path(__file__).parent.parent / "docs/spec/sarz-1.md").read_text()
    assert f"`{pack_corrections(corrections).hex(' ')}`" in text


def test_nothing_takes_no_bytes() -> None:
    assert pack_corrections(Corrections.none((64, 64))) == b""
    assert unpack_corrections(b"", (64, 64)).empty


@settings(deadline=None, max_examples=200)
@given(st.binary(min_size=1, max_size=60), SHAPES)
def test_any_bytes_are_corrections_or_refused(data: bytes, shape: tuple[int, int]) -> None:
    try:
        got = unpack_corrections(data, shape)
    except SarzFormatError:
        return
    assert np.abs(got.gains).max() <= LARGEST_GAIN
    assert (np.diff(got.positions) > 0).all()
    assert got.positions.size == 0 or 0 <= got.positions[0] <= got.positions[-1] < shape[0] * shape[1]
    assert (got.targets != 0).all()


def test_cut_and_extended_bytes_are_refused() -> None:
    packed = pack_corrections(made(1, (128, 100), 0.01))
    for cut in range(1, len(packed)):
        with pytest.raises(SarzFormatError, match="corrections"):
            unpack_corrections(packed[:cut], (128, 100))
    with pytest.raises(SarzFormatError, match="do not end"):
        unpack_corrections(packed + b"\0", (128, 100))


@settings(deadline=None, max_examples=40)
@given(SHAPES, st.integers(0, 10**6), st.data())
def test_parts_are_corrected_as_the_whole(shape: tuple[int, int], seed: int, data: st.DataObject) -> None:
    corrections = made(seed, shape, 0.05, 300)
    pixels = np.random.default_rng(seed).integers(-32768, 32768, shape).astype(np.int16)
    whole = pixels.copy()
    apply_corrections(whole, corrections, shape[1])
    expected = pixels.astype(int) + GAIN_STEP * corrections.gains.repeat(64, 0).repeat(64, 1)[: shape[0], : shape[1]]
    expected = expected.clip(-32768, 32767).ravel()
    expected[corrections.positions] += TARGET_STEP * corrections.targets
    assert np.array_equal(whole.ravel(), expected.clip(-32768, 32767))
    top, left = (data.draw(st.integers(0, n - 1)) for n in shape)
    part = pixels[top : data.draw(st.integers(top + 1, shape[0])), left : data.draw(st.integers(left + 1, shape[1]))]
    rows, cols = part.shape
    apply_corrections(part, corrections, shape[1], top, left)
    assert np.array_equal(part, whole[top : top + rows, left : left + cols])


def city(shape: tuple[int, int] = (130, 150)) -> np.ndarray:
    """Speckle in dB with buildings and ships."""
    rng = np.random.default_rng(3)
    db = 10 * np.log10(rng.gamma(5, 0.2, shape)) + 4 * np.sin(np.arange(shape[1]) / 25)
    at = rng.integers(0, shape, (60, 2))
    for r, c in at:
        db[r : r + 2, c : c + 2] += rng.uniform(12, 30)
    return db


def test_targets_are_those_of_a_median_filter() -> None:
    pixels = np.rint(city() * 128).astype(np.int16)
    padded = np.pad(pixels, RADIUS, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (2 * RADIUS + 1, 2 * RADIUS + 1))
    contrast = pixels.astype(int) - np.median(around, axis=(2, 3))
    expected = np.flatnonzero(contrast >= 15 * 128)
    got = bright_targets(padded)
    assert expected.size > 50
    assert np.isin(got, expected).all()  # No other pixel is one,
    assert np.isin(expected, got).mean() > 0.98  # and the guess leaves hardly any out.


def test_corrections_restore_power_and_peaks() -> None:
    original = np.rint(city((128, 128)) * 128).astype(np.int16)
    noise = np.random.default_rng(0).normal(-20, 100, original.shape)
    decoded = np.rint(original * 0.9 + noise).astype(np.int16)
    targets = bright_targets(np.pad(original, RADIUS, mode="edge"))
    valid = np.ones(original.shape, bool)
    corrections = choose_corrections(original, decoded, valid, targets, 55)
    corrected = decoded.copy()
    apply_corrections(corrected, corrections, 128)
    error = np.abs(corrected.astype(int) - original).ravel()[targets] / 128
    assert np.abs(decoded.astype(int) - original).ravel()[targets].max() > 3 * 128
    assert (error <= 0.5).mean() > 0.99

    def power(pixels: np.ndarray) -> np.ndarray:
        return (10 ** (pixels / 1280)).reshape(2, 64, 2, 64).mean((1, 3))

    before, after = (10 * np.log10(power(p) / power(original)) for p in (decoded, corrected))
    assert np.abs(before).min() > 0.1
    assert np.abs(after).max() < 0.05


def test_pixels_beside_the_model_count_for_nothing() -> None:
    original, decoded = np.zeros((64, 64), np.int16), np.full((64, 64), -64, np.int16)
    valid = np.zeros((64, 64), bool)
    assert choose_corrections(original, decoded, valid, np.array([5]), 55).empty
    valid[:8] = True
    original[8:] = 12_000
    got = choose_corrections(original, decoded, valid, np.array([70, 3000]), 55)
    assert got.gains.tolist() == [[16]]
    assert not got.positions.size


@pytest.mark.parametrize("quality", [10, 40, 55, 90])
@pytest.mark.parametrize("name", ["harvey_grd.tif", "terramind_vv_vh_db.tif"])
def test_files_keep_the_mean_power_of_blocks(tmp_path: Path, name: str, quality: int) -> None:
    report = sarz.compress(DATA / name, tmp_path / "x.sarz", quality=quality)
    with rasterio.open(DATA / name) as src:
        original = src.read(masked=True).astype(float)
        amplitude = src.dtypes[0] == "uint16"
    exponent = 2 if amplitude else None

    def bias(values: np.ma.MaskedArray) -> np.ndarray:
        power = (values.astype(float) ** exponent if amplitude else 10 ** (values.astype(float) / 10)).filled(0)
        reference = (original**exponent if amplitude else 10 ** (original / 10)).filled(0)
        rows, cols = (n // 64 for n in power.shape[1:])
        blocks = [p[:, : rows * 64, : cols * 64].reshape(-1, rows, 64, cols, 64).sum((2, 4)) for p in (power, reference)]
        return 10 * np.log10(blocks[0] / blocks[1])

    with sarz.open(tmp_path / "x.sarz") as src, sarz.open(tmp_path / "x.sarz", power_gains=False) as plain_src:
        with_gains, without = bias(src.read(masked=True)), bias(plain_src.read(masked=True))
    assert (np.abs(with_gains) <= 0.05).mean() >= 0.95
    assert abs(with_gains.mean()) <= 0.01
    assert report.fallback_tiles == 0
    if quality <= 40:
        assert np.abs(without).mean() > 2 * np.abs(with_gains).mean()
