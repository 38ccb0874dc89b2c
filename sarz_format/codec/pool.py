"""Worker threads for what numba and zlib do without the GIL: entropy coding, masks, conversion of values."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_pool: ThreadPoolExecutor | None = None


def _forget() -> None:
    """A child process has no threads of its parent's pool."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """``[function(i) for i in items]`` on all cores; an exception of any item is raised."""
    global _pool
    items = list(items)
    if len(items) < 2:
        return [function(item) for item in items]
    if _pool is None:
        _pool = ThreadPoolExecutor(available_cores(), thread_name_prefix="sarz")
    return list(_pool.map(function, items))
