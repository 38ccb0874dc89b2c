"""Requests and bytes that windows of a .sarz file cost over HTTP, from a server on loopback.

    python tests/benchmarks/remote.py FILE.sarz [--sizes N...] [--windows N] [--seed N] [--delay MS]

For each size, windows at random places: the most requests that one took, the bytes of the tiles that it needs, and the
bytes that were fetched, both as means. Nothing is decoded. --delay is added by the server to each request, to see
what a round trip costs; seconds are means a window.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import sarz_format as sarz
from sarz_format.container import Container, Part
from sarz_format.grid import Box

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from range_server import RangeServer

CONTEXT = 48
"""Pixels that decoding takes from beyond a window."""


def parts_of(container: Container, window: Box) -> list[tuple[int, Part]]:
    """The parts of tiles that decoding all bands of a window needs."""
    index = container.index
    numbers = [index.number(*tile, group) for tile in index.grid.tiles_covering(window.grown(CONTEXT))
               for group in range(index.groups)]
    return [(number, part) for number in numbers for part in ("coarse", "detail")]


def needed_bytes(container: Container, parts: list[tuple[int, Part]]) -> int:
    """Their lengths together."""
    return sum(getattr(container.index[number], f"{part}_length") for number, part in parts)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 512, 1024, 2048])
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, metavar="MS")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    with RangeServer({"a.sarz": args.file.read_bytes()}, delay=args.delay / 1000) as server:
        with sarz.open_container(server.url("a.sarz")) as container:
            print(f"opened in {len(server.requests)} requests, {server.sent:,} bytes of {container.source.size:,}")
            print("| window | requests, most | kB needed | kB fetched | fetched / needed | s |")
            print("|---|---|---|---|---|---|")
            for size in args.sizes:
                print_row(server, container, size, args.windows, rng)


def print_row(server: RangeServer, container: Container, size: int, windows: int, rng: np.random.Generator) -> None:
    """Fetch windows of one size, and print what they cost."""
    height, width = container.header.grid.height, container.header.grid.width
    most = needed = fetched = 0
    seconds = 0.0
    for _ in range(windows):
        row, col = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
        parts = parts_of(container, Box(row, col, row + size, col + size).intersection(container.header.grid.raster))
        server.forget()
        started = time.perf_counter()
        container.read_parts(parts)
        seconds += time.perf_counter() - started
        most, fetched = max(most, len(server.requests)), fetched + server.sent
        needed += needed_bytes(container, parts)
    print(f"| {size} x {size} | {most} | {needed / windows / 1e3:.0f} | {fetched / windows / 1e3:.0f} | "
          f"{fetched / needed:.1f} | {seconds / windows:.3f} |")


if __name__ == "__main__":
    main()
