"""Writes contextual_golden.json: ``python tests/make_contextual_golden.py``. Old entries decode for ever: keep them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sarz_format.contextual import encode_amplitudes, encode_integers


def entry(original: np.ndarray, *, bound: int = 0, bound_db: float | None = None) -> dict[str, object]:
    """Bytes of an original and what they decode to."""
    data, values = encode_integers(original, bound) if bound_db is None else encode_amplitudes(original, bound_db)
    bounds = {"bound": bound} if bound_db is None else {"bound_db": bound_db}
    return {"dtype": original.dtype.name, **bounds, "original": original.tolist(), "values": values.tolist(),
            "bytes": data.hex()}


def made() -> dict[str, dict[str, object]]:
    """Every golden entry."""
    rng = np.random.default_rng(7)

    def speckle(shape: tuple[int, int, int], mean: float, dtype: str) -> np.ndarray:
        return (rng.rayleigh(mean, shape) * np.exp(rng.normal(0, 0.3, shape))).clip(1, 60_000).astype(dtype)

    mixed = np.concatenate([np.full((1, 4, 5), 9), rng.integers(0, 50, (1, 4, 5))]).astype(np.int16)
    return {
        "two bands": entry(speckle((2, 7, 9), 40, "uint16")),
        "signed, wide": entry((rng.normal(0, 1, (1, 5, 6)) * 2e8).astype(np.int32)),
        "repeats": entry(speckle((1, 6, 6), 30, "uint8").repeat(2, 1).repeat(2, 2)),
        "several classes": entry(speckle((1, 24, 24), 30, "uint8")),
        "constant, then not": entry(mixed),
        "bound of 3": entry(speckle((2, 6, 7), 60, "uint16"), bound=3),
        "cells of 0.5 dB": entry(speckle((2, 6, 7), 200, "uint16"), bound_db=0.5),
        "one pixel": entry(np.array([[[5]]], np.uint8)),
    }


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(fields, separators=(',', ':'))}" for name, fields in made().items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (Path(__file__).parent / "contextual_golden.json").write_text(text, encoding="utf-8")
