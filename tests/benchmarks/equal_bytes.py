"""The quality at which a codec spends a given number of bytes."""

from __future__ import annotations

from collections.abc import Callable

STEPS = 16


def setting_for_bytes(nbytes_at: Callable[[float], int], smallest: float, largest: float, target: int) -> float:
    """The setting whose bytes are nearest to `target`, by bisection.

    Parameters
    ----------
    nbytes_at
        Bytes at a setting; they grow (not always strictly) from `smallest` to `largest`, which may be the lower number.
    smallest, largest
        Settings of fewer and of more bytes than `target`.
    """
    tried: dict[float, int] = {}
    for _ in range(STEPS):
        middle = (smallest + largest) / 2
        tried[middle] = nbytes_at(middle)
        if tried[middle] == target:
            break
        if tried[middle] < target:
            smallest = middle
        else:
            largest = middle
    return min(tried, key=lambda setting: abs(tried[setting] - target))
