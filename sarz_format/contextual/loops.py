"""Compiled loops that count no references of arrays: for every pixel, that took longer than everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from ..codec import jit

UNCOUNTED: dict[str, Any] = {"_nrt": False}
"""Without numba's runtime: loops must not allocate arrays, and get theirs from the caller."""


def compiled(function: Callable) -> Callable:
    """As `codec.jit.compiled`, for a loop that allocates nothing."""
    return jit.compiled(function, **UNCOUNTED)


def inlined(function: Callable) -> Callable:
    """A part of such loops, copied into them."""
    return numba.njit(inline="always", nogil=True, **UNCOUNTED)(function)
