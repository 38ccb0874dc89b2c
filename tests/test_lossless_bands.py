"""Bands that are not backscatter: incidence angles and alpha come back exactly, and decide nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from conftest import speckled_db, write_geotiff
from made_model import made_models  # noqa: F401 (a fixture)
from rasterio.enums import ColorInterp
from rasterio.rio.main import main_group
from rasterio.windows import Window

import sarz_format as sarz
from sarz_format.container import open_container
from sarz_format.roles import is_angle, lossless_bands

pytestmark = pytest.mark.usefixtures("made_models")

TILE = 64


@pytest.mark.parametrize("name", [
    "angle", "Angle", "incidence_angle", "localIncidenceAngle", "ellipsoid incidence angle", "INCIDENCE ANGLE", "LIA",
    "incidenceAngleFromEllipsoid", "projected_local_inc_angle", "inc", "angle_VV",
])
def test_names_of_angles(name: str) -> None:
    assert is_angle(name)


@pytest.mark.parametrize("name", [
    None, "", "VV", "Sigma0_VV", "rectangle", "increment", "triangles", "principal",
    "Gamma0_VV_use_local_inci_angle_from_dem", "backscatter, incidence corrected",
])
def test_names_of_other_bands(name: str | None) -> None:
    assert not is_angle(name)


def test_what_a_band_is() -> None:
    assert lossless_bands(["VV", "angle", None], ["gray", "undefined", "alpha"]) == {
        1: "an incidence angle", 2: "an alpha band"}


def angle_scene(path: Path) -> tuple[Path, np.ndarray]:
    """VV and VH in decibels and two positive angles, float32, NaN in a corner, in all of a tile, and some zeros."""
    values = np.empty((4, 150, 200), np.float32)
    values[:2] = speckled_db((2, 150, 200))
    values[2] = np.linspace(30, 46, 200) + np.random.default_rng(1).normal(0, 0.01, (150, 200))
    values[3] = values[2] * 1.1
    values[:, :70, :66] = np.nan
    values[3, 100:110] = 0
    write_geotiff(path, values, nodata=np.nan)
    with rasterio.open(path, "r+") as dst:
        dst.descriptions = ("localIncidenceAngle", "VV", "VH", "ellipsoid incidence angle")
        dst.write(values[2], 1)
        dst.write(values[0], 2)
        dst.write(values[1], 3)
    with rasterio.open(path) as src:
        return path, src.read()


def test_angles_are_exact_and_do_not_decide_the_scale(tmp_path: Path) -> None:
    src, original = angle_scene(tmp_path / "x.tif")
    report = sarz.compress(src, tmp_path / "x.sarz", tile_size=TILE)
    assert report.scale == "db"
    assert report.notes == ["band 1 (localIncidenceAngle) is an incidence angle: kept losslessly",
                            "band 4 (ellipsoid incidence angle) is an incidence angle: kept losslessly"]
    with sarz.open(tmp_path / "x.sarz") as dataset:
        decoded = dataset.read()
        assert dataset.read(4, window=Window(30, 60, 90, 60)).tobytes() == original[3, 60:120, 30:120].tobytes()
        assert dataset.header.offsets_db[0] == dataset.header.offsets_db[3] == 0
        assert list(dataset.header.notes) == report.notes
    assert decoded[[0, 3]].tobytes() == original[[0, 3]].tobytes()
    assert not np.array_equal(decoded[1], original[1], equal_nan=True)
    assert np.isnan(report.bands[0]["rmse_db"])
    assert report.rmse_db > 0


def test_their_tiles_are_fallback_tiles_without_latents(tmp_path: Path) -> None:
    src, _ = angle_scene(tmp_path / "x.tif")
    report = sarz.compress(src, tmp_path / "x.sarz", tile_size=TILE)
    with open_container(tmp_path / "x.sarz") as container:
        description = sarz.describe(container, tiles=True)
    kinds = {(t["row"], t["col"], t["group"]): t["kind"] for t in description["tile_table"]}
    angles = [g for g, model in enumerate(description["models"]) if model["bands"] in ([1], [4])]
    assert len(angles) == 2
    for (row, col, group), kind in kinds.items():
        if group in angles:
            assert kind == ("empty" if (row, col) == (0, 0) else "fallback")
        else:
            assert kind == ("empty" if (row, col) == (0, 0) else "coded")
    assert (report.fallback_tiles, report.empty_tiles) == (22, 3)
    assert (description["tiles"]["fallback"], description["tiles"]["empty"]) == (22, 3)


def test_a_raster_of_angles_alone(tmp_path: Path) -> None:
    src, original = angle_scene(tmp_path / "x.tif")
    report = sarz.compress(src, tmp_path / "x.sarz", indexes=[4, 1])
    assert report.scale_reason == "no band is backscatter"
    with sarz.open(tmp_path / "x.sarz") as dataset:
        assert dataset.read().tobytes() == original[[3, 0]].tobytes()


def test_info_and_reports_say_so(tmp_path: Path) -> None:
    src, _ = angle_scene(tmp_path / "x.tif")
    run = lambda *arguments: CliRunner().invoke(main_group, ["sarcodec", *map(str, arguments)])  # noqa: E731
    made = run("compress", src, tmp_path / "x.sarz")
    note = "band 1 (localIncidenceAngle) is an incidence angle: kept losslessly"
    assert made.exit_code == 0 and note in made.stdout and "no pixel went through the model" in made.stdout
    shown = run("info", tmp_path / "x.sarz")
    assert note in shown.stdout
    assert note in json.loads(run("info", "--json", tmp_path / "x.sarz").stdout)["notes"]


def alpha_scene(path: Path, nodata: float | None = None) -> Path:
    """Amplitudes of two bands and a third that is transparent, half transparent or opaque, uint8."""
    values = np.rint(60 * 10 ** ((speckled_db((3, 150, 200)) + 12) / 20)).clip(1, 255).astype(np.uint8)
    values[:2, 80:, :30] = 0
    values[2] = 255
    values[2, :40, :90] = 0
    values[2, 100:, 150:] = 128
    colours = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
    with rasterio.open(path, "w", driver="GTiff", count=3, height=150, width=200, dtype="uint8", alpha="yes",
                       nodata=nodata, crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)) as dst:
        dst.colorinterp = colours
        dst.write(values)
    return path


@pytest.mark.parametrize("nodata", [None, 0])
@pytest.mark.parametrize("cog", [False, True])
def test_masks_of_an_alpha_band_are_those_of_the_original(tmp_path: Path, cog: bool, nodata: float | None) -> None:
    src = alpha_scene(tmp_path / "x.tif", nodata)
    report = sarz.compress(src, tmp_path / "x.sarz", tile_size=TILE)
    assert report.notes == ["band 3 is an alpha band: kept losslessly"]
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "back.tif", cog=cog)
    window = Window(60, 20, 100, 90)
    with (rasterio.open(src) as original, sarz.open(tmp_path / "x.sarz") as read,
          rasterio.open(tmp_path / "back.tif") as back):
        for dataset in (read, back):
            assert np.array_equal(dataset.read(3), original.read(3))
            assert dataset.colorinterp == original.colorinterp
            assert list(dataset.mask_flag_enums) == list(original.mask_flag_enums)
            assert np.array_equal(dataset.read_masks(), original.read_masks())
            assert np.array_equal(dataset.read_masks(1, window=window), original.read_masks(1, window=window))
            assert np.array_equal(dataset.dataset_mask(), original.dataset_mask())
            assert np.array_equal(dataset.dataset_mask(window=window), original.dataset_mask(window=window))
            assert np.array_equal(dataset.read(1, masked=True).mask, original.read(1, masked=True).mask)


def test_the_mask_of_chosen_bands(tmp_path: Path) -> None:
    """Gray and alpha taken in another order, and a window of them."""
    src = alpha_scene(tmp_path / "x.tif")
    sarz.compress(src, tmp_path / "x.sarz", indexes=[3, 1], tile_size=TILE)
    window = Window(60, 20, 100, 90)
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "back.tif", window=window)
    with rasterio.open(src) as original, rasterio.open(tmp_path / "back.tif") as back:
        assert back.colorinterp == (ColorInterp.alpha, ColorInterp.gray)
        assert np.array_equal(back.read(1), original.read(3, window=window))
        assert np.array_equal(back.dataset_mask(), original.dataset_mask(window=window))
