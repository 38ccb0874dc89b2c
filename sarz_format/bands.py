"""What a file's header says about its bands: how their values are decibels, and what its bound means for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .bound import Allowance
from .dtypes import is_complex, part_dtype
from .errors import SarzFormatError
from .header import Header
from .radiometry import BandRadiometry


def band_radiometry(header: Header, band: int) -> BandRadiometry:
    """The conversion of one band of a file; raises SarzFormatError if its dB scale cannot be inverted."""
    meta = header.metadata
    gain, bias = (meta.scales[band], meta.offsets[band]) if header.scale == "db" else (1.0, 0.0)
    if gain == 0 or not math.isfinite(gain) or not math.isfinite(bias):
        raise SarzFormatError(f"band {band + 1} has scale {gain} and offset {bias}: expected finite numbers, not 0")
    return BandRadiometry(part_dtype(meta.dtype), header.scale, header.offsets_db[band], gain, bias, meta.nodata[band],
                          coded=not is_complex(meta.dtype))


def allowance(header: Header, bands: Sequence[int]) -> Allowance | None:
    """What the bound of a file means for bands, from 0, together; None if it has none."""
    if header.bound is None:
        return None
    return Allowance.of(header.bound, header.scale, [header.metadata.scales[band] for band in bands])
