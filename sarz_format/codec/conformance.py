"""Which arithmetic a machine may use: the fastest that gives the integers of known vectors.

What goes wrong is seen where sums are largest: 8-bit kernels without VNNI saturate sums of two products in 16 bits,
accumulators of TF32 or bfloat16 drop bits, and convolutions by Winograd transforms round in between. Which kernel a
library takes depends on the shape, so the vectors have the shapes of real layers on a tile of 512 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .arithmetic import Arithmetic, Float32Arithmetic
from .direct import DirectArithmetic
from .int8 import Int8Arithmetic
from .model import ACTIVATION_LIMIT, FLOAT32_EXACT, Layer
from .pool import map_batches

LARGE_SHAPES = ((192, 192, 3, 1, 38, 37), (96, 96, 3, 1, 37, 38), (192, 192, 1, 1, 36, 35), (192, 192, 3, 2, 34, 34),
                (192, 32, 3, 1, 18, 18), (192, 384, 1, 1, 18, 18), (512, 192, 1, 1, 38, 37), (192, 192, 3, 2, 34, 4),
                (192, 192, 3, 1, 38, 3), (192, 32, 3, 1, 18, 3))
"""Inputs, outputs, side of the kernel, stride, rows and columns of layers of the models, narrow ones at a raster's border
among them."""

PLACES = 64
"""Positions of a result that are compared, at all channels."""


@dataclass(frozen=True, slots=True)
class Vector:
    """A layer, its activations uint8 ``(batch, rows, cols, channels)``, and what is added."""

    layer: Layer
    h: np.ndarray
    trunk: np.ndarray
    stride: int = 1

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the result that are compared: all of a small one, else its corners and some at random.

        A wrong kernel is wrong nearly everywhere, and the check must not cost what a tile costs.
        """
        rows, cols = self.trunk.shape[1:3]
        if rows * cols <= PLACES:
            return np.divmod(np.arange(rows * cols), cols)
        row, col = np.random.default_rng(0).integers(0, (rows, cols), (PLACES, 2)).T
        row[:4], col[:4] = (0, 0, rows - 1, rows - 1), (0, cols - 1, 0, cols - 1)
        return row, col

    def sums(self) -> np.ndarray:
        """``sum w a + bias`` at the places, int64 ``(batch, places, outputs)``."""
        side = self.layer.weight.shape[2]
        windows = np.lib.stride_tricks.sliding_window_view(self.h, (side, side), axis=(1, 2))
        row, col = self.places()
        chosen = windows[:, row * self.stride, col * self.stride].astype(np.int64)
        return np.tensordot(chosen, self.layer.weight.astype(np.int64), ((2, 3, 4), (1, 2, 3))) + self.layer.bias

    def hidden(self, sums: np.ndarray) -> np.ndarray:
        """The layer's activations at the places, of its sums there."""
        row, col = self.places()
        scaled = np.ldexp(sums.astype(np.float64), -self.layer.shift.astype(int))
        return np.clip(np.rint(scaled + self.trunk[:, row, col]), 0, ACTIVATION_LIMIT)


def _mixed() -> Vector:
    """Ties, noise, and runs of the largest bytes."""
    rng = np.random.default_rng(0)
    h = rng.integers(0, 256, (2, 9, 11, 64), dtype=np.uint8)
    h[:, :5] = np.where(h[:, :5] < 200, 255, h[:, :5])
    weight = rng.integers(-127, 128, (32, 64, 3, 3)).astype(np.int8)
    weight[:8] = np.abs(weight[:8])
    weight[:2, ::2] = 127
    bias, shift = rng.integers(-(1 << 20), 1 << 20, 32).astype(np.int32), np.arange(32).astype(np.int8) % 12
    weight[24:], bias[24:], shift[24:] = 0, 0, 1
    weight[24:, 0, 1, 1] = 1  # Half of an activation: ties.
    return Vector(Layer(weight, bias, shift), h, rng.integers(0, 256, (2, 7, 9, 32), dtype=np.uint8))


def _largest(inputs: int, outputs: int, side: int, stride: int, rows: int, cols: int) -> Vector:
    """Sums close to 2^24, of one sign in a channel; in every other channel half as large, and a bias undoes them."""
    rng = np.random.default_rng(inputs + outputs)
    limit = ACTIVATION_LIMIT
    mean = min(110, FLOAT32_EXACT * 9 // 10 // (limit * inputs * side * side))
    weight = rng.integers(mean - 16, mean + 17, (outputs, inputs, side, side))
    weight[1::2] //= 2
    h = rng.integers(limit - limit // 8, limit + 1, (1, rows, cols, inputs))
    bias, shift = np.zeros(outputs, int), 1 + np.arange(outputs) % 12
    bias[1::2] = -(limit - limit // 16) * weight[1::2].sum((1, 2, 3))
    sign = np.where(np.arange(outputs) % 4 < 2, 1, -1)
    layer = Layer((weight * sign[:, None, None, None]).astype(np.int8), (bias * sign).astype(np.int32),
                  shift.astype(np.int8))
    out_rows, out_cols = ((n - side) // stride + 1 for n in (rows, cols))
    trunk = rng.integers(0, 256, (1, out_rows, out_cols, outputs), dtype=np.uint8)
    return Vector(layer, h.astype(np.uint8), trunk, stride)


def vectors(large: bool) -> Iterator[Vector]:
    """Known vectors, small ones first; with shapes of real layers if `large`."""
    yield _mixed()
    if large:
        yield from (_largest(*shape) for shape in LARGE_SHAPES)


@dataclass(frozen=True, slots=True)
class Choice:
    """The arithmetic to compute with, and why faster ones are not used here: ``name: reason`` of each."""

    arithmetic: Arithmetic
    refused: tuple[str, ...] = ()


def conforms(arithmetic: Arithmetic, device: torch.device) -> bool:
    """Whether `arithmetic` gives the integers of the known vectors."""
    return shortcoming(arithmetic, device) is None


def shortcoming(arithmetic: Arithmetic, device: torch.device) -> str | None:
    """Why `arithmetic` may not be used; None where it gives the integers of the known vectors.

    On a CPU the reference is matrix products alone, so it is not asked for large shapes; a GPU's library may take
    kernels of reduced precision for these only.
    """
    large = device.type != "cpu" or not isinstance(arithmetic, Float32Arithmetic)
    try:
        exact = all(_gives(arithmetic, vector, device) for vector in vectors(large))
    except (RuntimeError, AttributeError, NotImplementedError) as exc:
        reason = (str(exc).splitlines() or [type(exc).__name__])[0]
        return f"this build of torch has no such convolutions ({reason})"
    return None if exact else "its integers are wrong on this machine"


def _gives(arithmetic: Arithmetic, vector: Vector, device: torch.device) -> bool:
    h, trunk = (torch.from_numpy(a).to(device).permute(0, 3, 1, 2) for a in (vector.h, vector.trunk))
    row, col = vector.places()
    with torch.inference_mode():
        results = (arithmetic.raw(h, vector.layer, vector.stride),
                   arithmetic.hidden(h, vector.layer, trunk, vector.stride))
        raw, hidden = (r.permute(0, 2, 3, 1).cpu().numpy()[:, row, col] for r in results)
    sums = vector.sums()
    return np.array_equal(raw, sums) and np.array_equal(hidden, vector.hidden(sums))


def choose_arithmetic(device: torch.device) -> Choice:
    """The fastest conforming arithmetic of a device; raises RuntimeError if even float32 does not conform.

    Checked where networks run: on a CPU in a worker thread.
    """
    candidates: list[Arithmetic] = [Int8Arithmetic(), DirectArithmetic()] if device.type == "cpu" else []
    candidates.append(Float32Arithmetic(device))
    refused = []
    for arithmetic in candidates:
        [reason] = map_batches(device, lambda candidate: shortcoming(candidate, device), [arithmetic])
        if reason is None:
            return Choice(arithmetic, tuple(refused))
        refused.append(f"{arithmetic.name}: {reason}")
    raise RuntimeError(f"{device}: float32 sums of small integers are not exact here; switch TF32 off")
