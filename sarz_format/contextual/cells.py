"""Lattices: which values a decoded pixel can take, and the integers n in which it is predicted.

A *uniform* lattice has n itself as the value, in steps of whole numbers from the prediction: step 1 is lossless, step
2 V + 1 keeps integers within V, and fixed-point decibels take a step of twice their bound.

A lattice of *cells* has digital numbers of amplitude, and n their logarithm. A cell is a number and all those that
lie within a ratio of it; the next cell begins where it ends. So the bound holds by construction, whatever the
logarithm rounds to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .loops import compiled

LOG_BITS = 12
LARGEST_NUMBER = 65535
RATIO_BITS = 32
MIN_RATIO, MAX_RATIO = (1 << 32) + (1 << 22), 1 << 36
"""0.0085 dB and 24 dB."""

MAX_STEP = 1 << 24
MOST_CELLS = 4096
"""No prediction is further from a pixel than so many cells."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """Values that pixels can take.

    ``step`` of a uniform lattice, from 1 to `MAX_STEP`; 0 for cells. ``ratio`` of cells, in 2^-32, from `MIN_RATIO` to
    `MAX_RATIO`, and ``largest``, the largest number that a pixel can have, from 1 to 65535; both 0 otherwise.
    """

    step: int = 1
    ratio: int = 0
    largest: int = 0

    def __post_init__(self) -> None:
        uniform = 1 <= self.step <= MAX_STEP and self.ratio == self.largest == 0
        cells = self.step == 0 and MIN_RATIO <= self.ratio <= MAX_RATIO and 1 <= self.largest <= LARGEST_NUMBER
        if not (uniform or cells):
            raise ValueError(f"lattice of step {self.step}, ratio {self.ratio}, largest {self.largest}: out of range")


class Cells(NamedTuple):
    """Tables of a lattice of cells, empty for a uniform one.

    By number, int32 (65536,): ``log`` n, ``bottom`` and ``top`` of its cell, ``after`` and ``before`` the centres of
    the cells next to it. By n, int32 (65536,): ``centre``, the number nearest to it.
    """

    log: np.ndarray
    bottom: np.ndarray
    top: np.ndarray
    after: np.ndarray
    before: np.ndarray
    centre: np.ndarray


@lru_cache(maxsize=1)
def _logarithms() -> np.ndarray:
    """About 4096 log2 of 0 to 65535 (0 as 1), int32, by repeated squaring of 32-bit mantissas, which are truncated."""
    numbers = np.maximum(np.arange(LARGEST_NUMBER + 1), 1).astype(np.uint64)
    n = np.zeros(numbers.size, np.uint64)
    for bit in range(15, 0, -1):
        n += (numbers >> np.uint64(bit) > 0).astype(np.uint64)
    mantissa = numbers << (np.uint64(31) - n)
    for _ in range(LOG_BITS):
        mantissa = mantissa * mantissa >> np.uint64(31)
        carry = mantissa >> np.uint64(32)
        mantissa >>= carry
        n = n << np.uint64(1) | carry
    return n.astype(np.int32)


@lru_cache(maxsize=8)
def cells_of(lattice: Lattice) -> Cells:
    """Tables of a lattice."""
    if lattice.step:
        return Cells(*[np.zeros(0, np.int32)] * 6)
    log = _logarithms()
    numbers = np.arange(LARGEST_NUMBER + 1, dtype=np.int64)
    top = np.minimum(numbers * lattice.ratio >> RATIO_BITS, lattice.largest)
    bottom = np.maximum(-(-(numbers << RATIO_BITS) // lattice.ratio), 1)
    after = top[np.minimum(top + 1, lattice.largest)]
    before = bottom[np.maximum(bottom - 1, 1)]
    borders = log[1:-1] + log[2:]  # Twice the n half-way between neighbours.
    centre = np.minimum(1 + np.searchsorted(borders, 2 * numbers, side="left"), lattice.largest)
    return Cells(log, *(table.astype(np.int32) for table in (bottom, top, after, before, centre)))


@compiled
def cell_of(number, centre, cells):
    """``(q, centre of the cell)`` of a number, counted from the cell about `centre`."""
    q = 0
    while number > cells.top[centre]:
        centre = np.int64(cells.after[centre])
        q += 1
    while number < cells.bottom[centre]:
        centre = np.int64(cells.before[centre])
        q -= 1
    return q, centre


@compiled
def cell_at(q, centre, cells):
    """Centre of the cell `q` cells from that about `centre`; the last cell where there are not so many."""
    for _ in range(abs(q)):
        centre = np.int64(cells.after[centre] if q > 0 else cells.before[centre])
    return centre
