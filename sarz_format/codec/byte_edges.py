"""The first layer of a network on a CPU with exact 8-bit convolutions: wide values as limbs of a byte.

Sums of limbs are put together in float64. The same numbers as `edges.FloatEdges`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import kernels
from .arithmetic import Arithmetic, positions_first, powers_of_two
from .edges import WIDE_SHIFT
from .model import IntegerModel, Layer


@dataclass(frozen=True, slots=True)
class _Wide:
    """A first layer for limbs: its weights without bias, what the offset and the bias add, and its scale."""

    layer: Layer
    constant: np.ndarray
    scale: np.ndarray


def _without_bias(weight: np.ndarray) -> Layer:
    zeros = np.zeros(len(weight), np.int32)
    return Layer(weight.astype(np.int8), zeros, zeros.astype(np.int8))


def _wide(layer: Layer) -> _Wide:
    rows = layer.weight.astype(np.int64).sum((1, 2, 3))
    constant = layer.bias - kernels.WIDE_OFFSET * rows
    return _Wide(_without_bias(layer.weight), constant.astype(np.float64), powers_of_two(layer).astype(np.float64))


class ByteEdges:
    """`edges.Edges` in bytes."""

    def __init__(self, model: IntegerModel, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._wides = {part: _wide(model.layers[f"{part}.first"]) for part in ("g_a", "g_s", "h_a")}

    def first(self, part: str, values: np.ndarray) -> Tensor:
        first, n = self._wides[part], values.shape[-1]
        limbs = np.empty((2, *values.shape), np.uint8)
        kernels.split_wide(values.reshape(-1, n), WIDE_SHIFT, limbs.reshape(2, -1, n))
        low, high = self._sums(limbs, first.layer)
        out = np.empty((*values.shape[:3], low.shape[-1]), np.uint8)
        kernels.requantise_wide(low, high, first.constant, first.scale, out.reshape(low.shape))
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def _sums(self, limbs: np.ndarray, layer: Layer) -> np.ndarray:
        """Sums ``(2, positions, outputs)`` of limbs ``(2, batch, rows, cols, channels)``."""
        h = torch.from_numpy(limbs.reshape(-1, *limbs.shape[2:])).permute(0, 3, 1, 2)
        return positions_first(self._arithmetic.raw(h, layer)).reshape(2, -1, len(layer.weight))
