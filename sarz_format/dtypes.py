"""The dtypes of rasters by the names that rasterio has for them, and complex numbers as pairs of planes.

GDAL's CInt16 has no numpy dtype: rasterio calls it ``complex_int16`` and reads and writes it as complex64. A complex
raster is stored as its *parts*: of each band a plane of real and one of imaginary parts.
"""

from __future__ import annotations

import numpy as np

REAL_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
COMPLEX_DTYPES = ("complex_int16", "complex64", "complex128")
DTYPES = REAL_DTYPES + COMPLEX_DTYPES
"""All that rasterio 1.4 reads and writes."""

_ARRAYS = {"complex_int16": "complex64"}
_PARTS = {"complex_int16": "int16", "complex64": "float32", "complex128": "float64"}


def is_complex(name: str) -> bool:
    """Whether a dtype of DTYPES is one of complex numbers."""
    return name in COMPLEX_DTYPES


def complex_advice(name: str, dtype: str) -> str:
    """What a complex raster is, and what to give instead where backscatter is wanted."""
    return (f"complex ({dtype}), but errors in decibels are of backscatter: give its amplitude, which GDAL takes "
            f"(DERIVED_SUBDATASET:AMPLITUDE:{name}, with --scale amplitude)")


def array_dtype(name: str) -> np.dtype:
    """The dtype of arrays that hold a raster's values."""
    return np.dtype(_ARRAYS.get(name, name))


def part_dtype(name: str) -> np.dtype:
    """The dtype of the real and imaginary parts of complex values; that of the values themselves otherwise."""
    return np.dtype(_PARTS.get(name, name))


def value_bytes(name: str) -> int:
    """Bytes of a value in a GeoTIFF."""
    return part_dtype(name).itemsize * (2 if is_complex(name) else 1)


def to_parts(values: np.ndarray, name: str) -> np.ndarray:
    """Values ``(bands, height, width)`` as planes of parts: those of complex bands ``(2 bands, height, width)``, real
    and imaginary by turns; others as they are."""
    if not is_complex(name):
        return values
    pairs = np.ascontiguousarray(values).view(values.real.dtype).reshape(*values.shape, 2)
    planes = np.moveaxis(pairs, 3, 1).reshape(2 * len(values), *values.shape[1:])
    return planes.astype(part_dtype(name))


def from_parts(parts: np.ndarray, name: str) -> np.ndarray:
    """Inverse of `to_parts`, of `array_dtype`."""
    if not is_complex(name):
        return parts
    out = array_dtype(name)
    pairs = np.moveaxis(parts.reshape(-1, 2, *parts.shape[1:]), 1, 3).astype(f"f{out.itemsize // 2}")
    return np.ascontiguousarray(pairs).view(out)[..., 0]
