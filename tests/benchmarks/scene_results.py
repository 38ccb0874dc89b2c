"""What full_scene.py measures and prints: the scene, the figures of one codec, the tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from curves import format_table
from measure import Measurement
from scene_codecs import JPEG_2000, WINDOW_PIXELS

Corners = list[tuple[int, int]]
"""``(row, col)`` of the windows' upper left pixels."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The scene that everything is measured on."""

    path: Path
    width: int
    height: int
    count: int
    itemsize: int

    @property
    def samples(self) -> int:
        """Band pixels."""
        return self.width * self.height * self.count

    @property
    def raw_bytes(self) -> int:
        """Bytes of the raster without any compression."""
        return self.samples * self.itemsize

    @classmethod
    def open(cls, path: Path) -> Scene:
        """Look at a raster."""
        with rasterio.open(path) as src:
            return cls(path, src.width, src.height, src.count, np.dtype(src.dtypes[0]).itemsize)

    def corners(self, count: int) -> Corners:
        """`count` random windows and one more for warming up, the same for every codec."""
        rng = np.random.default_rng(0)
        rows = rng.integers(max(1, self.height - WINDOW_PIXELS + 1), size=count + 1)
        cols = rng.integers(max(1, self.width - WINDOW_PIXELS + 1), size=count + 1)
        return list(zip(rows.tolist(), cols.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Result:
    """All figures of one codec."""

    codec: str
    nbytes: int
    write: Measurement
    to_geotiff: Measurement
    read: Measurement
    windows: Measurement

    @property
    def window_ms(self) -> tuple[float, float]:
        """Median and 95th percentile."""
        times = self.windows.result
        return statistics.median(times), float(np.percentile(times, 95))


def format_results(results: Sequence[Result], scene: Scene, profile: bool) -> str:
    """Every table that there are figures for; ours are the first result."""
    tables = [figures_table(results, scene)]
    tables += [ratios_table(results, base) for base in results if base.codec == JPEG_2000]
    if profile:
        tables.append(profile_table(results[0]))
    return "\n\n".join(tables)


def figures_table(results: Sequence[Result], scene: Scene) -> str:
    """Every figure."""
    head = ["codec", "MB", "bits a sample"]
    for task in ("write", "to GeoTIFF", "read"):
        head += [f"{task} s", "Msamples/s", "peak MiB"]
    head += ["window median ms", "95 % ms"]
    return format_table(head, [figures_row(result, scene) for result in results])


def figures_row(result: Result, scene: Scene) -> list[str]:
    """One codec's cells."""
    row = [result.codec, f"{result.nbytes / 1e6:.1f}", f"{8 * result.nbytes / scene.samples:.3f}"]
    for measured in (result.write, result.to_geotiff, result.read):
        row += [f"{measured.seconds:.1f}", f"{scene.samples / measured.seconds / 1e6:.1f}", f"{measured.peak_mib:.0f}"]
    return [*row, *(f"{milliseconds:.1f}" for milliseconds in result.window_ms)]


def ratios_table(results: Sequence[Result], base: Result) -> str:
    """How many times faster than `base` each codec is."""
    rows = [[result.codec, *(f"{ratio:.2f} x" for ratio in ratios(result, base))] for result in results]
    return format_table([f"against {base.codec}", "write", "to GeoTIFF", "read", "window"], rows)


def ratios(result: Result, base: Result) -> list[float]:
    """Time of `base` over time of `result`, a task."""
    calls = [(base.write, result.write), (base.to_geotiff, result.to_geotiff), (base.read, result.read)]
    return [*(theirs.seconds / ours.seconds for theirs, ours in calls), base.window_ms[0] / result.window_ms[0]]


def profile_table(result: Result) -> str:
    """Where our time goes: seconds by stage. Stages run beside each other, so they may add up to more than the wall."""
    rows = [[task, stage, f"{seconds:.2f}", f"{seconds / measured.seconds:.0%}"]
            for task, measured in (("compress", result.write), ("decompress", result.to_geotiff))
            for stage, seconds in measured.result.items()]
    return format_table(["task", "stage", "s", "of the wall time"], rows)
