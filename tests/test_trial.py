"""Tiles that would take more bytes than they have: tiny ones and noise are kept losslessly, without latents."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from conftest import speckled_db, write_geotiff
from rasterio.windows import Window

import sarz_format as sarz
from sarz_format.container import open_container
from sarz_format.index import EMPTY, FALLBACK
from sarz_format.quality import nominal_step_db
from sarz_format.trial import Trial

TILE = 64


def coded_bytes(path: Path) -> np.ndarray:
    """Bytes of both parts of every tile."""
    with open_container(path) as container:
        entries = container.index.entries
        return entries["coarse_length"].astype(int) + entries["detail_length"]


def noise_rasters() -> dict[str, tuple[np.ndarray, str]]:
    rng = np.random.default_rng(0)
    return {
        "uint8": (rng.integers(1, 256, (2, 128, 100)).astype(np.uint8), "auto"),
        "uint8, one band": (rng.integers(0, 256, (1, 128, 100)).astype(np.uint8), "auto"),
        "two values": (rng.choice([1, 255], (1, 128, 100)).astype(np.uint8), "auto"),
        "int8 dB": (rng.integers(-128, 128, (2, 128, 100)).astype(np.int8), "db"),
        "float32 bits": (rng.integers(0, 2**32, (1, 128, 100), dtype=np.uint32).view(np.float32), "auto"),
    }


NOISE = noise_rasters()


@pytest.mark.parametrize("quality", [55, 100])
@pytest.mark.parametrize("name", NOISE)
def test_noise_takes_no_more_than_its_values(tmp_path: Path, name: str, quality: int) -> None:
    values, scale = NOISE[name]
    report = sarz.compress(write_geotiff(tmp_path / "x.tif", values), tmp_path / "x.sarz", scale=scale, tile_size=TILE,
                           quality=quality)
    assert coded_bytes(tmp_path / "x.sarz").sum() < 1.03 * values.nbytes
    with sarz.open(tmp_path / "x.sarz") as src:
        decoded = src.read()
    if report.fallback_tiles == report.tiles:
        assert decoded.tobytes() == values.tobytes()
        assert math.isnan(report.rmse_db)
    else:
        assert report.rmse_db < 0.75 * nominal_step_db(quality)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1), (1, 3, 3), (2, 2, 3), (1, 1, 9)])
def test_tiny_rasters_are_exact_and_small(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.rint(300 * 10 ** (speckled_db(shape) / 20)).clip(1).astype(np.uint16)
    report = sarz.compress(write_geotiff(tmp_path / "x.tif", values), tmp_path / "x.sarz")
    with sarz.open(tmp_path / "x.sarz") as src:
        assert src.read().tobytes() == values.tobytes()
    assert (report.fallback_tiles, report.empty_tiles) == (1, 0)
    assert coded_bytes(tmp_path / "x.sarz").sum() <= values.nbytes + 16


def test_a_tile_of_noise_among_others(tmp_path: Path) -> None:
    """Its neighbours are coded against what the decoder has of it: nothing. What is reported is what is read."""
    values = np.rint(120 * 10 ** ((speckled_db((2, 192, 200)) + 12) / 20)).clip(1, 255).astype(np.uint8)
    rng = np.random.default_rng(2)
    values[:, 64:128, 64:128] = rng.choice([1, 255], (2, 64, 64))
    values[0, 70:80, 70:80] = 0
    report = sarz.compress(write_geotiff(tmp_path / "x.tif", values, nodata=0), tmp_path / "x.sarz", tile_size=TILE)
    with open_container(tmp_path / "x.sarz") as container:
        kinds = container.index.entries["flags"].reshape(3, 4)
    assert kinds[1, 1] == EMPTY | FALLBACK
    assert report.fallback_tiles == 1 + np.count_nonzero(kinds[:, 3] == EMPTY | FALLBACK)
    with sarz.open(tmp_path / "x.sarz") as src:
        decoded = src.read()
        for window in (Window(60, 60, 70, 70), Window(0, 120, 80, 20), Window(64, 64, 64, 64), Window(127, 127, 2, 2)):
            rows, cols = window.toslices()
            assert np.array_equal(src.read(window=window), decoded[:, rows, cols])
    assert np.array_equal(decoded[:, 64:128, 64:128], values[:, 64:128, 64:128])
    coded = values > 0
    coded[:, 64:128, 64:128] = False
    for row, col in zip(*np.nonzero(kinds == EMPTY | FALLBACK)):
        coded[:, 64 * row : 64 * row + 64, 64 * col : 64 * col + 64] = False
    error_db = 20 * np.log10(decoded[coded] / values[coded].astype(float))
    assert report.rmse_db == pytest.approx(np.sqrt((error_db**2).mean()), abs=1e-3)
    assert report.max_error_db == pytest.approx(np.abs(error_db).max(), abs=2e-3)


@pytest.mark.parametrize("name", ["harvey_grd", "harvey_db", "harvey_sigma0", "spatialist_db", "ssl4eo_db",
                                  "terramind_db"])
def test_real_rasters_are_not_tried(request: pytest.FixtureRequest, tmp_path: Path, name: str,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial codes a tile twice, so what is not noise must not be tried."""

    def refuse(*_: object) -> bool:
        raise AssertionError("a tile was tried")

    monkeypatch.setattr(Trial, "fails", refuse)
    sarz.compress(request.getfixturevalue(name), tmp_path / "x.sarz", tile_size=128)


def test_the_bytes_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    src = write_geotiff(tmp_path / "x.tif", NOISE["uint8"][0])
    for batch in (1, 3):
        sarz.compress(src, tmp_path / f"{batch}.sarz", tile_size=TILE, batch_size=batch)
    assert (tmp_path / "1.sarz").read_bytes() == (tmp_path / "3.sarz").read_bytes()
