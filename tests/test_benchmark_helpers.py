"""The benchmarks' own arithmetic: rates at equal error, equal bytes, levels of integers, boxes of AVIF files."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch):
    """Imports a module of tests/benchmarks, which is no package."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def test_rates_are_interpolated_between_measured_points_only(benchmark_module) -> None:
    curves = benchmark_module("curves")
    points = [curves.Point(0, nbytes, rmse_db, 0.0, 0.0) for nbytes, rmse_db in ((100, 2.0), (400, 1.0))]
    assert curves.log_bytes_at(points, 1.5) == pytest.approx(math.log(200))
    assert math.isnan(curves.log_bytes_at(points, 0.9))
    assert math.isnan(curves.log_bytes_at(points, 2.1))


def test_a_point_that_spends_more_for_nothing_is_left_out(benchmark_module) -> None:
    curves = benchmark_module("curves")
    points = [curves.Point(0, nbytes, rmse_db, 0.0, 0.0) for nbytes, rmse_db in ((100, 2.0), (200, 2.5), (400, 1.0))]
    assert curves.log_bytes_at(points, 1.5) == pytest.approx(math.log(200))


@pytest.mark.parametrize("grows", [True, False])
def test_bisection_finds_the_setting_for_bytes(benchmark_module, grows: bool) -> None:
    search = benchmark_module("equal_bytes").setting_for_bytes
    nbytes_at = (lambda setting: round(100 * setting)) if grows else (lambda setting: round(100 * (20 - setting)))
    smallest, largest = (0.0, 20.0) if grows else (20.0, 0.0)
    assert nbytes_at(search(nbytes_at, smallest, largest, 777)) == 777


def test_bisection_ends_on_the_nearer_plateau(benchmark_module) -> None:
    search = benchmark_module("equal_bytes").setting_for_bytes
    assert search(lambda setting: 100 if setting < 3 else 200, 0, 10, 170) >= 3
    assert search(lambda setting: 100 if setting < 3 else 200, 0, 10, 130) < 3


@pytest.mark.parametrize(("make", "worst_db"), [("levels_16_bits", 0.001), ("levels_12_bits", 0.0076)])
def test_levels_hold_a_band_within_half_a_step(benchmark_module, make: str, worst_db: float) -> None:
    band_db = np.linspace(-43.2, 17.9, 5000)
    levels = getattr(benchmark_module("levels"), make)(band_db)
    integers = levels.integers(band_db)
    assert integers.dtype == np.uint16 and integers.max() <= levels.highest
    assert np.abs(levels.db(integers) - band_db).max() <= worst_db


def test_media_bytes_are_those_of_the_mdat_box_alone(benchmark_module) -> None:
    boxes = benchmark_module("iso_boxes")
    file = b"\0\0\0\x10ftypavif\0\0\0\0" + b"\0\0\0\x01mdat" + (16 + 5).to_bytes(8, "big") + b"12345"
    assert list(boxes.boxes(file)) == [("ftyp", 8), ("mdat", 5)]
    assert boxes.media_bytes(file) == 5


@pytest.mark.parametrize("file", [b"\0\0\0\x10ftyp", b"\0\0\0\x04free"])
def test_a_cut_box_is_refused(benchmark_module, file: bytes) -> None:
    with pytest.raises(ValueError, match="a box of"):
        benchmark_module("iso_boxes").media_bytes(file)
