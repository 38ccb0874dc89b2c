"""Make the golden files of this folder again: bytes that every later version must read, and integers it must compute.

    python tests/golden/make.py

Run it when the format or a model changes on purpose, and say so in the specification's changelog: before version 1 is
frozen that is allowed, afterwards a change is a new version of the format.

| file | what | tests |
|---|---|---|
| `rans.json` | a hand-made table, symbols, and their stream | the entropy coder, to the bit |
| `network.safetensors` | outputs of a made-up model's layers and networks | the integer networks, on every path |
| `kinds.sarz`, `kinds.json` | every kind of tile and pixel, coded with made-up models; digests | the format |
| `lossless.json` | small planes of each dtype, and what each method of a lossless copy makes of them | the lossless coder |
| `slc.sarz`, `slc.json` | a complex raster, losslessly; digests | the format |
| `pair.sarz`, `single.sarz`, `crops.json` | crops coded with the installed models; digests | the models as they ship |
| `bounded_*.sarz`, `bounded.json` | crops within a bound, by each method; digests | the bounded tiles |
| `invalid/` | files to be refused, each for one reason: make_invalid.py | both readers |
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

import numpy as np
import torch
from made_model import PAIR, SINGLE, made_arrays, noise, write_models
from safetensors.numpy import save
from scenes import TILE, write_kinds_scene

import sarz_format as sarz
from sarz_format import weights
from sarz_format.codec.arithmetic import Arithmetic
from sarz_format.codec.entropy import encode
from sarz_format.codec.model import Tables, build_model
from sarz_format.codec.network import Frame, Network
from sarz_format.dtypes import REAL_DTYPES
from sarz_format.fallback import PALETTE, WIDE, encode_with, methods_for

CROPS = {"pair": ("terramind_vv_vh_db.tif", [1, 2]), "single": ("harvey_grd.tif", [1])}
"""Golden file to (raster of tests/data, bands). The first 96 rows and 112 columns are coded, in tiles of 64."""

BOUNDED: dict[str, tuple[str, list[int], dict[str, float]]] = {
    "bounded_cells": ("harvey_grd.tif", [1, 2], {"max_error_db": 0.5}),
    "bounded_steps": ("harvey_grd.tif", [1], {"max_error": 5}),
    "bounded_decibels": ("harvey_sigma0.tif", [1, 2], {"max_error_db": 1}),
    "bounded_fixed_point": ("terramind_vv_vh_db.tif", [1, 2], {"max_error": 0.7}),
}
"""Golden file to (raster of tests/data, bands, bound); the same part of it."""

CROP_ROWS, CROP_COLS = 96, 112
CROP_TILE = 64


def rans_case() -> dict[str, Any]:
    """Two tables by hand, symbols inside and beyond their reach, and their stream with the smallest number of lanes."""
    counts = [[1, 95, 3000, 900, 99, 1], [4000, 96]]
    reach = [2, 0]
    cdf = np.full((2, 258), 4096, np.int32)
    for row, line in zip(cdf, counts):
        row[: len(line) + 1] = np.cumsum([0, *line])
    numbers = noise(11, (200,), 0, 1)
    symbols = noise(12, (200,), -3, 3)
    symbols[::17] = noise(13, (12,), -40, 40)
    symbols[100:104] = 32768, -32768, 300, -4
    stream, escapes = encode(symbols.astype(np.int32), numbers.astype(np.uint8), Tables(cdf, np.array(reach, np.uint8)))
    return {"counts": counts, "reach": reach, "tables": numbers.tolist(), "symbols": symbols.tolist(),
            "stream": stream.hex(), "escapes": escapes.hex()}


def lossless_cases() -> dict[str, dict[str, Any]]:
    """By dtype and method: the bit patterns of planes of 2 x 9 x 8 numbers, and their lossless copy by that method."""
    rng = np.random.default_rng(21)
    power, level = rng.gamma(4, 25, (2, 9, 8)), rng.normal(0, 3e3, (2, 9, 8))
    found = {}
    for dtype in REAL_DTYPES:
        values = (power.clip(1, 127) if np.dtype(dtype).kind in "iu" else level).astype(dtype)
        values[:, 3, 2:7] = 0
        if dtype == "float32":
            values[0, 5, :5] = np.nan, np.inf, -np.inf, -0.0, 1e-42
        for method in methods_for(np.dtype(dtype)):
            step = 16 if np.dtype(dtype).kind in "iu" else 2000
            planes = np.rint(values / step).astype(dtype) if method == PALETTE else values
            found[f"{dtype}, method {method}"] = lossless_case(planes, method)
    found["float64, power, method 3"] = lossless_case(power, WIDE)
    found["int64, far, method 3"] = lossless_case((level * 2**45).astype(np.int64), WIDE)
    return found


def lossless_case(values: np.ndarray, method: int) -> dict[str, Any]:
    """One of `lossless_cases`."""
    patterns = values.view(f"u{values.itemsize}").astype(f"<u{values.itemsize}")
    return {"dtype": values.dtype.name, "shape": list(values.shape), "patterns": patterns.tobytes().hex(),
            "copy": encode_with(method, values).hex()}


def write_slc(path: Path) -> Path:
    """A complex raster, GDAL's CInt16, two bands of 70 x 80 pixels with a frame of nodata."""
    import rasterio

    rng = np.random.default_rng(22)
    values = np.rint(rng.normal(0, 60, (2, 70, 80)) + 1j * rng.normal(0, 60, (2, 70, 80))).astype(np.complex64)
    values[:, :9] = 0
    with rasterio.open(path, "w", driver="GTiff", count=2, height=70, width=80, dtype="complex_int16", nodata=0,
                       crs="EPSG:32636", transform=rasterio.Affine(10, 0, 4e5, 0, -10, 9e6)) as dst:
        dst.write(values)
    return path


def network_outputs(network: Network, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
    """What a made-up model makes of noise: single layers, and each network with a frame."""
    model = network.model
    layer, trunked = model.layers["g_s.block0.a"], model.layers["g_s.block0.b"]
    h = torch.from_numpy(noise(1, (1, 6, 7, 8), 0, 255).astype(np.uint8)).permute(0, 3, 1, 2)
    trunk = torch.from_numpy(noise(2, (1, 6, 7, 8), 0, 255).astype(np.uint8)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        outputs = {
            "hidden": arithmetic.hidden(h, layer).permute(0, 2, 3, 1).numpy().astype(np.uint8),
            "hidden_stride_2": arithmetic.hidden(h, layer, stride=2).permute(0, 2, 3, 1).numpy().astype(np.uint8),
            "hidden_trunk": arithmetic.hidden(h, trunked, trunk).permute(0, 2, 3, 1).numpy().astype(np.uint8),
            "raw": arithmetic.raw(h, layer).permute(0, 2, 3, 1).numpy().astype(np.int32),
        }
    pixels = noise(3, (1, 1, 80, 96), -6000, 6000).astype(np.int16)
    latents = noise(4, (1, 5, 6, 256), -2000, 2000).astype(np.int16)
    frame = Frame(1, 0, 0, 2)
    outputs |= {
        "analysis": network.analysis(pixels, frame),
        "synthesis": network.synthesis(latents, frame),
        "hyper_analysis": network.hyper_analysis(noise(5, (1, 8, 8, 256), -2000, 2000).astype(np.int16)),
        "hyper_synthesis": network.hyper_synthesis(noise(6, (1, 2, 2, 32), -127, 127).astype(np.int8)).astype(np.int32),
    }
    return {name: np.ascontiguousarray(value) for name, value in outputs.items()}


def small_model() -> Any:
    """The made-up model of `network_outputs`."""
    return build_model(made_arrays(1, 8, 1))


def digest(values: np.ndarray) -> str:
    """SHA-256 of an array's little-endian bytes."""
    return hashlib.sha256(values.astype(values.dtype.newbyteorder("<")).tobytes()).hexdigest()


def digests(path: Path) -> dict[str, Any]:
    """SHA-256 of the file and of all its pixels, and those of overviews, as little-endian bytes; some pixels for people."""
    with sarz.open(path) as src:
        values = src.read()
        factors = () if np.iscomplexobj(values) else (2, 8, 32)
        overviews = {str(factor): src.read_overview(factor) for factor in factors}
    return {"file": hashlib.sha256(path.read_bytes()).hexdigest(), "values": digest(values),
            "overviews": {factor: digest(overview) for factor, overview in overviews.items()},
            "shape": list(values.shape), "dtype": values.dtype.name,
            "first_row": [float(v) for v in values[0, 0, :4].real]}


@contextlib.contextmanager
def made_models_installed() -> Iterator[None]:
    """Made-up models stand for the installed ones within."""
    before = dict(os.environ), weights.DEFAULT_MODELS
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SARZ_MODEL_PATH"] = str(write_models(Path(folder)))
        weights.DEFAULT_MODELS = {2: PAIR, 1: SINGLE}
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before[0])
            weights.DEFAULT_MODELS = before[1]


def write_crop(name: str, folder: Path) -> Path:
    """The GeoTIFF that a golden crop is made of."""
    import rasterio
    from rasterio.windows import Window

    source, bands = CROPS[name] if name in CROPS else BOUNDED[name][:2]
    path = folder / f"{name}.tif"
    with rasterio.open(HERE.parent / "data" / source) as src:
        values = src.read(bands, window=Window(64, 64, CROP_COLS, CROP_ROWS))
        with rasterio.open(path, "w", driver="GTiff", count=len(bands), height=CROP_ROWS, width=CROP_COLS,
                           dtype=values.dtype, nodata=src.nodata, crs="EPSG:32636",
                           transform=rasterio.Affine(10, 0, 4e5, 0, -10, 9e6)) as dst:
            dst.write(values)
            dst.descriptions = ("VV", "VH")[: len(bands)]
    return path


def compress_crop(name: str, folder: Path) -> Path:
    """A golden crop compressed with the installed models."""
    path = folder / f"{name}.sarz"
    sarz.compress(write_crop(name, folder), path, tile_size=CROP_TILE)
    return path


def bound_crop(name: str, folder: Path) -> Path:
    """A crop of `BOUNDED` compressed."""
    path = folder / f"{name}.sarz"
    sarz.compress(write_crop(name, folder), path, tile_size=CROP_TILE, **BOUNDED[name][2])
    return path


def dump(name: str, value: dict[str, Any]) -> None:
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Write every file of the folder."""
    from sarz_format.codec.network import reference_network

    dump("rans.json", rans_case())
    dump("lossless.json", lossless_cases())
    network = reference_network(small_model())
    (HERE / "network.safetensors").write_bytes(save(network_outputs(network, network.arithmetic)))
    with tempfile.TemporaryDirectory() as folder, made_models_installed():
        sarz.compress(write_kinds_scene(Path(folder) / "kinds.tif"), HERE / "kinds.sarz", tile_size=TILE, quality=15,
                      overwrite=True)
        dump("kinds.json", digests(HERE / "kinds.sarz"))
        sarz.compress(write_slc(Path(folder) / "slc.tif"), HERE / "slc.sarz", tile_size=TILE, lossless=True, overwrite=True)
        dump("slc.json", digests(HERE / "slc.sarz"))
    with tempfile.TemporaryDirectory() as folder:
        for name in CROPS:
            (HERE / f"{name}.sarz").write_bytes(compress_crop(name, Path(folder)).read_bytes())
    dump("crops.json", {name: digests(HERE / f"{name}.sarz") for name in CROPS})
    with tempfile.TemporaryDirectory() as folder:
        for name in BOUNDED:
            (HERE / f"{name}.sarz").write_bytes(bound_crop(name, Path(folder)).read_bytes())
    dump("bounded.json", {name: digests(HERE / f"{name}.sarz") for name in BOUNDED})


if __name__ == "__main__":
    main()
