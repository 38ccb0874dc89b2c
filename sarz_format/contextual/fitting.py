"""The encoder's choice of a plane's parameters, from a sample of its rows.

Weights are fitted to original pixels with noise like the decoder's errors, never to decoded ones: what is decoded
depends on the weights, and iterating that need not settle.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .cells import LOG_BITS, RATIO_BITS, Cells, Lattice
from .contexts import BINS, SHAPES, SKEW_BINS_BELOW, classes_by_bin
from .least_squares import add_products, solve
from .parameters import ACTIVITY_BIAS_LIMIT, BIAS_LIMIT, SHIFT_LIMIT, Parameters
from .prediction import (
    ACTIVITY_BITS,
    ERRORS,
    LARGEST_ERROR,
    MARGIN,
    OTHER_ERRORS,
    OTHER_TAPS,
    OWN_TAPS,
    WEIGHT_BITS,
    empty_plane,
)
from .sampling import MEAN, OTHER, OWN, activities, activity_rows, level_products, noisy, open_loop, sample

NONE = np.zeros(0, np.int64)
SAMPLE_PIXELS, MOST_STRIDE = 8192, 16
"""About so many pixels are looked at."""

PIXELS_A_CLASS = 128, 1024
"""Of scale and skew: classes of fewer pixels in the sample cost more than they win."""

SPREAD_OF_SYMBOLS = 1.8
"""A class whose differences spread by more than twice this, in steps, has its lowest bits coded raw."""

SPREADS = np.array([0.12, 0.3, 0.5, 0.8, 1.2, 1.8, 2.5, 3.4])
"""Of the first tables, by shape."""

def _half_step(lattice: Lattice) -> float:
    if lattice.step:
        return (lattice.step - 1) / 2
    return float(np.log2(lattice.ratio / (1 << RATIO_BITS))) * (1 << LOG_BITS)


def _integers(found: np.ndarray, bits: int, limit: int) -> tuple[np.ndarray, int]:
    """Weights as 16-bit integers with so many fractional bits, and the constant behind them."""
    scaled = np.rint(found * (1 << bits))
    return scaled[:-1].clip(-32768, 32767).astype(np.int64), int(scaled[-1].clip(-limit, limit))


def _bins_shift(values: np.ndarray, share: float, bins: int) -> int:
    """The shift after which all but the largest values lie within so many bins."""
    largest = int(np.partition(values, int(share * (values.size - 1)))[int(share * (values.size - 1))])
    return min(max(largest // bins, 0).bit_length(), SHIFT_LIMIT)


def _quantiles(bins: np.ndarray, count: int) -> np.ndarray:
    """Thresholds that part bins into `count` classes of as many pixels; equal ones once."""
    ends = np.cumsum(np.bincount(bins, minlength=BINS))
    wanted = ends[-1] * np.arange(1, count) / count
    return np.unique(np.minimum(np.searchsorted(ends, wanted, side="right"), BINS - 1)).astype(np.int64)


def _repeats(plane: np.ndarray, stride: int) -> bool:
    """Whether pixels repeat their left neighbours where those above do, as after nearest-neighbour resampling."""
    inside = plane[MARGIN:-MARGIN, MARGIN:-MARGIN]
    same, above = (rows[:, 1:] == rows[:, :-1] for rows in (inside[1::stride], inside[:-1:stride]))
    return bool(above.any() and same[above].mean() > 2 * same.mean() + 0.1)


def fit(target: np.ndarray, numbers: np.ndarray, valid: np.ndarray, lattice: Lattice, cells: Cells, middle: int,
        lowest: int, highest: int, other_levels: np.ndarray, other_errors: np.ndarray, *, first: bool,
        classes: tuple[int, int], relative: bool) -> Parameters:
    """Parameters of a plane.

    Parameters
    ----------
    target
        Levels that are wanted, float64 (height, width), with some value at invalid pixels.
    numbers
        int32 (height, width), of a lattice of cells.
    valid
        bool (height, width) with a pixel that is, or no rows.
    other_levels, other_errors
        Of the plane before, with margins; not looked at if this is the `first`.
    classes
        Of scale and of skew, at most.
    relative
        Fit errors relative to the value: for positive values that vary by orders of magnitude.
    """
    stride = _stride(target.shape, valid)
    plane, errors = empty_plane(target.shape), empty_plane(target.shape)
    noisy(target, _half_step(lattice), lowest, highest, plane)
    gram = np.zeros((len(OWN_TAPS) + (0 if first else len(OTHER_TAPS)) + 2,) * 2)
    level_products(target, valid, plane, other_levels, OWN, OTHER, -float(middle) if relative else -np.inf, stride,
                   np.empty((target.shape[1], len(gram))), gram)
    weights, bias = _integers(solve(gram), WEIGHT_BITS, BIAS_LIMIT)

    count = ERRORS + (0 if first else OTHER_ERRORS)
    parameters = Parameters(middle, lowest, highest, 0, weights, bias, np.zeros(count, np.int64), 0, 0, 0, NONE, NONE,
                            np.zeros(1, np.int64), np.zeros(1, np.int64), False)
    form, sums = parameters.form(), np.empty((3, target.shape[1]), np.int64)
    open_loop(target, valid, plane, errors, other_levels, other_errors, form, lattice.step, stride, sums)
    features = np.empty((-(-target.shape[0] // stride) * target.shape[1], count), np.int64)
    outcomes = np.empty((len(features), 3), np.int64)
    size = sample(target, numbers, valid, middle, lattice.step, cells, plane, errors, other_levels, other_errors, form,
                  MEAN, stride, sums, features, outcomes)
    error, skew, q = outcomes[:size].T.copy()

    activity_weights, activity_bias = _activity_weights(features[:size], error)
    activity = np.empty(size, np.int64)
    activities(features, activity_weights, activity_bias, activity)
    activity_shift, skew_shift = _bins_shift(activity, 0.995, BINS - 48), _bins_shift(np.abs(skew), 0.99, 1000)
    bins = (activity >> activity_shift).clip(0, BINS - 1)
    scales, skews = (min(most, size // share + 1) for most, share in zip(classes, PIXELS_A_CLASS))
    scale_thresholds = _quantiles(bins, scales)
    skew_thresholds = _quantiles(((skew >> skew_shift) + SKEW_BINS_BELOW).clip(0, BINS - 1), skews)
    shifts, shapes = _tables(q, classes_by_bin(scale_thresholds)[bins], len(scale_thresholds) + 1)
    return replace(parameters, first_error=int(min(error.mean(), LARGEST_ERROR)), activity=activity_weights,
                   activity_bias=activity_bias, activity_shift=activity_shift, skew_shift=skew_shift,
                   scale_thresholds=scale_thresholds, skew_thresholds=skew_thresholds, shifts=shifts, shapes=shapes,
                   repeats=lattice.step == 1 and not valid.size and _repeats(plane, stride))


def _stride(shape: tuple[int, int], valid: np.ndarray) -> int:
    """Which rows to look at: one of so many, with a valid pixel in one of them."""
    stride = min(max(shape[0] * shape[1] // SAMPLE_PIXELS, 1), MOST_STRIDE)
    if valid.size:
        stride = max(1, int(stride * valid[stride // 2 :: stride].mean()))
        if not valid[stride // 2 :: stride].any():
            return 1
    return stride


def _activity_weights(features: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, int]:
    """Weights of the activity and its bias."""
    rows, gram = np.empty((len(error), features.shape[1] + 2)), np.zeros((features.shape[1] + 2,) * 2)
    activity_rows(features, error, 0.1 * error.mean(), rows)
    add_products(rows, len(rows), gram)
    return _integers(solve(gram), ACTIVITY_BITS, ACTIVITY_BIAS_LIMIT)


def _tables(q: np.ndarray, classes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Shift and shape of every class."""
    number = np.maximum(np.bincount(classes, minlength=count), 1)
    mean = np.bincount(classes, q, count) / number
    spread = np.sqrt(np.maximum(np.bincount(classes, q.astype(np.float64) ** 2, count) / number - mean**2, 1e-18))
    shifts = np.floor(np.log2(spread / SPREAD_OF_SYMBOLS)).clip(0, 31).astype(np.int64)
    nearest = np.abs(np.log(spread / 2.0**shifts)[:, None] - np.log(SPREADS)).argmin(axis=1)
    return shifts, np.minimum(nearest, SHAPES - 1)
