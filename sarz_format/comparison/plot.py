"""The picture of a comparison: for each band maps of A and B, their ratio image, and two histograms.

Drawn by matplotlib's Agg canvas, without pyplot: nothing global is touched, no display is needed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingDependencyError, SarzOptionError
from ..output import io_errors
from .distribution import LIMIT_MDB
from .report import CompareReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAP_INCHES, HISTOGRAM_INCHES, DPI = 4.2, 3.4, 110
LINES_END = 0.78
"""Share of a histogram's height that lines take; its text stands above."""

INK, FIRST, SECOND, NO_DATA = "#2b2b2b", "#2f6690", "#c8553d", "#dfe6ea"


def checked_plot_path(plot: str | os.PathLike[str], *inputs: Any) -> str:
    """The path of a picture that can be drawn.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    SarzOptionError
        If the name does not end in .png, or is that of an input.
    """
    path = os.fspath(plot)
    if not path.lower().endswith(".png"):
        raise SarzOptionError(f"plot {path}: expected a name that ends in .png")
    for source in inputs:
        name = source.name if hasattr(source, "read") else os.fspath(source)
        if os.path.realpath(name) == os.path.realpath(path):
            raise SarzOptionError(f"plot {path}: this is an input; name another file")
    try:
        import matplotlib  # noqa: F401
    except ImportError as exc:
        text = "drawing needs matplotlib, which is not installed: pip install 'rio-sarcodec[plot]'"
        raise MissingDependencyError(text) from exc
    return path


def draw(report: CompareReport, measures: list[dict[str, Any]], path: Path) -> None:
    """Draw bands, a row each, to the PNG `path`.

    Parameters
    ----------
    measures : list of dict
        A band each: DifferenceMeasure, PowerMeasure and PreviewMeasure under "difference", "power" and "preview".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    aspect = min(max(report.height / report.width, 0.4), 1.6)
    size = 3 * MAP_INCHES + 2 * HISTOGRAM_INCHES, len(measures) * (MAP_INCHES * 0.82 * aspect + 0.75) + 0.6
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    widths = [MAP_INCHES] * 3 + [HISTOGRAM_INCHES] * 2
    axes = figure.subplots(len(measures), 5, squeeze=False, gridspec_kw={"width_ratios": widths})
    figure.suptitle(f"A  {_short(report.a)}        B  {_short(report.b)}", color=INK, fontsize=14, parse_math=False)
    for row, band, of_band in zip(axes, report.bands, measures):
        _draw_maps(figure, row[:3], band, of_band["preview"])
        _draw_errors(row[3], band["difference"], of_band["difference"].distribution.counts)
        _draw_biases(row[4], band["power"], of_band["power"].biases_db)
        for axis in row[3:]:
            axis.set_box_aspect(aspect * MAP_INCHES / HISTOGRAM_INCHES * 0.92)
    with io_errors(f"cannot write {path}"):
        figure.savefig(path, format="png", metadata={"Software": None})


def _draw_maps(figure: Figure, axes: Any, band: dict[str, Any], preview: Any) -> None:
    a, b = preview.maps_db()
    low, high = _limits(a)
    step = preview.step
    note = f", {step} x {step} pixels averaged" if step > 1 else ""
    name = f"band {band['band_a']}" + (f" ({band['description']})" if band["description"] else "")
    for axis, values, title in ((axes[0], a, f"A, {name}"), (axes[1], b, f"B, {name}")):
        image = _show(axis, values, title, step, "gray", low, high)
    _colour_bar(figure, image, list(axes[:2]))
    ratio = a - b
    known = np.abs(ratio[np.isfinite(ratio)])
    reach = max(float(np.percentile(known, 99)), 0.05) if known.size else 1.0
    image = _show(axes[2], ratio, f"Ratio image A / B{note}", step, "RdBu_r", -reach, reach)
    _colour_bar(figure, image, [axes[2]])


def _colour_bar(figure: Figure, image: Any, axes: list[Axes]) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.01, aspect=30, extend="both")
    bar.set_label("dB", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK, length=2)
    bar.outline.set_visible(False)


def _limits(db: np.ndarray) -> tuple[float, float]:
    """What is shown as black and as white: the 1st and 99th percentile."""
    known = db[np.isfinite(db)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(known, (1, 99)))
    return (low, high) if high > low else (low - 1, high + 1)


def _show(axis: Axes, values: np.ndarray, title: str, step: int, colours: str, low: float, high: float) -> Any:
    rows, cols = values.shape
    axis.set_facecolor(NO_DATA)
    axis.set_title(title, fontsize=11, color=INK, parse_math=False)
    axis.tick_params(labelsize=8, colors=INK, length=2)
    return axis.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=low, vmax=high, interpolation="nearest",
                       extent=(0, cols * step, rows * step, 0))


def _draw_errors(axis: Axes, figures: dict[str, Any], counts: np.ndarray) -> None:
    """Density of B - A on a logarithmic scale, so that rare large errors show."""
    axis.set_title("Error B - A", fontsize=11, color=INK)
    at = np.flatnonzero(counts)
    if not at.size:
        return _nothing(axis)
    reach = max(0.1, min(float(np.abs(at - LIMIT_MDB).max()) / 1000, 3 * figures["p99_9_db"]))
    edges = np.linspace(-reach, reach, 122)
    values = (at - LIMIT_MDB) / 1000
    density, _ = np.histogram(values, edges, weights=counts[at].astype(float))
    axis.stairs(density / counts.sum() / np.diff(edges), edges, fill=True, color=FIRST, alpha=0.85)
    axis.set_yscale("log")
    axis.axvline(figures["bias_db"], ymax=LINES_END, color=SECOND, linewidth=1.4)
    _label(axis, "dB", "share of pixels per dB",
           f"RMSE {figures['rmse_db']:.3f} dB\nbias {figures['bias_db']:+.4f} dB\n"
           f"99 % within {figures['p99_db']:.2f} dB")
    return None


def _draw_biases(axis: Axes, figures: dict[str, Any], biases_db: np.ndarray) -> None:
    axis.set_title("Bias of mean power, 64 x 64 blocks", fontsize=11, color=INK)
    if not biases_db.size:
        return _nothing(axis)
    low, high = (float(value) for value in np.percentile(biases_db, (0.5, 99.5)))
    room = max(0.08 * (high - low), 0.01)
    edges = np.linspace(min(low, 0) - room, max(high, 0) + room, int(np.clip(2 * np.sqrt(biases_db.size), 16, 60)))
    counts, _ = np.histogram(biases_db.clip(edges[0], edges[-1]), edges)
    axis.stairs(counts, edges, fill=True, color=FIRST, alpha=0.85)
    axis.axvline(0, ymax=LINES_END, color=INK, linewidth=0.8)
    blocks = figures["blocks"]
    axis.axvline(blocks["mean_db"], ymax=LINES_END, color=SECOND, linewidth=1.4)
    _label(axis, "dB", "blocks", f"mean {blocks['mean_db']:+.3f} dB\n5 to 95 %: {blocks['p5_db']:+.3f} to "
           f"{blocks['p95_db']:+.3f} dB\nwhole area {figures['bias_db']:+.3f} dB")
    return None


def _label(axis: Axes, x: str, y: str, text: str) -> None:
    axis.set_xlabel(x, fontsize=9, color=INK)
    axis.set_ylabel(y, fontsize=9, color=INK)
    axis.tick_params(labelsize=8, colors=INK)
    axis.spines[["top", "right"]].set_visible(False)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * (high / low) ** 0.3 if axis.get_yscale() == "log" else high * 1.3)
    axis.text(0.03, 0.975, text, transform=axis.transAxes, va="top", fontsize=8.5, color=INK, linespacing=1.35)


def _nothing(axis: Axes) -> None:
    axis.set_axis_off()
    axis.text(0.5, 0.5, "nothing to compare", ha="center", va="center", transform=axis.transAxes, color=INK)


def _short(name: str) -> str:
    name = os.path.basename(name.rstrip("/")) or name
    return name if len(name) <= 60 else f"...{name[-57:]}"
