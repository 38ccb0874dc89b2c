"""File names that are not UTF-8: they work, or the error says why not, whatever the output can encode."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

import sarz_format as sarz

ODD = os.fsdecode(b"caf\xe9")

RIO = "import sys; from rasterio.rio.main import main_group; main_group(['sarcodec', *sys.argv[1:]])"


def odd_names_are_possible(folder: Path) -> bool:
    try:
        (folder / ODD).touch()
        (folder / ODD).unlink()
    except (OSError, ValueError):
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path, spatialist_db: Path) -> Path:
    """A raster, and the same compressed, with an odd name and with a usual one."""
    if not odd_names_are_possible(tmp_path):
        pytest.skip("this file system takes UTF-8 names only")
    shutil.copy(spatialist_db, tmp_path / f"{ODD}.tif")
    shutil.copy(spatialist_db, tmp_path / "x.tif")
    sarz.compress(spatialist_db, tmp_path / "x.sarz", quality=10)
    shutil.copy(tmp_path / "x.sarz", tmp_path / f"{ODD}.sarz")
    return tmp_path


@pytest.fixture
def run(folder: Path):
    """Run a command in the folder, with outputs that take nothing but ASCII."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([sys.executable, "-c", RIO, *arguments], cwd=folder, env=environment, text=True,
                              capture_output=True, check=False)
        assert "Traceback" not in done.stderr
        return done

    return call


def test_every_command(run, folder: Path) -> None:
    shown = run("info", f"{ODD}.sarz")
    assert shown.returncode == 0 and "caf\\udce9.sarz" in shown.stdout
    described = run("info", "--json", f"{ODD}.sarz")
    assert described.returncode == 0 and json.loads(described.stdout)["name"] == f"{ODD}.sarz"

    made = run("compress", "x.tif", f"{ODD}2.sarz", "--quality", "10")
    assert made.returncode == 0 and "caf\\udce92.sarz" in made.stdout
    assert (folder / f"{ODD}2.sarz").read_bytes() == (folder / "x.sarz").read_bytes()
    refused = run("compress", f"{ODD}.tif", "y.sarz", "--json", "--summary", f"{ODD}.json")
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert "caf\\udce9.tif" in refused.stderr and "not UTF-8" in refused.stderr
    assert json.loads(refused.stdout)["input"] == f"{ODD}.tif"
    (failure,) = json.loads((folder / f"{ODD}.json").read_text())["failures"]
    assert failure["input"] == f"{ODD}.tif"

    back = run("decompress", f"{ODD}.sarz", f"{ODD}2.tif", "--summary", "s.json")
    assert back.returncode == 0, back.stderr
    (report,) = json.loads((folder / "s.json").read_text())["files"]
    assert (report["input"], report["output"]) == (f"{ODD}.sarz", f"{ODD}2.tif")
    shutil.copy(folder / f"{ODD}2.tif", folder / "back.tif")
    with rasterio.open(folder / "back.tif") as restored, sarz.open(folder / "x.sarz") as src:
        assert np.array_equal(restored.read(), src.read())

    missing = run("decompress", f"no{ODD}.sarz", "z.tif")
    assert missing.returncode == 1 and missing.stderr.count("\n") == 1 and "does not exist" in missing.stderr
    assert not [name for name in os.listdir(folder) if name.endswith(".part")]


def test_a_folder_with_such_a_name(run, folder: Path) -> None:
    (folder / f"{ODD}d").mkdir()
    assert run("compress", "x.tif", "-o", f"{ODD}d", "-q").returncode == 0
    assert (folder / f"{ODD}d" / "x.sarz").exists()
    for cog in ([], ["--cog"]):
        back = run("decompress", "x.sarz", "-o", f"{ODD}d", *cog)
        assert back.returncode == 1 and back.stderr.count("\n") == 1 and "not UTF-8" in back.stderr
    assert os.listdir(folder / f"{ODD}d") == ["x.sarz"]


def test_from_python(folder: Path) -> None:
    for name in (folder / f"{ODD}.tif", str(folder / f"{ODD}.tif")):
        with pytest.raises(sarz.SarzIOError, match="not UTF-8"):
            sarz.compress(name, folder / "y.sarz")
    with sarz.open(folder / f"{ODD}.sarz") as src:
        assert src.read(1).shape == (136, 200)
