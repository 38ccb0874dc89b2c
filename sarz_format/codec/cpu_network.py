"""The networks on a CPU: every product in signed bytes, element-wise steps in single passes.

The same numbers as `network.Network`, several times faster: the linear path and the wide first layer are split into
limbs of a byte, so that they too run on the 8-bit convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import kernels
from .arithmetic import Arithmetic
from .model import LATENT_BITS, MATRIX_BITS, PIXEL_BITS, IntegerModel, Layer
from .network import WIDE_BITS, Frame, Network


@dataclass(frozen=True, slots=True)
class _Wide:
    """A first layer for limbs: its weights without bias, what the offset and the bias add, and its scale."""

    layer: Layer
    constant: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A linear path for limbs: low then high limbs as one layer, and what undoes the offset."""

    layer: Layer
    constant: np.ndarray


def _without_bias(weight: np.ndarray) -> Layer:
    zeros = np.zeros(len(weight), np.int32)
    return Layer(weight.astype(np.int8), zeros, zeros.astype(np.int8))


def _wide(layer: Layer) -> _Wide:
    rows = layer.weight.astype(np.int64).sum((1, 2, 3))
    constant = layer.bias - kernels.WIDE_OFFSET * rows
    return _Wide(_without_bias(layer.weight), constant.astype(np.float64), _scale(layer).astype(np.float64))


def _matrix(matrix: np.ndarray) -> _Matrix:
    half = 1 << (kernels.MATRIX_LIMB_BITS - 1)
    high = (matrix + half) >> kernels.MATRIX_LIMB_BITS
    low = matrix - (high << kernels.MATRIX_LIMB_BITS)
    weight = np.concatenate([low, high])[:, :, None, None]
    return _Matrix(_without_bias(weight), -32768.0 * matrix.sum(1).astype(np.float64))


def _scale(layer: Layer) -> np.ndarray:
    return np.ldexp(1.0, -layer.shift.astype(int)).astype(np.float32)


class CpuNetwork(Network):
    """`Network` for CPUs whose 8-bit convolutions are exact."""

    def __init__(self, model: IntegerModel, arithmetic: Arithmetic) -> None:
        super().__init__(model, torch.device("cpu"), arithmetic)
        self._wides = {part: _wide(model.layers[f"{part}.first"]) for part in ("g_a", "g_s", "h_a")}
        self._limbs = {name: _matrix(getattr(model, name)) for name in ("A", "S")}

    def analysis(self, pixels: np.ndarray, frame: Frame) -> np.ndarray:
        rows, cols = (n // 8 for n in pixels.shape[2:])
        blocks = np.empty((len(pixels), rows, cols, self.model.channels), np.int16)
        for source, target in zip(pixels, blocks):
            kernels.unshuffle_pixels(source, target)
        with torch.inference_mode():
            return self._run("g_a", blocks, "A", PIXEL_BITS, LATENT_BITS, frame)

    def synthesis(self, latents: np.ndarray, frame: Frame) -> np.ndarray:
        with torch.inference_mode():
            blocks = self._run("g_s", latents, "S", LATENT_BITS, PIXEL_BITS, frame)
        pixels = np.empty((len(blocks), self.model.bands, 8 * blocks.shape[1], 8 * blocks.shape[2]), np.int16)
        for source, target in zip(blocks, pixels):
            kernels.shuffle_pixels(source, target)
        return pixels

    def _hyper_input(self, y: np.ndarray) -> Tensor:
        wide, _ = _split(y, LATENT_BITS)
        return self._first("h_a", wide, y.shape[:3])

    def _run(self, part: str, values: np.ndarray, matrix: str, bits_in: int, bits_out: int, frame: Frame) -> np.ndarray:
        wide, exact = _split(values, bits_in)
        n = self.model.channels
        h = self._first(part, wide, values.shape[:3])
        head = _numpy(self._hidden_layers(part, h, frame))
        halo = self.model.halo
        centre = exact[:, :, halo : values.shape[1] - halo, halo : values.shape[2] - halo]
        limbs = self._limbs[matrix]
        sums = _numpy(self._sums(centre.reshape(-1, *centre.shape[2:]), limbs.layer))
        out = np.empty(head.shape, np.int16)
        low, high = sums.reshape(2, -1, 2 * n)
        scale = 2.0 ** -(MATRIX_BITS + bits_in - bits_out)
        head_scale = _scale(self.model.layers[f"{part}.head"]).astype(np.float64)
        kernels.combine(low, high, head.reshape(-1, n), limbs.constant, scale, head_scale, out.reshape(-1, n))
        return out

    def _first(self, part: str, wide: np.ndarray, shape: tuple[int, ...]) -> Tensor:
        first = self._wides[part]
        sums = _numpy(self._sums(wide.reshape(-1, *shape[1:], wide.shape[-1]), first.layer))
        width = sums.shape[-1]
        low, high = sums.reshape(2, -1, width)
        out = np.empty((*shape, width), np.uint8)
        kernels.requantise_wide(low, high, first.constant, first.scale, out.reshape(-1, width))
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def _sums(self, values: np.ndarray, layer: Layer) -> Tensor:
        return self.arithmetic.raw(torch.from_numpy(np.ascontiguousarray(values)).permute(0, 3, 1, 2), layer)


def _numpy(h: Tensor) -> np.ndarray:
    """Channels-last activations as ``(batch, rows, cols, channels)``, without a copy where they lie so in memory."""
    return h.permute(0, 2, 3, 1).contiguous().numpy()


def _split(values: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """`kernels.split_latents` of values ``(batch, rows, cols, channels)``: two arrays ``(2, batch, rows, cols, channels)``."""
    n = values.shape[-1]
    wide, exact = (np.empty((2, *values.shape), np.uint8) for _ in range(2))
    flat = np.ascontiguousarray(values).reshape(-1, n)
    kernels.split_latents(flat, bits - WIDE_BITS, wide.reshape(2, -1, n), exact.reshape(2, -1, n))
    return wide, exact
