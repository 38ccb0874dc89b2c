"""What a comparison found, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..reports import _Report


@dataclass(frozen=True)
class CompareReport(_Report):
    """`b` measured against the reference `a`; differences are B - A in dB.

    `bands` has one dictionary a band: `band_a` and `band_b` (from 1), `description`, and the figures of each measure
    under `difference`, `power` (with `blocks`), `looks`, `targets`, `edges` and `ratio`, as docs/comparison.md says.
    `bound_a` and `bound_b` are None, or `unit` ("db" or "raster") and `value` of the bound that a .sarz file has on its
    error against the raster that it was made from.
    """

    a: str
    b: str
    width: int
    height: int
    count: int
    scale_a: str
    scale_b: str
    bands: list[dict[str, Any]]
    plot: str | None
    seconds: float
    notes: list[str] = field(default_factory=list)
    bound_a: dict[str, Any] | None = None
    bound_b: dict[str, Any] | None = None
