"""Targets instead of a quality: an RMSE of each tile, a ratio, bits a band pixel; measured without the encoder's word."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import RasterWriter, write_geotiff
from made_model import torch_threads

import sarz_format as sarz
from sarz_format.container import open_container
from sarz_format.errors import SarzFormatError, SarzOptionError, TargetWarning
from sarz_format.info import describe, format_text
from sarz_format.measure import FALLBACK_ERROR_STEPS
from sarz_format.quality import nominal_step_db
from sarz_format.quality_search import MOST_STEPS, QualitySearch
from sarz_format.target import BPP, RMSE_DB, Target, asked_for, likely_quality

CROPS = ("harvey_grd", "harvey_vv_vh_db", "harvey_sigma0", "spatialist_vv_db", "ssl4eo_vv_vh_db", "terramind_vv_vh_db")
TILE = 128


def decibels(path: Path, scale: str) -> np.ndarray:
    with (sarz.open(path) if path.suffix == ".sarz" else rasterio.open(path)) as src:
        values = src.read().astype(float)
        if src.nodata is not None and not math.isnan(src.nodata):
            values[values == src.nodata] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"db": values, "amplitude": 20 * np.log10(values), "intensity": 10 * np.log10(values)}[scale]


def tile_errors(src: Path, dst: Path, scale: str, size: int) -> dict[tuple[int, int], float]:
    """RMSE in dB over both bands of each tile with a valid pixel."""
    error = decibels(dst, scale) - decibels(src, scale)
    tiles = {}
    for row in range(0, error.shape[1], size):
        for col in range(0, error.shape[2], size):
            part = error[:, row : row + size, col : col + size]
            part = part[np.isfinite(part)]
            if part.size:
                tiles[row // size, col // size] = float(np.sqrt(np.mean(part**2)))
    return tiles


@pytest.fixture(scope="module")
def patchwork(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """10 x 6 tiles of decibels: flat, smoothed, real, and with twice the contrast; a corner of nodata."""
    crops = []
    for name in ("terramind_vv_vh_db", "harvey_vv_vh_db", "ssl4eo_vv_vh_db"):
        with rasterio.open(data_dir / f"{name}.tif") as src:
            crops.append(np.nan_to_num(src.read()[:, :TILE, :TILE], nan=-15.0))
    crops.append(crops[0].mean((1, 2), keepdims=True) + 0.3 * (crops[0] - crops[0].mean((1, 2), keepdims=True)))
    crops.append(crops[1].mean((1, 2), keepdims=True) + 1.6 * (crops[1] - crops[1].mean((1, 2), keepdims=True)))
    rng = np.random.default_rng(7)
    # The upper rows are quieter than the lower ones: what a prediction from the rows so far gets wrong.
    rows = [[crops[rng.choice([3, 2, 0] if row < 5 else [0, 1, 4])] for _ in range(6)] for row in range(10)]
    values = np.concatenate([np.concatenate(row, 2) for row in rows], 1).astype(np.float32)
    values[:, :200, :140] = np.nan
    return write_geotiff(tmp_path_factory.mktemp("patchwork") / "p.tif", values, nodata=np.nan)


@pytest.mark.parametrize("name", CROPS)
@pytest.mark.parametrize("rmse_db", [0.3, 0.8, 1.4])
def test_rmse_of_crops(data_dir: Path, tmp_path: Path, name: str, rmse_db: float) -> None:
    src, dst = data_dir / f"{name}.tif", tmp_path / "x.sarz"
    report = sarz.compress(src, dst, rmse_db=rmse_db)
    errors = tile_errors(src, dst, report.scale, 512)
    assert all(error == pytest.approx(rmse_db, rel=0.05) for error in errors.values())
    assert not report.notes or "RMSE" not in " ".join(report.notes)


@pytest.mark.parametrize("name", CROPS)
@pytest.mark.parametrize("target", [{"ratio": 15}, {"ratio": 80}, {"bpp": 0.25}, {"bpp": 1.5}], ids=str)
def test_size_of_crops(data_dir: Path, tmp_path: Path, name: str, target: dict[str, float]) -> None:
    src, dst = data_dir / f"{name}.tif", tmp_path / "x.sarz"
    sarz.compress(src, dst, **target)
    with rasterio.open(src) as raster:
        samples, raw = raster.width * raster.height * raster.count, raster.read().nbytes
    size = dst.stat().st_size
    reached = {"ratio": raw / size, "bpp": 8 * size / samples}
    for kind, value in target.items():
        assert reached[kind] == pytest.approx(value, rel=0.05)


@pytest.mark.filterwarnings("ignore::sarz_format.errors.TargetWarning")
@pytest.mark.parametrize("rmse_db", [0.4, 0.7])
def test_rmse_of_tiles_with_different_content(patchwork: Path, tmp_path: Path, rmse_db: float) -> None:
    dst = tmp_path / "x.sarz"
    report = sarz.compress(patchwork, dst, rmse_db=rmse_db, tile_size=TILE)
    errors = tile_errors(patchwork, dst, "db", TILE)
    assert len(errors) == 59  # One is nodata.
    off = [error / rmse_db - 1 for error in errors.values() if error != pytest.approx(rmse_db, rel=0.05)]
    assert len(off) <= 3 and all(abs(share) < 0.08 for share in off)  # Small tiles, and the row below is coded later.
    used = report.tile_qualities
    assert used is not None and used["max"] - used["min"] > 10
    with open_container(dst) as container:
        table = describe(container, tiles=True)["tile_table"]
    assert {row["quality"] for row in table if row["kind"] == "coded"} >= {used["min"], used["max"]}


@pytest.mark.parametrize("target", [{"ratio": 25}, {"ratio": 100}, {"bpp": 0.5}, {"bpp": 1.6}], ids=str)
@pytest.mark.parametrize("tile_size", [64, 128, 256, 512])
def test_size_of_tiles_with_different_content(patchwork: Path, tmp_path: Path, target: dict[str, float],
                                              tile_size: int) -> None:
    report = sarz.compress(patchwork, tmp_path / "x.sarz", tile_size=tile_size, **target)
    size = (tmp_path / "x.sarz").stat().st_size
    samples = 2 * 1280 * 768
    reached = {"ratio": 4 * samples / size, "bpp": 8 * size / samples}
    for kind, value in target.items():
        assert reached[kind] == pytest.approx(value, rel=0.05)
        assert report.target == {"kind": kind, "value": value, "reached": pytest.approx(reached[kind])}


@pytest.mark.parametrize("target", [{"rmse_db": 0.7}, {"bpp": 0.6}], ids=str)
def test_bytes_depend_on_neither_threads_nor_batch(patchwork: Path, tmp_path: Path, target: dict[str, float]) -> None:
    for name, threads, batch in (("a", torch.get_num_threads(), 1), ("b", 1, 3), ("c", 2, 64)):
        with torch_threads(threads):
            sarz.compress(patchwork, tmp_path / name, batch_size=batch, tile_size=256, **target)
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


@pytest.mark.parametrize(("rmse_db", "quality", "words"), [(0.05, 100, "finest"), (6.0, 0, "coarsest")])
def test_an_error_out_of_reach_is_told(terramind_db: Path, tmp_path: Path, rmse_db: float, quality: int,
                                       words: str) -> None:
    with pytest.warns(TargetWarning, match=words) as caught:
        report = sarz.compress(terramind_db, tmp_path / "x.sarz", rmse_db=rmse_db, tile_size=TILE)
    assert report.tile_qualities == {"min": quality, "median": quality, "max": quality}
    assert report.target is not None
    assert (report.target["tiles_above"], report.target["tiles_below"]) == ((4, 0) if quality else (0, 4))
    assert len(caught) == 1 and words in report.notes[-1]
    with open_container(tmp_path / "x.sarz") as container:
        description = describe(container)
    assert description["tile_qualities"]["at_max" if quality else "at_min"] == 4
    assert ("0 tiles at 0, 4 at 100" if quality else "4 tiles at 0, 0 at 100") in format_text(description)


@pytest.mark.parametrize(("target", "quality"), [({"ratio": 2}, 100), ({"ratio": 1e6}, 0), ({"bpp": 1e-3}, 0),
                                                 ({"bpp": 30}, 100)], ids=str)
def test_a_size_out_of_reach_is_told(terramind_db: Path, tmp_path: Path, target: dict[str, float], quality: int) -> None:
    with pytest.warns(TargetWarning, match="asked for"):
        report = sarz.compress(terramind_db, tmp_path / "x.sarz", tile_size=TILE, **target)
    assert report.tile_qualities is not None
    assert abs(report.tile_qualities["median"] - quality) <= 2 and report.notes


@pytest.mark.parametrize("kind", ["rmse_db", "ratio", "bpp"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "fine", True, [1]])
def test_values_that_are_no_target(harvey_db: Path, tmp_path: Path, kind: str, value: object) -> None:
    with pytest.raises(SarzOptionError, match=f"{kind} .*above 0"):
        sarz.compress(harvey_db, tmp_path / "x.sarz", **{kind: value})
    assert not list(tmp_path.iterdir())


def test_targets_exclude_each_other(harvey_db: Path, tmp_path: Path) -> None:
    for arguments in ({"quality": 55, "ratio": 20}, {"rmse_db": 1, "bpp": 1}, {"quality": 0, "rmse_db": 1}):
        with pytest.raises(SarzOptionError, match="expected one of"):
            sarz.compress(harvey_db, tmp_path / "x.sarz", **arguments)


@pytest.mark.parametrize("target", [{"rmse_db": 1}, {"ratio": 20}], ids=str)
@pytest.mark.parametrize("fixture", ["constant_raster", "one_pixel_raster", "all_nodata_raster", "float64_raster",
                                     "three_band_raster"])
@pytest.mark.filterwarnings("ignore::sarz_format.errors.TargetWarning")
def test_odd_rasters(request: pytest.FixtureRequest, tmp_path: Path, fixture: str, target: dict[str, float]) -> None:
    src = request.getfixturevalue(fixture)
    report = sarz.compress(src, tmp_path / "x.sarz", tile_size=64, **target)
    with sarz.open(tmp_path / "x.sarz") as written, rasterio.open(src) as original:
        assert written.read().shape == original.read().shape
    assert report.target is not None
    report.to_json()


def test_noise_is_judged_by_the_quality_of_its_tile(write_raster: RasterWriter, tmp_path: Path) -> None:
    """No tile is stored losslessly that its own quality serves; every coded one is within the limit of its own."""
    rng = np.random.default_rng(0)
    values = rng.uniform(-30, 0, (2, 128, 256)).astype(np.float32)
    values[:, :, :128] = -10 + rng.normal(0, 0.5, (2, 128, 128))
    src = write_raster("noise.tif", values)
    with pytest.warns(TargetWarning, match=r"1 of \d coded tiles"):
        sarz.compress(src, tmp_path / "x.sarz", rmse_db=2.0, tile_size=128)
    errors = tile_errors(src, tmp_path / "x.sarz", "db", 128)
    with open_container(tmp_path / "x.sarz") as container:
        for row in describe(container, tiles=True)["tile_table"]:
            limit = FALLBACK_ERROR_STEPS * nominal_step_db(row["quality"])
            assert errors[row["row"], row["col"]] <= (limit if row["kind"] == "coded" else 1e-4)


def test_header_and_info(harvey_db: Path, tmp_path: Path) -> None:
    sarz.compress(harvey_db, tmp_path / "x.sarz", bpp=0.5)
    sarz.compress(harvey_db, tmp_path / "plain.sarz")
    with open_container(tmp_path / "x.sarz") as container, open_container(tmp_path / "plain.sarz") as plain:
        assert container.header.target == Target(BPP, 0.5) and plain.header.target is None
        description = describe(container)
        assert description["target"] == {"kind": "bpp", "value": 0.5} and describe(plain)["target"] is None
        assert "bpp 0.5 asked for, qualities" in format_text(description)


@pytest.mark.parametrize("value", [None, 1, [], {}, {"kind": "bpp"}, {"kind": "bpp", "value": 0}, {"kind": "bits", "value": 1},
                                   {"kind": "bpp", "value": -1}, {"kind": "bpp", "value": "inf"},
                                   {"kind": "bpp", "value": True}, {"kind": ["bpp"], "value": 1},
                                   {"kind": "bpp", "value": 1, "more": 1}], ids=str)
def test_header_refuses(value: object) -> None:
    with pytest.raises(SarzFormatError):
        Target.from_json(value)


def test_existing_output_is_refused_before_any_work(harvey_db: Path, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.sarz").touch()
    monkeypatch.setattr("sarz_format.rate_sample.RateSample.__init__", lambda *a: pytest.fail("work was done"))
    with pytest.raises(sarz.OutputExistsError):
        sarz.compress(harvey_db, tmp_path / "x.sarz", ratio=20)


@pytest.mark.parametrize("wanted", [0.1, 0.5, 1.0, 2.5, 9.0])
@pytest.mark.parametrize("start", [0, 47, 100])
def test_search_finds_the_nearest(wanted: float, start: int) -> None:
    curve = {q: 2.4 * math.exp(-0.008 * q - 0.00016 * q * q) for q in range(101)}
    search, steps = QualitySearch(wanted, start), 0
    while not search.done:
        search.add(curve[search.quality])
        steps += 1
    assert search.quality == min(curve, key=lambda q: (abs(math.log(curve[q] / wanted)), q)) and steps <= MOST_STEPS


def test_first_guess() -> None:
    assert asked_for(None) == (sarz.DEFAULT_QUALITY, None) and asked_for(7) == (7, None)
    assert likely_quality(1e-9) == 100 and likely_quality(1e9) == 0
    quality, target = asked_for(None, rmse_db=1)
    assert target == Target(RMSE_DB, 1.0) and 30 < quality < 70
