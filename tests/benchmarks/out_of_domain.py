"""Rate and error of .sarz files on rasters unlike those that the models were trained on, beside JPEG 2000.

    python tests/benchmarks/out_of_domain.py [RASTER ...] [--quality 55]

unusual_rasters.py makes the rasters from tests/data; RASTER names others, of which the middle is taken. Each is compressed
by the model of pairs and, its first band alone, by the model of single bands. JPEG 2000 is interpolated at the same error
(see peers.py); n/a where no setting reaches it. It is told nothing about invalid pixels, whose mask is in our coarse part.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sarz
from curves import ImageCurves, Point, format_number, format_table
from peer_codecs import JPEG_2000
from peers import measure_peer
from rasterio.errors import NotGeoreferencedWarning
from rasters import Raster, load_raster
from unusual_rasters import write_crop, write_unusual

CROP = 512
"""Pixels a side of the middle of a named raster."""

PEER = replace(JPEG_2000, settings=tuple(range(30, 73)))
"""With settings for errors far from those of ordinary scenes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One raster, coded as pairs of bands or as a single band; rates in bits a band pixel."""

    name: str
    bands: int
    bpp: float
    rmse_db: float
    bias_db: float
    peer_bpp: float
    """JPEG 2000's at the same RMSE; NaN where it does not reach it."""
    coarse_share: float
    """Of our bytes: coarse latents, hyperlatents and masks."""
    fallback_tiles: int
    tiles: int

    def cells(self) -> list[str]:
        """One row of the table."""
        return [self.name, str(self.bands), f"{self.bpp:.3f}", f"{self.rmse_db:.3f}", f"{self.bias_db:+.3f}",
                format_number(self.peer_bpp), format_number(self.bpp / self.peer_bpp - 1, "+.1%"),
                f"{self.coarse_share:.0%}", f"{self.fallback_tiles} of {self.tiles}"]


def measure_case(name: str, raster: Raster, quality: int) -> Row:
    """Compress a raster, read it back, and find JPEG 2000's rate at that error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.sarz"
        report = sarz.compress(raster.path, path, quality=quality, scale=raster.scale,
                               indexes=list(range(1, len(raster.values) + 1)))
        with sarz.open_container(path) as container:
            coarse_bytes = sarz.describe(container)["section_bytes"]["coarse"]
        with sarz.open(path) as src:
            point = Point.from_errors(quality, path.stat().st_size, raster.errors_db(src.read()))
    peer = ImageCurves(name, raster.samples, {PEER.name: measure_peer(PEER, raster)})
    # Nothing is interpolated where every tile is lossless.
    peer_bpp = math.exp(peer.log_bpp(PEER.name, point.rmse_db)) if point.rmse_db else math.nan
    return Row(name, len(raster.values), 8 * point.nbytes / raster.samples, point.rmse_db, point.bias_db, peer_bpp,
               coarse_bytes / point.nbytes, report.fallback_tiles, report.tiles)


def measure_cases(paths: Mapping[str, Path], quality: int) -> Iterator[Row]:
    """Each raster with all of its bands, then with its first alone."""
    for name, path in paths.items():
        raster = load_raster(path)
        yield measure_case(name, raster, quality)
        if len(raster.values) > 1:
            yield measure_case(name, replace(raster, values=raster.values[:1], valid=raster.valid[:1]), quality)


def out_of_domain_table(rows: Sequence[Row]) -> str:
    """The table of the models' cards."""
    head = ["raster", "bands", "bpp", "RMSE dB", "bias dB", f"{PEER.name} bpp", "against it", "coarse part",
            "fallback tiles"]
    return format_table(head, [row.cells() for row in rows])


def main() -> None:
    """Make the rasters, measure them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rasters", type=Path, nargs="*", metavar="RASTER", help="other rasters, of any sensor")
    parser.add_argument("--quality", type=int, default=sarz.DEFAULT_QUALITY, help="0 to 100 (default: %(default)s)")
    args = parser.parse_args()
    # The made rasters are nowhere on Earth.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        named = {path.name: write_crop(path, CROP, folder) for path in args.rasters}
        print(out_of_domain_table(list(measure_cases(write_unusual(folder) | named, args.quality))))


if __name__ == "__main__":
    main()
