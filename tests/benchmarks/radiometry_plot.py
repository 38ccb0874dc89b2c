"""The plots of bias and of the equivalent number of looks against rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plot_styles import STYLES, dress_axes, rate_axis
from radiometry import CODECS, Curves, at_rates

RATES_BPP = np.geomspace(0.04, 2.5, 120)
"""Where the curves are drawn, as far as every image reaches."""

PANELS = (("bias_db", "bias of the dB mean, dB", 0.0),
          ("power_bias_db", "bias of mean power, 64 x 64 blocks, dB", 0.0),
          ("looks_ratio", "ENL, decoded over original", 1.0))
"""Measure, label, and the value of a lossless codec."""


def draw_radiometry(path: Path, images: Sequence[Curves]) -> None:
    """Write a PNG with a panel a measure: means over images, the range of images shaded."""
    figure = Figure(figsize=(11.4, 3.7), dpi=110, layout="constrained")
    for axes, (measure, label, ideal) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        axes.axhline(ideal, color="#888888", linewidth=0.8)
        for codec in CODECS:
            draw_codec(axes, images, codec, measure)
        rate_axis(axes)
        axes.set_ylabel(label)
        dress_axes(axes)
    axes.legend(frameon=False)
    figure.suptitle(f"Mean and range of {len(images)} Sentinel-1 rasters", fontsize=10.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def draw_codec(axes: Axes, images: Sequence[Curves], codec: str, measure: str) -> None:
    """One line with its range."""
    values = np.array([at_rates(image[codec], measure, RATES_BPP) for image in images])
    reached = np.isfinite(values).all(axis=0)
    rates, values = RATES_BPP[reached], values[:, reached]
    style = STYLES[codec]
    axes.fill_between(rates, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.13, linewidth=0)
    axes.plot(rates, values.mean(axis=0), label=codec, **style)
