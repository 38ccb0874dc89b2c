"""Time and peak memory of one call, in a process of its own."""

from __future__ import annotations

import multiprocessing
import re
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one call took."""

    seconds: float
    """Wall time of the call, imports that it does itself included, the start of the process not."""
    peak_mib: float
    """Largest resident memory of the process, its imports included."""
    result: Any
    """What the call returned."""


def measure(task: Callable[..., Any], *args: Any) -> Measurement:
    """Run ``task(*args)`` in a new process; `task` is a function of a module. Its exceptions are raised here."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure_here, task, args).result()


def measure_here(task: Callable[..., Any], args: tuple[Any, ...]) -> Measurement:
    """Run the call in this process."""
    start = time.perf_counter()
    result = task(*args)
    return Measurement(time.perf_counter() - start, peak_memory_mib(), result)


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far."""
    if PROC_STATUS.exists():
        # Not ru_maxrss: on Linux it starts at what the parent held when it forked.
        return int(re.search(r"VmHWM:\s*(\d+) kB", PROC_STATUS.read_text())[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
