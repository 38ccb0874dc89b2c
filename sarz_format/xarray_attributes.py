"""Attributes and encoding of arrays of xarray, as rioxarray gives them to what it opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from .reader import Dataset

FILL_VALUE_NAMES = ("_FillValue", "missing_value", "fill_value", "nodata")
NOT_ATTRIBUTES = (*FILL_VALUE_NAMES, "nodatavals", "is_tiled", "res")
"""Tags that are no attributes: they would contradict what the file itself says."""

SCALING = ("scale_factor", "scales", "add_offset", "offsets")


def attributes_of(tags: Mapping[str, str]) -> dict[str, Any]:
    """Tags as attributes: numbers where they are numbers."""
    return {name: _number_or_text(value) for name, value in tags.items()}


def band_attributes(dataset: Dataset, bands: Sequence[int], tags: Mapping[str, str]) -> dict[str, Any]:
    """Attributes of an array of some bands, 1-based: tags, and what the file says of the bands.

    That is nodata (``_FillValue``, or ``nodatavals`` where bands differ), ``scale_factor`` and ``add_offset``
    (``scales`` and ``offsets`` where they differ), descriptions (``long_name``) and ``units``.
    """
    attributes = {name: value for name, value in attributes_of(tags).items() if name not in NOT_ATTRIBUTES}
    nodata, scales, offsets, descriptions, units = (
        tuple(values[band - 1] for band in bands)
        for values in (dataset.nodatavals, dataset.scales, dataset.offsets, dataset.descriptions, dataset.units)
    )
    if _alike(nodata):
        if nodata[0] is not None:
            attributes["_FillValue"] = nodata[0]
    else:
        attributes["nodatavals"] = nodata
    attributes |= {"scale_factor": scales[0]} if _alike(scales) else {"scales": scales}
    attributes |= {"add_offset": offsets[0]} if _alike(offsets) else {"offsets": offsets}
    if any(descriptions):
        attributes["long_name"] = descriptions[0] if _alike(descriptions) else descriptions
    if any(units):
        attributes["units"] = units[0] if len(units) == 1 else units
    return attributes


def encode(array: xr.DataArray, dtype: np.dtype, *, masked: bool) -> None:
    """Move to the encoding what was already applied to masked and scaled pixels; `dtype` is that of the raster."""
    if "_FillValue" in array.attrs:
        array.attrs["_FillValue"] = array.dtype.type(array.attrs["_FillValue"])
    if masked:
        applied = [name for name in ("_FillValue", *SCALING) if name in array.attrs]
        array.encoding |= {"dtype": str(dtype)} | {name: array.attrs.pop(name) for name in applied}


def _alike(values: Sequence[Any]) -> bool:
    return len({str(value) for value in values}) == 1  # NaN is not equal to itself


def _number_or_text(text: str) -> int | float | str | np.ndarray:
    """A tag's value as a number where it is one, ``{1, 2}`` as an array."""
    if text.startswith("{") and text.endswith("}"):
        try:
            return np.array([float(part) for part in text[1:-1].split(",")])
        except ValueError:
            return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
