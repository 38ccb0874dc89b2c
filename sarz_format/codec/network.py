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
from .conformance import choose_arithmetic
from .model import LATENT_BITS, MATRIX_BITS, PIXEL_BITS, WIDE_LIMIT, Z_LIMIT, IntegerModel, Layer

WIDE_BITS = 3
"""Fractional bits of a network's input: 1/8 dB."""


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
        self._matrices = {n: torch.from_numpy(getattr(model, n).astype(np.float64)).to(device) for n in ("A", "S")}

    def analysis(self, pixels: np.ndarray, frame: Frame) -> np.ndarray:
        """Latents of the pixels of an extended box: ``halo`` positions fewer on every side."""
        with torch.inference_mode():
            x = self._to_device(pixels)
            blocks = F.pixel_unshuffle(x.to(torch.float32), 8).permute(0, 2, 3, 1)
            y = self._transform("g_a", blocks, "A", PIXEL_BITS, LATENT_BITS, frame)
            return self._to_int16(y)

    def synthesis(self, latents: np.ndarray, frame: Frame) -> np.ndarray:
        """Pixels of an extended box of latents: ``halo`` positions fewer on every side, eight pixels a position."""
        with torch.inference_mode():
            y_hat = self._to_device(latents).to(torch.float32)
            x = self._transform("g_s", y_hat, "S", LATENT_BITS, PIXEL_BITS, frame)
            return self._to_int16(F.pixel_shuffle(x.permute(0, 3, 1, 2), 8))

    def hyper_analysis(self, y: np.ndarray) -> np.ndarray:
        """Hyperlatents int8 ``(batch, rows / 4, cols / 4, 32)`` of latents whose sides are multiples of four."""
        layers, arithmetic = self.model.layers, self.arithmetic
        with torch.inference_mode():
            h = self._hyper_input(y)
            h = arithmetic.hidden(F.pad(h, (1, 1, 1, 1)), layers["h_a.second"], stride=2)
            z = arithmetic.raw(F.pad(h, (1, 1, 1, 1)), layers["h_a.head"], stride=2)
            z = (z * self._scale(layers["h_a.head"])[:, None, None]).round_().clamp_(-Z_LIMIT, Z_LIMIT)
            return z.permute(0, 2, 3, 1).to(torch.int8).cpu().numpy()

    def _hyper_input(self, y: np.ndarray) -> Tensor:
        """The first layer of the hyper-analysis."""
        return self._wide(self._to_device(y).to(torch.float32), self.model.layers["h_a.first"], LATENT_BITS)

    def hyper_synthesis(self, z: np.ndarray) -> np.ndarray:
        """Sums of the last layer, float32 holding integers, ``(batch, 4 rows, 4 cols, 2 channels)``.

        Scaled by the layer's shifts and rounded they are the means of the latents (`LATENT_BITS`) and their scale
        indices (`INDEX_BITS`); `latents` does that on the way.
        """
        layers, arithmetic = self.model.layers, self.arithmetic
        with torch.inference_mode():
            h = F.pixel_shuffle(arithmetic.hidden(self._hyper_first(z), layers["h_s.up1"]), 2)
            h = _replicate(h)
            h = F.pixel_shuffle(arithmetic.hidden(h, layers["h_s.up2"]), 2)
            return arithmetic.raw(h, layers["h_s.head"]).permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def _hyper_first(self, z: np.ndarray) -> Tensor:
        """The first layer of the hyper-synthesis."""
        layer = self.model.layers["h_s.first"]
        h = self._to_device(z).permute(0, 3, 1, 2).to(torch.float32)
        h = F.pad(h, (1, 1, 1, 1), mode="replicate")
        return requantise(accumulate(h, layer, self.device), layer)

    def _transform(self, part: str, values: Tensor, matrix: str, bits_in: int, bits_out: int, frame: Frame) -> Tensor:
        """Linear path plus network: ``(batch, rows, cols, channels)`` integers in float32, to float64 integers."""
        halo = self.model.halo
        layers = self.model.layers
        h = self._wide(values, layers[f"{part}.first"], bits_in)
        head = self._hidden_layers(part, h, frame).permute(0, 2, 3, 1)
        centre = values[:, halo : values.shape[1] - halo, halo : values.shape[2] - halo].to(torch.float64)
        linear = centre @ self._matrices[matrix].t()
        linear *= 2.0 ** -(MATRIX_BITS + bits_in - bits_out)
        linear += head.to(torch.float64) * self._scale(layers[f"{part}.head"])
        return linear.round_()

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
        """First layer: values of `bits` fractional bits, brought to 1/8 dB, exact in float32."""
        shift = bits - WIDE_BITS
        wide = torch.floor((values + (1 << (shift - 1))) * 2.0**-shift).clamp_(-WIDE_LIMIT, WIDE_LIMIT)
        return requantise(accumulate(wide.permute(0, 3, 1, 2), layer, self.device), layer)

    def _scale(self, layer: Layer) -> Tensor:
        return torch.from_numpy(np.ldexp(1.0, -layer.shift.astype(int)).astype(np.float32)).to(self.device)

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    @staticmethod
    def _to_int16(values: Tensor) -> np.ndarray:
        return values.clamp_(-32768, 32767).to(torch.int16).contiguous().cpu().numpy()


def _replicate(h: Tensor) -> Tensor:
    """Repeat the outermost positions once (torch's own replicate padding takes no bytes)."""
    h = torch.cat([h[:, :, :1], h, h[:, :, -1:]], dim=2)
    return torch.cat([h[:, :, :, :1], h, h[:, :, :, -1:]], dim=3).contiguous(memory_format=torch.channels_last)


def reference_network(model: IntegerModel) -> Network:
    """The model on the float32 path of the CPU: what every other path must equal."""
    return Network(model, torch.device("cpu"), Float32Arithmetic(torch.device("cpu")))
