"""Overviews as the specification has them (section 14), pixel by pixel in plain Python and numpy: slow, and hard to get wrong.

Latents come from elsewhere; all that makes cells, sums and values of them is done here again.
"""

from __future__ import annotations

from decimal import Decimal, getcontext
from functools import cache

import numpy as np

getcontext().prec = 40


def axis_weights(S: np.ndarray, Q: np.ndarray, upper: bool, alone: bool) -> tuple[list[int], list[int]]:
    """Weights of a cell's own two frequencies, and of those of the block on its other side."""
    rows = range(0, 8) if upper else range(8, 16)
    beyond = range(8, 16) if upper else range(0, 8)
    # Of the sixteen pixels across a border, the cell has the last eight (upper) or the first eight.
    results = range(8, 16) if upper else range(0, 8)
    own, other = [], []
    for u in range(2):
        if alone:
            own.append(8192 * sum(int(S[i, u]) for i in rows))
            other.append(0)
            continue
        x = {results[j]: int(S[row, u]) for j, row in enumerate(rows)}
        y = {(results[0] + 8 + j) % 16: int(S[row, u]) for j, row in enumerate(beyond)}
        own.append(sum(int(Q[i, j]) * value for i in results for j, value in x.items()))
        other.append(sum(int(Q[i, j]) * value for i in results for j, value in y.items()))
    return [(w + 32768) >> 16 for w in own], [(w + 32768) >> 16 for w in other]


def plain_cells(y: np.ndarray, S: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """Cells ``(bands, 2 rows, 2 cols)`` of the coarse latents int ``(rows, cols, 4 bands)`` of a whole raster."""
    rows, cols, channels = y.shape
    bands = channels // 4
    z = np.zeros((bands, 2 * rows, 2 * cols), object)
    for i in range(2 * rows):
        r, above = i // 2, i % 2 == 0
        r2 = r - 1 if above else r + 1
        down, down2 = axis_weights(S, Q, above, not 0 <= r2 < rows)
        for j in range(2 * cols):
            c, left = j // 2, j % 2 == 0
            c2 = c - 1 if left else c + 1
            along, along2 = axis_weights(S, Q, left, not 0 <= c2 < cols)
            for m in range(bands):
                total = 0
                for row, a in ((r, down), (r2, down2)):
                    for col, b in ((c, along), (c2, along2)):
                        if 0 <= row < rows and 0 <= col < cols:
                            for u in range(2):
                                for v in range(2):
                                    total += a[u] * b[v] * int(y[row, col, 4 * m + 2 * u + v])
                z[m, i, j] = total
    mixed = [z[0]] if bands == 1 else [z[0] + z[1], z[0] - z[1]]
    return np.array([[[max(-32768, min(32767, (int(v) + (1 << 24)) >> 25)) for v in line] for line in band] for band in mixed])


def plain_unevenness(cells: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Of one band's cells; `known` bool, the same shape."""
    rows, cols = cells.shape
    out = np.zeros(cells.shape, np.int64)
    for i in range(rows):
        for j in range(cols):
            for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if 0 <= k < rows and 0 <= m < cols and known[i, j] and known[k, m]:
                    out[i, j] += (int(cells[k, m]) - int(cells[i, j])) ** 2
    return out


def plain_corrected(cell: int, unevenness: int, bits: int) -> int:
    """A cell with the correction of its band and tile."""
    bits = bits or 6 << 10 | 64
    offset, spread = bits & 1023, bits >> 10
    offset -= 1024 if offset >= 512 else 0
    more = min((spread * int(unevenness) + 32768) >> 16, 3072)
    return max(-32768, min(32767, int(cell) + offset + more))


@cache
def plain_power(pixel: int, offset_db: int) -> float:
    """Linear power of an int16 pixel, as section 13 has it for intensity."""
    n = pixel + 128 * offset_db
    exponent, k = divmod(n, 1280)
    mantissa = float(Decimal(10) ** (Decimal(k) / 1280))
    ten = float(10 ** min(abs(exponent), 308))
    return mantissa * ten if exponent >= 0 else mantissa / ten


def plain_halved(a: np.ndarray) -> np.ndarray:
    """Sums of 2 x 2, in the order of the specification."""
    a = np.pad(a, [(0, n % 2) for n in a.shape])
    return (a[::2, ::2] + a[::2, 1::2]) + (a[1::2, ::2] + a[1::2, 1::2])
