"""On a GPU: the same files and pixels as on the CPU. Skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import sarz_format as sarz
from sarz_format.codec.device import load_engine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

OPTIONS = {"tile_size": 64, "quality": 60}


@pytest.fixture(autouse=True)
def fresh_engines() -> Iterator[None]:
    """Arithmetics are chosen anew, under the precision of the test."""
    before = torch.get_float32_matmul_precision()
    load_engine.cache_clear()
    yield
    torch.set_float32_matmul_precision(before)
    load_engine.cache_clear()


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_files_and_pixels_are_those_of_the_cpu(harvey_db: Path, tmp_path: Path, batch: int) -> None:
    for where in ("cpu", "cuda"):
        report = sarz.compress(harvey_db, tmp_path / f"{where}.sarz", device=where, batch_size=batch, **OPTIONS)
    assert report.arithmetic == "float32"
    assert (tmp_path / "cuda.sarz").read_bytes() == (tmp_path / "cpu.sarz").read_bytes()
    with sarz.open(tmp_path / "cpu.sarz", device="cpu") as a, \
            sarz.open(tmp_path / "cpu.sarz", device="cuda", batch_size=batch) as b:
        assert np.array_equal(a.read(), b.read(), equal_nan=True)


def test_tf32_is_exact_or_refused(harvey_db: Path, tmp_path: Path) -> None:
    sarz.compress(harvey_db, tmp_path / "x.sarz", device="cpu", **OPTIONS)
    torch.set_float32_matmul_precision("high")
    with sarz.open(tmp_path / "x.sarz", device="cpu") as a, sarz.open(tmp_path / "x.sarz", device="cuda") as b:
        try:
            values = b.read()
        except sarz.DeviceError as exc:
            assert "switch TF32 off" in str(exc)
        else:
            assert np.array_equal(a.read(), values, equal_nan=True)


def test_tensors_stay_on_the_gpu(harvey_db: Path, tmp_path: Path) -> None:
    sarz.compress(harvey_db, tmp_path / "x.sarz", device="cpu", **OPTIONS)
    places = [sarz.Window(8 * i, 4 * i, 96, 96) for i in range(8)]
    with sarz.open(tmp_path / "x.sarz", device="cpu") as a, sarz.open(tmp_path / "x.sarz", device="cuda") as b:
        values = b.read(out="torch")
        assert values.is_cuda and np.array_equal(values.cpu().numpy(), a.read(), equal_nan=True)
        for here, there in zip(a.read_windows(places), b.read_windows(places, out="torch")):
            assert there.is_cuda and np.array_equal(there.cpu().numpy(), here, equal_nan=True)
