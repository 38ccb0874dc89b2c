"""Compile numeric loops with numba, cached on disk where that can be written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba

UNCACHED = ("compiled code cannot be kept ({reason}): loops are compiled anew in every process (about 10 s); "
            "set NUMBA_CACHE_DIR to a folder with space that can be written")


def compiled(function: Callable, **options: Any) -> Callable:
    """``numba.njit`` with `options`, without the GIL; cached on disk, or not (said in a warning) where no folder can be
    written."""
    try:
        loop = numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError as exc:
        warnings.warn(UNCACHED.format(reason=exc), RuntimeWarning, stacklevel=2)
        return numba.njit(nogil=True, **options)(function)
    _tolerate_full_disk(loop)
    return loop


def _tolerate_full_disk(loop: Callable) -> None:
    """Let a compiled loop run although its code could not be written to the cache."""
    cache = getattr(loop, "_cache", None)
    if cache is None:  # NUMBA_DISABLE_JIT
        return
    save = cache.save_overload

    def save_or_warn(*args: object) -> None:
        try:
            save(*args)
        except OSError as exc:
            warnings.warn(UNCACHED.format(reason=exc), RuntimeWarning, stacklevel=2)

    cache.save_overload = save_or_warn
