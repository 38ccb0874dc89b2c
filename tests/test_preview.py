"""``sarz.preview`` and ``rio sarcodec preview``: which overview is shown, the stretch, transparency, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import sarz
from click.testing import CliRunner, Result
from conftest import speckled_db, write_geotiff
from made_model import made_models  # noqa: F401 (a fixture)
from rasterio.rio.main import main_group

pytestmark = pytest.mark.usefixtures("made_models")

HEIGHT, WIDTH = 150, 290


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main_group, ["sarcodec", "preview", *map(str, arguments)])


def read_png(path: Path) -> np.ndarray:
    with rasterio.open(path) as src:
        assert src.driver == "PNG" and set(src.dtypes) == {"uint8"}
        return src.read()


@pytest.fixture(scope="module")
def scene(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """VH, VV and an incidence angle, NaN in a corner, zeros at the right."""
    folder = tmp_path_factory.mktemp("preview")
    values = np.empty((3, HEIGHT, WIDTH), np.float32)
    values[:2] = 10 ** (speckled_db((2, HEIGHT, WIDTH)) / 10)
    values[1] *= 10
    values[2] = np.linspace(30, 46, WIDTH)
    values[:2, :, -16:] = 0
    values[:, :64, :32] = np.nan
    path = write_geotiff(folder / "scene.tif", values, nodata=np.nan)
    with rasterio.open(path, "r+") as dst:
        dst.descriptions = ("VH", "VV", "incidence angle")
    sarz.compress(path, folder / "scene.sarz", tile_size=64)
    return folder / "scene.sarz"


@pytest.mark.parametrize(("size", "factor", "shape"), [
    (1024, 1, (150, 290)), (290, 1, (150, 290)), (289, 2, (75, 145)), (40, 8, (19, 37)), (36, 16, (10, 19)), (1, 512, (1, 1)),
])  # fmt: skip
def test_the_overview_that_fits(scene: Path, tmp_path: Path, size: int, factor: int, shape: tuple[int, int]) -> None:
    report = sarz.preview(scene, tmp_path / "a.png", size=size)
    assert (report.factor, report.height, report.width) == (factor, *shape)
    assert read_png(tmp_path / "a.png").shape == (2, *shape)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_grey_is_stretched_in_decibels(scene: Path, tmp_path: Path) -> None:
    report = sarz.preview(scene, tmp_path / "a.png", size=40, indexes=2, percentiles=(5, 90))
    with sarz.open(scene) as src, np.errstate(divide="ignore"):
        db = 10 * np.log10(src.read_overview(8, indexes=2).astype(float))
    grey, alpha = read_png(tmp_path / "a.png")
    low, high = np.percentile(db[np.isfinite(db)], [5, 90])
    [channel] = report.channels
    assert channel == {"name": "VV", "unit": "dB", "low": pytest.approx(low), "high": pytest.approx(high)}
    expected = np.rint(255 * np.clip((np.where(np.isnan(db), -99, db) - low) / (high - low), 0, 1))
    np.testing.assert_array_equal(grey, expected)
    np.testing.assert_array_equal(alpha, np.where(np.isnan(db), 0, 255))
    assert (alpha[:8, :4] == 0).all() and (grey[:, -1] == 0).all() and (alpha[:, -1] == 255).all()  # nodata, no power


def test_rgb_is_the_pair_and_its_ratio(scene: Path, tmp_path: Path) -> None:
    report = sarz.preview(scene, tmp_path / "a.png", size=100, rgb=True)
    assert [channel["name"] for channel in report.channels] == ["VV", "VH", "VV / VH"]
    red, green, blue, alpha = read_png(tmp_path / "a.png")
    sarz.preview(scene, tmp_path / "vv.png", size=100, indexes=[2])
    np.testing.assert_array_equal(red, read_png(tmp_path / "vv.png")[0])
    sarz.preview(scene, tmp_path / "vh.png", size=100, indexes=1)
    np.testing.assert_array_equal(green, read_png(tmp_path / "vh.png")[0])
    assert blue[alpha > 0].std() > 10 and (alpha[:16, :8] == 0).all()


def test_three_bands_of_any_kind(scene: Path, tmp_path: Path) -> None:
    report = sarz.preview(scene, tmp_path / "a.png", size=100, indexes=(3, 2, 1))
    assert [c["name"] for c in report.channels] == ["incidence angle", "VV", "VH"]
    angle = report.channels[0]
    assert angle["unit"] == "" and 30 < angle["low"] < 31 and 45 < angle["high"] < 46
    assert np.ptp(read_png(tmp_path / "a.png")[0].astype(int)) == 255


def test_nothing_valid(all_nodata_raster: Path, tmp_path: Path) -> None:
    sarz.compress(all_nodata_raster, tmp_path / "a.sarz")
    report = sarz.preview(tmp_path / "a.sarz", tmp_path / "a.png", rgb=True)
    assert [channel["low"] for channel in report.channels] == [None] * 3
    assert not read_png(tmp_path / "a.png").any()


def test_one_value_is_grey(tmp_path: Path) -> None:
    sarz.compress(write_geotiff(tmp_path / "a.tif", np.full((1, 70, 80), 100, np.uint16)), tmp_path / "a.sarz", lossless=True)
    sarz.preview(tmp_path / "a.sarz", tmp_path / "a.png")
    grey, alpha = read_png(tmp_path / "a.png")
    assert (grey == 128).all() and (alpha == 255).all()


@pytest.mark.parametrize(("arguments", "message"), [
    ({"size": 0}, "size 0"), ({"size": 2.5}, "size 2.5"), ({"percentiles": (50, 50)}, "percentiles 50 and 50"),
    ({"percentiles": (-1, 50)}, "percentiles -1 and 50"), ({"percentiles": "ab"}, "two numbers"), ({"percentiles": 3}, "two numbers"),
    ({"indexes": (1, 2)}, "2 bands: expected one for a grey"), ({"indexes": 1, "rgb": True}, "exclude each other"),
])  # fmt: skip
def test_refused_arguments(scene: Path, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(sarz.SarzOptionError, match=message):
        sarz.preview(scene, tmp_path / "a.png", **arguments)
    assert not list(tmp_path.iterdir())


def test_other_refusals(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(sarz.SarzOptionError, match=r"ends in \.png"):
        sarz.preview(scene, tmp_path / "a.tif")
    with pytest.raises(IndexError):
        sarz.preview(scene, tmp_path / "a.png", indexes=4)
    with pytest.raises(sarz.SarzFileNotFoundError):
        sarz.preview(tmp_path / "no.sarz", tmp_path / "a.png")
    sarz.compress(write_geotiff(tmp_path / "one.tif", speckled_db((1, 70, 80)).astype(np.float32)), tmp_path / "one.sarz")
    with pytest.raises(sarz.SarzOptionError, match="takes a pair"):
        sarz.preview(tmp_path / "one.sarz", tmp_path / "a.png", rgb=True)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(sarz.OutputExistsError):
        sarz.preview(scene, tmp_path / "a.png")
    sarz.preview(scene, tmp_path / "a.png", overwrite=True)
    assert read_png(tmp_path / "a.png").shape == (2, HEIGHT, WIDTH)


def test_command(scene: Path, tmp_path: Path) -> None:
    result = run(scene, tmp_path / "a.png", "--size", 40, "--rgb")
    assert result.exit_code == 0 and result.stderr == ""
    assert "37 x 19 pixels, overview 1:8" in result.stdout and "  VV / VH: " in result.stdout and " dB\n" in result.stdout
    sarz.preview(scene, tmp_path / "b.png", size=40, rgb=True)
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), read_png(tmp_path / "b.png"))
    result = run(scene, tmp_path / "a.png", "-b", 3, "--overwrite", "--json", "--percentiles", 0, 100)
    report = json.loads(result.stdout)
    assert report["factor"] == 1 and report["channels"][0]["low"] == 30
    assert {"input", "output", "width", "height", "factor", "channels", "bytes_read", "seconds"} == set(report)
    assert run(scene, tmp_path / "a.png", "--overwrite", "-q").output == ""


@pytest.mark.parametrize(("arguments", "status", "message"), [
    ((), 1, "exists"), (("--rgb", "-b", "1", "--overwrite"), 2, "exclude each other"), (("--size", "0"), 2, "--size"),
    (("--percentiles", "90", "10", "--overwrite"), 1, "percentiles 90 and 10"), (("-b", "9", "--overwrite"), 1, "band index 9"),
])  # fmt: skip
def test_command_failures(scene: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    result = run(scene, tmp_path / "a.png", *arguments)
    assert result.exit_code == status and message in result.stderr
    assert (tmp_path / "a.png").read_bytes() == b"old"
