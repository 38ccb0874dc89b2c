"""Train a codec on a folder of GeoTIFFs.

    python models/training/train.py models/training/configs/s1-pair.json --train DIR --val DIR --out runs/s1-pair

Resumable: run the same command again. The learning rate is constant and then decays by a cosine; weights and activations
are rounded as the integer model will round them from `quantise_from` on. What is kept is the average of the weights
(EMA); choose between runs by what `evaluate` prints for the validation rasters, never by the training loss.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from data import Sampler, load_folder
from model import Codec, Conv, nominal_step_db

CONSTANT_SHARE = 0.6
EMA_DECAY = 0.999

SCALARS = ("log_std", "z_log_scale", "gain", "inverse_gain")
SCALAR_RATE = 5.0
"""What the learning rate is multiplied by for `SCALARS`: logarithms, which have far to go in steps of equal size."""

START_BATCHES = 32
"""Batches that the standard deviations of the latents are first taken from."""


def learning_rate(progress: float, peak: float) -> float:
    """Constant, then a cosine down to 1 % of the peak."""
    if progress < CONSTANT_SHARE:
        return peak
    decay = (progress - CONSTANT_SHARE) / (1 - CONSTANT_SHARE)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(decay, 1.0))))


def rate_distortion_loss(x, x_hat, bits, quality) -> torch.Tensor:
    """Bits a band pixel plus squared error in dB, weighted so that one model serves every quality."""
    pixels = x[0].numel()
    mse = ((x_hat - x) ** 2).mean((1, 2, 3))
    distortion = nominal_step_db(quality) ** 2 / 12 * 0.8
    return (bits / pixels + mse / (2 * math.log(2) * distortion)).mean()


@torch.inference_mode()
def evaluate(model: Codec, images, qualities=(0.1, 0.3, 0.5, 0.7, 0.9)) -> list[dict]:
    """Estimated rate and error of the validation rasters at some qualities."""
    model.eval()
    rows = []
    for quality in qualities:
        bpp, mse = [], []
        for _, x in images:
            h, w = x.shape[1:]
            padded = F.pad(x[None], (0, -w % 32, 0, -h % 32), mode="reflect")
            x_hat, y_bits, z_bits = model(padded, torch.tensor([quality]))
            bpp.append(float(y_bits + z_bits) / x.numel())
            mse.append(float(((x_hat[0, :, :h, :w] - x) ** 2).mean()))
        rows.append({"quality": quality, "bpp": float(np.mean(bpp)), "rmse_db": float(np.sqrt(np.mean(mse)))})
    model.train()
    return rows


def parameter_groups(model: Codec) -> list[dict]:
    """Parameters with the factor that their learning rate is multiplied by."""
    named = dict(model.named_parameters())
    scalars = [named.pop(name) for name in SCALARS]
    return [{"params": list(named.values()), "factor": 1.0}, {"params": scalars, "factor": SCALAR_RATE}]


class Average:
    """Exponential moving average of a model's weights."""

    def __init__(self, model: Codec) -> None:
        self.model = model
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def update(self, step: int) -> None:
        decay = min(EMA_DECAY, step / (step + 20))
        current = self.model.state_dict()
        torch._foreach_lerp_(list(self.state.values()), [current[k] for k in self.state], 1 - decay)

    def __enter__(self) -> None:
        self.backup = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.state)

    def __exit__(self, *exc) -> None:
        self.model.load_state_dict(self.backup)


def train(config: dict, train_dir: Path, val_dir: Path, out: Path, device: str) -> None:
    """Run (or resume) the recipe of `config` and leave `out/checkpoint.pt` and `out/log.jsonl`."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config["seed"])
    rng = np.random.default_rng(config["seed"])
    images = [x for _, x in load_folder(train_dir, config["bands"], tuple(config["exclude"]))]
    val = load_folder(val_dir, config["bands"])
    sampler = Sampler(images, config["crop"], config["batch"], rng)
    model = Codec(config["bands"], config["width"], config["blocks"]).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(parameter_groups(model))
    average, step = Average(model), 0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        average.state, step = saved["average"], saved["step"]
    else:
        model.start_from(sampler().to(device) for _ in range(START_BATCHES))
        average = Average(model)
    total, started = config["steps"], time.time()
    while step < total:
        Conv.quantise_aware = step >= config["quantise_from"] * total
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step / total, config["learning_rate"]) * group["factor"]
        x = sampler().to(device).contiguous(memory_format=torch.channels_last)
        quality = torch.rand(len(x), device=device)
        with torch.autocast(device, torch.bfloat16):
            x_hat, y_bits, z_bits = model(x, quality)
        loss = rate_distortion_loss(x, x_hat, y_bits + z_bits, quality)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        step += 1
        average.update(step)
        if step % config["log_every"] == 0 or step == total:
            with average:
                rows = evaluate(model, val) if device == "cpu" else evaluate(model.cpu(), val)
                model.to(device)
            entry = {"step": step, "loss": float(loss.detach()), "seconds": round(time.time() - started, 1), "val": rows}
            with open(out / "log.jsonl", "a") as log:
                log.write(json.dumps(entry) + "\n")
            print(step, f"{entry['seconds']:.0f} s loss {entry['loss']:.3f}",
                  " ".join(f"{r['bpp']:.3f}@{r['rmse_db']:.3f}" for r in rows), flush=True)
            saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "average": average.state,
                     "step": step, "config": config}
            torch.save(saved, out / "checkpoint.tmp")
            (out / "checkpoint.tmp").replace(checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    train(json.loads(args.config.read_text()), args.train, args.val, args.out, args.device)


if __name__ == "__main__":
    main()
