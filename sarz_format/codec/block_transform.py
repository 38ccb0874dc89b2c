"""The linear path between lapped pixels and latents: a transform of 16 x 16 blocks, of two bands' sum and difference.

::

    latents = round(M z M^T 2^-s),  z = (x1 + x2, x1 - x2) of two bands, z = x of one
    z = M latents M^T,  pixels = round((z1 + z2, z1 - z2) 2^-s) of two bands, round(z 2^-s) of one

with the model's matrices ``A`` and ``S`` for M. Every sum is a whole number below 2^53 (the model's rows are checked), so
float64 holds it exactly, whatever the order, and there is one rounding (to nearest, ties to even). Channel
``256 band + 16 u + v`` of a position is the frequency u down and v along its block.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..grid import BLOCK
from .jit import compiled
from .model import LATENT_BITS, MATRIX_BITS, PIXEL_BITS

ANALYSIS_SCALE = 2.0 ** -(2 * MATRIX_BITS + PIXEL_BITS - LATENT_BITS)
SYNTHESIS_SCALE = 2.0 ** -(2 * MATRIX_BITS)


@compiled
def _accumulate(m, source, target):
    """``target = m source``, float64 ``(16, 16)`` times ``(16, n)``: loops over neighbours in memory are vectorised."""
    n = source.shape[1]
    for u in range(BLOCK):
        row = target[u]
        for c in range(n):
            row[c] = 0.0
        for i in range(BLOCK):
            f, values = m[u, i], source[i]
            for c in range(n):
                row[c] += f * values[c]


@compiled
def analyse_blocks(x, m, scale, latents):
    """Fill latents int16 ``(rows, cols, 256 bands)`` of pixels int16 ``(bands, 16 rows, 16 cols)``."""
    bands, width, cols = x.shape[0], x.shape[2], latents.shape[1]
    z, half = np.empty((BLOCK, width)), np.empty((BLOCK, width))
    turned, y = np.empty((BLOCK, cols)), np.empty((BLOCK, cols))
    for r in range(latents.shape[0]):
        for b in range(bands):
            sign = np.float64(1 - 2 * b)
            for i in range(BLOCK):
                row, first, last = z[i], x[0, BLOCK * r + i], x[bands - 1, BLOCK * r + i]
                for c in range(width):
                    row[c] = np.float64(first[c])
                if bands == 2:
                    for c in range(width):
                        row[c] += sign * np.float64(last[c])
            _accumulate(m, z, half)
            for u in range(BLOCK):
                for c in range(cols):
                    for j in range(BLOCK):
                        turned[j, c] = half[u, BLOCK * c + j]
                _accumulate(m, turned, y)
                for v in range(BLOCK):
                    for c in range(cols):
                        value = y[v, c] * scale
                        value = value if value > -32768.0 else -32768.0
                        y[v, c] = np.rint(value if value < 32767.0 else 32767.0)
                at = (b * BLOCK + u) * BLOCK
                for c in range(cols):
                    for v in range(BLOCK):
                        latents[r, c, at + v] = np.int16(np.int32(y[v, c]))


@compiled
def synthesise_blocks(latents, m, scale, x):
    """Fill pixels int16 ``(bands, 16 rows, 16 cols)`` of latents int32 ``(rows, cols, 256 bands)``."""
    bands, width, cols = x.shape[0], x.shape[2], latents.shape[1]
    turned, y = np.empty((BLOCK, cols)), np.empty((BLOCK, cols))
    half, z, total = np.empty((BLOCK, width)), np.empty((2, BLOCK, width)), np.empty(width)
    for r in range(latents.shape[0]):
        for b in range(bands):
            for u in range(BLOCK):
                at = (b * BLOCK + u) * BLOCK
                for c in range(cols):
                    for v in range(BLOCK):
                        turned[v, c] = np.float64(latents[r, c, at + v])
                _accumulate(m, turned, y)
                for c in range(cols):
                    for j in range(BLOCK):
                        half[u, BLOCK * c + j] = y[j, c]
            _accumulate(m, half, z[b])
        for b in range(bands):
            sign = np.float64(bands - 1) * np.float64(1 - 2 * b)
            for i in range(BLOCK):
                first, last, row = z[0, i], z[bands - 1, i], x[b, BLOCK * r + i]
                for c in range(width):
                    value = (first[c] + sign * last[c]) * scale
                    value = value if value > -32768.0 else -32768.0
                    total[c] = np.rint(value if value < 32767.0 else 32767.0)
                for c in range(width):
                    row[c] = np.int16(np.int32(total[c]))


class BlockTransform:
    """One of a model's two block transforms; compiled loops on a CPU, `torch` operations on any device."""

    def __init__(self, matrix: np.ndarray, device: torch.device) -> None:
        self._m = matrix.astype(np.float64)
        self._tensor = torch.from_numpy(self._m).to(device)

    def analysis(self, pixels: np.ndarray) -> np.ndarray:
        """Latents int16 ``(batch, rows, cols, channels)`` of pixels int16 ``(batch, bands, 16 rows, 16 cols)``."""
        batch, bands, height, width = pixels.shape
        latents = np.empty((batch, height // BLOCK, width // BLOCK, bands * BLOCK**2), np.int16)
        for source, target in zip(pixels, latents):
            analyse_blocks(source, self._m, ANALYSIS_SCALE, target)
        return latents

    def synthesis(self, latents: np.ndarray) -> np.ndarray:
        """Pixels int16 of latents int32, shapes as in `analysis`."""
        batch, rows, cols, channels = latents.shape
        pixels = np.empty((batch, channels // BLOCK**2, rows * BLOCK, cols * BLOCK), np.int16)
        for source, target in zip(latents, pixels):
            synthesise_blocks(source, self._m, SYNTHESIS_SCALE, target)
        return pixels

    def analysis_tensor(self, pixels: Tensor) -> Tensor:
        """As `analysis`, whole numbers in float64."""
        batch, bands, height, width = pixels.shape
        blocks = mixed(pixels.to(torch.float64)).reshape(batch, bands, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
        half = torch.einsum("ui,bcrisj->bcrusj", self._tensor, blocks)
        latents = torch.einsum("bcrusj,vj->brscuv", half, self._tensor) * ANALYSIS_SCALE
        return latents.reshape(batch, height // BLOCK, width // BLOCK, -1).round_().clamp_(-32768, 32767)

    def synthesis_tensor(self, latents: Tensor) -> Tensor:
        """As `synthesis`, whole numbers in float64."""
        batch, rows, cols, channels = latents.shape
        blocks = latents.to(torch.float64).reshape(batch, rows, cols, -1, BLOCK, BLOCK)
        half = torch.einsum("iu,brscuv->brsciv", self._tensor, blocks)
        pixels = torch.einsum("brsciv,jv->bcrisj", half, self._tensor).reshape(batch, -1, rows * BLOCK, cols * BLOCK)
        return (mixed(pixels) * SYNTHESIS_SCALE).round_().clamp_(-32768, 32767)


def mixed(x: Tensor) -> Tensor:
    """Sum and difference of two bands ``(batch, bands, ...)``; one band as it is."""
    return x if x.shape[1] == 1 else torch.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]], dim=1)
