"""``import sarz.torch``: .sarz files for training, with torch. ``import sarz`` alone imports no torch."""

from __future__ import annotations

from sarz_format.feeding import Sample, WindowDataset

__all__ = ["Sample", "WindowDataset"]
