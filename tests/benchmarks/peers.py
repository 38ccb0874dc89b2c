"""Rate and error of classical image codecs on SAR rasters, given the decibel image.

    python tests/benchmarks/peers.py FOLDER [--cache FILE]

Each band becomes an image of integers and is coded on its own; the bytes of the bands are added and their errors
pooled. What comes back is rounded to the raster's own dtype first, as for our own files. With --cache, what was
measured is kept in a JSON file and not measured again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from curves import TARGETS_DB, ImageCurves, Point, format_number, format_table, images_reaching, mean_bpp
from peer_cache import PeerCache, digest_of
from peer_codecs import INFORMATIVE, RIVALS, Peer, available, left_out_notes
from rasters import Raster, find_rasters, load_raster

PEERS = RIVALS + INFORMATIVE


def coded(peer: Peer, setting: float, raster: Raster) -> tuple[int, np.ndarray]:
    """``(bytes of all bands, what comes back)``, in the raster's own scale and dtype."""
    nbytes, decoded_db = 0, []
    for band_db in raster.db():
        levels = peer.levels(band_db)
        stream = peer.encode(levels.integers(band_db), setting)
        nbytes += peer.nbytes(stream)
        decoded_db.append(levels.db(peer.decode(stream)))
    return nbytes, raster.restored(np.stack(decoded_db))


def measure_peer(peer: Peer, raster: Raster) -> list[Point]:
    """One point a setting: bytes of all bands together, errors of all bands pooled."""
    points = []
    for setting in peer.settings:
        nbytes, decoded = coded(peer, setting, raster)
        points.append(Point.from_errors(setting, nbytes, raster.errors_db(decoded)))
    return points


def measure_peers(paths: Sequence[Path], cache_path: Path | None = None) -> list[ImageCurves]:
    """Curves of every peer there is on every raster, from the cache where it has them; new ones are added to it."""
    cache = PeerCache.read(cache_path)
    images = []
    for path in paths:
        raster, digest = load_raster(path), digest_of(path)
        image = ImageCurves(raster.name, raster.samples, {})
        for peer in available(PEERS):
            points = cache.get(digest, peer)
            if points is None:
                points = measure_peer(peer, raster)
                cache.put(digest, peer, points)
            image.curves[peer.name] = points
        images.append(image)
    return images


def peers_table(images: Sequence[ImageCurves]) -> str:
    """Mean bits a band pixel of the peers at the compared errors."""
    names = [peer.name for peer in available(PEERS)]
    rows = []
    for rmse_db in TARGETS_DB:
        reaching = images_reaching(images, names, rmse_db)
        rates = [format_number(mean_bpp(reaching, name, rmse_db)) for name in names]
        rows.append([f"{rmse_db:g}", *rates, f"{len(reaching)} of {len(images)}"])
    return format_table(["RMSE dB", *(f"{name} bpp" for name in names), "images"], rows)


def main() -> None:
    """Measure a folder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of GeoTIFF rasters, searched with its subfolders")
    parser.add_argument("--cache", type=Path, help="JSON file of what was measured before")
    args = parser.parse_args()
    print(peers_table(measure_peers(find_rasters(args.folder), args.cache)), *left_out_notes(PEERS), sep="\n")


if __name__ == "__main__":
    main()
