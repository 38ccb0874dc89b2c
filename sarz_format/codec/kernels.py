"""The element-wise integer steps around the convolutions, one pass each, for CPUs.

They compute exactly what `network.Network` computes with torch operations. Wide inputs are split into limbs, and sums of
limbs are put together again.

Bounds are written as conditions, not with min and max: how those treat NaN, which never occurs here, keeps a loop from
being vectorised. A bound before rounding and one after it are the same, as bounds are whole numbers.
"""

from __future__ import annotations

import numpy as np

from .jit import compiled
from .model import LIMB_BITS, WIDE_LIMIT

WIDE_OFFSET = WIDE_LIMIT + 1
"""A wide input plus this has twelve bits."""


@compiled
def split_wide(values, shift, limbs):
    """Values int16 ``(positions, channels)``, rounded to 1/4 dB and bounded, plus `WIDE_OFFSET`, as two limbs uint8
    ``(2, positions, channels)``, low first."""
    half = 1 << (shift - 1)
    for p in range(values.shape[0]):
        for c in range(values.shape[1]):
            a = min(max((np.int32(values[p, c]) + half) >> shift, -WIDE_LIMIT), WIDE_LIMIT) + WIDE_OFFSET
            limbs[0, p, c] = a & ((1 << LIMB_BITS) - 1)
            limbs[1, p, c] = a >> LIMB_BITS


@compiled
def requantise_wide(low, high, constant, scale, out):
    """``clamp(rne((64 high + low + constant) scale), 0, 255)`` of float32 sums ``(positions, channels)``.

    In float64, where the sum is exact whatever the weights.
    """
    for p in range(low.shape[0]):
        for c in range(low.shape[1]):
            v = (np.float64(high[p, c]) * (1 << LIMB_BITS) + np.float64(low[p, c]) + constant[c]) * scale[c]
            v = v if v > 0.0 else 0.0
            out[p, c] = np.uint8(np.int32(np.rint(v if v < 255.0 else 255.0)))


@compiled
def round_bytes(x):
    """``clamp(rne(x), 0, 255)`` of flat float32, in place."""
    low, high = np.float32(0), np.float32(255)
    for i in range(x.size):
        v = x[i] if x[i] > low else low
        x[i] = np.rint(v if v < high else high)


@compiled
def add_and_round_bytes(x, trunk):
    """``clamp(rne(x + trunk), 0, 255)`` in place, of float32 ``(batch, rows, cols, channels)`` and a trunk's middle."""
    low, high = np.float32(0), np.float32(255)
    top, left = (trunk.shape[1] - x.shape[1]) // 2, (trunk.shape[2] - x.shape[2]) // 2
    for b in range(x.shape[0]):
        for r in range(x.shape[1]):
            for c in range(x.shape[2]):
                for k in range(x.shape[3]):
                    v = x[b, r, c, k] + trunk[b, top + r, left + c, k]
                    v = v if v > low else low
                    x[b, r, c, k] = np.rint(v if v < high else high)


@compiled
def add_head(values, factor, head, head_scale, limit, out):
    """``clamp(rne(factor values + head head_scale), -limit - 1, limit)`` of whole numbers and the sums of the last layer."""
    top, bottom = np.float64(limit), -1.0 - np.float64(limit)
    for p in range(head.shape[0]):
        for c in range(head.shape[1]):
            v = np.float64(values[p, c]) * factor + np.float64(head[p, c]) * head_scale[c]
            v = v if v > bottom else bottom
            out[p, c] = np.int32(np.rint(v if v < top else top))
