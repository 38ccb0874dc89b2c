"""What overviews from coarse parts are worth: against averages, in power, of the fully decoded raster.

    python tests/benchmarks/overviews.py RASTER_OR_FOLDER... [--quality Q ...] [--factor K ...] [--way WAY ...]
    python tests/benchmarks/overviews.py --time FILE.sarz [--factor K ...]

For each quality, factor and way: the bias of the mean power of a band over the whole raster; how much a pixel of the
overview (of pixels that are all valid) is off in decibels, its mean and its root mean square; and how many blocks of 64 x 64
pixels of the raster have the mean power within 0.05, 0.1, 0.2 and 0.5 dB. Ways are how cells are corrected:

- ``none``: the low-pass of decibels as it is
- ``offset``: one number a band and tile, so that its mean power is right
- ``usual``: what stands for a correction that a file does not have
- ``file``: what the file says (offset and spread)

--time reads whole overviews of one file, each in a process of its own: seconds of the wall clock and of all cores, bytes
and requests.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import sarz

from sarz_format import overview_decoder
from sarz_format.averaging import BandMean, reduced
from sarz_format.container import Container, open_container
from sarz_format.decoder import WindowDecoder
from sarz_format.overview import LARGEST_OFFSET, UNKNOWN, Correction, overview_box, unpack_correction

BLOCK = 64
LIMITS_DB = (0.05, 0.1, 0.2, 0.5)
QUALITIES, FACTORS, WAYS = (20, 55, 80), (8, 16, 32), ("none", "offset", "usual", "file")

PROGRAM = """
import time
import sys, sarz
from resource import RUSAGE_SELF, getrusage
started = time.perf_counter()
with sarz.open(sys.argv[1], device="cpu") as src:
    small = src.read_overview(int(sys.argv[2]))
    first, cpu = time.perf_counter() - started, time.process_time()
    stats = src.stats
with sarz.open(sys.argv[1], device="cpu") as src:
    started, cpu = time.perf_counter(), time.process_time()
    src.read_overview(int(sys.argv[2]))
    again, cpu = time.perf_counter() - started, time.process_time() - cpu
print(f"1:{sys.argv[2]} {small.shape}: {first:.2f} s with loading the model, {again:.2f} s again ({cpu:.2f} s of all cores), "
      f"{stats.bytes_read:,} bytes in {stats.requests} requests, {getrusage(RUSAGE_SELF).ru_maxrss >> 10} MiB")
"""


@dataclass(frozen=True, slots=True)
class Result:
    """One band of one raster: bias of mean power, errors of pixels in dB, errors of blocks in dB."""

    bias_db: float
    mean_db: float
    rmse_db: float
    blocks_db: np.ndarray


def measure(mean: BandMean, overview: np.ndarray, sums: np.ndarray, factor: int) -> Result:
    """An overview of a band against count and power ``(2, rows, cols)`` of its pixels."""
    count, total = reduced(sums, factor)
    made = np.where(count > 0, mean.counted(overview)[1] * count, 0.0)
    whole = count == factor**2
    error = 10 * np.log10(made[whole] / total[whole])
    blocks = reduced(np.stack([count, total, made]), max(1, BLOCK // factor))
    full = blocks[0] >= max(BLOCK, factor) ** 2 / 2
    return Result(10 * math.log10(made.sum() / total.sum()), float(error.mean()), float(np.sqrt(np.mean(error**2))),
                  10 * np.log10(blocks[2][full] / blocks[1][full]))


def one_offset(container: Container, decoder: WindowDecoder, bands: range) -> Callable[[int], Correction]:
    """Corrections by tile and band that have no spread, and the mean power of the decoded pixels.

    They are found by the bits of the index, so tiles with equal bits share one: rasters of one tile have no others.
    """
    offsets: dict[int, int] = {}
    with mock.patch.object(overview_decoder, "unpack_correction", lambda bits: Correction(0, 0)):
        for number in range(len(container.index)):
            entry = container.index[number]
            box = container.header.grid.tile(entry.tile_row, entry.tile_col)
            part = box.blocks(8)
            for bits, band in zip(entry.overview, container.header.groups[entry.group].bands):
                small = decoder.read_overview([band], 8, part.row0, part.col0, *part.shape)[0][0]
                pixels = decoder.read([band], box.row0, box.col0, *box.shape)[0][0]
                mean = decoder._overviews.means[band]
                count, total = reduced(np.stack(mean.counted(pixels)), 8)
                made = np.where(count > 0, mean.counted(small)[1] * count, 0.0).sum()
                offset = round(1280 * math.log10(total.sum() / made)) if made > 0 else 0
                offsets[bits] = max(-LARGEST_OFFSET, min(LARGEST_OFFSET, offset))
    return lambda bits: Correction(offsets[bits], 0)


def results(path: Path, quality: int, factors: Sequence[int], ways: Sequence[str]) -> Iterator[tuple[int, str, Result]]:
    """Factor, way and result of every band of a raster that is backscatter."""
    with tempfile.TemporaryDirectory() as folder:
        coded = Path(folder, "coded.sarz")
        sarz.compress(path, coded, quality=quality)
        with open_container(coded) as container:
            metadata = container.header.metadata
            decoder = WindowDecoder(container)
            bands = range(metadata.count)
            values, _ = decoder.read(bands, 0, 0, metadata.height, metadata.width)
            unpack = {"none": lambda bits: Correction(0, 0), "usual": lambda bits: UNKNOWN, "file": unpack_correction}
            if "offset" in ways:
                unpack["offset"] = one_offset(container, decoder, bands)
            for band in bands:
                mean = decoder._overviews.means[band]
                if not mean.backscatter:
                    continue
                sums = np.stack(mean.counted(values[band]))
                for factor in factors:
                    box = overview_box(metadata.height, metadata.width, factor)
                    for way in ways:
                        with mock.patch.object(overview_decoder, "unpack_correction", unpack[way]):
                            small = decoder.read_overview([band], factor, 0, 0, *box.shape)[0][0]
                        yield factor, way, measure(mean, small, sums, factor)


def rasters(arguments: Sequence[Path]) -> list[Path]:
    """The rasters themselves, and all of the folders."""
    return [path for argument in arguments
            for path in (sorted(argument.rglob("*.tif")) if argument.is_dir() else [argument])]


def row(quality: int, factor: int, way: str, found: list[Result]) -> str:
    """A line of the table."""
    blocks = np.abs(np.concatenate([r.blocks_db for r in found]))
    bias = np.array([r.bias_db for r in found])
    shares = " / ".join(f"{100 * (blocks < limit).mean():.0f}" for limit in LIMITS_DB)
    return (f"| {quality} | {factor} | {way} | {bias.mean():+.3f} | {np.abs(bias).max():.3f} "
            f"| {np.mean([r.mean_db for r in found]):+.3f} | {np.mean([r.rmse_db for r in found]):.3f} "
            f"| {max(r.rmse_db for r in found):.2f} | {shares} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--quality", type=int, nargs="+", default=QUALITIES)
    parser.add_argument("--factor", type=int, nargs="+", default=FACTORS)
    parser.add_argument("--way", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--time", action="store_true", help="read whole overviews of .sarz files and tell the seconds")
    args = parser.parse_args()
    if args.time:
        for path in args.inputs:
            for factor in args.factor:
                subprocess.run([sys.executable, "-c", PROGRAM, path, str(factor)], check=True)
        return
    print("| quality | factor | way | bias dB | worst | pixels: mean | RMSE | worst | blocks within 0.05 / 0.1 / 0.2 / 0.5 dB, % |")
    print("|---|---|---|---|---|---|---|---|---|")
    paths = rasters(args.inputs)
    for quality in args.quality:
        found: dict[tuple[int, str], list[Result]] = {}
        for path in paths:
            for factor, way, result in results(path, quality, args.factor, args.way):
                found.setdefault((factor, way), []).append(result)
        for (factor, way), of_way in sorted(found.items(), key=lambda item: (item[0][0], WAYS.index(item[0][1]))):
            print(row(quality, factor, way, of_way), flush=True)


if __name__ == "__main__":
    main()
