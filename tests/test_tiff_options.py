"""Compressions and creation options of the GeoTIFFs that decompress writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from made_model import made_models  # noqa: F401 (a fixture)
from rasterio.rio.main import main_group

import sarz_format as sarz
from sarz_format.tiff_options import COMPRESSIONS, checked_creation_options

pytestmark = pytest.mark.usefixtures("made_models")

CLASHING = ("MODE", "DRIVER", "DTYPE", "COUNT", "WIDTH", "HEIGHT", "NODATA", "CRS", "TRANSFORM", "GCPS", "RPCS", "FP",
            "SHARING", "OPENER", "SRC", "DST", "STRICT", "COPY_SRC_OVERVIEWS", "COPY_SRC_MDD")


@pytest.fixture(scope="module")
def compressed(made_models: Path, spatialist_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    path = tmp_path_factory.mktemp("tiff_options") / "x.sarz"
    sarz.compress(spatialist_db, path)
    return path


@pytest.mark.parametrize("name", CLASHING)
def test_names_that_decompress_sets_itself(tmp_path: Path, name: str) -> None:
    """Refused before the input is looked at."""
    for spelling in (name, name.lower()):
        with pytest.raises(sarz.SarzOptionError, match=f"creation option {name}: .*expected"):
            sarz.decompress(tmp_path / "none.sarz", tmp_path / "x.tif", creation_options={spelling: "5"})
        result = CliRunner().invoke(main_group, ["sarcodec", "decompress", "none.sarz", "--co", f"{spelling}=5"])
        assert result.exit_code == 2
        assert f"--co {name}: not a creation option" in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["defalte", "", "jpeg", 5])
def test_misspelt_compressions(tmp_path: Path, name: str) -> None:
    for cog in (False, True):
        with pytest.raises(sarz.SarzOptionError, match="expected one of deflate, zstd, lzw"):
            sarz.decompress(tmp_path / "none.sarz", tmp_path / "x.tif", compression=name, cog=cog)


def test_misspelt_compression_as_a_creation_option(tmp_path: Path) -> None:
    """GDAL would only log it, and compress nothing."""
    with pytest.raises(sarz.SarzOptionError, match="COMPRESS=defalte: expected one of"):
        sarz.decompress(tmp_path / "none.sarz", tmp_path / "x.tif", creation_options={"COMPRESS": "defalte"})
    with pytest.raises(sarz.SarzOptionError, match="give one of them"):
        checked_creation_options("zstd", {"COMPRESS": "LZW"})


def test_misspelt_compression_on_the_command_line() -> None:
    result = CliRunner().invoke(main_group, ["sarcodec", "decompress", "none.sarz", "--tiff-compress", "defalte"])
    assert result.exit_code == 2
    assert all(name in result.stderr for name in COMPRESSIONS)


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.filterwarnings("ignore:Non-standard compression schema")
def test_compressions(compressed: Path, tmp_path: Path, name: str, cog: bool) -> None:
    sarz.decompress(compressed, tmp_path / "x.tif", compression=name.upper(), cog=cog)
    with sarz.open(compressed) as src, rasterio.open(tmp_path / "x.tif") as back:
        found = back.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "none").lower()
        assert found == name
        assert np.array_equal(back.read(), src.read(), equal_nan=True)


@pytest.mark.parametrize("cog", [False, True])
def test_creation_options_still_pass(compressed: Path, tmp_path: Path, cog: bool) -> None:
    options = {"COMPRESS": "DEFLATE", "zlevel": 9, "PREDICTOR": "1", "BLOCKXSIZE": 128, "BLOCKYSIZE": 128, "TILED": "YES",
               "BIGTIFF": "YES", "INTERLEAVE": "BAND"}
    sarz.decompress(compressed, tmp_path / "x.tif", creation_options=options, cog=cog)
    assert (tmp_path / "x.tif").read_bytes()[:4] == b"II+\0"
    with rasterio.open(tmp_path / "x.tif") as back:
        assert back.block_shapes == [(128, 128)]
        assert back.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
