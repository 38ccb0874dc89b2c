"""Rate and error of classical image codecs on SAR rasters, given the decibel image.

    python tests/benchmarks/peers.py FOLDER [--cache FILE]

Each band becomes a uint16 image of 1/500 dB and is coded on its own; the bytes of the bands are added and their errors
pooled. What comes back is rounded to the raster's own dtype first, as for our own files. With --cache, what was
measured is kept in a JSON file and not measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from curves import TARGETS_DB, ImageCurves, Point, format_number, format_table, images_reaching, mean_bpp
from rasters import Raster, find_rasters, load_raster

STEPS_PER_DB = 500


@dataclass(frozen=True, slots=True)
class Peer:
    """A codec of grey uint16 images."""

    name: str
    settings: tuple[float, ...]
    """Quality numbers to measure; together they bracket 0.35 to 1.6 dB on ordinary scenes."""
    encode: Callable[[np.ndarray, float], bytes]
    decode: Callable[[bytes], np.ndarray]


JPEG_2000 = Peer(
    "JPEG 2000",
    tuple(37 + step / 2 for step in range(35)),
    lambda image, psnr_db: imagecodecs.jpeg2k_encode(image, level=psnr_db, codecformat="j2k", reversible=False),
    imagecodecs.jpeg2k_decode,
)

JPEG_XL = Peer(
    "JPEG XL",
    (*(round(0.25 * 1.13**step, 4) for step in range(38)), 25.0),
    lambda image, distance: imagecodecs.jpegxl_encode(image, distance=distance, effort=7),
    imagecodecs.jpegxl_decode,
)

PEERS = (JPEG_2000, JPEG_XL)

PeerCurves = dict[str, list[Point]]


def measure_peer(peer: Peer, raster: Raster) -> list[Point]:
    """One point a setting: bytes of all bands together, errors of all bands pooled."""
    values_db = raster.db()
    # A whole number of decibels, so that the origin costs nothing worth counting.
    lowest_db = np.floor(values_db.min(axis=(1, 2)))
    images = [to_uint16(band, lowest) for band, lowest in zip(values_db, lowest_db, strict=True)]
    return [measure_setting(peer, setting, raster, images, lowest_db) for setting in peer.settings]


def measure_setting(peer: Peer, setting: float, raster: Raster, images: Sequence[np.ndarray],
                    lowest_db: np.ndarray) -> Point:
    """Encode and decode every band at one setting."""
    streams = [peer.encode(image, setting) for image in images]
    decoded_db = np.stack([peer.decode(stream) / STEPS_PER_DB + lowest
                           for stream, lowest in zip(streams, lowest_db, strict=True)])
    nbytes = sum(map(len, streams))
    return Point.from_errors(setting, nbytes, raster.errors_db(raster.restored(decoded_db)))


def to_uint16(band_db: np.ndarray, lowest_db: float) -> np.ndarray:
    """Decibels above `lowest_db` in steps of 1/500 dB."""
    return np.clip(np.round((band_db - lowest_db) * STEPS_PER_DB), 0, 65535).astype(np.uint16)


def measure_peers(paths: Sequence[Path], cache: Path | None = None) -> list[ImageCurves]:
    """Curves of every peer on every raster, from `cache` where it has them; new ones are added to it."""
    known = read_cache(cache)
    images = []
    for path in paths:
        raster, digest = load_raster(path), hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in known:
            known[digest] = {peer.name: measure_peer(peer, raster) for peer in PEERS}
            write_cache(cache, known)
        images.append(ImageCurves(raster.name, raster.samples, dict(known[digest])))
    return images


def settings_in_use() -> dict[str, object]:
    """What a cache must have been measured with."""
    return {"imagecodecs": imagecodecs.__version__, **{peer.name: list(peer.settings) for peer in PEERS}}


def read_cache(cache: Path | None) -> dict[str, PeerCurves]:
    """Curves by the SHA-256 of the raster's file; empty if measured with other settings."""
    if cache is None or not cache.exists():
        return {}
    stored = json.loads(cache.read_text(encoding="utf-8"))
    if stored["settings"] != settings_in_use():
        return {}
    return {digest: {name: [Point(*values) for values in points] for name, points in curves.items()}
            for digest, curves in stored["images"].items()}


def write_cache(cache: Path | None, known: dict[str, PeerCurves]) -> None:
    """Write all curves; does nothing without a cache."""
    if cache is None:
        return
    images = {digest: {name: [astuple(point) for point in points] for name, points in curves.items()}
              for digest, curves in known.items()}
    cache.write_text(json.dumps({"settings": settings_in_use(), "images": images}), encoding="utf-8")


def peers_table(images: Sequence[ImageCurves]) -> str:
    """Mean bits a band pixel of the peers at the compared errors."""
    names = [peer.name for peer in PEERS]
    rows = []
    for rmse_db in TARGETS_DB:
        reaching = images_reaching(images, names, rmse_db)
        rates = [format_number(mean_bpp(reaching, name, rmse_db)) for name in names]
        rows.append([f"{rmse_db:.1f}", *rates, f"{len(reaching)} of {len(images)}"])
    return format_table(["RMSE dB", *(f"{name} bpp" for name in names), "images"], rows)


def main() -> None:
    """Measure a folder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of GeoTIFF rasters, searched with its subfolders")
    parser.add_argument("--cache", type=Path, help="JSON file of what was measured before")
    args = parser.parse_args()
    print(peers_table(measure_peers(find_rasters(args.folder), args.cache)))


if __name__ == "__main__":
    main()
