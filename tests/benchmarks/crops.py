"""Crops side by side at equal bytes: the original, ours, JPEG XL and JPEG 2000, of one band that no model has seen.

The whole VV band of a raster is coded alone; ours are the bytes of the whole file, without the control points, which
the peers' bare codestreams do not hold either. The peers' qualities are searched for the same bytes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import sarz
from curves import format_table
from equal_bytes import setting_for_bytes
from peer_codecs import JPEG_2000, JPEG_XL, Peer
from peers import coded
from rasters import Raster, load_raster, to_db

RASTER = Path(__file__).resolve().parent.parent / "data" / "harvey_grd.tif"

QUALITIES = (sarz.DEFAULT_QUALITY, 30)
"""The default, and one at which differences can be seen."""

TOLERANCE = 0.02
"""The peers' bytes may differ from ours by so much."""

NEIGHBOURS = (0, -1, 1, -2, 2, -3, 3)
"""JPEG 2000 cannot have every size: where it misses ours, the next qualities of ours are tried, in this order."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One decoded band."""

    name: str
    values_db: np.ndarray
    """(rows, columns)"""
    nbytes: int
    rmse_db: float

    def caption(self) -> str:
        """What stands over the picture."""
        return f"{self.name}: {self.nbytes} bytes, RMSE {self.rmse_db:.2f} dB"


def vv_panels(path: Path = RASTER) -> tuple[Raster, list[list[Panel]]]:
    """The VV band (the first) as a raster, and for each of our qualities what each codec makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        raster = load_raster(write_vv(path, Path(folder, "vv.tif")))
        return raster, [panels(raster, quality, Path(folder, "vv.sarz")) for quality in QUALITIES]


def panels(raster: Raster, quality: int, path: Path) -> list[Panel]:
    """All codecs at the bytes of our quality, or of the next one at which all agree; ValueError if there is none."""
    for step in NEIGHBOURS:
        ours = our_panel(raster, quality + step, path)
        peers = [peer_panel(peer, raster, ours.nbytes) for peer in (JPEG_XL, JPEG_2000)]
        if all(abs(peer.nbytes / ours.nbytes - 1) <= TOLERANCE for peer in peers):
            return [ours, *peers]
    raise ValueError(f"no quality near {quality} at whose bytes all codecs agree within {TOLERANCE:.0%}")


def write_vv(path: Path, target: Path) -> Path:
    """The first band alone, without control points."""
    with rasterio.open(path) as src:
        profile = {"driver": "GTiff", "width": src.width, "height": src.height, "count": 1, "dtype": src.dtypes[0],
                   "nodata": src.nodata}
        with rasterio.open(target, "w", **profile) as dst:
            dst.write(src.read(1), 1)
            dst.set_band_description(1, "VV")
    return target


def our_panel(raster: Raster, quality: int, path: Path) -> Panel:
    """Through a real file at `path`."""
    sarz.compress(raster.path, path, quality=quality, scale=raster.scale, overwrite=True)
    with sarz.open(path) as src:
        return panel(f"sarz q{quality}", raster, path.stat().st_size, src.read())


def peer_panel(peer: Peer, raster: Raster, target: int) -> Panel:
    """A peer as near as it comes to our bytes."""
    return panel(peer.name, raster, *coded(peer, matching_setting(peer, raster, target), raster))


def matching_setting(peer: Peer, raster: Raster, target: int) -> float:
    """The peer's quality that takes `target` bytes."""
    ends = min(peer.settings), max(peer.settings)
    smallest, largest = sorted(ends, key=lambda setting: coded(peer, setting, raster)[0])
    return setting_for_bytes(lambda setting: coded(peer, setting, raster)[0], smallest, largest, target)


def panel(name: str, raster: Raster, nbytes: int, decoded: np.ndarray) -> Panel:
    """A decoded raster of one band with its error."""
    rmse_db = math.sqrt(np.mean(raster.errors_db(decoded) ** 2))
    with np.errstate(divide="ignore"):
        return Panel(name, to_db(decoded[0], raster.scale), nbytes, rmse_db)


def panels_table(rows: Sequence[Sequence[Panel]]) -> str:
    """Bytes and errors of the panels."""
    return format_table(["VV of harvey_grd.tif", "bytes", "RMSE dB"],
                        [[each.name, str(each.nbytes), f"{each.rmse_db:.3f}"] for row in rows for each in row])
