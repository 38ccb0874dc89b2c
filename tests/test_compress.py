"""Both directions through the Python interface: what comes back, what is reported, and what goes wrong."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import RasterWriter, speckled_db, write_geotiff
from made_model import EXACT_PATHS, PAIR, SINGLE, forced_arithmetic, made_models, torch_threads  # noqa: F401 (a fixture)
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate
from scenes import TILE, kinds_scene, write_kinds_scene

import sarz_format as sarz
from sarz_format import compression
from sarz_format.container import open_container
from sarz_format.quality import nominal_step_db
from sarz_format.reports import CompressReport

pytestmark = pytest.mark.usefixtures("made_models")

LARGEST_RMSE = 0.75
"""Tiles whose RMSE exceeds so many nominal steps are stored losslessly, so no raster has a larger one."""


def read_geotiff(path: Path) -> np.ndarray:
    with rasterio.open(path) as src:
        return src.read()


def read_sarz(path: Path) -> np.ndarray:
    with sarz.open(path) as src:
        return src.read()


def decibels(values: np.ndarray, scale: str, gain: float = 1.0) -> np.ndarray:
    if scale == "db":
        return values.astype(float) * gain
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"amplitude": 20, "intensity": 10}[scale] * np.log10(values.astype(float))


def check_report(report: CompressReport, original: np.ndarray, decoded: np.ndarray, coded: np.ndarray,
                 gain: float = 1.0) -> None:
    """The reported errors are those of the decoded raster, over the pixels that went through the model."""
    with np.errstate(invalid="ignore"):
        error = decibels(decoded, report.scale, gain) - decibels(original, report.scale, gain)
    for band, figures in enumerate(report.bands):
        chosen = error[band][coded[band]]
        if not chosen.size:
            assert math.isnan(figures["rmse_db"])
            continue
        assert figures["rmse_db"] == pytest.approx(np.sqrt((chosen**2).mean()), abs=1e-3)
        assert figures["bias_db"] == pytest.approx(chosen.mean(), abs=1e-3)
        assert figures["max_error_db"] == pytest.approx(np.abs(chosen).max(), abs=2e-3)
    if coded.any():
        assert report.rmse_db == pytest.approx(np.sqrt((error[coded] ** 2).mean()), abs=1e-3)
        assert report.rmse_db < LARGEST_RMSE * nominal_step_db(report.quality)


# What is reported.


@pytest.mark.parametrize("name", ["harvey_grd", "harvey_db", "harvey_sigma0", "spatialist_db", "terramind_db"])
def test_the_report_tells_the_error_of_real_rasters(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    src, dst = request.getfixturevalue(name), tmp_path / "x.sarz"
    report = sarz.compress(src, dst, tile_size=128)
    original, decoded = read_geotiff(src), read_sarz(dst)
    with rasterio.open(src) as dataset:
        nodata = dataset.nodata
    coded = np.isfinite(original) & (original != (np.inf if nodata is None else nodata))
    if report.scale != "db":
        coded &= original > 0
    assert report.scale == {"harvey_grd": "amplitude", "harvey_sigma0": "intensity"}.get(name, "db")
    assert report.fallback_tiles == 0
    check_report(report, original, decoded, coded)
    assert np.array_equal(decoded[~coded], original[~coded], equal_nan=True)
    assert report.rmse_db > 0.05


def test_the_report_tells_sizes_and_counts(tmp_path: Path) -> None:
    src, dst = write_kinds_scene(tmp_path / "x.tif"), tmp_path / "x.sarz"
    seen = []
    report = sarz.compress(str(src), str(dst), tile_size=TILE, quality=30, progress=lambda *pair: seen.append(pair))
    assert seen[-1] == (12, 12)
    assert seen == sorted(set(seen))
    assert (report.input, report.output) == (str(src), str(dst))
    assert (report.width, report.height, report.count, report.dtype) == (212, 150, 3, "float32")
    assert report.input_bytes == 212 * 150 * 3 * 4
    assert report.output_bytes == dst.stat().st_size
    assert report.ratio == pytest.approx(report.input_bytes / report.output_bytes)
    assert report.bpp == pytest.approx(8 * report.output_bytes / (212 * 150 * 3))
    assert (report.tiles, report.empty_tiles) == (24, 2)
    assert report.fallback_tiles >= 1
    assert report.quality == 30
    assert report.seconds > 0
    assert [band["band"] for band in report.bands] == [1, 2, 3]
    assert [band["description"] for band in report.bands] == ["VH", "coherence", "VV"]
    json.dumps(report.to_json(), allow_nan=False)
    with open_container(dst) as container:
        groups = container.header.groups
        assert [(g.bands, g.model) for g in groups] == [((2, 0), PAIR), ((1,), SINGLE)]
        for band, statistics in enumerate(container.statistics):
            assert statistics.rmse_db == report.bands[band]["rmse_db"]


def test_statistics_count_the_coded_pixels(tmp_path: Path) -> None:
    original = kinds_scene()
    sarz.compress(write_kinds_scene(tmp_path / "x.tif"), tmp_path / "x.sarz", tile_size=TILE)
    with np.errstate(invalid="ignore"):
        coded = np.isfinite(original) & (original > 0)
    with open_container(tmp_path / "x.sarz") as container:
        assert [s.count for s in container.statistics] == coded.sum((1, 2)).tolist()


@pytest.mark.parametrize("quality", [0, 20, 50, 80, 100])
def test_the_error_falls_as_quality_rises(terramind_db: Path, tmp_path: Path, quality: int) -> None:
    report = sarz.compress(terramind_db, tmp_path / "x.sarz", quality=quality)
    step = nominal_step_db(quality)
    assert 0.05 * step < report.rmse_db < 0.4 * step  # A uniform quantiser has 0.29 steps where all symbols matter.


# The same bytes.


def test_the_bytes_depend_on_neither_batch_nor_arithmetic(tmp_path: Path) -> None:
    src = write_kinds_scene(tmp_path / "x.tif")
    sarz.compress(src, tmp_path / "first.sarz", tile_size=TILE)
    expected = (tmp_path / "first.sarz").read_bytes()

    def check(name: str, **options: int) -> CompressReport:
        report = sarz.compress(src, tmp_path / f"{name}.sarz", tile_size=TILE, device="cpu", **options)
        assert (tmp_path / f"{name}.sarz").read_bytes() == expected, name
        return report

    check("again")
    check("batch", batch_size=5)
    for path in EXACT_PATHS:
        with forced_arithmetic(path):
            assert check(path).arithmetic == path


def test_the_bytes_do_not_depend_on_threads(tmp_path: Path, write_raster: RasterWriter) -> None:
    src = write_raster("x.tif", speckled_db((1, 70, 100)).astype(np.float32))
    for threads in (1, 2):
        with torch_threads(threads):
            sarz.compress(src, tmp_path / f"{threads}.sarz", tile_size=TILE)
    assert (tmp_path / "1.sarz").read_bytes() == (tmp_path / "2.sarz").read_bytes()


def test_an_open_dataset_is_a_source_and_stays_open(harvey_db: Path, tmp_path: Path) -> None:
    sarz.compress(harvey_db, tmp_path / "path.sarz")
    with rasterio.open(harvey_db) as src:
        sarz.compress(src, tmp_path / "dataset.sarz")
        assert not src.closed
        src.read(1)
    assert (tmp_path / "path.sarz").read_bytes() == (tmp_path / "dataset.sarz").read_bytes()


def test_some_bands_in_another_order(tmp_path: Path) -> None:
    src = write_kinds_scene(tmp_path / "x.tif")
    sarz.compress(src, tmp_path / "x.sarz", indexes=[3, 1], tile_size=TILE)
    with sarz.open(tmp_path / "x.sarz") as dataset:
        assert dataset.descriptions == ("VV", "VH")
        values = dataset.read()
    original = kinds_scene()[[2, 0]]
    assert np.array_equal(np.isnan(values), np.isnan(original))
    with np.errstate(invalid="ignore"):
        coded = (original > 0) & (original < np.inf)
    assert np.median(np.abs(10 * np.log10(values[coded] / original[coded]))) < 2


# Odd rasters.


def odd_rasters() -> dict[str, tuple[np.ndarray, dict]]:
    """``name: (values, profile)``."""
    power = 10 ** (speckled_db((2, 70, 90)) / 10)
    dn = np.rint(300 * np.sqrt(power)).clip(1, 65535)
    with_nan = power.astype(np.float32)
    with_nan[:, :9, :70] = np.nan
    negative = power - 0.05
    special = power.astype(np.float32)
    special.flat[::97] = np.inf
    special.flat[::89] = -np.inf
    special.flat[::83] = np.nan
    special.flat[::79] = -0.0
    special.flat[::73] = 1e-45
    zeros = dn.copy()
    zeros[0, 20:40], zeros[1, :, 50:] = 0, 0
    constant_nodata = np.full((1, 65, 65), 7)
    constant_nodata[0, 3, 3] = 8
    return {
        "all nodata": (np.zeros((2, 90, 110), np.uint16), {"nodata": 0}),
        "all NaN": (np.full((1, 65, 20), np.nan, np.float32), {"nodata": np.nan}),
        "all NaN without nodata": (np.full((1, 65, 20), np.nan, np.float32), {}),
        "all zero": (np.zeros((1, 33, 70), np.uint8), {}),
        "1 x 1": (np.array([[[120]], [[30]]], np.uint16), {}),
        "1 x 1 nodata": (np.array([[[np.nan]]]), {"nodata": np.nan}),
        "1 x 300": (dn[:1, :1].repeat(4, axis=2).astype(np.uint16), {}),
        "300 x 1": (dn[:1, :, :1].repeat(4, axis=1).astype(np.uint16), {}),
        "width 513": (speckled_db((2, 70, 513)).astype(np.float32), {}),
        "uint8": ((dn / 4).clip(0, 255).astype(np.uint8), {"nodata": 0}),
        "uint16 to the top": ((dn * 60).clip(0, 65535).astype(np.uint16), {}),
        "int16 centi-dB": (np.rint(100 * speckled_db((1, 60, 77))).astype(np.int16), {"nodata": -32768}),
        "int32": (dn.astype(np.int32), {"nodata": -1}),
        "uint32": ((dn * 1e6).astype(np.uint32), {}),
        "float64": (power, {"nodata": -9999.0}),
        "float64 tiny": (power * 1e-200, {}),
        "three bands": (speckled_db((3, 60, 77)).astype(np.float32), {}),
        "five bands": (speckled_db((5, 64, 64)).astype(np.float32), {}),
        "constant": (np.full((1, 100, 130), 100, np.uint16), {}),
        "constant but one": (constant_nodata.astype(np.uint8), {"nodata": 7}),
        "NaN nodata": (with_nan, {"nodata": np.nan}),
        "NaN without nodata": (with_nan, {}),
        "zeros without nodata": (zeros.astype(np.uint16), {}),
        "negative intensities": (negative.astype(np.float32), {}),
        "infinities": (special, {"nodata": np.nan}),
        "nodata is a value": (dn.astype(np.uint16), {"nodata": int(np.median(dn))}),
        "infinite nodata": (np.where(power > 0.2, np.inf, power).astype(np.float32), {"nodata": np.inf}),
        "dB with a fill that is not said": (np.where(power > 0.1, 10 * np.log10(power), -32768).astype(np.float32), {}),
        "far below zero": (-np.linspace(2e4, 9e4, 6000).reshape(1, 60, 100).astype(np.float32), {}),
        "huge": (np.full((1, 64, 70), 1e30, np.float32), {}),
        "beyond float32": (-np.full((1, 64, 70), 1e300), {}),
    }


ODD = odd_rasters()


@pytest.mark.parametrize("name", ODD)
def test_odd_rasters_come_back(tmp_path: Path, name: str) -> None:
    values, profile = ODD[name]
    src, dst, back = (tmp_path / f"x.{suffix}" for suffix in ("tif", "sarz", "back.tif"))
    write_geotiff(src, values, **profile)
    report = sarz.compress(src, dst, tile_size=TILE)
    sarz.decompress(dst, back)
    decoded = read_sarz(dst)
    assert decoded.dtype == values.dtype
    assert np.array_equal(read_geotiff(back), decoded, equal_nan=True)
    nodata = profile.get("nodata")
    invalid = np.zeros(values.shape, bool)
    if nodata is not None:
        invalid = np.isnan(values) if np.isnan(nodata) else values == nodata
    assert np.array_equal(decoded[invalid], values[invalid], equal_nan=True)
    valid = ~invalid
    if nodata is not None and not np.isnan(nodata):
        assert not (decoded[valid] == nodata).any()
    with np.errstate(invalid="ignore"):
        coded = valid & np.isfinite(values) & ((values > 0) | (report.scale == "db"))
    exact = valid & ~coded
    assert decoded[exact].tobytes() == values[exact].tobytes()
    assert np.isfinite(decoded[coded]).all()
    error = decibels(decoded, report.scale)[coded] - decibels(values, report.scale)[coded]
    assert np.sqrt((error**2).mean()) < LARGEST_RMSE * nominal_step_db(report.quality) + 1 if coded.any() else True
    with rasterio.open(back) as copy, rasterio.open(src) as dataset:
        assert copy.nodata == nodata or np.isnan([copy.nodata or 0, nodata or 0]).all()
        assert copy.profile["dtype"] == dataset.profile["dtype"]
        assert copy.crs == dataset.crs


@pytest.mark.parametrize("name", ["three bands", "negative intensities", "zeros without nodata", "NaN without nodata"])
def test_the_report_tells_the_error_of_odd_rasters(tmp_path: Path, name: str) -> None:
    values, profile = ODD[name]
    report = sarz.compress(write_geotiff(tmp_path / "x.tif", values, **profile), tmp_path / "x.sarz")
    with np.errstate(invalid="ignore"):
        coded = np.isfinite(values) & ((values > 0) | (report.scale == "db"))
    check_report(report, values, read_sarz(tmp_path / "x.sarz"), coded)


def test_centi_decibels_by_scale(three_band_raster: Path, tmp_path: Path) -> None:
    report = sarz.compress(three_band_raster, tmp_path / "x.sarz")
    original, decoded = read_geotiff(three_band_raster), read_sarz(tmp_path / "x.sarz")
    assert (report.scale, report.scale_reason) == ("db", "units of a band")
    check_report(report, original, decoded, original != -32768, gain=0.01)
    assert report.rmse_db > 0.05


def test_a_scale_may_be_asked_for(harvey_grd: Path, tmp_path: Path) -> None:
    report = sarz.compress(harvey_grd, tmp_path / "x.sarz", scale="intensity")
    assert (report.scale, report.scale_reason) == ("intensity", "asked for")
    original = read_geotiff(harvey_grd)
    check_report(report, original, read_sarz(tmp_path / "x.sarz"), original > 0)


def test_nodata_may_be_given(tmp_path: Path, write_raster: RasterWriter) -> None:
    values = np.rint(300 * 10 ** (speckled_db((1, 40, 50)) / 20)).astype(np.uint16)
    values[0, :7] = 0
    sarz.compress(write_raster("x.tif", values), tmp_path / "x.sarz", nodata=0)
    with sarz.open(tmp_path / "x.sarz") as src:
        assert src.nodata == 0
        assert np.array_equal(src.read_masks(1) == 0, values[0] == 0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16", "uint8"])
def test_random_bits_are_kept_losslessly_or_within_the_bound(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(3)
    raw = rng.integers(0, 256, (2, 100, 90 * np.dtype(dtype).itemsize), dtype=np.uint8)
    values = raw.view(dtype)
    report = sarz.compress(write_geotiff(tmp_path / "x.tif", values), tmp_path / "x.sarz", tile_size=TILE)
    decoded = read_sarz(tmp_path / "x.sarz")
    if dtype.startswith("float"):
        assert report.fallback_tiles == report.tiles == 4
        assert decoded.tobytes() == read_geotiff(tmp_path / "x.tif").tobytes() == values.tobytes()
        assert math.isnan(report.rmse_db)  # No pixel went through the model.
    else:
        coded = values > 0
        with open_container(tmp_path / "x.sarz") as container:
            for entry in (container.index[number] for number in range(len(container.index))):
                if entry.fallback:
                    coded[(slice(None), *container.header.grid.tile(entry.tile_row, entry.tile_col).slices())] = False
        check_report(report, values, decoded, coded)
        assert np.array_equal(decoded == 0, values == 0)


def test_a_checkerboard_beyond_the_range_of_latents_is_kept_losslessly(tmp_path: Path) -> None:
    rows, cols = np.indices((128, 128)) // 8
    values = np.where((rows + cols) % 3 == 0, -300.0, -80.0)[None].astype(np.float32)
    report = sarz.compress(write_geotiff(tmp_path / "x.tif", values), tmp_path / "x.sarz", scale="db")
    assert report.fallback_tiles == 1
    assert np.array_equal(read_sarz(tmp_path / "x.sarz"), values)


# Georeferencing.


def gcp_raster(path: Path, gcp_file: Path) -> None:
    """A crop with the ground control points of a real product, tags, and descriptions."""
    points = json.loads(gcp_file.read_text())["points"]
    gcps = [GroundControlPoint(p["row"] / 100, p["col"] / 100, p["x"], p["y"], p["z"], id=str(i), info="")
            for i, p in enumerate(points)]
    values = np.rint(300 * 10 ** (speckled_db((2, 200, 260)) / 20)).astype(np.uint16)
    values[:, :10, :20] = 0
    with rasterio.open(path, "w", driver="GTiff", width=260, height=200, count=2, dtype="uint16", nodata=0, gcps=gcps,
                       crs="EPSG:4326") as dst:
        dst.update_tags(MISSION="S1A", AREA_OR_POINT="Point")
        dst.write(values)
        dst.descriptions = ("VV", "VH")
        dst.update_tags(ns="ORBIT", PASS="DESCENDING", NAME="é ü")
        dst.update_tags(2, CALIBRATION="sigma0")
        dst.update_tags(1, ns="LUT", GAIN="3.5")


def places(gcps: list) -> list[tuple[float, ...]]:
    return [(p.row, p.col, p.x, p.y, p.z) for p in gcps]


@pytest.mark.parametrize("cog", [False, True])
def test_ground_control_points_and_tags_survive(tmp_path: Path, gcp_file: Path, cog: bool) -> None:
    gcp_raster(tmp_path / "x.tif", gcp_file)
    with rasterio.open(tmp_path / "x.tif") as original:
        gcps, crs = original.gcps
    assert len(gcps) == 210
    sarz.compress(tmp_path / "x.tif", tmp_path / "x.sarz", tile_size=TILE)
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "back.tif", cog=cog)
    if cog:
        assert cog_validate(tmp_path / "back.tif", strict=True) == (True, [], [])
    with sarz.open(tmp_path / "x.sarz") as src, rasterio.open(tmp_path / "back.tif") as back:
        for dataset in (src, back):
            assert np.allclose(places(dataset.gcps[0]), places(gcps), rtol=0, atol=1e-9)
            assert dataset.gcps[1] == crs
            assert dataset.tags()["MISSION"] == "S1A"
            assert dataset.tags()["AREA_OR_POINT"] == "Point"
            assert dataset.tags(ns="ORBIT") == {"PASS": "DESCENDING", "NAME": "é ü"}
            assert dataset.tags(2)["CALIBRATION"] == "sigma0"
            assert dataset.tags(1, ns="LUT") == {"GAIN": "3.5"}
            assert dataset.descriptions == ("VV", "VH")
            assert dataset.nodata == 0
        assert np.array_equal(src.read(), back.read())


@pytest.mark.parametrize("cog", [False, True])
def test_rational_polynomials_survive(tmp_path: Path, write_raster: RasterWriter, cog: bool) -> None:
    rpcs = RPC(height_off=120.5, height_scale=500, lat_off=48.25, lat_scale=0.2, line_den_coeff=[1.0] + [1e-5] * 19,
               line_num_coeff=[0.001 * i for i in range(20)], line_off=100, line_scale=100, long_off=11.5,
               long_scale=0.3,
               samp_den_coeff=[1.0] + [-2e-6] * 19, samp_num_coeff=[0.002 * i for i in range(20)], samp_off=130,
               samp_scale=130)
    values = np.rint(300 * 10 ** (speckled_db((1, 200, 260)) / 20)).astype(np.uint16)
    src = write_raster("x.tif", values, crs=None, transform=None, rpcs=rpcs)
    sarz.compress(src, tmp_path / "x.sarz")
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "back.tif", cog=cog)
    with sarz.open(tmp_path / "x.sarz") as dataset, rasterio.open(tmp_path / "back.tif") as back:
        assert dataset.rpcs.to_dict() == back.rpcs.to_dict()
        for name, value in rpcs.to_dict().items():
            if value is not None:
                assert np.allclose(dataset.rpcs.to_dict()[name], value), name


@pytest.mark.parametrize("cog", [False, True])
def test_everything_else_survives(tmp_path: Path, three_band_raster: Path, cog: bool) -> None:
    src_path = tmp_path / "x.tif"
    src_path.write_bytes(three_band_raster.read_bytes())
    with rasterio.open(src_path, "r+") as dst:
        dst.descriptions = ("VV", "VH", "angle")
        dst.update_tags(PROCESSOR="made up", note="tabs\tand = signs")
        dst.update_tags(3, unit="degree")
        dst.update_tags(ns="A&B", less="1 < 2", quoted='"é"')
        dst.update_tags(3, ns="LUT", GAIN="3.5")
        dst.scales, dst.offsets = (0.01, 0.01, 0.01), (0.5, 0.0, -1.0)
    sarz.compress(src_path, tmp_path / "x.sarz", tile_size=TILE)
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "back.tif", cog=cog)
    with rasterio.open(src_path) as src, sarz.open(tmp_path / "x.sarz") as read, rasterio.open(
            tmp_path / "back.tif") as back:
        for dataset in (read, back):
            assert (dataset.crs, dataset.transform, dataset.bounds) == (src.crs, src.transform, src.bounds)
            assert dataset.nodatavals == src.nodatavals
            assert dataset.descriptions == src.descriptions
            assert (dataset.scales, dataset.offsets) == (src.scales, src.offsets)
            assert dataset.units == src.units
            assert dataset.colorinterp == src.colorinterp
            assert dataset.tags()["PROCESSOR"] == "made up"
            assert dataset.tags()["note"] == "tabs\tand = signs"
            assert dataset.tags(3)["unit"] == "degree"
            assert dataset.tags(ns="A&B") == {"less": "1 < 2", "quoted": '"é"'}
            assert dataset.tags(3, ns="LUT") == {"GAIN": "3.5"}
        assert np.array_equal(read.read(), back.read())


# Parts of a raster, and other dtypes.


def test_decompressing_a_part(tmp_path: Path) -> None:
    sarz.compress(write_kinds_scene(tmp_path / "x.tif"), tmp_path / "x.sarz", tile_size=TILE)
    whole, window = read_sarz(tmp_path / "x.sarz"), Window(30, 60, 100, 70)
    seen = []
    report = sarz.decompress(tmp_path / "x.sarz", tmp_path / "part.tif", window=window, indexes=[2, 1],
                             progress=lambda *pair: seen.append(pair))
    assert (report.width, report.height, report.count, report.tiles) == (100, 70, 2, 9)
    assert seen[-1] == (9, 9)
    assert np.array_equal(read_geotiff(tmp_path / "part.tif"), whole[[1, 0], 60:130, 30:130], equal_nan=True)
    with rasterio.open(tmp_path / "part.tif") as part, rasterio.open(tmp_path / "x.tif") as src:
        assert part.transform == src.window_transform(window)
        assert part.descriptions == ("coherence", "VH")
        bounds = part.bounds
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "bounds.tif", bounds=bounds, indexes=[2, 1])
    assert (tmp_path / "bounds.tif").read_bytes() == (tmp_path / "part.tif").read_bytes()


def test_decompressing_to_another_dtype(tmp_path: Path, harvey_grd: Path) -> None:
    sarz.compress(harvey_grd, tmp_path / "x.sarz")
    values = read_sarz(tmp_path / "x.sarz")
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "u8.tif", dtype="uint8")
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "f4.tif", dtype="float32")
    assert np.array_equal(read_geotiff(tmp_path / "u8.tif"), values.clip(0, 255))
    assert np.array_equal(read_geotiff(tmp_path / "f4.tif"), values.astype(np.float32))


# What goes wrong.


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("existing", [False, True])
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, existing: bool) -> None:
    src, dst = write_kinds_scene(tmp_path / "x.tif"), tmp_path / "x.sarz"
    sarz.compress(src, tmp_path / "good.sarz", tile_size=TILE)
    if existing:
        dst.write_bytes(b"the old one")
    before = names(tmp_path)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sarz.compress(src, dst, tile_size=TILE, overwrite=True, progress=interrupt)
    assert names(tmp_path) == before
    for cog in (False, True):
        with pytest.raises(KeyboardInterrupt):
            sarz.decompress(tmp_path / "good.sarz", tmp_path / "back.tif", cog=cog, progress=interrupt)
        assert names(tmp_path) == before
    if existing:
        assert dst.read_bytes() == b"the old one"


def test_the_dataset_is_not_closed_below_the_reading_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are read ahead in a thread: an interrupt must wait for it before the dataset is closed."""
    src = write_geotiff(tmp_path / "x.tif", np.tile(kinds_scene(), (1, 3, 1)))
    closed, real = [], compression._read_row

    def slow(dataset: rasterio.DatasetReader, bands: list[int], header: object, row: int) -> np.ndarray:
        time.sleep(0.4 if row > 2 else 0)
        closed.append(dataset.closed)
        return np.zeros(0) if dataset.closed else real(dataset, bands, header, row)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compression, "_read_row", slow)
    with pytest.raises(KeyboardInterrupt) as caught:
        sarz.compress(src, tmp_path / "x.sarz", tile_size=TILE, progress=interrupt)
    time.sleep(0.5)
    assert caught.value is not None  # Its traceback keeps what compress left open.
    assert closed == [False] * 4


def test_an_existing_output_is_kept(harvey_db: Path, tmp_path: Path) -> None:
    dst = tmp_path / "x.sarz"
    sarz.compress(harvey_db, dst)
    first = dst.read_bytes()
    with pytest.raises(sarz.OutputExistsError, match="overwrite"):
        sarz.compress(harvey_db, dst, quality=90)
    assert dst.read_bytes() == first
    sarz.compress(harvey_db, dst, quality=90, overwrite=True)
    assert dst.read_bytes() != first
    tif = tmp_path / "x.tif"
    sarz.decompress(dst, tif)
    with pytest.raises(sarz.OutputExistsError):
        sarz.decompress(dst, tif)
    sarz.decompress(dst, tif, overwrite=True)
    assert names(tmp_path) == ["x.sarz", "x.tif"]


def test_outputs_that_cannot_be(harvey_db: Path, tmp_path: Path) -> None:
    with pytest.raises(sarz.SarzFileNotFoundError, match="nowhere"):
        sarz.compress(harvey_db, tmp_path / "nowhere" / "x.sarz")
    with pytest.raises(sarz.OutputExistsError, match="directory"):
        sarz.compress(harvey_db, tmp_path, overwrite=True)
    sarz.compress(harvey_db, tmp_path / "x.sarz")
    with pytest.raises(sarz.SarzFileNotFoundError, match="nowhere"):
        sarz.decompress(tmp_path / "x.sarz", tmp_path / "nowhere" / "x.tif")
    assert names(tmp_path) == ["x.sarz"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import sarz_format as sarz
from sarz_format import weights
weights.DEFAULT_MODELS = {2: "made-pair", 1: "made-single"}
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
for job in (lambda: sarz.compress(folder / "x.tif", folder / "y.sarz", quality=100),
            lambda: sarz.decompress(folder / "x.sarz", folder / "y.tif"),
            lambda: sarz.decompress(folder / "x.sarz", folder / "y.tif", cog=True)):
    try:
        job()
    except sarz.SarzIOError as exc:
        print("SarzIOError", "y." in str(exc))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    src = write_geotiff(tmp_path / "x.tif", speckled_db((1, 300, 400)).astype(np.float32))
    sarz.compress(src, tmp_path / "x.sarz", quality=0)
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n") == ["SarzIOError True"] * 3 + [""], done.stderr
    assert names(tmp_path) == ["x.sarz", "x.tif"]


@pytest.mark.parametrize(("options", "problem"), [
    ({"quality": 101}, "quality"), ({"quality": -1}, "quality"), ({"quality": True}, "quality"),
    ({"tile_size": 100}, "tile size"), ({"tile_size": 0}, "tile size"), ({"tile_size": 8192}, "tile size"),
    ({"scale": "volts"}, "scale"), ({"batch_size": 0}, "batch size"), ({"device": "tpu"}, "device"),
    ({"indexes": [3]}, "band 3"), ({"indexes": []}, "band"), ({"indexes": 0}, "band 0"),
])
def test_options_out_of_range(harvey_db: Path, tmp_path: Path, options: dict, problem: str) -> None:
    with pytest.raises(sarz.SarzOptionError, match=problem):
        sarz.compress(harvey_db, tmp_path / "x.sarz", **options)
    assert names(tmp_path) == []


@pytest.mark.parametrize("nodata", [-1, 0.5, math.nan, 70000])
def test_nodata_that_the_dtype_cannot_hold(harvey_grd: Path, tmp_path: Path, nodata: float) -> None:
    with pytest.raises(sarz.SarzOptionError, match="nodata"):
        sarz.compress(harvey_grd, tmp_path / "x.sarz", nodata=nodata)


def test_an_unknown_model(harvey_db: Path, tmp_path: Path) -> None:
    with pytest.raises(sarz.ModelNotFoundError, match="no-such-model"):
        sarz.compress(harvey_db, tmp_path / "x.sarz", model="no-such-model")


def test_reading_without_the_model(harvey_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sarz.compress(harvey_db, tmp_path / "x.sarz")
    monkeypatch.delenv("SARZ_MODEL_PATH")
    with sarz.open(tmp_path / "x.sarz") as src:
        assert src.shape == (248, 328)
        with pytest.raises(sarz.ModelNotFoundError, match="SARZ_MODEL_PATH"):
            src.read(1)


def test_complex_rasters_are_refused(tmp_path: Path) -> None:
    src = write_geotiff(tmp_path / "x.tif", np.ones((1, 20, 30), np.complex64))
    with pytest.raises(sarz.UnsupportedRasterError, match=r"complex64.*DERIVED_.*lossless"):
        sarz.compress(src, tmp_path / "x.sarz")
    assert names(tmp_path) == ["x.tif"]


def test_inputs_that_are_no_rasters(tmp_path: Path) -> None:
    with pytest.raises(sarz.SarzFileNotFoundError, match=r"missing\.tif"):
        sarz.compress(tmp_path / "missing.tif", tmp_path / "x.sarz")
    (tmp_path / "text.tif").write_text("not a raster")
    with pytest.raises(sarz.SarzIOError, match=r"text\.tif"):
        sarz.compress(tmp_path / "text.tif", tmp_path / "x.sarz")
    with pytest.raises(sarz.SarzFileNotFoundError, match=r"missing\.sarz"):
        sarz.decompress(tmp_path / "missing.sarz", tmp_path / "x.tif")
    with pytest.raises(sarz.SarzFormatError, match=r"text\.tif"):
        sarz.decompress(tmp_path / "text.tif", tmp_path / "x.tif")
    assert names(tmp_path) == ["text.tif"]


def test_a_raster_that_breaks_off(tmp_path: Path) -> None:
    src = write_geotiff(tmp_path / "x.tif", speckled_db((1, 300, 400)).astype(np.float32))
    with src.open("r+b") as file:
        file.truncate(src.stat().st_size // 2)
    with pytest.raises(sarz.SarzIOError, match=r"x\.tif"):
        sarz.compress(src, tmp_path / "x.sarz")
    assert names(tmp_path) == ["x.tif"]


def test_a_raster_with_nan_nodata_and_whole_numbers(tmp_path: Path) -> None:
    """GDAL keeps such a nodata value; no pixel has it."""
    values = np.rint(300 * 10 ** (speckled_db((1, 40, 50)) / 20)).astype(np.uint16)
    values[0, :3] = 0
    write_geotiff(tmp_path / "x.tif", values)
    vrt = (tmp_path / "x.vrt")
    vrt.write_text(f"""<VRTDataset rasterXSize="50" rasterYSize="40"><VRTRasterBand dataType="UInt16" band="1">
        <NoDataValue>nan</NoDataValue><SimpleSource><SourceFilename>{tmp_path / "x.tif"}</SourceFilename>
        <SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>""")
    sarz.compress(vrt, tmp_path / "x.sarz")
    decoded = read_sarz(tmp_path / "x.sarz")
    assert np.array_equal(decoded == 0, values == 0)
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "back.tif")
    assert np.array_equal(read_geotiff(tmp_path / "back.tif"), decoded)


def test_a_raster_without_georeferencing(tmp_path: Path, write_raster: RasterWriter) -> None:
    src = write_raster("plain.tif", np.ones((1, 9, 9), np.uint8), crs=None, transform=Affine.identity())
    sarz.compress(src, tmp_path / "x.sarz")
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "back.tif")
    with rasterio.open(tmp_path / "back.tif") as back:
        assert back.crs is None
        assert back.transform == Affine.identity()
