"""Where time goes: seconds by stage."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator


class Stages:
    """Adds up the wall time of named stages; safe from several threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what runs inside as stage `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + elapsed
