"""What the closed loop measured: the error of each band in milli-decibels, as integer sums that add in any order."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import SarzFormatError

_BAND = struct.Struct("<QqQII")

BAND_BYTES = _BAND.size
"""Bytes of one band's statistics in a file."""

_MAX_U32, _MAX_U64, _MAX_I64 = 2**32 - 1, 2**64 - 1, 2**63 - 1


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Errors (decoded minus original) of one band over the pixels that went through the model."""

    count: int = 0
    """Pixels compared."""
    sum_error_mdb: int = 0
    """Sum of the errors, mdB."""
    sum_squared_error: int = 0
    """Sum of the squared errors, mdB squared."""
    max_error_mdb: int = 0
    """Largest magnitude of an error, mdB."""

    @classmethod
    def from_errors(cls, errors_mdb: np.ndarray) -> BandStatistics:
        """Summarise an integer array, of any shape, of errors in mdB. The sums are exact."""
        if errors_mdb.size == 0:
            return cls()
        errors = errors_mdb.reshape(-1).astype(np.int64, copy=False)
        largest = max(int(errors.max()), -int(errors.min()))
        return cls(errors.size, int(errors.sum()), _sum_of_squares(errors, largest), largest)

    def __add__(self, other: BandStatistics) -> BandStatistics:
        return BandStatistics(
            self.count + other.count,
            self.sum_error_mdb + other.sum_error_mdb,
            self.sum_squared_error + other.sum_squared_error,
            max(self.max_error_mdb, other.max_error_mdb),
        )

    @property
    def rmse_db(self) -> float:
        """Root mean square error in dB; NaN where no pixel was compared."""
        return math.sqrt(self.sum_squared_error / self.count) / 1000 if self.count else math.nan

    @property
    def bias_db(self) -> float:
        """Mean error in dB; NaN where no pixel was compared."""
        return self.sum_error_mdb / self.count / 1000 if self.count else math.nan

    @property
    def max_error_db(self) -> float:
        """Largest error in dB; NaN where no pixel was compared."""
        return self.max_error_mdb / 1000 if self.count else math.nan

    def pack(self) -> bytes:
        """The 32 bytes of the file. A sum that does not fit is stored as the largest value that does."""
        return _BAND.pack(
            min(self.count, _MAX_U64),
            max(-_MAX_I64, min(self.sum_error_mdb, _MAX_I64)),
            min(self.sum_squared_error, _MAX_U64),
            min(self.max_error_mdb, _MAX_U32),
            0,
        )

    @property
    def as_stored(self) -> BandStatistics:
        """These figures as a file gives them back, where sums that do not fit are the largest that do."""
        return BandStatistics.unpack(self.pack())

    @classmethod
    def unpack(cls, data: bytes) -> BandStatistics:
        """Read what `pack` wrote.

        Raises
        ------
        SarzFormatError
            For a wrong length, a reserved field that is not zero, or sums that contradict each other.
        """
        if len(data) != BAND_BYTES:
            raise SarzFormatError(f"statistics of a band have {len(data)} bytes, expected {BAND_BYTES}")
        *fields, reserved = _BAND.unpack(data)
        if reserved:
            raise SarzFormatError(f"statistics of a band have reserved field {reserved}, expected 0")
        statistics = cls(*fields)
        if not statistics._consistent():
            raise SarzFormatError(f"statistics of a band contradict each other: {statistics}")
        return statistics

    def _consistent(self) -> bool:
        """Whether some errors exist that have these sums."""
        largest = self.max_error_mdb
        return (
            abs(self.sum_error_mdb) <= self.count * largest
            and self.sum_squared_error <= self.count * largest**2
            and (self.count > 0 or largest == 0)
        )


def pack_statistics(bands: Sequence[BandStatistics]) -> bytes:
    """The statistics section of a file: 32 bytes a band."""
    return b"".join(band.pack() for band in bands)


def unpack_statistics(data: bytes, count: int) -> tuple[BandStatistics, ...]:
    """Read the statistics section of a raster with `count` bands; SarzFormatError if it is not well formed."""
    if len(data) != count * BAND_BYTES:
        raise SarzFormatError(f"statistics have {len(data)} bytes, expected {count * BAND_BYTES} for {count} bands")
    return tuple(BandStatistics.unpack(data[at : at + BAND_BYTES]) for at in range(0, len(data), BAND_BYTES))


def _sum_of_squares(errors: np.ndarray, largest: int) -> int:
    """Exact sum of squares of int64 `errors` of magnitude up to `largest`, below 2**32."""
    if largest**2 * errors.size < 2**63:
        return int(np.dot(errors, errors))
    magnitudes = np.abs(errors).astype(np.uint64)
    squares = magnitudes * magnitudes
    return (int((squares >> np.uint64(32)).sum()) << 32) + int((squares & np.uint64(_MAX_U32)).sum())
