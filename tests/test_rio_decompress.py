"""``rio sarcodec decompress`` with the real codec: windows, data types, COGs, georeferencing, damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import sarz
from click.testing import CliRunner, Result
from rasterio.rio.main import main_group
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from sarz_format.container_writer import ContainerWriter
from sarz_format.header import BandGroup, Header
from sarz_format.metadata import RasterMetadata
from sarz_format.statistics import BandStatistics


def sarcodec(*arguments: object) -> Result:
    return CliRunner().invoke(main_group, ["sarcodec", *map(str, arguments)])


@pytest.fixture
def run() -> Callable[..., Result]:
    return lambda *arguments: sarcodec("decompress", *arguments)


@pytest.fixture(scope="module")
def db_file(tmp_path_factory, terramind_db) -> Path:
    """VV and VH in dB, 224 x 224, UTM, in tiles of 64."""
    path = tmp_path_factory.mktemp("db") / "terramind.sarz"
    assert sarcodec("compress", terramind_db, path, "--tile-size", 64).exit_code == 0
    return path


@pytest.fixture(scope="module")
def grd_file(tmp_path_factory, harvey_grd) -> Path:
    """VV and VH digital numbers, 512 x 512, 210 ground control points."""
    path = tmp_path_factory.mktemp("grd") / "harvey.sarz"
    assert sarcodec("compress", harvey_grd, path).exit_code == 0
    return path


@pytest.fixture
def damaged_file(db_file, tmp_path) -> Path:
    """One byte flipped in the detail part of tile (0, 0)."""
    data = bytearray(db_file.read_bytes())
    container = sarz.open_container(bytes(data))
    data[container.detail_section[0] + 5] ^= 1
    path = tmp_path / "damaged.sarz"
    path.write_bytes(data)
    return path


def read_sarz(path: Path, **arguments: object) -> np.ndarray:
    with sarz.open(path) as src:
        return src.read(**arguments)


def read_tiff(path: Path) -> np.ndarray:
    with rasterio.open(path) as src:
        return src.read()


def failed_with_one_line(result: Result) -> str:
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("Warning: ")]
    assert line.startswith("Error: ")
    return line


def test_default_output(run, db_file, tmp_path):
    copy = tmp_path / "scene.sarz"
    copy.write_bytes(db_file.read_bytes())
    result = run(copy)
    assert result.exit_code == 0 and "scene.tif" in result.stdout
    np.testing.assert_array_equal(read_tiff(tmp_path / "scene.tif"), read_sarz(copy))


def test_json_report(run, db_file, tmp_path):
    report = json.loads(run(db_file, tmp_path / "out.tif", "--json").stdout)
    assert (report["input"], report["output"]) == (str(db_file), str(tmp_path / "out.tif"))
    assert (report["width"], report["height"], report["count"], report["dtype"]) == (224, 224, 2, "float32")
    assert report["output_bytes"] == (tmp_path / "out.tif").stat().st_size
    assert report["tiles"] == 16 and report["damaged_tiles"] == []


def test_window_and_bands(run, db_file, tmp_path):
    path = tmp_path / "out.tif"
    assert run(db_file, path, "--window", "30 50 100 70", "-b", 2, "-b", 1).exit_code == 0
    window = Window(30, 50, 100, 70)
    np.testing.assert_array_equal(read_tiff(path), read_sarz(db_file, indexes=[2, 1], window=window))
    with rasterio.open(path) as src, sarz.open(db_file) as original:
        assert src.transform == original.window_transform(window) and src.crs == original.crs
        assert src.descriptions == original.descriptions[::-1]


def test_bounds(run, db_file, tmp_path):
    path, window = tmp_path / "out.tif", Window(16, 32, 64, 48)
    with sarz.open(db_file) as src:
        bounds = src.window_bounds(window)
    assert run(db_file, path, "--bounds", " ".join(map(repr, bounds))).exit_code == 0
    np.testing.assert_array_equal(read_tiff(path), read_sarz(db_file, window=window))


def test_dtype(run, grd_file, tmp_path):
    assert run(grd_file, tmp_path / "out.tif", "--dtype", "uint8").exit_code == 0
    values, expected = read_tiff(tmp_path / "out.tif"), read_sarz(grd_file)
    assert expected.max() > 255
    np.testing.assert_array_equal(values, expected.clip(0, 255).astype(np.uint8))


def test_dtype_must_hold_nodata(run, db_file, tmp_path):
    assert "nodata" in failed_with_one_line(run(db_file, tmp_path / "out.tif", "--dtype", "int16"))


def test_tiff_options(run, db_file, tmp_path):
    path = tmp_path / "out.tif"
    options = ["--tiff-compress", "ZSTD", "--co", "TILED=YES", "--co", "BLOCKXSIZE=128", "--co", "blockysize=128"]
    assert run(db_file, path, *options).exit_code == 0
    with rasterio.open(path) as src:
        assert src.profile["compress"] == "zstd" and src.block_shapes == [(128, 128)] * 2


def test_overlap_changes_little(run, db_file, tmp_path):
    assert run(db_file, tmp_path / "out.tif", "--overlap", 16).exit_code == 0
    difference = read_tiff(tmp_path / "out.tif") - read_sarz(db_file)
    assert np.sqrt(np.nanmean(difference**2)) < 0.1


def test_cog(run, db_file, tmp_path):
    path = tmp_path / "cog.tif"
    assert run(db_file, path, "--cog").exit_code == 0
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    assert valid and not errors and not warnings
    with rasterio.open(path) as src, sarz.open(db_file) as original:
        assert src.crs == original.crs and src.transform == original.transform
        assert np.isnan(src.nodata) and src.descriptions == original.descriptions
    np.testing.assert_array_equal(read_tiff(path), read_sarz(db_file))


@pytest.mark.parametrize("cog", [[], ["--cog", "--co", "BLOCKSIZE=256"]])
def test_ground_control_points(run, grd_file, harvey_grd, tmp_path, cog):
    path = tmp_path / "out.tif"
    assert run(grd_file, path, *cog).exit_code == 0
    if cog:
        valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
        assert valid and not errors and not warnings
    with rasterio.open(path) as src, rasterio.open(harvey_grd) as original:
        points, crs = src.gcps
        assert [(p.row, p.col, p.x, p.y, p.z) for p in points] == [
            (p.row, p.col, p.x, p.y, p.z) for p in original.gcps[0]
        ]
        assert len(points) == 210 and crs == original.gcps[1]
        assert src.transform == original.transform and src.nodata == original.nodata
        assert src.descriptions == original.descriptions
        assert original.tags().items() <= src.tags().items()
        if cog:
            assert src.overviews(1)


def test_window_moves_ground_control_points(run, grd_file, harvey_grd, tmp_path):
    assert run(grd_file, tmp_path / "out.tif", "--window", "100 50 64 64").exit_code == 0
    with rasterio.open(tmp_path / "out.tif") as src, rasterio.open(harvey_grd) as original:
        moved, point = src.gcps[0][0], original.gcps[0][0]
        assert (moved.row, moved.col, moved.x) == (point.row - 50, point.col - 100, point.x)


def test_several_inputs(run, db_file, grd_file, tmp_path):
    summary = tmp_path / "s.json"
    result = run(db_file, tmp_path / "none.sarz", grd_file, "-o", tmp_path, "--summary", summary, "-q")
    assert result.exit_code == 1 and result.stdout == ""
    assert "none.sarz" in failed_with_one_line(result)
    assert {path.name for path in tmp_path.glob("*.tif")} == {"terramind.tif", "harvey.tif"}
    assert json.loads(summary.read_text())["totals"]["samples"] == 2 * (224 * 224 + 512 * 512)


def test_damaged_tile_is_named(run, damaged_file, tmp_path):
    line = failed_with_one_line(run(damaged_file, tmp_path / "out.tif"))
    assert "tile row 0, column 0" in line and "--skip-damaged" in line
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.sarz"]


def test_skip_damaged(run, damaged_file, db_file, tmp_path):
    path = tmp_path / "out.tif"
    result = run(damaged_file, path, "--skip-damaged", "--json")
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["damaged_tiles"]) == 1
    values, expected = read_tiff(path), read_sarz(db_file)
    assert np.isnan(values[:, :64, :64]).all()
    np.testing.assert_array_equal(values[:, 128:, 128:], expected[:, 128:, 128:])


@pytest.mark.parametrize(
    "options",
    [["--window", "200 200 100 100"], ["--window", "0 0 0 5"], ["--window", "-1 0 5 5"], ["--bounds", "0 0 1 1"],
     ["--bidx", 3], ["--overlap", 3]],
)  # fmt: skip
def test_bad_options(run, db_file, tmp_path, options):
    failed_with_one_line(run(db_file, tmp_path / "out.tif", *options))
    assert list(tmp_path.iterdir()) == []


def test_existing_output(run, db_file, tmp_path):
    path = tmp_path / "out.tif"
    path.write_text("kept")
    assert "exists" in failed_with_one_line(run(db_file, path))
    assert path.read_text() == "kept"
    assert run(db_file, path, "--overwrite").exit_code == 0
    assert read_tiff(path).shape == (2, 224, 224)


def test_missing_directory(run, db_file, tmp_path):
    assert "none" in failed_with_one_line(run(db_file, tmp_path / "none" / "out.tif"))


def test_not_a_sarz_file(run, terramind_db, tmp_path):
    assert terramind_db.name in failed_with_one_line(run(terramind_db, tmp_path / "out.tif"))


def test_unknown_model(run, terramind_db, tmp_path):
    with rasterio.open(terramind_db) as src:
        metadata = RasterMetadata.from_dataset(src, src.indexes)
    header = Header(metadata, 512, "db", "", (-10, -17), 50, (BandGroup((0, 1), "later-model", "0" * 64),))
    path = tmp_path / "later.sarz"
    with ContainerWriter(path, header) as writer:
        writer.write_tile(b"z", b"y", quality=50)
        writer.finish([BandStatistics()] * 2)
    line = failed_with_one_line(run(path))
    assert "later-model" in line and "install" in line
    assert [item.name for item in tmp_path.iterdir()] == ["later.sarz"]


def test_interruption_leaves_nothing(run, db_file, tmp_path, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sarz_format.decoder.WindowDecoder.read", interrupt)
    result = run(db_file, tmp_path / "out.tif")
    assert result.exit_code == 130 and result.stderr == "Error: interrupted\n"
    assert list(tmp_path.iterdir()) == []
