"""Bad input of every kind on the command line: one line, an exit status, and nothing left behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from conftest import speckled_db, write_geotiff
from made_model import made_models  # noqa: F401 (a fixture)
from rasterio.rio.main import main_group

import sarz_format as sarz
from sarz_format.container import open_container

pytestmark = pytest.mark.usefixtures("made_models")

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def good(made_models: Path, spatialist_db: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:  # noqa: F811
    """A compressed raster of 3 x 4 tiles."""
    path = tmp_path_factory.mktemp("sweep") / "x.sarz"
    sarz.compress(spatialist_db, path, tile_size=64, quality=20)
    return path.read_bytes()


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Run a command that must fail: its one line, after a look at what it left behind."""

    def run(*arguments: object, status: int = 1) -> str:
        before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        result = CliRunner().invoke(main_group, ["sarcodec", *map(str, arguments)])
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == status
        assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
        *usage, line = result.stderr.splitlines()
        assert line.startswith("Error: ") and (not usage or status == 2)
        return line

    return run


@pytest.mark.parametrize("name", ["none.tif", "text.tif", "nothing.tif", "folder", "bandless.vrt", "good.sarz",
                                  "/vsizip/none.zip/x.tif", "NETCDF:none.nc:vv"])
def test_what_compress_cannot_read(refused: Refused, good: bytes, tmp_path: Path, name: str) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "nothing.tif").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "bandless.vrt").write_text('<VRTDataset rasterXSize="10" rasterYSize="10"></VRTDataset>')
    (tmp_path / "good.sarz").write_bytes(good)
    source = name if ":" in name or name.startswith("/") else tmp_path / name
    assert name in refused("compress", source, tmp_path / "out.sarz")


@pytest.mark.parametrize("name", ["none.sarz", "text.sarz", "nothing.sarz", "folder.sarz", "raster.sarz"])
@pytest.mark.parametrize("command", ["decompress", "info"])
def test_what_is_no_sarz_file(refused: Refused, spatialist_db: Path, tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "text.sarz").write_text("no raster")
    (tmp_path / "nothing.sarz").touch()
    (tmp_path / "folder.sarz").mkdir()
    shutil.copy(spatialist_db, tmp_path / "raster.sarz")
    output = [tmp_path / "out.tif"] if command == "decompress" else []
    assert name in refused(command, tmp_path / name, *output)


@pytest.mark.parametrize("command", ["decompress", "info"])
def test_a_file_cut_anywhere(refused: Refused, good: bytes, tmp_path: Path, command: str) -> None:
    places = {0, 1, 8, 12, 63, 64, 65, len(good) - 1, *random.Random(1).sample(range(len(good)), 20)}
    path, output = tmp_path / "cut.sarz", [tmp_path / "out.tif"] if command == "decompress" else []
    for place in sorted(places):
        path.write_bytes(good[:place])
        line = refused(command, path, *output)
        assert "cut.sarz" in line and ("copy it again" in line or "empty" in line or "not a .sarz" in line)


def test_a_flipped_bit_anywhere(refused: Refused, good: bytes, tmp_path: Path) -> None:
    """Behind the front the message names the tile."""
    path = tmp_path / "flipped.sarz"
    path.write_bytes(good)
    with open_container(path) as container:
        front = container.detail_section[0]
    rng = random.Random(2)
    for place in [*rng.sample(range(front), 15), *rng.sample(range(front, len(good)), 25)]:
        data = bytearray(good)
        data[place] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        line = refused("decompress", path, tmp_path / "out.tif")
        assert "flipped.sarz" in line
        assert place < front or ("tile row" in line and "band group 0 is damaged" in line)


@pytest.mark.parametrize("command", ["decompress", "info"])
def test_a_newer_version(refused: Refused, good: bytes, tmp_path: Path, command: str) -> None:
    data = bytearray(good)
    data[8] = 2
    (tmp_path / "new.sarz").write_bytes(data)
    line = refused(command, tmp_path / "new.sarz", *([tmp_path / "out.tif"] if command == "decompress" else []))
    assert "version 2" in line and "newer" in line


def test_a_model_that_is_not_there(refused: Refused, good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.sarz").write_bytes(good)
    monkeypatch.delenv("SARZ_MODEL_PATH")
    assert "not installed" in refused("decompress", tmp_path / "x.sarz", tmp_path / "out.tif")


@pytest.mark.parametrize("options", [
    ["--window", "5000 0 1 1"], ["--window", "0 0 0 0"], ["--window", "-5 0 3 3"], ["--window", f"0 0 {10**20} 5"],
    ["--bounds", "0 0 1 1"], ["--bounds", "nan 0 1 1"], ["-b", "2"], ["--overlap", "3"], ["--dtype", "uint8"],
    ["--cog", "--co", "BLOCKSIZE=abc"], ["--co", "COMPRESS=defalte"],
])
def test_parts_and_options_that_cannot_be(refused: Refused, good: bytes, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "x.sarz").write_bytes(good)
    refused("decompress", tmp_path / "x.sarz", tmp_path / "out.tif", *options)


@pytest.mark.parametrize("output", ["none/out", "x" * 300, "kept"])
def test_outputs_that_cannot_be(refused: Refused, good: bytes, spatialist_db: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "x.sarz").write_bytes(good)
    for suffix in (".sarz", ".tif"):
        (tmp_path / f"kept{suffix}").write_text("kept")
    refused("compress", spatialist_db, tmp_path / f"{output}.sarz")
    refused("decompress", tmp_path / "x.sarz", tmp_path / f"{output}.tif")
    with pytest.raises(sarz.SarzError):
        sarz.compress(spatialist_db, tmp_path / f"{output}.sarz")
    assert (tmp_path / "kept.sarz").read_text() == (tmp_path / "kept.tif").read_text() == "kept"


RIO = """
import sys
import sarz_format.decoder, sarz_format.encoder, rasterio.rio.main
print("ready", flush=True)
rasterio.rio.main.main_group(["sarcodec", *sys.argv[1:]])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_a_real_interrupt(tmp_path: Path, made_models: Path, command: str) -> None:  # noqa: F811
    """Ctrl-C once the output's temporary file is there."""
    folder = tmp_path / "out"
    folder.mkdir()
    source = write_geotiff(tmp_path / "x.tif", speckled_db((2, 1500, 1500)).astype(np.float32))
    arguments = [str(source), str(folder / "x.sarz")]
    if command == "decompress":
        sarz.compress(source, tmp_path / "x.sarz", quality=0, model=str(made_models / "made-pair"))
        arguments = [str(tmp_path / "x.sarz"), str(folder / "x.tif"), "--cog"]
    else:
        arguments += ["--model", str(made_models / "made-pair"), "--tile-size", "64"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", RIO, command, *arguments], env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not os.listdir(folder) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, "Error: interrupted\n")
    assert os.listdir(folder) == []


LIMITED = """
import resource, signal, sys
import sarz_format.decoder, sarz_format.encoder
from rasterio.rio.main import main_group
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
main_group(["sarcodec", *sys.argv[1:]])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
@pytest.mark.parametrize("options", [[], ["--cog"]])
def test_a_full_disk(good: bytes, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "x.sarz").write_bytes(good)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", LIMITED, "decompress", str(tmp_path / "x.sarz"), *options],
                          env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("Error: ")] and "x.sarz" in done.stderr
    assert os.listdir(tmp_path) == ["x.sarz"]


def odd_rasters() -> dict[str, tuple[np.ndarray, dict]]:
    return {
        "all nodata": (np.full((2, 90, 110), 7, np.uint16), {"nodata": 7}),
        "1 x 1": (np.ones((1, 1, 1), np.uint8), {}),
        "width 513": (speckled_db((2, 20, 513)).astype(np.float32), {}),
        "int16": (np.rint(100 * speckled_db((1, 50, 60))).astype(np.int16), {}),
        "float64": (10 ** (speckled_db((1, 70, 80)) / 10), {}),
        "three bands": (speckled_db((3, 70, 80)).astype(np.float32), {}),
        "constant": (np.full((1, 100, 130), 100, np.uint16), {}),
        "smaller than a tile": (speckled_db((1, 7, 5)).astype(np.float32), {}),
        "lowest int64 as nodata": (np.full((1, 9, 9), 3, np.int64), {"nodata": -(2**63)}),
    }


ODD = odd_rasters()


@pytest.mark.parametrize("name", ODD)
def test_odd_rasters_round_trip(tmp_path: Path, name: str) -> None:
    values, profile = ODD[name]
    source = write_geotiff(tmp_path / "x.tif", values, **profile)
    run = lambda *arguments: CliRunner().invoke(main_group, ["sarcodec", *map(str, arguments)])  # noqa: E731
    assert run("compress", source, tmp_path / "x.sarz").exit_code == 0
    assert run("info", "--tiles", tmp_path / "x.sarz").exit_code == 0
    with rasterio.open(source) as original:
        for options in ([], ["--cog"]):
            assert run("decompress", tmp_path / "x.sarz", tmp_path / "y.tif", "--overwrite", *options).exit_code == 0
            with rasterio.open(tmp_path / "y.tif") as back:
                assert (back.dtypes, back.shape, back.crs, back.transform) == (
                    original.dtypes, original.shape, original.crs, original.transform)
                assert np.array_equal(back.read_masks(), original.read_masks())
