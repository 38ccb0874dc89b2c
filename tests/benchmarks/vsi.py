"""What reading through /vsisarz/ costs beside the native reader.

    python tests/benchmarks/vsi.py [RASTER.tif]

The raster (by default tests/data/harvey_grd.tif) is repeated six times across and down, compressed, and read both ways in one
process, after a first read that warms up torch. Milliseconds, one run each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import sarz
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

REPEATS, SIDE = 6, 512
DATA = Path(__file__).resolve().parent.parent / "data" / "harvey_grd.tif"


def main() -> None:
    """Measure and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raster", nargs="?", type=Path, default=DATA)
    args = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    with tempfile.TemporaryDirectory() as folder:
        measure(compressed(args.raster, Path(folder)))


def compressed(raster: Path, folder: Path) -> Path:
    """The raster, repeated, as a .sarz."""
    with rasterio.open(raster) as src:
        values, nodata = np.tile(src.read(), (1, REPEATS, REPEATS)), src.nodata
    count, height, width = values.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": values.dtype, "nodata": nodata}
    with rasterio.open(folder / "large.tif", "w", **profile) as dst:
        dst.write(values)
    sarz.compress(folder / "large.tif", folder / "large.sarz")
    return folder / "large.sarz"


def measure(path: Path) -> None:
    """Read the same with both."""
    name = f"/vsisarz/{path}"
    window = Window(2 * SIDE, 2 * SIDE, SIDE, SIDE)
    with rasterio.open(name) as src:
        src.read(window=Window(0, 0, SIDE, SIDE))
    with sarz.open(path) as native:
        report("native, window, cold", lambda: native.read(window=window))
        report("native, window, again", lambda: native.read(window=window))
    with rasterio.open(name) as src:
        report("/vsisarz/, window, cold", lambda: src.read(window=window))
        report("/vsisarz/, window, from GDAL's cache", lambda: src.read(window=window))
    report("/vsisarz/, open a known file", lambda: rasterio.open(name).close())
    for indexes in (None, 1):
        with rasterio.open(name) as src:
            what = "one band" if indexes else "both bands"
            report(f"/vsisarz/, window, {what}, kept tiles", lambda: src.read(indexes, window=window))  # noqa: B023
    with emptied(), rasterio.open(name) as src:
        report("/vsisarz/, whole", src.read)
    with sarz.open(path) as native:
        report("native, whole", native.read)


def report(what: str, call: Callable[[], Any]) -> None:
    """Print how long a call takes."""
    start = time.perf_counter()
    call()
    print(f"{what}: {1e3 * (time.perf_counter() - start):.2f} ms")


@contextmanager
def emptied() -> Iterator[None]:
    """Nothing of any file is kept."""
    from sarz_format.vsi import registration

    registration._kept[1].forget()
    yield


if __name__ == "__main__":
    main()
