"""The training: recipes, rasters, the loss and its terms, logs, and a stopped run that goes on as if it had not been."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from data import Sampler, load_folder, read_db
from losses import ms_ssim, rate_distortion_loss
from made_model import torch_threads
from model import Codec, nominal_step_db
from recipe import Recipe, check_resumable, load_recipe
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from train import train

CONFIGS = sorted((Path(__file__).resolve().parent.parent / "models" / "training" / "configs").iterdir())

TINY = Recipe(bands=1, width=8, blocks=1, crop=32, batch=2, steps=6, learning_rate=1e-2, quantise_from=0.5, log_every=3,
              seed=1)


@pytest.fixture(autouse=True)
def one_thread():
    """Layers this small are slower on several threads, and much slower on a busy machine."""
    with torch_threads(1):
        yield


@pytest.fixture
def rasters(write_raster, tmp_path) -> Path:
    """A folder with one single-band raster of simulated speckle, 64 x 64, which is larger than a crop needs."""
    values_db = 10 * np.log10(np.random.default_rng(2).gamma(4, 1 / 4, (1, 64, 64))) - 10
    write_raster("speckle.tif", values_db.astype(np.float32))
    return tmp_path


# Recipes


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_configurations_are_recipes_and_say_what_became_of_them(path):
    load_recipe(path)
    comments = "\n".join(line for line in path.read_text("utf-8").splitlines() if line.startswith("#"))
    for label in ("Command:", "Hardware:", "Time:", "Result:"):
        assert re.search(rf"# {label} +\w", comments), label
    assert f"models/training/configs/{path.name}" in comments


@pytest.mark.parametrize(("changed", "message"), [
    ({"bands": 3}, "bands is 3"), ({"crop": 100}, "crop is 100"), ({"steps": 0}, "steps is 0"),
    ({"blocks": 17}, "blocks is 17"), ({"learning_rate": 0.0}, "learning_rate"), ({"quantise_from": 1.5}, "quantise_from"),
    ({"ms_ssim_db2": -1.0}, "ms_ssim_db2"), ({"ms_ssim_db2": 1.0}, "MS-SSIM needs 192"), ({"batches": 3}, "batches")])
def test_recipes_that_cannot_be(changed, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict({**TINY.to_dict(), **changed})


def test_recipes_survive_a_checkpoint():
    recipe = replace(TINY, exclude=("a", "b"))
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_missing_keys_and_broken_files_are_named(tmp_path):
    path = tmp_path / "broken.toml"
    for text in ("bands = 1\n", "bands = \n"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"broken\.toml"):
            load_recipe(path)


# Rasters


def test_a_raster_is_read_by_the_scale_that_compress_would_find(harvey_grd, harvey_sigma0, harvey_db):
    # Of one scene, in which 0 dB is the digital number 450.
    for path, zero_db in ((harvey_grd, 20 * math.log10(450)), (harvey_sigma0, 0), (harvey_db, 0)):
        values, valid = read_db(path)
        assert -20 < values[valid].mean() - zero_db < -10


def test_folders_without_what_is_needed(rasters):
    for bands, exclude in ((2, ()), (1, ("speckle.tif",))):
        with pytest.raises(ValueError, match="no GeoTIFF"):
            load_folder(rasters, bands, exclude)


def test_rasters_that_no_crop_fits_in_are_refused(rasters):
    images = [x for _, x in load_folder(rasters, 1)]
    with pytest.raises(ValueError, match="85 x 85 pixels"):
        Sampler(images, 64, 2, np.random.default_rng(0))


# The loss


def batch(side: int = 192) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images of speckle in decibels and what a coarse codec might make of them."""
    generator = torch.Generator().manual_seed(3)
    x = 4 * torch.randn((2, 2, side, side), generator=generator)
    return x, x + torch.randn(x.shape, generator=generator)


def test_loss_is_rate_plus_weighted_error():
    x, x_hat = batch(32)
    bits, quality = torch.tensor([1000.0, 3000.0]), torch.tensor([0.2, 0.8])
    loss = rate_distortion_loss(x, x_hat, bits, quality)
    bpp = bits / (2 * 32 * 32)
    mse = ((x - x_hat) ** 2).mean((1, 2, 3))
    balance = 0.8 * nominal_step_db(quality) ** 2 / 12
    assert loss.total.item() == pytest.approx((bpp + mse / (2 * math.log(2) * balance)).mean().item())
    assert loss.scalars() == pytest.approx(
        {"total": loss.total.item(), "bpp": bpp.mean().item(), "rmse_db": math.sqrt(mse.mean().item())})


def test_ms_ssim_is_1_for_equal_images_and_falls_with_the_error():
    x, x_hat = batch()
    assert ms_ssim(x, x).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    near, far = ms_ssim(x, x_hat), ms_ssim(x, x + 3 * (x_hat - x))
    assert (far < near).all() and (near < 1).all() and (far > 0).all()


@pytest.mark.parametrize("decoded", ["near", "flat", "opposite", "equal"])
def test_ms_ssim_has_finite_gradients(decoded):
    x, x_hat = batch()
    x_hat = {"near": x_hat, "flat": torch.zeros_like(x), "opposite": -x, "equal": x.clone()}[decoded].requires_grad_()
    ms_ssim(x, x_hat).sum().backward()
    assert x_hat.grad is not None and x_hat.grad.isfinite().all()
    if decoded in ("near", "opposite"):
        assert x_hat.grad.abs().max() > 0


def test_ms_ssim_adds_its_weight_to_the_squared_error():
    x, x_hat = batch()
    bits, quality = torch.zeros(2), torch.tensor([0.5, 0.5])
    plain = rate_distortion_loss(x, x_hat, bits, quality)
    weighted = rate_distortion_loss(x, x_hat, bits, quality, ms_ssim_db2=2.0)
    assert plain.ms_ssim is None and weighted.ms_ssim is not None
    distortion = plain.mse_db2 + 2.0 * (1 - weighted.ms_ssim)
    assert weighted.total.item() == pytest.approx((plain.total * distortion / plain.mse_db2).item(), rel=1e-5)
    assert weighted.scalars()["ms_ssim"] == pytest.approx(ms_ssim(x, x_hat).mean().item())


# Runs


def test_a_stopped_run_goes_on_as_if_it_had_not_been(rasters, tmp_path, monkeypatch):
    train(TINY, rasters, rasters, tmp_path / "whole", "cpu")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # Stopped in the fifth step: the checkpoint is of the third.
        steps = iter(range(4))
        draw = Sampler.__call__
        patch.setattr(Sampler, "__call__", lambda self: draw(self) if next(steps, None) is not None else stop())
        with pytest.raises(KeyboardInterrupt):
            train(TINY, rasters, rasters, tmp_path / "stopped", "cpu")
    train(TINY, rasters, rasters, tmp_path / "stopped", "cpu")

    whole, stopped = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "stopped"))
    assert whole["step"] == stopped["step"] == 6
    start = Codec(1, 8, 1).state_dict()
    assert any(not torch.equal(whole["model"][name], start[name]) for name in ("A", "S", "gain"))
    for part in ("model", "average"):
        assert all(torch.equal(whole[part][name], stopped[part][name]) for name in whole[part])


def test_a_run_logs_its_loss_rate_error_and_learning_rate(rasters, tmp_path):
    out = tmp_path / "run"
    train(TINY, rasters, rasters, out, "cpu")
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 7, "left": "by a stopped run"}) + "\n")
    train(replace(TINY, steps=8, log_every=2), rasters, rasters, out, "cpu")
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [3, 6, 8] and entries[-1]["seconds"] >= entries[0]["seconds"]
    assert [row["quality"] for row in entries[0]["val"]] == [0.1, 0.3, 0.5, 0.7, 0.9]
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    names = set(events.Tags()["scalars"])
    assert {"train/total", "train/bpp", "train/rmse_db", "train/learning_rate", "val/bpp/quality_50",
            "val/rmse_db/quality_50"} <= names
    assert [event.step for event in events.Scalars("val/bpp/quality_50")] == [3, 6, 8]


def test_a_checkpoint_of_another_recipe_is_refused():
    check_resumable(TINY, replace(TINY, steps=100, log_every=50))
    with pytest.raises(ValueError, match="width 8 to 16"):
        check_resumable(TINY, replace(TINY, width=16))


def test_a_run_can_minimise_ms_ssim(write_raster, tmp_path, monkeypatch):
    # Fields of speckle for crops of this size take seconds, and are not what is tested.
    monkeypatch.setattr("train.Sampler", partial(Sampler, bank_size=1))
    folder = write_raster("speckle.tif", np.random.default_rng(2).normal(-10, 3, (1, 256, 256)).astype(np.float32)).parent
    recipe = replace(TINY, crop=192, batch=1, steps=1, ms_ssim_db2=4.0)
    train(recipe, folder, folder, tmp_path / "run", "cpu")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    (event,) = events.Scalars("train/ms_ssim")
    assert 0 < event.value <= 1
