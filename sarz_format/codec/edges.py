"""The first layer of a network on a CPU: latents of twelve bits as two limbs of six, which layers of bytes take.

Sums of limbs are whole numbers below 2^24 in any arithmetic; they are put together in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import kernels
from .arithmetic import Arithmetic, positions_first, powers_of_two
from .model import LATENT_BITS, IntegerModel, Layer
from .network import WIDE_BITS


@dataclass(frozen=True, slots=True)
class _Wide:
    """A first layer for limbs: its weights without bias, what the offset and the bias add, and its scale."""

    layer: Layer
    constant: np.ndarray
    scale: np.ndarray


def _wide(layer: Layer) -> _Wide:
    rows = layer.weight.astype(np.int64).sum((1, 2, 3))
    constant = layer.bias - kernels.WIDE_OFFSET * rows
    zeros = np.zeros(len(rows), np.int32)
    plain = Layer(layer.weight, zeros, zeros.astype(np.int8))
    return _Wide(plain, constant.astype(np.float64), powers_of_two(layer).astype(np.float64))


class Edges:
    """First layers of a model's networks in an arithmetic."""

    def __init__(self, model: IntegerModel, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._wides = {part: _wide(model.layers[f"{part}.first"]) for part in ("g_a", "g_s", "h_a")}

    def first(self, part: str, values: np.ndarray) -> Tensor:
        """Activations of latents int16 ``(batch, rows, cols, channels)``, contiguous."""
        wide, n = self._wides[part], values.shape[-1]
        limbs = np.empty((2, *values.shape), np.uint8)
        kernels.split_wide(values.reshape(-1, n), LATENT_BITS - WIDE_BITS, limbs.reshape(2, -1, n))
        low, high = self._sums(limbs, wide.layer)
        out = np.empty((*values.shape[:3], low.shape[-1]), np.uint8)
        kernels.requantise_wide(low, high, wide.constant, wide.scale, out.reshape(low.shape))
        return torch.from_numpy(out).permute(0, 3, 1, 2).to(self._arithmetic.activation)

    def _sums(self, limbs: np.ndarray, layer: Layer) -> np.ndarray:
        """Sums ``(2, positions, outputs)`` of limbs ``(2, batch, rows, cols, channels)``."""
        h = torch.from_numpy(limbs.reshape(-1, *limbs.shape[2:])).permute(0, 3, 1, 2)
        return positions_first(self._arithmetic.raw(h, layer)).reshape(2, -1, len(layer.weight))
