"""``rio sarcodec compare``: table, JSON, picture, exit status."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import sarz
from click.testing import CliRunner, Result
from conftest import speckled_db, write_geotiff
from rasterio.rio.main import main_group

FIGURES = {
    "difference": {"pixels", "only_in_a", "only_in_b", "rmse_db", "bias_db", "worst_db", "worst_row", "worst_col",
                   "p95_db", "p99_db", "p99_9_db"},
    "power": {"bias_db", "blocks"},
    "looks": {"blocks", "mode_a", "enl_a", "enl_b", "ratio"},
    "targets": {"count", "lost", "mean_db", "p1_db", "p99_db", "worst_db", "worst_row", "worst_col",
                "share_within_0_5_db"},
    "edges": {"count", "least_db", "contrast_a_db", "contrast_b_db", "preservation"},
    "ratio": {"mean", "variance", "enl", "lag1_in_rows", "lag1_in_columns"},
}
BLOCKS = {"count", "mean_db", "p5_db", "p50_db", "p95_db", "worst_db", "worst_row", "worst_col", "share_within_0_05_db"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main_group, ["sarcodec", "compare", *map(str, arguments)])


@pytest.fixture(scope="module")
def coded(tmp_path_factory, harvey_grd) -> Path:
    path = tmp_path_factory.mktemp("compare") / "ein Bild (1) $x$ é.sarz"
    sarz.compress(harvey_grd, path, quality=50)
    return path


def test_table(harvey_grd, coded):
    result = run(harvey_grd, coded)
    assert result.exit_code == 0 and result.stderr == ""
    for part in (str(coded), "1 VV", "2 VH", "RMSE", "equivalent number of looks", "edge preservation", "lag-1"):
        assert part in result.stdout
    assert "valid in A alone" not in result.stdout  # nothing to tell


def test_json(harvey_grd, coded):
    result = run(harvey_grd, coded, "--json")
    report = json.loads(result.stdout)
    assert set(report) == {"a", "b", "width", "height", "count", "scale_a", "scale_b", "bands", "plot", "seconds",
                           "notes", "bound_a", "bound_b"}
    assert len(report["bands"]) == report["count"] == 2
    for band in report["bands"]:
        assert set(band) == {"band_a", "band_b", "description", *FIGURES}
        assert {name: set(band[name]) for name in FIGURES} == FIGURES
        assert set(band["power"]["blocks"]) == BLOCKS


@pytest.mark.parametrize("name", ["all_nodata_raster", "one_pixel_raster"])
def test_what_does_not_exist_is_null_and_a_dash(name, request):
    raster = request.getfixturevalue(name)
    report = json.loads(run(raster, raster, "--json").stdout)
    assert report["bands"][0]["power"]["blocks"]["mean_db"] is None and report["bands"][0]["looks"]["enl_a"] is None
    assert "-\n" in run(raster, raster).stdout


def test_bands_and_scale(terramind_db):
    result = run(terramind_db, terramind_db, "--bidx", 2, "--scale", "db", "--json")
    assert [band["band_a"] for band in json.loads(result.stdout)["bands"]] == [2]


def test_many_bands_are_several_tables(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", speckled_db((6, 70, 70)))
    with rasterio.open(path, "r+") as dst:
        dst.descriptions = ["a very long description\nof a band"] * 6
    assert run(path, path).stdout.count("RMSE") == 2


@pytest.mark.parametrize("arguments, part", [
    (("--plot", "x.jpg"), "ends in .png"), (("--bidx", "9"), "bands 1 to 2"),
    (("--plot", "none/x.png"), "does not exist"),
])  # fmt: skip
def test_failures_are_one_line(harvey_grd, arguments, part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(harvey_grd, harvey_grd, *arguments)
    assert result.exit_code == 1 and part in result.stderr and len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [(), ("a.tif",), ("a.tif", "b.tif", "c.tif"), ("a.tif", "b.tif", "--scale", "x")])
def test_misuse(arguments):
    assert run(*arguments).exit_code == 2


def test_a_damaged_file_fails(harvey_grd, coded, tmp_path):
    data = bytearray(coded.read_bytes())
    data[-9] ^= 1
    (tmp_path / "bad.sarz").write_bytes(data)
    result = run(harvey_grd, tmp_path / "bad.sarz", "--plot", tmp_path / "x.png")
    assert result.exit_code == 1 and "bad.sarz: tile row 0, column 0, band group 0 is damaged" in result.stderr
    assert not list(tmp_path.glob("*.png")) and not list(tmp_path.glob(".*"))


# The picture


def test_plot_without_matplotlib_says_what_to_install(harvey_grd, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(harvey_grd, harvey_grd, "--plot", tmp_path / "x.png")
    assert result.exit_code == 1 and "pip install 'rio-sarcodec[plot]'" in result.stderr
    assert not list(tmp_path.iterdir())


def test_plot(harvey_grd, coded, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "ein Bild.png"
    result = run(harvey_grd, coded, "--plot", path)
    assert result.exit_code == 0 and result.stderr == "" and f"plot: {path}" in result.stdout
    with rasterio.open(path) as src:
        assert src.width > 1500 and src.height > 600
        assert len(np.unique(src.read(1))) > 100
    first = path.read_bytes()
    again = run(harvey_grd, coded, "--plot", path)
    assert again.exit_code == 1 and "--overwrite" in again.stderr and path.read_bytes() == first
    assert run(harvey_grd, coded, "--plot", path, "--overwrite").exit_code == 0
    assert path.read_bytes() == first  # the same picture, byte for byte


@pytest.mark.parametrize("name", ["all_nodata_raster", "constant_raster", "one_pixel_raster", "width_513_raster"])
def test_odd_rasters_are_drawn(name, request, tmp_path):
    pytest.importorskip("matplotlib")
    raster = request.getfixturevalue(name)
    assert run(raster, raster, "--plot", tmp_path / "x.png").exit_code == 0
    assert (tmp_path / "x.png").stat().st_size > 5000


def test_five_bands_draw_four(tmp_path):
    pytest.importorskip("matplotlib")
    path = write_geotiff(tmp_path / "a.tif", speckled_db((5, 70, 70)))
    assert "the first 4 of 5 bands" in run(path, path, "--plot", tmp_path / "x.png").stdout


def test_an_input_is_not_drawn_over(harvey_grd, tmp_path):
    pytest.importorskip("matplotlib")
    with rasterio.open(tmp_path / "a.png", "w", driver="PNG", width=9, height=9, count=1, dtype="uint8") as dst:
        dst.write(np.full((1, 9, 9), 5, np.uint8))
    before = (tmp_path / "a.png").read_bytes()
    result = run(tmp_path / "a.png", tmp_path / "a.png", "--plot", tmp_path / "a.png", "--overwrite")
    assert result.exit_code == 1 and "this is an input" in result.stderr
    assert (tmp_path / "a.png").read_bytes() == before
