"""oneDNN's float32 convolutions, for CPUs whose 8-bit convolutions are not exact (no VNNI: AVX2 machines).

Activations stay float32 from layer to layer, bytes in value, so that nothing is converted between them. Weights are
converted once, and scaled by the layer's power of two, which keeps every partial sum exact. (Laid out for the kernel
beforehand they gain 1 to 5 %, where the shape of a call takes that layout, and cost milliseconds where it does not.)

The algorithm asked for is always oneDNN's direct one. ``F.conv2d`` would choose between several libraries by the shape
of a batch, and one of them (NNPACK) transforms (Winograd), which is not exact. That none is transformed here either is
what `conformance` checks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import kernels
from .arithmetic import positions_first, powers_of_two
from .model import Layer


@dataclass(frozen=True, slots=True)
class _Prepared:
    weight: Tensor
    bias: Tensor


class DirectArithmetic:
    """Direct float32 convolutions, and requantisation in one pass, in place."""

    name = "float32-direct"
    activation = torch.float32

    def __init__(self) -> None:
        self._prepared: dict[tuple[int, bool], tuple[Layer, _Prepared]] = {}

    def _prepare(self, layer: Layer, scaled: bool) -> _Prepared:
        key = (id(layer), scaled)
        if key not in self._prepared:
            scale = torch.from_numpy(powers_of_two(layer)) if scaled else torch.ones(len(layer.shift))
            weight = torch.from_numpy(layer.weight).to(torch.float32) * scale[:, None, None, None]
            weight = weight.contiguous(memory_format=torch.channels_last)
            bias = torch.from_numpy(layer.bias).to(torch.float32) * scale
            self._prepared[key] = layer, _Prepared(weight, bias)
        return self._prepared[key][1]

    def _convolved(self, h: Tensor, layer: Layer, stride: int, scaled: bool) -> Tensor:
        p = self._prepare(layer, scaled)
        h = h.to(torch.float32, memory_format=torch.channels_last)
        return torch.ops.mkldnn._convolution_pointwise(h, p.weight, p.bias, [0, 0], [stride, stride], [1, 1], 1, "none",
                                                       [], "")

    def hidden(self, h: Tensor, layer: Layer, trunk: Tensor | None = None, stride: int = 1) -> Tensor:
        values = positions_first(self._convolved(h, layer, stride, True))
        if trunk is None:
            kernels.round_bytes(values.reshape(-1))
        else:
            kernels.add_and_round_bytes(values, positions_first(trunk.to(torch.float32)))
        return torch.from_numpy(values).permute(0, 3, 1, 2)

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        return self._convolved(h, layer, stride, False)
