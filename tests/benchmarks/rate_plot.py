"""The plot of rate against error that the README shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from curves import ImageCurves, images_reaching, mean_bpp
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ERRORS_DB = np.arange(0.30, 1.601, 0.02)
"""Where the curves are drawn, as far as every image reaches."""

STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#c8102e", "linewidth": 2.4, "linestyle": "-"},
    {"color": "#3b6ea5", "linewidth": 1.6, "linestyle": "--"},
    {"color": "#4d4d4d", "linewidth": 1.6, "linestyle": "-."},
)

RATE_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)


def averaged_curve(images: Sequence[ImageCurves], codecs: Sequence[str], codec: str) -> tuple[list[float], list[float]]:
    """``(bits a band pixel, RMSE dB)`` of one codec, over the errors that all codecs reach on all images."""
    errors_db = [float(error) for error in ERRORS_DB if len(images_reaching(images, codecs, error)) == len(images)]
    return [mean_bpp(images, codec, error_db) for error_db in errors_db], errors_db


def draw_plot(path: Path, images: Sequence[ImageCurves], codecs: Sequence[str]) -> None:
    """Write a PNG with one averaged curve a codec."""
    figure = Figure(figsize=(6.4, 4.2), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    for codec, style in zip(codecs, STYLES, strict=True):
        rates, errors_db = averaged_curve(images, codecs, codec)
        axes.plot(rates, errors_db, label=codec, **style)
    dress(axes, len(images))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def dress(axes: Axes, image_count: int) -> None:
    """Scales, labels and grid."""
    axes.set_xscale("log")
    axes.set_xticks(RATE_TICKS, [f"{tick:g}" for tick in RATE_TICKS])
    axes.minorticks_off()
    rates = np.concatenate([line.get_xdata() for line in axes.lines])
    axes.set_xlim(rates.min() / 1.1, rates.max() * 1.1)
    axes.set_xlabel("bits a band pixel (logarithmic)")
    axes.set_ylabel("error, dB RMSE")
    axes.set_title(f"Rate and error, mean of {image_count} Sentinel-1 rasters", fontsize=10.5)
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
