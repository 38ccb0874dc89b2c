"""Compile numeric loops with numba, cached on disk where a folder is writable."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
    """``numba.njit`` without the GIL; cached on disk, or not (said once) where neither package nor home is writable."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        warnings.warn(
            "no writable folder for compiled code: loops are compiled anew in every process (about 10 s); "
            "set NUMBA_CACHE_DIR to a writable folder",
            RuntimeWarning, stacklevel=2)
        return numba.njit(nogil=True)(function)
