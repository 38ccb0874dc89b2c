"""An integer model: the arrays of `weights.safetensors`, checked so that every sum the decoder makes is exact.

All numbers are fixed point. dB values of pixels have `PIXEL_BITS` fractional bits, latents `LATENT_BITS`; networks see
either in units of 1/8 dB. A hidden activation is eight unsigned bits. See docs/spec/sarz-1.md, "Integer networks".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import SarzFormatError

PIXEL_BITS = 7
LATENT_BITS = 5
MATRIX_BITS = 15
LAP_BITS = 13
DELTA_BITS = 8
INDEX_BITS = 8

WIDE_LIMIT = 2047
"""Largest magnitude of an input of a network's first layer (units of 1/8 dB)."""

Z_LIMIT = 127
MATRIX_LIMIT = 127 * 128
"""Entries of A and S stay below this, so that they split into two signed bytes."""

ACTIVATION_LIMIT = 255
FLOAT32_EXACT = 1 << 24
SCALES = 64
QUALITIES = 101
HYPER_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution: ``weight`` int8 (out, in, k, k), ``bias`` int32 (out), ``shift`` int8 (out)."""

    weight: np.ndarray
    bias: np.ndarray
    shift: np.ndarray

    def check(self, name: str, input_limit: int) -> None:
        """Raise SarzFormatError unless every accumulator stays below 2^24 in magnitude, as float32 needs."""
        peak = np.abs(self.weight.astype(np.int64)).sum((1, 2, 3)) * input_limit + np.abs(self.bias.astype(np.int64))
        if peak.max(initial=0) >= FLOAT32_EXACT:
            raise SarzFormatError(f"model layer {name}: an accumulator can reach {peak.max()}, the limit is 2^24")


@dataclass(frozen=True, slots=True)
class Tables:
    """Entropy tables: ``cdf`` int32 (tables, 258) cumulative counts of 4096, ``reach`` uint8 (tables).

    Table t codes the symbols -reach[t]..reach[t] and then the escape; row t of ``cdf`` is filled up with 4096.
    The first `SCALES` tables belong to the latents, one more a channel to the hyperlatents.
    """

    cdf: np.ndarray
    reach: np.ndarray


@dataclass(frozen=True, slots=True)
class IntegerModel:
    """A whole model. ``layers`` by name, linear matrices ``A`` and ``S``, border filters ``P`` and ``Q`` (int32, 8 x 8),
    steps and scale offsets by quality."""

    bands: int
    channels: int
    blocks: int
    layers: Mapping[str, Layer]
    A: np.ndarray
    S: np.ndarray
    P: np.ndarray
    Q: np.ndarray
    delta_encode: np.ndarray
    delta_decode: np.ndarray
    index_offset: np.ndarray
    tables: Tables

    @property
    def halo(self) -> int:
        """Latent positions a side that the networks' valid convolutions use up."""
        return self.blocks

    @property
    def context(self) -> int:
        """Latent positions a side that make analysis and synthesis of a part equal those of the whole: the networks'
        halo, and one for the filter across block borders."""
        return self.blocks + 1

    @property
    def coarse_channels(self) -> np.ndarray:
        """Channels of the coarse part: the constant (DC) coefficient of each band."""
        return np.arange(self.bands) * 64

    @property
    def detail_channels(self) -> np.ndarray:
        """All other channels, ascending."""
        return np.setdiff1d(np.arange(self.channels), self.coarse_channels)


def build_model(arrays: Mapping[str, np.ndarray]) -> IntegerModel:
    """Make a model of the arrays of a weights file; raise SarzFormatError if anything is missing or out of bounds."""
    try:
        layers = _layers(arrays)
        bands, blocks = int(arrays["bands"][0]), int(arrays["blocks"][0])
        matrices = {name: arrays[name].astype(np.int64) for name in ("A", "S")}
        matrices |= {name: arrays[name].astype(np.int32) for name in ("P", "Q")}
        per_quality = {n: arrays[n].astype(np.int64) for n in ("delta_encode", "delta_decode", "index_offset")}
        tables = Tables(arrays["cdf"].astype(np.int32), arrays["reach"].astype(np.uint8))
    except (KeyError, IndexError) as exc:
        raise SarzFormatError(f"model weights: {exc} is missing; the file is not a model of this version") from exc
    model = IntegerModel(bands, 64 * bands, blocks, layers, tables=tables, **matrices, **per_quality)
    _check(model)
    return model


def _layers(arrays: Mapping[str, np.ndarray]) -> dict[str, Layer]:
    names = sorted(key.removesuffix(".weight") for key in arrays if key.endswith(".weight"))
    return {n: Layer(arrays[f"{n}.weight"].astype(np.int8), arrays[f"{n}.bias"].astype(np.int32),
                     arrays[f"{n}.shift"].astype(np.int8)) for n in names}


def _expected_layers(blocks: int) -> set[str]:
    transforms = {f"{g}.{part}" for g in ("g_a", "g_s") for part in
                  ("first", "head", *(f"block{i}.{ab}" for i in range(blocks) for ab in "ab"))}
    return transforms | {f"h_a.{p}" for p in ("first", "second", "head")} | {
        f"h_s.{p}" for p in ("first", "up1", "up2", "head")}


def _check(model: IntegerModel) -> None:
    n = model.channels
    if model.bands not in (1, 2) or not 0 <= model.blocks <= 16 or set(model.layers) != _expected_layers(model.blocks):
        raise SarzFormatError("model weights: the layers are not those of a sarz-1 model")
    for name, layer in model.layers.items():
        wide = name.endswith("first")
        layer.check(name, (Z_LIMIT if name.startswith("h_s") else WIDE_LIMIT) if wide else ACTIVATION_LIMIT)
    for name in ("A", "S"):
        matrix = getattr(model, name)
        if matrix.shape != (n, n) or np.abs(matrix).max() >= MATRIX_LIMIT:
            raise SarzFormatError(f"model matrix {name}: expected {n} x {n} entries below {MATRIX_LIMIT}")
    for name in ("P", "Q"):
        matrix = getattr(model, name)
        if matrix.shape != (8, 8) or np.abs(matrix.astype(np.int64)).sum(1).max() >= 1 << 16:
            raise SarzFormatError(f"model filter {name}: expected 8 x 8 with rows summing below 2^16")
    for name in ("delta_encode", "delta_decode", "index_offset"):
        table = getattr(model, name)
        if table.shape != (QUALITIES, n) or np.abs(table).max() >= 1 << 24:
            raise SarzFormatError(f"model table {name}: expected {QUALITIES} x {n} values below 2^24")
    if min(model.delta_encode.min(), model.delta_decode.min()) <= 0:
        raise SarzFormatError("model steps: expected positive quantisation steps")
    _check_tables(model.tables)


def _check_tables(tables: Tables) -> None:
    cdf, reach = tables.cdf, tables.reach.astype(int)
    if cdf.shape != (SCALES + HYPER_CHANNELS, 258) or reach.shape != (len(cdf),) or reach.max() > 127:
        raise SarzFormatError("model entropy tables: unexpected shape")
    used = np.arange(257) < 2 * reach[:, None] + 2
    counts = np.diff(cdf, axis=1)
    if cdf[:, 0].any() or (cdf[:, -1] != 4096).any() or (counts[used] < 1).any() or counts[~used].any():
        raise SarzFormatError("model entropy tables: expected rising counts that end at 4096")
