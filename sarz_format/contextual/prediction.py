"""Prediction of a pixel from what is decoded before it: a linear form of integers, fitted by the encoder.

A plane is worked on as *levels*: values less a number near their mean, int32, with a margin of `MARGIN` pixels.
Whatever rows above and the other plane contribute is summed for a whole row at once (`sum_row`); only the three
pixels to the left remain for the loop over pixels.

Linear prediction fitted by least squares and sent with the picture: TMW (Meyer and Tischer 1997), MRP (Matsuda et al.
2005, doi:10.1109/TIP.2005.852197); the errors around a pixel as its context: CALIC (Wu and Memon 1997,
doi:10.1109/26.585919).
"""

from __future__ import annotations

import numpy as np

from .loops import compiled

MARGIN = 3
WEIGHT_BITS, FRACTION_BITS, ACTIVITY_BITS = 14, 4, 12
"""Fractional bits of a weight, of a prediction and an error, and of a weight of the activity."""

OWN_TAPS = ((0, -1), (0, -2), (0, -3), *((-1, dx) for dx in range(-3, 4)), *((-2, dx) for dx in range(-2, 3)),
            *((-3, dx) for dx in range(-1, 2)))
"""``(rows down, columns right)`` of the pixels of the same plane, in the order of their weights."""

OTHER_TAPS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0), (-1, 1), (-1, -1), (1, -1), (1, 1))
"""The same of the plane before."""

MEAN_TAPS = ((0, -1), (0, -1), (0, -2), (0, -2), (-1, -2), (-1, -1), (-1, 0), (-1, 1), (-1, 2),
             (-2, -1), (-2, 0), (-2, 1))
"""Twelve pixels whose sum stands for the level of the neighbourhood."""

ERRORS, OTHER_ERRORS = 5, 2
"""Weights of the activity: W, N, NW + NE, the outer six, a quarter of the sum of `MEAN_TAPS`; then, of the errors of
the plane before, the same pixel and its four neighbours."""

LARGEST_ERROR = 2**31 - 1
ROUNDING = 1 << (WEIGHT_BITS - FRACTION_BITS - 1)


def empty_plane(shape: tuple[int, int], value: int = 0) -> np.ndarray:
    """An int32 plane of ``(height, width)`` with its margins, all of one value."""
    return np.full((shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN), value, np.int32)


@compiled
def begin_row(plane, y):
    """Left margin of row `y`: the first pixel of the row above."""
    for j in range(MARGIN):
        plane[y + MARGIN, j] = plane[y + MARGIN - 1, MARGIN]


@compiled
def end_row(plane, y):
    """Right margin of row `y`: its last pixel."""
    last = plane.shape[1] - MARGIN - 1
    for j in range(last + 1, last + 1 + MARGIN):
        plane[y + MARGIN, j] = plane[y + MARGIN, last]


@compiled
def end_plane(plane):
    """Lower margin: the last row."""
    last = plane.shape[0] - MARGIN - 1
    for y in range(last + 1, last + 1 + MARGIN):
        for x in range(plane.shape[1]):
            plane[y, x] = plane[last, x]


@compiled
def _sum_levels(r1, r2, r3, w, bias, out):
    w3, w4, w5, w6, w7, w8, w9 = w[3], w[4], w[5], w[6], w[7], w[8], w[9]
    w10, w11, w12, w13, w14, w15, w16, w17 = w[10], w[11], w[12], w[13], w[14], w[15], w[16], w[17]
    for x in range(out.size):
        c = x + MARGIN
        out[x] = (bias + w3 * r1[c - 3] + w4 * r1[c - 2] + w5 * r1[c - 1] + w6 * r1[c] + w7 * r1[c + 1] + w8 * r1[c + 2]
                  + w9 * r1[c + 3] + w10 * r2[c - 2] + w11 * r2[c - 1] + w12 * r2[c] + w13 * r2[c + 1] + w14 * r2[c + 2]
                  + w15 * r3[c - 1] + w16 * r3[c] + w17 * r3[c + 1])


@compiled
def _sum_mean(r1, r2, out):
    for x in range(out.size):
        c = x + MARGIN
        out[x] = (np.int64(r1[c - 2]) + r1[c - 1] + r1[c] + r1[c + 1] + r1[c + 2] + r2[c - 1] + r2[c] + r2[c + 1])


@compiled
def _sum_errors(e1, e2, a, bias, out):
    a1, a2, a3 = a[1], a[2], a[3]
    for x in range(out.size):
        c = x + MARGIN
        outer = np.int64(e1[c - 2]) + e1[c + 2] + e2[c - 1] + e2[c] + e2[c + 1]
        out[x] = bias + a1 * e1[c] + a2 * (np.int64(e1[c - 1]) + e1[c + 1]) + a3 * outer


@compiled
def _add_other(n0, n1, n2, w, out):
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    for x in range(out.size):
        c = x + MARGIN
        out[x] += (w0 * n1[c] + w1 * n1[c - 1] + w2 * n1[c + 1] + w3 * n0[c] + w4 * n2[c] + w5 * n0[c + 1]
                   + w6 * n0[c - 1] + w7 * n2[c - 1] + w8 * n2[c + 1])


@compiled
def _add_other_errors(e0, e1, e2, a, out):
    a0, a1 = a[0], a[1]
    for x in range(out.size):
        c = x + MARGIN
        out[x] += a0 * e1[c] + a1 * (np.int64(e1[c - 1]) + e1[c + 1] + e0[c] + e2[c])


@compiled
def sum_row(y, levels, errors, other_levels, other_errors, form, sums):
    """What does not depend on row `y` itself, into `sums` int64 (3, width): prediction, activity, sum of
    `MEAN_TAPS`."""
    m = y + MARGIN
    _sum_levels(levels[m - 1], levels[m - 2], levels[m - 3], form.weights, form.bias + ROUNDING, sums[0])
    _sum_errors(errors[m - 1], errors[m - 2], form.activity, form.activity_bias, sums[1])
    _sum_mean(levels[m - 1], levels[m - 2], sums[2])
    if form.other.size:
        _add_other(other_levels[m - 1], other_levels[m], other_levels[m + 1], form.other, sums[0])
        _add_other_errors(other_errors[m - 1], other_errors[m], other_errors[m + 1], form.other_activity, sums[1])
