"""Filling pixels that the model does not code, from their neighbours, so that they cost few bits."""

from __future__ import annotations

import numpy as np


def fill_invalid(pixels: np.ndarray, valid: np.ndarray) -> None:
    """Fill invalid `pixels` int16 ``(bands, height, width)`` in place.

    From the other band where that is valid (a copy costs nothing in the difference of the bands), elsewhere from means of
    valid pixels over blocks of growing size, elsewhere 0, the band's offset.
    """
    if valid.all():
        return
    known = valid.copy()
    if len(pixels) == 2:
        for band in (0, 1):
            borrowed = ~valid[band] & valid[1 - band]
            pixels[band][borrowed] = pixels[1 - band][borrowed]
            known[band] |= borrowed
    for band, mask in zip(pixels, known):
        if mask.any() and not mask.all():
            band[~mask] = _block_means(band, mask)[~mask]
        elif not mask.all():
            band[...] = 0


def _block_means(band: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """At each pixel the mean of the valid ones in the smallest block (8, 16, 32...) around it that has some."""
    height, width = band.shape
    pad = ((0, -height % 8), (0, -width % 8))
    total = _sum_blocks(np.pad(np.where(mask, band, 0).astype(np.float64), pad), 8)
    count = _sum_blocks(np.pad(mask.astype(np.float64), pad), 8)
    means = _pyramid(total, count)
    return np.rint(np.repeat(np.repeat(means, 8, 0), 8, 1)[:height, :width]).astype(np.int16)


def _pyramid(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Means where there is a count; elsewhere those of the next coarser level."""
    means = total / np.maximum(count, 1)
    if (count > 0).all() or count.size == 1:
        return means
    pad = ((0, count.shape[0] % 2), (0, count.shape[1] % 2))
    coarser = _pyramid(_sum_blocks(np.pad(total, pad), 2), _sum_blocks(np.pad(count, pad), 2))
    spread = np.repeat(np.repeat(coarser, 2, 0), 2, 1)[: count.shape[0], : count.shape[1]]
    return np.where(count > 0, means, spread)


def _sum_blocks(array: np.ndarray, size: int) -> np.ndarray:
    height, width = array.shape
    return array.reshape(height // size, size, width // size, size).sum((1, 3))
