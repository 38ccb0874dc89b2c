"""Crops side by side at equal bytes: the original, ours, JPEG XL and JPEG 2000, of one band that no model has seen.

The whole VV band of a raster is coded alone; ours are the bytes of the whole file, without the control points, which the
peers' bare codestreams do not hold either. The peers' qualities are searched for the same bytes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
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

QUALITY = 30

TOLERANCE = 0.02
"""The peers' bytes may differ from ours by so much."""


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


def panels(path: Path = RASTER, quality: int = QUALITY) -> tuple[Raster, list[Panel]]:
    """The VV band (the first) as a raster, and what each codec makes of it; raises ValueError if bytes do not agree."""
    with tempfile.TemporaryDirectory() as folder:
        raster = load_raster(write_vv(path, Path(folder, "vv.tif")))
        ours = our_panel(raster, quality, Path(folder, "vv.sarz"))
        return raster, [ours, *peer_panels(raster, ours.nbytes)]


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
    sarz.compress(raster.path, path, quality=quality, scale=raster.scale)
    with sarz.open(path) as src:
        return panel("sarz", raster, path.stat().st_size, src.read())


def peer_panels(raster: Raster, target: int) -> Iterator[Panel]:
    """The peers at our bytes."""
    for peer in (JPEG_XL, JPEG_2000):
        peer_panel = panel(peer.name, raster, *coded(peer, matching_setting(peer, raster, target), raster))
        if abs(peer_panel.nbytes / target - 1) > TOLERANCE:
            raise ValueError(f"{peer.name} takes {peer_panel.nbytes} bytes where {target} are wanted")
        yield peer_panel


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


def panels_table(made: list[Panel]) -> str:
    """Bytes and errors of the panels."""
    return format_table(["VV of harvey_grd.tif", "bytes", "RMSE dB"],
                        [[each.name, str(each.nbytes), f"{each.rmse_db:.3f}"] for each in made])
