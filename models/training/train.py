"""Train a codec on a folder of GeoTIFFs.

    python models/training/train.py models/training/configs/s1-pair.toml --train DIR --val DIR --out runs/s1-pair

Resumable: run the same command again, and the weights become what they would have become without the stop. The learning
rate is constant and then decays by a cosine; weights and activations are rounded as the integer model will round them from
`quantise_from` on. What is kept is the average of the weights; choose between runs by the validation rasters, never by the
training loss. `tensorboard --logdir runs` shows how it goes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from average import Average
from data import Image, Sampler, load_folder
from losses import Loss, rate_distortion_loss
from model import Codec, Conv
from recipe import Recipe, check_resumable, load_recipe
from runlog import RunLog

CONSTANT_SHARE = 0.6
VALIDATION_QUALITIES = (0.1, 0.3, 0.5, 0.7, 0.9)

LOGARITHMS = ("log_std", "z_log_scale", "gain", "inverse_gain")
LOGARITHM_RATE = 5.0
"""What the learning rate is multiplied by for `LOGARITHMS`, which have far to go in steps of equal size."""

START_BATCHES = 32
"""Batches that the standard deviations of the latents are first taken from."""

SCALARS_EVERY = 10
"""Steps between the training loss's points in TensorBoard."""


def learning_rate(progress: float, peak: float) -> float:
    """Constant, then a cosine down to 1 % of the peak."""
    if progress < CONSTANT_SHARE:
        return peak
    decay = (progress - CONSTANT_SHARE) / (1 - CONSTANT_SHARE)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(decay, 1.0))))


@torch.inference_mode()
def estimate(model: Codec, images: Sequence[Image], device: str) -> list[dict[str, float]]:
    """Estimated bits a band pixel and RMSE in dB of the validation rasters, a row for each of some qualities.

    They are of the floating-point model; evaluate.py measures files.
    """
    model.eval()
    rows = []
    for quality in VALIDATION_QUALITIES:
        bpp, mse = [], []
        for _, x in images:
            h, w = x.shape[1:]
            padded = F.pad(x[None], (0, -w % 32, 0, -h % 32), mode="reflect").to(device)
            x_hat, y_bits, z_bits = model(padded, torch.tensor([quality], device=device))
            bpp.append(float(y_bits + z_bits) / x.numel())
            mse.append(float(((x_hat[0, :, :h, :w].cpu() - x) ** 2).mean()))
        rows.append({"quality": quality, "bpp": float(np.mean(bpp)), "rmse_db": float(np.sqrt(np.mean(mse)))})
    model.train()
    return rows


def parameter_groups(model: Codec) -> list[dict[str, Any]]:
    """Parameters with the factor that their learning rate is multiplied by."""
    named = dict(model.named_parameters())
    logarithms = [named.pop(name) for name in LOGARITHMS]
    return [{"params": list(named.values()), "factor": 1.0}, {"params": logarithms, "factor": LOGARITHM_RATE}]


class Run:
    """A training run: model, optimiser and averaged weights after `step` steps, which took `seconds` in all."""

    def __init__(self, recipe: Recipe, sampler: Sampler, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.sampler, self.device = recipe, sampler, device
        model = Codec(recipe.bands, recipe.width, recipe.blocks)
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(parameter_groups(self.model), recipe.learning_rate)
        self.average = Average(self.model)
        self.step, self.seconds = 0, 0.0

    def start(self) -> None:
        """Take the standard deviations of the latents from some batches."""
        self._seed()
        self.model.start_from(self.sampler().to(self.device) for _ in range(START_BATCHES))
        self.average = Average(self.model)

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint; raises ValueError if it is of another recipe."""
        saved = torch.load(checkpoint, weights_only=True, map_location=self.device)
        check_resumable(Recipe.from_dict(saved["config"]), self.recipe)
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average.state, self.step, self.seconds = saved["average"], saved["step"], saved["seconds"]

    def save(self, checkpoint: Path) -> None:
        """Write a checkpoint: the old one or the new one is there at any time, whole."""
        saved = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
                 "average": self.average.state, "step": self.step, "seconds": self.seconds,
                 "config": self.recipe.to_dict()}
        unfinished = checkpoint.with_suffix(".tmp")
        torch.save(saved, unfinished)
        unfinished.replace(checkpoint)

    def advance(self) -> Loss:
        """One step of the optimiser."""
        progress = self.step / self.recipe.steps
        Conv.quantise_aware = progress >= self.recipe.quantise_from
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(progress, self.recipe.learning_rate) * group["factor"]
        self._seed()
        x = self.sampler().to(self.device).contiguous(memory_format=torch.channels_last)
        quality = torch.rand(len(x), device=self.device)
        with torch.autocast(self.device, torch.bfloat16):
            x_hat, y_bits, z_bits = self.model(x, quality)
        bits = y_bits + min(1.0, (self.step + 1) / max(self.recipe.hyper_warmup, 1)) * z_bits
        loss = rate_distortion_loss(x, x_hat, bits, quality, self.recipe.ms_ssim_db2)
        self.optimiser.zero_grad()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        self.average.update(self.step)
        return loss

    def _seed(self) -> None:
        # The random numbers of a step follow from its number alone, so a resumed run draws those that it would have.
        self.sampler.rng = np.random.default_rng((self.recipe.seed, self.step))
        torch.manual_seed(int(self.sampler.rng.integers(2**63)))

    @property
    def learning_rate(self) -> float:
        """Of the last step."""
        rate: float = self.optimiser.param_groups[0]["lr"]
        return rate


def train(recipe: Recipe, train_dir: Path, val_dir: Path, out: Path, device: str) -> None:
    """Run (or resume) `recipe` and leave `checkpoint.pt`, `log.jsonl` and `tensorboard` in folder `out`.

    Raises ValueError for rasters or a checkpoint that do not fit the recipe.
    """
    images = [x for _, x in load_folder(train_dir, recipe.bands, recipe.exclude)]
    val = load_folder(val_dir, recipe.bands)
    run = Run(recipe, Sampler(images, recipe.crop, recipe.batch, np.random.default_rng(recipe.seed)), device)
    checkpoint = out / "checkpoint.pt"
    out.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        run.resume(checkpoint)
        print(f"{checkpoint}: goes on after step {run.step} of {recipe.steps}", flush=True)
    else:
        run.start()
    started = time.monotonic() - run.seconds
    with RunLog(out, run.step) as log:
        while run.step < recipe.steps:
            loss = run.advance()
            if run.step % SCALARS_EVERY == 0 or run.step == recipe.steps:
                log.terms(run.step, loss.scalars(), run.learning_rate)
            if run.step % recipe.log_every == 0 or run.step == recipe.steps:
                run.seconds = time.monotonic() - started
                run.save(checkpoint)
                log.validation(validation_entry(run, loss, val))


def validation_entry(run: Run, loss: Loss, val: Sequence[Image]) -> dict[str, Any]:
    """The line of `log.jsonl` after a step: what the averaged weights reach on the validation rasters."""
    with run.average:
        rows = estimate(run.model, val, run.device)
    return {"step": run.step, "loss": loss.total.item(), "seconds": round(run.seconds, 1), "val": rows}


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="a recipe: a TOML file, see configs/")
    parser.add_argument("--train", type=Path, required=True, help="folder of GeoTIFFs to train on")
    parser.add_argument("--val", type=Path, required=True, help="folder of GeoTIFFs of other scenes, to validate on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: checkpoint and logs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=0, help="threads on a CPU; all by default")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        train(load_recipe(args.config), args.train, args.val, args.out, args.device)
    except (ValueError, OSError) as exc:
        raise SystemExit(f"error: {exc}") from exc


if __name__ == "__main__":
    main()
