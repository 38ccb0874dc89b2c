"""Tables from fixed-point dB to values, against forty exact digits and against frozen hashes."""

from __future__ import annotations

import hashlib
from decimal import Context, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarz_format.decibel import FACTORS, STEPS_PER_DB, db_values, linear_values

EXACT = Context(prec=40)


@pytest.mark.parametrize("scale", ["amplitude", "intensity"])
@settings(deadline=None)
@given(st.integers(-32768, 32767), st.integers(-300, 300))
def test_linear_values_are_powers_of_ten(scale: str, pixel: int, offset_db: int) -> None:
    decibels = EXACT.divide(Decimal(pixel + offset_db * STEPS_PER_DB), Decimal(STEPS_PER_DB * FACTORS[scale]))
    exact = EXACT.power(Decimal(10), decibels)
    error = abs(Decimal(float(linear_values(scale, offset_db)[pixel + 32768])) / exact - 1)
    assert error < Decimal(2) ** -51


@pytest.mark.parametrize("scale", ["amplitude", "intensity"])
def test_linear_values_rise(scale: str) -> None:
    values = linear_values(scale, -17)
    assert values.shape == (65536,)
    assert (np.diff(values) > 0).all()


def test_whole_powers_of_ten_are_exact() -> None:
    values = linear_values("amplitude", 0)
    for tens in range(-12, 13):
        assert values[32768 + 20 * STEPS_PER_DB * tens] == float(f"1e{tens}")


def test_decibels_are_exact() -> None:
    values = db_values(-7)
    assert values[32768] == -7
    assert values[0] == -7 - 256
    assert (np.diff(values) == 1 / 128).all()


@pytest.mark.parametrize("offset_db", [-10_000, -3000, 2900, 10_000])
def test_offsets_beyond_float64_stay_numbers(offset_db: int) -> None:
    values = linear_values("intensity", offset_db)
    assert not np.isnan(values).any()
    assert (values < 1e-270).all() if offset_db < 0 else (values > 1e260).all()


@pytest.mark.parametrize(("scale", "offset_db", "digest"), [
    ("amplitude", 0, "33481486823d5e68cb215353f594adebb16a2f41c4446d9a352de432da595467"),
    ("intensity", -12, "49c44052f365c9fe98779b073b472e874bbb20a32b16a9d21c377a0854d32cde"),
])
def test_tables_are_the_same_on_every_machine(scale: str, offset_db: int, digest: str) -> None:
    assert hashlib.sha256(linear_values(scale, offset_db).astype("<f8").tobytes()).hexdigest() == digest
