"""A machine whose fast arithmetic is wrong: another one is taken, pixels stay, and warnings and reports say so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import speckled_db, write_geotiff
from made_model import EXACT_PATHS, made_models  # noqa: F401 (a fixture)
from rasterio.rio.main import main_group
from torch import Tensor

import sarz_format as sarz
from sarz_format.codec import conformance, device
from sarz_format.codec.int8 import Int8Arithmetic
from sarz_format.codec.model import Layer

pytestmark = [pytest.mark.usefixtures("made_models"),
              pytest.mark.skipif("float32-direct" not in EXACT_PATHS, reason="no exact direct convolutions here")]

REFUSED = "int8: its integers are wrong on this machine"


class OffByOne(Int8Arithmetic):
    """Large sums are one too large."""

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        total = super().raw(h, layer, stride)
        return total + (total > 1 << 22)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A small raster, compressed on this machine as it is."""
    raster = write_geotiff(tmp_path / "x.tif", speckled_db((2, 100, 140)))
    sarz.compress(raster, tmp_path / "x.sarz", tile_size=64)
    return tmp_path / "x.sarz"


@pytest.fixture
def wrong_int8(scene: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The scene on a machine that computes 8-bit convolutions wrongly."""
    monkeypatch.setattr(conformance, "Int8Arithmetic", OffByOne)
    device.load_engine.cache_clear()
    yield scene
    device.load_engine.cache_clear()


@pytest.mark.skipif("int8" not in EXACT_PATHS, reason="no exact 8-bit convolutions here")
def test_nothing_is_said_where_the_fastest_is_exact(scene: Path, recwarn: pytest.WarningsRecorder) -> None:
    device.load_engine.cache_clear()
    report = sarz.verify(scene)
    assert (report.arithmetic, report.arithmetic_refused) == ("int8", [])
    assert not [w for w in recwarn if issubclass(w.category, sarz.ArithmeticWarning)]


@pytest.mark.skipif("int8" not in EXACT_PATHS, reason="the kernel that is made wrong needs 8-bit convolutions")
def test_reading_warns_once_and_reads_the_same(scene: Path, wrong_int8: Path) -> None:
    device.load_engine.cache_clear()
    with sarz.open(wrong_int8) as src:
        with pytest.warns(sarz.ArithmeticWarning) as caught:
            values = src.read()
        again = src.read()
    assert [str(w.message) for w in caught] == [
        f"networks run in float32-direct arithmetic, which is exact and slower ({REFUSED})"]
    assert np.array_equal(values, again)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conformance, "Int8Arithmetic", Int8Arithmetic)
        device.load_engine.cache_clear()
        with sarz.open(scene) as src:
            assert np.array_equal(src.read(), values)


@pytest.mark.skipif("int8" not in EXACT_PATHS, reason="the kernel that is made wrong needs 8-bit convolutions")
def test_reports_say_it(wrong_int8: Path, tmp_path: Path) -> None:
    with pytest.warns(sarz.ArithmeticWarning):
        compressed = sarz.compress(tmp_path / "x.tif", tmp_path / "y.sarz", tile_size=64)
    reports = [compressed, sarz.decompress(wrong_int8, tmp_path / "y.tif"), sarz.verify(wrong_int8, tmp_path / "x.tif")]
    assert (tmp_path / "y.sarz").read_bytes() == wrong_int8.read_bytes()
    for report in reports:
        assert (report.arithmetic, report.arithmetic_refused) == ("float32-direct", [REFUSED])
    assert reports[-1].ok


@pytest.mark.skipif("int8" not in EXACT_PATHS, reason="the kernel that is made wrong needs 8-bit convolutions")
def test_commands_say_it(wrong_int8: Path) -> None:
    result = CliRunner().invoke(main_group, ["sarcodec", "verify", str(wrong_int8)])
    assert result.exit_code == 0
    assert ", float32-direct, in " in result.stdout
    [line] = result.stderr.splitlines()
    assert line.startswith(f"Warning: {wrong_int8}: networks run in float32-direct arithmetic")
    assert REFUSED in line
    result = CliRunner().invoke(main_group, ["sarcodec", "verify", str(wrong_int8), "--json"])
    assert json.loads(result.stdout)["arithmetic_refused"] == [REFUSED]
