"""What the encoder sees of a plane: noisy pixels, predictions of a sample of rows, and what was around them."""

from __future__ import annotations

import numpy as np

from .cells import cell_of
from .coder import error_of, left_weights, predict, rounded
from .least_squares import add_products
from .loops import compiled
from .prediction import (
    FRACTION_BITS,
    MARGIN,
    MEAN_TAPS,
    OTHER_TAPS,
    OWN_TAPS,
    begin_row,
    end_plane,
    end_row,
    sum_row,
)

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
    """Products of all taps, a constant and the target, of every `stride`-th row; relative to the mean if that is
    given."""
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
                above = np.float64(plane[r - 1, c - 1]) + plane[r - 1, c] + plane[r - 1, c + 1]
                mean = (plane[r, c - 1] + above) * 0.25
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
            left = np.int64(row[c - 1]), np.int64(row[c - 2]), np.int64(row[c - 3])
            p = predict(sums[0, x], w, left, lowest, highest)
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
def sample(target, numbers, valid, middle, step, cells, plane, errors, other_levels, other_errors, form, mean_taps,
           stride, sums, features, outcomes):
    """Fill, a sampled pixel a row, `features` int64 (of the activity) and `outcomes` int64: error, skew, q; return
    how many."""
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
            left = np.int64(row[c - 1]), np.int64(row[c - 2]), np.int64(row[c - 3])
            p = predict(sums[0, x], w, left, lowest, highest)
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


@compiled
def activity_rows(features, error, least, rows):
    """Fill `rows` with features, a constant and errors, relative to a guess of the error."""
    for i in range(rows.shape[0]):
        f = features[i]
        weight = 1.0 / max(0.15 * (f[0] + f[1]) + 0.08 * f[2] + 0.04 * f[3] + least, 1.0)
        for j in range(f.size):
            rows[i, j] = f[j] * weight
        rows[i, f.size] = weight
        rows[i, f.size + 1] = error[i] * weight


@compiled
def activities(features, weights, bias, out):
    for i in range(out.size):
        total = bias
        for j in range(weights.size):
            total += features[i, j] * weights[j]
        out[i] = total
