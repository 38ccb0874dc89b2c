"""Bytes and integers that must never change: tests/golden/make.py says what each file is, and makes them again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from golden.make import (
    BOUNDED,
    CROPS,
    bound_crop,
    compress_crop,
    digests,
    lossless_cases,
    made_models_installed,
    network_outputs,
    rans_case,
    small_model,
    write_slc,
)
from made_model import PATHS, forced_arithmetic, network_of
from plain_rans import plain_decode, plain_encode
from safetensors.numpy import load_file
from scenes import kinds_scene

import sarz_format as sarz
from sarz_format.codec.entropy import Decoder, decoding_tables
from sarz_format.codec.model import Tables
from sarz_format.fallback import decode_lossless

GOLDEN = Path(__file__).resolve().parent / "golden"


def load(name: str) -> dict:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rans() -> dict:
    return load("rans.json")


def tables_of(rans: dict) -> Tables:
    cdf = np.full((len(rans["counts"]), 258), 4096, np.int32)
    for row, counts in zip(cdf, rans["counts"]):
        row[: len(counts) + 1] = np.cumsum([0, *counts])
    return Tables(cdf, np.array(rans["reach"], np.uint8))


def test_the_entropy_coder_writes_these_bytes(rans: dict) -> None:
    assert rans_case() == rans
    tables = tables_of(rans)
    stream = bytes.fromhex(rans["stream"])
    coded = plain_encode(rans["symbols"], rans["tables"], tables.cdf, tables.reach, 1 << stream[0])
    assert coded == (stream, bytes.fromhex(rans["escapes"]))


def test_the_entropy_coder_reads_these_bytes(rans: dict) -> None:
    tables, numbers = tables_of(rans), np.array(rans["tables"], np.uint8)
    parts = bytes.fromhex(rans["stream"]), bytes.fromhex(rans["escapes"])
    decoder = Decoder(*parts, decoding_tables(tables))
    assert decoder.take(numbers).tolist() == rans["symbols"]
    decoder.finish()
    assert plain_decode(*parts, rans["tables"], tables.cdf, tables.reach) == rans["symbols"]


@pytest.mark.parametrize("path", PATHS)
def test_the_networks_compute_these_integers(path: str) -> None:
    network = network_of(small_model(), path)
    expected = load_file(GOLDEN / "network.safetensors")
    outputs = network_outputs(network, network.arithmetic)
    assert outputs.keys() == expected.keys()
    for name, value in outputs.items():
        assert value.dtype == expected[name].dtype
        assert np.array_equal(value, expected[name]), name
        assert np.unique(value).size > 10, name  # not all saturated


@pytest.mark.parametrize("path", PATHS)
def test_every_kind_of_tile_decodes_to_this(path: str) -> None:
    with made_models_installed(), forced_arithmetic(path):
        assert digests(GOLDEN / "kinds.sarz") == load("kinds.json")
        with sarz.open(GOLDEN / "kinds.sarz") as src:
            values = src.read()
    with np.errstate(invalid="ignore"):
        invalid = ~(np.isfinite(kinds_scene()) & (kinds_scene() > 0))
    assert np.array_equal(np.isnan(values), np.isnan(kinds_scene()))
    assert np.array_equal(values[invalid], kinds_scene()[invalid], equal_nan=True)


@pytest.mark.parametrize("name", CROPS)
@pytest.mark.parametrize("path", PATHS)
def test_crops_decode_to_this_with_the_installed_models(name: str, path: str) -> None:
    with forced_arithmetic(path):
        assert digests(GOLDEN / f"{name}.sarz") == load("crops.json")[name]


@pytest.mark.parametrize("name", CROPS)
@pytest.mark.parametrize("path", PATHS)
def test_crops_are_compressed_to_these_bytes(name: str, path: str, tmp_path: Path) -> None:
    with forced_arithmetic(path):
        assert compress_crop(name, tmp_path).read_bytes() == (GOLDEN / f"{name}.sarz").read_bytes()


def test_lossless_copies_decode_for_ever() -> None:
    for name, case in load("lossless.json").items():
        decoded = decode_lossless(bytes.fromhex(case["copy"]), tuple(case["shape"]), np.dtype(case["dtype"]))
        assert decoded.astype(decoded.dtype.newbyteorder("<")).tobytes().hex() == case["patterns"], name


def test_lossless_copies_are_made_again() -> None:
    """Not frozen: an encoder that chooses otherwise needs new golden bytes beside the old ones."""
    assert lossless_cases() == load("lossless.json")


def test_a_complex_raster_decodes_to_this_and_is_made_again(tmp_path: Path) -> None:
    assert digests(GOLDEN / "slc.sarz") == load("slc.json")
    sarz.compress(write_slc(tmp_path / "slc.tif"), tmp_path / "slc.sarz", tile_size=64, lossless=True)
    assert (tmp_path / "slc.sarz").read_bytes() == (GOLDEN / "slc.sarz").read_bytes()


@pytest.mark.parametrize("name", BOUNDED)
def test_bounded_crops_decode_to_this(name: str, tmp_path: Path) -> None:
    assert digests(GOLDEN / f"{name}.sarz") == load("bounded.json")[name]
    assert bound_crop(name, tmp_path).read_bytes() == (GOLDEN / f"{name}.sarz").read_bytes()


def test_no_golden_file_is_forgotten() -> None:
    made = {"rans.json", "lossless.json", "slc.sarz", "slc.json", "network.safetensors", "kinds.sarz", "kinds.json",
            "crops.json", "bounded.json"}
    made |= {f"{n}.sarz" for n in (*CROPS, *BOUNDED)}
    assert {path.name for path in GOLDEN.iterdir() if path.suffix not in (".py", "") and path.is_file()} == made
