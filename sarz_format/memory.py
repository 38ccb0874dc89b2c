"""Running out of memory: recognised whoever ran out, and reported with what helps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .errors import SarzError, SarzMemoryError

COMPRESSING = "use smaller tiles (tile_size, --tile-size) or a smaller batch (batch_size, --batch-size)"
READING = "read a smaller window, use a smaller batch (batch_size, --batch-size), or compress with smaller tiles"

# What torch says in a plain RuntimeError where it is the CPU's memory that is full (Linux, Windows), or a driver's.
_PHRASES = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(exc: BaseException) -> bool:
    """Whether an exception of Python, numpy or torch means that memory is full, on the CPU or a GPU."""
    if isinstance(exc, MemoryError):
        return True
    # torch's own class by its name: what only describes a file must not import torch to ask.
    return isinstance(exc, RuntimeError) and (
        type(exc).__name__ == "OutOfMemoryError" or any(phrase in str(exc).lower() for phrase in _PHRASES))


@contextlib.contextmanager
def memory_errors(what: str, advice: str) -> Iterator[None]:
    """Turn running out of memory into a SarzMemoryError that starts with `what` and ends with `advice`."""
    try:
        yield
    except SarzError:
        raise
    except (MemoryError, RuntimeError) as exc:
        if not is_out_of_memory(exc):
            raise
        detail = " ".join(str(exc).split())
        raise SarzMemoryError(f"{what}: out of memory{f' ({detail})' if detail else ''}; {advice}") from exc
