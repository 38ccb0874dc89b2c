"""The reference reader, written from the specification alone, and the package agree to the last bit."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from conftest import speckled_db, write_geotiff
from golden.make import digest, made_models_installed
from made_model import made_models  # noqa: F401 (a fixture)
from reference_overview import read_overview
from reference_reader import ReferenceReader

import sarz_format as sarz

GOLDEN = Path(__file__).resolve().parent / "golden"
MODELS = GOLDEN.parent.parent / "models"
FILES = sorted(path.stem for path in GOLDEN.glob("*.sarz"))


def weights_in(*folders: Path) -> Callable[[str], bytes]:
    """Finds weights files by their SHA-256."""

    def find(wanted: str) -> bytes:
        for path in (path for folder in folders for path in folder.glob("*/weights.safetensors")):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == wanted:
                return data
        raise LookupError(wanted)

    return find


@contextlib.contextmanager
def models_of(name: str) -> Any:
    """The weights that a golden file needs."""
    if name != "kinds":
        yield weights_in(MODELS)
        return
    with made_models_installed():
        yield weights_in(Path(os.environ["SARZ_MODEL_PATH"]))


def digests_of(name: str) -> dict[str, Any]:
    for file in GOLDEN.glob("*.json"):
        found = json.loads(file.read_text(encoding="utf-8"))
        if file.stem == name or name in found:
            return found if file.stem == name else found[name]
    raise LookupError(name)


@pytest.mark.parametrize("name", FILES)
def test_golden_files(name: str) -> None:
    """Against the package, and against the digests that must never change."""
    with models_of(name) as weights:
        path = GOLDEN / f"{name}.sarz"
        reader = ReferenceReader(path.read_bytes(), weights)
        values = reader.read()
        with sarz.open(path) as src:
            assert_same(values, src.read())
        expected = digests_of(name)
        assert digest(values) == expected["values"]
        for factor, overview in expected["overviews"].items():
            assert digest(read_overview(reader, int(factor))) == overview, factor


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.tobytes() == expected.tobytes()


def test_real_pairs_with_the_installed_models(harvey_sigma0: Path, tmp_path: Path) -> None:
    sarz.compress(harvey_sigma0, tmp_path / "x.sarz", tile_size=64, quality=80)
    with sarz.open(tmp_path / "x.sarz") as src:
        assert_same(ReferenceReader((tmp_path / "x.sarz").read_bytes(), weights_in(MODELS)).read(), src.read())


def power(*shape: int, seed: int = 3) -> np.ndarray:
    return 10 ** (speckled_db(shape, seed) / 10)


def scene(name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Values (bands, rows, columns), and what else their GeoTIFF has."""
    if name.startswith("amplitude"):
        values = np.rint(300 * np.sqrt(power(1, 37, 83))).clip(0, 65535)
        values[0, :9, 40:] = 0
        values[0, 20, 3:6] = 65535
        return values.astype(np.uint16), {"nodata": 0 if name.endswith("nodata") else None}
    if name == "intensity, float32 pair":
        values = power(2, 70, 65).astype(np.float32)
        values[:, 50:, 30:] = np.nan
        values[0, 5, :7] = 0, -0.0, -1, np.inf, -np.inf, 1e-42, 3e38
        return values, {"nodata": np.nan}
    if name == "intensity, float64":
        return power(1, 18, 130) * 1e-3, {}
    if name == "db, two groups":
        values = speckled_db((3, 66, 47), 8).astype(np.float32)
        values[1, 60:] = -99
        return values, {"nodata": -99, "descriptions": ("VV", "local incidence angle", "VH")}
    if name == "db, scaled int16":
        return np.rint(speckled_db((2, 33, 64), 9) * 100).astype(np.int16), {"nodata": -1500, "scales": (0.01, 0.01)}
    return power(1, 1, 200).astype(np.float32), {"nodata": 0}  # one row


MADE = [("amplitude", {"quality": 100}), ("amplitude with nodata", {"quality": 50}), ("amplitude with nodata", {"quality": 0}),
        ("intensity, float32 pair", {"quality": 0}), ("intensity, float32 pair", {"quality": 65}),
        ("intensity, float64", {"quality": 100}), ("db, two groups", {"quality": 30}), ("db, scaled int16", {"scale": "db"}),
        ("one row", {}), ("amplitude", {"lossless": True}), ("intensity, float32 pair", {"lossless": True}),
        ("amplitude with nodata", {"max_error_db": 0.3}), ("db, two groups", {"max_error": 0.5}),
        ("intensity, float64", {"rmse_db": 1.0})]


@pytest.mark.parametrize(("name", "options"), MADE, ids=str)
def test_made_rasters(made_models: Path, tmp_path: Path, name: str, options: dict[str, Any]) -> None:  # noqa: F811
    values, profile = scene(name)
    later = {key: profile.pop(key) for key in ("descriptions", "scales") if key in profile}
    path = write_geotiff(tmp_path / "x.tif", values, **profile)
    with rasterio.open(path, "r+") as dst:
        for key, value in later.items():
            setattr(dst, key, value)
    sarz.compress(path, tmp_path / "x.sarz", tile_size=64, **options)
    reader = ReferenceReader((tmp_path / "x.sarz").read_bytes(), weights_in(made_models))
    with sarz.open(tmp_path / "x.sarz") as src:
        assert_same(reader.read(), src.read())
        for factor in (2, 8, 16):
            assert_same(read_overview(reader, factor), src.read_overview(factor))
