"""An output that is also the input is refused, whatever it is called."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
from made_model import made_models  # noqa: F401 (a fixture)

import sarz_format as sarz

pytestmark = pytest.mark.usefixtures("made_models")

ALIASES: dict[str, Callable[[Path], Path]] = {
    "itself": lambda path: path,
    "a relative path": lambda path: Path(os.path.relpath(path)),
    "a detour": lambda path: path.parent / "." / ".." / path.parent.name / path.name,
    "a symbolic link": lambda path: linked(path, os.symlink),
    "a hard link": lambda path: linked(path, os.link),
    "a link to its folder": lambda path: folder_link(path),
}


def linked(path: Path, make: Callable[[Path, Path], None]) -> Path:
    alias = path.with_name(f"link{path.suffix}")
    make(path, alias)
    return alias


def folder_link(path: Path) -> Path:
    alias = path.parent.with_name("folder")
    os.symlink(path.parent, alias)
    return alias / path.name


@pytest.fixture
def raster(spatialist_db: Path, tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return Path(shutil.copy(spatialist_db, tmp_path / "in" / "x.tif"))


@pytest.mark.parametrize("alias", ALIASES)
def test_compressing(raster: Path, alias: str) -> None:
    kept, output = raster.read_bytes(), ALIASES[alias](raster)
    with rasterio.open(raster) as dataset:
        for src in (raster, str(raster), dataset):
            for overwrite in (False, True):
                with pytest.raises(sarz.SarzOptionError, match="same file as the input"):
                    sarz.compress(src, output, overwrite=overwrite)
    assert raster.read_bytes() == kept


@pytest.mark.parametrize("alias", ALIASES)
def test_decompressing(raster: Path, alias: str) -> None:
    compressed = raster.with_suffix(".sarz")
    sarz.compress(raster, compressed)
    kept, output = compressed.read_bytes(), ALIASES[alias](compressed)
    for src in (compressed, str(compressed)):
        for cog in (False, True):
            with pytest.raises(sarz.SarzOptionError, match="same file as the input"):
                sarz.decompress(src, output, overwrite=True, cog=cog)
    assert compressed.read_bytes() == kept


def test_the_sources_of_a_virtual_raster(raster: Path) -> None:
    """A VRT is read from other files, which are inputs too."""
    from rasterio.shutil import copy

    vrt = raster.with_suffix(".vrt")
    copy(raster, vrt, driver="VRT")
    for output in (vrt, raster):
        with pytest.raises(sarz.SarzOptionError, match="same file as the input"):
            sarz.compress(vrt, output, overwrite=True)


def test_another_file_with_the_same_content_is_replaced(raster: Path) -> None:
    other = Path(shutil.copy(raster, raster.with_name("other.sarz")))
    sarz.compress(raster, other, overwrite=True)
    with sarz.open(other) as src:
        assert src.shape == (136, 200)


def test_memory_files_and_overwriting_still_work(raster: Path) -> None:
    with rasterio.MemoryFile(raster.read_bytes()) as memory, memory.open() as dataset:
        sarz.compress(dataset, raster.with_suffix(".sarz"))
        sarz.compress(dataset, raster.with_suffix(".sarz"), overwrite=True)


def test_open_files_and_datasets_of_compressed_files(raster: Path) -> None:
    compressed = raster.with_suffix(".sarz")
    sarz.compress(raster, compressed)
    with open(compressed, "rb") as file, pytest.raises(sarz.SarzOptionError, match="same file as the input"):
        sarz.decompress(file, compressed, overwrite=True)
    with sarz.open(compressed) as dataset, pytest.raises(sarz.SarzOptionError, match="same file as the input"):
        sarz.compress(dataset, compressed, overwrite=True)
