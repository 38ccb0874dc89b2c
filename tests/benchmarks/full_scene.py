"""Speed and memory on a full scene, ours and GDAL's codecs side by side in the same run.

    python tests/benchmarks/full_scene.py [--size WIDTH HEIGHT | --scene FILE.tif] [--crops DIR]
                                          [--quality N | --max-error-db E | --lossless] [--windows N] [--max-isa NAME] [--no-peers] [--profile] [--json OUT]

Without --scene, a scene of 25000 x 16700 pixels is assembled from real crops (see scene.py). Every figure comes from a
call in a process of its own: wall seconds, millions of samples (band pixels) a second, and peak resident memory.
JPEG 2000 is asked for as many bytes as our file has. --max-isa limits the CPU instructions that torch's convolutions
may use (ONEDNN_MAX_CPU_ISA; AVX512_CORE_BF16 leaves out AMX).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from measure import measure
from scene import DATA_DIR, FULL_SIZE, make_scene
from scene_codecs import (
    GEOTIFFS,
    GdalCodec,
    gdal_read,
    gdal_to_geotiff,
    gdal_windows,
    gdal_write,
    is_available,
    jpeg_2000,
    sarz_read,
    sarz_to_geotiff,
    sarz_windows,
    sarz_write,
)
from scene_results import Corners, Result, Scene, format_results

OURS = "sarz"


@dataclass(frozen=True, slots=True)
class Tasks:
    """The calls of one codec: see scene_codecs.py."""

    write: Callable[[Path, Path], Any]
    to_geotiff: Callable[[Path, Path], Any]
    read: Callable[[Path], Any]
    windows: Callable[[Path, Corners], list[float]]


def measure_codec(name: str, tasks: Tasks, scene: Scene, corners: Corners, coded: Path) -> Result:
    """Run all four tasks of a codec; `coded` is the file it writes, removed afterwards."""
    copy = coded.with_name("copy.tif")
    try:
        write = measure(tasks.write, scene.path, coded)
        nbytes = coded.stat().st_size
        to_geotiff = measure(tasks.to_geotiff, coded, copy)
        copy.unlink()
        return Result(name, nbytes, write, to_geotiff, measure(tasks.read, coded),
                      measure(tasks.windows, coded, corners))
    finally:
        coded.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)


def measure_ours(scene: Scene, corners: Corners, goal: dict[str, Any], folder: Path) -> Result:
    """Our figures."""
    tasks = Tasks(partial(sarz_write, goal=goal), sarz_to_geotiff, sarz_read, sarz_windows)
    return measure_codec(OURS, tasks, scene, corners, folder / "scene.sarz")


def measure_gdal(codec: GdalCodec, scene: Scene, corners: Corners, folder: Path) -> Result:
    """The figures of a GDAL driver."""
    tasks = Tasks(partial(gdal_write, codec=codec), gdal_to_geotiff, gdal_read, gdal_windows)
    return measure_codec(codec.name, tasks, scene, corners, folder / f"coded{codec.suffix}")


def measure_all(scene: Scene, corners: Corners, goal: dict[str, Any], peers: bool, folder: Path) -> list[Result]:
    """Ours first, as its size sets the rate of JPEG 2000; then each peer that this GDAL has."""
    say(f"{OURS}, {goal}")
    results = [measure_ours(scene, corners, goal, folder)]
    for codec in (jpeg_2000(results[0].nbytes / scene.raw_bytes), *GEOTIFFS) if peers else ():
        if is_available(codec):
            say(codec.name)
            results.append(measure_gdal(codec, scene, corners, folder))
        else:
            say(f"{codec.name}: this GDAL does not write it, left out")
    return results


def say(message: str) -> None:
    """Progress, on standard error."""
    print(message, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), default=FULL_SIZE)
    parser.add_argument("--scene", type=Path, help="measure this raster instead of making one")
    parser.add_argument("--crops", type=Path, default=DATA_DIR, help="folder of two-band uint16 crops for the scene")
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument("--quality", type=int, help="quality of the .sarz file; by default the library's")
    goal.add_argument("--max-error-db", type=float, help="write a file with this bound instead")
    goal.add_argument("--lossless", action="store_true", help="write a lossless file instead")
    parser.add_argument("--windows", type=int, default=200, help="random 512 x 512 windows to time")
    parser.add_argument("--max-isa", help="limit of torch's CPU instructions, such as AVX512_CORE_BF16 or AVX2")
    parser.add_argument("--no-peers", action="store_true", help="measure ours only")
    parser.add_argument("--profile", action="store_true", help="print where our time goes")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--folder", type=Path, help="folder for the scene and what is written, several GB; by default "
                        "the system's temporary folder")
    return parser.parse_args()


def chosen_goal(args: argparse.Namespace) -> dict[str, Any]:
    """What our file is to reach, as arguments of `sarz.compress`: by default the library's quality."""
    import sarz

    if args.lossless:
        return {"lossless": True}
    if args.max_error_db is not None:
        return {"max_error_db": args.max_error_db}
    return {"quality": sarz.DEFAULT_QUALITY if args.quality is None else args.quality}


def write_json(path: Path, results: Sequence[Result], scene: Scene, args: argparse.Namespace) -> None:
    """Every figure, and what it was measured on."""
    conditions = {"width": scene.width, "height": scene.height, "count": scene.count,
                  **chosen_goal(args), "max_isa": args.max_isa, "cpus": os.cpu_count()}
    measured = {**conditions, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(measured, indent=1), encoding="utf-8")


def main() -> None:
    """Measure and print."""
    args = parse_arguments()
    if args.max_isa:
        os.environ["ONEDNN_MAX_CPU_ISA"] = args.max_isa
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        if not args.scene:
            say(f"making a scene of {args.size[0]} x {args.size[1]}")
            measure(partial(make_scene, crops_dir=args.crops), folder / "scene.tif", *args.size)
        scene = Scene.open(args.scene or folder / "scene.tif")
        results = measure_all(scene, scene.corners(args.windows), chosen_goal(args), not args.no_peers,
                              folder)
    print(format_results(results, scene, args.profile))
    if args.json:
        write_json(args.json, results, scene, args)


if __name__ == "__main__":
    main()
