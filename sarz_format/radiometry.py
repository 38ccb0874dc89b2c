"""Between a raster's values and the codec's fixed-point dB.

Speckle is multiplicative, so the codec works in decibels: amplitude ``20 log10``, intensity ``10 log10``, dB as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .decibel import FACTORS, STEPS_PER_DB, db_values, linear_values
from .dtypes import REAL_DTYPES
from .errors import SarzOptionError, UnsupportedRasterError

SCALES = ("amplitude", "intensity", "db")
RANGE_DB = 250.0
"""A pixel further than this from its band's offset comes back exactly instead of through the model."""

PLAUSIBLE_DB = 1000.0
"""No backscatter lies further from 0 dB in any unit: fill values do, and must not decide a band's offset."""

DTYPES = REAL_DTYPES


def checked_dtype(dtype: str) -> np.dtype:
    """The numpy dtype of a raster of real values; raises UnsupportedRasterError for complex and unknown ones."""
    if dtype not in DTYPES:
        raise UnsupportedRasterError(f"dtype {dtype}: expected one of {', '.join(DTYPES)}")
    return np.dtype(dtype)


def detect_scale(tags: Mapping[str, str], units: tuple[str | None, ...], dtype: np.dtype,
                 sample: np.ndarray, scaled: bool = False) -> tuple[str, str]:
    """Choose ``(scale, reason)``: a tag, then units, then signs in `sample` (1-D, valid values), then the dtype.

    `scaled` tells that the bands' scales and offsets were applied to the sample.
    """
    tagged = tags.get("SARZ_SCALE", "").lower()
    if tagged in SCALES:
        return tagged, "tag SARZ_SCALE"
    named = {(unit or "").strip().lower() for unit in units}
    if named & {"db", "decibel", "decibels"}:
        return "db", "units of a band"
    if named & {"amplitude", "dn"}:
        return "amplitude", "units of a band"
    if named & {"intensity", "power", "linear"}:
        return "intensity", "units of a band"
    negative = float((sample < 0).mean()) if sample.size else 0.0
    after = " after scale and offset" if scaled else ""
    if negative > 0.5:
        return "db", f"{negative:.0%} of the sampled values are negative{after}"
    kind = "amplitude" if dtype.kind in "iu" else "intensity"
    return kind, f"{dtype} values, {negative:.0%} of the sample negative{after}"


def checked_scale(scale: str) -> str:
    """`scale` if it is one of `SCALES` or "auto"; raises SarzOptionError otherwise."""
    if scale not in (*SCALES, "auto"):
        raise SarzOptionError(f"scale {scale!r}: expected auto, {', '.join(SCALES)}")
    return scale


@dataclass(frozen=True)
class BandRadiometry:
    """One band's conversion.

    Attributes
    ----------
    dtype
        Of the raster.
    scale
        "amplitude", "intensity" or "db".
    offset_db
        Whole dB subtracted before the model.
    gain, bias
        A dB raster's band scale and offset: ``dB = gain * value + bias``. 1 and 0 on other scales.
    nodata
        The band's nodata value or None; no coded pixel is decoded to it.
    coded
        False for a band that is kept losslessly: none of its pixels goes through the model.
    """

    dtype: np.dtype
    scale: str
    offset_db: int
    gain: float = 1.0
    bias: float = 0.0
    nodata: float | int | None = None
    coded: bool = True

    def decibels(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(dB float64, finite bool)`` of an array; dB is 0 where it does not exist."""
        with np.errstate(invalid="ignore"):  # Signalling NaNs are just NaNs here.
            values = values.astype(np.float64)
        if self.scale == "db":
            db = values * self.gain + self.bias
            return np.where(np.isfinite(db), db, 0.0), np.isfinite(db)
        positive = np.isfinite(values) & (values > 0)
        return FACTORS[self.scale] * np.log10(np.where(positive, values, 1.0)), positive

    def to_pixels(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(int16 pixels of 1/128 dB, codable bool)`` of an array of the raster's dtype."""
        if not self.coded:
            return np.zeros(values.shape, np.int16), np.zeros(values.shape, bool)
        if self._by_table:
            pixels, codable, _ = self._tables
            index = values.astype(np.int64) - np.iinfo(self.dtype).min
            return pixels[index], codable[index]
        return self._compute_pixels(values)[:2]

    def _compute_pixels(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        db, exists = self.decibels(values)
        codable = exists & (np.abs(db - self.offset_db) <= RANGE_DB)
        pixels = np.rint(np.where(codable, db - self.offset_db, 0.0) * STEPS_PER_DB).astype(np.int16)
        return pixels, codable, db

    @property
    def _by_table(self) -> bool:
        return self.dtype.kind in "iu" and self.dtype.itemsize <= 2

    @cached_property
    def _tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        info = np.iinfo(self.dtype)
        pixels, codable, db = self._compute_pixels(np.arange(info.min, info.max + 1))
        return pixels, codable, np.rint((db * 1000).clip(-1e9, 1e9)).astype(np.int32)

    @cached_property
    def value_table(self) -> np.ndarray:
        """Value of every int16 pixel, ``(65536,)`` of the raster's dtype; entry p belongs to ``p mod 65536``."""
        if self.scale == "db":
            values = (db_values(self.offset_db) - self.bias) / self.gain
        else:
            values = linear_values(self.scale, self.offset_db)
        return np.roll(self.as_dtype(values, linear=self.scale != "db"), 32768)

    def as_dtype(self, values: np.ndarray, linear: bool) -> np.ndarray:
        """Values float64 (1-D) in the raster's dtype, and never its nodata value; never 0 or below if they are `linear`."""
        if self.dtype.kind == "f":
            with np.errstate(over="ignore", under="ignore"):
                values = values.astype(self.dtype)
            tiny, huge = np.finfo(self.dtype).smallest_subnormal, np.finfo(self.dtype).max
            if linear:
                values = np.clip(values, tiny, huge)
            if self.nodata is not None and not np.isnan(self.nodata):
                clash = values == self.nodata
                values[clash] = np.nextafter(values[clash], self.dtype.type(-np.inf if self.nodata >= huge else np.inf))
            return values
        info = np.iinfo(self.dtype)
        lowest = 1 if linear else info.min
        return self._integers(np.rint(values), lowest, info.max)

    def _integers(self, rounded: np.ndarray, lowest: int, highest: int) -> np.ndarray:
        """Whole numbers in range; the nodata value gives way to its neighbour."""
        out = np.full(rounded.shape, highest, self.dtype)
        inside = rounded < float(highest)
        out[inside] = np.maximum(rounded[inside], lowest).astype(self.dtype)
        if self.nodata is not None and np.isfinite(self.nodata) and self.nodata == int(self.nodata):
            nodata = int(self.nodata)
            if lowest <= nodata <= highest:
                out[out == nodata] = nodata + 1 if nodata < highest else nodata - 1
        return out

    def errors_mdb(self, original: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Errors in milli-dB, int32, of coded pixels against original values (1-D arrays, all codable)."""
        return self.value_errors_mdb(original, self.value_table[pixels.view(np.uint16)])

    def value_errors_mdb(self, original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
        """Errors in milli-dB, int32, of decoded values against original ones (1-D, of the raster's dtype, codable)."""
        if self._by_table:
            milli, low = self._tables[2], np.iinfo(self.dtype).min
            return milli[decoded.astype(np.int64) - low] - milli[original.astype(np.int64) - low]
        error = (self.decibels(decoded)[0] - self.decibels(original)[0]) * 1000
        return np.rint(error.clip(-2e9, 2e9)).astype(np.int32)


def choose_offset_db(radiometry: BandRadiometry, sample: np.ndarray) -> int:
    """Median in whole dB of what in the sample can be backscatter; 0 where nothing can."""
    db, exists = radiometry.decibels(sample)
    plausible = exists & (np.abs(db) <= PLAUSIBLE_DB)
    return int(np.rint(np.median(db[plausible]))) if plausible.any() else 0
