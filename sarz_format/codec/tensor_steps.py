"""What follows the synthesis network, in torch on any device: the filter across block borders, corrections, values.

The same numbers as `lapping` and `corrections` compute on the host, for pixels that stay on a GPU. Everything is a sum
of products of integers below 2^53 in float64, an integer operation, or a gather: exact on every device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..grid import BLOCK, GAIN_BLOCK
from .corrections import GAIN_STEP, TARGET_STEP, Corrections
from .lapping import HALF
from .model import LAP_BITS

BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}
"""Dtypes that stand for any dtype of as many bytes: all devices gather and select them, which is not so for uint16."""


def bits_of(array: np.ndarray, device: torch.device) -> Tensor:
    """An array's bits on a device, as a dtype of `BITS`."""
    name = str(BITS[array.dtype.itemsize]).removeprefix("torch.")
    return torch.from_numpy(np.ascontiguousarray(array).view(name)).to(device)


def torch_dtype(dtype: np.dtype) -> torch.dtype:
    """The dtype of torch that holds the same values as a numpy dtype."""
    return torch.from_numpy(np.empty(0, dtype)).dtype


def lap_synthesis(pixels: Tensor, matrix: np.ndarray) -> Tensor:
    """As `lapping.lap_synthesis`, of int16 ``(..., height, width)``; a new tensor."""
    with torch.inference_mode():
        m = torch.from_numpy(matrix).to(pixels.device, torch.float64)
        return _along(_along(pixels, m).mT, m).mT


def _along(x: Tensor, m: Tensor) -> Tensor:
    borders = x.shape[-1] // BLOCK - 1
    if borders < 1:
        return x
    inner = slice(HALF, HALF + BLOCK * borders)
    total = x[..., inner].reshape(*x.shape[:-1], borders, BLOCK).to(torch.float64) @ m.t()
    total = total.add_(1 << (LAP_BITS - 1)).mul_(2.0**-LAP_BITS).floor_().clamp_(-32768, 32767)
    out = x.clone()
    out[..., inner] = total.to(torch.int16).flatten(-2)
    return out


def apply_corrections(pixels: Tensor, corrections: Corrections, width: int, top: int = 0, left: int = 0, *,
                      gains: bool = True) -> None:
    """As `corrections.apply_corrections`, in place."""
    height_here, width_here = pixels.shape
    if gains and corrections.gains.any():
        rows = (top + np.arange(height_here)) // GAIN_BLOCK
        cols = (left + np.arange(width_here)) // GAIN_BLOCK
        first_row, first_col = int(rows[0]), int(cols[0])
        some = corrections.gains[first_row : rows[-1] + 1, first_col : cols[-1] + 1]
        steps = _upload(GAIN_STEP * some, pixels)[_upload(rows - first_row, pixels)]
        steps = steps[:, _upload(cols - first_col, pixels)]
        pixels.copy_((pixels.to(torch.int32) + steps).clamp_(-32768, 32767))
    rows, cols = corrections.positions // width - top, corrections.positions % width - left
    inside = (rows >= 0) & (rows < height_here) & (cols >= 0) & (cols < width_here)
    if inside.any():
        at = _upload(rows[inside], pixels), _upload(cols[inside], pixels)
        targets = _upload(TARGET_STEP * corrections.targets[inside], pixels)
        pixels[at] = (pixels[at].to(torch.int32) + targets).clamp_(-32768, 32767).to(torch.int16)


def gather(table: Tensor, pixels: Tensor) -> Tensor:
    """The entries of a table of 65536 that belong to int16 pixels: entry p to ``p mod 65536``."""
    return table.index_select(0, (pixels.to(torch.int32) & 0xFFFF).flatten()).reshape(pixels.shape)


def _upload(array: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(like.device)
