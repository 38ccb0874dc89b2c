"""What the model does not code: nodata, zeros and pixels that must come back exactly.

Every pixel of a band has a class. `VALID` pixels go through the model; `NODATA` pixels come back as the band's nodata
value, `ZERO` pixels as 0, `EXACT` pixels (NaN, infinities, values without a logarithm) from a list of raw values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .deflate import deflate, inflate
from .errors import SarzFormatError

VALID, NODATA, ZERO, EXACT = range(4)
MIXED = 4
"""Kind byte of a plane that holds several classes; kinds 0 to 3 are planes of one class."""


@dataclass(frozen=True, slots=True)
class ClassPlane:
    """Classes of one band of one tile: ``plane`` uint8 (height, width), or None where all pixels are `kind`."""

    kind: int
    plane: np.ndarray | None

    def array(self, shape: tuple[int, int]) -> np.ndarray:
        """The plane as uint8 ``shape``."""
        return np.full(shape, self.kind, np.uint8) if self.plane is None else self.plane

    def holds(self, wanted: int) -> bool:
        """Whether any pixel is of a class."""
        return self.kind == wanted if self.plane is None else bool((self.plane == wanted).any())

    def count(self, wanted: int, shape: tuple[int, int]) -> int:
        """How many pixels are of a class."""
        if self.plane is None:
            return shape[0] * shape[1] if self.kind == wanted else 0
        return int(np.count_nonzero(self.plane == wanted))


def representable(value: float | int | None, dtype: np.dtype) -> bool:
    """Whether a pixel of `dtype` can have that value."""
    if value is None or isinstance(value, int) and abs(value) >= 1 << 64:
        return False
    if dtype.kind == "f":
        return not math.isfinite(value) or abs(value) <= float(np.finfo(dtype).max)
    info = np.iinfo(dtype)
    return (isinstance(value, int) or value.is_integer()) and info.min <= value <= info.max


NEAR_NODATA = 1e-6
"""Floats this near to nodata, relatively, are nodata to GDAL's masks (to 5e-7 of it)."""


def like_nodata(values: np.ndarray, nodata: float | int | None) -> np.ndarray:
    """Which numbers are the nodata value, or floats so near to it that masks take them for it; bool."""
    if not representable(nodata, values.dtype) or math.isnan(nodata):
        return np.zeros(values.shape, bool)
    fill = np.array(nodata).astype(values.dtype)
    if values.dtype.kind != "f" or not np.isfinite(fill):
        return values == fill
    with np.errstate(invalid="ignore", over="ignore"):
        return np.abs(values.astype(np.float64) - float(fill)) <= NEAR_NODATA * abs(float(fill))


def fill_value(nodata: float | int | None, dtype: np.dtype) -> np.generic:
    """What NODATA pixels, and damaged ones, are: the nodata value, or 0 where `dtype` cannot hold it."""
    real = np.zeros((), dtype).real.dtype
    return np.array(nodata if representable(nodata, real) else 0).astype(dtype)[()]


def restored(planes: Sequence[ClassPlane], exact: Sequence[np.ndarray], nodata: Sequence[float | int | None],
             values: np.ndarray) -> np.ndarray:
    """`values` ``(bands, height, width)`` with all pixels in place that are not VALID; all sequences are one a band."""
    for plane, kept, fill, out in zip(planes, exact, nodata, values):
        if plane.kind != VALID:
            classes = plane.array(out.shape)
            out[classes == NODATA] = fill_value(fill, out.dtype)
            out[classes == ZERO] = 0
            out[classes == EXACT] = kept
    return values


def classify(values: np.ndarray, codable: np.ndarray, nodata: float | int | None) -> np.ndarray:
    """Classes uint8 of an array: `codable` says where the model could take the value.

    A pixel equal to `nodata` (NaN included) is NODATA whether it could be coded or not.
    """
    classes = np.where(codable, VALID, EXACT).astype(np.uint8)
    classes[~codable & (values == 0)] = ZERO
    if values.dtype.kind == "f":
        classes[(classes == ZERO) & np.signbit(values)] = EXACT  # -0.0 keeps its sign.
    if not representable(nodata, values.dtype):
        return classes
    if np.isnan(nodata):
        canonical = np.array(np.nan, values.dtype).view(f"u{values.dtype.itemsize}")
        if values.dtype.kind == "f":  # Other NaN payloads are kept as exact values.
            classes[np.ascontiguousarray(values).view(canonical.dtype) == canonical] = NODATA
    else:
        classes[values == nodata] = NODATA
    return classes


def class_plane(classes: np.ndarray) -> ClassPlane:
    """Classes of a tile's band, uint8 (height, width)."""
    first = int(classes.flat[0])
    return ClassPlane(first, None) if (classes == first).all() else ClassPlane(MIXED, classes)


def pack_plane(plane: ClassPlane) -> bytes:
    """One kind byte; for a mixed plane then DEFLATE of the classes, each row XOR the row above, four pixels a byte."""
    if plane.plane is None:
        return bytes([plane.kind])
    delta = plane.plane.copy()
    delta[1:] ^= plane.plane[:-1]
    flat = np.zeros(-(-delta.size // 4) * 4, np.uint8)
    flat[: delta.size] = delta.ravel()
    quads = flat.reshape(-1, 4)
    packed = quads[:, 0] | quads[:, 1] << 2 | quads[:, 2] << 4 | quads[:, 3] << 6
    return bytes([MIXED]) + deflate(packed.tobytes())


def unpack_plane(data: bytes, shape: tuple[int, int]) -> ClassPlane:
    """Inverse of `pack_plane`; raises SarzFormatError on anything else."""
    if not data or data[0] > MIXED or (data[0] != MIXED and len(data) != 1):
        raise SarzFormatError("mask: expected a class, or a mixed plane")
    if data[0] != MIXED:
        return ClassPlane(data[0], None)
    size = shape[0] * shape[1]
    packed = np.frombuffer(inflate(data[1:], -(-size // 4), "mask"), np.uint8)
    quads = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=1)
    delta = quads.reshape(-1)[:size].reshape(shape)
    return ClassPlane(MIXED, np.bitwise_xor.accumulate(delta, axis=0))


def pack_exact(values: np.ndarray, classes: np.ndarray) -> bytes:
    """DEFLATE of the little-endian values of class EXACT in raster order; empty if there are none."""
    chosen = values[classes == EXACT]
    return deflate(chosen.astype(chosen.dtype.newbyteorder("<")).tobytes()) if chosen.size else b""


def unpack_exact(data: bytes, count: int, dtype: np.dtype) -> np.ndarray:
    """The `count` values of class EXACT."""
    if not count:
        if data:
            raise SarzFormatError("exact values: none were expected")
        return np.empty(0, dtype)
    raw = inflate(data, count * dtype.itemsize, "exact values")
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype)
