"""The networks on a CPU: products as the machine does them best, element-wise steps in single passes.

The same numbers as `network.Network`, several times faster.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import kernels
from .arithmetic import Arithmetic, positions_first, powers_of_two
from .edges import Edges
from .model import CORRECTED_LIMIT, IntegerModel
from .network import LATENT_FACTOR, Frame, Network


class CpuNetwork(Network):
    """`Network` for an arithmetic whose convolutions are exact on this CPU."""

    def __init__(self, model: IntegerModel, arithmetic: Arithmetic) -> None:
        super().__init__(model, torch.device("cpu"), arithmetic)
        self._edges = Edges(model, arithmetic)
        self._head_scales = {part: powers_of_two(model.layers[f"{part}.head"]).astype(np.float64) for part in ("g_a", "g_s")}
        first = model.layers["h_s.first"]
        scale = torch.from_numpy(powers_of_two(first))
        self._hyper_weight = torch.from_numpy(first.weight.reshape(len(scale), -1)).to(torch.float32).t() * scale
        self._hyper_bias = torch.from_numpy(first.bias).to(torch.float32) * scale

    def analysis(self, pixels: np.ndarray, frame: Frame) -> np.ndarray:
        latents = self._analysis.analysis(pixels)
        return self._through("g_a", latents, 1, 32767, np.int16, frame)

    def synthesis(self, latents: np.ndarray, frame: Frame) -> np.ndarray:
        y_hat = np.ascontiguousarray(latents)
        return self._synthesis.synthesis(self._through("g_s", y_hat, LATENT_FACTOR, CORRECTED_LIMIT, np.int32, frame))

    def synthesis_tensor(self, latents: np.ndarray, frame: Frame) -> Tensor:
        return torch.from_numpy(self.synthesis(latents, frame))

    def _hyper_input(self, y: np.ndarray) -> Tensor:
        return self._edges.first("h_a", np.ascontiguousarray(y))

    def _hyper_first(self, z: np.ndarray) -> Tensor:
        """As one matrix product: hyperlatents are signed, and few."""
        padded = np.pad(z, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge").astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        weight, bias = self._hyper_weight, self._hyper_bias
        total = torch.addmm(bias, torch.from_numpy(windows.reshape(-1, len(weight))), weight)
        kernels.round_bytes(total.numpy().reshape(-1))
        h = total.reshape(*z.shape[:3], -1).to(self.arithmetic.activation)
        return h.permute(0, 3, 1, 2)

    def _through(self, part: str, values: np.ndarray, factor: int, limit: int, dtype: type, frame: Frame) -> np.ndarray:
        """`factor` times the middle of contiguous `values` plus the network's output, bounded by `limit`."""
        halo = self.model.halo
        centre = np.ascontiguousarray(values[:, halo : values.shape[1] - halo, halo : values.shape[2] - halo])
        with torch.inference_mode():
            h = self._edges.first(part, values)
            head = positions_first(self._hidden_layers(part, h, frame))
        out, n = np.empty(centre.shape, dtype), centre.shape[-1]
        kernels.add_head(centre.reshape(-1, n), factor, head.reshape(-1, n), self._head_scales[part], limit,
                         out.reshape(-1, n))
        return out
