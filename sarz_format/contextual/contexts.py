"""Which table a pixel's symbol has: classes of the scale and of the skew of its neighbourhood, and the tables' first
counts.

The *activity* is a linear form of the errors of pixels around, and says how wide the distribution is; the *skew* is how
far the prediction lies from the mean around it. Both index a table of `BINS` classes made of thresholds that the
encoder sends (its quantiles), after CALIC (Wu and Memon 1997).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .loops import inlined
from .symbols import COUNT_BITS, SYMBOLS, TOP

BINS = 2048
SKEW_BINS_BELOW = BINS // 2
MAX_SCALES, MAX_SKEWS = 16, 4
SHAPES = 8

_HALVES = (
    (32626, 27, 4, 4, 4, 4, 4, 4, 24),
    (29216, 1732, 4, 4, 4, 4, 4, 4, 24),
    (22892, 4677, 221, 4, 4, 4, 4, 4, 24),
    (16088, 7051, 1073, 167, 17, 4, 4, 4, 24),
    (11232, 7402, 2427, 658, 197, 50, 10, 4, 24),
    (7670, 6288, 3565, 1558, 640, 284, 127, 52, 54),
    (5569, 5010, 3678, 2262, 1230, 643, 347, 196, 451),
    (4111, 3880, 3270, 2478, 1713, 1104, 687, 427, 1523),
)
"""How often a symbol is expected at first, of `TOTAL` - 16, by shape: symbols 7, 8 ... 14, and 15. 6 ... 0 are as 8
... 14."""


def _first_tables() -> np.ndarray:
    counts = np.array([[*half[7:0:-1], *half] for half in _HALVES])
    return (np.cumsum(counts, axis=1) - counts << COUNT_BITS).astype(np.int32)


FIRST_TABLES = _first_tables()
"""int32 (`SHAPES`, 16): the table of a scale class at first."""

FIRST_REPEAT = np.array([0, TOP // 2] + [TOP] * (SYMBOLS - 2), np.int32)
"""The table of repeats at first: symbols 0 (as the pixel to the left) and 1 alike."""


class Form(NamedTuple):
    """What the loops take of a plane's parameters; a NamedTuple, which compiled code can unpack.

    `weights` int64 (18,), `other` (9,) and `other_activity` (2,) or both empty, `activity` (5,); `scales` and
    `skews` uint8 (`BINS`,), the class by bin; `shifts` int64, one a scale class.
    """

    weights: np.ndarray
    other: np.ndarray
    bias: int
    activity: np.ndarray
    other_activity: np.ndarray
    activity_bias: int
    activity_shift: int
    skew_shift: int
    lowest: int
    highest: int
    scales: np.ndarray
    skews: np.ndarray
    skew_count: int
    shifts: np.ndarray
    repeats: bool


def classes_by_bin(thresholds: np.ndarray) -> np.ndarray:
    """Class of every bin, uint8: how many of the rising `thresholds` are not above it."""
    return np.searchsorted(thresholds, np.arange(BINS), side="right").astype(np.uint8)


def first_tables(shapes: np.ndarray, skew_count: int) -> np.ndarray:
    """Tables of a plane before its first pixel, int32 (scale classes x `skew_count` + 2, 16); the last two are of
    repeats."""
    return np.concatenate([np.repeat(FIRST_TABLES[shapes], skew_count, axis=0), [FIRST_REPEAT] * 2])


@inlined
def scale_class(activity, shift, scales):
    """Class of the scale of an activity."""
    return np.int64(scales[min(max(activity >> shift, 0), BINS - 1)])


@inlined
def skew_class(difference, shift, skews):
    """Class of twelve times the prediction less the sum of the mean's taps."""
    return np.int64(skews[min(max((difference >> shift) + SKEW_BINS_BELOW, 0), BINS - 1)])
