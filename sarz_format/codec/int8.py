"""oneDNN's 8-bit convolutions, for CPUs with VNNI or AMX: four times as fast as float32 and more.

CPUs without them saturate sums of two products in 16 bits, which `conformance` finds.

With AMX, oneDNN's 3 x 3 convolution of stride 2 gives wrong sums where its result is one column wide and five rows or
more high (a tile of up to 32 columns). So such a result is computed two columns wide, and the second left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .arithmetic import middle, powers_of_two
from .model import Layer


@dataclass(frozen=True, slots=True)
class _Packed:
    weight: Tensor
    scale: Tensor
    zero: Tensor
    bias: Tensor


class Int8Arithmetic:
    """oneDNN 8-bit convolutions on a CPU, requantisation fused."""

    name = "int8"
    activation = torch.uint8

    def __init__(self) -> None:
        self._packed: dict[tuple[int, bool], tuple[Layer, _Packed]] = {}

    def _pack(self, layer: Layer, stride: int, requantised: bool) -> _Packed:
        key = (id(layer), requantised)
        if key not in self._packed:
            scale = torch.from_numpy(powers_of_two(layer)) if requantised else torch.ones(len(layer.shift))
            weight = torch.ops.onednn.qconv_prepack(torch.from_numpy(layer.weight), scale, 1.0, 0, [stride, stride],
                                                    [0, 0], [1, 1], 1, None)
            bias = torch.from_numpy(layer.bias).to(torch.float32) * scale
            self._packed[key] = layer, _Packed(weight, scale, torch.zeros(len(scale), dtype=torch.int32), bias)
        return self._packed[key][1]

    def hidden(self, h: Tensor, layer: Layer, trunk: Tensor | None = None, stride: int = 1) -> Tensor:
        if _one_column(h, layer, stride):
            wider = None if trunk is None else _wider(middle(trunk, *_result_shape(h, layer, stride)), 1)
            return self.hidden(_wider(h, stride), layer, wider, stride)[..., :1]
        p = self._pack(layer, stride, True)
        h = h.contiguous(memory_format=torch.channels_last)
        if trunk is None:
            return torch.ops.onednn.qconv2d_pointwise(
                h, 1.0, 0, p.weight, p.scale, p.zero, p.bias, [stride, stride], [0, 0], [1, 1], 1, 1.0, 0,
                torch.uint8, "relu", [], "")
        total = middle(trunk, *_result_shape(h, layer, stride)).clone(memory_format=torch.channels_last)  # Becomes the result.
        return torch.ops.onednn.qconv2d_pointwise.binary(
            h, 1.0, 0, p.weight, p.scale, p.zero, total, p.bias, [stride, stride], [0, 0], [1, 1], 1, 1.0, 0,
            torch.uint8, 1.0, 0, "sum", 1.0, "relu", [], "")

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        if _one_column(h, layer, stride):
            return self.raw(_wider(h, stride), layer, stride)[..., :1]
        p = self._pack(layer, stride, False)
        return torch.ops.onednn.qconv2d_pointwise(
            h.contiguous(memory_format=torch.channels_last), 1.0, 0, p.weight, p.scale, p.zero, p.bias,
            [stride, stride], [0, 0], [1, 1], 1, 1.0, 0, torch.float32, "none", [], "")


def _result_shape(h: Tensor, layer: Layer, stride: int) -> tuple[int, int]:
    """Rows and columns of a valid convolution."""
    rows, cols = ((n - layer.weight.shape[2]) // stride + 1 for n in h.shape[2:])
    return rows, cols


def _one_column(h: Tensor, layer: Layer, stride: int) -> bool:
    """Whether the result would be one column wide, which a convolution with strides may get wrong."""
    return stride > 1 and _result_shape(h, layer, stride)[1] == 1


def _wider(h: Tensor, columns: int) -> Tensor:
    """`h` with columns of zeros on its right."""
    return F.pad(h, (0, columns))
