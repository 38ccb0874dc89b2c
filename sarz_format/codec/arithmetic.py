"""Exact integer convolutions, by whatever the hardware does fastest.

A hidden layer is ``clamp(rne((sum w a + bias) 2^-shift + trunk), 0, 255)``: `a`, `trunk` and the result are unsigned
bytes, `w` signed bytes, `rne` rounds to nearest, ties to even. Sums stay below 2^24, so that int32 and float32
accumulators give the same number in any order, and the whole expression is exact until its one rounding.

- ``int8``: oneDNN's 8-bit convolutions with the requantisation fused (VNNI or AMX; about four times float32).
- ``float32``: convolutions as shifted matrix products, so that no Winograd transform can be chosen; any device.

Which of them a machine may use is decided by `conforms`: a known vector at the largest magnitudes, compared with
integers. Machines without VNNI saturate 16-bit pair sums there and are caught by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .model import Layer


class Arithmetic(Protocol):
    """A way to compute layers. Activations are ``(batch, channels, height, width)``, channels last in memory."""

    name: str

    def hidden(self, h: Tensor, layer: Layer, trunk: Tensor | None = None, stride: int = 1) -> Tensor:
        """uint8 in, uint8 out; valid convolution."""

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        """uint8 in, float32 holding the exact integers ``sum w a + bias`` out."""


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
    scale = torch.from_numpy(np.ldexp(1.0, -layer.shift.astype(int)).astype(np.float32)).to(total.device)
    value = total * scale[:, None, None]
    if trunk is not None:
        value = value + trunk.to(torch.float32)
    return value.round_().clamp_(0, 255).to(torch.uint8)


class Float32Arithmetic:
    """The reference path: float32 sums of integers, exact below 2^24."""

    name = "float32"

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def hidden(self, h: Tensor, layer: Layer, trunk: Tensor | None = None, stride: int = 1) -> Tensor:
        return requantise(self.raw(h, layer, stride), layer, trunk)

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        return accumulate(h, layer, self.device, stride)


@dataclass(frozen=True, slots=True)
class _Packed:
    weight: Tensor
    scale: Tensor
    zero: Tensor
    bias: Tensor


class Int8Arithmetic:
    """oneDNN 8-bit convolutions on a CPU, requantisation fused."""

    name = "int8"

    def __init__(self) -> None:
        self._packed: dict[tuple[int, bool], tuple[Layer, _Packed]] = {}

    def _pack(self, layer: Layer, stride: int, requantised: bool) -> _Packed:
        key = (id(layer), requantised)
        if key not in self._packed:
            exponent = -layer.shift.astype(int) if requantised else np.zeros(len(layer.shift), int)
            scale = torch.from_numpy(np.ldexp(1.0, exponent).astype(np.float32))
            weight = torch.ops.onednn.qconv_prepack(torch.from_numpy(layer.weight), scale, 1.0, 0, [stride, stride],
                                                    [0, 0], [1, 1], 1, None)
            bias = torch.from_numpy(layer.bias.astype(np.float32)) * scale
            self._packed[key] = layer, _Packed(weight, scale, torch.zeros(len(scale), dtype=torch.int32), bias)
        return self._packed[key][1]

    def hidden(self, h: Tensor, layer: Layer, trunk: Tensor | None = None, stride: int = 1) -> Tensor:
        p = self._pack(layer, stride, True)
        h = h.contiguous(memory_format=torch.channels_last)
        if trunk is None:
            return torch.ops.onednn.qconv2d_pointwise(
                h, 1.0, 0, p.weight, p.scale, p.zero, p.bias, [stride, stride], [0, 0], [1, 1], 1, 1.0, 0,
                torch.uint8, "relu", [], "")
        total = trunk.clone(memory_format=torch.channels_last)
        return torch.ops.onednn.qconv2d_pointwise.binary(
            h, 1.0, 0, p.weight, p.scale, p.zero, total, p.bias, [stride, stride], [0, 0], [1, 1], 1, 1.0, 0,
            torch.uint8, 1.0, 0, "sum", 1.0, "relu", [], "")

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        p = self._pack(layer, stride, False)
        return torch.ops.onednn.qconv2d_pointwise(
            h.contiguous(memory_format=torch.channels_last), 1.0, 0, p.weight, p.scale, p.zero, p.bias,
            [stride, stride], [0, 0], [1, 1], 1, 1.0, 0, torch.float32, "none", [], "")


def conforms(arithmetic: Arithmetic, device: torch.device) -> bool:
    """Whether `arithmetic` gives the integers of a known vector: largest magnitudes, ties, and noise."""
    rng = np.random.default_rng(0)
    h = rng.integers(0, 256, (2, 9, 11, 64), dtype=np.uint8)
    h[:, :5] = np.where(h[:, :5] < 200, 255, h[:, :5])
    weight = rng.integers(-127, 128, (32, 64, 3, 3)).astype(np.int8)
    weight[:8] = np.abs(weight[:8])
    weight[:2, ::2] = 127
    bias, shift = rng.integers(-(1 << 20), 1 << 20, 32).astype(np.int32), np.arange(32).astype(np.int8) % 16
    weight[24:], bias[24:], shift[24:] = 0, 0, 1
    weight[24:, 0, 1, 1] = 1  # Half of an activation: ties.
    layer = Layer(weight, bias, shift)
    trunk = rng.integers(0, 256, (2, 7, 9, 32), dtype=np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(h.astype(np.int64), (3, 3), axis=(1, 2))
    total = np.einsum("bhwcij,ocij->bhwo", windows, weight.astype(np.int64)) + layer.bias
    expected = np.clip(np.rint(np.ldexp(total.astype(np.float64), -layer.shift.astype(int)) + trunk), 0, 255)
    try:
        tensor, accum = (torch.from_numpy(a).to(device).permute(0, 3, 1, 2) for a in (h, trunk))
        with torch.inference_mode():
            got = arithmetic.hidden(tensor, layer, accum).permute(0, 2, 3, 1).cpu().numpy()
            sums = arithmetic.raw(tensor, layer).permute(0, 2, 3, 1).cpu().numpy()
    except (RuntimeError, AttributeError, NotImplementedError):
        return False  # This build of torch has no such kernel: the caller takes the next path and records it.
    return bool(np.array_equal(got, expected) and np.array_equal(sums, total))


def choose_arithmetic(device: torch.device) -> Arithmetic:
    """The fastest conforming arithmetic of a device; raises RuntimeError if even float32 does not conform."""
    candidates: list[Arithmetic] = [Int8Arithmetic()] if device.type == "cpu" else []
    candidates.append(Float32Arithmetic(device))
    for arithmetic in candidates:
        if conforms(arithmetic, device):
            return arithmetic
    raise RuntimeError(f"{device}: float32 sums of small integers are not exact here; switch TF32 off")
