"""The reference reader, written from the specification alone, and the package agree to the last bit."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from conftest import speckled_db, write_geotiff
from golden.make import digest, made_models_installed
from golden.make_invalid import Draft
from hypothesis import given, settings
from hypothesis import strategies as st
from made_model import made_models  # noqa: F401 (a fixture)
from reference_overview import read_overview
from reference_reader import ReferenceReader, Refused, table

import sarz_format as sarz
from sarz_format.errors import SarzFormatError
from sarz_format.radiometry import BandRadiometry

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


@pytest.mark.parametrize(("dtype", "scale", "offset", "nodata", "gain"), [
    ("uint16", "amplitude", 45, 0, 1.0), ("uint16", "amplitude", 45, 65535, 1.0), ("float32", "intensity", -12, np.nan, 1.0),
    ("float32", "intensity", 3000, float(np.finfo("f4").max), 1.0), ("float64", "intensity", -12, None, 1.0),
    ("float32", "db", -15, 0, 1.0), ("int16", "db", -15, -1500, 0.01), ("float32", "db", 0, -3.0, -2.0)])
def test_tables_of_values(dtype: str, scale: str, offset: int, nodata: float | None, gain: float) -> None:
    """All 65536 of them."""
    header = {"offsets_db": [offset], "scale": scale, "metadata": {"count": 1, "scales": [gain]}}
    found = table(header, 0, np.dtype(dtype), None if nodata is None else np.dtype(dtype).type(nodata))
    expected = BandRadiometry(np.dtype(dtype), scale, offset, gain, 0.0, nodata).value_table
    assert_same(found, np.roll(expected, 32768))


@pytest.fixture(scope="module")
def drafts(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Draft]:  # noqa: F811
    """Files of one tile, taken apart, that have every segment and every method of copies."""
    folder, found = tmp_path_factory.mktemp("drafts"), []
    numbers = np.rint(100 * np.sqrt(power(2, 11, 13))).clip(1).astype(np.uint16)
    numbers[0, 3:5, 4:9], numbers[1, 2, 2] = 0, 60000
    reals = np.where(numbers == 0, np.nan, numbers / 7).astype(np.float32)
    few = (numbers // 60).astype(np.float32)
    for i, (values, options) in enumerate([
            (numbers, {}), (numbers, {"quality": 85}), (reals, {}), (numbers, {"lossless": True}), (reals, {"lossless": True}),
            (few, {"lossless": True}), (numbers, {"max_error_db": 0.5}), (numbers, {"max_error": 3}),
            (reals, {"max_error_db": 0.5}), (reals, {"max_error": 2})]):
        nodata = 0 if values is numbers else np.nan
        write_geotiff(folder / f"{i}.tif", values, nodata=nodata)
        sarz.compress(folder / f"{i}.tif", folder / f"{i}.sarz", tile_size=64, **options)
        data = (folder / f"{i}.sarz").read_bytes()
        reader = ReferenceReader(data, weights_in(made_models))
        parts = {name: data[int(entry[name]) : int(entry[name]) + int(entry[f"{name}_length"])]
                 for entry in reader.index for name in ("coarse", "detail")}
        entry = reader.index[0]
        found.append(Draft(reader.header, [], [], int(entry["flags"]), int(entry["quality"]), parts=parts))
    return found


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_changed_parts_are_refused_by_both_or_read_alike(drafts: list[Draft], made_models: Path, data: st.DataObject) -> None:  # noqa: F811
    """Bytes of a tile with checksums that fit."""
    draft = data.draw(st.sampled_from(drafts))
    name = data.draw(st.sampled_from(["coarse", "detail", "detail"]))
    part = bytearray(draft.parts[name])
    at = data.draw(st.one_of(st.integers(0, min(len(part) - 1, 40)), st.integers(0, len(part) - 1)))
    if data.draw(st.integers(0, 9)):
        part[at] = data.draw(st.integers(0, 255))
    else:
        del part[at:]
    changed = replace(draft, parts=draft.parts | {name: bytes(part)}).pack()
    try:
        with sarz.open(changed) as src:
            expected = src.read()
    except SarzFormatError:
        expected = None
    try:
        found = ReferenceReader(changed, weights_in(made_models)).read()
    except Refused:
        found = None
    assert (found is None) == (expected is None)
    if found is not None:
        assert_same(found, expected)
