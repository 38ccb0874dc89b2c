"""The table of docs/fidelity.md: sizes and errors of quality, bound and lossless on three kinds of raster.

    python tests/benchmarks/fidelity.py [--data FOLDER]

Sizes are of whole files; errors are in dB, as `sarz.compress` measures them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from curves import format_table

import sarz_format as sarz

DATA = Path(__file__).resolve().parents[1] / "data"

RASTERS = {"harvey_grd": "GRD amplitude, uint16", "harvey_sigma0": "sigma0, float32", "harvey_vv_vh_db": "dB, float32",
           "terramind_vv_vh_db": "dB, float32"}

WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--quality 55 (default)", {}),
    ("--quality 80", {"quality": 80}),
    ("--quality 100", {"quality": 100}),
    ("--max-error-db 3", {"max_error_db": 3}),
    ("--max-error-db 1", {"max_error_db": 1}),
    ("--max-error-db 0.5", {"max_error_db": 0.5}),
    ("--max-error-db 0.25", {"max_error_db": 0.25}),
    ("--max-error-db 0.05", {"max_error_db": 0.05}),
    ("--lossless", {"lossless": True}),
)


def row(path: Path, way: str, options: dict[str, Any], target: Path) -> list[str]:
    """One line of the table."""
    report = sarz.compress(path, target, overwrite=True, **options)
    exact = report.fallback_tiles == report.tiles
    errors = ["0", "0"] if exact else [f"{report.rmse_db:.3f}", f"{report.max_error_db:.2f}"]
    return [path.stem, f"`{way}`", f"{report.output_bytes:,}", f"{report.bpp:.2f}", f"1:{report.ratio:.1f}", *errors]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the rasters")
    folder = parser.parse_args().data
    with tempfile.TemporaryDirectory() as name:
        rows = [row(folder / f"{raster}.tif", way, options, Path(name) / "x.sarz")
                for raster in RASTERS for way, options in WAYS]
    for raster, kind in RASTERS.items():
        print(f"\n{raster}.tif ({kind})\n")
        print(format_table(["", "bytes", "bits a band pixel", "ratio", "RMSE dB", "worst dB"],
                           [line[1:] for line in rows if line[0] == raster]))


if __name__ == "__main__":
    main()
