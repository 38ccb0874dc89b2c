"""``rio sarcodec verify``: exit status, output, names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sarz
from click.testing import CliRunner, Result
from rasterio.rio.main import main_group


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main_group, ["sarcodec", "verify", *map(str, arguments)])


@pytest.fixture(scope="module")
def scene(tmp_path_factory, terramind_db) -> Path:
    path = tmp_path_factory.mktemp("verify") / "ein Bild (1) é.sarz"
    sarz.compress(terramind_db, path, tile_size=64, quality=50)
    return path


@pytest.fixture(scope="module")
def damaged(scene) -> Path:
    """A byte flipped in tiles (0, 1) and (2, 3)."""
    data = bytearray(scene.read_bytes())
    index = sarz.open_container(bytes(data)).index
    data[index.entry(0, 1, 0).detail_offset + 9] ^= 1
    data[index.entry(2, 3, 0).coarse_offset + 9] ^= 1
    path = scene.with_name("damaged.sarz")
    path.write_bytes(data)
    return path




def test_text(scene, terramind_db):
    result = run(scene, "--against", terramind_db)
    assert result.exit_code == 0 and result.stderr == ""
    assert f"{scene}: sound" in result.stdout and "16 checked, 0 damaged" in result.stdout
    assert result.stdout.count("equal") == 2 and "NOT EQUAL" not in result.stdout


def test_quiet(scene):
    result = run(scene, "-q")
    assert result.exit_code == 0 and result.output == ""


def test_json(scene, terramind_db):
    result = run(scene, "--json", "--against", terramind_db)
    report = json.loads(result.stdout)
    assert {"input", "against", "ok", "problems", "tiles", "damaged_tiles", "input_bytes", "bytes_read", "bands",
            "arithmetic", "arithmetic_refused", "seconds", "width", "height", "count", "dtype", "notes", "timings",
            "bound"} == set(report)
    assert report["ok"] is True and report["tiles"] == 16 and report["against"] == str(terramind_db)
    band = report["bands"][0]
    assert {"band", "description", "valid_pixels", "recorded", "measured"} == set(band)
    assert {"pixels_compared", "rmse_db", "bias_db", "max_error_db"} == set(band["recorded"])
    assert set(band["measured"]) == set(band["recorded"]) | {
        "worst_row", "worst_col", "equals_recorded", "reclassed_pixels", "changed_exact_pixels"}


def test_damaged_tiles_are_named_and_the_others_go_on(scene, damaged):
    result = run(damaged, scene, scene.with_name("missing.sarz"), "--json")
    assert result.exit_code == 1
    hurt, sound, missing = map(json.loads, result.stdout.splitlines())
    assert hurt["damaged_tiles"] == [[0, 1, 0], [2, 3, 0]] and not hurt["ok"] and sound["ok"]
    assert missing["kind"] == "SarzFileNotFoundError"
    for place in ("tile row 0, column 1, band group 0", "tile row 2, column 3, band group 0"):
        assert result.stderr.count(place) == 1
    assert all(line.startswith("Error: ") for line in result.stderr.splitlines())


def test_damage_shows_when_quiet(damaged):
    result = run(damaged, "-q")
    assert result.exit_code == 1 and result.stdout == "" and len(result.stderr.splitlines()) == 2


def test_another_raster(scene, harvey_grd, harvey_db):
    for other in (harvey_grd, harvey_db):
        result = run(scene, "--against", other)
        assert result.exit_code == 1 and "give the raster that it was made from" in result.stderr


def test_a_raster_that_disagrees(scene, terramind_db):
    result = run(scene, "--against", terramind_db, "--bidx", 2, "--bidx", 1)
    assert result.exit_code == 1 and "NOT EQUAL" in result.stdout
    assert "band 1: the error recorded is" in result.stderr


@pytest.mark.parametrize("arguments", [("a.sarz", "b.sarz", "--against", "c.tif"), ("a.sarz", "--bidx", "1"), ()])
def test_misuse(arguments):
    assert run(*arguments).exit_code == 2
