"""The picture of crops side by side."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from crops import Panel
from matplotlib.figure import Figure
from PIL import Image
from rasters import Raster

ROW, COL, SIDE = 40, 316, 160
"""The crop shown, in pixels of the raster."""

ZOOM = 2

GAP, CAPTION = 10, 22
"""Pixels of the picture between panels, and of the line above each."""

DPI = 100


def draw_crops(path: Path, raster: Raster, rows: Sequence[Sequence[Panel]]) -> None:
    """Write a grey PNG on one scale of decibels: in each row the original and the panels, a pixel `ZOOM` wide."""
    original_db = raster.db()[0]
    scale = dict(zip(("vmin", "vmax"), np.percentile(crop(original_db), (1, 99)), strict=True))
    side = SIDE * ZOOM
    width, height = (1 + len(rows[0])) * (side + GAP) - GAP, len(rows) * (side + CAPTION)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    for row, made in enumerate(rows):
        captioned = [("original", original_db), *((each.caption(), each.values_db) for each in made)]
        for col, (caption, values_db) in enumerate(captioned):
            left, bottom = col * (side + GAP), height - (row + 1) * (side + CAPTION)
            axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
            axes.imshow(crop(values_db), cmap="gray", interpolation="nearest", **scale)
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
