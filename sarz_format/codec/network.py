"""The integer networks of one model on one device: analysis, synthesis, hyper-analysis and hyper-synthesis.

Arrays cross the border of this module as numpy, position-major: pixels ``(batch, bands, height, width)`` int16 with
`PIXEL_BITS` fractional bits of dB, latents ``(batch, rows, cols, channels)`` int16 with `LATENT_BITS`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .arithmetic import Arithmetic, Float32Arithmetic, accumulate, requantise
from .block_transform import BlockTransform
from .conformance import choose_arithmetic
from .model import CORRECTED_LIMIT, LATENT_BITS, PIXEL_BITS, WIDE_LIMIT, Z_LIMIT, IntegerModel, Layer

WIDE_BITS = 2
"""Fractional bits of a network's input: 1/4 dB."""

LATENT_FACTOR = 1 << (PIXEL_BITS - LATENT_BITS)
"""What a latent is multiplied by before the synthesis network adds to it: then it has the fractional bits of pixels."""


class Frame(NamedTuple):
    """How many latent positions of an extended box lie outside the raster, on each side."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def shrunk(self) -> Frame:
        """The frame after a valid 3 x 3 convolution."""
        return Frame(*(max(0, n - 1) for n in self))

    def clear(self, h: Tensor) -> Tensor:
        """Set what is outside the raster to zero, in place."""
        if self.top:
            h[:, :, : self.top] = 0
        if self.left:
            h[:, :, :, : self.left] = 0
        if self.bottom:
            h[:, :, -self.bottom :] = 0
        if self.right:
            h[:, :, :, -self.right :] = 0
        return h


class Network:
    """Runs an `IntegerModel`. Results do not depend on device, arithmetic, threads or batch."""

    def __init__(self, model: IntegerModel, device: torch.device, arithmetic: Arithmetic | None = None) -> None:
        self.model, self.device = model, device
        self.arithmetic = arithmetic or choose_arithmetic(device).arithmetic
        self._analysis, self._synthesis = BlockTransform(model.A, device), BlockTransform(model.S, device)
        head, rows = model.layers["h_s.head"], model.coarse_outputs
        self._coarse_head = Layer(head.weight[rows], head.bias[rows], head.shift[rows])

    def analysis(self, pixels: np.ndarray, frame: Frame) -> np.ndarray:
        """Latents of the pixels of an extended box: ``halo`` positions fewer on every side."""
        with torch.inference_mode():
            latents = self._analysis.analysis_tensor(self._to_device(pixels))
            return self._int16(self._corrected("g_a", latents, 1, frame)).cpu().numpy()

    def synthesis(self, latents: np.ndarray, frame: Frame) -> np.ndarray:
        """Pixels of an extended box of latents: ``halo`` positions fewer on every side, sixteen pixels a position."""
        return self.synthesis_tensor(latents, frame).cpu().numpy()

    def synthesis_tensor(self, latents: np.ndarray, frame: Frame) -> Tensor:
        """As `synthesis`, int16 that stays on the device."""
        with torch.inference_mode():
            y_hat = self._to_device(latents)
            corrected = self._corrected("g_s", y_hat, LATENT_FACTOR, frame).clamp_(-CORRECTED_LIMIT - 1, CORRECTED_LIMIT)
            return self._int16(self._synthesis.synthesis_tensor(corrected))

    def hyper_analysis(self, y: np.ndarray) -> np.ndarray:
        """Hyperlatents int8 ``(batch, rows / 2, cols / 2, 32)`` of latents whose sides are even."""
        layers, arithmetic = self.model.layers, self.arithmetic
        with torch.inference_mode():
            h = self._hyper_input(y)
            h = arithmetic.hidden(F.pad(h, (1, 1, 1, 1)), layers["h_a.second"], stride=2)
            z = arithmetic.raw(F.pad(h, (1, 1, 1, 1)), layers["h_a.head"])
            z = (z * self._scale(layers["h_a.head"])[:, None, None]).round_().clamp_(-Z_LIMIT, Z_LIMIT)
            return z.permute(0, 2, 3, 1).to(torch.int8).cpu().numpy()

    def _hyper_input(self, y: np.ndarray) -> Tensor:
        """The first layer of the hyper-analysis."""
        return self._wide(self._to_device(y).to(torch.float32), self.model.layers["h_a.first"], LATENT_BITS)

    def hyper_synthesis(self, z: np.ndarray) -> np.ndarray:
        """Sums of the last layer, float32 holding integers, ``(batch, 2 rows, 2 cols, 2 channels)``.

        Scaled by the layer's shifts and rounded they are the means of the latents (`LATENT_BITS`) and their scale
        indices (`INDEX_BITS`); `latents` does that on the way.
        """
        with torch.inference_mode():
            sums = self.arithmetic.raw(self._hyper_hidden(z), self.model.layers["h_s.head"])
            return sums.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def coarse_sums(self, z: np.ndarray) -> np.ndarray:
        """As `hyper_synthesis`, of the coarse channels alone: ``(batch, 2 rows, 2 cols, 2 coarse channels)``.

        The last layer is one matrix product here, in float32 on any device: few outputs, and a shape that no known vector
        of `conformance` would cover.
        """
        with torch.inference_mode():
            sums = accumulate(self._hyper_hidden(z), self._coarse_head, self.device)
            return sums.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def _hyper_hidden(self, z: np.ndarray) -> Tensor:
        """Activations before the last layer of the hyper-synthesis."""
        layers, arithmetic = self.model.layers, self.arithmetic
        h = F.pixel_shuffle(arithmetic.hidden(self._hyper_first(z), layers["h_s.up"]), 2)
        return arithmetic.hidden(_replicate(h), layers["h_s.last"])

    def _hyper_first(self, z: np.ndarray) -> Tensor:
        """The first layer of the hyper-synthesis."""
        layer = self.model.layers["h_s.first"]
        h = self._to_device(z).permute(0, 3, 1, 2).to(torch.float32)
        h = F.pad(h, (1, 1, 1, 1), mode="replicate")
        return requantise(accumulate(h, layer, self.device), layer)

    def _corrected(self, part: str, values: Tensor, factor: int, frame: Frame) -> Tensor:
        """`factor` times the middle of `values` ``(batch, rows, cols, channels)``, plus a network's output: float64."""
        halo = self.model.halo
        layers = self.model.layers
        h = self._wide(values.to(torch.float32), layers[f"{part}.first"], LATENT_BITS)
        head = self._hidden_layers(part, h, frame).permute(0, 2, 3, 1).to(torch.float64)
        head *= self._scale(layers[f"{part}.head"])
        centre = values[:, halo : values.shape[1] - halo, halo : values.shape[2] - halo].to(torch.float64)
        return head.add_(centre, alpha=factor).round_()

    def _hidden_layers(self, part: str, h: Tensor, frame: Frame) -> Tensor:
        """Blocks and head on the output of the first layer: sums in float32."""
        layers = self.model.layers
        h = frame.clear(h)
        for i in range(self.model.blocks):
            inner = self.arithmetic.hidden(h, layers[f"{part}.block{i}.a"])
            frame = frame.shrunk()
            h = self.arithmetic.hidden(inner, layers[f"{part}.block{i}.b"], trunk=h)
            h = frame.clear(h)
        return self.arithmetic.raw(h, layers[f"{part}.head"])

    def _wide(self, values: Tensor, layer: Layer, bits: int) -> Tensor:
        """First layer: values of `bits` fractional bits, brought to 1/4 dB; sums in float64."""
        shift = bits - WIDE_BITS
        wide = torch.floor((values + (1 << (shift - 1))) * 2.0**-shift).clamp_(-WIDE_LIMIT, WIDE_LIMIT)
        weight = torch.from_numpy(layer.weight[:, :, 0, 0]).to(self.device, torch.float64)
        total = torch.from_numpy(layer.bias).to(self.device, torch.float64) + wide.to(torch.float64) @ weight.t()
        return requantise(total.permute(0, 3, 1, 2), layer)

    def _scale(self, layer: Layer) -> Tensor:
        return torch.from_numpy(np.ldexp(1.0, -layer.shift.astype(int)).astype(np.float32)).to(self.device)

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    @staticmethod
    def _int16(values: Tensor) -> Tensor:
        return values.clamp_(-32768, 32767).to(torch.int16).contiguous()


def _replicate(h: Tensor) -> Tensor:
    """Repeat the outermost positions once (torch's own replicate padding takes no bytes)."""
    h = torch.cat([h[:, :, :1], h, h[:, :, -1:]], dim=2)
    return torch.cat([h[:, :, :, :1], h, h[:, :, :, -1:]], dim=3).contiguous(memory_format=torch.channels_last)


def reference_network(model: IntegerModel) -> Network:
    """The model on the float32 path of the CPU: what every other path must equal."""
    return Network(model, torch.device("cpu"), Float32Arithmetic(torch.device("cpu")))
