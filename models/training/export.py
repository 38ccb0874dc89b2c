"""Turn a trained checkpoint into the integer model that files are made with.

    python models/training/export.py runs/s1-pair/checkpoint.pt --train DIR --out models/s1-pair-1

Weights become signed bytes with a power-of-two step a row, biases integers, scales a table index; every layer's
accumulator is bounded below 2^24. The entropy tables are then fitted to what the integer model makes of the training
rasters. Writes `weights.safetensors` and `config.json` (with the weights' SHA-256). What is not finite or out of bounds is
an error, and nothing is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import torch
from data import load_folder
from model import HEAD_SCALE, Codec
from safetensors.numpy import save
from tables import SCALE_STEP, SMALLEST_SCALE, fitted_context, fitted_tables, initial_tables

from sarz_format.codec.model import (
    ACTIVATION_LIMIT,
    DELTA_BITS,
    FLOAT32_EXACT,
    INDEX_BITS,
    INT32_EXACT,
    LAP_BITS,
    LATENT_BITS,
    MATRIX_BITS,
    PIXEL_BITS,
    QUALITIES,
    WIDE_LIMIT,
    Z_LIMIT,
    build_model,
)
from sarz_format.errors import SarzError

UNIT_BITS = 5
"""A hidden activation of 1.0 is 2^5."""

WIDE_UNIT_BITS = 5
"""A network input of 1.0 (8 dB) is 2^5 units of 1/4 dB."""

TRELLIS_STEP = 1.2
"""Steps for the trellis over those for the uniform quantiser of the training, so that a quality stands for about the error
that it was trained with."""

MIN_SHRINK = 0.93
"""Without it the validation rasters take 2 to 3 % more bytes at 1.1 and 1.4 dB; 0.9 and 0.93 differ by less than 0.5 %."""

HEAD_BITS = int(math.log2(HEAD_SCALE))
LARGEST_EXPONENT, LARGEST_TRUNK_EXPONENT = 20, 14
"""A trunk is scaled up to the accumulator it is added to, so that layer's exponent is smaller."""


MODEL_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What a file can name a model (docs/spec/sarz-1.md)."""


def whole(values: np.ndarray, dtype: type[np.signedinteger], name: str) -> np.ndarray:
    """`values` rounded to integers of `dtype`; raises ValueError if one does not fit, which a cast would wrap around."""
    rounded, limits = np.rint(values), np.iinfo(dtype)
    if not ((rounded >= limits.min) & (rounded <= limits.max)).all():
        raise ValueError(f"{name}: a value does not fit {limits.dtype} ({limits.min} to {limits.max})")
    return rounded.astype(dtype)


def integer_layer(weight: np.ndarray, bias: np.ndarray, input_bits: int, output_bits: int, limit: int,
                  largest: int = LARGEST_EXPONENT) -> dict:
    """Integer form of one convolution: inputs have `input_bits` fractional bits, outputs `output_bits`."""
    exact = INT32_EXACT if limit == WIDE_LIMIT else FLOAT32_EXACT
    peak = np.abs(weight).max((1, 2, 3)).clip(min=1e-12)
    exponent = np.minimum(-np.ceil(np.log2(peak / 127)), largest)
    while True:
        scaled = np.rint(weight * 2.0 ** exponent[:, None, None, None])
        offset = np.rint(bias * 2.0 ** (exponent + input_bits))
        too_large = np.abs(scaled).sum((1, 2, 3)) * limit + np.abs(offset) >= exact
        if not too_large.any():
            break
        exponent = exponent - too_large
    return {"weight": whole(scaled, np.int8, "weights"), "bias": whole(offset, np.int32, "biases"),
            "shift": whole(exponent + input_bits - output_bits, np.int8, "shifts")}


def _layer_plan(blocks: int) -> dict[str, tuple[int, int, int]]:
    """Name to (input bits, output bits, largest input)."""
    hidden = (UNIT_BITS, UNIT_BITS, ACTIVATION_LIMIT)
    wide = (WIDE_UNIT_BITS, UNIT_BITS, WIDE_LIMIT)
    plan = {}
    for part, bits in (("g_a", LATENT_BITS), ("g_s", PIXEL_BITS)):
        plan[f"{part}.first"] = wide
        plan |= {f"{part}.block{i}.{ab}": hidden for i in range(blocks) for ab in "ab"}
        plan[f"{part}.head"] = (UNIT_BITS, bits + HEAD_BITS, ACTIVATION_LIMIT)
    plan |= {"h_a.first": wide, "h_a.second": hidden, "h_a.head": (UNIT_BITS, 0, ACTIVATION_LIMIT)}
    plan |= {"h_s.first": (0, UNIT_BITS, Z_LIMIT), "h_s.up": hidden, "h_s.last": hidden}
    return plan


def integer_arrays(codec: Codec, blocks: int) -> dict[str, np.ndarray]:
    """Every array of the weights file but the entropy tables; raises ValueError for weights that are out of bounds."""
    state = {k: v.detach().double().numpy() for k, v in codec.state_dict().items()}
    arrays = {"bands": np.array([codec.bands], np.int32), "blocks": np.array([blocks], np.int32)}
    for name, plan in _layer_plan(blocks).items():
        source = name.replace("block", "blocks.")
        largest = LARGEST_TRUNK_EXPONENT if name.endswith(".b") else LARGEST_EXPONENT
        layer = integer_layer(state[f"{source}.weight"], state[f"{source}.bias"], *plan, largest)
        arrays |= {f"{name}.{k}": v for k, v in layer.items()}
    arrays |= {f"h_s.head.{k}": v for k, v in _parameter_head(state, codec.channels).items()}
    for name in ("A", "S"):
        arrays[name] = whole(state[name] * 2**MATRIX_BITS, np.int32, f"matrix {name}")
    for name in ("P", "Q"):
        arrays[name] = whole(state[name] * 2**LAP_BITS, np.int32, f"filter {name}")
    return arrays | _quality_tables(codec, state["log_std"])


def _parameter_head(state: dict[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """The last layer of the hyper-synthesis: means in latent units, log scales in steps of the scale table."""
    weight, bias = state["h_s.head.weight"], state["h_s.head.bias"]
    mean = integer_layer(weight[:n], bias[:n], UNIT_BITS, LATENT_BITS + HEAD_BITS, ACTIVATION_LIMIT)
    scale = integer_layer(weight[n:] / SCALE_STEP, bias[n:] / SCALE_STEP, UNIT_BITS, INDEX_BITS, ACTIVATION_LIMIT)
    return {k: np.concatenate([mean[k], scale[k]]) for k in mean}


def unshrunk(encode: np.ndarray, decode: np.ndarray) -> np.ndarray:
    """The decoder's steps ``(qualities, channels)``, shrunk no further below those of the finest quality than `MIN_SHRINK`.

    Training with a uniform quantiser shrinks what rare symbols of a channel decode to. Here the levels of the trellis,
    fitted by table, do that; and a raster that has more of a channel than the training rasters must get it back.
    """
    ratio = decode / encode
    return np.asarray(encode * np.maximum(ratio, MIN_SHRINK * ratio[-1]))


def _quality_tables(codec: Codec, log_std: np.ndarray) -> dict[str, np.ndarray]:
    """Steps and scale offsets of every whole quality, ``(101, channels)``."""
    with torch.no_grad():
        encode, decode = (TRELLIS_STEP * d.double().numpy() for d in codec.deltas(torch.linspace(0, 1, QUALITIES)))
    decode = unshrunk(encode, decode)
    offset = (log_std - np.log(encode) - math.log(SMALLEST_SCALE)) / SCALE_STEP
    unit = 2.0 ** (LATENT_BITS + DELTA_BITS)
    return {"delta_encode": whole(encode * unit, np.int32, "encoder's steps"),
            "delta_decode": whole(decode * unit, np.int32, "decoder's steps"),
            "index_offset": whole(offset * 2**INDEX_BITS, np.int32, "scale offsets")}


def load_codec(checkpoint: Path) -> tuple[Codec, dict]:
    """The averaged weights of a checkpoint and its config; raises ValueError if a weight is not finite."""
    saved = torch.load(checkpoint, weights_only=True, map_location="cpu")
    config = saved["config"]
    codec = Codec(config["bands"], config["width"], config["blocks"])
    codec.load_state_dict(saved["average"])
    if broken := [name for name, weight in codec.state_dict().items() if not weight.isfinite().all()]:
        raise ValueError(f"{checkpoint}: {', '.join(broken)} not finite: the training diverged")
    return codec.eval(), config | {"trained_steps": saved["step"]}


def export(checkpoint: Path, train_dir: Path, out: Path, overwrite: bool = False) -> dict:
    """Write the integer model to folder `out`, whose name becomes the model's id; return its config.

    Raises
    ------
    ValueError, SarzFormatError
        If the name is no id, or a weight is not finite or out of bounds.
    FileExistsError
        If there is a model and not `overwrite`.
    """
    if not MODEL_ID.fullmatch(out.name):
        raise ValueError(f"{out.name!r} is no model id: expected a folder named by a-z, 0-9 and . _ -")
    if (out / "weights.safetensors").exists() and not overwrite:
        raise FileExistsError(f"{out} holds a model: files name it by its hash, so give the new one an id of its own, "
                              "or --overwrite one that made no file")
    codec, config = load_codec(checkpoint)
    arrays = integer_arrays(codec, config["blocks"])
    images = [x.numpy() for _, x in load_folder(train_dir, config["bands"], tuple(config["exclude"]))]
    arrays |= {"context_weights": np.zeros((4 * codec.bands, 4), np.int32)} | initial_tables()
    arrays |= fitted_context(build_model(arrays), images)
    arrays |= fitted_tables(arrays, images)
    build_model(arrays)
    weights = save({k: np.ascontiguousarray(v) for k, v in sorted(arrays.items())})
    out.mkdir(parents=True, exist_ok=True)
    (out / "weights.safetensors").write_bytes(weights)
    described = {"id": out.name, "format": 1, "bands": config["bands"], "channels": codec.channels,
                 "width": config["width"], "blocks": config["blocks"],
                 "weights_sha256": hashlib.sha256(weights).hexdigest(), "training": config}
    (out / "config.json").write_text(json.dumps(described, indent=1, sort_keys=True) + "\n")
    return described


def main() -> None:
    """Read the arguments and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--train", type=Path, required=True, help="rasters that the entropy tables are fitted to")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model; its name is the model's id")
    parser.add_argument("--overwrite", action="store_true", help="replace the model in --out")
    args = parser.parse_args()
    try:
        print(json.dumps(export(args.checkpoint, args.train, args.out, args.overwrite), indent=1))
    except (ValueError, OSError, SarzError) as exc:
        raise SystemExit(f"error: {exc}") from exc


if __name__ == "__main__":
    main()
