"""Check a .sarz file: every byte, every tile, and against the raster it was made from."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .agreement import Agreement, agreement_of, metadata_differences
from .bands import allowance
from .compression import opened_raster
from .container import Container, open_container
from .dtypes import array_dtype
from .errors import DamagedTileError, SarzOptionError
from .gdal_cache import bounded_gdal_cache
from .grid import Box
from .mask import VALID
from .original import Original
from .reports import VerifyReport
from .statistics import BandStatistics

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from .decoder import WindowDecoder

Progress = Callable[[int, int], None]

ROWS_HELD = 3
"""A row of tiles is decoded with the latents of the rows beside it; the cache holds so many."""


def verify(
    path: str | os.PathLike[str] | bytes | IO[bytes],
    against: str | os.PathLike[str] | DatasetReader | None = None,
    *,
    indexes: Sequence[int] | int | None = None,
    device: str = "auto",
    batch_size: int | str = "auto",
    progress: Progress | None = None,
) -> VerifyReport:
    """Check a .sarz file as a whole, and tell everything that is wrong with it.

    All checksums are computed, every tile is decoded to its pixels, and as many pixels must have gone through the model
    as the statistics were taken of. With `against` the error is measured anew, with the encoder's own arithmetic: it
    must equal the recorded one to the last digit, and all that is stored exactly must equal the original. Where the file
    has a bound, every pixel must be within it; without `against`, the steps of its tiles must be as fine as it asks for.

    Parameters
    ----------
    path : path, bytes or binary file object
    against : path or open rasterio dataset, optional
        The raster that the file was made from.
    indexes : int or sequence of int, optional
        Its bands that the file holds, from 1, in the file's order; all by default.
    device, batch_size
        As for `sarz.open`. They change no result.
    progress : callable, optional
        Called with ``(tiles done, tiles in all)`` after each row of tiles.

    Returns
    -------
    VerifyReport
        Damage and disagreement are in it, not raised: see its `ok` and `problems`.

    Raises
    ------
    SarzFileNotFoundError, SarzIOError
        If a file cannot be read.
    SarzFormatError
        If the file is not a well-formed .sarz up to its tiles (its preamble, header, statistics and index).
    SarzOptionError
        If `against` has another size, number of bands or dtype: it is another raster.
    ModelNotFoundError, DeviceError
    """
    started = time.perf_counter()
    with ExitStack() as stack:
        container = open_container(path)
        if container.source is not path:
            stack.enter_context(container)
        stack.enter_context(bounded_gdal_cache())
        original = None
        if against is not None:
            original = Original(stack.enter_context(opened_raster(against)), indexes, container)
        elif indexes is not None:
            raise SarzOptionError("indexes choose bands of the raster to compare with, but none was given (against)")
        from .decoder import WindowDecoder

        decoder = WindowDecoder(container, device=device, batch_size=batch_size, on_damage="list",
                                cache_bytes=_cache_bytes(container))
        check = _Check(container, decoder, original)
        check.run(progress or _no_progress)
        return check.report(time.perf_counter() - started)


def _no_progress(done: int, total: int) -> None:
    pass


def _cache_bytes(container: Container) -> int:
    """Memory of the rows of tiles that decoding one row takes: latents and classes, or a lossless copy."""
    metadata, size = container.header.metadata, container.header.tile_size
    pixels = ROWS_HELD * min(size, metadata.height) * -(-metadata.width // size) * size
    return pixels * metadata.count * (3 + array_dtype(metadata.dtype).itemsize) + (64 << 20)


class _Check:
    """One pass over the tiles of a file, a row of them at a time."""

    def __init__(self, container: Container, decoder: WindowDecoder, original: Original | None) -> None:
        self.container, self.decoder, self.original = container, decoder, original
        self.header, self.grid = container.header, container.header.grid
        self.valid_pixels = [0] * self.header.metadata.count
        self.agreement = [Agreement()] * self.header.metadata.count
        self.allowances = [allowance(self.header, [band]) for band in range(self.header.metadata.count)]

    def run(self, progress: Progress) -> None:
        bands, total = range(self.header.metadata.count), len(self.container.index)
        for row in range(self.grid.rows):
            box = Box(row * self.grid.tile_size, 0, (row + 1) * self.grid.tile_size, self.grid.width)
            box = box.intersection(self.grid.raster)
            decoded, damaged = self.decoder.read(bands, box.row0, box.col0, *box.shape)
            intact = None if damaged is None else ~damaged
            self._check_row(row, box, decoded, intact)
            progress((row + 1) * self.grid.cols * len(self.header.groups), total)

    def _check_row(self, row: int, box: Box, decoded: np.ndarray, intact: np.ndarray | None) -> None:
        from .codec.pool import parallel_map

        original = self.original.read(box) if self.original is not None else None
        jobs = [(tile, band, member)
                for group, bands in enumerate(self.header.groups) for tile in self.decoder.load_row(group, row)
                for member, band in enumerate(bands.bands) if tile.damage is None]

        def compare(job: tuple[Any, int, int]) -> tuple[int, int, Agreement]:
            tile, band, member = job
            part = self.grid.tile(row, tile.entry.tile_col)
            plane = tile.planes[member]
            if original is None:
                return band, plane.count(VALID, part.shape), Agreement()
            at = part.slices(box)
            return band, plane.count(VALID, part.shape), agreement_of(
                self.decoder.radiometry[band], original[(band, *at)], decoded[(band, *at)], plane.array(part.shape),
                lossless=tile.entry.fallback, corner=(part.row0, part.col0),
                intact=None if intact is None else intact[at], allowance=self.allowances[band])

        for band, valid, agreement in parallel_map(compare, jobs):
            self.valid_pixels[band] += valid
            self.agreement[band] += agreement

    def report(self, seconds: float) -> VerifyReport:
        metadata, damage = self.header.metadata, self.decoder.damage
        problems = [*map(_damage_text, damage), *self._disagreements(bool(damage))]
        return VerifyReport(
            input=self.container.source.name, against=None if self.original is None else self.original.name,
            width=metadata.width, height=metadata.height, count=metadata.count, dtype=metadata.dtype,
            ok=not problems, problems=problems, tiles=len(self.container.index),
            damaged_tiles=[(e.tile_row, e.tile_col, e.group) for e in damage],
            input_bytes=self.container.source.size, bytes_read=self.container.source.bytes_read,
            bands=[self._band(band) for band in range(metadata.count)],
            arithmetic=self.decoder.arithmetic, seconds=seconds, notes=list(self.header.notes),
            timings=self.decoder.timings, arithmetic_refused=self.decoder.arithmetic_refused,
            bound=self._bound())

    def _bound(self) -> dict[str, Any] | None:
        """The bound and, where there is an original, the worst error in its unit and the pixels beyond it."""
        if self.header.bound is None:
            return None
        measured = self.original is not None
        return {**self.header.bound.to_json(), "worst": max(map(_worst_of_bound, self.agreement)) if measured else None,
                "pixels_outside": sum(found.outside for found in self.agreement) if measured else None}

    def _band(self, band: int) -> dict[str, Any]:
        recorded, found = self.container.statistics[band], self.agreement[band]
        result = {"band": band + 1, "description": self.header.metadata.descriptions[band],
                  "valid_pixels": self.valid_pixels[band], "recorded": _figures(recorded), "measured": None}
        if self.original is not None:
            row, col = found.worst_at or (None, None)
            result["measured"] = {**_figures(found.statistics), "worst_row": row, "worst_col": col,
                                  "equals_recorded": found.statistics.as_stored == recorded,
                                  "reclassed_pixels": found.reclassed, "changed_exact_pixels": found.changed}
            if self.header.bound is not None:
                row, col = (None, None) if found.worst_of_bound is None else found.worst_of_bound[1:]
                result["measured"]["bound"] = {"worst": _worst_of_bound(found), "worst_row": row, "worst_col": col,
                                               "pixels_outside": found.outside}
        return result

    def _disagreements(self, damaged: bool) -> Iterator[str]:
        """What is wrong besides damaged tiles; totals of bands are only right where no tile is missing."""
        for number, (recorded, found) in enumerate(zip(self.container.statistics, self.agreement), 1):
            valid = self.valid_pixels[number - 1]
            # Of pixels within a bound in the raster's units, some may have no decibels.
            fewer = self.header.bound is not None and self.header.scale != "db" and recorded.count < valid
            if not damaged and recorded.count != valid and not fewer:
                yield (f"band {number}: {recorded.count} pixels are recorded as compared, but {valid} of its tiles' "
                       "pixels are valid")
            if self.original is None:
                continue
            if not damaged and found.statistics.as_stored != recorded:
                yield f"band {number}: the error recorded is {_text(recorded)}, measured {_text(found.statistics)}"
            if found.outside:
                row, col = found.worst_of_bound[1:]
                yield (f"band {number}: {found.outside} pixels are off by more than the bound of {self.header.bound}, the "
                       f"first at {_place(found.outside_at)}, the furthest by {_worst_of_bound(found):g} at row {row}, column {col}")
            if found.reclassed:
                yield (f"band {number}: {found.reclassed} pixels are valid, nodata, zero or exact values in the file "
                       f"and something else in the raster, the first at {_place(found.reclassed_at)}")
            if found.changed:
                yield (f"band {number}: {found.changed} pixels that are stored exactly differ from the raster, the "
                       f"first at {_place(found.changed_at)}")
        if self.original is not None:
            yield from metadata_differences(self.header.metadata, self.original.metadata)


def _damage_text(error: DamagedTileError) -> str:
    return f"tile row {error.tile_row}, column {error.tile_col}, band group {error.group} is damaged: {error.reason}"


def _worst_of_bound(agreement: Agreement) -> float:
    return 0.0 if agreement.worst_of_bound is None else -agreement.worst_of_bound[0]


def _figures(statistics: BandStatistics) -> dict[str, Any]:
    return {"pixels_compared": statistics.count, "rmse_db": statistics.rmse_db, "bias_db": statistics.bias_db,
            "max_error_db": statistics.max_error_db}


def _text(s: BandStatistics) -> str:
    return (f"RMSE {s.rmse_db:.6f} dB, bias {s.bias_db:+.6f} dB, worst {s.max_error_db:.3f} dB over {s.count} pixels")


def _place(place: tuple[int, int] | None) -> str:
    return "an unknown place" if place is None else f"row {place[0]}, column {place[1]}"
