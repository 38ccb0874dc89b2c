"""The two ends of a network on a CPU with exact 8-bit convolutions: wide values as limbs of a byte.

Sums of limbs are put together in float64. The same numbers as `edges.FloatEdges`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import kernels
from .arithmetic import Arithmetic, positions_first, powers_of_two
from .edges import ANALYSIS, SYNTHESIS, Route
from .model import IntegerModel, Layer
from .network import WIDE_BITS


@dataclass(frozen=True, slots=True)
class _Wide:
    """A first layer for limbs: its weights without bias, what the offset and the bias add, and its scale."""

    layer: Layer
    constant: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, slots=True)
class _Linear:
    """A linear path for limbs: low then high limbs as one layer, what undoes the offset, and the last layer's scale."""

    layer: Layer
    constant: np.ndarray
    head_scale: np.ndarray


def _without_bias(weight: np.ndarray) -> Layer:
    zeros = np.zeros(len(weight), np.int32)
    return Layer(weight.astype(np.int8), zeros, zeros.astype(np.int8))


def _wide(layer: Layer) -> _Wide:
    rows = layer.weight.astype(np.int64).sum((1, 2, 3))
    constant = layer.bias - kernels.WIDE_OFFSET * rows
    return _Wide(_without_bias(layer.weight), constant.astype(np.float64), powers_of_two(layer).astype(np.float64))


def _linear(matrix: np.ndarray, head: Layer) -> _Linear:
    half = 1 << (kernels.MATRIX_LIMB_BITS - 1)
    high = (matrix + half) >> kernels.MATRIX_LIMB_BITS
    low = matrix - (high << kernels.MATRIX_LIMB_BITS)
    weight = np.concatenate([low, high])[:, :, None, None]
    constant = -32768.0 * matrix.sum(1).astype(np.float64)
    return _Linear(_without_bias(weight), constant, powers_of_two(head).astype(np.float64))


class ByteEdges:
    """`edges.Edges` in bytes."""

    def __init__(self, model: IntegerModel, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._wides = {part: _wide(model.layers[f"{part}.first"]) for part in ("g_a", "g_s", "h_a")}
        self._linear = {route: _linear(getattr(model, route.matrix), model.layers[f"{route.part}.head"])
                        for route in (ANALYSIS, SYNTHESIS)}

    def first(self, part: str, values: np.ndarray, bits: int) -> Tensor:
        first, n = self._wides[part], values.shape[-1]
        limbs = np.empty((2, *values.shape), np.uint8)
        kernels.split_wide(values.reshape(-1, n), bits - WIDE_BITS, limbs.reshape(2, -1, n))
        low, high = self._sums(limbs, first.layer)
        out = np.empty((*values.shape[:3], low.shape[-1]), np.uint8)
        kernels.requantise_wide(low, high, first.constant, first.scale, out.reshape(low.shape))
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def join(self, route: Route, values: np.ndarray, head: np.ndarray) -> np.ndarray:
        linear, n = self._linear[route], values.shape[-1]
        limbs = np.empty((2, *values.shape), np.uint8)
        kernels.split_exact(values.reshape(-1, n), limbs.reshape(2, -1, n))
        low, high = self._sums(limbs, linear.layer)
        out = np.empty(values.shape, np.int16)
        kernels.combine(low, high, head.reshape(-1, n), linear.constant, route.scale, linear.head_scale,
                        out.reshape(-1, n))
        return out

    def _sums(self, limbs: np.ndarray, layer: Layer) -> np.ndarray:
        """Sums ``(2, positions, outputs)`` of limbs ``(2, batch, rows, cols, channels)``."""
        h = torch.from_numpy(limbs.reshape(-1, *limbs.shape[2:])).permute(0, 3, 1, 2)
        return positions_first(self._arithmetic.raw(h, layer)).reshape(2, -1, len(layer.weight))
