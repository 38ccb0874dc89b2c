"""Rates at equal error: curves of measured points, interpolated an image at a time and then averaged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

TARGETS_DB = (0.35, 0.4, 0.6, 0.7, 0.8, 1.1, 1.4, 1.5)
"""Root mean square errors, in decibels, at which rates are compared."""


@dataclass(frozen=True, slots=True)
class Point:
    """One encoding of one image, all bands together."""

    setting: float
    """The codec's own quality number."""
    nbytes: int
    """Real bytes: of the file, or of the codestreams of all bands."""
    rmse_db: float
    bias_db: float
    max_error_db: float

    @classmethod
    def from_errors(cls, setting: float, nbytes: int, errors_db: np.ndarray) -> Point:
        """Sum up the errors (decibels) of all valid pixels."""
        rmse_db = math.sqrt(np.mean(errors_db**2))
        return cls(setting, nbytes, rmse_db, float(np.mean(errors_db)), float(np.max(np.abs(errors_db))))


@dataclass(frozen=True, slots=True)
class ImageCurves:
    """What every codec reached on one image."""

    name: str
    samples: int
    """Valid band pixels."""
    curves: dict[str, list[Point]]
    """Codec name to its points."""

    def log_bpp(self, codec: str, rmse_db: float) -> float:
        """Logarithm of the bits a band pixel at `rmse_db`; NaN where the measured points do not reach it."""
        return log_bytes_at(self.curves[codec], rmse_db) + math.log(8 / self.samples)


def log_bytes_at(points: Iterable[Point], rmse_db: float) -> float:
    """Logarithm of the bytes at `rmse_db`, linear between the two points around it; NaN outside of all points.

    A point that spends more bytes than another without a smaller error is left out, so the curve falls everywhere.
    """
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.nbytes, point.rmse_db)):
        if not kept or point.rmse_db < kept[-1].rmse_db:
            kept.append(point)
    kept.reverse()
    errors_db = [point.rmse_db for point in kept]
    logs = [math.log(point.nbytes) for point in kept]
    return float(np.interp(rmse_db, errors_db, logs, left=math.nan, right=math.nan))


def images_reaching(images: Sequence[ImageCurves], codecs: Sequence[str], rmse_db: float) -> list[ImageCurves]:
    """The images on which every one of `codecs` brackets `rmse_db`: only these can be averaged."""
    return [image for image in images if all(math.isfinite(image.log_bpp(codec, rmse_db)) for codec in codecs)]


def mean_bpp(images: Sequence[ImageCurves], codec: str, rmse_db: float) -> float:
    """Bits a band pixel at `rmse_db`, the geometric mean over images; NaN for none."""
    if not images:
        return math.nan
    return math.exp(math.fsum(image.log_bpp(codec, rmse_db) for image in images) / len(images))


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, columns padded so that it reads well in a terminal too."""
    cells = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
             for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def format_number(value: float, form: str = ".3f") -> str:
    """The number, or n/a for NaN."""
    return format(value, form) if math.isfinite(value) else "n/a"
