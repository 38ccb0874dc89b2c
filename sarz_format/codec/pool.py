"""Worker threads, as many as torch has, each with single-threaded torch. Where torch is not imported, none of it is.

Tiles are independent, so the cheapest way to use all cores is a tile a core: handing parts of one operation to several
threads and waiting for them, dozens of times a tile, costs more than it gains (docs/design.md).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_pool: ThreadPoolExecutor | None = None
_starting = threading.Lock()
_here = threading.local()


def _forget() -> None:
    """A child process has no threads of its parent's pool."""
    global _pool, _starting
    _pool, _starting = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def available_cores() -> int:
    """Cores that this process may use, and no more than OMP_NUM_THREADS says."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit) if limit.isdecimal() else cores))


def worker_count() -> int:
    """Tiles worked on at once: torch's number of threads, so that OMP_NUM_THREADS and torch.set_num_threads limit it.

    Where nothing has needed torch yet, `available_cores`.
    """
    return _torch_threads() or available_cores()


def _torch_threads() -> int:
    """torch's number of threads in this thread; 0 where torch is not imported (or not to its end)."""
    read = getattr(sys.modules.get("torch"), "get_num_threads", None)
    return read() if read is not None else 0


def in_worker() -> bool:
    """Whether this is one of the pool's threads."""
    return getattr(_here, "worker", False)


def _start_worker() -> None:
    _here.worker = True


def _limit_torch(threads: int) -> None:
    """Make torch's operations run in this worker alone, and leave other threads' setting, `threads`, as it was.

    torch keeps the number per thread, but hands the last one set to threads that are new to it; so it is set back, from a
    thread that ends at once.
    """
    import torch

    _here.limited = True
    with _starting:
        torch.set_num_threads(1)
        torch.get_num_threads()
        restore = threading.Thread(target=torch.set_num_threads, args=(threads,))
        restore.start()
        restore.join()


def _start_pool(workers: int) -> None:
    """Make the pool and start all of its threads."""
    global _pool
    pool = ThreadPoolExecutor(workers, thread_name_prefix="sarz", initializer=_start_worker)
    everyone = threading.Barrier(workers)
    list(pool.map(lambda _: everyone.wait(), range(workers)))
    _pool = pool


def _ready_pool() -> ThreadPoolExecutor:
    """The pool, its threads started from a thread that ends at once.

    Ctrl-C reaches the main thread alone. Were that the one to start a worker, an interrupt in the midst of it would leave
    a thread that the executor does not know of, and the interpreter would wait for it at exit for ever.
    """
    while _pool is None:
        starter = threading.Thread(target=_start_pool, args=(worker_count(),))
        starter.start()
        starter.join()
    return _pool


def parallel_map(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """``[function(i) for i in items]`` on all cores; an exception of any item is raised.

    Called by a worker, it runs there.
    """
    items = list(items)
    if in_worker() or not items:
        return [function(item) for item in items]
    threads = _torch_threads()

    def work(item: Any) -> Any:
        if threads and not getattr(_here, "limited", False):
            _limit_torch(threads)
        return function(item)

    return list(_ready_pool().map(work, items))


def map_batches(device: torch.device, function: Callable[[Any], Any], batches: Iterable[Any]) -> list[Any]:
    """``[function(b) for b in batches]``: on a CPU a batch a core, on a GPU one after the other."""
    if device.type == "cpu":
        return parallel_map(function, batches)
    return [function(batch) for batch in batches]
