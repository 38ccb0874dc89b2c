"""The plot of rate against error that the README shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from curves import ImageCurves, images_reaching, mean_bpp
from matplotlib.figure import Figure
from plot_styles import STYLES, dress_axes, rate_axis

ERRORS_DB = np.arange(0.30, 1.601, 0.02)
"""Where the curves are drawn, as far as every image reaches."""


def averaged_curve(images: Sequence[ImageCurves], codecs: Sequence[str], codec: str) -> tuple[list[float], list[float]]:
    """``(bits a band pixel, RMSE dB)`` of one codec, over the errors that all codecs reach on all images."""
    errors_db = [float(error) for error in ERRORS_DB if len(images_reaching(images, codecs, error)) == len(images)]
    return [mean_bpp(images, codec, error_db) for error_db in errors_db], errors_db


def draw_plot(path: Path, images: Sequence[ImageCurves], codecs: Sequence[str]) -> None:
    """Write a PNG with one averaged curve a codec."""
    figure = Figure(figsize=(6.4, 4.4), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    for codec in codecs:
        rates, errors_db = averaged_curve(images, codecs, codec)
        axes.plot(rates, errors_db, label=codec, **STYLES[codec])
    rate_axis(axes)
    axes.set_ylabel("error, dB RMSE")
    axes.set_title(f"Rate and error, mean of {len(images)} Sentinel-1 rasters", fontsize=10.5)
    dress_axes(axes)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
