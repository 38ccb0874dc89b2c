"""The warning of large tiles, and its estimate."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_model import made_models  # noqa: F401 (a fixture)
from rasterio.rio.main import main_group
from test_header import WEIGHTS, header

import sarz_format as sarz
from rio_sarcodec.console import Console
from sarz_format import compression
from sarz_format.footprint import compression_bytes
from sarz_format.header import BandGroup
from sarz_format.metadata import RasterMetadata

pytestmark = pytest.mark.usefixtures("made_models")


def estimate_mib(size: int, bands: int, width: int, height: int, dtype: str) -> float:
    made = header(metadata=RasterMetadata(width=width, height=height, dtype=dtype, nodata=(None,) * bands), tile_size=size,
                  offsets_db=(0,) * bands, groups=(BandGroup(tuple(range(bands)), "made", WEIGHTS),))
    return compression_bytes(made, 2) / 2**20


@pytest.mark.parametrize(("arguments", "measured_mib"), [
    ((512, 2, 4096, 4096, "uint16"), 663), ((2048, 2, 4096, 4096, "uint16"), 1265),
    ((4096, 2, 4096, 4096, "uint16"), 1804), ((4096, 1, 4096, 4096, "uint16"), 1138),
    ((2048, 2, 8192, 4096, "float32"), 1904),
])
def test_the_estimate_is_near_what_was_measured(arguments: tuple, measured_mib: float) -> None:
    assert estimate_mib(*arguments) == pytest.approx(measured_mib, rel=0.1)


def test_the_estimate_follows_the_raster_not_the_tile() -> None:
    assert estimate_mib(4096, 1, 100, 100, "uint16") < 460


@pytest.mark.parametrize("size", [2048, 4096])
def test_large_tiles_are_warned_of_before_any_work(spatialist_db: Path, tmp_path: Path, size: int,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(sarz.LargeTileWarning, match=rf"tiles of {size} pixels take about 0\.\d GiB.*--tile-size"):
        sarz.compress(spatialist_db, tmp_path / "x.sarz", tile_size=size)
    monkeypatch.setattr(compression, "ContainerWriter", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(sarz.LargeTileWarning):
            sarz.compress(spatialist_db, tmp_path / "y.sarz", tile_size=size)


def test_the_command_line_shows_it_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().warnings_of("x.tif"):
        warnings.warn(sarz.LargeTileWarning("much memory"), stacklevel=1)
        assert capsys.readouterr().err == "Warning: x.tif: much memory\n"
    assert capsys.readouterr().err == ""


def test_usual_tiles_are_not(spatialist_db: Path, tmp_path: Path) -> None:
    sarz.compress(spatialist_db, tmp_path / "x.sarz", tile_size=1984)  # Warnings are errors in these tests.


def test_the_command_line_shows_it_for_each_file(spatialist_db: Path, terramind_db: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main_group, ["sarcodec", "compress", str(spatialist_db), str(terramind_db), "-o",
                                             str(tmp_path), "--tile-size", "2048", "-q"])
    assert result.exit_code == 0
    first, second = result.stderr.splitlines()
    assert first.startswith(f"Warning: {spatialist_db}: tiles of 2048") and str(terramind_db) in second
