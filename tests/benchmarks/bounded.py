"""Sizes of whole .sarz files with a bound in decibels against SZ3, SPERR and LERC with ZSTD at the same bound.

    python tests/benchmarks/bounded.py FOLDER

Ours are all bytes of the file: header, georeferencing, index and class planes too. The others get each band's decibel
image as float32, invalid pixels replaced by the median of the band, and are charged for their streams alone. A peer whose
error is above the bound is asked for less until it is not. Our error is measured on the decoded file, in its own dtype.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from contextual import BOUNDS_DB, PEERS, peer_bounded
from curves import format_table
from peer_codecs import missing_from_imagecodecs
from rasters import Raster, find_rasters, load_raster

import sarz_format as sarz

OURS = "sarz"
CODECS = {"SZ3": "SZ3", "SPERR": "SPERR", "LERC_ZSTD": "LERC"}
"""Names of the peers' codecs in imagecodecs."""


def our_bytes(raster: Raster, bound_db: float, folder: Path) -> int:
    """Bytes of the file; raises AssertionError if a pixel of it is off by more than the bound."""
    path = folder / "x.sarz"
    sarz.compress(raster.path, path, max_error_db=bound_db, scale=raster.scale, overwrite=True)
    with sarz.open(path) as src:
        worst = float(np.abs(raster.errors_db(src.read())).max())
    if worst > bound_db * (1 + 1e-9):
        raise AssertionError(f"{raster.name}: {worst} dB, bound {bound_db}")
    return path.stat().st_size


def measure(raster: Raster, bound_db: float, peers: list[str]) -> dict[str, int]:
    """Bytes by codec."""
    image = raster.db().astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        found = {OURS: our_bytes(raster, bound_db, Path(folder))}
    for name in peers:
        found[name] = sum(peer_bounded(PEERS[name], np.ascontiguousarray(band), bound_db)[0] for band in image)
    return found


def main() -> None:
    """Measure a folder and print a table for each bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of GeoTIFF rasters, searched with its subfolders")
    rasters = [load_raster(path) for path in find_rasters(parser.parse_args().folder)]
    peers = [name for name in PEERS if not missing_from_imagecodecs(CODECS[name])]
    summary = []
    for bound_db in BOUNDS_DB:
        rows, against = [], defaultdict(list)
        for raster in rasters:
            found = measure(raster, bound_db, peers)
            for name in peers:
                against[name].append(found[OURS] / found[name])
            best = min(peers, key=lambda name: found[name])
            against["the best"].append(found[OURS] / found[best])
            rows.append([raster.name, *(f"{8 * nbytes / raster.values.size:.3f}" for nbytes in found.values()), best,
                         f"{100 * against['the best'][-1] - 100:+.1f} %"])
        print(f"\n{bound_db} dB, bits a band pixel\n\n" + format_table(["raster", OURS, *peers, "best", "ours"], rows))
        summary.append([f"{bound_db} dB", *(f"{100 * np.exp(np.mean(np.log(against[name]))) - 100:+.1f} %"
                                           for name in (*peers, "the best"))])
    print("\nours against, geometric mean over rasters\n\n" + format_table(["bound", *peers, "the best"], summary))


if __name__ == "__main__":
    main()
