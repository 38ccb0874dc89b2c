"""Lossless files: every bit of every dtype comes back, no model is needed, and the file says what it is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from conftest import speckled_db, write_geotiff
from rasterio.rio.main import main_group
from rasterio.windows import Window

import sarz_format as sarz
from sarz_format import weights
from sarz_format.container import open_container
from sarz_format.container_writer import ContainerWriter
from sarz_format.fallback import CONTEXTUAL
from sarz_format.index import EMPTY, FALLBACK

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float32", "float64")
SHAPE, TILE = (3, 75, 140), 64
"""Ragged: 2 x 3 tiles of 64, the last ones of 11 rows and 12 columns; a pair of bands and a single one."""


def scene(dtype: str) -> np.ndarray:
    """Speckle with zeros, extremes, and in floats NaN payloads, infinities, negative zeros and subnormals."""
    values = 60 * 10 ** ((speckled_db(SHAPE) + 12) / 20)
    values = values.clip(1, 120).astype(dtype)
    values[:, 5:9, 5:30] = 0
    values[0, 40, 40:60:2] = np.iinfo(dtype).min if dtype in INTEGERS else -np.inf
    values[1, 40, 40:60:2] = np.iinfo(dtype).max if dtype in INTEGERS else np.inf
    if dtype in FLOATS:
        values[:, 20, :30] = -0.0
        values[:, 21, :30] = np.nan
        values[:, 22, :30] = np.finfo(dtype).smallest_subnormal
        bits = values.view(f"u{values.itemsize}")
        bits[:, 21, 10:30] += np.arange(1, 21, dtype=bits.dtype)  # payloads
        bits[:, 21, :5] |= bits.dtype.type(1 << (8 * values.itemsize - 1))  # sign
    return values


def no_models(patch: pytest.MonkeyPatch) -> None:
    def none_at_hand() -> Any:
        raise AssertionError("a model was looked for")

    patch.setattr(weights, "model_folders", none_at_hand)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@pytest.mark.parametrize("nodata", [None, 0, math.nan])
def test_every_bit_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, nodata: float | None) -> None:
    if nodata is not None and math.isnan(nodata) and dtype in INTEGERS:
        nodata = 60
    values = scene(dtype)
    raster = write_geotiff(tmp_path / "x.tif", values, nodata=nodata)
    with rasterio.open(raster) as src:
        assert src.read().tobytes() == values.tobytes()
        masks = src.read_masks()
    no_models(monkeypatch)
    path = tmp_path / "x.sarz"
    report = sarz.compress(raster, path, lossless=True, tile_size=TILE)
    assert (report.lossless, report.tiles, report.fallback_tiles, report.empty_tiles) == (True, 12, 12, 0)
    assert (report.arithmetic, report.target, report.tile_qualities) == ("none", None, None)
    assert math.isnan(report.rmse_db)
    window = Window(50, 30, 80, 44)
    with sarz.open(path) as dataset:
        assert dataset.read().tobytes() == values.tobytes()
        assert dataset.read(2, window=window).tobytes() == values[1, 30:74, 50:130].tobytes()
        assert np.array_equal(dataset.read_masks(), masks)
        assert dataset.nodata is None if nodata is None else np.array_equal(dataset.nodata, nodata, equal_nan=True)
    sarz.decompress(path, tmp_path / "y.tif")
    with rasterio.open(tmp_path / "y.tif") as back:
        assert back.read().tobytes() == values.tobytes()
    assert sarz.verify(path, raster).problems == []
    with open_container(path) as container:
        assert container.header.lossless
        assert set(container.index.entries["flags"].tolist()) == {EMPTY | FALLBACK}


def test_a_real_scene_is_smaller_than_jpeg_xl_makes_it(tmp_path: Path, harvey_grd: Path) -> None:
    """The bare codestream of JPEG XL at effort 7 has 4.928 bits a sample; ours is a whole file, 6 kB of it points."""
    report = sarz.compress(harvey_grd, tmp_path / "x.sarz", lossless=True)
    assert report.bpp < 4.95
    with open_container(tmp_path / "x.sarz") as container:
        (detail,) = container.read_parts([(0, "detail")])
    # Seven empty segments but the last, whose length takes three bytes, begin the part.
    assert detail[:6] == bytes(6) and detail[9] == CONTEXTUAL


@pytest.mark.parametrize("values", [np.zeros((1, 1, 1), np.uint8), np.full((2, 1, 300), 7, np.int16),
                                    np.full((1, 65, 1), np.nan, np.float32)])
def test_odd_rasters(tmp_path: Path, values: np.ndarray) -> None:
    raster = write_geotiff(tmp_path / "x.tif", values, nodata=values.flat[0])
    sarz.compress(raster, tmp_path / "x.sarz", lossless=True, tile_size=64)
    with sarz.open(tmp_path / "x.sarz") as dataset:
        assert dataset.read().tobytes() == values.tobytes()
        assert not dataset.read_masks().any()
    assert sarz.verify(tmp_path / "x.sarz", raster).ok


def test_angles_and_chosen_bands(tmp_path: Path) -> None:
    values = scene("float32")
    raster = write_geotiff(tmp_path / "x.tif", values)
    with rasterio.open(raster, "r+") as dst:
        dst.descriptions = ("VH", "localIncidenceAngle", "VV")
    report = sarz.compress(raster, tmp_path / "x.sarz", lossless=True, indexes=[3, 2, 1])
    assert report.notes == []
    with sarz.open(tmp_path / "x.sarz") as dataset:
        assert dataset.read().tobytes() == values[::-1].tobytes()
        assert [group.bands for group in dataset.header.groups] == [(0, 2), (1,)]
        assert {(group.model, group.weights_sha256) for group in dataset.header.groups} == {("none", "0" * 64)}


@pytest.mark.parametrize("other", [{"quality": 55}, {"rmse_db": 0.5}, {"ratio": 10}, {"bpp": 1}])
def test_lossless_excludes_a_quality_and_targets(tmp_path: Path, harvey_grd: Path, other: dict[str, Any]) -> None:
    with pytest.raises(sarz.SarzOptionError, match=f"lossless and {next(iter(other))} are given"):
        sarz.compress(harvey_grd, tmp_path / "x.sarz", lossless=True, **other)
    (name, value), = other.items()
    option = "--" + name.replace("_", "-")
    result = run("compress", harvey_grd, tmp_path / "x.sarz", "--lossless", option, value)
    assert result.exit_code == 2 and f"{option} and --lossless exclude each other" in result.stderr
    assert not (tmp_path / "x.sarz").exists()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main_group, ["sarcodec", *map(str, arguments)])


def test_the_command_line_says_so(tmp_path: Path, write_raster: Any) -> None:
    raster, path = write_raster("x.tif", scene("uint16")), tmp_path / "x.sarz"
    made = run("compress", raster, path, "--lossless", "--tile-size", TILE)
    assert made.exit_code == 0 and "none: lossless" in made.stdout and "quality" not in made.stdout
    shown = run("info", path)
    assert "coding      lossless, tiles of 64" in shown.stdout and "every pixel is stored exactly" in shown.stdout
    assert "model" not in shown.stdout
    assert json.loads(run("info", "--json", path).stdout)["lossless"] is True
    assert run("verify", path, "--against", raster).exit_code == 0
    lossy = json.loads(run("compress", raster, tmp_path / "y.sarz", "--json").stdout)
    assert lossy["lossless"] is False


def test_a_damaged_tile_is_named(tmp_path: Path, write_raster: Any) -> None:
    values = scene("uint16")
    path = tmp_path / "x.sarz"
    sarz.compress(write_raster("x.tif", values), path, lossless=True, tile_size=TILE)
    with open_container(path) as container:
        entry = container.index[4]
    data = bytearray(path.read_bytes())
    data[entry.detail_offset + 40] ^= 1
    path.write_bytes(data)
    with sarz.open(path) as dataset, pytest.raises(sarz.DamagedTileError, match="CRC-32"):
        dataset.read()


@pytest.mark.parametrize("flags", [0, EMPTY, FALLBACK])
def test_a_file_that_only_says_lossless_is_refused(tmp_path: Path, write_raster: Any, flags: int) -> None:
    path = tmp_path / "x.sarz"
    sarz.compress(write_raster("x.tif", scene("uint8")), path, lossless=True, tile_size=TILE)
    with open_container(path) as container, ContainerWriter(tmp_path / "y.sarz", container.header) as writer:
        for number in range(len(container.index)):
            parts = container.read_parts([(number, "coarse"), (number, "detail")])
            writer.write_tile(*parts, flags=flags if number == 7 else EMPTY | FALLBACK, quality=100)
        writer.finish(container.statistics)
    with pytest.raises(sarz.SarzFormatError, match="row 1, column 0, band group 1: the header says lossless"):
        sarz.open(tmp_path / "y.sarz")
