"""Compiled loops that count no references of arrays: for every pixel, that took longer than everything else."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba

from ..codec.jit import UNCACHED, _tolerate_full_disk

UNCOUNTED: dict[str, Any] = {"nogil": True, "_nrt": False}
"""Without numba's runtime: loops must not allocate arrays, and get theirs from the caller."""


def compiled(function: Callable) -> Callable:
    """As `codec.jit.compiled`, for a loop that allocates nothing."""
    try:
        loop = numba.njit(cache=True, **UNCOUNTED)(function)
    except RuntimeError as exc:
        warnings.warn(UNCACHED.format(reason=exc), RuntimeWarning, stacklevel=2)
        return numba.njit(**UNCOUNTED)(function)
    _tolerate_full_disk(loop)
    return loop


def inlined(function: Callable) -> Callable:
    """A part of such loops, copied into them."""
    return numba.njit(inline="always", **UNCOUNTED)(function)
