"""What a raster costs in bytes at each quality, from a deterministic sample of tiles coded at some of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from .analysis import analyse, hyperlatents
from .bright import find_targets
from .codec.device import Engine
from .codec.mosaic import BatchRunner
from .codec.pool import map_batches
from .codec.tile import pack_coarse, pack_detail
from .coding import AnalysedTile, Key, TileCoder
from .correcting import correction_bytes
from .fallback import encode_lossless
from .grid import Box, TileGrid
from .header import Header
from .mask import EXACT, VALID, class_plane
from .quality import MAX_QUALITY, MIN_QUALITY
from .radiometry import BandRadiometry
from .strips import Strip, make_strip
from .trial import Trial

SIDE = 512
"""Larger tiles are sampled by a part of this side."""

MOST_TILES_A_SIDE, MOST_SMALL_TILES_A_SIDE, SMALL = 5, 10, 256
"""The sample is a lattice of so many rows and columns of tiles; of tiles under 256 pixels, more."""

KNOTS = (MIN_QUALITY, 50, MAX_QUALITY)
"""Qualities that the sample is coded at to begin with; between, the logarithm of the bytes is interpolated."""

WindowReader = Callable[[Box], np.ndarray]
"""Values ``(bands, height, width)`` of a part of the raster."""


@dataclass(slots=True)
class SampledTile:
    """A tile, or a part of one, coded as a raster of its own: bytes that no quality changes, and latents."""

    pixels: int
    coder: TileCoder
    strip: Strip
    bands: list[list[int]]
    tiles: dict[Key, AnalysedTile] = field(default_factory=dict)
    constant: int = 0

    def size(self, quality: int) -> int:
        """Bytes at a quality, of all band groups."""
        if not self.tiles:
            return self.constant
        self.coder.code(self.strip, self.tiles, dict.fromkeys(self.tiles, quality))
        streams = sum(len(part) for key in self.tiles for both in self.strip.segments[key] for part in both)
        decoded = self.coder.decode(self.tiles, None, self.strip, None)
        return self.constant + streams + correction_bytes(self.strip, self.coder.grid, self.bands, decoded)


class RateSample:
    """A lattice of sampled tiles, and their bytes a pixel at any quality."""

    def __init__(self, header: Header, radiometry: list[BandRadiometry], engines: list[Engine], run: BatchRunner,
                 read: WindowReader) -> None:
        grid, self._device = header.grid, engines[0].network.device
        most = MOST_TILES_A_SIDE if header.tile_size >= SMALL else MOST_SMALL_TILES_A_SIDE
        self.rows, self.cols = _lattice(grid.rows, most), _lattice(grid.cols, most)
        places = [(row, col) for row in self.rows for col in self.cols]
        # A dataset is not safe in several threads; coding is what takes the time.
        windows = [read(_part(grid.tile(*place))) for place in places]
        self._tiles = map_batches(self._device, lambda w: _sampled(header, radiometry, engines, run, w), windows)
        self._sizes: dict[int, np.ndarray] = {}
        for quality in KNOTS:
            self.measure(quality)

    def measure(self, quality: int) -> None:
        """Make the curve exact at a quality."""
        if quality not in self._sizes:
            sizes = map_batches(self._device, lambda tile: tile.size(quality) / tile.pixels, self._tiles)
            self._sizes[quality] = np.array(sizes).reshape(len(self.rows), len(self.cols))

    def forget(self) -> None:
        """Let go of pixels and latents; no other quality can be measured then."""
        self._tiles = []

    def density(self, quality: int) -> np.ndarray:
        """Bytes a pixel, all bands together, ``(sampled rows, sampled columns)``."""
        if quality in self._sizes:
            return self._sizes[quality]
        low = max(q for q in self._sizes if q < quality)
        high = min(q for q in self._sizes if q > quality)
        share = (quality - low) / (high - low)
        return self._sizes[low] * (self._sizes[high] / self._sizes[low]) ** share


def _lattice(count: int, most: int) -> list[int]:
    """At most `most` of `count` positions, spread evenly."""
    size = min(count, most)
    return [(2 * i + 1) * count // (2 * size) for i in range(size)]


def _part(tile: Box) -> Box:
    """The middle of a tile that is larger than SIDE."""
    row, col = (tile.row0 + max(0, tile.shape[0] - SIDE) // 2, tile.col0 + max(0, tile.shape[1] - SIDE) // 2)
    return Box(row, col, min(tile.row1, row + SIDE), min(tile.col1, col + SIDE))


def _sampled(header: Header, radiometry: list[BandRadiometry], engines: list[Engine], run: BatchRunner,
             values: np.ndarray) -> SampledTile:
    height, width = values.shape[1:]
    grid = TileGrid(height, width, 64 * math.ceil(max(height, width) / 64))
    own = replace(header, metadata=replace(header.metadata, width=width, height=height), tile_size=grid.tile_size)
    strip = make_strip(own, radiometry, 0, values)
    sample = SampledTile(height * width, TileCoder(grid, engines, run), strip,
                         [list(group.bands) for group in header.groups])
    for group, engine in enumerate(engines):
        bands = list(header.groups[group].bands)
        chosen = [radiometry[band] for band in bands]
        parts = values[bands], strip.classes[bands], strip.pixels[bands]
        trial = Trial(engine, run, chosen, header.quality)
        coded = any(r.coded for r in chosen)
        lossless = trial.doubtful(*parts) and trial.fails(*parts) if coded else (parts[1] == EXACT).any()
        sample.constant += constant_bytes(parts[0], parts[1], bool(lossless))
        if coded and not lossless and (parts[1] == VALID).any():
            (y,) = analyse(engine, run, grid, bands, None, strip, None, [0])
            find_targets(grid, group, bands, None, strip, None, [0])
            sample.tiles[group, 0] = AnalysedTile(y, hyperlatents(engine, run, [y])[0])
    return sample


def constant_bytes(values: np.ndarray, classes: np.ndarray, lossless: bool) -> int:
    """Bytes of a tile beside its streams: class planes, exact values and lengths, or all of a lossless one."""
    planes = [class_plane(c) for c in classes]
    copy = encode_lossless(values) if lossless else b""
    kept = (values[:, :0], classes[:, :0]) if lossless else (values, classes)
    return len(pack_coarse(planes, [b"", b""])) + len(pack_detail([b"", b""], *kept, copy))
