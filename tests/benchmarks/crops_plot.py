"""The picture of crops side by side."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from crops import Panel
from matplotlib.figure import Figure
from PIL import Image
from rasters import Raster

ROW, COL, SIDE = 40, 300, 192
"""The crop shown, in pixels of the raster."""

ZOOM = 2

GAP, CAPTION = 10, 22
"""Pixels of the picture between panels, and of the line above each."""

DPI = 100


def draw_crops(path: Path, raster: Raster, made: list[Panel]) -> None:
    """Write a grey PNG of the original and the panels, two in a row, each pixel `ZOOM` wide, on one scale of decibels."""
    original_db = raster.db()[0]
    captioned = [("original", original_db), *((each.caption(), each.values_db) for each in made)]
    rows = -(-len(captioned) // 2)
    side = SIDE * ZOOM
    width, height = 2 * side + GAP, rows * (side + CAPTION + GAP) - GAP
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    low_db, high_db = np.percentile(crop(original_db), (1, 99))
    for number, (caption, values_db) in enumerate(captioned):
        row, col = divmod(number, 2)
        left, top = col * (side + GAP), row * (side + CAPTION + GAP) + CAPTION
        axes = figure.add_axes((left / width, 1 - (top + side) / height, side / width, side / height))
        axes.imshow(crop(values_db), cmap="gray", vmin=low_db, vmax=high_db, interpolation="nearest")
        axes.set_title(caption, fontsize=9, pad=4)
        axes.set_axis_off()
    save_grey(figure, path)


def crop(values_db: np.ndarray) -> np.ndarray:
    """The part that is shown."""
    return values_db[ROW : ROW + SIDE, COL : COL + SIDE]


def save_grey(figure: Figure, path: Path) -> None:
    """Write a PNG of one channel: a quarter of matplotlib's own, which has four."""
    coloured = BytesIO()
    figure.savefig(coloured, format="png", dpi=DPI)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(coloured) as image:
        image.convert("L").save(path, optimize=True)
