"""What is stored losslessly without latents reads where its model is not installed; what is coded does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import speckled_db, write_geotiff
from made_model import PAIR, SINGLE, write_models
from rasterio.windows import Window

import sarz_format as sarz
from sarz_format import weights

TILE = 64


def compress_elsewhere(values: np.ndarray, descriptions: tuple[str, ...], folder: Path) -> Path:
    """Compress where made-up models are installed, which are gone afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SARZ_MODEL_PATH", str(write_models(folder / "models")))
        patch.setattr(weights, "DEFAULT_MODELS", {2: PAIR, 1: SINGLE})
        raster = write_geotiff(folder / "x.tif", values, nodata=np.nan)
        with rasterio.open(raster, "r+") as dst:
            dst.descriptions = descriptions
        sarz.compress(raster, folder / "x.sarz", tile_size=TILE)
    return folder / "x.sarz"


def test_a_file_without_coded_tiles_reads_without_its_model(tmp_path: Path) -> None:
    angles = np.linspace(30, 46, 2 * 100 * 150, dtype=np.float32).reshape(2, 100, 150)
    angles[:, :20, :30] = np.nan
    path = compress_elsewhere(angles, ("localIncidenceAngle", "incidence_angle"), tmp_path)
    with sarz.open(path) as src:
        assert np.array_equal(src.read(), angles, equal_nan=True)
        assert np.array_equal(src.read(2, window=Window(60, 50, 9, 30)), angles[1, 50:80, 60:69], equal_nan=True)
    report = sarz.decompress(path, tmp_path / "y.tif")
    assert (report.arithmetic, report.arithmetic_refused) == ("none", [])
    assert sarz.verify(path, tmp_path / "x.tif").problems == []


def test_only_windows_of_coded_tiles_need_the_model(tmp_path: Path) -> None:
    values = speckled_db((2, 128, 192))
    values[:, :, :TILE] = np.nan
    path = compress_elsewhere(values, ("VV", "VH"), tmp_path)
    with sarz.open(path) as src:
        assert np.isnan(src.read(window=Window(0, 0, TILE, 128))).all()
        for window in (Window(0, 0, TILE + 1, 128), Window(TILE, 0, 1, 1)):
            with pytest.raises(sarz.ModelNotFoundError, match="made-pair"):
                src.read(window=window)
    with pytest.raises(sarz.ModelNotFoundError, match="made-pair"):
        sarz.verify(path)
