"""A model's networks over a whole raster in plain numpy int64: the oracle of every faster path.

No tiles, no batches, no floating point. Activations are ``(rows, cols, channels)``; outside the raster they are zero.
"""

from __future__ import annotations

import numpy as np

from sarz_format.codec.model import LAP_BITS, LATENT_BITS, MATRIX_BITS, PIXEL_BITS, IntegerModel, Layer

WIDE_BITS = 3


def rounded(numerator: np.ndarray, shift: np.ndarray | int) -> np.ndarray:
    """``numerator / 2^shift`` rounded to nearest, ties to even, in integers."""
    shift = np.broadcast_to(np.asarray(shift, np.int64), numerator.shape)
    numerator = numerator << np.maximum(-shift, 0)
    shift = np.maximum(shift, 0)
    quotient = numerator >> shift
    twice_rest = (numerator - (quotient << shift)) * 2
    one = np.int64(1) << shift
    return quotient + ((twice_rest > one) | ((twice_rest == one) & (quotient & 1 == 1)))


def sums(a: np.ndarray, layer: Layer, stride: int = 1) -> np.ndarray:
    """``sum w a + bias`` of a valid convolution, int64 ``(rows, cols, out)``."""
    weight = layer.weight.astype(np.int64)
    size = weight.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(a.astype(np.int64), (size, size), axis=(0, 1))
    windows = windows[::stride, ::stride]
    return np.tensordot(windows, weight, ((2, 3, 4), (1, 2, 3))) + layer.bias


def hidden(a: np.ndarray, layer: Layer, trunk: np.ndarray | None = None, stride: int = 1) -> np.ndarray:
    """``clamp(rne((sum w a + bias) 2^-shift + trunk), 0, 255)``."""
    total, shift = sums(a, layer, stride), layer.shift.astype(np.int64)
    if trunk is not None:
        total = (total << np.maximum(-shift, 0)) + (trunk.astype(np.int64) << np.maximum(shift, 0))
        shift = np.maximum(shift, 0)
    return np.clip(rounded(total, shift), 0, 255)


def padded(a: np.ndarray, mode: str = "constant") -> np.ndarray:
    """One more position on every side: zero, or repeated (``edge``)."""
    return np.pad(a, ((1, 1), (1, 1), (0, 0)), mode=mode)


def wide(values: np.ndarray, bits: int) -> np.ndarray:
    """Values of `bits` fractional bits in units of 1/8 dB."""
    shift = bits - WIDE_BITS
    return np.clip((values.astype(np.int64) + (1 << (shift - 1))) >> shift, -2047, 2047)


def transform(
    model: IntegerModel, part: str, matrix: np.ndarray, values: np.ndarray, bits: tuple[int, int]
) -> np.ndarray:
    """Linear path plus network over a whole raster; `bits` are the fractional bits of input and output."""
    h = hidden(wide(values, bits[0]), model.layers[f"{part}.first"])
    for block in range(model.blocks):
        inner = hidden(padded(h), model.layers[f"{part}.block{block}.a"])
        h = hidden(inner, model.layers[f"{part}.block{block}.b"], trunk=h)
    head = model.layers[f"{part}.head"]
    linear_shift = MATRIX_BITS + bits[0] - bits[1]
    common = max(linear_shift, int(head.shift.max()))
    linear = (values.astype(np.int64) @ matrix.astype(np.int64).T) << (common - linear_shift)
    total = linear + (sums(h, head) << (common - head.shift.astype(np.int64)))
    return np.clip(rounded(total, common), -32768, 32767)


def lapped(pixels: np.ndarray, matrix: np.ndarray, vertical: bool) -> np.ndarray:
    """The filter across every inner block border of ``(height, width)``, along one axis."""
    x = (pixels if vertical else pixels.T).astype(np.int64)
    for top in range(4, x.shape[0] - 4, 8):
        total = matrix.astype(np.int64) @ x[top : top + 8] + (1 << (LAP_BITS - 1))
        x[top : top + 8] = np.clip(total >> LAP_BITS, -32768, 32767)
    return x if vertical else x.T


def synthesis(model: IntegerModel, latents: np.ndarray) -> np.ndarray:
    """Pixels int64 ``(bands, 8 rows, 8 cols)`` of all latents of a raster."""
    rows, cols, _ = latents.shape
    blocks = transform(model, "g_s", model.S, latents, (LATENT_BITS, PIXEL_BITS))
    pixels = blocks.reshape(rows, cols, model.bands, 8, 8).transpose(2, 0, 3, 1, 4).reshape(model.bands, 8 * rows, -1)
    return np.stack([lapped(lapped(band, model.Q, False), model.Q, True) for band in pixels])


def analysis(model: IntegerModel, pixels: np.ndarray) -> np.ndarray:
    """Latents int64 ``(rows, cols, channels)`` of all pixels of a raster, sides multiples of eight."""
    x = np.stack([lapped(lapped(band, model.P, True), model.P, False) for band in pixels])
    bands, height, width = x.shape
    rows, cols = height // 8, width // 8
    blocks = x.reshape(bands, rows, 8, cols, 8).transpose(1, 3, 0, 2, 4).reshape(rows, cols, -1)
    return transform(model, "g_a", model.A, blocks, (PIXEL_BITS, LATENT_BITS))


def hyper_analysis(model: IntegerModel, y: np.ndarray) -> np.ndarray:
    """Hyperlatents ``(rows / 4, cols / 4, 32)``."""
    h = hidden(wide(y, LATENT_BITS), model.layers["h_a.first"])
    h = hidden(padded(h), model.layers["h_a.second"], stride=2)
    head = model.layers["h_a.head"]
    return np.clip(rounded(sums(padded(h), head, stride=2), head.shift.astype(np.int64)), -127, 127)


def hyper_synthesis(model: IntegerModel, z: np.ndarray) -> np.ndarray:
    """Sums of the last layer ``(4 rows, 4 cols, 2 channels)``."""
    h = hidden(padded(z.astype(np.int64), "edge"), model.layers["h_s.first"])
    h = shuffled(hidden(h, model.layers["h_s.up1"]))
    h = shuffled(hidden(padded(h, "edge"), model.layers["h_s.up2"]))
    return sums(h, model.layers["h_s.head"])


def shuffled(h: np.ndarray) -> np.ndarray:
    """Four channels become two by two positions."""
    rows, cols, channels = h.shape
    parts = h.reshape(rows, cols, channels // 4, 2, 2).transpose(0, 3, 1, 4, 2)
    return parts.reshape(2 * rows, 2 * cols, channels // 4)
