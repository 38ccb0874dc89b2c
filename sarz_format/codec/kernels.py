"""The element-wise integer steps around the convolutions, one pass each, for CPUs.

They compute exactly what `network.Network` computes with torch operations: wide inputs are split into unsigned bytes so
that the 8-bit convolutions can take them, and sums of bytes are put together again.
"""

from __future__ import annotations

import numpy as np

from .jit import compiled
from .model import WIDE_LIMIT

WIDE_OFFSET = WIDE_LIMIT + 1
LIMB_BITS = 6
"""A wide input plus `WIDE_OFFSET` has twelve bits: two limbs of six."""

MATRIX_LIMB_BITS = 7
"""A matrix entry is ``128 high + low``, both signed bytes."""


@compiled
def split_latents(y, shift, wide, exact):
    """Latents int16 ``(positions, channels)`` to limbs: `wide` (2, positions, channels), low first, of the rounded value
    in 1/8 dB plus `WIDE_OFFSET`; `exact` likewise, of the value plus 32768."""
    half = 1 << (shift - 1)
    for p in range(y.shape[0]):
        for c in range(y.shape[1]):
            v = np.int32(y[p, c])
            a = min(max((v + half) >> shift, -WIDE_LIMIT), WIDE_LIMIT) + WIDE_OFFSET
            wide[0, p, c] = a & ((1 << LIMB_BITS) - 1)
            wide[1, p, c] = a >> LIMB_BITS
            u = v + 32768
            exact[0, p, c] = u & 255
            exact[1, p, c] = u >> 8


@compiled
def unshuffle_pixels(x, y):
    """Pixels int16 ``(bands, 8 rows, 8 cols)`` to ``(rows, cols, 64 bands)``."""
    for r in range(y.shape[0]):
        for c in range(y.shape[1]):
            for b in range(x.shape[0]):
                for i in range(8):
                    for j in range(8):
                        y[r, c, b * 64 + i * 8 + j] = x[b, r * 8 + i, c * 8 + j]


@compiled
def shuffle_pixels(y, x):
    """Inverse of `unshuffle_pixels`."""
    for r in range(y.shape[0]):
        for c in range(y.shape[1]):
            for b in range(x.shape[0]):
                for i in range(8):
                    for j in range(8):
                        x[b, r * 8 + i, c * 8 + j] = y[r, c, b * 64 + i * 8 + j]


@compiled
def requantise_wide(low, high, constant, scale, out):
    """``clamp(rne((64 high + low + constant) scale), 0, 255)`` of float32 sums ``(positions, channels)``.

    In float64, where the sum is exact whatever the weights.
    """
    for p in range(low.shape[0]):
        for c in range(low.shape[1]):
            v = (np.float64(high[p, c]) * (1 << LIMB_BITS) + np.float64(low[p, c]) + constant[c]) * scale[c]
            out[p, c] = np.uint8(min(max(np.rint(v), 0.0), 255.0))


@compiled
def combine(low, high, head, constant, matrix_scale, head_scale, out):
    """Linear path plus network: ``clamp16(rne((sum + constant) matrix_scale + head head_scale))``.

    `low` and `high` float32 ``(positions, 2 channels)`` are the sums over low and high bytes of the latents with the low
    limbs (first half) and the high limbs of the matrix; `constant` undoes the offset 32768.
    """
    n = head.shape[1]
    for p in range(head.shape[0]):
        for c in range(n):
            lows = np.float64(low[p, n + c]) * (1 << MATRIX_LIMB_BITS) + np.float64(low[p, c])
            highs = np.float64(high[p, n + c]) * (1 << MATRIX_LIMB_BITS) + np.float64(high[p, c])
            total = (highs * 256.0 + lows + constant[c]) * matrix_scale + np.float64(head[p, c]) * head_scale[c]
            out[p, c] = np.int16(min(max(np.rint(total), -32768.0), 32767.0))
