"""Tiles that are better kept losslessly: tiny ones, and noise, whose coded parts are larger than their values.

The latents of such a tile would be worth nothing, so it is EMPTY and has a lossless copy only. That is decided before
its neighbours are analysed and from the tile alone, coded as if it were a whole raster; so no decision depends on another
one, and neighbours see in the analysis what they will see in the decoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .analysis import analyse, hyper_sums, hyperlatents
from .codec.device import Engine
from .codec.mosaic import BatchRunner, synthesise
from .codec.tile import pack_coarse, pack_detail
from .decibel import STEPS_PER_DB
from .fallback import encode_lossless
from .grid import Box, TileGrid
from .mask import VALID, class_plane
from .measure import badly_served, band_errors
from .quality import nominal_step_db
from .quality_search import QualitySearch
from .radiometry import BandRadiometry
from .statistics import BandStatistics
from .strips import Strip

TINY_BYTES = 512
"""Tiles of no more bytes are tried: streams and lengths alone take some 50."""

NOISE_DB = 7.0
"""Standard deviation from which on noise is tried: speckle of one look has 5.6 dB."""

NOISE_SHARE = 0.5
"""Noise is tried that would take this share of its bytes with an ideal coder."""


TRIAL_SHARE = 0.6
"""Of the largest error: beside neighbours whose latents are zero, a tile is served worse than alone."""


class Trial:
    """Codes single tiles of a band group as if each were a whole raster.

    With `rmse_db`, each is tried at the quality that comes nearest to that error, found from `quality` on.
    """

    def __init__(self, engine: Engine, run: BatchRunner, radiometry: list[BandRadiometry], quality: int,
                 rmse_db: float | None = None) -> None:
        self._engine, self._run, self._radiometry = engine, run, radiometry
        self._quality, self._rmse_db = quality, rmse_db

    def doubtful(self, values: np.ndarray, classes: np.ndarray, pixels: np.ndarray) -> bool:
        """Whether a tile, ``(bands, height, width)`` each, is worth trying: a cheap guess."""
        if not (classes == VALID).any():
            return False
        if values.nbytes <= TINY_BYTES:
            return True
        noise_db = _noise_db(pixels)
        bits = math.log2(max(1.0, math.sqrt(2 * math.pi * math.e) * noise_db / nominal_step_db(self._quality)))
        return noise_db > NOISE_DB or bits > NOISE_SHARE * 8 * values.itemsize

    def fails(self, values: np.ndarray, classes: np.ndarray, pixels: np.ndarray) -> bool:
        """Whether a tile takes more bytes than it has when it is coded, and fewer losslessly."""
        height, width = values.shape[1:]
        grid = TileGrid(height, width, -(-max(height, width) // 64) * 64)
        strip = Strip(0, Box(0, 0, height, width), values, classes, pixels)
        (y,) = analyse(self._engine, self._run, grid, list(range(len(values))), None, strip, None, [0])
        (z,) = hyperlatents(self._engine, self._run, [y])
        (sums,) = hyper_sums(self._engine, self._run, [z])

        def code(quality: int) -> tuple[int, np.ndarray]:
            coarse, detail, y_hat = self._engine.coder.encode(y, z, sums, quality)
            planes = [class_plane(c) for c in classes]
            return len(pack_coarse(planes, coarse)) + len(pack_detail(detail, values, classes, b"")), y_hat

        def measure(y_hat: np.ndarray) -> list[BandStatistics]:
            ((_, decoded),) = synthesise(self._engine.network, self._run, grid, lambda row, col: y_hat, [grid.latents])
            return [band_errors(*job) for job in zip(self._radiometry, values, classes, decoded)]

        quality = self._searched(lambda quality: measure(code(quality)[1]))
        size, y_hat = code(quality)
        if size > values.nbytes:
            return len(encode_lossless(values)) < size
        # It would get a lossless copy beside its latents.
        return badly_served(measure(y_hat), quality, TRIAL_SHARE)

    def _searched(self, measure: Callable[[int], list[BandStatistics]]) -> int:
        """The quality to try a tile at."""
        if self._rmse_db is None:
            return self._quality
        search = QualitySearch(self._rmse_db, self._quality)
        while not search.done:
            search.add(sum(measure(search.quality), BandStatistics()).rmse_db)
        return search.quality


def _noise_db(pixels: np.ndarray) -> float:
    """Standard deviation of white noise with such differences between neighbours."""
    axis = 2 if pixels.shape[2] > 1 else 1
    steps = np.diff(pixels[:, :: 4 if axis == 2 else 1].astype(np.float32), axis=axis)
    return float(np.sqrt(np.mean(np.square(steps)) / 2)) / STEPS_PER_DB if steps.size else 0.0
