"""What tests/exactness.py does in a process of its own: compress rasters, or decode files, and say what came of it.

Takes a job as JSON on standard input and prints its result as JSON. CPU instructions and threads are set by environment
variables that libraries read when they are loaded, so every combination of them needs a new process.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sarz_format as sarz
from sarz_format.codec import conformance, device
from sarz_format.codec.arithmetic import Arithmetic, Float32Arithmetic
from sarz_format.codec.direct import DirectArithmetic
from sarz_format.codec.int8 import Int8Arithmetic
from sarz_format.container import open_container
from sarz_format.decoder import WindowDecoder
from sarz_format.overview import overview_box

WINDOWS = 12
"""Windows a file, beside the whole."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def force(name: str, where: torch.device) -> bool:
    """Let engines compute in the arithmetic of that name; False where it is not exact here, as then none may use it."""
    makers: dict[str, Callable[[], Arithmetic]] = {
        "int8": Int8Arithmetic, "float32-direct": DirectArithmetic, "float32": lambda: Float32Arithmetic(where)}
    arithmetic = makers[name]()
    if not conformance.conforms(arithmetic, where):
        return False
    device.choose_arithmetic = lambda _: conformance.Choice(arithmetic)
    return True


def write(job: dict[str, Any]) -> dict[str, Any]:
    """Compress every raster in every batch size, and keep each different file under its hash."""
    files: dict[str, dict[str, str]] = {}
    used = set()
    store = Path(job["store"])
    for case in job["cases"]:
        for batch in job["batches"]:
            path = store / f"{os.getpid()}.sarz"
            report = sarz.compress(case["raster"], path, device=job["device"], batch_size=batch, overwrite=True,
                                   **case["options"])
            digest = sha256(path.read_bytes())
            path.rename(store / f"{case['name']}-{digest}.sarz")
            files.setdefault(case["name"], {})[str(batch)] = digest
            used.add(report.arithmetic)
    return {"digests": files, "used": sorted(used)}


def read(job: dict[str, Any]) -> dict[str, Any]:
    """Decode every kept file in every batch size, as a whole and in windows, which must be parts of the whole."""
    pixels: dict[str, dict[str, str]] = {}
    used, wrong = set(), 0
    for path in sorted(Path(job["store"]).glob("*-*.sarz")):
        for batch in job["batches"]:
            with open_container(path) as container:
                decoder = WindowDecoder(container, device=job["device"], batch_size=batch, cache_bytes=0)
                whole = read_whole(decoder)
                wrong += sum(not same_part(decoder, whole, seed) for seed in range(WINDOWS))
                small = [read_overview(decoder, factor) for factor in (4, 8, 32)]
            digest = sha256(b"".join(array.tobytes() for array in (whole, *small)))
            pixels.setdefault(path.stem, {})[str(batch)] = digest
            used.add(decoder.arithmetic)
    return {"digests": pixels, "used": sorted(used), "wrong_windows": wrong}


def read_whole(decoder: WindowDecoder) -> np.ndarray:
    """All pixels ``(bands, height, width)``."""
    metadata = decoder.header.metadata
    return decoder.read(range(metadata.count), 0, 0, metadata.height, metadata.width)[0]


def read_overview(decoder: WindowDecoder, factor: int) -> np.ndarray:
    """A whole overview."""
    metadata = decoder.header.metadata
    box = overview_box(metadata.height, metadata.width, factor)
    return decoder.read_overview(range(metadata.count), factor, 0, 0, *box.shape)[0]


def same_part(decoder: WindowDecoder, whole: np.ndarray, seed: int) -> bool:
    """Whether a window of random place and size equals that part of the whole, to the bit."""
    rng = np.random.default_rng(seed)
    bands, height, width = whole.shape
    (row, stop_row), (col, stop_col) = (sorted(rng.choice(n + 1, 2, replace=False).tolist()) for n in (height, width))
    part = decoder.read(range(bands), row, col, stop_row - row, stop_col - col)[0]
    return part.tobytes() == whole[:, row:stop_row, col:stop_col].tobytes()


def main() -> None:
    job = json.load(sys.stdin)
    torch.set_float32_matmul_precision(job["precision"])
    where = device.resolve_device(job["device"])
    if job["arithmetic"] != "auto" and not force(job["arithmetic"], where):
        result: dict[str, Any] = {"digests": {}, "used": [], "refused": True}
    else:
        result = {"write": write, "read": read}[job["do"]](job)
    json.dump(result | {"threads": torch.get_num_threads()}, sys.stdout)


if __name__ == "__main__":
    main()
