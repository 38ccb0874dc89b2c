"""Pixels within a bound of decibels, or of any unit of fixed point."""

from __future__ import annotations

import math

import numpy as np

from ..errors import SarzOptionError
from .cells import MAX_RATIO, MAX_STEP, MIN_RATIO, RATIO_BITS, Lattice
from .planes import encode_planes

CLASSES = 8, 4
STEPS_PER_DB = 1024
MIN_BOUND_DB = 0.01
SLACK_DB = 1e-6
"""What a bound in decibels leaves for the conversion to float32: of linear values at most 2^-24 of them (5.2e-7 dB);
whole steps of 1/1024 dB are float32 numbers up to 16384 dB."""


def step_of_decibels(bound_db: float, slack_db: float = SLACK_DB) -> int:
    """The widest step of 1/1024 dB units that keeps pixels within ``bound_db - slack_db``.

    Raises SarzOptionError if the bound is below one unit or above 100 dB.
    """
    step = math.floor(2 * (bound_db - slack_db) * STEPS_PER_DB) if bound_db <= 100 else 0
    if step < 1:
        raise SarzOptionError(f"bound of {bound_db} dB: expected 0.0005 to 100 dB")
    return step


def encode_fixed_point(targets: np.ndarray, step: int, valid: np.ndarray | None = None) -> tuple[bytes, np.ndarray]:
    """Code numbers so that no valid one is off by more than ``step / 2``; return the bytes and what they decode to.

    Parameters
    ----------
    targets
        Float64 ``(bands, height, width)`` in units of the fixed point, not rounded: for decibels, 1/1024 dB.
        Integers result.
    step
        From 1 to 2^24, in the same units.
    valid
        bool of the same shape, or None if every pixel is valid. Targets of invalid pixels may be anything, NaN too;
        they take no bytes and decode to some number in the range of their band's valid ones.

    Raises
    ------
    SarzOptionError
        On a step out of range, or a valid target that is not finite, below -2^31 or above 2^32 - 1, or 2^32
        or more from another one of its band.
    """
    if not 1 <= step <= MAX_STEP:
        raise SarzOptionError(f"step {step}: expected 1 to {MAX_STEP}")
    return encode_planes(targets, valid, Lattice(step), CLASSES, False)


def encode_amplitudes(values: np.ndarray, bound_db: float, valid: np.ndarray | None = None) -> tuple[bytes, np.ndarray]:
    """Code digital numbers of amplitude so that no valid one is off by more than a bound; return the bytes and what
    results.

    Parameters
    ----------
    values
        Unsigned integers ``(bands, height, width)``, valid ones from 1 to 65535.
    bound_db
        From `MIN_BOUND_DB` to 24 dB (of 20 log10 of the ratio).
    valid
        As of `encode_fixed_point`; invalid pixels decode to some number from 1 to the largest valid one.

    Raises
    ------
    SarzOptionError
        On a bound or a valid number out of range.
    """
    known = values if valid is None else values[valid]
    largest = int(known.max()) if known.size else 1
    if not 1 <= largest <= 65535 or known.size and known.min() < 1:
        raise SarzOptionError(f"numbers of amplitude up to {largest}: expected 1 to 65535")
    ratio = math.floor(10 ** (bound_db / 20) * (1 << RATIO_BITS)) if bound_db < 25 else 0
    if not MIN_RATIO <= ratio <= MAX_RATIO:
        raise SarzOptionError(f"bound of {bound_db} dB: expected {MIN_BOUND_DB} to 24")
    data, decoded = encode_planes(values, valid, Lattice(0, ratio, largest), CLASSES, False)
    return data, decoded.astype(values.dtype)
