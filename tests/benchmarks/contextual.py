"""Bits and speed of the contextual coder against SZ3, SPERR and LERC (bounds in decibels) and JPEG XL (lossless
integers).

    python tests/benchmarks/contextual.py FOLDER [--tile SIZE]

Every codec gets whole bands (or tiles of SIZE), the bounded ones the decibel image as float32; real bytes of both.
Where a raster has invalid pixels, the others get their band's median there, and our bytes include a deflated mask. A
peer whose error is above the bound is asked for less until it is not. Speeds are million samples a second of CPU
time of one thread.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
from curves import format_table
from rasters import Raster, find_rasters, load_raster

from sarz_format.contextual import (
    decode_fixed_point,
    decode_integers,
    encode_amplitudes,
    encode_fixed_point,
    encode_lossless,
    step_of_decibels,
)

BOUNDS_DB = (0.25, 0.5, 1.0)
OURS = "contextual"

FloatPeer = tuple[Callable[[np.ndarray, float], bytes], Callable[[bytes, tuple[int, int]], np.ndarray]]

PEERS: dict[str, FloatPeer] = {
    "SZ3": (lambda image, bound: imagecodecs.sz3_encode(image, mode="abs", abs=bound),
            lambda data, shape: imagecodecs.sz3_decode(data, shape=shape, dtype=np.float32)),
    "SPERR": (lambda image, bound: imagecodecs.sperr_encode(image, level=bound, mode="pwe"),
              lambda data, shape: imagecodecs.sperr_decode(data)),
    "LERC_ZSTD": (lambda image, bound: imagecodecs.lerc_encode(image, level=bound, compression="zstd",
                                                               compressionargs={"level": 19}),
                  lambda data, shape: imagecodecs.lerc_decode(data)),
}

Row = tuple[int, float, float]
"""Bytes, and seconds of CPU time to encode and to decode."""


def timed(call: Callable, *args, repeats: int = 2):
    """``(result, seconds)`` of a call, the fastest of `repeats`."""
    seconds = []
    for _ in range(repeats):
        start = time.thread_time()
        result = call(*args)
        seconds.append(time.thread_time() - start)
    return result, min(seconds)


def mask_bytes(valid: np.ndarray) -> int:
    """Bytes of a deflated mask; none if every pixel is valid."""
    return 0 if valid.all() else len(zlib.compress(np.packbits(valid).tobytes(), 9))


def ours_bounded(raster: Raster, window: tuple, bound_db: float) -> Row:
    """Code within a bound; digital numbers by cells, anything else as fixed-point decibels."""
    values, valid = raster.values[window], raster.valid[window]
    mask = None if valid.all() else valid
    if raster.scale == "amplitude" and values.dtype.kind == "u":
        (data, _), encoding = timed(encode_amplitudes, values, bound_db, mask)
        decoded, decoding = timed(decode_integers, data, values.shape, values.dtype, mask)
        error = 20 * np.abs(np.log10(decoded[valid] / values[valid]))
    else:
        targets = raster.db()[window].astype(np.float32).astype(np.float64)
        (data, _), encoding = timed(encode_fixed_point, targets * 1024, step_of_decibels(bound_db), mask)
        decoded, decoding = timed(decode_fixed_point, data, values.shape, mask)
        error = np.abs((decoded / 1024).astype(np.float32).astype(np.float64) - targets)[valid]
    if error.size and error.max() > bound_db * (1 + 1e-9):
        raise AssertionError(f"{raster.name}: {error.max()} dB, bound {bound_db}")
    return len(data) + mask_bytes(valid), encoding, decoding


def ours_lossless(raster: Raster, window: tuple) -> Row:
    """Code exactly."""
    values = raster.values[window]
    data, encoding = timed(encode_lossless, values)
    decoded, decoding = timed(decode_integers, data, values.shape, values.dtype)
    if not np.array_equal(decoded, values):
        raise AssertionError(f"{raster.name}: not lossless")
    return len(data), encoding, decoding


def peer_bounded(peer: FloatPeer, image: np.ndarray, bound_db: float) -> Row:
    """Code a band of decibels; the bound that is asked for falls until the error is within `bound_db`."""
    encode, decode = peer
    asked = bound_db
    for _ in range(8):
        data, encoding = timed(encode, image, asked, repeats=1)
        decoded, decoding = timed(decode, data, image.shape, repeats=1)
        error = float(np.abs(decoded.reshape(image.shape).astype(np.float64) - image).max())
        if error <= bound_db * (1 + 1e-6):
            break
        asked *= bound_db / error * 0.9999
    return len(data), encoding, decoding


def jpeg_xl(image: np.ndarray) -> Row:
    """Code a band of unsigned integers exactly."""
    data, encoding = timed(lambda: imagecodecs.jpegxl_encode(image, lossless=True, effort=7, numthreads=1), repeats=1)
    return len(data), encoding, timed(imagecodecs.jpegxl_decode, data, repeats=1)[1]


def windows(raster: Raster, tile: int | None) -> Iterator[tuple]:
    """Slices of the raster's tiles."""
    height, width = raster.values.shape[1:]
    size = tile or max(height, width)
    for top in range(0, height, size):
        for left in range(0, width, size):
            yield np.s_[:, top : top + size, left : left + size]


def measure(raster: Raster, tile: int | None) -> dict[str, dict[str, Row]]:
    """Rows by task and codec."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    image = raster.db().astype(np.float32)
    for window in windows(raster, tile):
        for bound_db in BOUNDS_DB:
            task = found[f"{bound_db} dB"]
            task[OURS].append(ours_bounded(raster, window, bound_db))
            for name, peer in PEERS.items():
                task[name] += [peer_bounded(peer, np.ascontiguousarray(band), bound_db) for band in image[window]]
        if raster.values.dtype.name in ("uint8", "uint16"):
            task = found["lossless"]
            task[OURS].append(ours_lossless(raster, window))
            task["JPEG XL e7"] += [jpeg_xl(np.ascontiguousarray(band)) for band in raster.values[window]]
    return {task: {name: tuple(map(sum, zip(*rows))) for name, rows in codecs.items()}
            for task, codecs in found.items()}


def main() -> None:
    """Measure a folder and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of GeoTIFF rasters, searched with its subfolders")
    parser.add_argument("--tile", type=int, help="code tiles of so many pixels a side, each on its own")
    args = parser.parse_args()
    rasters = [load_raster(path) for path in find_rasters(args.folder)]
    results = [measure(raster, args.tile) for raster in rasters]
    for task in ("lossless", *(f"{bound_db} dB" for bound_db in BOUNDS_DB)):
        rows, ratios = [], defaultdict(list)
        for raster, result in zip(rasters, results):
            for name, (nbytes, encoding, decoding) in result.get(task, {}).items():
                size, against = raster.values.size, nbytes / result[task][OURS][0]
                ratios[name].append(1 / against)
                rows.append([raster.name, name, f"{8 * nbytes / size:.3f}", f"{100 / against - 100:+.1f} %",
                             f"{size / encoding / 1e6:.1f}", f"{size / decoding / 1e6:.1f}"])
        if rows:
            print(f"\n{task}\n\n" + format_table(["raster", "codec", "bits", "ours", "encode", "decode"], rows))
            print("\nours, geometric mean:", ", ".join(f"{100 * np.exp(np.mean(np.log(ratio))) - 100:+.2f} % of {name}"
                                                    for name, ratio in ratios.items() if name != OURS))


if __name__ == "__main__":
    main()
