"""AVIF of grey images of 12 bits, written by libavif's own command: imagecodecs writes these without loss only."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np

COMMAND = "avifenc"

SPEED = 4
"""Of 0 (slowest) to 10; about 0.6 s for 512 x 512 pixels."""


def avif_missing() -> str:
    """Why AVIF cannot be measured here; empty if it can."""
    if shutil.which(COMMAND) is None:
        return f"no {COMMAND} on PATH (Debian: apt-get install libavif-bin)"
    return "" if imagecodecs.AVIF.available else "this imagecodecs has no libavif to read with"


def avif_version() -> str:
    """What the command says of itself and of its AV1 encoders."""
    if avif_missing():
        return ""
    return subprocess.run([COMMAND, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]


def avif_encode(image: np.ndarray, quantiser: float) -> bytes:
    """A whole AVIF file: monochrome, full range, constant quality of libaom at `quantiser` (0 to 63)."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "image.png"), Path(folder, "image.avif")
        # A PNG holds 16 bits; avifenc rounds them to the same 12.
        source.write_bytes(imagecodecs.png_encode(np.round(image * (65535 / 4095)).astype(np.uint16)))
        options = ["--codec", "aom", "--depth", "12", "--yuv", "400", "--range", "full", "--speed", str(SPEED),
                   "--min", "0", "--max", "63"]
        for option in ("end-usage=q", f"cq-level={quantiser:.0f}", "tune=psnr"):
            options += ["--advanced", option]
        subprocess.run([COMMAND, *options, str(source), str(target)], check=True, capture_output=True)
        return target.read_bytes()


def avif_decode(file: bytes | bytearray) -> np.ndarray:
    """The image of 12 bits."""
    return imagecodecs.avif_decode(file)
