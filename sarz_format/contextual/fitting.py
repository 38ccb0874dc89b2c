"""The encoder's choice of a plane's parameters, from a sample of its rows.

Weights are fitted to original pixels with noise like the decoder's errors, never to decoded ones: what is decoded depends on the
weights, and iterating that need not settle.
"""

from __future__ import annotations

import numpy as np

from .loops import compiled

from .cells import LOG_BITS, RATIO_BITS, Cells, Lattice, cell_of
from .coder import error_of, left_weights, predict, rounded
from .contexts import BINS, SHAPES, SKEW_BINS_BELOW, classes_by_bin
from .least_squares import add_products, solve
from .parameters import ACTIVITY_BIAS_LIMIT, BIAS_LIMIT, SHIFT_LIMIT, Parameters
from .prediction import (
    ACTIVITY_BITS,
    ERRORS,
    FRACTION_BITS,
    LARGEST_ERROR,
    MARGIN,
    MEAN_TAPS,
    OTHER_ERRORS,
    OTHER_TAPS,
    OWN_TAPS,
    WEIGHT_BITS,
    begin_row,
    empty_plane,
    end_plane,
    end_row,
    sum_row,
)

SAMPLE_PIXELS, MOST_STRIDE = 16384, 16
"""About so many pixels are looked at."""

SPREAD_OF_SYMBOLS = 1.8
"""A class whose differences spread by more than twice this, in steps, has its lowest bits coded raw."""

SPREADS = np.array([0.12, 0.3, 0.5, 0.8, 1.2, 1.8, 2.5, 3.4])
"""Of the first tables, by shape."""

OWN, OTHER, MEAN = np.array(OWN_TAPS), np.array(OTHER_TAPS), np.array(MEAN_TAPS)


@compiled
def noisy(target, amplitude, lowest, highest, plane):
    """Fill `plane` with `target` float64 plus noise within `amplitude`, rounded, and its margins."""
    state = np.uint32(1)
    for y in range(target.shape[0]):
        begin_row(plane, y)
        for x in range(target.shape[1]):
            state = np.uint32(state * np.uint32(1664525) + np.uint32(1013904223))
            noise = (np.float64(state) / 4294967296.0 * 2.0 - 1.0) * amplitude
            plane[y + MARGIN, x + MARGIN] = np.int32(min(max(np.rint(target[y, x] + noise), lowest), highest))
        end_row(plane, y)
    end_plane(plane)


@compiled
def level_products(target, valid, plane, other, own_taps, other_taps, relative_to, stride, rows, gram):
    """Products of all taps, a constant and the target, of every `stride`-th row; relative to the mean if that is given."""
    size = gram.shape[0]
    own = own_taps.shape[0]
    for y in range(stride // 2, target.shape[0], stride):
        count = 0
        for x in range(target.shape[1]):
            if valid.size and not valid[y, x]:
                continue
            r, c = y + MARGIN, x + MARGIN
            weight = 1.0
            if relative_to > -np.inf:
                mean = (np.float64(plane[r, c - 1]) + plane[r - 1, c - 1] + plane[r - 1, c] + plane[r - 1, c + 1]) * 0.25
                weight = 1.0 / max(mean - relative_to, 1.0)
            for t in range(own):
                rows[count, t] = plane[r + own_taps[t, 0], c + own_taps[t, 1]] * weight
            for t in range(size - own - 2):
                rows[count, own + t] = other[r + other_taps[t, 0], c + other_taps[t, 1]] * weight
            rows[count, size - 2] = weight
            rows[count, size - 1] = target[y, x] * weight
            count += 1
        add_products(rows, count, gram)


@compiled
def open_loop(target, valid, plane, errors, other_levels, other_errors, form, step, stride, sums):
    """Fill `errors` with the errors of predictions from `plane`, in every `stride`-th row and the two above it."""
    width = target.shape[1]
    w, lowest, highest = left_weights(form)[0], np.int64(form.lowest), np.int64(form.highest)
    for y in range(target.shape[0]):
        if (stride // 2 - y) % stride > 2:
            continue
        begin_row(errors, y)
        sum_row(y, plane, errors, other_levels, other_errors, form, sums)
        row = plane[y + MARGIN]
        for x in range(width):
            c = x + MARGIN
            p = predict(sums[0, x], w, (np.int64(row[c - 1]), np.int64(row[c - 2]), np.int64(row[c - 3])), lowest, highest)
            if valid.size and not valid[y, x]:
                errors[y + MARGIN, c] = errors[y + MARGIN, c - 1]
                continue
            level = rounded(p)
            if step > 0:
                level += np.int64(np.floor((target[y, x] - level) / step + 0.5)) * step
            else:
                level = np.int64(target[y, x])
            errors[y + MARGIN, c] = error_of(level, p)
        end_row(errors, y)
    end_plane(errors)


@compiled
def sample(target, numbers, valid, middle, step, cells, plane, errors, other_levels, other_errors, form, mean_taps, stride,
           sums, features, outcomes):
    """Fill, a sampled pixel a row, `features` int64 (of the activity) and `outcomes` int64: error, skew, q; return how many."""
    width = target.shape[1]
    w, lowest, highest = left_weights(form)[0], np.int64(form.lowest), np.int64(form.highest)
    n = 0
    for y in range(stride // 2, target.shape[0], stride):
        sum_row(y, plane, errors, other_levels, other_errors, form, sums)
        row, r = plane[y + MARGIN], y + MARGIN
        for x in range(width):
            if valid.size and not valid[y, x]:
                continue
            c = x + MARGIN
            p = predict(sums[0, x], w, (np.int64(row[c - 1]), np.int64(row[c - 2]), np.int64(row[c - 3])), lowest, highest)
            mean = np.int64(0)
            for t in range(mean_taps.shape[0]):
                mean += plane[r + mean_taps[t, 0], c + mean_taps[t, 1]]
            e = errors
            features[n, 0] = e[r, c - 1]
            features[n, 1] = e[r - 1, c]
            features[n, 2] = np.int64(e[r - 1, c - 1]) + e[r - 1, c + 1]
            features[n, 3] = (np.int64(e[r, c - 2]) + e[r - 1, c - 2] + e[r - 1, c + 2] + e[r - 2, c - 1] + e[r - 2, c]
                              + e[r - 2, c + 1])
            features[n, 4] = mean >> 2
            if form.other.size:
                e = other_errors
                features[n, 5] = e[r, c]
                features[n, 6] = np.int64(e[r, c - 1]) + e[r, c + 1] + e[r - 1, c] + e[r + 1, c]
            outcomes[n, 0] = errors[r, c]
            outcomes[n, 1] = 12 * p - (mean << FRACTION_BITS)
            level = rounded(p)
            if step > 0:
                outcomes[n, 2] = np.int64(np.floor((target[y, x] - level) / step + 0.5))
            else:
                centre = np.int64(cells.centre[min(max(level + middle, 0), cells.centre.size - 1)])
                outcomes[n, 2] = cell_of(np.int64(numbers[y, x]), centre, cells)[0]
            n += 1
    return n


def _half_step(lattice: Lattice) -> float:
    if lattice.step:
        return (lattice.step - 1) / 2
    return float(np.log2(lattice.ratio / (1 << RATIO_BITS))) * (1 << LOG_BITS)


def _limited(values: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(values * (1 << bits)).clip(-32768, 32767).astype(np.int64)


def _bins_shift(values: np.ndarray, share: float, bins: int) -> int:
    """The shift after which all but the largest values lie within so many bins."""
    largest = int(np.partition(values, int(share * (values.size - 1)))[int(share * (values.size - 1))])
    return min(max(largest // bins, 0).bit_length(), SHIFT_LIMIT)


def _quantiles(bins: np.ndarray, count: int) -> np.ndarray:
    """Thresholds that part bins into `count` classes of as many pixels; equal ones once."""
    ends = np.cumsum(np.bincount(bins, minlength=BINS))
    wanted = ends[-1] * np.arange(1, count) / count
    return np.unique(np.minimum(np.searchsorted(ends, wanted, side="right"), BINS - 1)).astype(np.int64)


@compiled
def _activity_rows(features, outcomes, least, rows):
    """Fill `rows` with features, a constant and errors, relative to a guess of the error."""
    for i in range(rows.shape[0]):
        f = features[i]
        weight = 1.0 / max(0.15 * (f[0] + f[1]) + 0.08 * f[2] + 0.04 * f[3] + least, 1.0)
        for j in range(f.size):
            rows[i, j] = f[j] * weight
        rows[i, f.size] = weight
        rows[i, f.size + 1] = outcomes[i, 0] * weight


@compiled
def _activities(features, weights, bias, out):
    for i in range(out.size):
        total = bias
        for j in range(weights.size):
            total += features[i, j] * weights[j]
        out[i] = total


def _repeats(plane: np.ndarray, stride: int) -> bool:
    """Whether pixels repeat their left neighbours where those above do, as after nearest-neighbour resampling."""
    inside = plane[MARGIN:-MARGIN, MARGIN:-MARGIN]
    same, above = (rows[:, 1:] == rows[:, :-1] for rows in (inside[1::stride], inside[:-1:stride]))
    return bool(above.any() and same[above].mean() > 2 * same.mean() + 0.1)


def fit(target: np.ndarray, numbers: np.ndarray, valid: np.ndarray, lattice: Lattice, cells: Cells, middle: int,
        lowest: int, highest: int, other_levels: np.ndarray, other_errors: np.ndarray, *, first: bool, classes: tuple[int, int],
        relative: bool) -> Parameters:
    """Parameters of a plane.

    Parameters
    ----------
    target
        Levels that are wanted, float64 (height, width), with some value at invalid pixels.
    numbers
        int32 (height, width), of a lattice of cells.
    valid
        bool (height, width) with a pixel that is, or no rows.
    classes
        Of scale and of skew, at most.
    relative
        Fit errors relative to the value: for positive values that vary by orders of magnitude.
    """
    height, width = target.shape
    stride = min(max(height * width // SAMPLE_PIXELS, 1), MOST_STRIDE)
    if valid.size:
        stride = max(1, int(stride * valid[stride // 2 :: stride].mean()))
        if not valid[stride // 2 :: stride].any():
            stride = 1
    plane = empty_plane(target.shape)
    noisy(target, _half_step(lattice), lowest, highest, plane)
    others = 0 if first else len(OTHER_TAPS)
    gram = np.zeros((len(OWN_TAPS) + others + 2,) * 2)
    level_products(target, valid, plane, other_levels, OWN, OTHER, -float(middle) if relative else -np.inf, stride,
                   np.empty((width, len(gram))), gram)
    found = solve(gram)
    weights = _limited(found[:-1], WEIGHT_BITS)
    bias = int(np.rint(found[-1] * (1 << WEIGHT_BITS)).clip(-BIAS_LIMIT, BIAS_LIMIT))
    errors_count = ERRORS + (0 if first else OTHER_ERRORS)
    nothing = np.zeros(0, np.int64)
    parameters = Parameters(middle, lowest, highest, 0, weights, bias, np.zeros(errors_count, np.int64), 0, 0, 0, nothing,
                            nothing, np.zeros(1, np.int64), np.zeros(1, np.int64), False)
    form = parameters.form()
    errors, sums = empty_plane(target.shape), np.empty((3, width), np.int64)
    open_loop(target, valid, plane, errors, other_levels, other_errors, form, lattice.step, stride, sums)
    features = np.empty((-(-height // stride) * width, errors_count), np.int64)
    outcomes = np.empty((len(features), 3), np.int64)
    count = sample(target, numbers, valid, middle, lattice.step, cells, plane, errors, other_levels, other_errors, form, MEAN,
                   stride, sums, features, outcomes)
    error, skew, q = outcomes[:count].T.copy()
    rows, gram = np.empty((count, errors_count + 2)), np.zeros((errors_count + 2,) * 2)
    _activity_rows(features, outcomes, 0.1 * error.mean(), rows)
    add_products(rows, count, gram)
    found = solve(gram)
    activity_weights = _limited(found[:-1], ACTIVITY_BITS)
    activity_bias = int(np.rint(found[-1] * (1 << ACTIVITY_BITS)).clip(-ACTIVITY_BIAS_LIMIT, ACTIVITY_BIAS_LIMIT))
    activity = np.empty(count, np.int64)
    _activities(features, activity_weights, activity_bias, activity)
    activity_shift, skew_shift = _bins_shift(activity, 0.995, BINS - 48), _bins_shift(np.abs(skew), 0.99, 1000)
    bins = (activity >> activity_shift).clip(0, BINS - 1)
    scale_thresholds = _quantiles(bins, classes[0])
    skew_thresholds = _quantiles(((skew >> skew_shift) + SKEW_BINS_BELOW).clip(0, BINS - 1), classes[1])
    shifts, shapes = _tables(q, classes_by_bin(scale_thresholds)[bins], len(scale_thresholds) + 1)
    return Parameters(middle, lowest, highest, int(min(error.mean(), LARGEST_ERROR)), weights, bias, activity_weights,
                      activity_bias, activity_shift, skew_shift, scale_thresholds, skew_thresholds, shifts, shapes,
                      lattice.step == 1 and not valid.size and _repeats(plane, stride))


def _tables(q: np.ndarray, classes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Shift and shape of every class."""
    number = np.maximum(np.bincount(classes, minlength=count), 1)
    mean = np.bincount(classes, q, count) / number
    spread = np.sqrt(np.maximum(np.bincount(classes, q.astype(np.float64) ** 2, count) / number - mean**2, 1e-18))
    shifts = np.floor(np.log2(spread / SPREAD_OF_SYMBOLS)).clip(0, 31).astype(np.int64)
    nearest = np.abs(np.log(spread / 2.0**shifts)[:, None] - np.log(SPREADS)).argmin(axis=1)
    return shifts, np.minimum(nearest, SHAPES - 1)
