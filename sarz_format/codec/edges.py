"""The first layer of a network on a CPU, which takes more than a byte, for arithmetics that compute in float32.

It takes values of twelve bits; its sums are below 2^24, exact in float32. `byte_edges` does the same in bytes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from . import kernels
from .arithmetic import Arithmetic
from .model import LATENT_BITS, IntegerModel
from .network import WIDE_BITS

WIDE_SHIFT = LATENT_BITS - WIDE_BITS
"""Bits of a latent that a network does not see."""


class Edges(Protocol):
    """First layers of a model's networks."""

    def first(self, part: str, values: np.ndarray) -> Tensor:
        """Activations of latents int16 ``(batch, rows, cols, channels)``, contiguous."""


class FloatEdges:
    """`Edges` in float32."""

    def __init__(self, model: IntegerModel, arithmetic: Arithmetic) -> None:
        self._arithmetic, self._layers = arithmetic, model.layers

    def first(self, part: str, values: np.ndarray) -> Tensor:
        wide = np.empty(values.shape, np.float32)
        n = values.shape[-1]
        kernels.widen(values.reshape(-1, n), WIDE_SHIFT, wide.reshape(-1, n))
        return self._arithmetic.hidden(torch.from_numpy(wide).permute(0, 3, 1, 2), self._layers[f"{part}.first"])
