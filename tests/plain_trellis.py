"""The trellis of the specification (10.4), symbol by symbol with lists."""

from __future__ import annotations

import numpy as np

TAPS = (0, 3, 5)
"""Bits of a state that count."""


def plain_next(state: int, k: int) -> int:
    """State after symbol `k`."""
    taps = sum(state >> bit & 1 for bit in TAPS)
    return 2 * (state % 32) + (k + taps) % 2


def plain_multiples(symbols: np.ndarray, numbers: np.ndarray, trellis_from: int,
                    paths: int) -> tuple[np.ndarray, np.ndarray]:
    """Multiples and quantisers of symbols in the order of their stream, which take turns in `paths` states."""
    states = [0] * paths
    multiples, quantisers = [], []
    for i, (k, number) in enumerate(zip(symbols.ravel().tolist(), numbers.ravel().tolist())):
        inside, state = number >= trellis_from, states[i % paths]
        quantisers.append(state % 2 if inside else 0)
        multiples.append((2 * k if state % 2 == 0 else 2 * k - (k > 0) + (k < 0)) if inside else k)
        if inside:
            states[i % paths] = plain_next(state, k)
    return np.reshape(multiples, symbols.shape), np.reshape(quantisers, symbols.shape)
