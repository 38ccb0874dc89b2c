"""A model's networks over a whole raster in plain numpy int64: the oracle of every faster path.

No tiles, no batches, no floating point. Activations are ``(rows, cols, channels)``; outside the raster they are zero.
"""

from __future__ import annotations

import numpy as np

from sarz_format.codec.model import LAP_BITS, LATENT_BITS, MATRIX_BITS, PIXEL_BITS, IntegerModel, Layer

WIDE_BITS = 2


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


def wide(values: np.ndarray) -> np.ndarray:
    """Latents in units of 1/4 dB."""
    shift = LATENT_BITS - WIDE_BITS
    return np.clip((values.astype(np.int64) + (1 << (shift - 1))) >> shift, -2047, 2047)


def corrected(model: IntegerModel, part: str, values: np.ndarray, bits: int, limit: int) -> np.ndarray:
    """Latents of a whole raster plus the network's output, with `bits` fractional bits."""
    h = hidden(wide(values), model.layers[f"{part}.first"])
    for block in range(model.blocks):
        inner = hidden(padded(h), model.layers[f"{part}.block{block}.a"])
        h = hidden(inner, model.layers[f"{part}.block{block}.b"], trunk=h)
    head = model.layers[f"{part}.head"]
    common = max(0, int(head.shift.max()))
    total = values.astype(np.int64) << (common + bits - LATENT_BITS)
    total = total + (sums(h, head) << (common - head.shift.astype(np.int64)))
    return np.clip(rounded(total, common), -limit - 1, limit)


def mixed(x: np.ndarray) -> np.ndarray:
    """Sum and difference of two bands."""
    return x if len(x) == 1 else np.stack([x[0] + x[1], x[0] - x[1]])


def lapped(pixels: np.ndarray, matrix: np.ndarray, vertical: bool) -> np.ndarray:
    """The filter across every inner block border of ``(height, width)``, along one axis."""
    x = (pixels if vertical else pixels.T).astype(np.int64)
    for top in range(8, x.shape[0] - 8, 16):
        total = matrix.astype(np.int64) @ x[top : top + 16] + (1 << (LAP_BITS - 1))
        x[top : top + 16] = np.clip(total >> LAP_BITS, -32768, 32767)
    return x if vertical else x.T


def synthesis(model: IntegerModel, latents: np.ndarray) -> np.ndarray:
    """Pixels int64 ``(bands, 16 rows, 16 cols)`` of all latents of a raster."""
    rows, cols, _ = latents.shape
    values = corrected(model, "g_s", latents, PIXEL_BITS, 2**18 - 1).reshape(rows, cols, model.bands, 16, 16)
    matrix = model.S.astype(np.int64)
    blocks = matrix @ values @ matrix.T
    pixels = mixed(blocks.transpose(2, 0, 3, 1, 4).reshape(model.bands, 16 * rows, 16 * cols))
    pixels = np.clip(rounded(pixels, 2 * MATRIX_BITS), -32768, 32767)
    return np.stack([lapped(lapped(band, model.Q, False), model.Q, True) for band in pixels])


def analysis(model: IntegerModel, pixels: np.ndarray) -> np.ndarray:
    """Latents int64 ``(rows, cols, channels)`` of all pixels of a raster, sides multiples of sixteen."""
    x = np.stack([lapped(lapped(band, model.P, True), model.P, False) for band in pixels])
    bands, height, width = x.shape
    rows, cols, matrix = height // 16, width // 16, model.A.astype(np.int64)
    blocks = mixed(x).reshape(bands, rows, 16, cols, 16).transpose(1, 3, 0, 2, 4)
    linear = rounded(matrix @ blocks @ matrix.T, 2 * MATRIX_BITS + PIXEL_BITS - LATENT_BITS)
    linear = np.clip(linear, -32768, 32767).reshape(rows, cols, -1)
    return corrected(model, "g_a", linear, LATENT_BITS, 32767)


def hyper_analysis(model: IntegerModel, y: np.ndarray) -> np.ndarray:
    """Hyperlatents ``(rows / 2, cols / 2, 32)``."""
    h = hidden(wide(y), model.layers["h_a.first"])
    h = hidden(padded(h), model.layers["h_a.second"], stride=2)
    head = model.layers["h_a.head"]
    return np.clip(rounded(sums(padded(h), head), head.shift.astype(np.int64)), -127, 127)


def hyper_synthesis(model: IntegerModel, z: np.ndarray) -> np.ndarray:
    """Sums of the last layer ``(2 rows, 2 cols, 2 channels)``."""
    h = hidden(padded(z.astype(np.int64), "edge"), model.layers["h_s.first"])
    h = shuffled(hidden(h, model.layers["h_s.up"]))
    h = hidden(padded(h, "edge"), model.layers["h_s.last"])
    return sums(h, model.layers["h_s.head"])


def shuffled(h: np.ndarray) -> np.ndarray:
    """Four channels become two by two positions."""
    rows, cols, channels = h.shape
    parts = h.reshape(rows, cols, channels // 4, 2, 2).transpose(0, 3, 1, 4, 2)
    return parts.reshape(2 * rows, 2 * cols, channels // 4)
