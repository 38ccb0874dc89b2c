"""Small made-up models: integer arrays that are the same on every machine and numpy, for tests that need any model.

The linear path works (a DCT behind a lapped filter), the networks are noise of a harmless size, the entropy tables are
two-sided geometric. Nothing here was trained, and nothing depends on the models that are installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from sarz_format import weights
from sarz_format.codec import device
from sarz_format.codec.arithmetic import Arithmetic, Float32Arithmetic
from sarz_format.codec.conformance import Choice, conforms
from sarz_format.codec.cpu_network import CpuNetwork
from sarz_format.codec.direct import DirectArithmetic
from sarz_format.codec.int8 import Int8Arithmetic
from sarz_format.codec.model import (
    DELTA_BITS,
    HYPER_CHANNELS,
    LAP_BITS,
    LATENT_BITS,
    MATRIX_BITS,
    QUALITIES,
    SCALES,
    IntegerModel,
)
from sarz_format.codec.network import Network, reference_network
from sarz_format.quality import nominal_step_db

PAIR, SINGLE = "made-pair", "made-single"

TRELLIS_FROM = 20

_GAMMA, _MIX_A, _MIX_B = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def noise(seed: int, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Integers ``low..high`` by SplitMix64: a fixed function, unlike numpy's generators. int64 of `shape`."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GAMMA) + np.uint64(seed * 0x1000003)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(_MIX_A)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(_MIX_B)
        x ^= x >> np.uint64(31)
    return (low + (x >> np.uint64(11)).astype(np.int64) % (high - low + 1)).reshape(shape)


def made_layer(seed: int, outputs: int, inputs: int, size: int, shift: int) -> dict[str, np.ndarray]:
    """Arrays of one convolution; shifts are `shift` or one more."""
    return {
        "weight": noise(seed, (outputs, inputs, size, size), -60, 60).astype(np.int8),
        "bias": noise(seed + 1, (outputs,), -3000, 9000).astype(np.int32),
        "shift": noise(seed + 2, (outputs,), shift, shift + 1).astype(np.int8),
    }


def _layers(bands: int, width: int, blocks: int) -> dict[str, dict[str, np.ndarray]]:
    n = 256 * bands
    plan: dict[str, tuple[int, int, int, int]] = {}
    for part, head_shift in (("g_a", 14), ("g_s", 12)):
        plan[f"{part}.first"] = width, n, 1, 7
        for block in range(blocks):
            plan[f"{part}.block{block}.a"] = width, width, 3, 9
            plan[f"{part}.block{block}.b"] = width, width, 1, 9
        plan[f"{part}.head"] = n, width, 1, head_shift
    plan |= {"h_a.first": (width, n, 1, 7), "h_a.second": (width, width, 3, 9), "h_a.head": (32, width, 3, 12)}
    plan |= {"h_s.first": (width, 32, 3, 3), "h_s.up": (384, width, 1, 7), "h_s.last": (96, 96, 3, 10)}
    plan["h_s.head"] = 2 * n, 96, 1, 7
    return {name: made_layer(100 * i, *shape) for i, (name, shape) in enumerate(plan.items(), start=bands)}


def _dct(size: int) -> np.ndarray:
    k, n = np.mgrid[:size, :size]
    matrix = np.sqrt(2 / size) * np.cos(np.pi * (2 * n + 1) * k / (2 * size))
    matrix[0] = np.sqrt(1 / size)
    return matrix


def _linear_path(bands: int) -> dict[str, np.ndarray]:
    """The orthonormal A, S and P, Q in fixed point."""
    transform = _dct(16) * bands**-0.25
    k, n = np.mgrid[:8, :8] + 0.5
    dct_iv = np.sqrt(2 / 8) * np.cos(np.pi * k * n / 8)
    eye, flip = np.eye(8), np.fliplr(np.eye(8))
    butterfly = np.block([[eye, flip], [flip, -eye]])
    rotation = flip @ _dct(8).T @ dct_iv @ flip
    lap = 0.5 * butterfly @ np.block([[eye, 0 * eye], [0 * eye, rotation]]) @ butterfly
    matrices = {"A": (transform, MATRIX_BITS), "S": (transform.T, MATRIX_BITS), "P": (lap, LAP_BITS),
                "Q": (lap.T, LAP_BITS)}
    return {name: np.rint(matrix * 2**bits).astype(np.int32) for name, (matrix, bits) in matrices.items()}


def made_tables() -> dict[str, np.ndarray]:
    """``cdf`` and ``reach`` of two-sided geometric distributions, wider from table to table, in whole numbers."""
    cdf = np.full((2 * SCALES + HYPER_CHANNELS - TRELLIS_FROM, 258), 4096, np.int32)
    reach = np.zeros(len(cdf), np.uint8)
    for t in range(len(cdf)):
        spread = 2 * t + 1 if t < SCALES else 3 + t - SCALES
        reach[t] = min(127, 3 * spread // 2)
        share = [spread ** abs(k) * (spread + 2) ** (127 - abs(k)) for k in range(-int(reach[t]), int(reach[t]) + 1)]
        share.append(min(share))
        counts = [1 + (4096 - len(share)) * part // sum(share) for part in share]
        counts[int(reach[t])] += 4096 - sum(counts)
        cdf[t, 0], cdf[t, 1 : len(counts) + 1] = 0, np.cumsum(counts)
    return {"cdf": cdf, "reach": reach}


def _levels() -> np.ndarray:
    """What multiples are of, by table: a little off what the encoder quantises by."""
    middle = np.where(np.arange(SCALES) < TRELLIS_FROM, 256, 170)
    return (middle + noise(99, (SCALES,), -6, 6)).astype(np.int32)


def made_arrays(bands: int = 2, width: int = 16, blocks: int = 2) -> dict[str, np.ndarray]:
    """Every array of a weights file."""
    n = 256 * bands
    arrays = {"bands": np.array([bands], np.int32), "blocks": np.array([blocks], np.int32)}
    arrays |= {f"{name}.{k}": v for name, layer in _layers(bands, width, blocks).items() for k, v in layer.items()}
    # Means close to zero, scales close to what `index_offset` says.
    arrays["h_s.head.shift"][:n] = 14
    step = np.array([round(nominal_step_db(q) * 2 ** (LATENT_BITS + DELTA_BITS)) for q in range(QUALITIES)], np.int32)
    delta = np.repeat(step[:, None], n, axis=1)
    offset = np.repeat((np.arange(QUALITIES, dtype=np.int32) * 70)[:, None], n, axis=1)
    offset[:, ::256] += 3000
    return arrays | _linear_path(bands) | made_tables() | {
        "trellis": np.array([TRELLIS_FROM, 170], np.int32), "levels": _levels(),
        "delta_encode": delta, "delta_decode": delta.copy(), "index_offset": offset,
        "context_weights": np.tile(np.array([[150, 130, -60, 20], [90, 110, 7, -30]], np.int32), (2 * bands, 1))}


def write_model(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A model folder whose name is the model's id."""
    folder.mkdir(parents=True)
    weights = save({k: np.ascontiguousarray(v) for k, v in sorted(arrays.items())})
    (folder / "weights.safetensors").write_bytes(weights)
    config = {"id": folder.name, "bands": int(arrays["bands"][0]),
              "weights_sha256": hashlib.sha256(weights).hexdigest()}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_models(folder: Path) -> Path:
    """A pair model and a single model in `folder`, which SARZ_MODEL_PATH may name."""
    write_model(folder / PAIR, made_arrays(2))
    write_model(folder / SINGLE, made_arrays(1))
    return folder


@pytest.fixture(scope="module")
def made_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of made-up models, which stand for the installed ones in this module's tests."""
    folder = write_models(tmp_path_factory.mktemp("models"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SARZ_MODEL_PATH", str(folder))
        patch.setattr(weights, "DEFAULT_MODELS", {2: PAIR, 1: SINGLE})
        yield folder


CPU = torch.device("cpu")

ARITHMETICS: dict[str, Callable[[], Arithmetic]] = {
    "float32": lambda: Float32Arithmetic(CPU), "float32-direct": DirectArithmetic, "int8": Int8Arithmetic}
"""Every way to compute on a CPU, by name; the first is the reference."""

PATHS = list(ARITHMETICS)

EXACT_PATHS = [name for name, make in ARITHMETICS.items() if conforms(make(), CPU)]
"""Those that are exact on this machine."""


def arithmetic_of(path: str) -> Arithmetic:
    """An arithmetic by name; skips the test where it is not exact."""
    if path not in EXACT_PATHS:
        pytest.skip(f"{path}: this machine or build of torch has no such exact convolutions")
    return ARITHMETICS[path]()


def network_of(model: IntegerModel, path: str) -> Network:
    """A model's networks in an arithmetic, as an engine would have them."""
    arithmetic = arithmetic_of(path)
    return reference_network(model) if path == "float32" else CpuNetwork(model, arithmetic)


@contextlib.contextmanager
def forced_arithmetic(name: str) -> Iterator[None]:
    """Engines loaded within compute in that arithmetic; skips the test where it is not exact."""
    chosen = arithmetic_of(name)
    device.load_engine.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "choose_arithmetic", lambda _: Choice(chosen))
        try:
            yield
        finally:
            device.load_engine.cache_clear()


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch computes with that many threads within."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
