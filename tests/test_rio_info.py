"""``rio sarcodec info``. The file is written by the container alone, so that no model is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
from click.testing import CliRunner, Result
from rasterio.rio.main import main_group

from sarz_format.container_writer import ContainerWriter
from sarz_format.header import BandGroup, Header
from sarz_format.index import EMPTY, FALLBACK
from sarz_format.metadata import RasterMetadata
from sarz_format.statistics import BandStatistics

WEIGHTS = "0123456789abcdef" * 4


@pytest.fixture
def run() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(main_group, ["sarcodec", "info", *map(str, arguments)])


@pytest.fixture(scope="module")
def sarz_file(tmp_path_factory, harvey_grd) -> Path:
    """512 x 512 x 2 with GCPs, in tiles of 256: two coded, one empty, one fallback; 4096 pixels compared a band."""
    with rasterio.open(harvey_grd) as src:
        metadata = RasterMetadata.from_dataset(src, src.indexes)
    header = Header(metadata, 256, "amplitude", "unsigned integers", (50, 41), 60, (BandGroup((0, 1), "m-1", WEIGHTS),),
                    ("one note",))  # fmt: skip
    path = tmp_path_factory.mktemp("info") / "scene.sarz"
    with ContainerWriter(path, header) as writer:
        for flags, detail in ((0, b"abc"), (EMPTY, b""), (FALLBACK, b"defgh"), (0, b"i")):
            writer.write_tile(b"z", detail, flags=flags, quality=60)
        writer.finish([BandStatistics(4096, 4096, 4096 * 800**2, 5000)] * 2)
    return path


def test_text(run, sarz_file):
    result = run(sarz_file)
    assert result.exit_code == 0 and result.stderr == ""
    for part in ("512 x 512", "uint16", "amplitude", "unsigned integers", "m-1", WEIGHTS[:12], "RMSE 0.800 dB",
                 "210 ground control points", "one note", "quality 60"):  # fmt: skip
        assert part in result.stdout
    assert "  tile " not in result.stdout


def test_json(run, sarz_file):
    description = json.loads(run(sarz_file, "--json").stdout)
    assert (description["width"], description["height"], description["count"]) == (512, 512, 2)
    assert description["bytes"] == sarz_file.stat().st_size
    assert description["models"] == [{"model": "m-1", "weights_sha256": WEIGHTS, "bands": [1, 2]}]
    assert description["error"]["rmse_db"] == pytest.approx(0.8)
    tiles = description["tiles"]
    assert (tiles["total"], tiles["coded"], tiles["empty"], tiles["fallback"]) == (4, 2, 1, 1)
    assert "tile_table" not in description


def test_tiles(run, sarz_file):
    table = json.loads(run(sarz_file, "--tiles", "--json").stdout)["tile_table"]
    assert [tile["kind"] for tile in table] == ["coded", "empty", "fallback", "coded"]
    assert [tile["detail_bytes"] for tile in table] == [3, 0, 5, 1]
    assert run(sarz_file, "--tiles").stdout.count("  tile ") == 4


def test_several_files_are_a_line_each(run, sarz_file, tmp_path):
    result = run(sarz_file, tmp_path / "missing.sarz", sarz_file, "--json")
    assert result.exit_code == 1
    first, failure, second = map(json.loads, result.stdout.splitlines())
    assert first == second
    assert failure["kind"] == "SarzFileNotFoundError"


def test_a_closed_standard_output_is_no_error(run, sarz_file, monkeypatch):
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("click.echo", gone)
    assert isinstance(run(sarz_file).exception, (BrokenPipeError, SystemExit))


def damaged(data: bytes, kind: str) -> bytes:
    """`data` cut, lengthened, or with one byte of preamble, header or index flipped."""
    if kind == "truncated":
        return data[:-3]
    if kind == "lengthened":
        return data + b"x"
    position = {"magic": 0, "preamble": 14, "header": 70, "index": len(data) - 30}[kind]
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


@pytest.mark.parametrize("kind", ["truncated", "lengthened", "magic", "preamble", "header", "index"])
def test_damage_is_one_line(run, sarz_file, tmp_path, kind):
    path = tmp_path / "bad.sarz"
    path.write_bytes(damaged(sarz_file.read_bytes(), kind))
    result = run(path)
    assert result.exit_code == 1 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ") and "bad.sarz" in line


def test_newer_version_says_what_to_do(run, sarz_file, tmp_path):
    data = bytearray(sarz_file.read_bytes())
    data[8] = 2
    path = tmp_path / "newer.sarz"
    path.write_bytes(data)
    result = run(path)
    assert result.exit_code == 1 and "version 2" in result.stderr and "upgrade" in result.stderr


@pytest.mark.parametrize("content", [b"", b"\x89SARZ", b"II*\0 not one"])
def test_not_a_sarz_file(run, tmp_path, content):
    path = tmp_path / "other.sarz"
    path.write_bytes(content)
    result = run(path)
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1


def test_directory(run, tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 1 and "a directory" in result.stderr
