"""From a folder of GeoTIFFs to a file that reads wherever its model is given: train, export, compress, decompress."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import sarz
import torch
from click.testing import CliRunner, Result
from evaluate import evaluate
from export import export, integer_arrays, integer_layer, load_codec
from made_model import torch_threads
from rasterio.rio.main import main_group
from recipe import Recipe
from safetensors.numpy import load_file
from train import train

from sarz_format.codec.model import FLOAT32_EXACT, INT32_EXACT, WIDE_LIMIT, build_model
from sarz_format.weights import describe_model

RECIPE = Recipe(bands=2, width=16, blocks=1, crop=32, batch=2, steps=8, learning_rate=1e-3, quantise_from=0.5,
                log_every=8, seed=1)

MODEL_ID = "tiny-pair-1"


@pytest.fixture(scope="module")
def rasters(tmp_path_factory, ssl4eo_db, terramind_db) -> Path:
    """A folder of two crops of Sentinel-1."""
    folder = tmp_path_factory.mktemp("rasters")
    for path in (ssl4eo_db, terramind_db):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(rasters, tmp_path_factory) -> Path:
    """What a few steps of training leave."""
    out = tmp_path_factory.mktemp("run")
    with torch_threads(1):
        train(RECIPE, rasters, rasters, out, "cpu")
    return out / "checkpoint.pt"


@pytest.fixture(scope="module")
def model(checkpoint, rasters, tmp_path_factory) -> Path:
    """The exported model's folder."""
    folder = tmp_path_factory.mktemp("models") / MODEL_ID
    with torch_threads(1):
        export(checkpoint, rasters, folder)
    return folder


@pytest.fixture
def rio() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(main_group, ["sarcodec", *map(str, arguments)])


def weights_sha256(model: Path) -> str:
    return describe_model(model).weights_sha256


def broken_checkpoint(checkpoint: Path, path: Path, weight: str, value: float) -> Path:
    """A copy of a checkpoint with one weight changed."""
    saved = torch.load(checkpoint, weights_only=True)
    saved["average"][weight].view(-1)[0] = value
    torch.save(saved, path)
    return path


def test_the_exported_model_is_integer_and_within_bounds(model):
    arrays = load_file(model / "weights.safetensors")
    assert all(np.issubdtype(array.dtype, np.integer) for array in arrays.values())
    build_model(arrays)
    config = json.loads((model / "config.json").read_text())
    assert config["id"] == MODEL_ID and config["training"]["trained_steps"] == RECIPE.steps


def test_a_file_names_its_model_by_hash_and_reads_where_it_is_given(rio, model, harvey_db, tmp_path, monkeypatch):
    coded, decoded = tmp_path / "scene.sarz", tmp_path / "scene.tif"
    result = rio("compress", harvey_db, coded, "--model", model, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    named = json.loads(rio("info", coded, "--json").stdout)["models"]
    assert named == [{"model": MODEL_ID, "weights_sha256": weights_sha256(model), "bands": [1, 2]}]

    refused = rio("decompress", coded, decoded)
    assert refused.exit_code == 1 and not decoded.exists()
    for part in (MODEL_ID, weights_sha256(model)[:12], "SARZ_MODEL_PATH"):
        assert part in refused.stderr

    # The hash decides: given under another folder and id, it is the same model.
    given = tmp_path / "given" / "renamed"
    shutil.copytree(model, given)
    config = json.loads((given / "config.json").read_text())
    (given / "config.json").write_text(json.dumps({**config, "id": "renamed"}))
    monkeypatch.setenv("SARZ_MODEL_PATH", str(given.parent))
    result = rio("decompress", coded, decoded)
    assert result.exit_code == 0, result.stderr
    with rasterio.open(harvey_db) as src, rasterio.open(decoded) as dst:
        error_db = dst.read().astype(float) - src.read()
        assert (dst.crs, dst.transform, dst.descriptions) == (src.crs, src.transform, src.descriptions)
    rmse_db = np.sqrt(np.nanmean(error_db**2))
    assert 0.3 < rmse_db < 1.5 and rmse_db == pytest.approx(report["rmse_db"], abs=0.002)
    assert rio("verify", coded, "--against", harvey_db).exit_code == 0


def test_other_weights_of_the_same_id_are_refused(rio, model, checkpoint, rasters, ssl4eo_db, tmp_path, monkeypatch):
    coded = tmp_path / "scene.sarz"
    assert rio("compress", ssl4eo_db, coded, "--model", model).exit_code == 0
    other = tmp_path / MODEL_ID
    with torch_threads(1):
        export(broken_checkpoint(checkpoint, tmp_path / "other.pt", "log_std", 2.5), rasters, other)
    monkeypatch.setenv("SARZ_MODEL_PATH", str(other))
    refused = rio("decompress", coded, tmp_path / "scene.tif")
    assert refused.exit_code == 1
    assert weights_sha256(model)[:12] in refused.stderr and weights_sha256(other)[:12] in refused.stderr


@pytest.mark.parametrize(("weight", "value", "message"), [
    ("g_a.first.weight", float("nan"), "not finite"),
    ("h_s.head.bias", float("inf"), "not finite"),
    ("A", 9.0, "model matrix A"),
    ("A", 1e9, "matrix A: a value does not fit int32"),
    ("P", 9.0, "model matrix P"),
    ("log_std", 1e9, "scale offsets"),
    ("g_s.blocks.0.b.weight", 1e6, "shifts"),
])
def test_weights_out_of_bounds_are_refused(checkpoint, rasters, tmp_path, weight, value, message):
    broken = broken_checkpoint(checkpoint, tmp_path / "broken.pt", weight, value)
    with pytest.raises((ValueError, sarz.SarzFormatError), match=message):
        export(broken, rasters, tmp_path / "broken-1")
    assert not (tmp_path / "broken-1").exists()


def test_a_layer_is_scaled_until_its_sums_are_exact():
    rng = np.random.default_rng(5)
    weight, bias = rng.normal(size=(8, 128, 1, 1)), rng.normal(size=8) * 1e6
    layer = integer_layer(weight, bias, input_bits=6, output_bits=5, limit=WIDE_LIMIT)
    peak = np.abs(layer["weight"].astype(int)).sum((1, 2, 3)) * WIDE_LIMIT + np.abs(layer["bias"].astype(int))
    assert (peak < INT32_EXACT).all() and (peak * 4 > INT32_EXACT).any()


def test_an_accumulator_that_could_overflow_is_refused(checkpoint):
    codec, config = load_codec(checkpoint)
    arrays = integer_arrays(codec, config["blocks"])
    arrays["g_a.block0.a.bias"][0] = FLOAT32_EXACT
    with pytest.raises(sarz.SarzFormatError, match="an accumulator can reach"):
        build_model({**load_tables(checkpoint), **arrays})


def load_tables(checkpoint: Path) -> dict[str, np.ndarray]:
    """The arrays that are no weights, before anything was fitted."""
    from tables import initial_tables

    bands = load_codec(checkpoint)[0].bands
    return {"context_weights": np.zeros((4 * bands, 4), np.int32), **initial_tables()}


def test_models_are_not_overwritten_and_need_an_id(checkpoint, rasters, model):
    with pytest.raises(FileExistsError, match="an id of its own"):
        export(checkpoint, rasters, model)
    with pytest.raises(ValueError, match="no model id"):
        export(checkpoint, rasters, model.parent / "Not An Id")


def test_evaluate_measures_real_files(model, ssl4eo_db, harvey_db, tmp_path, monkeypatch):
    monkeypatch.setenv("SARZ_MODEL_PATH", "")
    folder = tmp_path / "measured"
    folder.mkdir()
    for path in (ssl4eo_db, harvey_db):
        shutil.copy(path, folder)
    table = evaluate(model, folder, (30, 70), json_path=tmp_path / "figures.json")
    assert len(table.splitlines()) == 4 and "| 30 | 2 |" in table
    result = json.loads((tmp_path / "figures.json").read_text())
    assert result["model"] == {"id": MODEL_ID, "bands": 2, "weights_sha256": weights_sha256(model)}
    for row in result["files"]:
        report = sarz.compress(folder / row["raster"], tmp_path / "again.sarz", quality=row["quality"], model=str(model),
                               overwrite=True)
        assert (row["bytes"], row["rmse_db"]) == (report.output_bytes, report.rmse_db)


def test_evaluate_takes_checkpoints_and_says_what_it_needs(checkpoint, rasters, spatialist_db, tmp_path, monkeypatch):
    monkeypatch.setenv("SARZ_MODEL_PATH", "")
    with pytest.raises(ValueError, match="--train"):
        evaluate(checkpoint, rasters, (50,))
    shutil.copy(spatialist_db, tmp_path)
    with pytest.raises(ValueError, match="no GeoTIFF with 2"):
        evaluate(checkpoint, tmp_path, (50,), train_dir=rasters)


def test_evaluate_of_a_single_band_model_measures_each_band(ssl4eo_db, tmp_path, monkeypatch):
    monkeypatch.setenv("SARZ_MODEL_PATH", "")
    shutil.copy(ssl4eo_db, tmp_path)
    single = Path(__file__).resolve().parent.parent / "models" / "s1-single-1"
    evaluate(single, tmp_path, (50,), json_path=tmp_path / "figures.json")
    files = json.loads((tmp_path / "figures.json").read_text())["files"]
    assert [row["bands"] for row in files] == [[1], [2]] and files[0]["bytes"] != files[1]["bytes"]
