"""The sample that decides scale and offsets: what packed decibels mean, and where pixels are looked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import RasterWriter, speckled_db, write_geotiff
from made_model import made_models  # noqa: F401 (a fixture)

import sarz_format as sarz
from sarz_format.sampling import scaled_values, take_sample

pytestmark = pytest.mark.usefixtures("made_models")


def packed(path: Path, dtype: str, gain: float, bias: float, nodata: int) -> tuple[Path, np.ndarray]:
    """Decibels from -20 to -5 as whole numbers, nodata in a corner."""
    values = np.rint((speckled_db((2, 90, 120)) - bias) / gain).astype(dtype)
    values[:, :9, :30] = nodata
    write_geotiff(path, values, nodata=nodata)
    with rasterio.open(path, "r+") as dst:
        dst.scales, dst.offsets = (gain,) * 2, (bias,) * 2
    return path, values


@pytest.mark.parametrize(("dtype", "gain", "bias", "nodata"), [
    ("uint16", 0.01, -100.0, 0), ("int16", 0.01, 0.0, -32768), ("int16", -0.005, -30.0, 0), ("uint8", 0.25, -60.0, 0),
])
def test_packed_decibels_are_recognised_and_coded_in_decibels(tmp_path: Path, dtype: str, gain: float, bias: float,
                                                              nodata: int) -> None:
    src, values = packed(tmp_path / "x.tif", dtype, gain, bias, nodata)
    report = sarz.compress(src, tmp_path / "x.sarz")
    assert report.scale == "db"
    assert "after scale and offset" in report.scale_reason
    with sarz.open(tmp_path / "x.sarz") as dataset:
        decoded = dataset.read()
        assert all(-25 < offset < 0 for offset in dataset.header.offsets_db)
    valid = values != nodata
    assert np.array_equal(decoded == nodata, ~valid)
    error_db = (decoded.astype(float) - values)[valid] * gain
    assert report.rmse_db == pytest.approx(np.sqrt((error_db**2).mean()), abs=2e-3)
    assert report.rmse_db < 3


def test_a_scale_that_leaves_values_positive_changes_nothing(tmp_path: Path, write_raster: RasterWriter) -> None:
    src = write_raster("x.tif", np.rint(300 * 10 ** (speckled_db((1, 60, 70)) / 20)).astype(np.uint16))
    with rasterio.open(src, "r+") as dst:
        dst.scales, dst.offsets = (0.5,), (3.0,)
    assert sarz.compress(src, tmp_path / "x.sarz").scale == "amplitude"


@pytest.mark.parametrize(("gain", "bias"), [(0.0, -5.0), (np.nan, 0.0), (1.0, -np.inf)])
def test_a_scale_that_is_none_is_not_applied(gain: float, bias: float) -> None:
    assert scaled_values(np.array([3, 5], np.uint8), gain, bias).tolist() == [3.0, 5.0]


def islands(path: Path, *places: tuple[int, int]) -> Path:
    """A raster of 1500 x 2200 NaN but for squares of 20 x 20 pixels of decibels at ``(row, column)``."""
    values = np.full((1, 1500, 2200), np.nan, np.float32)
    for row, col in places:
        values[0, row : row + 20, col : col + 20] = -12 + np.arange(20)
    return write_geotiff(path, values, nodata=np.nan)


@pytest.mark.parametrize(("place", "words"), [
    ((700, 1100), None),
    ((180, 300), "one of 9 x 9 did"),
    ((150, 150), "one of 17 x 17 did"),
])
def test_finer_grids_are_tried_where_the_first_has_no_valid_pixel(tmp_path: Path, place: tuple[int, int],
                                                                  words: str | None) -> None:
    with rasterio.open(islands(tmp_path / "x.tif", place)) as src:
        sample = take_sample(src, [1], [np.nan])
        again = take_sample(src, [1], [np.nan])
    assert sample.values[0].size
    assert np.array_equal(sample.values[0], again.values[0])
    assert sample.note == again.note
    assert (words in sample.note) if words else not sample.note


def test_at_last_all_rows_are_read(tmp_path: Path) -> None:
    """One valid pixel between the windows of even the finest grid."""
    height, width = 129, 60_000
    path = tmp_path / "x.tif"
    with rasterio.open(path, "w", driver="GTiff", width=width, height=height, count=1, dtype="float32", nodata=np.nan,
                       tiled=True, compress="deflate") as dst:
        dst.write(np.full((1, height, width), np.nan, np.float32))
        dst.write(np.full((1, 1, 1), -7, np.float32), window=rasterio.windows.Window(200, 128, 1, 1))
    with rasterio.open(path) as src:
        sample = take_sample(src, [1], [np.nan])
    assert sample.values[0].tolist() == [-7]
    assert "rows 128 to 128 did" in sample.note


def test_the_reason_says_where_the_sample_was_found(tmp_path: Path) -> None:
    report = sarz.compress(islands(tmp_path / "x.tif", (180, 300)), tmp_path / "x.sarz")
    assert report.scale == "db"
    assert "first sample, 5 x 5 windows, held no valid pixel, one of 9 x 9 did" in report.scale_reason
    with sarz.open(tmp_path / "x.sarz") as src:
        assert src.header.scale_reason == report.scale_reason


def test_the_reason_says_that_nothing_is_valid(tmp_path: Path) -> None:
    report = sarz.compress(islands(tmp_path / "x.tif"), tmp_path / "x.sarz")
    assert "no pixel of the raster is valid" in report.scale_reason
    assert report.empty_tiles == report.tiles
