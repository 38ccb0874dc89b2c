"""Rate and error of .sarz files beside JPEG 2000, JPEG XL, AVIF and HTJ2K, on the same rasters.

    python tests/benchmarks/rate_distortion.py FOLDER [--qualities 0 10 ...] [--json OUT] [--plot OUT.png]
                                               [--peer-cache FILE]

Ours are the bytes of whole .sarz files (header, index, masks, everything) and the error of what `sarz.open(...).read()`
gives back; the peers' are the bytes of their codestreams (see peer_codecs.py). Errors are in decibels, over valid
pixels. Rates at equal error are interpolated an image at a time, and their logarithms averaged over images.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import sarz
from curves import TARGETS_DB, ImageCurves, Point, format_number, format_table, images_reaching, mean_bpp
from peer_codecs import RIVALS, available, left_out_notes
from peers import PEERS, measure_peers
from rasters import Raster, find_rasters, load_raster

OURS = "sarz"

RIVAL_NAMES = tuple(peer.name for peer in available(RIVALS))
"""The better of these is what we are judged by."""

CODECS = (OURS, *(peer.name for peer in available(PEERS)))

DEFAULT_QUALITIES = tuple(range(0, 101, 5))


@dataclass(frozen=True, slots=True)
class Row:
    """The comparison at one error; rates in bits a band pixel, NaN where nothing could be compared."""

    rmse_db: float
    bpp: dict[str, float]
    """Codec name to its mean rate."""
    images: int
    """Images on which we and all rivals reach the error."""
    worst_image: str
    worst_excess: float
    """Our rate over the best rival's on that image, minus 1."""

    def excess(self, *names: str) -> float:
        """Our mean rate over the lowest mean rate among `names`, minus 1."""
        return self.bpp[OURS] / min(self.bpp[name] for name in names) - 1


def measure_ours(raster: Raster, qualities: Sequence[int], folder: Path) -> list[Point]:
    """One point a quality, through real files in `folder`."""
    path = folder / f"{raster.name}.sarz"
    return [measure_quality(raster, quality, path) for quality in qualities]


def measure_quality(raster: Raster, quality: int, path: Path) -> Point:
    """Compress to `path`, read it back, compare."""
    sarz.compress(raster.path, path, quality=quality, scale=raster.scale, overwrite=True)
    with sarz.open(path) as src:
        decoded = src.read()
    return Point.from_errors(quality, path.stat().st_size, raster.errors_db(decoded))


def measure_all(paths: Sequence[Path], qualities: Sequence[int], peer_cache: Path | None) -> list[ImageCurves]:
    """Curves of all codecs on all rasters."""
    images = measure_peers(paths, peer_cache)
    with tempfile.TemporaryDirectory() as folder:
        for path, image in zip(paths, images, strict=True):
            image.curves[OURS] = measure_ours(load_raster(path), qualities, Path(folder))
    return images


def compare(images: Sequence[ImageCurves], rmse_db: float) -> Row:
    """All codecs at one error, over the images on which we and all rivals reach it."""
    reaching = images_reaching(images, (OURS, *RIVAL_NAMES), rmse_db)
    excesses = {image.name: image_excess(image, rmse_db) for image in reaching}
    worst = max(excesses, key=excesses.__getitem__, default="n/a")
    bpp = {codec: mean_bpp(reaching, codec, rmse_db) for codec in CODECS}
    return Row(rmse_db, bpp, len(reaching), worst, excesses.get(worst, math.nan))


def image_excess(image: ImageCurves, rmse_db: float) -> float:
    """Our rate over the best rival's on one image, minus 1."""
    best_rival = min(image.log_bpp(name, rmse_db) for name in RIVAL_NAMES)
    return math.exp(image.log_bpp(OURS, rmse_db) - best_rival) - 1


def rate_table(rows: Sequence[Row], image_count: int) -> str:
    """The table of the README: rates, and ours against the best rival's."""
    head = ["RMSE dB", *(f"{codec} bpp" for codec in CODECS), "against the better", "worst image", "images"]
    return format_table(head, [
        [f"{row.rmse_db:.2f}", *(format_number(row.bpp[codec]) for codec in CODECS),
         format_number(row.excess(*RIVAL_NAMES), "+.1%"),
         f"{format_number(row.worst_excess, '+.1%')} ({row.worst_image})", f"{row.images} of {image_count}"]
        for row in rows
    ])  # fmt: skip


def excess_table(rows: Sequence[Row]) -> str:
    """Our rate against each peer's."""
    names = CODECS[1:]
    return format_table(["RMSE dB", *(f"against {name}" for name in names)], [
        [f"{row.rmse_db:.2f}", *(format_number(row.excess(name), "+.1%") for name in names)] for row in rows
    ])  # fmt: skip


def quality_table(images: Sequence[ImageCurves]) -> str:
    """What every tenth quality and the default one mean: error and rate of our files, averaged over images."""
    rows = []
    for at_quality in zip(*(image.curves[OURS] for image in images), strict=True):
        quality = int(at_quality[0].setting)
        if quality % 10 and quality != sarz.DEFAULT_QUALITY:
            continue
        rates = [8 * point.nbytes / image.samples for point, image in zip(at_quality, images, strict=True)]
        errors_db = [point.rmse_db for point in at_quality]
        rows.append([str(quality), f"{sum(errors_db) / len(images):.3f}",
                     f"{min(errors_db):.3f} to {max(errors_db):.3f}", f"{sum(rates) / len(images):.3f}"])
    return format_table(["quality", "RMSE dB, mean", "over images", "bpp, mean"], rows)


def report(images: Sequence[ImageCurves]) -> str:
    """All tables, and which peers are not in them."""
    rows = [compare(images, rmse_db) for rmse_db in TARGETS_DB]
    tables = rate_table(rows, len(images)), excess_table(rows), quality_table(images)
    return "\n\n".join([*tables, *left_out_notes(PEERS)])


def write_json(path: Path, images: Sequence[ImageCurves]) -> None:
    """Every measured point and the figures of the tables."""
    rows = [compare(images, rmse_db) for rmse_db in TARGETS_DB]
    result = {"table": [asdict(row) for row in rows], "images": [asdict(image) for image in images]}
    path.write_text(json.dumps(result, indent=1), encoding="utf-8")


def main() -> None:
    """Measure, print the tables, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of GeoTIFF rasters, searched with its subfolders")
    parser.add_argument("--qualities", type=int, nargs="+", default=DEFAULT_QUALITIES, help="qualities to measure")
    parser.add_argument("--json", type=Path, help="write every measured point here")
    parser.add_argument("--plot", type=Path, help="draw the averaged curves here (PNG)")
    parser.add_argument("--peer-cache", type=Path, help="JSON file of what was measured of the peers before")
    args = parser.parse_args()
    images = measure_all(find_rasters(args.folder), args.qualities, args.peer_cache)
    print(report(images))
    if args.json:
        write_json(args.json, images)
    if args.plot:
        # matplotlib is needed for the plot alone.
        from rate_plot import draw_plot

        draw_plot(args.plot, images, CODECS)


if __name__ == "__main__":
    main()
