"""How all plots look: a line style a codec, a logarithmic axis of rates, a light frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

STYLES: dict[str, dict[str, Any]] = {
    "sarz": {"color": "#c8102e", "linewidth": 2.4, "linestyle": "-"},
    "JPEG XL e7": {"color": "#3b6ea5", "linewidth": 1.6, "linestyle": "--"},
    "JPEG XL e9": {"color": "#1f9e89", "linewidth": 1.6, "linestyle": (0, (4, 1, 1, 1))},
    "JPEG 2000": {"color": "#4d4d4d", "linewidth": 1.6, "linestyle": "-."},
    "AVIF": {"color": "#8e44ad", "linewidth": 1.4, "linestyle": (0, (6, 2))},
    "HTJ2K": {"color": "#b8860b", "linewidth": 1.4, "linestyle": ":"},
}

RATE_TICKS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)


def rate_axis(axes: Axes) -> None:
    """Bits a band pixel along x, as far as the lines go."""
    axes.set_xscale("log")
    rates = np.concatenate([line.get_xdata() for line in axes.lines if line.get_transform() == axes.transData])
    low, high = rates.min() / 1.1, rates.max() * 1.1
    ticks = [tick for tick in RATE_TICKS if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(low, high)
    axes.set_xlabel("bits a band pixel (logarithmic)")


def dress_axes(axes: Axes) -> None:
    """Grid and frame."""
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
