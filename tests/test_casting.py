"""Decoded values in another dtype."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import speckled_db, write_geotiff
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_model import made_models  # noqa: F401 (a fixture)

import sarz_format as sarz
from sarz_format.casting import cast_bands

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def cast(values: list, source: str, target: str, nodata: float | int | None) -> list:
    array = np.array(values, source).reshape(1, 1, -1)
    return cast_bands(array, np.dtype(target), (nodata,))[0, 0].tolist()


@pytest.mark.parametrize(("values", "source", "target", "nodata", "expected"), [
    ([0, 0.4, 0.6, -3, 255.4, 300], "float32", "uint8", 0, [0, 1, 1, 1, 255, 255]),
    ([255, 254.6, 999, 3], "float32", "uint8", 255, [255, 254, 254, 3]),
    ([-9999, -9999.3, -20000, 5], "float64", "int16", -9999, [-9999, -9998, -20000, 5]),
    ([-32768, -1e9, 1e9], "float32", "int16", -32768, [-32768, -32767, 32767]),
    ([0, 7, 300], "uint16", "uint8", 0, [0, 7, 255]),
    ([255, 256, 65535], "uint16", "uint8", 255, [255, 254, 254]),
    ([math.nan, 0.2, 5], "float32", "uint8", 0, [0, 1, 5]),
    ([math.nan, 0.2, 5], "float32", "uint8", None, [0, 0, 5]),
    ([math.inf, -math.inf], "float32", "uint8", 255, [254, 0]),
    ([300, 1], "float32", "uint8", math.nan, [255, 1]),
    ([2**63 - 1, 2**53 + 1, -5], "int64", "uint64", None, [2**63 - 1, 2**53 + 1, 0]),
    ([1e30, -1e30], "float64", "int64", None, [2**63 - 1024, -(2**63)]),
])
def test_known_values(values: list, source: str, target: str, nodata: float | None, expected: list) -> None:
    assert cast(values, source, target, nodata) == expected


def test_rounding_to_float32_steps_aside() -> None:
    moved = cast([-9999, -9999 + 1e-9, 1], "float64", "float32", -9999.0)
    assert moved == [-9999, float(np.nextafter(np.float32(-9999), np.float32(np.inf))), 1]
    huge = float(np.finfo(np.float32).max)
    below = float(np.nextafter(np.float32(huge), np.float32(0)))
    assert cast([huge, huge * (1 - 1e-12)], "float64", "float32", huge) == [huge, below]


@given(st.data())
def test_valid_numbers_never_become_nodata(data: st.DataObject) -> None:
    source, target = data.draw(st.sampled_from(DTYPES)), np.dtype(data.draw(st.sampled_from(DTYPES)))
    values = data.draw(hnp.arrays(source, (2, 1, 6)))
    nodata = data.draw(st.sampled_from([0, 1, 100, 127]))
    out = cast_bands(values, target, (nodata, None))
    assert out.dtype == target
    fill = values[0] == nodata
    with np.errstate(invalid="ignore"):
        valid = ~fill & ~np.isnan(values[0].astype(float))
    assert (out[0][fill] == nodata).all()
    if target != values.dtype:
        assert not (out[0][valid] == nodata).any()


@pytest.mark.usefixtures("made_models")
@pytest.mark.parametrize("cog", [False, True])
def test_decompressing_keeps_the_mask(tmp_path: Path, cog: bool) -> None:
    """Powers far below 0.5 round to 0, the nodata value."""
    values = (10 ** (speckled_db((1, 90, 120)) / 10)).astype(np.float32)
    values[:, :20, :30] = 0
    sarz.compress(write_geotiff(tmp_path / "x.tif", values, nodata=0), tmp_path / "x.sarz", tile_size=64)
    sarz.decompress(tmp_path / "x.sarz", tmp_path / "back.tif", dtype="uint8", cog=cog)
    with sarz.open(tmp_path / "x.sarz") as src, rasterio.open(tmp_path / "back.tif") as back:
        assert back.dtypes == ("uint8",)
        assert np.array_equal(back.dataset_mask(), src.dataset_mask())
        assert back.read().max() == 1
