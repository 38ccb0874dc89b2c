"""Write a large dual-polarisation uint16 scene assembled from crops of real Sentinel-1 amplitude rasters.

    python tests/benchmarks/scene.py OUT.tif [--size WIDTH HEIGHT] [--seed N] [--gcps] [--crops DIR]

Every 512 x 512 block is a randomly placed, flipped and transposed piece of a real crop, so that speckle, texture and
bright targets are real; the seams between blocks are not. The left and right edges carry a slanted band of zeros
(nodata), as a GRD product does. With --gcps the scene carries the ground control points of a real product instead of a
CRS and a transform, as a GRD measurement file does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.windows import Window

DATA_DIR = Path(__file__).resolve().parent.parent / "data"

GCP_FILE = DATA_DIR / "s1_iw_gcps.json"

BLOCK = 512

FULL_SIZE = (25000, 16700)
"""Width and height of an ordinary IW GRD product of 10 m pixels."""

WEDGE_PIXELS, WEDGE_SLOPE = 40, 0.004
"""Columns of nodata on the narrow side of an edge, and how many more come with each row."""


def make_scene(path: Path, width: int, height: int, *, seed: int = 0, gcps: bool = False,
               crops_dir: Path = DATA_DIR) -> None:
    """Write the scene to `path`; the same arguments give the same pixels."""
    crops = load_crops(crops_dir)
    rng = np.random.default_rng(seed)
    with rasterio.open(path, "w", **scene_profile(width, height, gcps)) as dst:
        dst.descriptions = ("VV", "VH")
        for row, strip in scene_strips(crops, rng, width, height):
            dst.write(strip, window=Window(0, row, width, strip.shape[1]))


def load_crops(folder: Path) -> list[np.ndarray]:
    """Crops (2, rows, columns) of at least one block: the two-band uint16 rasters of `folder`.

    Raises FileNotFoundError if there is none.
    """
    crops = []
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as src:
            if src.count == 2 and src.dtypes[0] == "uint16" and min(src.shape) >= BLOCK:
                crops.append(src.read())
    if not crops:
        raise FileNotFoundError(f"{folder}: no two-band uint16 .tif of at least {BLOCK} x {BLOCK} pixels")
    return crops


def scene_profile(width: int, height: int, gcps: bool) -> dict[str, Any]:
    """An uncompressed, tiled GeoTIFF; `gcps` chooses ground control points over CRS and transform."""
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 2, "dtype": "uint16", "nodata": 0,
               "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "band", "BIGTIFF": "IF_SAFER"}
    if not gcps:
        return {**profile, "crs": "EPSG:32633", "transform": Affine(10, 0, 300_000, 0, -10, 5_900_000)}
    product = json.loads(GCP_FILE.read_text(encoding="utf-8"))
    row_scale, col_scale = height / product["height"], width / product["width"]
    points = [GroundControlPoint(row=p["row"] * row_scale, col=p["col"] * col_scale, x=p["x"], y=p["y"], z=p["z"])
              for p in product["points"]]
    return {**profile, "crs": product["crs"], "gcps": points}


def scene_strips(crops: list[np.ndarray], rng: np.random.Generator, width: int,
                 height: int) -> Iterator[tuple[int, np.ndarray]]:
    """``(first row, pixels (2, rows, width))`` from top to bottom, one row of blocks at a time."""
    for row in range(0, height, BLOCK):
        rows = min(BLOCK, height - row)
        blocks = [random_block(crops, rng) for _ in range(-(-width // BLOCK))]
        strip = np.concatenate(blocks, axis=2)[:, :rows, :width]
        strip[:, edge_mask(row, rows, width)] = 0
        yield row, strip


def random_block(crops: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A block (2, 512, 512) out of a random crop, in one of its eight orientations."""
    crop = crops[rng.integers(len(crops))]
    row, col = (int(rng.integers(length - BLOCK + 1)) for length in crop.shape[1:])
    block = crop[:, row : row + BLOCK, col : col + BLOCK]
    flip_rows, flip_cols, transpose = rng.integers(2, size=3)
    block = block[:, ::-1] if flip_rows else block
    block = block[:, :, ::-1] if flip_cols else block
    return block.transpose(0, 2, 1) if transpose else block


def edge_mask(row: int, rows: int, width: int) -> np.ndarray:
    """True (rows, width) where the scene has no data."""
    edge = (WEDGE_PIXELS + WEDGE_SLOPE * np.arange(row, row + rows)).astype(int)[:, None]
    cols = np.arange(width)[None]
    return (cols < edge) | (cols >= width - edge)


def main() -> None:
    """Write one scene."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="GeoTIFF to write")
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), default=FULL_SIZE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gcps", action="store_true", help="ground control points instead of CRS and transform")
    parser.add_argument("--crops", type=Path, default=DATA_DIR, help="folder of two-band uint16 crops")
    args = parser.parse_args()
    make_scene(args.out, *args.size, seed=args.seed, gcps=args.gcps, crops_dir=args.crops)


if __name__ == "__main__":
    main()
