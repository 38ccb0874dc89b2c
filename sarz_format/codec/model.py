"""An integer model: the arrays of `weights.safetensors`, checked so that every sum the decoder makes is exact.

All numbers are fixed point. dB values of pixels have `PIXEL_BITS` fractional bits, latents `LATENT_BITS`; networks see
either in units of 1/4 dB. A hidden activation is eight unsigned bits. See docs/spec/sarz-1.md, section 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import SarzFormatError
from ..grid import BLOCK

PIXEL_BITS = 7
LATENT_BITS = 4
MATRIX_BITS = 14
LAP_BITS = 13
CONTEXT_BITS = 8
DELTA_BITS = 8
INDEX_BITS = 8

WIDE_LIMIT = 2047
"""Largest magnitude of an input of a network's first layer (units of 1/4 dB)."""

LIMB_BITS = 6
"""Such inputs may be split into two limbs of this size; sums over limbs stay below 2^24."""

Z_LIMIT = 127
FILTER_ROW_LIMIT = 1 << 16
"""Rows of P and Q sum to less than this in magnitude: their sums over pixels are exact in int32."""

MATRIX_ROW_LIMIT = 1 << 17
"""As much for A and S, so that both steps of a block's transform are exact in float64."""

CORRECTED_LIMIT = (1 << 18) - 1
"""Largest magnitude of a latent that the synthesis network has added to, in units of pixels."""

ACTIVATION_LIMIT = 255
FLOAT32_EXACT, INT32_EXACT = 1 << 24, 1 << 31
MIN_SHIFT, MAX_SHIFT = -8, 24
LEVEL_BITS = 8
"""Fractional bits of levels, in quantisation steps."""

SCALES = 64
QUALITIES = 101
SYMBOL_LIMIT = 1 << 15
"""Largest magnitude of a symbol."""

LOWEST = np.array([0, 1, BLOCK, BLOCK + 1])
"""Channels of a band's lowest frequencies: constant or half a period, down and along a block."""

HYPER_CHANNELS = 32
HYPER_SYNTHESIS_CHANNELS = 96


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution: ``weight`` int8 (out, in, k, k), ``bias`` int32 (out), ``shift`` int8 (out)."""

    weight: np.ndarray
    bias: np.ndarray
    shift: np.ndarray

    def check(self, name: str, shape: tuple[int, ...], input_limit: int, trunk: bool = False, limit: int = FLOAT32_EXACT) -> None:
        """Raise SarzFormatError unless the layer has that shape and its sums stay below `limit` in magnitude, with a trunk
        (scaled up to them) added where there is one. Below 2^24 they are exact in float32.
        """
        rows = shape[0]
        if (self.weight.shape, self.bias.shape, self.shift.shape) != (shape, (rows,), (rows,)):
            raise SarzFormatError(f"model layer {name}: weights of shape {self.weight.shape}, expected {shape}")
        if self.shift.min() < MIN_SHIFT or self.shift.max() > MAX_SHIFT:
            raise SarzFormatError(f"model layer {name}: shifts must lie between {MIN_SHIFT} and {MAX_SHIFT}")
        peak = np.abs(self.weight.astype(np.int64)).sum((1, 2, 3)) * input_limit + np.abs(self.bias.astype(np.int64))
        if trunk:
            peak = peak + (ACTIVATION_LIMIT << np.maximum(self.shift.astype(np.int64), 0))
        if peak.max(initial=0) >= limit:
            raise SarzFormatError(f"model layer {name}: an accumulator can reach {peak.max()}, the limit is {limit}")


@dataclass(frozen=True, slots=True)
class Tables:
    """Entropy tables: ``cdf`` int32 (tables, 258) cumulative counts of 4096, ``reach`` uint8 (tables).

    Table t codes the symbols -reach[t]..reach[t] and then the escape; row t of ``cdf`` is filled up with 4096.
    The first `SCALES` tables belong to the latents, one more a channel to the hyperlatents, and the last ones to the second
    quantiser of the trellis.
    """

    cdf: np.ndarray
    reach: np.ndarray


@dataclass(frozen=True, slots=True)
class IntegerModel:
    """A whole model. ``layers`` by name, block transforms ``A`` and ``S`` and border filters ``P`` and ``Q`` (int32,
    16 x 16), steps and scale offsets by quality, ``context_weights`` int64 (coarse channels, 4) of a coarse latent's left,
    upper, upper left and upper right neighbours. ``trellis_from`` is the first table whose symbols are in the trellis (`SCALES`: none),
    ``trellis_level`` the level by which the encoder chooses them, in quantisation steps (`LEVEL_BITS`), ``levels`` int64
    (SCALES) what the decoder makes them multiples of, by table and in the same unit."""

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
    context_weights: np.ndarray
    trellis_from: int
    trellis_level: int
    levels: np.ndarray
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
        """Channels of the coarse part: the four lowest frequencies of each band."""
        return (np.arange(self.bands)[:, None] * BLOCK**2 + LOWEST).reshape(-1)

    @property
    def coarse_outputs(self) -> np.ndarray:
        """Outputs of the hyper-synthesis that belong to the coarse channels: means, then scale indices."""
        return np.concatenate([self.coarse_channels, self.channels + self.coarse_channels])

    @property
    def detail_channels(self) -> np.ndarray:
        """All other channels, ascending."""
        return np.setdiff1d(np.arange(self.channels), self.coarse_channels)


def build_model(arrays: Mapping[str, np.ndarray]) -> IntegerModel:
    """Make a model of the arrays of a weights file; raise SarzFormatError if anything is missing or out of bounds."""
    try:
        layers = _layers(arrays)
        bands, blocks = int(arrays["bands"][0]), int(arrays["blocks"][0])
        matrices = {name: arrays[name].astype(np.int32) for name in "ASPQ"}
        per_quality = {n: arrays[n].astype(np.int64) for n in ("delta_encode", "delta_decode", "index_offset")}
        context = arrays["context_weights"].astype(np.int64)
        levels = arrays["levels"].astype(np.int64)
        trellis_from, trellis_level = (int(n) for n in arrays["trellis"].reshape(-1)[:2])
        tables = Tables(arrays["cdf"].astype(np.int32), arrays["reach"].astype(np.uint8))
    except (KeyError, IndexError, ValueError) as exc:
        raise SarzFormatError(f"model weights: {exc} is missing; the file is not a model of this version") from exc
    model = IntegerModel(bands, BLOCK**2 * bands, blocks, layers, context_weights=context, trellis_from=trellis_from,
                         trellis_level=trellis_level, levels=levels, tables=tables, **matrices, **per_quality)
    _check(model)
    return model


def _layers(arrays: Mapping[str, np.ndarray]) -> dict[str, Layer]:
    names = sorted(key.removesuffix(".weight") for key in arrays if key.endswith(".weight"))
    layers = {n: Layer(arrays[f"{n}.weight"], arrays[f"{n}.bias"], arrays[f"{n}.shift"]) for n in names}
    for name, layer in layers.items():
        if (layer.weight.dtype, layer.bias.dtype, layer.shift.dtype) != (np.int8, np.int32, np.int8):
            raise SarzFormatError(f"model layer {name}: expected int8 weights, int32 biases and int8 shifts")
    return layers


def _layer_shapes(channels: int, blocks: int, width: int) -> dict[str, tuple[int, int, int, int]]:
    """Weight shape of every layer of a model."""
    n, w, up = channels, width, HYPER_SYNTHESIS_CHANNELS
    shapes = {}
    for part in ("g_a", "g_s"):
        shapes |= {f"{part}.first": (w, n, 1, 1), f"{part}.head": (n, w, 1, 1)}
        for i in range(blocks):
            shapes |= {f"{part}.block{i}.a": (w, w, 3, 3), f"{part}.block{i}.b": (w, w, 1, 1)}
    shapes |= {"h_a.first": (w, n, 1, 1), "h_a.second": (w, w, 3, 3), "h_a.head": (HYPER_CHANNELS, w, 3, 3)}
    shapes |= {"h_s.first": (w, HYPER_CHANNELS, 3, 3), "h_s.up": (4 * up, w, 1, 1)}
    return shapes | {"h_s.last": (up, up, 3, 3), "h_s.head": (2 * n, up, 1, 1)}


def _check(model: IntegerModel) -> None:
    n = model.channels
    first = model.layers.get("g_a.first")
    if model.bands not in (1, 2) or not 0 <= model.blocks <= 16 or first is None:
        raise SarzFormatError("model weights: expected the layers of a sarz-1 model for one or two bands")
    shapes = _layer_shapes(n, model.blocks, len(first.weight))
    if set(model.layers) != set(shapes):
        raise SarzFormatError(f"model weights: layers {sorted(set(model.layers) ^ set(shapes))} are missing or unknown")
    for name, layer in model.layers.items():
        if name in ("g_a.first", "g_s.first", "h_a.first"):
            layer.check(name, shapes[name], WIDE_LIMIT, limit=INT32_EXACT)
        else:
            layer.check(name, shapes[name], Z_LIMIT if name == "h_s.first" else ACTIVATION_LIMIT, name.endswith(".b"))
    for name in "ASPQ":
        matrix, limit = getattr(model, name), FILTER_ROW_LIMIT if name in "PQ" else MATRIX_ROW_LIMIT
        if matrix.shape != (BLOCK, BLOCK) or np.abs(matrix.astype(np.int64)).sum(1).max() >= limit:
            raise SarzFormatError(f"model matrix {name}: expected {BLOCK} x {BLOCK} with rows summing below {limit}")
    for name in ("delta_encode", "delta_decode", "index_offset"):
        table = getattr(model, name)
        if table.shape != (QUALITIES, n) or np.abs(table).max() >= 1 << 24:
            raise SarzFormatError(f"model table {name}: expected {QUALITIES} x {n} values below 2^24")
    coarse = len(model.coarse_channels)
    if model.context_weights.shape != (coarse, 4) or np.abs(model.context_weights).max() >= 1 << 16:
        raise SarzFormatError("model context weights: expected four below 2^16 for each coarse channel")
    if min(model.delta_encode.min(), model.delta_decode.min()) <= 0:
        raise SarzFormatError("model steps: expected positive quantisation steps")
    if not 0 <= model.trellis_from <= SCALES or not 1 <= model.trellis_level <= 2 << LEVEL_BITS:
        raise SarzFormatError(f"model trellis: from table {model.trellis_from} with level {model.trellis_level}, "
                              f"expected a table up to {SCALES} and a level from 1 to {2 << LEVEL_BITS}")
    if model.levels.shape != (SCALES,) or model.levels.min() < 1 or model.levels.max() > 2 << LEVEL_BITS:
        raise SarzFormatError(f"model levels: expected {SCALES} from 1 to {2 << LEVEL_BITS}")
    _check_tables(model.tables, 2 * SCALES + HYPER_CHANNELS - model.trellis_from)


def _check_tables(tables: Tables, count: int) -> None:
    cdf, reach = tables.cdf, tables.reach.astype(int)
    if cdf.shape != (count, 258) or reach.shape != (len(cdf),) or reach.max() > 127:
        raise SarzFormatError("model entropy tables: unexpected shape")
    used = np.arange(257) < 2 * reach[:, None] + 2
    counts = np.diff(cdf, axis=1)
    if cdf[:, 0].any() or (cdf[:, -1] != 4096).any() or (counts[used] < 1).any() or counts[~used].any():
        raise SarzFormatError("model entropy tables: expected rising counts that end at 4096")
