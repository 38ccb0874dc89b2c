"""Weighted least squares with sums in a fixed order: the same weights on every machine (encoder only)."""

from __future__ import annotations

import numpy as np

from ..codec.jit import compiled

RIDGE = 1e-8
"""Of the mean of the diagonal, added to it: tells taps apart that see the same pixels."""


@compiled
def add_products(rows, count, gram):
    """Add the products of columns of `rows` float64 (>= count, columns) to the upper half of `gram`."""
    size = gram.shape[0]
    whole = count & ~3
    for i in range(0, whole, 4):
        for a in range(size):
            f0, f1, f2, f3 = rows[i, a], rows[i + 1, a], rows[i + 2, a], rows[i + 3, a]
            for b in range(a, size):
                gram[a, b] += (f0 * rows[i, b] + f1 * rows[i + 1, b]) + (f2 * rows[i + 2, b] + f3 * rows[i + 3, b])
    for i in range(whole, count):
        for a in range(size):
            for b in range(a, size):
                gram[a, b] += rows[i, a] * rows[i, b]


@compiled
def solve(gram):
    """Coefficients for the last column by the others, float64 (size - 1,), by Cholesky's method; all 0 if that
    fails."""
    n = gram.shape[0] - 1
    lower = np.zeros((n, n))
    x = np.zeros(n)
    trace = 0.0
    for i in range(n):
        trace += gram[i, i]
    if not 0.0 < trace < np.inf:
        return x
    for i in range(n):
        for j in range(i + 1):
            total = gram[j, i]
            if i == j:
                total += RIDGE * trace / n
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                if not total > 0.0:
                    return x
                lower[i, i] = np.sqrt(total)
            else:
                lower[i, j] = total / lower[j, j]
    for i in range(n):
        total = gram[i, n]
        for k in range(i):
            total -= lower[i, k] * x[k]
        x[i] = total / lower[i, i]
    for i in range(n - 1, -1, -1):
        total = x[i]
        for k in range(i + 1, n):
            total -= lower[k, i] * x[k]
        x[i] = total / lower[i, i]
    return x
