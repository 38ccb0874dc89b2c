"""The loops over the pixels of a plane: encode with what the decoder will know, decode."""

from __future__ import annotations

import numpy as np

from .cells import MOST_CELLS, cell_at, cell_of
from .contexts import scale_class, skew_class
from .loops import compiled, inlined
from .prediction import (
    FRACTION_BITS,
    LARGEST_ERROR,
    MARGIN,
    WEIGHT_BITS,
    begin_row,
    end_plane,
    end_row,
    sum_row,
)
from .symbols import (
    CENTRE,
    ESCAPE,
    LONGEST,
    LOWER,
    get_bits,
    get_escape,
    get_few_bits,
    get_symbol,
    put_bits,
    put_escape,
    put_symbol,
)

OK, OUT_OF_WORDS, LEFT_OVER, TOO_LARGE = 0, 1, 2, 3
REASONS = {OUT_OF_WORDS: "the stream of a plane ends early", TOO_LARGE: "a difference is out of range",
           LEFT_OVER: "the stream of a plane does not end where its pixels do"}


@inlined
def predict(total, w, u, lowest, highest):
    """The prediction with its fractional bits, from a row's sum, and weights and levels of the three pixels to the
    left."""
    p = (total + w[0] * u[0] + w[1] * u[1] + w[2] * u[2]) >> (WEIGHT_BITS - FRACTION_BITS)
    return min(max(p, lowest << FRACTION_BITS), highest << FRACTION_BITS)


@inlined
def activity_of(total, a, e1, e2, mean):
    """The activity, from a row's sum and the errors of the two pixels to the left."""
    return total + a[0] * e1 + a[1] * e2 + a[2] * (mean >> 2)


@inlined
def left_weights(form):
    """Weights of what lies to the left, of the prediction and of the activity."""
    w, a = form.weights, form.activity
    return (w[0], w[1], w[2]), (a[0], a[3], a[4])


@inlined
def rounded(prediction):
    """The level nearest to a prediction."""
    return (prediction + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS


@inlined
def error_of(level, prediction):
    """Size of a prediction's error, with its fractional bits."""
    return min(abs((level << FRACTION_BITS) - prediction), LARGEST_ERROR)


@inlined
def repeat_table(levels, m, c, tables):
    """The table that says whether a pixel repeats the one to its left: where those above do; -1 elsewhere."""
    if levels[m - 1, c] != levels[m - 1, c - 1]:
        return -1
    return tables.shape[0] - 2 + (1 if levels[m - 2, c] == levels[m - 2, c - 1] else 0)


@compiled
def encode_plane(target, numbers, valid, middle, step, cells, levels, errors, other_levels, other_errors, form, tables,
                 seen, sums, events):
    """Code a plane; fill `levels`, `errors` and `events`; return the number of events.

    Parameters
    ----------
    target
        Values (of cells: their logarithms) less `middle`, float64 (height, width).
    numbers
        Of cells: numbers, int32 (height, width), replaced by the decoded ones. Otherwise without rows.
    valid
        bool (height, width), or no rows if all pixels are valid.
    """
    height, width = levels.shape[0] - 2 * MARGIN, levels.shape[1] - 2 * MARGIN
    w, a = left_weights(form)
    lowest, highest = np.int64(form.lowest), np.int64(form.highest)
    scales, skews, shifts = form.scales, form.skews, form.shifts
    masked, uniform, inverse, n = valid.size > 0, step > 0, 1.0 / max(step, 1), 0
    for y in range(height):
        m = y + MARGIN
        begin_row(levels, y)
        begin_row(errors, y)
        sum_row(y, levels, errors, other_levels, other_errors, form, sums)
        u1 = u2 = u3 = np.int64(levels[m, 0])
        e1 = e2 = np.int64(errors[m, 0])
        for x in range(width):
            p = predict(sums[0, x], w, (u1, u2, u3), lowest, highest)
            level, mean = rounded(p), sums[2, x] + 2 * (u1 + u2)
            scale = scale_class(activity_of(sums[1, x], a, e1, e2, mean), form.activity_shift, scales)
            k = scale * form.skew_count + skew_class(12 * p - (mean << FRACTION_BITS), form.skew_shift, skews)
            u2, u3 = u1, u2
            if masked and not valid[y, x]:
                e2 = e1
                if not uniform:
                    numbers[y, x] = cells.centre[min(max(level + middle, 0), cells.centre.size - 1)]
                u1 = level
                levels[m, x + MARGIN], errors[m, x + MARGIN] = u1, e1
                continue
            e2 = e1
            r = repeat_table(levels, m, x + MARGIN, tables) if form.repeats else -1
            repeated = r >= 0 and target[y, x] == u1
            if r >= 0:
                n = put_symbol(events, n, tables, seen, r, 0 if repeated else 1)
            if not repeated:
                if uniform:
                    q = np.int64(np.floor((target[y, x] - level) * inverse + 0.5))
                    u1 = min(max(level + q * step, lowest), highest)
                else:
                    centre = np.int64(cells.centre[min(max(level + middle, 0), cells.centre.size - 1)])
                    q, centre = cell_of(numbers[y, x], centre, cells)
                    numbers[y, x] = centre
                    u1 = min(max(np.int64(cells.log[centre]) - middle, lowest), highest)
                shift = shifts[scale]
                q += (1 << shift) >> 1
                h = q >> shift
                s = h + CENTRE if abs(h) <= CENTRE else ESCAPE
                n = put_symbol(events, n, tables, seen, k, s)
                if s == ESCAPE:
                    n = put_escape(events, n, h)
                n = put_bits(events, n, q - (h << shift), shift)
            e1 = error_of(u1, p)
            levels[m, x + MARGIN], errors[m, x + MARGIN] = u1, e1
        end_row(levels, y)
        end_row(errors, y)
    end_plane(levels)
    end_plane(errors)
    return n


@compiled
def decode_plane(state, words, numbers, valid, middle, step, cells, levels, errors, other_levels, other_errors, form,
                 tables, seen, sums):
    """Decode a plane into `levels` and `errors`, and of cells into `numbers` int32 (height, width); return a status."""
    height, width = levels.shape[0] - 2 * MARGIN, levels.shape[1] - 2 * MARGIN
    w, a = left_weights(form)
    lowest, highest = np.int64(form.lowest), np.int64(form.highest)
    scales, skews, shifts = form.scales, form.skews, form.shifts
    masked, uniform, position = valid.size > 0, step > 0, 0
    state = np.int64(state)
    for y in range(height):
        m = y + MARGIN
        begin_row(levels, y)
        begin_row(errors, y)
        sum_row(y, levels, errors, other_levels, other_errors, form, sums)
        u1 = u2 = u3 = np.int64(levels[m, 0])
        e1 = e2 = np.int64(errors[m, 0])
        for x in range(width):
            p = predict(sums[0, x], w, (u1, u2, u3), lowest, highest)
            level, mean = rounded(p), sums[2, x] + 2 * (u1 + u2)
            scale = scale_class(activity_of(sums[1, x], a, e1, e2, mean), form.activity_shift, scales)
            k = scale * form.skew_count + skew_class(12 * p - (mean << FRACTION_BITS), form.skew_shift, skews)
            u2, u3 = u1, u2
            e2 = e1
            centre = np.int64(0)
            if not uniform:
                centre = np.int64(cells.centre[min(max(level + middle, 0), cells.centre.size - 1)])
            if masked and not valid[y, x]:
                if not uniform:
                    numbers[y, x] = centre
                u1 = level
                levels[m, x + MARGIN], errors[m, x + MARGIN] = u1, e1
                continue
            r = repeat_table(levels, m, x + MARGIN, tables) if form.repeats else -1
            s = np.int64(1)
            if r >= 0:
                s, state, position = get_symbol(state, words, position, tables, seen, r)
            if s != 0:
                s, state, position = get_symbol(state, words, position, tables, seen, k)
                h, shift = s - CENTRE, shifts[scale]
                if s == ESCAPE:
                    h, length, state, position = get_escape(state, words, position)
                    if length + shift > LONGEST:
                        return TOO_LARGE
                if shift <= 16:
                    low, state, position = get_few_bits(state, words, position, shift)
                else:
                    low, state, position = get_bits(state, words, position, shift)
                q = (h << shift) + low - ((1 << shift) >> 1)
                if uniform:
                    u1 = min(max(level + q * step, lowest), highest)
                else:
                    if abs(q) > MOST_CELLS:
                        return TOO_LARGE
                    centre = cell_at(q, centre, cells)
                    numbers[y, x] = centre
                    u1 = min(max(np.int64(cells.log[centre]) - middle, lowest), highest)
            e1 = error_of(u1, p)
            levels[m, x + MARGIN], errors[m, x + MARGIN] = u1, e1
        if position > words.size:
            return OUT_OF_WORDS
        end_row(levels, y)
        end_row(errors, y)
    end_plane(levels)
    end_plane(errors)
    return OK if state == LOWER and position == words.size else LEFT_OVER
