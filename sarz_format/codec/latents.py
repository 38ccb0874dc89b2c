"""Symbols and latents: quantisation with the integer parameters of the hyperprior."""

from __future__ import annotations

import numpy as np

from .jit import compiled
from .model import DELTA_BITS, INDEX_BITS, SCALES


@compiled
def _table_numbers(scale, offset, coarse, out_coarse, out_detail):
    """Table of each latent: ``clamp((scale + offset + 2^(INDEX_BITS - 1)) >> INDEX_BITS, 0, SCALES - 1)``."""
    for p in range(scale.shape[0]):
        i = j = 0
        for c in range(scale.shape[1]):
            t = (np.int64(scale[p, c]) + offset[c] + (1 << (INDEX_BITS - 1))) >> INDEX_BITS
            t = min(max(t, 0), SCALES - 1)
            if coarse[c]:
                out_coarse[p, i] = t
                i += 1
            else:
                out_detail[p, j] = t
                j += 1


@compiled
def _dequantise(mean, k_coarse, k_detail, delta, coarse, out):
    """``y_hat = clamp16(mean + ((k delta + 2^(DELTA_BITS - 1)) >> DELTA_BITS))``."""
    for p in range(out.shape[0]):
        i = j = 0
        for c in range(out.shape[1]):
            if coarse[c]:
                k = np.int64(k_coarse[p, i])
                i += 1
            else:
                k = np.int64(k_detail[p, j])
                j += 1
            v = np.int64(mean[p, c]) + ((k * delta[c] + (1 << (DELTA_BITS - 1))) >> DELTA_BITS)
            out[p, c] = min(max(v, -32768), 32767)


@compiled
def _quantise(y, mean, delta, coarse, k_coarse, k_detail):
    """``k = round((y - mean) / delta)``, ties to even."""
    for p in range(y.shape[0]):
        i = j = 0
        for c in range(y.shape[1]):
            k = np.rint((np.float64(y[p, c]) - mean[p, c]) * (1 << DELTA_BITS) / delta[c])
            if coarse[c]:
                k_coarse[p, i] = np.int32(k)
                i += 1
            else:
                k_detail[p, j] = np.int32(k)
                j += 1


def table_numbers(scale: np.ndarray, offset: np.ndarray, coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entropy table of every latent, ``(positions, channels)`` uint8, of the coarse and the detail channels.

    `scale` int32 ``(positions, channels)`` from the hyper-synthesis, `offset` int64 by channel for the tile's quality,
    `coarse` bool by channel.
    """
    positions, count = len(scale), int(coarse.sum())
    out = np.empty((positions, count), np.uint8), np.empty((positions, coarse.size - count), np.uint8)
    _table_numbers(scale, offset, coarse, *out)
    return out


def quantise(y: np.ndarray, mean: np.ndarray, delta: np.ndarray, coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symbols int32 of the coarse and the detail channels, of latents int16 ``(positions, channels)``."""
    positions, count = len(y), int(coarse.sum())
    out = np.empty((positions, count), np.int32), np.empty((positions, coarse.size - count), np.int32)
    _quantise(y, mean, delta, coarse, *out)
    return out


def dequantise(mean: np.ndarray, k_coarse: np.ndarray, k_detail: np.ndarray, delta: np.ndarray,
               coarse: np.ndarray) -> np.ndarray:
    """Latents int16 ``(positions, channels)`` of symbols."""
    out = np.empty(mean.shape, np.int16)
    _dequantise(mean, k_coarse, k_detail, delta, coarse, out)
    return out
