"""Bits a number and speed of the lossless coder of tiles beside libraries for the same work.

    pip install pcodec zstandard numcodecs
    python tests/benchmarks/lossless_libraries.py FOLDER [FOLDER ...]

Tiles of up to 512 x 512 are made of the rasters of all folders: floats of their decibels and power, integers of their
digital numbers, and a single-look complex image, simulated: circular Gaussian speckle with a band-limited,
Hamming-weighted spectrum (as models/training/data.py has it) on the local mean of the first raster of digital numbers.
Complex numbers are coded as planes of real and of imaginary parts. Speeds are million numbers a second of CPU time of one
thread, from one run. A library that is not installed is left out.
"""

from __future__ import annotations

import argparse
import lzma
import time
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import imagecodecs
import numpy as np
from curves import format_table
from rasters import find_rasters, from_db, load_raster
from scipy.ndimage import uniform_filter

from sarz_format.fallback import DEFLATE, decode_lossless, encode_lossless, encode_with

SIDE, MAX_RASTERS = 512, 12
Coder = Callable[[np.ndarray], bytes]


def shuffled(values: np.ndarray) -> bytes:
    """Bytes of equal significance together."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.itemsize).T.tobytes()


def each_plane(encode: Callable[[np.ndarray], bytes]) -> Coder:
    """A coder of images as one of planes."""
    return lambda values: b"".join(encode(np.ascontiguousarray(plane)) for plane in values)


def coders(dtype: np.dtype) -> Iterator[tuple[str, Coder]]:
    """Name and encoder of all that take a dtype; DEFLATE, method 0, is what version 1 began with."""
    yield "method 0 (DEFLATE)", lambda values: encode_with(DEFLATE, values)
    if find_spec("pcodec"):
        from pcodec import ChunkConfig, standalone

        for level in (8, 12):
            yield f"pcodec {level}", lambda v, level=level: standalone.simple_compress(
                np.ascontiguousarray(v).ravel(), ChunkConfig(compression_level=level))
    if find_spec("zstandard"):
        import zstandard

        for level in (3, 19):
            yield f"zstd {level}, bytes", lambda v, level=level: zstandard.ZstdCompressor(level).compress(shuffled(v))
    if find_spec("numcodecs"):
        from numcodecs import Blosc, blosc

        blosc.use_threads = False
        yield "Blosc zstd, bits", lambda v: Blosc("zstd", 5, Blosc.BITSHUFFLE).encode(np.ascontiguousarray(v))
    yield "xz 6, bytes", lambda v: lzma.compress(shuffled(v), preset=6)
    if dtype.kind != "f":
        return
    yield "TIFF DEFLATE, predictor 3", each_plane(lambda v: zlib.compress(imagecodecs.floatpred_encode(v).tobytes(), 6))
    yield "LERC zstd", each_plane(lambda v: imagecodecs.lerc_encode(v, level=0, compression="zstd"))
    if dtype == np.float32:
        yield "JPEG XL e7", each_plane(lambda v: imagecodecs.jpegxl_encode(v, lossless=True, effort=7))


def slc(intensity: np.ndarray) -> np.ndarray:
    """Planes of real and imaginary parts, float64 ``(2, SIDE, SIDE)``, of speckle on a mean intensity."""
    rng, (by, bx) = np.random.default_rng(0), (0.8, 0.85)
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None]
    weight = (0.54 + 0.46 * np.cos(2 * np.pi * fy / by)) * (0.54 + 0.46 * np.cos(2 * np.pi * fx / bx))
    weight *= (np.abs(fy) < by / 2) & (np.abs(fx) < bx / 2)
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIDE, SIDE)) + 1j * rng.standard_normal((SIDE, SIDE))) * weight)
    field *= np.sqrt(np.resize(intensity, (SIDE, SIDE)) / np.mean(np.abs(field) ** 2))
    return np.stack([field.real, field.imag])


def kinds(folders: list[Path]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Name and tiles of each kind of data."""
    rasters = [load_raster(path) for folder in folders for path in find_rasters(folder)]
    floats = [r for r in rasters if r.values.dtype.kind == "f"]
    db = [r.values[:, :SIDE, :SIDE] for r in floats if r.scale == "db"][:MAX_RASTERS]
    counts = [r.values[:, :SIDE, :SIDE] for r in rasters if r.values.dtype == np.uint16][:4]
    yield "dB, float32", db
    yield "power, float32 (of products)", [r.values[:, :SIDE, :SIDE] for r in floats if r.scale == "intensity"]
    yield "power, float32 (of dB)", [from_db(v.astype(np.float64), "intensity").astype(np.float32) for v in db]
    yield "dB, float32 in float64", [v.astype(np.float64) for v in db[:4]]
    yield "power, float64", [from_db(v.astype(np.float64), "intensity") for v in db[:4]]
    yield "digital numbers, int64", [v.astype(np.int64) for v in counts]
    yield "their squares, uint64", [v.astype(np.uint64) ** 2 for v in counts]
    mean = uniform_filter(counts[0][0].astype(np.float64) ** 2, 9)
    image = slc(np.maximum(mean * 3600 / mean.mean(), 1))
    yield "SLC, complex64", [image.astype(np.float32)]
    yield "SLC, complex128", [image]
    yield "SLC, complex_int16", [np.rint(image).astype(np.int16)]
    yield "SLC, complex64 of int16", [np.rint(image).astype(np.float32)]


def measured(name: str, encode: Coder, tiles: list[np.ndarray]) -> tuple[str, str, str]:
    """A row of the table: name, bits a number, million numbers a second."""
    size = sum(tile.size for tile in tiles)
    encode(tiles[0][:, :8, :8])  # What is compiled or loaded at first.
    start = time.thread_time()
    coded = [encode(tile) for tile in tiles]
    speed = size / (time.thread_time() - start) / 1e6
    return name, f"{8 * sum(map(len, coded)) / size:.2f}", f"{speed:.1f}"


def main() -> None:
    """Print a table a kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    for kind, tiles in kinds(parser.parse_args().folders):
        if not tiles:
            continue
        copies = [encode_lossless(tile) for tile in tiles]
        start = time.thread_time()
        for copy, tile in zip(copies, tiles):
            if decode_lossless(copy, tile.shape, tile.dtype).tobytes() != tile.tobytes():
                raise RuntimeError(f"{kind}: not lossless")
        speed = sum(tile.size for tile in tiles) / (time.thread_time() - start) / 1e6
        methods = ", ".join(map(str, sorted({copy[0] for copy in copies})))
        print(f"\n{kind}: {len(tiles)} rasters; ours by method {methods}, decoding {speed:.1f} Ms/s\n")
        rows = [measured("ours", encode_lossless, tiles),
                *(measured(name, encode, tiles) for name, encode in coders(tiles[0].dtype))]
        print(format_table(("coder", "bits a number", "encoding Ms/s"), rows), flush=True)


if __name__ == "__main__":
    main()
