"""`sarz.compare`: changes that are put in come out as the figures that they must give."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import sarz
from conftest import speckled_db, write_geotiff
from numpy.lib.stride_tricks import sliding_window_view

from sarz_format.comparison.cells import CELL, MARGIN
from sarz_format.comparison.distribution import Distribution
from sarz_format.comparison.looks import density_mode
from sarz_format.comparison.preview import preview_step
from sarz_format.comparison.targets import point_targets

Pair = Callable[..., dict[str, Any]]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """``pair(a, b, **profile)`` writes two arrays of decibels (rows, columns) and gives the figures of their band."""

    def compared(a: np.ndarray, b: np.ndarray, **profile: Any) -> dict[str, Any]:
        write_geotiff(tmp_path / "a.tif", a[None].astype(np.float64), **profile)
        write_geotiff(tmp_path / "b.tif", b[None].astype(np.float64), **profile)
        report = sarz.compare(tmp_path / "a.tif", tmp_path / "b.tif", scale="db")
        (band,) = report.bands
        return band

    return compared


def flat_speckle(shape: tuple[int, int], looks: float = 4, seed: int = 1) -> np.ndarray:
    """Decibels of homogeneous speckle about -12 dB, neighbours independent."""
    return -12 + 10 * np.log10(np.random.default_rng(seed).gamma(looks, 1 / looks, shape))


def box_mean_db(db: np.ndarray) -> np.ndarray:
    """Mean power of 3 x 3 pixels."""
    power = np.pad(10 ** (db / 10), 1, mode="wrap")
    return 10 * np.log10(sliding_window_view(power, (3, 3)).mean(axis=(2, 3)))


def flattened(figures: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}.{key}": value for name, part in figures.items() if isinstance(part, dict)
            for key, value in part.items()}


# What is put in comes out


@pytest.mark.parametrize("name", ["harvey_grd", "harvey_db", "harvey_sigma0", "spatialist_db", "one_pixel_raster",
                                  "all_nodata_raster", "three_band_raster", "constant_raster"])
def test_a_raster_equals_itself(name: str, request: pytest.FixtureRequest) -> None:
    raster = request.getfixturevalue(name)
    report = sarz.compare(raster, raster)
    with rasterio.open(raster) as src:
        assert (report.width, report.height, report.count) == (src.width, src.height, src.count)
    for band in report.bands:
        for key, value in flattened(band).items():
            if key.endswith("_db") and not any(word in key for word in ("contrast", "least", "share")):
                assert value is None or value == 0 or math.isnan(value), key
        blocks = band["power"]["blocks"]
        assert all(not value for key, value in blocks.items() if key.endswith("_db") and "share" not in key)
        assert blocks["share_within_0_05_db"] in (1, None)
        assert band["looks"]["ratio"] in (1, None)
        assert band["edges"]["preservation"] == pytest.approx(1) or math.isnan(band["edges"]["preservation"])
        assert band["ratio"]["mean"] == 1 or not band["difference"]["pixels"]


def test_a_gain_on_a_block(pair: Pair) -> None:
    a = flat_speckle((256, 256))
    b = a.copy()
    b[64:128, 64:192] += 0.3  # two of the sixteen blocks
    band = pair(a, b)
    assert band["difference"]["bias_db"] == pytest.approx(0.3 * 2 / 16)
    assert band["difference"]["rmse_db"] == pytest.approx(0.3 * math.sqrt(2 / 16))
    assert band["difference"]["worst_db"] == pytest.approx(0.3)
    assert (band["difference"]["worst_row"], band["difference"]["worst_col"]) == (64, 64)
    blocks = band["power"]["blocks"]
    assert (blocks["count"], blocks["worst_row"], blocks["worst_col"]) == (16, 64, 64)
    assert blocks["worst_db"] == pytest.approx(0.3) and blocks["mean_db"] == pytest.approx(0.3 * 2 / 16)
    assert blocks["share_within_0_05_db"] == 14 / 16 and blocks["p50_db"] == pytest.approx(0, abs=1e-12)
    gained = (10 ** (b / 10)).sum() / (10 ** (a / 10)).sum()
    assert band["power"]["bias_db"] == pytest.approx(10 * math.log10(gained))


def test_decibels_hide_what_power_shows(pair: Pair) -> None:
    """The mean of decibels in place of every pixel: no bias in decibels, much in power."""
    a = flat_speckle((256, 256))
    band = pair(a, np.full_like(a, a.mean()))
    assert abs(band["difference"]["bias_db"]) < 1e-3
    assert band["power"]["bias_db"] == pytest.approx(a.mean() - 10 * math.log10((10 ** (a / 10)).mean()))
    assert band["power"]["bias_db"] < -0.5


def test_smoothing_raises_the_number_of_looks(pair: Pair) -> None:
    a = flat_speckle((512, 512))
    looks = pair(a, box_mean_db(a))["looks"]
    assert looks["blocks"] > 200
    assert looks["enl_a"] == pytest.approx(4, rel=0.05)
    assert looks["ratio"] == pytest.approx(9, rel=0.1)
    assert looks["enl_b"] == pytest.approx(36, rel=0.1)


def test_looks_are_those_of_homogeneous_blocks(pair: Pair) -> None:
    a = flat_speckle((512, 512), looks=7)
    a[:, :256] += 6 * np.random.default_rng(3).standard_normal((512, 256))  # texture: half of the scene
    looks = pair(a, a)["looks"]
    assert looks["enl_a"] == pytest.approx(7, rel=0.1) and looks["mode_a"] == pytest.approx(7, rel=0.1)
    assert looks["blocks"] <= 128


def test_lowered_ships(pair: Pair) -> None:
    a = np.full((600, 600), -20.0)
    ships = [(30, 40), (300, 511), (300, 512), (512, 100), (599, 599), (0, 0)]
    for number, ship in enumerate(ships):
        a[ship] = 5 + number
    a[200, 200] = -20 + 14.99  # not quite a target
    b = a.copy()
    b[300, 512] -= 2
    b[30, 40] += 0.4
    targets = pair(a, b)["targets"]
    assert targets["count"] == 6 and targets["lost"] == 0
    assert targets["mean_db"] == pytest.approx((-2 + 0.4) / 6)
    assert (targets["worst_db"], targets["worst_row"], targets["worst_col"]) == (-2, 300, 512)
    assert targets["p1_db"] == -2 and targets["p99_db"] == pytest.approx(0.4)
    assert targets["share_within_0_5_db"] == pytest.approx(5 / 6)


def test_a_ship_that_b_lost(pair: Pair) -> None:
    a = np.full((64, 64), -20.0)
    a[30, 30] = a[40, 40] = 10
    b = a.copy()
    b[30, 30] = np.nan
    band = pair(a, b, nodata=np.nan)
    assert (band["targets"]["count"], band["targets"]["lost"]) == (1, 1)
    assert (band["difference"]["only_in_a"], band["difference"]["only_in_b"]) == (1, 0)


def test_targets_are_those_of_plain_medians() -> None:
    rng = np.random.default_rng(8)
    db = flat_speckle((70, 90), looks=1)
    db[20:40, 30:] += 20
    db[rng.random(db.shape) < 0.01] += 14
    db[rng.random(db.shape) < 0.3] = np.nan
    padded = np.pad(db, MARGIN, constant_values=np.nan)
    expected = []
    for row, col in np.argwhere(~np.isnan(db)):
        around = padded[row + MARGIN - 15 : row + MARGIN + 16, col + MARGIN - 15 : col + MARGIN + 16]
        if db[row, col] >= np.nanmedian(around) + 15:
            expected.append((row, col))
    assert len(expected) > 20
    assert list(zip(*point_targets(padded))) == expected


def test_a_shifted_edge(pair: Pair) -> None:
    """Two of 200 columns have the full contrast; in B one of them sees 2 of 3 columns of the bright side."""
    a = np.where(np.arange(200) < 100, -20.0, -10.0) * np.ones((60, 1))
    b = np.where(np.arange(200) < 101, -20.0, -10.0) * np.ones((60, 1))
    partly = 10 * math.log10((1 + 2 * 10) / 3)
    for turned in (lambda x: x, lambda x: x[:, ::-1], lambda x: x.T, lambda x: x.T[::-1]):
        edges = pair(turned(a), turned(b))["edges"]
        assert edges["count"] == 2 * 54 and edges["least_db"] == pytest.approx(10, abs=0.011)
        assert edges["contrast_a_db"] == pytest.approx(10)
        assert edges["contrast_b_db"] == pytest.approx((10 + partly) / 2)
        assert edges["preservation"] == pytest.approx((10 + partly) / 20)


def test_smoothing_lowers_the_contrast_of_edges(pair: Pair) -> None:
    a = flat_speckle((300, 300), looks=20)
    a[:, 150:] += 12
    assert 0.6 < pair(a, box_mean_db(a))["edges"]["preservation"] < 0.95


def test_the_ratio_image_of_a_perfect_filter_is_speckle(pair: Pair) -> None:
    a = flat_speckle((512, 512), looks=5)
    ratio = pair(a, np.full_like(a, -12.0))["ratio"]
    assert ratio["mean"] == pytest.approx(1, abs=0.01) and ratio["enl"] == pytest.approx(5, rel=0.03)
    assert ratio["variance"] == pytest.approx(0.2, rel=0.03)
    assert abs(ratio["lag1_in_rows"]) < 0.01 and abs(ratio["lag1_in_columns"]) < 0.01


def test_structure_in_the_ratio_image_is_correlated(pair: Pair) -> None:
    a = flat_speckle((512, 512), looks=5)
    a += np.where(np.arange(512) // 8 % 2, 3, -3)  # stripes along the columns that B lost
    ratio = pair(a, np.full_like(a, -12.0))["ratio"]
    assert ratio["lag1_in_columns"] > ratio["lag1_in_rows"] > 0.2


def test_ratio_and_its_correlation_are_numpys(pair: Pair) -> None:
    a, b = flat_speckle((CELL + 40, CELL + 70)), box_mean_db(flat_speckle((CELL + 40, CELL + 70), seed=2))
    figures = pair(a, b)["ratio"]
    ratio = 10 ** ((a - b) / 10)
    assert figures["mean"] == pytest.approx(ratio.mean()) and figures["variance"] == pytest.approx(ratio.var())
    for name, (p, q) in {"rows": (ratio[:, :-1], ratio[:, 1:]), "columns": (ratio[:-1], ratio[1:])}.items():
        assert figures[f"lag1_in_{name}"] == pytest.approx(np.corrcoef(p.ravel(), q.ravel())[0, 1])


def test_percentiles_are_exact(pair: Pair) -> None:
    a = flat_speckle((600, 530))
    b = a + np.random.default_rng(6).normal(0, 0.8, a.shape)
    figures = pair(a, b)["difference"]
    errors = np.abs(np.rint((b - a) * 1000)) / 1000
    for percent, name in ((95, "p95_db"), (99, "p99_db"), (99.9, "p99_9_db")):
        assert figures[name] == pytest.approx(np.percentile(errors, percent, method="inverted_cdf"))
    assert figures["rmse_db"] == pytest.approx(math.sqrt((errors**2).mean()))


# Inputs


def test_a_file_and_its_original(harvey_grd: Path, tmp_path: Path) -> None:
    written = sarz.compress(harvey_grd, tmp_path / "x.sarz", quality=50, tile_size=128)
    report = sarz.compare(harvey_grd, tmp_path / "x.sarz")
    for band, figures in zip(written.bands, report.bands):
        assert figures["difference"]["rmse_db"] == pytest.approx(band["rmse_db"], abs=1e-3)
        assert figures["difference"]["bias_db"] == pytest.approx(band["bias_db"], abs=1e-3)
        assert abs(figures["difference"]["worst_db"]) == pytest.approx(band["max_error_db"], abs=2e-3)
    assert report.scale_a == report.scale_b == "amplitude" and report.notes == []
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "x.tif")
    with sarz.open(tmp_path / "x.sarz") as b, rasterio.open(harvey_grd) as a:
        assert sarz.compare(a, b).bands == report.bands == sarz.compare(a, tmp_path / "x.tif").bands


def test_units_do_not_matter(pair: Pair, tmp_path: Path) -> None:
    db = speckled_db((2, 100, 130))
    db[:, :9, :20] = np.nan
    write_geotiff(tmp_path / "db.tif", db, nodata=np.nan)
    write_geotiff(tmp_path / "power.tif", 10 ** (db / 10), nodata=np.nan)
    report = sarz.compare(tmp_path / "db.tif", tmp_path / "power.tif")
    assert (report.scale_a, report.scale_b) == ("db", "intensity") and "A is db" in report.notes[0]
    for band in report.bands:
        assert band["difference"]["pixels"] == 100 * 130 - 180 and band["difference"]["rmse_db"] == 0
        assert band["power"]["bias_db"] == pytest.approx(0, abs=1e-9)
        assert band["edges"]["preservation"] == pytest.approx(1)


def test_nodata_counts_nowhere(pair: Pair) -> None:
    a = flat_speckle((200, 200))
    b = a + 0.1
    a[:100] = -9999
    b[:110, 50:] = -9999
    band = pair(a, b, nodata=-9999)
    figures = band["difference"]
    assert figures["pixels"] == 100 * 50 + 90 * 150
    assert (figures["only_in_a"], figures["only_in_b"]) == (10 * 150, 110 * 50 - 10 * 50)
    assert figures["bias_db"] == pytest.approx(0.1) and figures["p99_9_db"] == pytest.approx(0.1)
    assert band["power"]["bias_db"] == pytest.approx(0.1) and band["power"]["blocks"]["worst_db"] == pytest.approx(0.1)
    assert band["ratio"]["mean"] == pytest.approx(10**-0.01) and band["targets"]["count"] == 0


def test_a_mask_band_is_heeded(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.full((1, 80, 90), 7, np.uint16))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dst:
        dst.write_mask(np.arange(90) * np.ones((80, 1)) >= 30)
    assert sarz.compare(path, path).bands[0]["difference"]["pixels"] == 80 * 60


def test_bands_are_chosen(terramind_db: Path, tmp_path: Path) -> None:
    report = sarz.compare(terramind_db, terramind_db, indexes=2)
    assert [band["band_a"] for band in report.bands] == [2]
    with rasterio.open(terramind_db) as src:
        one = write_geotiff(tmp_path / "one.tif", src.read([1]))
        with pytest.raises(sarz.SarzOptionError, match="has 2 bands, .* has 1; choose bands that both have"):
            sarz.compare(src, one)
        with pytest.raises(sarz.SarzOptionError, match="band 2 was asked for: .* has bands 1 to 1"):
            sarz.compare(src, one, indexes=2)
        assert "lie in different places" in sarz.compare(src, one, indexes=[1]).notes[0]


def test_bad_input(harvey_grd: Path, harvey_db: Path, tmp_path: Path) -> None:
    with pytest.raises(sarz.SarzOptionError, match="512 x 512 pixels, .* has 248 x 328"):
        sarz.compare(harvey_grd, harvey_db)
    with pytest.raises(sarz.SarzOptionError, match="scale 'dB'"):
        sarz.compare(harvey_grd, harvey_grd, scale="dB")
    with pytest.raises(sarz.SarzFileNotFoundError):
        sarz.compare(harvey_grd, tmp_path / "missing.tif")
    with pytest.raises(sarz.SarzFileNotFoundError):
        sarz.compare(tmp_path / "missing.sarz", harvey_grd)
    (tmp_path / "not.sarz").write_bytes(b"II*\0")
    with pytest.raises(sarz.SarzFormatError):
        sarz.compare(harvey_grd, tmp_path / "not.sarz")
    complex_raster = write_geotiff(tmp_path / "c.tif", np.ones((1, 9, 9), np.complex64))
    with pytest.raises(sarz.UnsupportedRasterError, match="complex64.*DERIVED.*verify FILE --against"):
        sarz.compare(complex_raster, complex_raster)


def test_what_a_file_was_told_counts_for_its_original(harvey_grd: Path, tmp_path: Path) -> None:
    sarz.compress(harvey_grd, tmp_path / "x.sarz", scale="intensity")
    for report in (sarz.compare(harvey_grd, tmp_path / "x.sarz"), sarz.compare(tmp_path / "x.sarz", harvey_grd)):
        assert report.scale_a == report.scale_b == "intensity" and report.notes == []
    assert sarz.compare(harvey_grd, harvey_grd).scale_a == "amplitude"


def test_a_fill_value_that_nobody_told_is_not_backscatter(pair: Pair) -> None:
    a = flat_speckle((100, 100))
    a[:50] = -9999
    a[99] = 9999
    figures = pair(a, a)
    assert figures["difference"]["pixels"] == 49 * 100 and math.isfinite(figures["power"]["bias_db"])


def test_extreme_values_are_no_warning(pair: Pair) -> None:
    a = flat_speckle((100, 100))
    a[50, 50], a[20, 20] = 999, -999
    b = a.copy()
    b[50, 50], b[20, 20] = -999, 999
    assert pair(a, b)["difference"]["worst_db"] == 1998


def test_an_unreadable_raster_is_named(harvey_grd: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 60000, (1, 512, 512), np.uint16)
    good = write_geotiff(tmp_path / "good.tif", values)
    (tmp_path / "cut.tif").write_bytes(good.read_bytes()[:200_000])
    for arguments in ((tmp_path / "cut.tif", good), (good, tmp_path / "cut.tif")):
        with pytest.raises(sarz.SarzIOError, match="cut.tif: cannot be read"):
            sarz.compare(*arguments)


def test_a_sarz_file_by_any_name(harvey_sigma0: Path, tmp_path: Path) -> None:
    sarz.compress(harvey_sigma0, tmp_path / "x.sarz")
    renamed = (tmp_path / "x.sarz").rename(tmp_path / "x")
    assert sarz.compare(harvey_sigma0, renamed).scale_b == "intensity"


# Streaming


def test_threads_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = speckled_db((2, 700, 1100))
    a = write_geotiff(tmp_path / "a.tif", values)
    b = write_geotiff(tmp_path / "b.tif", values + 0.3 * speckled_db(values.shape, seed=3))
    reports = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        reports.append(sarz.compare(a, b).to_json()["bands"])
    assert reports[0] == reports[1]


def test_memory_does_not_grow_with_the_height(tmp_path: Path) -> None:
    def peak(height: int) -> int:
        with rasterio.open(tmp_path / f"{height}.tif", "w", driver="GTiff", width=CELL, height=height, count=1,
                           dtype="float32", tiled=True, compress="deflate") as dst:
            for top in range(0, height, CELL):
                part = flat_speckle((CELL, CELL), seed=top).astype(np.float32)
                dst.write(part, 1, window=rasterio.windows.Window(0, top, CELL, CELL))
        tracemalloc.start()
        try:
            sarz.compare(tmp_path / f"{height}.tif", tmp_path / f"{height}.tif")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(9 * CELL) < 1.1 * peak(3 * CELL)


def test_progress(harvey_grd: Path) -> None:
    calls: list[tuple[int, int]] = []
    sarz.compare(harvey_grd, harvey_grd, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 1)]


# Parts


def test_distribution() -> None:
    distribution = Distribution()
    assert math.isnan(distribution.percentile_db(50)) and math.isnan(distribution.share_within(1))
    distribution.add(np.array([-3000, -10, 0, 10, 10**9]))
    assert distribution.total == 5 and distribution.percentile_db(50) == 0 and distribution.percentile_db(0) == -3
    assert distribution.percentile_db(100) == 600 and distribution.magnitude_percentile_db(60) == 0.01
    assert distribution.share_within(0.01) == 3 / 5


@pytest.mark.parametrize("values, mode", [([5.0], 5.0), ([1.0, 1.0, 9.0], 1.0), ([2.0] * 7 + [8.0] * 5, 2.0)])
def test_mode_of_few_values(values: list[float], mode: float) -> None:
    assert density_mode(np.array(values)) == pytest.approx(mode, abs=0.05)


def test_mode_of_many_values() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(7, 0.4, 5000), rng.uniform(-20, 6, 5000)])
    assert density_mode(values) == pytest.approx(7, abs=0.15)


@pytest.mark.parametrize("shape, step", [((1000, 3), 1), ((1001, 3), 2), ((16700, 25000), 32), ((3, 10**7), 512)])
def test_preview_step(shape: tuple[int, int], step: int) -> None:
    assert preview_step(*shape) == step
