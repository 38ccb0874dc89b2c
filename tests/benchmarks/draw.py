"""All tables and pictures of rate, error and radiometry in the documentation, in one go.

    python tests/benchmarks/draw.py VAL [-o docs/images] [--peer-cache FILE]

VAL is the folder of the validation rasters; tests/data is measured beside it. Tables go to the standard output, and
rate_distortion.png, radiometry.png and crops.png to the folder of pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from crops import panels_table, vv_panels
from crops_plot import draw_crops
from radiometry import measure_image, radiometry_table
from radiometry_plot import draw_radiometry
from rasters import find_rasters
from rate_distortion import CODECS, DEFAULT_QUALITIES, measure_all, report
from rate_plot import draw_plot

TEST_RASTERS = Path(__file__).resolve().parent.parent / "data"


def draw_rates(folder: Path, pictures: Path, peer_cache: Path | None) -> None:
    """Rate against error, of the folder and of the tests' rasters."""
    for title, rasters in (("Validation rasters", folder), ("tests/data", TEST_RASTERS)):
        images = measure_all(find_rasters(rasters), DEFAULT_QUALITIES, peer_cache)
        print(f"## {title}", report(images), sep="\n\n", end="\n\n", flush=True)
        if rasters == folder:
            draw_plot(pictures / "rate_distortion.png", images, CODECS)


def draw_radiometries(folder: Path, pictures: Path) -> None:
    """Bias and equivalent number of looks against rate."""
    images = [measure_image(path) for path in find_rasters(folder)]
    print("## Bias and looks", radiometry_table(images), sep="\n\n", end="\n\n", flush=True)
    draw_radiometry(pictures / "radiometry.png", images)


def draw_equal_bytes(pictures: Path) -> None:
    """Crops at equal bytes."""
    raster, rows = vv_panels()
    print("## Crops", panels_table(rows), sep="\n\n")
    draw_crops(pictures / "crops.png", raster, rows)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="VAL", help="folder of the validation rasters")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"), help="folder of the pictures")
    parser.add_argument("--peer-cache", type=Path, help="JSON file of what was measured of the peers before")
    args = parser.parse_args()
    draw_equal_bytes(args.output)
    draw_radiometries(args.folder, args.output)
    draw_rates(args.folder, args.output, args.peer_cache)


if __name__ == "__main__":
    main()
