"""Fixed-point dB to values, by tables that are the same on every machine.

A pixel in the codec is an int16 of 1/128 dB about the band's offset (whole dB). The way back to amplitude, power or dB
uses only IEEE-754 multiplications and divisions of correctly rounded constants, so it does not depend on a mathematics
library: ``10^(n / m) = mantissa[n mod m] * 10^(n div m)``.
"""

from __future__ import annotations

from decimal import Context, Decimal
from functools import lru_cache

import numpy as np

PIXEL_BITS = 7
STEPS_PER_DB = 1 << PIXEL_BITS
FACTORS = {"amplitude": 20, "intensity": 10}
"""dB = factor * log10(value)."""


@lru_cache(maxsize=4)
def _mantissas(steps: int) -> np.ndarray:
    """``10^(k / steps)`` for k in 0..steps-1, each the float64 nearest to 55 exact digits: powers of a root of 60."""
    context = Context(prec=60)
    root, power, mantissas = context.power(Decimal(10), context.divide(Decimal(1), Decimal(steps))), Decimal(1), []
    for _ in range(steps):
        mantissas.append(float(power))
        power = context.multiply(power, root)
    return np.array(mantissas)


def _power_of_ten(exponent: np.ndarray, mantissa: np.ndarray) -> np.ndarray:
    tens = np.array([float(10**e) for e in range(309)])
    magnitude = tens[np.minimum(np.abs(exponent), 308)]
    with np.errstate(over="ignore", under="ignore"):
        return np.where(exponent >= 0, mantissa * magnitude, mantissa / magnitude)


def linear_steps(n: np.ndarray, steps: int) -> np.ndarray:
    """``10^(n / steps)`` of whole numbers int64, float64; infinite beyond it."""
    return _power_of_ten(n // steps, _mantissas(steps)[n % steps])


def linear_numbers(scale: str, levels: np.ndarray, levels_per_db: int) -> np.ndarray:
    """Amplitude or intensity, float64, of int64 levels of so many a decibel; infinite beyond float64."""
    return linear_steps(levels, FACTORS[scale] * levels_per_db)


def linear_values(scale: str, offset_db: int) -> np.ndarray:
    """Amplitude or intensity of every int16 pixel, float64 (65536,), from -32768 up."""
    return linear_numbers(scale, np.arange(-32768, 32768, dtype=np.int64) + offset_db * STEPS_PER_DB, STEPS_PER_DB)


def db_values(offset_db: int) -> np.ndarray:
    """dB of every int16 pixel, float64 (65536,), from -32768 up; exact."""
    return np.arange(-32768, 32768) / STEPS_PER_DB + offset_db
