"""Statistics of errors: exact integer sums, the same in any order, 32 bytes a band."""

from __future__ import annotations

import contextlib
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarz_format.errors import SarzFormatError
from sarz_format.statistics import BAND_BYTES, BandStatistics, pack_statistics, unpack_statistics

ERRORS = hnp.arrays(np.int32, st.integers(0, 40))


@settings(deadline=None)
@given(ERRORS, ERRORS)
def test_sums_are_exact_and_add(first: np.ndarray, second: np.ndarray) -> None:
    values = [int(value) for value in np.concatenate([first, second])]
    statistics = BandStatistics.from_errors(first) + BandStatistics.from_errors(second)
    assert statistics.count == len(values)
    assert statistics.sum_error_mdb == sum(values)
    assert statistics.sum_squared_error == sum(value**2 for value in values)
    assert statistics.max_error_mdb == max(map(abs, values), default=0)
    assert statistics == BandStatistics.from_errors(second) + BandStatistics.from_errors(first)


def test_figures_in_decibels() -> None:
    statistics = BandStatistics.from_errors(np.array([[300, -400], [0, 0]], np.int32))
    assert statistics.rmse_db == pytest.approx(0.25)
    assert statistics.bias_db == pytest.approx(-0.025)
    assert statistics.max_error_db == pytest.approx(0.4)


def test_no_pixels_have_no_error() -> None:
    nothing = BandStatistics.from_errors(np.zeros((0, 4), np.int32))
    assert nothing == BandStatistics()
    assert all(map(math.isnan, (nothing.rmse_db, nothing.bias_db, nothing.max_error_db)))


@settings(deadline=None)
@given(ERRORS)
def test_pack_round_trips(errors: np.ndarray) -> None:
    bands = (BandStatistics.from_errors(errors // 1000), BandStatistics())
    data = pack_statistics(bands)
    assert len(data) == 2 * BAND_BYTES == 64
    assert unpack_statistics(data, 2) == bands


def test_sums_that_do_not_fit_are_the_largest() -> None:
    statistics = BandStatistics(2**65, -(2**70), 2**90, 2**31)
    assert BandStatistics.unpack(statistics.pack()) == BandStatistics(2**64 - 1, -(2**63 - 1), 2**64 - 1, 2**31)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((1, 0, 0, 0, 1), "reserved"),
        ((0, 0, 0, 1, 0), "contradict"),
        ((0, 1, 0, 0, 0), "contradict"),
        ((2, 21, 0, 10, 0), "contradict"),
        ((2, 0, 201, 10, 0), "contradict"),
    ],
)
def test_bad_fields_are_refused(fields: tuple[int, ...], message: str) -> None:
    with pytest.raises(SarzFormatError, match=message):
        BandStatistics.unpack(struct.pack("<QqQII", *fields))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(SarzFormatError, match="bytes"):
        unpack_statistics(bytes(length), 1)
    with pytest.raises(SarzFormatError, match="bytes"):
        BandStatistics.unpack(bytes(length))


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(SarzFormatError):
        assert BandStatistics.unpack(data).pack() == data
