"""Make the test rasters of this folder from their sources; how each was made is written here and nowhere else.

    python tests/data/make.py SOURCES [--gcps FILE]

SOURCES is a folder with the four source rasters named in README.md, decibels in float32. The results are committed, so
this script is only needed to check or to change them.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.windows import Window

HERE = Path(__file__).resolve().parent

GCP_FILE = "s1_iw_gcps.json"

HARVEY = "harvey_crop.tif"

CROPS = {
    "harvey_vv_vh_db.tif": (HARVEY, Window(128, 160, 328, 248)),
    "spatialist_vv_db.tif": ("spatialist_D_20171210T054359.tif", Window(0, 0, 200, 136)),
    "ssl4eo_vv_vh_db.tif": ("ssl4eo_20200903T131212.tif", Window(0, 0, 160, 128)),
    "terramind_vv_vh_db.tif": ("terramind_38D_378R_2_3.tif", Window(0, 0, 224, 224)),
}
"""Crops in decibels, values untouched: name -> (source, window of it)."""

SIGMA0_WINDOW = Window(200, 40, 192, 160)

AMPLITUDE_OF_0_DB = 450
"""Digital number that stands for 0 dB in `harvey_grd.tif`: DN = round(450 * 10^(dB / 20))."""


def main() -> None:
    """Write every raster of the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder of the source rasters")
    parser.add_argument("--gcps", type=Path, default=HERE / GCP_FILE, help="ground control points (JSON)")
    args = parser.parse_args()
    if args.gcps.resolve() != HERE / GCP_FILE:
        shutil.copyfile(args.gcps, HERE / GCP_FILE)
    for name, (source, window) in CROPS.items():
        write_crop(args.sources / source, window, HERE / name)
    write_sigma0(args.sources / HARVEY, HERE / "harvey_sigma0.tif")
    write_grd(args.sources / HARVEY, HERE / "harvey_grd.tif")


def write_crop(src_path: Path, window: Window, dst_path: Path) -> None:
    """Write `window` of a decibel raster, values as they are."""
    values, profile, descriptions = read_window(src_path, window)
    write(dst_path, values, profile, descriptions, predictor=3)


def write_sigma0(src_path: Path, dst_path: Path) -> None:
    """Write a crop as sigma nought in linear power, float32: power = 10^(dB / 10)."""
    values_db, profile, descriptions = read_window(src_path, SIGMA0_WINDOW)
    power = (10 ** (values_db.astype("float64") / 10)).astype("float32")
    write(dst_path, power, profile, descriptions, predictor=3)


def write_grd(src_path: Path, dst_path: Path) -> None:
    """Write the whole source as uint16 digital numbers with ground control points only, as in a GRD product."""
    values_db, _, descriptions = read_window(src_path, None)
    numbers = np.round(AMPLITUDE_OF_0_DB * 10 ** (values_db.astype("float64") / 20)).astype("uint16")
    height, width = numbers.shape[1:]
    points, crs = scaled_gcps(height, width)
    profile = {"dtype": "uint16", "nodata": 0, "gcps": points, "crs": crs}
    write(dst_path, numbers, profile, descriptions, predictor=2)


def read_window(path: Path, window: Window | None) -> tuple[np.ndarray, dict[str, Any], tuple[str | None, ...]]:
    """Values (bands, rows, columns), the profile they need on their own, and band descriptions."""
    with rasterio.open(path) as src:
        window = window or Window(0, 0, src.width, src.height)
        profile = {"dtype": src.dtypes[0], "nodata": src.nodata, "crs": src.crs,
                   "transform": src.window_transform(window)}
        return src.read(window=window), profile, src.descriptions


def scaled_gcps(height: int, width: int) -> tuple[list[GroundControlPoint], CRS]:
    """The control points of the real product, their rows and columns scaled to a raster of the given size."""
    product = json.loads((HERE / GCP_FILE).read_text(encoding="utf-8"))
    row_scale, col_scale = height / product["height"], width / product["width"]
    points = [GroundControlPoint(row=p["row"] * row_scale, col=p["col"] * col_scale, x=p["x"], y=p["y"], z=p["z"])
              for p in product["points"]]
    return points, CRS.from_string(product["crs"])


def write(path: Path, values: np.ndarray, profile: dict[str, Any], descriptions: tuple[str | None, ...], *,
          predictor: int) -> None:
    """Write `values` (bands, rows, columns) as a small DEFLATE GeoTIFF."""
    count, height, width = values.shape
    with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, compress="DEFLATE",
                       zlevel=9, predictor=predictor, interleave="band", blockysize=height, **profile) as dst:
        dst.write(values)
        dst.descriptions = descriptions


if __name__ == "__main__":
    main()
