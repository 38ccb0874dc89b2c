"""Compare two rasters: open both, stream their cells through the measures, report and draw."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from ..codec.pool import available_cores
from ..gdal_cache import bounded_gdal_cache
from ..output import atomic_output
from ..radiometry import checked_scale
from .cells import CELL, Cell, strips
from .difference import DifferenceMeasure
from .edges import EdgeMeasure
from .inputs import Input, Named, check_pair, opened_input, with_one_scale
from .looks import LooksMeasure
from .power import PowerMeasure
from .preview import PreviewMeasure
from .ratio import RatioMeasure
from .report import CompareReport
from .targets import TargetMeasure

Progress = Callable[[int, int], None]

PLOTTED_BANDS = 4
"""A picture shows so many bands at most."""


class Measure(Protocol):
    """See :mod:`sarz_format.comparison`."""

    def of(self, cell: Cell) -> Any: ...
    def add(self, part: Any) -> None: ...
    def summary(self) -> dict[str, Any]: ...


def compare(
    a: Named,
    b: Named,
    *,
    indexes: Sequence[int] | int | None = None,
    scale: str = "auto",
    plot: str | os.PathLike[str] | None = None,
    device: str = "auto",
    batch_size: int | str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CompareReport:
    """Measure how raster `b` differs from the reference `a`, by what SAR work judges by.

    Error in dB, bias of mean power, equivalent number of looks, peaks of point targets, contrast of edges, and the
    ratio image; docs/comparison.md defines each measure and names its source. Both rasters are streamed.

    Parameters
    ----------
    a, b : path or open dataset
        Each a .sarz file or what rasterio opens; open datasets, of rasterio or of `sarz.open`, stay open.
    indexes : int or sequence of int, optional
        Bands of both, from 1; all by default.
    scale : str
        What the pixels of both are: "amplitude", "intensity" or "db". "auto" takes what a .sarz file says, for a raster
        of the same dtype beside it too; for other rasters it finds out as `sarz.compress` does.
    plot : path, optional
        A PNG to draw: maps, ratio image and histograms. Needs matplotlib.
    device, batch_size
        For .sarz files, as for `sarz.open`. They change no result.
    overwrite : bool
        Whether `plot` may exist.
    progress : callable, optional
        Called with ``(cells done, cells in all)``; a cell is 512 x 512 pixels of all bands.

    Raises
    ------
    SarzFileNotFoundError, SarzIOError, SarzFormatError, ModelNotFoundError, DeviceError
        If an input cannot be read.
    SarzOptionError
        If sizes or numbers of bands differ, a band does not exist, `scale` is none, or `plot` is an input or no PNG.
    UnsupportedRasterError
        If bands are complex or of several dtypes.
    OutputExistsError
        If `plot` exists and `overwrite` is false.
    MissingDependencyError
        If `plot` is given and matplotlib is not installed.
    """
    started = time.perf_counter()
    checked_scale(scale)
    with ExitStack() as stack:
        stack.enter_context(bounded_gdal_cache())
        draw, target = None, None
        if plot is not None:
            from .plot import checked_plot_path, draw

            target = stack.enter_context(atomic_output(checked_plot_path(plot, a, b), overwrite))
        pair = [stack.enter_context(opened_input(source, indexes, scale, device, batch_size)) for source in (a, b)]
        pair = with_one_scale(*pair) if scale == "auto" else pair
        notes = check_pair(*pair)
        measures = _measured(*pair, plot is not None, progress or _no_progress)
        picture = None if plot is None else os.fspath(plot)
        report = _report(*pair, measures, picture, notes, time.perf_counter() - started)
        if draw is not None:
            draw(report, measures[:PLOTTED_BANDS], Path(target))
        return report


def _no_progress(done: int, total: int) -> None:
    pass


def _measures(raster: Input, plotted: bool) -> dict[str, Measure]:
    """Those of one band, by the names they have in the report."""
    measures: dict[str, Measure] = {
        "difference": DifferenceMeasure(), "power": PowerMeasure(), "looks": LooksMeasure(),
        "targets": TargetMeasure(), "edges": EdgeMeasure(), "ratio": RatioMeasure(),
    }  # fmt: skip
    if plotted:
        measures["preview"] = PreviewMeasure(raster.metadata.height, raster.metadata.width)
    return measures


def _measured(a: Input, b: Input, plotted: bool, progress: Progress) -> list[dict[str, Measure]]:
    """Every measure of every band, once all cells have gone through them."""
    bands = len(a.indexes)
    measures = [_measures(a, plotted and band < PLOTTED_BANDS) for band in range(bands)]
    total = -(-a.raster.row1 // CELL) * -(-a.raster.col1 // CELL)
    done = 0
    with ThreadPoolExecutor(_worker_count(), thread_name_prefix="sarz-compare") as pool:
        for strip in strips(a, b):
            boxes = list(strip.boxes())

            def parts(job: tuple[int, Any], strip: Any = strip) -> list[Any]:
                band, box = job
                cell = strip.cell(band, box)
                return [measure.of(cell) for measure in measures[band].values()]

            for band, results in _in_order(pool, parts, [(band, box) for box in boxes for band in range(bands)]):
                for measure, part in zip(measures[band].values(), results):
                    measure.add(part)
            done += len(boxes)
            progress(done, total)
    return measures


def _in_order(
    pool: ThreadPoolExecutor, parts: Callable[..., list[Any]], jobs: list[tuple[int, Any]]
) -> Iterator[tuple[int, list[Any]]]:
    """``(band, parts)`` of each job in the order of the jobs; few are ahead of the one that is taken."""
    ahead = 2 * _worker_count()
    for start in range(0, len(jobs), ahead):
        group = jobs[start : start + ahead]
        yield from zip((band for band, _ in group), pool.map(parts, group))


def _worker_count() -> int:
    return min(available_cores(), 16)


def _report(a: Input, b: Input, measures: list[dict[str, Measure]], plot: str | None, notes: list[str],
            seconds: float) -> CompareReport:
    metadata = a.metadata
    bands = [
        {"band_a": a.indexes[band], "band_b": b.indexes[band],
         "description": metadata.descriptions[band] or b.metadata.descriptions[band],
         **{name: measure.summary() for name, measure in of_band.items() if name != "preview"}}
        for band, of_band in enumerate(measures)
    ]  # fmt: skip
    if plot is not None and len(measures) > PLOTTED_BANDS:
        notes = [*notes, f"the picture shows the first {PLOTTED_BANDS} of {len(measures)} bands"]
    return CompareReport(a.name, b.name, metadata.width, metadata.height, len(measures), a.scale, b.scale, bands, plot,
                         seconds, notes, a.bound, b.bound)
