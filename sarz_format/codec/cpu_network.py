"""The networks on a CPU: products as the machine does them best, element-wise steps in single passes.

The same numbers as `network.Network`, several times faster.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import kernels
from .arithmetic import Arithmetic, positions_first, powers_of_two
from .byte_edges import ByteEdges
from .edges import ANALYSIS, SYNTHESIS, Edges, FloatEdges, Route
from .model import LATENT_BITS, IntegerModel
from .network import Frame, Network


class CpuNetwork(Network):
    """`Network` for an arithmetic whose convolutions are exact on this CPU."""

    def __init__(self, model: IntegerModel, arithmetic: Arithmetic) -> None:
        super().__init__(model, torch.device("cpu"), arithmetic)
        kind = FloatEdges if arithmetic.takes_wide else ByteEdges
        self._edges: Edges = kind(model, arithmetic)
        first = model.layers["h_s.first"]
        scale = torch.from_numpy(powers_of_two(first))
        self._hyper_weight = torch.from_numpy(first.weight.reshape(len(scale), -1)).to(torch.float32).t() * scale
        self._hyper_bias = torch.from_numpy(first.bias).to(torch.float32) * scale

    def analysis(self, pixels: np.ndarray, frame: Frame) -> np.ndarray:
        rows, cols = (n // 8 for n in pixels.shape[2:])
        blocks = np.empty((len(pixels), rows, cols, self.model.channels), np.int16)
        for source, target in zip(pixels, blocks):
            kernels.unshuffle_pixels(source, target)
        return self._through(ANALYSIS, blocks, frame)

    def synthesis(self, latents: np.ndarray, frame: Frame) -> np.ndarray:
        blocks = self._through(SYNTHESIS, np.ascontiguousarray(latents), frame)
        pixels = np.empty((len(blocks), self.model.bands, 8 * blocks.shape[1], 8 * blocks.shape[2]), np.int16)
        for source, target in zip(blocks, pixels):
            kernels.shuffle_pixels(source, target)
        return pixels

    def _hyper_input(self, y: np.ndarray) -> Tensor:
        return self._edges.first("h_a", np.ascontiguousarray(y), LATENT_BITS)

    def _hyper_first(self, z: np.ndarray) -> Tensor:
        """As one matrix product: hyperlatents are signed, and few."""
        padded = np.pad(z, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge").astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        weight, bias = self._hyper_weight, self._hyper_bias
        total = torch.addmm(bias, torch.from_numpy(windows.reshape(-1, len(weight))), weight)
        kernels.round_bytes(total.numpy().reshape(-1))
        h = total.reshape(*z.shape[:3], -1).to(self.arithmetic.activation)
        return h.permute(0, 3, 1, 2)

    def _through(self, route: Route, values: np.ndarray, frame: Frame) -> np.ndarray:
        """Linear path plus network of contiguous values."""
        halo = self.model.halo
        centre = np.ascontiguousarray(values[:, halo : values.shape[1] - halo, halo : values.shape[2] - halo])
        with torch.inference_mode():
            h = self._edges.first(route.part, values, route.bits_in)
            head = positions_first(self._hidden_layers(route.part, h, frame))
            return self._edges.join(route, centre, head)
