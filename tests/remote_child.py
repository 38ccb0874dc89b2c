"""What test_remote.py does in child processes; imports little, because a spawned child begins with these imports."""

from __future__ import annotations

from typing import Any


def bytes_of_details(dataset: Any) -> int:
    """Fetch the detail parts of all tiles; no pixel is decoded."""
    container = dataset._container
    return sum(len(part) for part in container.read_parts([(n, "detail") for n in range(len(container.index))]))


def child(dataset: Any, queue: Any) -> None:
    """Send what `bytes_of_details` gives, or raises, to the parent."""
    try:
        queue.put(bytes_of_details(dataset))
    except BaseException as exc:
        queue.put(repr(exc))
