"""Rasters shared by all tests: committed crops of real ones, and odd but legal ones made on the fly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

collect_ignore = ["benchmarks"]

DATA_DIR = Path(__file__).resolve().parent / "data"

RasterWriter = Callable[..., Path]
"""``write_raster(name, values, **profile)``: see the fixture of that name."""


def speckled_db(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Decibels of 4-look speckle on a slope from -20 to -5 dB, float64."""
    rng = np.random.default_rng(seed)
    slope_db = np.linspace(-20.0, -5.0, shape[-1])
    return np.asarray(slope_db + 10 * np.log10(rng.gamma(4, 1 / 4, shape)))


def write_geotiff(path: Path, values: np.ndarray, **profile: Any) -> Path:
    """Write `values` (bands, rows, columns) to `path`; `profile` overrides a UTM grid of 10 m pixels."""
    count, height, width = values.shape
    defaults = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": values.dtype.name,
                "crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open(path, "w", **{**defaults, **profile}) as dst:
        dst.write(values)
    return path


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of committed rasters; its README says what each is."""
    return DATA_DIR


@pytest.fixture(scope="session")
def harvey_db(data_dir: Path) -> Path:
    """VV and VH in decibels, float32, 248 x 328, nodata NaN, WGS 84."""
    return data_dir / "harvey_vv_vh_db.tif"


@pytest.fixture(scope="session")
def harvey_grd(data_dir: Path) -> Path:
    """VV and VH digital numbers, uint16, 512 x 512, nodata 0, 210 ground control points and no transform."""
    return data_dir / "harvey_grd.tif"


@pytest.fixture(scope="session")
def harvey_sigma0(data_dir: Path) -> Path:
    """VV and VH sigma nought in linear power, float32, 160 x 192, nodata NaN, WGS 84."""
    return data_dir / "harvey_sigma0.tif"


@pytest.fixture(scope="session")
def spatialist_db(data_dir: Path) -> Path:
    """VV alone in decibels, float32, 136 x 200, nodata -99, UTM 31N, 20 m."""
    return data_dir / "spatialist_vv_db.tif"


@pytest.fixture(scope="session")
def ssl4eo_db(data_dir: Path) -> Path:
    """VV and VH in decibels, float32, 128 x 160, without nodata, WGS 84."""
    return data_dir / "ssl4eo_vv_vh_db.tif"


@pytest.fixture(scope="session")
def terramind_db(data_dir: Path) -> Path:
    """VV and VH in decibels, float32, 224 x 224, nodata NaN, UTM 36S, 10 m."""
    return data_dir / "terramind_vv_vh_db.tif"


@pytest.fixture(scope="session")
def gcp_file(data_dir: Path) -> Path:
    """The 210 ground control points of a real Sentinel-1 IW product (JSON)."""
    return data_dir / "s1_iw_gcps.json"


@pytest.fixture
def write_raster(tmp_path: Path) -> RasterWriter:
    """A function ``(name, values, **profile) -> Path`` that writes a GeoTIFF into the test's own folder."""

    def write(name: str, values: np.ndarray, **profile: Any) -> Path:
        return write_geotiff(tmp_path / name, values, **profile)

    return write


@pytest.fixture(scope="session")
def made_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the rasters below; they are shared, so tests must not write there."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="session")
def constant_raster(made_dir: Path) -> Path:
    """One band of uint16, 100 x 130, every pixel 100."""
    return write_geotiff(made_dir / "constant.tif", np.full((1, 100, 130), 100, np.uint16))


@pytest.fixture(scope="session")
def one_pixel_raster(made_dir: Path) -> Path:
    """Two bands of uint16, 1 x 1: 120 and 30."""
    return write_geotiff(made_dir / "one_pixel.tif", np.array([[[120]], [[30]]], np.uint16))


@pytest.fixture(scope="session")
def width_513_raster(made_dir: Path) -> Path:
    """Two bands of float32 decibels, 70 x 513: one column more than the default tile."""
    return write_geotiff(made_dir / "width_513.tif", speckled_db((2, 70, 513)).astype(np.float32))


@pytest.fixture(scope="session")
def all_nodata_raster(made_dir: Path) -> Path:
    """Two bands of uint16, 90 x 110, nodata 0, and nothing else in it."""
    return write_geotiff(made_dir / "all_nodata.tif", np.zeros((2, 90, 110), np.uint16), nodata=0)


@pytest.fixture(scope="session")
def float64_raster(made_dir: Path) -> Path:
    """One band of float64 in linear power, 75 x 85, nodata NaN in the upper left corner."""
    power = 10 ** (speckled_db((1, 75, 85)) / 10)
    power[:, :10, :12] = np.nan
    return write_geotiff(made_dir / "float64.tif", power, nodata=np.nan)


@pytest.fixture(scope="session")
def three_band_raster(made_dir: Path) -> Path:
    """Three bands of int16 in hundredths of a decibel (scale 0.01), 60 x 77, nodata -32768 in one corner."""
    values = np.round(100 * speckled_db((3, 60, 77))).astype(np.int16)
    values[:, -5:, -7:] = -32768
    path = write_geotiff(made_dir / "three_bands.tif", values, nodata=-32768)
    with rasterio.open(path, "r+") as dst:
        dst.scales = (0.01,) * dst.count
        dst.units = ("dB",) * dst.count
    return path
