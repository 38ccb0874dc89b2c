"""``rio sarcodec compress`` with the real codec: what it writes, what it reports, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import sarz
from click.testing import CliRunner, Result
from rasterio.rio.main import main_group

from sarz_format.container_writer import ContainerWriter


@pytest.fixture
def run() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(main_group, ["sarcodec", "compress", *map(str, arguments)])


def failed_with_one_line(result: Result) -> str:
    """The line on standard error of a run that failed as it should: no traceback, nothing reported as done."""
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def test_report_is_true(run, terramind_db, tmp_path):
    path = tmp_path / "out.sarz"
    result = run(terramind_db, path, "--json")
    assert result.exit_code == 0 and result.stderr == ""
    report = json.loads(result.stdout)
    with rasterio.open(terramind_db) as src, sarz.open(path) as decoded:
        original, values = src.read(), decoded.read()
    assert (report["input"], report["output"]) == (str(terramind_db), str(path))
    assert (report["width"], report["height"], report["count"], report["dtype"]) == (224, 224, 2, "float32")
    assert report["input_bytes"] == original.nbytes and report["output_bytes"] == path.stat().st_size
    assert report["ratio"] == pytest.approx(original.nbytes / path.stat().st_size)
    assert report["bpp"] == pytest.approx(8 * path.stat().st_size / original.size)
    error_db = values.astype(float) - original
    error_db = error_db[np.isfinite(error_db)]
    assert report["rmse_db"] == pytest.approx(np.sqrt(np.mean(error_db**2)), abs=0.002)
    assert report["bias_db"] == pytest.approx(error_db.mean(), abs=0.002)
    assert report["max_error_db"] == pytest.approx(np.abs(error_db).max(), abs=0.002)
    assert len(report["bands"]) == 2 and report["scale"] == "db" and report["tiles"] == 1


def test_text_report(run, spatialist_db, tmp_path):
    result = run(spatialist_db, tmp_path / "out.sarz")
    assert result.exit_code == 0
    for part in ("spatialist_vv_db.tif", "200 x 136", "1:", "bits a pixel", "RMSE", "bias", "worst", "empty", " s"):
        assert part in result.stdout


def test_quality_orders_size_and_error(run, terramind_db, tmp_path):
    reports = []
    for quality in (10, 90):
        result = run(terramind_db, tmp_path / f"{quality}.sarz", "--quality", quality, "--json")
        reports.append(json.loads(result.stdout))
    small, fine = reports
    assert small["output_bytes"] < fine["output_bytes"] and small["rmse_db"] > fine["rmse_db"]


def test_same_input_same_bytes(run, ssl4eo_db, tmp_path):
    run(ssl4eo_db, tmp_path / "a.sarz", "--batch-size", 1)
    run(ssl4eo_db, tmp_path / "b.sarz")
    assert (tmp_path / "a.sarz").read_bytes() == (tmp_path / "b.sarz").read_bytes()


def test_bands_tiles_and_nodata(run, terramind_db, tmp_path):
    path = tmp_path / "out.sarz"
    result = run(terramind_db, path, "--bidx", 2, "--tile-size", 128, "--nodata", -9999, "--json")
    assert json.loads(result.stdout)["tiles"] == 4
    with sarz.open(path) as src, rasterio.open(terramind_db) as original:
        assert src.count == 1 and src.descriptions == (original.descriptions[1],)
        assert src.nodata == -9999 and src.block_shapes == [(128, 128)]


@pytest.mark.parametrize(
    "raster",
    ["constant_raster", "one_pixel_raster", "width_513_raster", "all_nodata_raster", "float64_raster",
     "three_band_raster", "harvey_sigma0"],
)  # fmt: skip
def test_odd_rasters(run, request, tmp_path, raster):
    source, path, back = request.getfixturevalue(raster), tmp_path / "out.sarz", tmp_path / "back.tif"
    assert run(source, path).exit_code == 0
    restored = CliRunner().invoke(main_group, ["sarcodec", "decompress", str(path), str(back)])
    assert restored.exit_code == 0
    with rasterio.open(source) as original, rasterio.open(back) as src:
        assert src.profile["dtype"] == original.profile["dtype"] and src.shape == original.shape
        assert src.count == original.count and src.crs == original.crs and src.transform == original.transform
        np.testing.assert_array_equal(src.read_masks(), original.read_masks())


def test_several_inputs(run, terramind_db, spatialist_db, tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    summary = tmp_path / "summary.json"
    result = run(terramind_db, tmp_path / "text.tif", tmp_path / "none.tif", spatialist_db, "-o", tmp_path,
                 "--summary", summary)  # fmt: skip
    assert result.exit_code == 1
    assert ["text.tif" in line or "none.tif" in line for line in result.stderr.splitlines()] == [True, True]
    assert sorted(path.name for path in tmp_path.glob("*.sarz")) == ["spatialist_vv_db.sarz", "terramind_vv_vh_db.sarz"]
    document = json.loads(summary.read_text())
    totals = document["totals"]
    assert (totals["succeeded"], totals["failed"]) == (2, 2)
    assert totals["output_bytes"] == sum(path.stat().st_size for path in tmp_path.glob("*.sarz"))
    assert totals["samples"] == 2 * 224 * 224 + 136 * 200


def test_existing_output(run, spatialist_db, tmp_path):
    path = tmp_path / "out.sarz"
    path.write_text("kept")
    assert "exists" in failed_with_one_line(run(spatialist_db, path))
    assert path.read_text() == "kept"
    assert run(spatialist_db, path, "--overwrite").exit_code == 0
    assert path.read_bytes()[1:4] == b"SAR"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--bidx", 3], "3"),
        (["--tile-size", 100], "64"),
        (["--model", "no-such-model"], "no-such-model"),
    ],
)
def test_bad_options(run, terramind_db, tmp_path, options, message):
    assert message in failed_with_one_line(run(terramind_db, tmp_path / "out.sarz", *options))
    assert list(tmp_path.iterdir()) == []


def test_missing_gpu(run, terramind_db, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    failed_with_one_line(run(terramind_db, tmp_path / "out.sarz", "--device", "cuda"))
    assert list(tmp_path.iterdir()) == []


def test_missing_directory(run, spatialist_db, tmp_path):
    assert "none" in failed_with_one_line(run(spatialist_db, tmp_path / "none" / "out.sarz"))


def test_complex_raster(run, write_raster, tmp_path):
    source = write_raster("slc.tif", np.ones((1, 8, 8), np.complex64))
    assert "complex" in failed_with_one_line(run(source, tmp_path / "out.sarz"))
    assert not (tmp_path / "out.sarz").exists()


def test_interruption_leaves_nothing(run, spatialist_db, tmp_path, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ContainerWriter, "write_tile", interrupt)
    result = run(spatialist_db, tmp_path / "out.sarz")
    assert result.exit_code == 130 and result.stderr == "Error: interrupted\n"
    assert list(tmp_path.iterdir()) == []


# A limit on the size of a file is the nearest that a test without privileges comes to a full disk.
LIMITED = """
import resource, signal, sys
import sarz_format.decoder, sarz_format.encoder  # whatever these keep on disk is kept before the limit
from rasterio.rio.main import main_group
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
main_group(["sarcodec", *sys.argv[1:]])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
def test_full_disk(harvey_db, tmp_path: Path):
    command = [sys.executable, "-c", LIMITED, "compress", str(harvey_db), str(tmp_path / "out.sarz"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout.count("\n") <= 1
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Warning: ")]
    assert len(lines) == 1 and "cannot write" in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("option", "value", "key"), [("--rmse-db", 0.6, "rmse_db"), ("--ratio", 40, "ratio"),
                                                      ("--bpp", 0.5, "bpp")])
def test_targets(run, terramind_db, tmp_path, option, value, key):
    result = run(terramind_db, tmp_path / "out.sarz", option, value, "--json")
    report = json.loads(result.stdout)
    assert report[key] == pytest.approx(value, rel=0.05)
    assert report["target"]["kind"] == key and report["target"]["value"] == value
    assert set(report["tile_qualities"]) == {"min", "median", "max"}
    text = run(terramind_db, tmp_path / "out.sarz", option, value, "--overwrite").stdout
    assert f"for {key} {value:g} at qualities" in text


def test_a_missed_target_is_a_warning(run, terramind_db, tmp_path):
    result = run(terramind_db, tmp_path / "out.sarz", "--ratio", 2)
    assert result.exit_code == 0
    assert "Warning:" in result.stderr and "ratio 2 was asked for" in result.stderr
    assert "note     ratio 2 was asked for" in result.stdout


def test_targets_exclude_each_other(run, terramind_db, tmp_path):
    result = run(terramind_db, tmp_path / "out.sarz", "--ratio", 20, "--quality", 55)
    assert result.exit_code == 2 and "--quality and --ratio exclude each other" in result.stderr


@pytest.mark.parametrize("option", ["--rmse-db", "--ratio", "--bpp"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "much"])
def test_values_that_are_no_target(run, terramind_db, tmp_path, option, value):
    result = run(terramind_db, tmp_path / "out.sarz", option, value)
    assert result.exit_code == 2 and "is not a finite number above 0" in result.stderr
    assert not list(tmp_path.iterdir())
