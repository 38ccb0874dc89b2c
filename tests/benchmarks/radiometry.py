"""What codecs do to mean levels and to speckle at each rate, by the measures of `rio sarcodec compare`.

Biases are decoded minus original: of the mean of decibels, and of mean linear power in blocks of 64 x 64 pixels,
averaged over the blocks. The third measure is the equivalent number of looks (ENL) of homogeneous blocks, decoded over
original. docs/comparison.md defines all three. Figures of an image are means over its bands.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import sarz
from curves import format_table
from peer_codecs import JPEG_2000, JPEG_XL, Peer
from peers import coded
from rasters import Raster, load_raster

OURS = "sarz"

SETTINGS = {JPEG_XL: JPEG_XL.settings[::3], JPEG_2000: tuple(range(31, 62, 2))}
"""Of the peers: fewer than for rates at equal error, of a wider range."""

CODECS = (OURS, *(peer.name for peer in SETTINGS))

QUALITIES = tuple(range(0, 101, 10))

SHOWN_BPP = (0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Radiometry:
    """One encoding of one image."""

    bpp: float
    """Bits a valid band pixel."""
    bias_db: float
    power_bias_db: float
    looks_ratio: float
    """NaN where no block is homogeneous."""


MEASURES = ("bias_db", "power_bias_db", "looks_ratio")

Curves = dict[str, list[Radiometry]]
"""Codec name to one image's points."""


def measure_image(path: Path) -> Curves:
    """Every codec at every quality on one raster."""
    raster = load_raster(path)
    with tempfile.TemporaryDirectory() as folder:
        curves = {OURS: list(measure_ours(raster, Path(folder, "ours.sarz")))}
        for peer in SETTINGS:
            curves[peer.name] = list(measure_peer(peer, raster, Path(folder, "peer.tif")))
    return curves


def measure_ours(raster: Raster, path: Path) -> Iterator[Radiometry]:
    """Through a real file at `path`."""
    for quality in QUALITIES:
        sarz.compress(raster.path, path, quality=quality, scale=raster.scale, overwrite=True)
        yield compared(raster, path, path.stat().st_size)


def measure_peer(peer: Peer, raster: Raster, path: Path) -> Iterator[Radiometry]:
    """What comes back is written to a GeoTIFF at `path`, with the raster's own nodata value."""
    with rasterio.open(raster.path) as src:
        profile = {"driver": "GTiff", "width": src.width, "height": src.height, "count": src.count,
                   "dtype": src.dtypes[0], "nodata": src.nodata, "crs": src.crs, "transform": src.transform}
    for setting in SETTINGS[peer]:
        nbytes, decoded = coded(peer, setting, raster)
        with rasterio.open(path, "w", **profile) as dst:
            dst.write(decoded)
        yield compared(raster, path, nbytes)


def compared(raster: Raster, path: Path, nbytes: int) -> Radiometry:
    """The figures of one file against the raster."""
    bands = sarz.compare(raster.path, path, scale=raster.scale).bands
    looks = [np.nan if band["looks"]["ratio"] is None else band["looks"]["ratio"] for band in bands]
    return Radiometry(
        8 * nbytes / raster.samples,
        float(np.mean([band["difference"]["bias_db"] for band in bands])),
        float(np.mean([band["power"]["blocks"]["mean_db"] for band in bands])),
        float(np.mean(looks)),
    )


def at_rates(points: Sequence[Radiometry], measure: str, bpp: np.ndarray) -> np.ndarray:
    """A measure at some rates, linear in the logarithm of the rate between measured points, NaN beyond them."""
    ordered = sorted(points, key=lambda point: point.bpp)
    logs = np.log([point.bpp for point in ordered])
    values = [getattr(point, measure) for point in ordered]
    return np.interp(np.log(bpp), logs, values, left=np.nan, right=np.nan)


def radiometry_table(images: Sequence[Curves]) -> str:
    """Means over images, and the lowest and the highest image, at a few rates."""
    rows = []
    for bpp in SHOWN_BPP:
        for codec in CODECS:
            cells = []
            for measure in MEASURES:
                values = [float(at_rates(image[codec], measure, np.array([bpp]))[0]) for image in images]
                cells.append(spread(values, ".3f" if measure == "looks_ratio" else "+.3f"))
            rows.append([f"{bpp:g}", codec, *cells])
    return format_table(["bpp", "codec", "bias of the dB mean, dB", "bias of blocks' mean power, dB",
                         "ENL, decoded over original"], rows)


def spread(values: Sequence[float], form: str) -> str:
    """Mean, and lowest to highest; n/a where an image does not reach the rate."""
    if not np.isfinite(values).all():
        return "n/a"
    return f"{np.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"
