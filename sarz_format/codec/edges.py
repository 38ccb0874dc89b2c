"""The two ends of a network on a CPU: what needs more than a byte, for arithmetics that compute in float32.

The first layer takes values of twelve bits, the linear path pixels or latents of sixteen. The former's sums are below
2^24, exact in float32; the latter's are below 2^53, exact in float64. `byte_edges` does the same in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from . import kernels
from .arithmetic import Arithmetic, powers_of_two
from .model import LATENT_BITS, MATRIX_BITS, PIXEL_BITS, IntegerModel
from .network import WIDE_BITS


@dataclass(frozen=True, slots=True)
class Route:
    """One of the two transforms: its network, its matrix, and the fractional bits of what goes in and comes out."""

    part: str
    matrix: str
    bits_in: int
    bits_out: int

    @property
    def scale(self) -> float:
        """What the sums of the matrix are multiplied by."""
        return 2.0 ** -(MATRIX_BITS + self.bits_in - self.bits_out)


ANALYSIS = Route("g_a", "A", PIXEL_BITS, LATENT_BITS)
SYNTHESIS = Route("g_s", "S", LATENT_BITS, PIXEL_BITS)


class Edges(Protocol):
    """Both ends. Values are int16 ``(batch, rows, cols, channels)``, contiguous."""

    def first(self, part: str, values: np.ndarray, bits: int) -> Tensor:
        """Activations after the first layer of a network, of values with `bits` fractional bits."""

    def join(self, route: Route, values: np.ndarray, head: np.ndarray) -> np.ndarray:
        """int16: the linear path of `values` plus the sums of the network's last layer, float32 of the same shape."""


class FloatEdges:
    """`Edges` in float32 and float64."""

    def __init__(self, model: IntegerModel, arithmetic: Arithmetic) -> None:
        self._arithmetic, self._layers = arithmetic, model.layers
        self._matrices, self._head_scales = {}, {}
        for route in (ANALYSIS, SYNTHESIS):
            matrix = getattr(model, route.matrix).T * route.scale
            self._matrices[route] = torch.from_numpy(np.ascontiguousarray(matrix))
            self._head_scales[route] = powers_of_two(model.layers[f"{route.part}.head"]).astype(np.float64)

    def first(self, part: str, values: np.ndarray, bits: int) -> Tensor:
        wide = np.empty(values.shape, np.float32)
        n = values.shape[-1]
        kernels.widen(values.reshape(-1, n), bits - WIDE_BITS, wide.reshape(-1, n))
        return self._arithmetic.hidden(torch.from_numpy(wide).permute(0, 3, 1, 2), self._layers[f"{part}.first"])

    def join(self, route: Route, values: np.ndarray, head: np.ndarray) -> np.ndarray:
        n = values.shape[-1]
        linear = torch.from_numpy(values.reshape(-1, n)).to(torch.float64) @ self._matrices[route]
        out = np.empty(values.shape, np.int16)
        kernels.add_head(linear.numpy(), head.reshape(-1, n), self._head_scales[route], out.reshape(-1, n))
        return out
