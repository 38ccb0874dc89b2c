"""Exact integer convolutions: what every way to compute them gives, and the way that runs on any device.

A hidden layer is ``clamp(rne((sum w a + bias) 2^-shift + trunk), 0, 255)``: `a`, `trunk` and the result are unsigned
bytes, `w` signed bytes, `rne` rounds to nearest, ties to even. Sums stay below 2^24, so that int32 and float32
accumulators give the same number in any order, and the whole expression is exact until its one rounding.

- ``int8`` (`int8`): oneDNN's 8-bit convolutions with the requantisation fused, on CPUs with VNNI or AMX.
- ``float32-direct`` (`direct`): oneDNN's direct float32 convolutions, on other CPUs.
- ``float32`` (here): convolutions as shifted float32 matrix products, so that no Winograd transform can be chosen; any
  device. The reference.

Which of them a machine may use is decided by `conformance`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .model import Layer


class Arithmetic(Protocol):
    """A way to compute layers. Activations are ``(batch, channels, height, width)``, channels last in memory: bytes, as
    uint8, or as the float32 numbers 0 to 255 where `activation` says so."""

    name: str
    activation: torch.dtype

    def hidden(self, h: Tensor, layer: Layer, trunk: Tensor | None = None, stride: int = 1) -> Tensor:
        """Activations in and out; valid convolution. The middle of `trunk`, which may be larger, is added."""

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        """Activations in, float32 holding the exact integers ``sum w a + bias`` out."""


def positions_first(h: Tensor) -> np.ndarray:
    """Activations as an array ``(batch, rows, cols, channels)``, without a copy where they lie so in memory."""
    return h.permute(0, 2, 3, 1).contiguous().numpy()


def powers_of_two(layer: Layer) -> np.ndarray:
    """``2^-shift`` of every output channel, float32."""
    return np.ldexp(1.0, -layer.shift.astype(int)).astype(np.float32)


def middle(trunk: Tensor, rows: int, cols: int) -> Tensor:
    """The middle `rows` and `cols` of `trunk`."""
    top, left = (trunk.shape[2] - rows) // 2, (trunk.shape[3] - cols) // 2
    return trunk[:, :, top : top + rows, left : left + cols]


def accumulate(x: Tensor, layer: Layer, device: torch.device, stride: int = 1) -> Tensor:
    """``sum w a + bias`` of any integer-valued tensor, as float32, by one matrix product a tap."""
    weight = torch.from_numpy(layer.weight).to(device, torch.float32)
    bias = torch.from_numpy(layer.bias).to(device, torch.float32)
    k = weight.shape[2]
    rows = (x.shape[2] - k) // stride + 1
    cols = (x.shape[3] - k) // stride + 1
    x = x.permute(0, 2, 3, 1).to(torch.float32)
    total = bias
    for i in range(k):
        for j in range(k):
            tap = x[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (cols - 1) * stride + 1 : stride]
            total = tap @ weight[:, :, i, j].t() + total
    return total.permute(0, 3, 1, 2)


def requantise(total: Tensor, layer: Layer, trunk: Tensor | None = None) -> Tensor:
    """Exact sums to unsigned bytes."""
    scale = torch.from_numpy(powers_of_two(layer)).to(total.device)
    value = total * scale[:, None, None]
    if trunk is not None:
        value = value + middle(trunk, *total.shape[2:]).to(torch.float32)
    return value.round_().clamp_(0, 255).to(torch.uint8)


class Float32Arithmetic:
    """The reference path: float32 sums of integers, exact below 2^24."""

    name = "float32"
    activation = torch.uint8

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def hidden(self, h: Tensor, layer: Layer, trunk: Tensor | None = None, stride: int = 1) -> Tensor:
        return requantise(self.raw(h, layer, stride), layer, trunk)

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        return accumulate(h, layer, self.device, stride)
